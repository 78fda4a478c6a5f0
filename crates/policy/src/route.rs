//! The table of routes: each with one permission, governed or not.
//!
//! Routing, authorization and the printed list of ungoverned routes all read
//! this one table, so that a route cannot exist without a permission.

use crate::auth::Permission;

/// A request method that a route can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// The method's token on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of a token on the wire; tokens are case-sensitive.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        match token {
            "GET" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteId {
    /// A chat completion, plain or streamed.
    ChatCompletions,
    /// A text completion (the older form), plain or streamed.
    Completions,
    /// Embeddings of texts.
    Embeddings,
    /// A judgement about texts.
    Moderations,
    /// A message in Anthropic's format, plain or streamed.
    Messages,
    /// How many tokens a message would have.
    CountTokens,
    /// A response, plain or streamed.
    Responses,
    /// A stored response.
    ResponseGet,
    /// Removes a stored response.
    ResponseDelete,
    /// Stops a response that is made in the background.
    ResponseCancel,
    /// What a stored response was made from.
    ResponseInputItems,
    /// The list of models.
    Models,
    /// One model.
    Model,
    /// Deployments without their credentials.
    ModelInfo,
    /// Model groups with what their deployments have in common.
    ModelGroupInfo,
    /// An estimate of tokens, made here.
    TokenCounter,
    /// Which guardrails there are.
    Guardrails,
    /// What a guardrail makes of a text.
    ApplyGuardrail,
    /// Whether the process lives.
    HealthLiveness,
    /// Whether the process takes calls.
    HealthReadiness,
    /// Readiness with its parts.
    HealthReadinessDetails,
    /// State of every deployment, without calling any.
    Health,
    /// Callbacks and checks with their states.
    ActiveCallbacks,
    /// Reading the configuration again.
    ReloadConfig,
    /// Metrics in the Prometheus text format.
    Metrics,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// What it does.
    pub id: RouteId,
    /// Its method.
    pub method: Method,
    /// Its paths. `{model}` (or `{id}`) matches one non-empty segment, `{model...}` the
    /// non-empty rest of the path; both are given as they came, still encoded.
    pub paths: &'static [&'static str],
    /// What a caller needs.
    pub permission: Permission,
    /// Whether a call of it is accounted: intent, sealed record, limits, checks.
    pub governed: bool,
    /// One line for the printed list.
    pub summary: &'static str,
}

/// Paths of a stored response.
const RESPONSE: &[&str] = &[
    "/v1/responses/{id}",
    "/responses/{id}",
    "/openai/v1/responses/{id}",
    "/openai/responses/{id}",
];

