//! Literal secrets in a file: found by their key, named by line and kind, never shown.

use super::problems::{Report, Severity};
use super::reader::join;
use super::yaml::{Node, Origin, Value};

/// What kind of secret a key of this name holds, if any.
pub(super) fn looks_secret(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let ends = |end: &str| key.ends_with(end);
    if key == "master_key" || ends("_master_key") {
        return Some("master key");
    }
    if key.contains("password") || ends("passwd") {
        return Some("password");
    }
    if key.contains("cost") || key.contains("max_tokens") || ends("_secret_name") || ends("_name") {
        return None;
    }
    if key == "token" || ends("_token") || key == "authorization" {
        return Some("token");
    }
    if key == "api_key" || ends("api_key") || ends("-api-key") || key == "api-key" {
        return Some("provider key");
    }
    if ends("secret") || key.contains("secret_") && !key.starts_with("secret_manager") {
        return Some("secret");
    }
    if ends("access_key")
        || ends("access_key_id")
        || ends("private_key")
        || ends("salt_key")
        || ends("operator_key")
    {
        return Some("key");
    }
    if ends("credentials") || ends("webhook_url") || ends("_dsn") {
        return Some("credential");
    }
    None
}

/// Values that stand where a secret could, and are none.
const PLACEHOLDERS: [&str; 7] = ["none", "empty", "dummy", "fake", "not-needed", "null", "-"];

/// Notes every literal secret below a node.
pub(super) fn note_literals(node: &Node, path: &str, report: &mut Report) {
    walk(node, path, "", report);
}

fn walk(node: &Node, path: &str, key: &str, report: &mut Report) {
    match &node.value {
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{index}]"), key, report);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                walk(&entry.value, &join(path, &entry.key), &entry.key, report);
            }
        }
        Value::Text(text) if node.origin == Origin::File => {
            let kind = looks_secret(key).or_else(|| password_in_url(text));
            let placeholder = PLACEHOLDERS.iter().any(|p| text.eq_ignore_ascii_case(p));
            if let Some(kind) = kind.filter(|_| !placeholder && !text.is_empty()) {
                let message = format!(
                    "a literal {kind} in the file; keep it in the environment and write os.environ/NAME"
                );
                report.note(Severity::Failing, &node.place, path, message);
            }
        }
        Value::Text(_) | Value::Null | Value::Bool(..) => {}
    }
}

/// `scheme://user:password@host`.
pub(super) fn password_in_url(text: &str) -> Option<&'static str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    (!password.is_empty()).then_some("password in a URL")
}

#[cfg(test)]
mod tests {
    use super::{looks_secret, password_in_url};

    #[test]
    fn secrets_are_known_by_their_keys() {
        for key in [
            "api_key",
            "OPENAI_API_KEY",
            "master_key",
            "LITELLM_MASTER_KEY",
            "redis_password",
            "aws_secret_access_key",
            "aws_session_token",
            "vault_token",
            "client_secret",
            "azure_ad_token",
            "vertex_credentials",
            "Authorization",
            "LITELLM_SALT_KEY",
            "SENTRY_DSN",
        ] {
            assert!(looks_secret(key).is_some(), "{key}");
        }
        for key in [
            "input_cost_per_token",
            "max_tokens",
            "model",
            "secret_manager",
            "primary_secret_name",
            "litellm_key_header_name",
            "api_base",
            "keyword",
            "require_auth_for_metrics_endpoint",
            "litellm_credential_name",
        ] {
            assert_eq!(looks_secret(key), None, "{key}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_found() {
        assert!(password_in_url("postgresql://user:pass@host:5432/db").is_some());
        assert!(password_in_url("redis://:pass@host").is_some());
        for text in [
            "postgresql://user@host/db",
            "https://host/a:b@c",
            "https://host?x=a:b@c",
            "user:pass@host",
        ] {
            assert_eq!(password_in_url(text), None, "{text}");
        }
    }
}
