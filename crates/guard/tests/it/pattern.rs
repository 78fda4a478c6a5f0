//! Personal data and secrets in pieces, and hostile texts.

use guard::{Action, Check as _, Form, PatternCheck, PiiSettings, SecretSettings, fuzz};
use proptest::prelude::*;

fn checks() -> Vec<PatternCheck> {
    let blocking = SecretSettings {
        action: Action::Block,
        ..SecretSettings::default()
    };
    vec![
        PatternCheck::pii("pii", PiiSettings::default()),
        PatternCheck::secrets("secrets", SecretSettings::default()),
        PatternCheck::secrets("blocking", blocking),
    ]
}

/// Pieces of text of which hostile and ordinary ones are made.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("ana.perez+shop@mail.example.org".to_owned()),
        Just("4111 1111 1111 1111".to_owned()),
        Just("４１１１ １１１１ １１１１ １１１１".to_owned()),
        Just("41\u{200B}11-1111-1111-1111".to_owned()),
        Just("call me on +44 7911 123456".to_owned()),
        Just("ghp_16C7e42F292c6912E7710c838347Ae178B4a".to_owned()),
        Just("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n-----END PRIVATE KEY-----".to_owned()),
        Just("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlc2lnbmF0dXJl".to_owned()),
        Just("postgres://app:Zk3vQ9x@db.internal/main".to_owned()),
        Just("GB82 WEST 1234 5698 7654 32".to_owned()),
        Just("\\u0034111 1111 1111 1111".to_owned()),
        Just("ref=KA 05 MZ 1234".to_owned()),
        Just("@".repeat(40)),
        Just("7".repeat(2100)),
        "[0-9 .@:/-]{0,40}",
        "[A-Z0-9 ]{0,20}",
        "\\PC{0,12}",
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just(" and then ".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn grd_11_a_stream_finds_what_the_whole_text_gives(
        parts in proptest::collection::vec(part(), 0..12),
        cuts in proptest::collection::vec(0_usize..3000, 0..12),
        json in any::<bool>(),
    ) {
        let text = parts.concat();
        let form = if json { Form::JsonText } else { Form::Plain };
        for check in checks() {
            prop_assert_eq!(fuzz::pattern(&check, form, &text, &cuts), Ok(()));
        }
    }
}

#[test]
fn grd_11_every_single_cut_of_a_dense_text_gives_the_same() {
    let text = "Mail ana@example.org, card 4111-1111-1111-1111, ref=KA 05 MZ 1234 é \
                ghp_16C7e42F292c6912E7710c838347Ae178B4a, ٤١١١ ١١١١ ١١١١ ١١١١, +91 98765 43210.";
    for check in checks() {
        for cut in 0..text.len() {
            let outcome = fuzz::pattern(&check, Form::Plain, text, &[cut]);
            assert_eq!(outcome, Ok(()), "cut at {cut}");
        }
        let all: Vec<usize> = (0..text.len()).collect();
        assert_eq!(fuzz::pattern(&check, Form::Plain, text, &all), Ok(()));
    }
}

#[test]
fn long_secrets_are_covered_to_their_end() {
    let check = PatternCheck::secrets("secrets", SecretSettings::default());
    let token = format!(
        "eyJhbGciOiJIUzI1NiJ9.{}.c2ln",
        "eyJzdWIiOiIxIn0x".repeat(500)
    );
    let masked = check.scan(&format!("token {token} end")).masked;
    let masked = masked.expect("masked");
    assert!(!masked.contains("eyJzdWIi"), "{} bytes left", masked.len());
    assert!(masked.ends_with(" end"));
}

/// Work that grows faster than the text would take minutes here.
#[test]
fn long_hostile_texts_are_read_in_linear_time() {
    let seeds = [
        "7",
        "@",
        "a@",
        "1 ",
        "1-",
        "1.",
        ":",
        "::",
        "%41",
        "eyJ",
        "eyJ.",
        "://",
        "+1",
        "(",
        "x@y.",
        "KA ",
        "\u{200B}",
        "٤",
        "-----BEGIN",
        "AKIA",
        "sk-",
        "A1",
        "=",
        "&#x41;",
        "\\u0041",
    ];
    for seed in seeds {
        let text = seed.repeat(300_000 / seed.len());
        for check in checks() {
            let began = std::time::Instant::now();
            let _ = check.scan(&text);
            let took = began.elapsed();
            // Debug builds on busy machines; quadratic work takes hours.
            assert!(took.as_secs() < 60, "{seed}: {took:?}");
        }
    }
}