/// Every route there is.
pub const ROUTES: &[Route] = &[
    Route {
        id: RouteId::ChatCompletions,
        method: Method::Post,
        paths: &[
            "/v1/chat/completions",
            "/chat/completions",
            "/engines/{model}/chat/completions",
            "/openai/deployments/{model}/chat/completions",
            "/openai/v1/chat/completions",
            "/openai/chat/completions",
        ],
        permission: Permission::Inference,
        governed: true,
        summary: "chat completion, plain or streamed",
    },
    Route {
        id: RouteId::Embeddings,
        method: Method::Post,
        paths: &[
            "/v1/embeddings",
            "/embeddings",
            "/engines/{model}/embeddings",
            "/openai/deployments/{model}/embeddings",
            "/openai/v1/embeddings",
            "/openai/embeddings",
        ],
        permission: Permission::Inference,
        governed: true,
        summary: "embeddings of texts",
    },
    Route {
        id: RouteId::Messages,
        method: Method::Post,
        paths: &["/v1/messages", "/messages", "/anthropic/v1/messages"],
        permission: Permission::Inference,
        governed: true,
        summary: "message in Anthropic's format, plain or streamed",
    },
    Route {
        id: RouteId::CountTokens,
        method: Method::Post,
        paths: &[
            "/v1/messages/count_tokens",
            "/messages/count_tokens",
            "/anthropic/v1/messages/count_tokens",
        ],
        permission: Permission::Inference,
        governed: true,
        summary: "how many tokens a message would have",
    },
    Route {
        id: RouteId::Responses,
        method: Method::Post,
        paths: &[
            "/v1/responses",
            "/responses",
            "/openai/v1/responses",
            "/openai/responses",
            "/openai/deployments/{model}/responses",
        ],
        permission: Permission::Inference,
        governed: true,
        summary: "response, plain or streamed",
    },
    Route {
        id: RouteId::Completions,
        method: Method::Post,
        paths: &[
            "/v1/completions",
            "/completions",
            "/engines/{model}/completions",
            "/openai/deployments/{model}/completions",
            "/openai/v1/completions",
            "/openai/completions",
        ],
        permission: Permission::Inference,
        governed: true,
        summary: "text completion, plain or streamed",
    },
    Route {
        id: RouteId::Moderations,
        method: Method::Post,
        paths: &[
            "/v1/moderations",
            "/moderations",
            "/openai/v1/moderations",
            "/openai/moderations",
        ],
        permission: Permission::Inference,
        governed: true,
        summary: "judgement about texts",
    },
    Route {
        id: RouteId::ResponseGet,
        method: Method::Get,
        paths: RESPONSE,
        permission: Permission::Inference,
        governed: true,
        summary: "stored response",
    },
    Route {
        id: RouteId::ResponseDelete,
        method: Method::Delete,
        paths: RESPONSE,
        permission: Permission::Inference,
        governed: true,
        summary: "removes a stored response",
    },
    Route {
        id: RouteId::ResponseCancel,
        method: Method::Post,
        paths: &[
            "/v1/responses/{id}/cancel",
            "/responses/{id}/cancel",
            "/openai/v1/responses/{id}/cancel",
            "/openai/responses/{id}/cancel",
        ],
        permission: Permission::Inference,
        governed: true,
        summary: "stops a response that is made in the background",
    },
    Route {
        id: RouteId::ResponseInputItems,
        method: Method::Get,
        paths: &[
            "/v1/responses/{id}/input_items",
            "/responses/{id}/input_items",
            "/openai/v1/responses/{id}/input_items",
            "/openai/responses/{id}/input_items",
        ],
        permission: Permission::Inference,
        governed: true,
        summary: "what a stored response was made from",
    },
    Route {
        id: RouteId::Models,
        method: Method::Get,
        paths: &[
            "/v1/models",
            "/models",
            "/openai/v1/models",
            "/openai/models",
            "/anthropic/v1/models",
        ],
        permission: Permission::ListModels,
        governed: false,
        summary: "the models the caller may use",
    },
    Route {
        id: RouteId::Model,
        method: Method::Get,
        paths: &[
            "/v1/models/{model...}",
            "/models/{model...}",
            "/openai/v1/models/{model...}",
            "/anthropic/v1/models/{model...}",
        ],
        permission: Permission::ListModels,
        governed: false,
        summary: "one model",
    },
    Route {
        id: RouteId::ModelInfo,
        method: Method::Get,
        paths: &["/v1/model/info", "/model/info"],
        permission: Permission::ListModels,
        governed: false,
        summary: "deployments without their credentials",
    },
    Route {
        id: RouteId::ModelGroupInfo,
        method: Method::Get,
        paths: &["/v1/model_group/info", "/model_group/info"],
        permission: Permission::ListModels,
        governed: false,
        summary: "model groups with what their deployments have in common",
    },
    Route {
        id: RouteId::TokenCounter,
        method: Method::Post,
        paths: &["/v1/utils/token_counter", "/utils/token_counter"],
        permission: Permission::ListModels,
        governed: false,
        summary: "estimate of tokens, made here: nothing is sent anywhere",
    },
    Route {
        id: RouteId::Guardrails,
        method: Method::Get,
        paths: &["/guardrails/list", "/v2/guardrails/list"],
        permission: Permission::ListModels,
        governed: false,
        summary: "which guardrails there are, without their parameters",
    },
    Route {
        id: RouteId::ApplyGuardrail,
        method: Method::Post,
        paths: &["/guardrails/apply_guardrail", "/apply_guardrail"],
        permission: Permission::ListModels,
        governed: false,
        summary: "what a local guardrail makes of a text: nothing is sent anywhere",
    },
    Route {
        id: RouteId::HealthLiveness,
        method: Method::Get,
        paths: &["/health/liveliness", "/health/liveness"],
        permission: Permission::Public,
        governed: false,
        summary: "whether the process lives",
    },
    Route {
        id: RouteId::HealthReadiness,
        method: Method::Get,
        paths: &["/health/readiness"],
        permission: Permission::Public,
        governed: false,
        summary: "whether the process takes calls",
    },
    Route {
        id: RouteId::HealthReadinessDetails,
        method: Method::Get,
        paths: &["/health/readiness/details"],
        permission: Permission::Operate,
        governed: false,
        summary: "readiness with its parts",
    },
    Route {
        id: RouteId::Health,
        method: Method::Get,
        paths: &["/health"],
        permission: Permission::Operate,
        governed: false,
        summary: "state of every deployment, without calling any",
    },
    Route {
        id: RouteId::ActiveCallbacks,
        method: Method::Get,
        paths: &["/active/callbacks"],
        permission: Permission::Operate,
        governed: false,
        summary: "callbacks and checks with their states",
    },
    Route {
        id: RouteId::ReloadConfig,
        method: Method::Post,
        paths: &["/config/reload"],
        permission: Permission::Configure,
        governed: false,
        summary: "the configuration is read again; the change is sealed as a record",
    },
    Route {
        id: RouteId::Metrics,
        method: Method::Get,
        paths: &["/metrics", "/metrics/"],
        permission: Permission::ReadMetrics,
        governed: false,
        summary: "metrics in the Prometheus text format",
    },
];

