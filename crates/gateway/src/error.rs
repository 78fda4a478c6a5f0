//! Every error that a client can see, and the one place where it becomes a status, a code and a text.
//!
//! Each variant says who is to blame; [`Error::public`] is exhaustive, so a new variant cannot become a silent 500.

use http::StatusCode;
use llm::protocol::Family;

use crate::guardrails::Refusal;

/// Whose fault an error is: decides the log level and whether an operator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The client sent something wrong or not allowed.
    Client,
    /// The provider failed or lied.
    Upstream,
    /// The gateway cannot do its work: configuration, storage, overload.
    Gateway,
}

/// An error of a call, as precise as the place that saw it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No usable credential.
    #[error(transparent)]
    Auth(#[from] policy::AuthError),
    /// The master key on an inference route where the configuration says deny.
    #[error(
        "Authentication Error, the master key may not be used on this route; create a key per service"
    )]
    MasterKeyDenied,
    /// The caller's role calls no models.
    #[error("user not allowed to access this route, role= {role}")]
    RoleDenied {
        /// LiteLLM's name of the role.
        role: &'static str,
    },
    /// A rule over the facts of the call refuses it.
    #[error("this call is refused by the rule '{rule}'")]
    RuleRefused {
        /// Its configured name.
        rule: String,
    },
    /// The end user whom the request names is blocked.
    #[error("the end user named by this request is blocked")]
    EndUserBlocked,
    /// The key may not use this model or route.
    #[error(transparent)]
    Access(#[from] policy::identity::AccessError),
    /// A budget, rate or number of parallel calls would be passed.
    #[error("{exceeded}")]
    Exceeded {
        /// Whose limit, and when it ends.
        exceeded: Box<policy::budget::Exceeded>,
        /// Configured status of a spent budget.
        budget_status: u16,
    },
    /// A budget applies and nobody knows what the model costs.
    #[error(
        "a budget applies to this call and model '{model}' has no price; set input_cost_per_token and output_cost_per_token, or sealgate.unpriced_cost_per_token"
    )]
    PriceUnknown {
        /// The model group.
        model: String,
    },
    /// A management request that is refused.
    #[error(transparent)]
    Manage(#[from] crate::manage::ManageError),
    /// The request's framing or target is ambiguous: two hosts, foreign absolute form, both framings.
    #[error("{0}")]
    BadFraming(&'static str),
    /// No such route.
    #[error("Not Found")]
    NotFound,
    /// The route exists with other methods.
    #[error("Method Not Allowed")]
    MethodNotAllowed {
        /// Value of the `allow` header.
        allow: &'static str,
    },
    /// The body is larger than configured.
    #[error("request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("request body did not arrive within {seconds} s")]
    BodyTimeout {
        /// The limit in seconds.
        seconds: u64,
    },
    /// The connection broke while the body was read.
    #[error("request body ended early")]
    BodyIncomplete,
    /// The body is not strict JSON.
    #[error("{0}")]
    InvalidJson(String),
    /// The body is JSON, but a field is missing, of the wrong type or out of range.
    #[error("{message}")]
    InvalidField {
        /// Name of the field, dotted path where nested.
        field: String,
        /// What is wrong with it.
        message: String,
        /// 422 when type or range is wrong, 400 when the request cannot be understood.
        status: u16,
        /// `error.type`.
        kind: &'static str,
    },
    /// A field that would choose destination, credentials or configuration.
    #[error("Rejected Request: {field} is not allowed in request body.")]
    RefusedField {
        /// Name of the field.
        field: String,
    },
    /// The model is not configured, or no model was named.
    #[error(
        "{route}: Invalid model name passed in model={model}. Call /v1/models to view available models for your key."
    )]
    UnknownModel {
        /// Route as the client called it, without `/v1`.
        route: &'static str,
        /// The name asked for, cut to 100 characters; `None` when absent.
        model: String,
    },
    /// `GET /models/{id}` for a model that does not exist.
    #[error("The model `{0}` does not exist or is not accessible")]
    NoSuchModel(String),
    /// A stored response that does not exist, or belongs to another caller: the two cannot be told apart.
    #[error("No response with this id was made with this key.")]
    NoSuchResponse,
    /// A path below a pass-through prefix that is no route: its texts could not be inspected, so it is no tunnel.
    #[error(
        "this path is not served: below /openai and /anthropic only the routes whose texts are inspected exist"
    )]
    NoSuchPassThrough,
    /// The deployment's provider has nothing that answers this kind of call.
    #[error("the deployment's provider ({provider}) has no {what}, and no translation exists")]
    NotServed {
        /// The provider's prefix.
        provider: String,
        /// What was asked for.
        what: &'static str,
    },
    /// The request names a guardrail that is not configured.
    #[error("guardrail `{0}` is not configured on this gateway")]
    UnknownGuardrail(String),
    /// A check refused the request.
    #[error("{refusal}")]
    Blocked {
        /// Configured name of the check.
        check: String,
        /// What the client is told, without the matched text.
        refusal: Box<Refusal>,
    },
    /// A part of the request that no check can read, where the setting says block.
    #[error(
        "the request holds a part that no check can read ({kind}), and the configuration blocks such parts"
    )]
    NotInspectable {
        /// Kind of the part, for example `image_url`.
        kind: String,
    },
    /// A check that the call selects is not built into this version.
    #[error(
        "guardrail '{check}' is configured but not available in this version; the call is refused because it would not be checked"
    )]
    CheckNotAvailable {
        /// Configured name of the check.
        check: String,
    },
    /// A check that asks a service came to no verdict, and no switch lets such calls pass.
    #[error(
        "guardrail '{check}' came to no verdict ({why}); the call is refused because it would not be checked"
    )]
    CheckFailed {
        /// Configured name of the check.
        check: String,
        /// What happened, in words.
        why: &'static str,
    },
    /// The deployment's provider is not built into this version.
    #[error("provider '{provider}' is configured but not available in this version")]
    ProviderNotAvailable {
        /// The provider's prefix.
        provider: String,
    },
    /// Every deployment of the model is left alone after failures.
    #[error(
        "litellm.RateLimitError: No deployments available for selected model, Try again in {seconds} seconds. Passed model={model}."
    )]
    NoDeployment {
        /// The name asked for, cut to 100 characters.
        model: String,
        /// Seconds until one may serve again.
        seconds: u64,
    },
    /// Every deployment of the model has as many requests or tokens as it takes.
    #[error(
        "litellm.RateLimitError: No deployments available for selected model, {what}. Try again in {seconds} seconds. Passed model={model}."
    )]
    DeploymentLimit {
        /// The name asked for, cut to 100 characters.
        model: String,
        /// Which limit.
        what: &'static str,
        /// Seconds until one may serve again.
        seconds: u64,
    },
    /// The prompt is longer than any deployment of the model takes.
    #[error(
        "litellm.ContextWindowExceededError: the prompt is longer than the context window of every deployment of model={model}."
    )]
    ContextWindow {
        /// The name asked for, cut to 100 characters.
        model: String,
    },
    /// No deployment of the model has the request's tags.
    #[error("Not allowed to access model due to tags configuration. Passed model={model}.")]
    NoDeploymentForTags {
        /// The name asked for, cut to 100 characters.
        model: String,
    },
    /// All parallel slots are taken.
    #[error(
        "Rate limit exceeded for gateway. Limit type: max_parallel_requests. Current limit: {limit}, Remaining: 0."
    )]
    TooManyParallel {
        /// The configured limit.
        limit: usize,
    },
    /// One address sends more than the listener takes from it.
    #[error(
        "Rate limit exceeded for this address: too many {what}. Try again in {seconds} seconds."
    )]
    TooManyFromAddress {
        /// `requests` or `wrong keys`.
        what: &'static str,
        /// Seconds until one is taken again.
        seconds: u64,
    },
    /// The settle queue is full: calls are admitted again when records have been committed.
    #[error("the gateway is overloaded: too many records wait to be committed")]
    Overloaded,
    /// The limits that several processes share cannot be asked; nothing was sent to a provider.
    #[error(
        "budgets and limits cannot be checked: the shared limits are not available; nothing was sent to the provider"
    )]
    LimitsUnavailable,
    /// The intent could not be made durable; nothing was sent to a provider.
    #[error("the audit ledger cannot record this call; nothing was sent to the provider")]
    AuditUnavailable,
    /// A reload that was asked for: the file has problems, and the old configuration stays. The text names lines, no secret.
    #[error("the configuration was not reloaded, the old one stays: {0}")]
    ConfigRejected(String),
    /// This process was not started from a file, or a reload is under way.
    #[error(
        "the configuration cannot be reloaded now: a reload is under way, or there is no file to read"
    )]
    ReloadUnavailable,
    /// The process drains.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// The provider answered with an error. `message` is scrubbed.
    #[error("litellm.{}: {provider}Exception - {message}", class_of(*status, code.as_deref()))]
    Upstream {
        /// Status of the provider.
        status: u16,
        /// Provider name for the text.
        provider: &'static str,
        /// Scrubbed message.
        message: String,
        /// The provider's `code`, if any.
        code: Option<String>,
        /// The provider's `param`, if any.
        param: Option<String>,
        /// Seconds of the provider's `retry-after`, capped.
        retry_after: Option<u64>,
    },
    /// The provider could not be reached or closed the connection without an answer.
    #[error("litellm.APIConnectionError: the provider could not be reached: {0}")]
    UpstreamUnreachable(String),
    /// The provider's answer is not what its protocol says.
    #[error("the provider's answer is not valid: {0}")]
    UpstreamInvalid(String),
    /// The provider did not answer in time.
    #[error("litellm.Timeout: the provider did not answer within {seconds} s")]
    UpstreamTimeout {
        /// The limit in seconds.
        seconds: u64,
    },
    /// The provider stopped in the middle of an answer.
    #[error("the provider ended the answer early")]
    UpstreamCut,
    /// A defect or an impossible state; the detail goes to the log only.
    #[error("internal error")]
    Internal,
}

