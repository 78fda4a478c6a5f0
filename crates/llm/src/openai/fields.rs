//! Which top-level members of a request body mean what. One table per question.

use crate::scan::{Kind, Node};

/// Names that carry destinations, credentials, prices or code. LiteLLM takes many of
/// them from a request body; here a body that has one is refused.
const REFUSED: &[&str] = &[
    "additional_headers",
    "api_base",
    "api_key",
    "api_type",
    "api_version",
    "auth",
    "azure_ad_token",
    "azure_ad_token_provider",
    "azure_endpoint",
    "azure_password",
    "azure_scope",
    "azure_username",
    "base_model",
    "base_url",
    "callbacks",
    "client",
    "client_id",
    "client_secret",
    "configurable_clientside_auth_params",
    "credential_list",
    "credentials",
    "custom_host",
    "custom_llm_provider",
    "custom_prompt_dict",
    "default_headers",
    "deployment_id",
    "endpoint",
    "extra_body",
    "extra_headers",
    "extra_query",
    "failure_callback",
    "final_prompt_value",
    "gcs_bucket_name",
    "gcs_path_service_account",
    "headers",
    "hf_model_name",
    "http_client",
    "initial_prompt_value",
    "input_callback",
    "input_cost_per_second",
    "input_cost_per_token",
    "langfuse_host",
    "langfuse_public_key",
    "langfuse_secret",
    "langfuse_secret_key",
    "langsmith_api_key",
    "langsmith_base_url",
    "litellm_credential_name",
    "litellm_logging_obj",
    "litellm_params",
    "logger_fn",
    "model_info",
    "model_list",
    "organization",
    "output_cost_per_second",
    "output_cost_per_token",
    "project",
    "proxy",
    "proxy_server_request",
    "region_name",
    "router_settings",
    "secret_fields",
    "service_callback",
    "ssl_verify",
    "standard_logging_object",
    "success_callback",
    "target",
    "tenant_id",
    "token",
    "use_in_pass_through",
    "user_config",
    "wandb_api_key",
    "web_search_api_key",
];

/// Families of refused names.
const REFUSED_PREFIXES: &[&str] = &[
    "aws_",
    "vertex_",
    "watsonx_",
    "azure_",
    "sagemaker_",
    "s3_",
    "oci_",
    "databricks_",
    "langfuse_",
    "langsmith_",
    "posthog_",
    "arize_",
    "braintrust_",
    "slack_",
];

/// Refused names that are ordinary words: harmless as keys of free metadata.
const REFUSED_AT_TOP_ONLY: &[&str] = &[
    "auth",
    "client",
    "client_id",
    "deployment_id",
    "endpoint",
    "headers",
    "model_info",
    "organization",
    "project",
    "proxy",
    "region_name",
    "target",
    "tenant_id",
    "token",
];

/// Members read by the gateway and never sent on.
const EXTRAS: &[&str] = &[
    "additional_drop_params",
    "allowed_openai_params",
    "cache",
    "caching",
    "content_policy_fallbacks",
    "context_window_fallbacks",
    "cooldown_time",
    "disable_fallbacks",
    "drop_params",
    "enable_json_schema_validation",
    "fallbacks",
    "guardrail_config",
    "guardrails",
    "max_retries",
    "metadata",
    "mock_delay",
    "mock_response",
    "mock_timeout",
    "mock_tool_calls",
    "no-log",
    "no_log",
    "num_retries",
    "policies",
    "priority",
    "request_timeout",
    "stream_timeout",
    "tags",
    "timeout",
    "ttl",
    "use_litellm_proxy",
];

/// Families of gateway members.
const EXTRA_PREFIXES: &[&str] = &["litellm_", "user_api_key"];