/// What a method and a path lead to.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'p> {
    /// A route, with the model named in the path (still percent-encoded).
    Found {
        /// The route.
        route: &'static Route,
        /// The part of the path that matched `{model}` or `{model...}`.
        model: Option<&'p str>,
    },
    /// The path exists with another method.
    OtherMethod {
        /// The methods that the path has, as the value of an `allow` header.
        allow: &'static str,
    },
    /// No such path.
    Unknown,
}

impl Route {
    /// The route of a method token and a path (without query).
    ///
    /// The path is compared as it came: no decoding, no dot segments, no double
    /// slashes, so that one path has one spelling.
    #[must_use]
    pub fn lookup<'p>(method: &str, path: &'p str) -> Lookup<'p> {
        let method = Method::from_token(method);
        let (mut get, mut post, mut delete) = (false, false, false);
        for route in ROUTES {
            let found = route
                .paths
                .iter()
                .find_map(|pattern| matches(pattern, path));
            let Some(model) = found else {
                continue;
            };
            if method == Some(route.method) {
                return Lookup::Found { route, model };
            }
            match route.method {
                Method::Get => get = true,
                Method::Post => post = true,
                Method::Delete => delete = true,
                // Only routes of the management API, which have a table of their own.
                Method::Patch => {}
            }
        }
        let allow = match (get, post, delete) {
            (false, false, false) => return Lookup::Unknown,
            (true, false, false) => "GET",
            (false, true, false) => "POST",
            (false, false, true) => "DELETE",
            (true, true, false) => "GET, POST",
            (true, false, true) => "GET, DELETE",
            (false, true, true) => "POST, DELETE",
            (true, true, true) => "GET, POST, DELETE",
        };
        Lookup::OtherMethod { allow }
    }

    /// The routes whose calls are not accounted, in the order of the table.
    pub fn ungoverned() -> impl Iterator<Item = &'static Route> {
        ROUTES.iter().filter(|route| !route.governed)
    }
}