/// What leaves the process for an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// HTTP status.
    pub status: StatusCode,
    /// `error.type` of the envelope, with LiteLLM's value where clients know one.
    pub kind: &'static str,
    /// Stable code of ours: `error.sealgate_code`, log field and record's `outcome.error`.
    pub code: &'static str,
    /// `error.param`.
    pub param: Option<String>,
    /// Who is to blame.
    pub blame: Blame,
    /// Seconds for a `retry-after` header.
    pub retry_after: Option<u64>,
}

impl Error {
    /// Status, codes and blame. Texts come from `Display`.
    pub fn public(&self) -> Public {
        use Blame::{Client, Gateway, Upstream};
        let p = |status: u16, kind, code, blame| Public {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            kind,
            code,
            param: None,
            blame,
            retry_after: None,
        };
        const INVALID: &str = "invalid_request_error";
        match self {
            Self::Auth(error) => {
                let status = match error {
                    policy::AuthError::Conflicting => 400,
                    policy::AuthError::AddressNotAllowed => 403,
                    _ => 401,
                };
                Public {
                    param: Some(error.param().into()),
                    ..p(status, error.kind(), "unauthenticated", Client)
                }
            }
            Self::MasterKeyDenied => Public {
                param: Some("None".into()),
                ..p(403, "auth_error", "master_key_denied", Client)
            },
            Self::RoleDenied { .. } => p(403, "auth_error", "role_denied", Client),
            Self::RuleRefused { .. } => p(403, "auth_error", "rule_refused", Client),
            Self::EndUserBlocked => Public {
                param: Some("user".into()),
                ..p(403, "auth_error", "end_user_blocked", Client)
            },
            Self::Access(error) => match error {
                policy::identity::AccessError::Model { object, .. } => Public {
                    param: Some("model".into()),
                    ..p(403, model_denied(object), "model_denied", Client)
                },
                policy::identity::AccessError::Route { .. } => {
                    p(403, "auth_error", "route_denied", Client)
                }
            },
            Self::Exceeded {
                exceeded,
                budget_status,
            } => match exceeded.dimension {
                policy::budget::Dimension::Budget => Public {
                    retry_after: exceeded.retry_after(),
                    ..p(*budget_status, "budget_exceeded", "budget_exceeded", Client)
                },
                _ => Public {
                    retry_after: exceeded.retry_after(),
                    ..p(429, "throttling_error", "rate_limited", Client)
                },
            },
            Self::PriceUnknown { .. } => Public {
                param: Some("model".into()),
                ..p(422, "price_unknown", "price_unknown", Client)
            },
            Self::Manage(error) => Public {
                param: error.param(),
                ..p(error.status(), error.kind(), error.code(), error.blame())
            },
            Self::BadFraming(_) => p(400, INVALID, "bad_framing", Client),
            Self::NotFound => p(404, INVALID, "not_found", Client),
            Self::MethodNotAllowed { .. } => p(405, INVALID, "method_not_allowed", Client),
            Self::BodyTooLarge { .. } => p(413, INVALID, "body_too_large", Client),
            Self::BodyTimeout { .. } => p(408, INVALID, "body_timeout", Client),
            Self::BodyIncomplete => p(400, INVALID, "body_incomplete", Client),
            Self::InvalidJson(_) => Public {
                param: Some("request_body".into()),
                ..p(400, INVALID, "invalid_json", Client)
            },
            Self::InvalidField {
                field,
                status,
                kind,
                ..
            } => Public {
                param: Some(field.clone()),
                ..p(*status, kind, "invalid_field", Client)
            },
            Self::RefusedField { field } => Public {
                param: Some(field.clone()),
                ..p(400, INVALID, "refused_field", Client)
            },
            Self::UnknownModel { .. } => p(400, INVALID, "unknown_model", Client),
            Self::NoSuchModel(_) => p(404, INVALID, "unknown_model", Client),
            Self::NoSuchResponse => p(404, INVALID, "unknown_response", Client),
            Self::NoSuchPassThrough => p(404, INVALID, "not_found", Client),
            Self::NotServed { .. } => p(400, INVALID, "not_served", Client),
            Self::UnknownGuardrail(_) => Public {
                param: Some("guardrails".into()),
                ..p(400, INVALID, "unknown_guardrail", Client)
            },
            Self::Blocked { .. } => p(400, INVALID, "blocked", Client),
            Self::NotInspectable { .. } => p(400, INVALID, "not_inspectable", Client),
            Self::CheckNotAvailable { .. } => {
                p(503, "check_not_available", "check_not_available", Gateway)
            }
            Self::CheckFailed { .. } => p(503, "check_failed", "check_failed", Gateway),
            Self::ProviderNotAvailable { .. } => p(
                501,
                "provider_not_available",
                "provider_not_available",
                Gateway,
            ),
            Self::NoDeployment { seconds, .. } => Public {
                retry_after: Some(*seconds),
                ..p(
                    429,
                    "all_deployments_in_cooldown",
                    "all_deployments_in_cooldown",
                    Upstream,
                )
            },
            Self::DeploymentLimit { seconds, .. } => Public {
                retry_after: Some(*seconds),
                ..p(429, "throttling_error", "deployment_limit", Gateway)
            },
            Self::ContextWindow { .. } => p(400, INVALID, "context_length_exceeded", Client),
            Self::NoDeploymentForTags { .. } => Public {
                param: Some("None".into()),
                ..p(401, "auth_error", "no_deployment_for_tags", Client)
            },
            Self::TooManyParallel { .. } => Public {
                retry_after: Some(1),
                ..p(429, "throttling_error", "too_many_parallel", Client)
            },
            Self::TooManyFromAddress { seconds, .. } => Public {
                retry_after: Some(*seconds),
                ..p(429, "throttling_error", "too_many_from_address", Client)
            },
            Self::Overloaded => Public {
                retry_after: Some(1),
                ..p(503, "overloaded", "overloaded", Gateway)
            },
            Self::LimitsUnavailable => Public {
                retry_after: Some(2),
                ..p(503, "limits_unavailable", "limits_unavailable", Gateway)
            },
            Self::AuditUnavailable => Public {
                retry_after: Some(1),
                ..p(503, "audit_unavailable", "audit_unavailable", Gateway)
            },
            Self::ConfigRejected(_) => p(400, INVALID, "config_rejected", Client),
            Self::ReloadUnavailable => p(503, "reload_unavailable", "reload_unavailable", Gateway),
            Self::ShuttingDown => Public {
                retry_after: Some(1),
                ..p(503, "shutting_down", "shutting_down", Gateway)
            },
            Self::Upstream {
                status,
                param,
                retry_after,
                code,
                ..
            } => {
                let (status, kind) = relayed(*status);
                let code = if code.as_deref() == Some("context_length_exceeded") {
                    "context_length_exceeded"
                } else {
                    "upstream_error"
                };
                Public {
                    param: param.clone(),
                    retry_after: *retry_after,
                    ..p(status, kind, code, Upstream)
                }
            }
            Self::UpstreamUnreachable(_) => p(
                502,
                "internal_server_error",
                "upstream_unreachable",
                Upstream,
            ),
            Self::UpstreamInvalid(_) => {
                p(502, "internal_server_error", "upstream_invalid", Upstream)
            }
            Self::UpstreamTimeout { .. } => p(408, INVALID, "upstream_timeout", Upstream),
            Self::UpstreamCut => p(502, "internal_server_error", "upstream_cut", Upstream),
            Self::Internal => p(500, "internal_server_error", "internal", Gateway),
        }
    }

