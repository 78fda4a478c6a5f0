//! Tests of credentials and callers.

use super::{AuthError, Authenticator, Credential, Permission};
use crate::master_key::MasterKey;

const KEY: &str = "sk-Zq8vN3xR7tLw2KpY9sMd4HbF6jGc1VaE";

fn find(own: Option<&str>, headers: &[(&str, &str)]) -> Result<String, AuthError> {
    Credential::find(own, |name| {
        headers
            .iter()
            .filter(|(header, _)| *header == name)
            .map(|(_, value)| value.as_bytes())
            .collect::<Vec<_>>()
    })
    .map(|credential| credential.0.to_owned())
}

#[test]
fn each_header_carries_a_key() {
    for (header, value) in [
        ("authorization", format!("Bearer {KEY}")),
        ("authorization", format!("bearer  {KEY} ")),
        ("x-litellm-api-key", format!("Bearer {KEY}")),
        ("x-litellm-api-key", KEY.to_owned()),
        ("api-key", KEY.to_owned()),
        ("x-api-key", KEY.to_owned()),
        ("x-goog-api-key", KEY.to_owned()),
        ("ocp-apim-subscription-key", KEY.to_owned()),
        ("x-team-key", KEY.to_owned()),
    ] {
        let found = find(Some("x-team-key"), &[(header, &value)]);
        assert_eq!(found.as_deref(), Ok(KEY), "{header}");
    }
    assert_eq!(find(None, &[("x-team-key", KEY)]), Err(AuthError::Missing));
}

#[test]
fn auth_01_no_key_and_placeholders_are_missing() {
    assert_eq!(find(None, &[]), Err(AuthError::Missing));
    for value in [
        "Bearer",
        "Bearer ",
        "Bearer null",
        "Bearer undefined",
        "Bearer None",
    ] {
        let found = find(None, &[("authorization", value)]);
        assert_eq!(found, Err(AuthError::Missing), "{value}");
    }
    assert_eq!(find(None, &[("x-api-key", "")]), Err(AuthError::Missing));
}

#[test]
fn auth_01_what_is_no_bearer_key_is_malformed() {
    for value in [
        KEY,
        "Basic c2s6eA==",
        "Bearersk-abc",
        "Bearer a b",
        "Bearer sk-\u{7f}",
        "Bearer sk-é",
        "",
    ] {
        let found = find(None, &[("authorization", value)]);
        assert_eq!(found, Err(AuthError::Malformed), "{value}");
    }
    let bearer = format!("Bearer {KEY}");
    let twice = [
        ("authorization", bearer.as_str()),
        ("authorization", &bearer),
    ];
    assert_eq!(find(None, &twice), Err(AuthError::Malformed));
    assert_eq!(
        Credential::find(None, |name| (name == "x-api-key")
            .then_some(&b"\xff\xfe"[..]))
        .err(),
        Some(AuthError::Malformed)
    );
}

#[test]
fn auth_05_two_different_keys_conflict_and_equal_ones_agree() {
    let bearer = format!("Bearer {KEY}");
    let same = [("authorization", bearer.as_str()), ("x-api-key", KEY)];
    assert_eq!(find(None, &same).as_deref(), Ok(KEY));
    let other = [
        ("authorization", bearer.as_str()),
        ("x-api-key", "sk-other"),
    ];
    assert_eq!(find(None, &other), Err(AuthError::Conflicting));
    let bare = [("api-key", KEY), ("x-goog-api-key", "sk-other")];
    assert_eq!(find(None, &bare), Err(AuthError::Conflicting));
}

#[test]
fn our_own_header_wins() {
    let headers = [
        ("authorization", "Bearer somebody-elses-token"),
        ("x-litellm-api-key", KEY),
    ];
    assert_eq!(find(None, &headers).as_deref(), Ok(KEY));
    let empty = [("authorization", "Bearer token"), ("x-litellm-api-key", "")];
    assert_eq!(find(None, &empty), Err(AuthError::Missing));
    let configured = [("x-team-key", KEY), ("x-litellm-api-key", "sk-other")];
    assert_eq!(find(Some("x-team-key"), &configured).as_deref(), Ok(KEY));
}

#[test]
fn only_the_master_key_is_a_caller() {
    let authenticator = Authenticator::new(MasterKey::parse(KEY).unwrap());
    let caller = authenticator.authenticate(Credential(KEY)).unwrap();
    assert!(caller.is_master());
    assert_eq!(caller.tenant(), "");
    assert_eq!(caller.key_id().as_str(), "master");
    for permission in [
        Permission::Public,
        Permission::Inference,
        Permission::ListModels,
        Permission::ReadMetrics,
        Permission::Operate,
    ] {
        assert!(caller.may(permission));
    }
    let wrong = [
        ("sk-wrong", AuthError::Unknown),
        (&KEY[..KEY.len() - 1], AuthError::Unknown),
        ("' OR 1=1--", AuthError::NotVirtualKey),
        ("wrong", AuthError::NotVirtualKey),
    ];
    for (key, error) in wrong {
        assert_eq!(
            authenticator.authenticate(Credential(key)).err(),
            Some(error)
        );
    }
}

#[test]
fn info_05_no_error_text_holds_a_digest_or_a_key() {
    for error in [
        AuthError::Missing,
        AuthError::Malformed,
        AuthError::Conflicting,
        AuthError::NotVirtualKey,
        AuthError::Unknown,
    ] {
        let text = error.to_string();
        assert!(text.starts_with("Authentication Error, "), "{text}");
        assert!(!text.contains("Hash"), "{text}");
    }
}