/// `Some(None)` for a match without a variable, `Some(Some(text))` with one.
pub(crate) fn matches<'p>(pattern: &str, path: &'p str) -> Option<Option<&'p str>> {
    let Some((head, rest)) = pattern.split_once('{') else {
        return (pattern == path).then_some(None);
    };
    let (variable, tail) = rest.split_once('}')?;
    let middle = path.strip_prefix(head)?.strip_suffix(tail)?;
    let one_segment = !variable.ends_with("...");
    if middle.is_empty() || (one_segment && middle.contains('/')) {
        return None;
    }
    Some(Some(middle))
}

#[cfg(test)]
mod tests {
    use super::{Lookup, ROUTES, Route, RouteId};
    use crate::auth::Permission;

    fn found(method: &str, path: &str) -> Option<(RouteId, Option<String>)> {
        match Route::lookup(method, path) {
            Lookup::Found { route, model } => Some((route.id, model.map(str::to_owned))),
            _ => None,
        }
    }

    #[test]
    fn every_path_leads_to_its_own_route() {
        for route in ROUTES {
            for pattern in route.paths {
                let path = pattern
                    .replace("{model...}", "a/b")
                    .replace("{model}", "a")
                    .replace("{id}", "a");
                let (id, _) = found(route.method.as_str(), &path).unwrap();
                assert_eq!(id, route.id, "{path}");
            }
        }
    }

    #[test]
    fn inference_is_governed_and_nothing_governed_is_public() {
        for route in ROUTES {
            assert_eq!(route.governed, route.permission == Permission::Inference);
            assert!(route.governed || route.permission != Permission::Inference);
        }
        let ungoverned: Vec<RouteId> = Route::ungoverned().map(|route| route.id).collect();
        assert_eq!(
            ungoverned,
            [
                RouteId::Models,
                RouteId::Model,
                RouteId::ModelInfo,
                RouteId::ModelGroupInfo,
                RouteId::TokenCounter,
                RouteId::Guardrails,
                RouteId::ApplyGuardrail,
                RouteId::HealthLiveness,
                RouteId::HealthReadiness,
                RouteId::HealthReadinessDetails,
                RouteId::Health,
                RouteId::ActiveCallbacks,
                RouteId::ReloadConfig,
                RouteId::Metrics,
            ]
        );
    }

    #[test]
    fn the_model_of_a_path_comes_as_written() {
        assert_eq!(
            found("POST", "/openai/deployments/gpt%2D4/chat/completions"),
            Some((RouteId::ChatCompletions, Some("gpt%2D4".to_owned())))
        );
        assert_eq!(
            found("GET", "/v1/models/openai/gpt-4o"),
            Some((RouteId::Model, Some("openai/gpt-4o".to_owned())))
        );
    }

    #[test]
    fn near_misses_are_unknown() {
        for path in [
            "/v1/chat/completions/",
            "//v1/chat/completions",
            "/v1/../v1/chat/completions",
            "/V1/chat/completions",
            "/v1/chat/completions?x=1",
            "/engines//chat/completions",
            "/engines/a/b/chat/completions",
            "/v1/models/",
            "/v1/chat%2Fcompletions",
            "",
            "/",
        ] {
            assert!(
                matches!(Route::lookup("POST", path), Lookup::Unknown),
                "{path}"
            );
        }
    }

    #[test]
    fn another_method_names_the_right_one() {
        for method in ["GET", "post", "HEAD", "OPTIONS", "PRI"] {
            assert!(matches!(
                Route::lookup(method, "/v1/embeddings"),
                Lookup::OtherMethod { allow: "POST" }
            ));
        }
        assert!(matches!(
            Route::lookup("POST", "/v1/responses/resp_1"),
            Lookup::OtherMethod {
                allow: "GET, DELETE"
            }
        ));
    }
}
