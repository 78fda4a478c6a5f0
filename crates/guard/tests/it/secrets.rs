//! Secrets: what is found, and what only looks like one. All values here are invented.

use guard::{Check as _, PatternCheck, SecretSettings};

fn found(text: &str) -> Vec<(String, String)> {
    let check = PatternCheck::secrets("secrets", SecretSettings::default());
    let findings = check.scan(text).findings;
    let kind = |rule| check.rule(rule).expect("a rule").kind.to_owned();
    let part = |start, end| text.get(start..end).expect("borders").to_owned();
    findings
        .iter()
        .map(|f| (kind(f.rule), part(f.start, f.end)))
        .collect()
}

#[test]
fn tokens_of_known_form_are_found_in_chat_and_in_code() {
    let hex = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    let tokens = [
        "AKIAQ4T7MZ2RBLXW6NPD".to_owned(),
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a".to_owned(),
        "glpat-Xy7Kq2mW9sLt4vBn1cRd".to_owned(),
        "xoxb-123412341234-567856785678-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8".to_owned(),
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc".to_owned(),
        "sk-proj-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0Uv".to_owned(),
        "sk-ant-api03-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0UvAA".to_owned(),
        "AIzaSyA1b2C3d4E5f6G7h8I9j0KlMnOpQrStUvW".to_owned(),
        "hf_QkTzWmBvXrLpNdGsYhCjFaKeRuMoPiVtZw".to_owned(),
        "npm_Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0UvWx12".to_owned(),
        "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".to_owned(),
        format!("dop_v1_{hex}{hex}"),
        format!("shpat_{hex}"),
        "123456789:AAE1b2C3d4E5f6G7h8I9j0KlMnOpQrStUvW".to_owned(),
    ];
    for token in &tokens {
        let texts = [
            format!("Please check {token}."),
            format!("export KEY=\"{token}\""),
            format!("{{\"k\":\"{token}\"}}"),
            format!("is it ({token})?"),
            format!("curl -H 'x-api-key:{token}'"),
        ];
        for text in texts {
            assert_eq!(
                found(&text),
                [("API_KEY".to_owned(), token.clone())],
                "{text}"
            );
        }
    }
}

#[test]
fn jwts_private_keys_connection_strings_and_random_keys_are_found() {
    let jwt =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiJ9.dGhpcy1pcy1ub3QtYS1yZWFsLW9uZQ";
    let pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIGx1Y2lmZXJpc25vdGFyZWFsa2V5YnV0aXRsb29rc2xpa2VvbmU\noAoGCCqGSM49\n-----END EC PRIVATE KEY-----";
    let url = "postgresql://app:t0p-Zk3vQ9@db.example.net:5432/main";
    let random = "q7Zk3vX9wB2mN5tR8yL1cD4f";
    let table = [
        (format!("Bearer {jwt}"), "JWT", jwt),
        (format!("use\n{pem}\nnow"), "PRIVATE_KEY", pem),
        (format!("dsn={url}"), "CONNECTION_STRING", url),
        (format!("my api key is {random}"), "API_KEY", random),
        (format!("client_secret: {random}"), "API_KEY", random),
    ];
    for (text, kind, matched) in table {
        assert_eq!(
            found(&text),
            [(kind.to_owned(), matched.to_owned())],
            "{text}"
        );
    }
}

#[test]
fn placeholders_digests_and_identifiers_are_no_secrets() {
    let table = [
        "AKIA................ and sk-XXXXXXXXXXXXXXXXXXXXXXXX",
        "<YOUR_API_KEY>, your-api-key-here, sk-your-key-goes-here-please",
        "AKIAIOSFODNN7EXAMPLE",
        "commit 753f1f97756a29a527e6358edeab750f3feb3925",
        "request id a46db9d0-0946-4137-81f9-1bca955d812e",
        "image id QjCfN3oNiUR8Bkb5UBr8==",
        "postgres://user:password@localhost/db and https://ex.org:8080/a@b",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "eyJub3QiOiJhIGp3dCJ9.eyJzdWIiOiI0MiJ9.c2ln",
        "the secret of a well-organised-development-environment",
        "sk-learn, task-oriented, ask-me-anything-about-anything",
    ];
    for text in table {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn an_allowed_secret_is_not_reported() {
    let mut settings = SecretSettings::default();
    let token = "glpat-Xy7Kq2mW9sLt4vBn1cRd";
    settings.allow.insert(token.to_owned());
    assert!(PatternCheck::secrets("s", settings).scan(token).passed());
}