/// Members that the chat and embeddings APIs define and that hold no text of the sender.
/// Strings below them that are not plain identifiers are checked nevertheless.
const KNOWN: &[&str] = &[
    "audio",
    "dimensions",
    "encoding_format",
    "frequency_penalty",
    "function_call",
    "functions",
    "input",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "min_p",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "repetition_penalty",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

fn starts(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a body with this top-level member is refused: it would choose the
/// destination, the credentials, the price or code. The name is compared exactly,
/// after unescaping.
#[must_use]
pub fn refused_field(name: &str) -> bool {
    // "litellm_params" and the like are refused before the gateway family is looked at.
    REFUSED.contains(&name) || starts(name, REFUSED_PREFIXES)
}

/// Whether the name is refused at any depth of gateway members and unknown members
/// (but not in messages, tools and schemas, which are the sender's own text).
#[must_use]
pub fn refused_anywhere(name: &str) -> bool {
    refused_field(name) && !REFUSED_AT_TOP_ONLY.contains(&name)
}

/// Whether the member is for the gateway and is removed before the body is sent on.
#[must_use]
pub fn gateway_extra(name: &str) -> bool {
    EXTRAS.contains(&name) || starts(name, EXTRA_PREFIXES)
}

/// Whether the API defines this member (`strict_fields` refuses all others).
#[must_use]
pub fn known_field(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// The refused names and name prefixes (these end in `_`), for documentation and tests.
pub fn refused_names() -> impl Iterator<Item = &'static str> {
    REFUSED.iter().chain(REFUSED_PREFIXES).copied()
}

/// What a typed member may be. `null` is always allowed and means absent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    Integer(i64, i64),
    Number(f64, f64),
    Bool,
    BoolOrInteger,
    Text,
    Object,
    Array,
}

const TYPED: &[(&str, Rule)] = &[
    ("dimensions", Rule::Integer(1, 1 << 20)),
    ("encoding_format", Rule::Text),
    ("frequency_penalty", Rule::Number(-2.0, 2.0)),
    ("functions", Rule::Array),
    ("logit_bias", Rule::Object),
    ("logprobs", Rule::BoolOrInteger),
    ("max_completion_tokens", Rule::Integer(1, 100_000_000)),
    ("max_tokens", Rule::Integer(1, 100_000_000)),
    ("metadata", Rule::Object),
    ("litellm_metadata", Rule::Object),
    ("min_p", Rule::Number(0.0, 1.0)),
    ("modalities", Rule::Array),
    ("n", Rule::Integer(1, 128)),
    ("num_retries", Rule::Integer(0, 1000)),
    ("parallel_tool_calls", Rule::Bool),
    ("presence_penalty", Rule::Number(-2.0, 2.0)),
    ("response_format", Rule::Object),
    ("seed", Rule::Integer(i64::MIN, i64::MAX)),
    ("store", Rule::Bool),
    ("stream", Rule::Bool),
    ("stream_options", Rule::Object),
    ("temperature", Rule::Number(0.0, 100.0)),
    ("timeout", Rule::Number(0.0, 1e6)),
    ("tools", Rule::Array),
    ("top_k", Rule::Integer(-1, 1 << 31)),
    ("top_logprobs", Rule::Integer(0, 1000)),
    ("top_p", Rule::Number(0.0, 1.0)),
    ("user", Rule::Text),
];

/// What is wrong with the value of a typed member.
pub(crate) enum Mismatch {
    /// Another JSON type than wanted.
    Type(String),
    /// The right type, an impossible value.
    Range(String),
}

/// Checks one member against the table; members without a rule pass.
pub(crate) fn check(name: &str, value: Node<'_>) -> Result<(), Mismatch> {
    let found = TYPED.iter().find(|(typed, _)| *typed == name);
    let Some(&(_, rule)) = found.filter(|_| !value.is_null()) else {
        return Ok(());
    };
    let of_type = |kinds: &[Kind], wanted: &str| match kinds.contains(&value.kind()) {
        true => Ok(()),
        false => Err(Mismatch::Type(format!("'{name}' must be {wanted}."))),
    };
    match rule {
        Rule::Integer(low, high) => integer(name, value, low, high),
        Rule::Number(low, high) => {
            of_type(&[Kind::Number], "a number")?;
            let within = value.as_f64().is_some_and(|v| v >= low && v <= high);
            within.then_some(()).ok_or_else(|| {
                Mismatch::Range(format!("'{name}' must be between {low} and {high}."))
            })
        }
        Rule::Bool => of_type(&[Kind::True, Kind::False], "true or false"),
        Rule::BoolOrInteger if value.kind() == Kind::Number => integer(name, value, 0, 1000),
        Rule::BoolOrInteger => of_type(&[Kind::True, Kind::False], "true, false or an integer"),
        Rule::Text => of_type(&[Kind::String], "a string"),
        Rule::Object => of_type(&[Kind::Object], "an object"),
        Rule::Array => of_type(&[Kind::Array], "an array"),
    }
}

fn integer(name: &str, value: Node<'_>, low: i64, high: i64) -> Result<(), Mismatch> {
    if value.kind() != Kind::Number {
        return Err(Mismatch::Type(format!("'{name}' must be an integer.")));
    }
    let written = value.raw();
    let signed_zero = written == b"-0";
    match value.as_i64().filter(|_| !signed_zero) {
        Some(v) if (low..=high).contains(&v) => Ok(()),
        _ if written.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) => Err(Mismatch::Range(
            format!("'{name}' must be an integer, written without fraction or exponent."),
        )),
        _ => Err(Mismatch::Range(format!(
            "'{name}' must be an integer between {low} and {high}."
        ))),
    }
}
