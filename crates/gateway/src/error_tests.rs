//! The table of public errors is a checked-in artefact: a change of a status, a code or a text shows in `error_table.txt`.

use super::*;
use crate::manage::ManageError;

fn exceeded(dimension: policy::budget::Dimension) -> Error {
    use policy::budget::{Exceeded, Object, ObjectKind};
    Error::Exceeded {
        exceeded: Box::new(Exceeded {
            object: Object::new(ObjectKind::Key, "id"),
            shown: "app (sk-...abcd)".to_owned(),
            dimension,
            limit: 1_000_000,
            current: 900_000,
            reserved: 50_000,
            needed: 60_000,
            resets_at: Some(60_000_000),
            now: 18_000_000,
        }),
        budget_status: 422,
    }
}

/// One of each variant, with harmless values.
fn one_of_each() -> Vec<Error> {
    vec![
        Error::Auth(policy::AuthError::Missing),
        Error::Auth(policy::AuthError::Malformed),
        Error::Auth(policy::AuthError::Conflicting),
        Error::Auth(policy::AuthError::NotVirtualKey),
        Error::Auth(policy::AuthError::Unknown),
        Error::Auth(policy::AuthError::Expired),
        Error::Auth(policy::AuthError::Blocked),
        Error::Auth(policy::AuthError::TeamBlocked),
        Error::Auth(policy::AuthError::AddressNotAllowed),
        Error::RoleDenied { role: "auditor" },
        Error::RuleRefused {
            rule: "eu-only".to_owned(),
        },
        Error::EndUserBlocked,
        Error::Access(policy::identity::AccessError::Model {
            object: "team",
            model: "gpt-4o".to_owned(),
        }),
        Error::Access(policy::identity::AccessError::Route {
            allowed: vec!["/chat/completions".to_owned()],
            route: "/embeddings".to_owned(),
        }),
        exceeded(policy::budget::Dimension::Budget),
        exceeded(policy::budget::Dimension::Requests),
        exceeded(policy::budget::Dimension::Parallel),
        Error::PriceUnknown {
            model: "own".to_owned(),
        },
        Error::Manage(ManageError::AdminOnly {
            role: "internal_user",
            route: "/team/new",
        }),
        Error::Manage(ManageError::ReadOnly {
            role: "proxy_admin_viewer",
            route: "/team/new",
        }),
        Error::Manage(ManageError::Forbidden("more than you may".to_owned())),
        Error::Manage(ManageError::NotFound("Key not found.".to_owned())),
        Error::Manage(ManageError::Exists("exists".to_owned())),
        Error::Manage(ManageError::Invalid(
            "max_budget must be a number".to_owned(),
        )),
        Error::Manage(ManageError::unknown("spent", "unknown field")),
        Error::Manage(ManageError::NotRecorded("not recorded".to_owned())),
        Error::Manage(ManageError::NoDatabase),
        Error::Manage(ManageError::Store),
        Error::MasterKeyDenied,
        Error::BadFraming("more than one host header"),
        Error::NotFound,
        Error::MethodNotAllowed { allow: "POST" },
        Error::BodyTooLarge { limit: 1000 },
        Error::BodyTimeout { seconds: 30 },
        Error::BodyIncomplete,
        Error::InvalidJson("Invalid JSON payload: unexpected byte".to_owned()),
        Error::InvalidField {
            field: "n".to_owned(),
            message: "'n' must be 1 to 128.".to_owned(),
            status: 422,
            kind: "invalid_request_error",
        },
        Error::RefusedField {
            field: "api_base".to_owned(),
        },
        Error::UnknownModel {
            route: "/chat/completions",
            model: "x".to_owned(),
        },
        Error::NoSuchModel("x".to_owned()),
        Error::NoSuchResponse,
        Error::NoSuchPassThrough,
        Error::NotServed {
            provider: "groq".to_owned(),
            what: "moderation",
        },
        Error::UnknownGuardrail("x".to_owned()),
        Error::Blocked {
            check: "words".to_owned(),
            refusal: Box::new(crate::guardrails::Refusal {
                message: "Content blocked by guardrail 'words': a blocked word was found"
                    .to_owned(),
                fields: Vec::new(),
            }),
        },
        Error::NotInspectable {
            kind: "image".to_owned(),
        },
        Error::CheckNotAvailable {
            check: "presidio".to_owned(),
        },
        Error::CheckFailed {
            check: "judge".to_owned(),
            why: "timeout",
        },
        Error::ProviderNotAvailable {
            provider: "azure".to_owned(),
        },
        Error::NoDeployment {
            model: "x".to_owned(),
            seconds: 5,
        },
        Error::DeploymentLimit {
            model: "x".to_owned(),
            what: "requests per minute are used up",
            seconds: 5,
        },
        Error::ContextWindow {
            model: "x".to_owned(),
        },
        Error::NoDeploymentForTags {
            model: "x".to_owned(),
        },
        Error::TooManyParallel { limit: 100 },
        Error::TooManyFromAddress {
            what: "requests",
            seconds: 2,
        },
        Error::Overloaded,
        Error::LimitsUnavailable,
        Error::AuditUnavailable,
        Error::ConfigRejected("config.yaml:3: model_list: expected a list".to_owned()),
        Error::ReloadUnavailable,
        Error::ShuttingDown,
        upstream(400, Some("context_length_exceeded")),
        upstream(400, None),
        upstream(401, None),
        upstream(403, None),
        upstream(404, None),
        upstream(422, None),
        upstream(429, None),
        upstream(500, None),
        upstream(503, None),
        upstream(529, None),
        Error::UpstreamUnreachable("connecting failed".to_owned()),
        Error::UpstreamInvalid("it has not the shape of a chat completion".to_owned()),
        Error::UpstreamTimeout { seconds: 600 },
        Error::UpstreamCut,
        Error::Internal,
    ]
}

