//! Masking with a way back.

use std::sync::Arc;

use guard::{Check as _, Form, PatternCheck, PiiSettings, Vault, fuzz};
use proptest::prelude::*;

fn vault() -> Arc<Vault> {
    Vault::new(Box::new(|kind, value| {
        let bytes = kind.bytes().chain([0]).chain(value.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }))
}

fn masked(vault: &Arc<Vault>, text: &str) -> String {
    let check = PatternCheck::pii("pii", PiiSettings::default());
    let admitted = vault.admit(text).into_owned();
    let replacer = vault.replacer(Form::Plain);
    let verdict = check.scan_with(Form::Plain, &admitted, replacer.as_ref());
    verdict.masked.unwrap_or(admitted)
}

#[test]
fn the_same_value_has_the_same_name_and_comes_back() {
    let vault = vault();
    let text = "to bo@ex.org, cc bo@ex.org and al@ex.org";
    let sent = masked(&vault, text);
    assert!(!sent.contains('@'), "{sent}");
    assert_eq!(vault.len(), 2);
    assert_eq!(vault.restore(Form::Plain, &sent), text);
}

#[test]
fn only_names_of_this_request_come_back_and_lookalikes_are_harmless() {
    let (mine, other) = (vault(), vault());
    let name = masked(&other, "bo@ex.org");
    assert_eq!(mine.restore(Form::Plain, &name), name);
    let text = format!("{name} is not bo@ex.org");
    let sent = masked(&mine, &text);
    assert!(!sent.starts_with(&name), "{sent}");
    assert_eq!(mine.restore(Form::Plain, &sent), text);
}

#[test]
fn values_are_escaped_within_json() {
    let vault = vault();
    let replacer = vault.replacer(Form::JsonText);
    let name = replacer.replace("X", "a\\\"b\\u00e9");
    assert_eq!(vault.restore(Form::Plain, &name), "a\"bé");
    assert_eq!(vault.restore(Form::JsonText, &name), "a\\\"bé");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn mask_then_restore_is_the_identity_for_any_chunking(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("bo@ex.org ".to_owned()),
                Just(" 4111 1111 1111 1111".to_owned()),
                Just("<EMAIL_ADDRESS_0123456789abcdef>".to_owned()),
                Just("<EMAIL_ADDRESS_".to_owned()),
                Just("<<A_".to_owned()),
                "[<>A-F_0-9a-f]{0,40}",
                "\\PC{0,8}",
            ],
            0..12,
        ),
        cuts in proptest::collection::vec(0_usize..600, 0..12),
    ) {
        let vault = vault();
        let text = parts.concat();
        let sent = masked(&vault, &text);
        let mut restorer = vault.restorer(Form::Plain);
        let mut back = String::new();
        for piece in fuzz::cut(&sent, &cuts) {
            back.push_str(&restorer.push(piece));
            prop_assert!(restorer.held() <= 80);
        }
        back.push_str(&restorer.finish());
        prop_assert_eq!(back, text);
    }
}