    /// Body in the envelope that clients of the protocol family read.
    pub fn body_in(&self, family: Family, call_id: Option<&str>) -> Vec<u8> {
        match family {
            Family::OpenAi => self.body(call_id),
            Family::Anthropic => self.anthropic_body(call_id),
        }
    }

    /// Body in Anthropic's envelope: `{"type":"error","error":{type,message,..},"request_id":..}`.
    fn anthropic_body(&self, call_id: Option<&str>) -> Vec<u8> {
        let public = self.public();
        let mut error = serde_json::json!({
            "type": self.anthropic_type(),
            "message": self.to_string(),
            "sealgate_code": public.code,
        });
        if let (Some(param), Some(map)) = (public.param, error.as_object_mut()) {
            map.insert("param".into(), param.into());
        }
        self.provider_fields(&mut error);
        serde_json::json!({ "type": "error", "error": error, "request_id": call_id })
            .to_string()
            .into_bytes()
    }

    /// Adds what LiteLLM's guardrails say beside the message.
    fn provider_fields(&self, error: &mut serde_json::Value) {
        let Self::Blocked { refusal, .. } = self else {
            return;
        };
        if refusal.fields.is_empty() {
            return;
        }
        let fields = refusal.fields.iter();
        let fields: serde_json::Map<String, serde_json::Value> = fields
            .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
            .collect();
        if let Some(map) = error.as_object_mut() {
            map.insert("provider_specific_fields".into(), fields.into());
        }
    }