fn upstream(status: u16, code: Option<&str>) -> Error {
    Error::Upstream {
        status,
        provider: "OpenAI",
        message: "message".to_owned(),
        code: code.map(str::to_owned),
        param: None,
        retry_after: None,
    }
}

fn table() -> String {
    let mut out = String::from(
        "status | type | Anthropic's type | sealgate_code | param | blame | retry-after | message\n",
    );
    for error in one_of_each() {
        let public = error.public();
        out.push_str(&format!(
            "{} | {} | {} | {} | {} | {:?} | {} | {error}\n",
            public.status.as_u16(),
            public.kind,
            error.anthropic_type(),
            public.code,
            public.param.as_deref().unwrap_or("null"),
            public.blame,
            public
                .retry_after
                .map_or_else(|| "-".to_owned(), |seconds| seconds.to_string()),
        ));
    }
    out
}

#[test]
fn the_table_of_errors_is_the_checked_in_one() {
    let expected = include_str!("error_table.txt");
    let actual = table();
    assert!(
        actual == expected,
        "the public errors differ from error_table.txt; if that is intended, its new text is:\n{actual}"
    );
}

#[test]
fn every_body_is_json_with_the_status_as_text() {
    for error in one_of_each() {
        let body: serde_json::Value =
            serde_json::from_slice(&error.body(Some("id"))).expect("JSON");
        match body.get("error") {
            Some(inner) => {
                assert_eq!(inner["code"], error.public().status.as_u16().to_string());
                assert_eq!(inner["call_id"], "id");
                assert_eq!(inner["sealgate_code"], error.public().code);
            }
            // A list of wrong fields, each with its place.
            None if body["detail"].is_array() => assert_eq!(body["detail"][0]["loc"][0], "body"),
            None => assert_eq!(body["detail"], error.to_string()),
        }
    }
}

#[test]
fn every_body_has_anthropics_envelope_for_its_clients() {
    for error in one_of_each() {
        let body = error.body_in(Family::Anthropic, Some("id"));
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["type"], "error");
        assert_eq!(body["error"]["type"], error.anthropic_type());
        assert_eq!(body["error"]["message"], error.to_string());
        assert_eq!(body["error"]["sealgate_code"], error.public().code);
        assert_eq!(body["request_id"], "id");
    }
}
