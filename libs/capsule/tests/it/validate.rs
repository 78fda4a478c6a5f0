//! The validator: categories, fields, order and words.

use capsule::Hash;
use capsule::json::Value;
use capsule::validate::{Category, validate};

fn verdict(document: &Value, claim: Option<&str>, strict: bool) -> (&'static str, String, String) {
    let report = validate(document, claim, strict);
    assert_eq!(report.ok, report.category.is_none());
    (
        report.category.map_or("ok", Category::as_str),
        report.field.unwrap_or_default(),
        report.message,
    )
}

fn of(path: &str, value: Option<&str>) -> (&'static str, String) {
    let mut document = crate::known_document(2);
    crate::set(&mut document, path, value.map(crate::read));
    let (category, field, _) = verdict(&document, None, false);
    (category, field)
}

#[test]
fn good_documents_pass() {
    for index in 0..3 {
        let ok = ("ok", String::new(), String::new());
        assert_eq!(verdict(&crate::known_document(index), None, true), ok);
        assert_eq!(verdict(&crate::known_chain()[index], None, false), ok);
    }
}

#[test]
fn missing_fields_are_named() {
    for key in [
        "id",
        "type",
        "domain",
        "parent_id",
        "sequence",
        "previous_hash",
        "spec_version",
        "trigger",
        "context",
        "reasoning",
        "authority",
        "execution",
        "outcome",
    ] {
        assert_eq!(of(key, None), ("missing_field", key.into()));
    }
    let document = crate::known_document(2);
    for section in [
        "trigger",
        "context",
        "reasoning",
        "authority",
        "execution",
        "outcome",
    ] {
        for key in document.get(section).unwrap().as_object().unwrap().keys() {
            let path = format!("{section}.{key}");
            assert_eq!(of(&path, None), ("missing_field", path.clone()));
        }
    }
    assert_eq!(
        verdict(&crate::read("{}"), None, false).2,
        "missing required field 'id'"
    );
    let mut document = crate::known_document(2);
    crate::set(&mut document, "trigger", Some(crate::read("{}")));
    let (_, field, message) = verdict(&document, None, false);
    assert_eq!(field, "trigger.type");
    assert_eq!(message, "missing required field trigger.'type'");
}

#[test]
fn types_and_values_are_checked_where_the_reference_checks_them() {
    for (path, value, category) in [
        ("id", "5", "wrong_type"),
        ("id", "\"x\"", "invalid_value"),
        ("id", "\"B2C3D4E5F6A78901BCDEF12345678901\"", "ok"),
        ("type", "null", "wrong_type"),
        ("type", "\"Agent\"", "invalid_value"),
        ("domain", "null", "wrong_type"),
        ("domain", "\"\"", "ok"),
        ("parent_id", "null", "ok"),
        ("parent_id", "\"\"", "invalid_value"),
        ("parent_id", "false", "wrong_type"),
        ("sequence", "\"0\"", "wrong_type"),
        ("sequence", "1.0", "wrong_type"),
        ("sequence", "-1", "invalid_value"),
        ("sequence", "true", "ok"),
        ("sequence", "99999999999999999999999", "ok"),
        ("previous_hash", "5", "wrong_type"),
        ("previous_hash", "\"abc\"", "invalid_value"),
        ("previous_hash", &format!("\"{}\"", "A".repeat(64)), "ok"),
        (
            "previous_hash",
            &format!("\"{}\"", "g".repeat(64)),
            "invalid_value",
        ),
        ("spec_version", "1", "wrong_type"),
        ("spec_version", "\"\"", "invalid_value"),
        ("spec_version", "\"9\"", "ok"),
        ("trigger", "[]", "wrong_type"),
        ("trigger.type", "null", "wrong_type"),
        ("trigger.type", "\"banana\"", "ok"),
        ("trigger.timestamp", "0", "wrong_type"),
        ("trigger.timestamp", "\"\"", "invalid_value"),
        ("trigger.timestamp", "\"2026-01-15\"", "invalid_value"),
        (
            "trigger.timestamp",
            "\"2026-01-15T12:00:00\"",
            "invalid_value",
        ),
        ("trigger.timestamp", "\"2026-01-15T12:00:00Z\"", "ok"),
        ("trigger.timestamp", "\"2026-W03-4T12Z\"", "ok"),
        ("trigger.request", "5", "ok"),
        ("context", "null", "wrong_type"),
        ("context.environment", "[]", "wrong_type"),
        ("context.agent_id", "null", "ok"),
        ("reasoning.confidence", "true", "wrong_type"),
        ("reasoning.confidence", "\"1\"", "wrong_type"),
        ("reasoning.confidence", "1", "ok"),
        ("reasoning.confidence", "-0.0", "ok"),
        ("reasoning.confidence", "2", "invalid_value"),
        ("reasoning.confidence", "1.0000001", "invalid_value"),
        ("reasoning.options", "5", "ok"),
        ("authority", "\"\"", "wrong_type"),
        ("authority.chain", "5", "ok"),
        ("execution.tool_calls", "{}", "wrong_type"),
        ("execution.duration_ms", "1.5", "wrong_type"),
        ("execution.duration_ms", "true", "ok"),
        ("execution.duration_ms", "-5", "ok"),
        ("execution.resources_used", "null", "wrong_type"),
        ("outcome", "5", "wrong_type"),
        ("outcome.metrics", "null", "ok"),
        ("outcome.unknown", "null", "ok"),
    ] {
        let field = if category == "ok" { "" } else { path };
        assert_eq!(
            of(path, Some(value)),
            (category, field.to_owned()),
            "{path} {value}"
        );
    }
    for root in ["[]", "5", "null", "\"x\""] {
        let words = "capsule root must be a JSON object";
        assert_eq!(
            verdict(&crate::read(root), None, true),
            ("wrong_type", "".into(), words.into())
        );
    }
}