    /// `error.type` of Anthropic's envelope: clients decide by it whether to try again.
    pub fn anthropic_type(&self) -> &'static str {
        if let Self::Upstream { status: 529, .. } | Self::Overloaded = self {
            return "overloaded_error";
        }
        if let Self::CheckNotAvailable { .. } | Self::CheckFailed { .. } = self {
            return "api_error";
        }
        match self.public().status.as_u16() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            408 | 504 => "timeout_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            503 => "overloaded_error",
            _ => "api_error",
        }
    }

    /// Body in the envelope of OpenAI-shaped routes: `{"error":{message,type,param,code,sealgate_code}}`, `code` being the
    /// status as text. Unknown routes and models get `{"detail": …}`, as LiteLLM's clients expect.
    pub fn body(&self, call_id: Option<&str>) -> Vec<u8> {
        if let Self::Manage(error) = self
            && let Some(body) = error.body()
        {
            return body;
        }
        if matches!(
            self,
            Self::NotFound
                | Self::MethodNotAllowed { .. }
                | Self::NoSuchModel(_)
                | Self::Access(policy::identity::AccessError::Route { .. })
        ) {
            return serde_json::json!({ "detail": self.to_string() })
                .to_string()
                .into_bytes();
        }
        let public = self.public();
        let mut error = serde_json::json!({
            "message": self.to_string(),
            "type": public.kind,
            "param": public.param,
            "code": public.status.as_u16().to_string(),
            "sealgate_code": public.code,
        });
        if let (Some(id), Some(map)) = (call_id, error.as_object_mut()) {
            map.insert("call_id".into(), id.into());
        }
        self.provider_fields(&mut error);
        serde_json::json!({ "error": error })
            .to_string()
            .into_bytes()
    }
}

/// Status and type that a client sees for a provider's status.
fn relayed(status: u16) -> (u16, &'static str) {
    match status {
        401 => (401, "authentication_error"),
        403 => (403, "permission_error"),
        429 => (429, "throttling_error"),
        400..=499 => (status, "invalid_request_error"),
        529 => (500, "internal_server_error"),
        500..=599 => (status, "internal_server_error"),
        _ => (502, "internal_server_error"),
    }
}

/// LiteLLM's type of a refused model.
fn model_denied(object: &str) -> &'static str {
    match object {
        "team" => "team_model_access_denied",
        "user" => "user_model_access_denied",
        "org" => "org_model_access_denied",
        "customer" => "customer_model_access_denied",
        _ => "key_model_access_denied",
    }
}

/// LiteLLM's class name, which clients look for in the text.
fn class_of(status: u16, code: Option<&str>) -> &'static str {
    match (status, code) {
        (400, Some("context_length_exceeded")) => "ContextWindowExceededError",
        (400, Some("content_policy_violation" | "content_filter")) => "ContentPolicyViolationError",
        (401, _) => "AuthenticationError",
        (403, _) => "PermissionDeniedError",
        (404, _) => "NotFoundError",
        (408, _) => "Timeout",
        (422, _) => "UnprocessableEntityError",
        (429, _) => "RateLimitError",
        (503, _) => "ServiceUnavailableError",
        (400..=499, _) => "BadRequestError",
        _ => "InternalServerError",
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