#[test]
fn the_place_in_the_chain_must_make_sense() {
    let link = format!("\"{}\"", "a".repeat(64));
    for (sequence, previous, expected) in [
        ("0", "null", "ok"),
        ("0", &*link, "chain_violation"),
        ("false", &*link, "chain_violation"),
        ("1", "null", "chain_violation"),
        ("1", &*link, "ok"),
    ] {
        let mut document = crate::known_document(0);
        crate::set(&mut document, "sequence", Some(crate::read(sequence)));
        crate::set(&mut document, "previous_hash", Some(crate::read(previous)));
        let (category, field, _) = verdict(&document, None, false);
        assert_eq!(category, expected);
        assert_eq!(
            field,
            if expected == "ok" {
                ""
            } else {
                "previous_hash"
            }
        );
    }
}

#[test]
fn the_first_fault_in_order_is_named() {
    // From the last check to the first, each in front of all before it.
    let mut document = crate::known_document(2);
    let mut check = |path: &str, value: &str, strict: bool| {
        crate::set(&mut document, path, Some(crate::read(value)));
        let (_, field, _) = verdict(&document, Some("x"), strict);
        assert_eq!(field, path);
    };
    for (path, value) in [
        ("hash", "1"),
        ("outcome", "1"),
        ("execution.resources_used", "1"),
        ("execution.duration_ms", "null"),
        ("execution.tool_calls", "1"),
        ("execution", "1"),
        ("authority", "1"),
        ("reasoning.confidence", "9"),
        ("reasoning", "1"),
        ("context.environment", "1"),
        ("context", "1"),
        ("trigger.timestamp", "1"),
        ("trigger.type", "1"),
        ("trigger", "1"),
        ("previous_hash", "null"),
        ("spec_version", "1"),
        ("previous_hash", "1"),
        ("sequence", "-1"),
        ("parent_id", "1"),
        ("domain", "1"),
        ("type", "1"),
        ("id", "1"),
    ] {
        check(path, value, false);
    }
    check("a key", "1", true);
    check("Z key", "1", true);
    crate::set(&mut document, "outcome", None);
    assert_eq!(verdict(&document, None, false).1, "outcome");
    assert_eq!(verdict(&document, None, true).1, "Z key");
}

#[test]
fn claimed_hashes_are_compared() {
    let document = crate::known_document(0);
    let hash = Hash::of(&capsule::canonical::to_vec(&document)).hex();
    assert_eq!(verdict(&document, Some(&hash), false).0, "ok");
    assert_eq!(
        verdict(&document, Some(&hash.to_uppercase()), false).0,
        "ok"
    );
    let other = "0".repeat(64);
    let (category, field, message) = verdict(&document, Some(&other), false);
    assert_eq!((category, &*field), ("integrity_violation", "hash"));
    assert_eq!(message, "content hash does not match claimed_hash");
    for bad in ["", "x", &hash[1..]] {
        let (category, field, message) = verdict(&document, Some(bad), false);
        assert_eq!((category, &*field), ("invalid_value", "hash"));
        assert_eq!(message, "claimed_hash must be a 64-character hex string");
    }
}

#[test]
fn names_are_quoted_as_python_quotes_them() {
    for (key, quoted) in [
        ("plain", "'plain'"),
        ("it's", "\"it's\""),
        ("q\"'é\n\u{7f}😀", r#"'q"\'é\n\x7f😀'"#),
        ("\u{200b}\\", r"'\u200b\\'"),
        ("\u{e0001}", r"'\U000e0001'"),
    ] {
        let document = Value::from(capsule::json::Object::from([(key.to_owned(), 1)]));
        let message = verdict(&document, None, true).2;
        assert_eq!(message, format!("unknown top-level key: {quoted}"));
    }
}
