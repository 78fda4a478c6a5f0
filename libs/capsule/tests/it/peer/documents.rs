//! Whole records, both ways: seals, hostile documents, hostile seals, the validator.

use capsule::json::{Limits, Value, parse};
use capsule::validate::{Category, validate};
use capsule::verify::{Failure, Keys, Record, verify};
use capsule::{Hash, Signer};
use proptest::prelude::*;

use super::spelling::{Choices, spell};
use super::{Peer, samples};
use crate::properties;

fn keys() -> Keys {
    Keys::explicit(&crate::public_key())
}

fn text_of(value: &Value) -> Value {
    Value::from(String::from_utf8(capsule::canonical::to_vec(value)).unwrap())
}

#[test]
fn records_that_this_library_seals_verify_in_the_reference() {
    let Some(mut peer) = Peer::start("ours") else {
        return;
    };
    let key = crate::public_key().hex();
    let cases = (properties::record(), 0..1_000_000_u64);
    for (at, (capsule, sequence)) in samples(cases, 2000).enumerate() {
        let previous = (sequence > 0).then(|| Hash::of(&sequence.to_le_bytes()));
        let sealed = crate::seal(&capsule, sequence, previous.as_ref());
        let whole = parse(&sealed.record_json(), &Limits::default()).unwrap();
        let text = Value::from(spell(&whole, &mut Choices(at as u64)));
        let local = peer.ask("verify", [("text", text.clone())]);
        assert_eq!(local.text("code"), "ok", "{whole:?}");
        if at % 8 > 0 {
            continue;
        }
        let explicit = peer.ask(
            "verify",
            [("text", text.clone()), ("key", Value::from(&key))],
        );
        assert_eq!(explicit.text("code"), "ok");
        let stored = peer.ask("stored", [("text", text)]);
        assert_eq!(stored.text("record").as_bytes(), sealed.record_json());
        let document = Value::from(String::from_utf8(sealed.content().to_vec()).unwrap());
        let report = peer.ask(
            "validate",
            [("text", document), ("strict", Value::from(true))],
        );
        assert_eq!(report.get("ok"), &Value::Bool(true));
    }
}

#[test]
fn records_that_the_reference_seals_verify_here() {
    let Some(mut peer) = Peer::start("theirs") else {
        return;
    };
    let keys = keys();
    for (sequence, capsule) in samples(properties::record(), 2000).enumerate() {
        let previous = (sequence > 0).then(|| Hash::of(&sequence.to_le_bytes()));
        let ours = crate::seal(&capsule, sequence as u64, previous.as_ref());
        let document = Value::from(String::from_utf8(ours.content().to_vec()).unwrap());
        let theirs = peer.ask("seal", [("text", document)]);
        assert_eq!(theirs.text("canonical").as_bytes(), ours.content());
        let record = Record::from_json(theirs.text("record").as_bytes()).unwrap();
        assert_eq!(record.seal().hash, ours.hash().hex());
        assert_eq!(record.seal().signature, ours.signature_hex());
        assert_eq!(record.seal().signed_by, ours.signed_by());
        let _ = verify(&record, &keys).unwrap();
        assert_eq!(record.model().unwrap(), capsule);
    }
}

#[test]
fn the_deepest_and_longest_draft_verifies_in_the_reference() {
    let Some(mut peer) = Peer::start("deepest") else {
        return;
    };
    let mut capsule = crate::sample();
    let nested = (3..capsule::MAX_DRAFT_DEPTH).fold(Value::from(1), |inner, _| vec![inner].into());
    capsule.context.environment.insert("deep", nested);
    capsule.outcome.result = crate::read(&"9".repeat(capsule::MAX_INTEGER_DIGITS));
    capsule.domain = "é".repeat(capsule::MAX_DOMAIN_CHARS);
    let sealed = crate::seal(&capsule, 0, None);
    let text = Value::from(String::from_utf8(sealed.record_json()).unwrap());
    assert_eq!(peer.ask("verify", [("text", text)]).text("code"), "ok");
}

/// A path into the third record of the known chain, and a value that may or may not belong there.
fn mutation() -> impl Strategy<Value = (String, Option<Value>)> {
    let mut paths = Vec::new();
    collect_paths(&crate::known_document(2), String::new(), &mut paths);
    for unknown in [
        "x",
        "trigger.x",
        "reasoning.options.0.x",
        "execution.tool_calls.1.x",
        "outcome.x",
    ] {
        paths.push(unknown.to_owned());
    }
    let values = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "2",
        "0.0",
        "-0.0",
        "1.0",
        "0.5",
        "1.5",
        "\"\"",
        "\"x\"",
        "\"0.5\"",
        "\" 1e3 \"",
        "[]",
        "{}",
        "[1]",
        "[\"x\"]",
        "{\"x\":1}",
        "[[]]",
        "[{}]",
        "9007199254740993",
        "9007199254740992",
        "123456789012345678901234567890",
        "\"chat\"",
        "\"CHAT\"",
        "\"2026-01-15T12:00:00Z\"",
        "\"2026-01-15T12:00:00+01:00\"",
        "\"2026-01-15T12:00:00\"",
        "\"B2C3D4E5-F6A7-8901-BCDE-F12345678901\"",
        "\"b2c3d4e5f6a78901bcdef12345678901\"",
        "\"00000000-0000-0000-0000-000000000000\"",
        "\"Blue-green deployment\"",
        "[\"Blue-green deployment\",\"Rolling update\"]",
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
    ];
    let values = prop::sample::select(values.map(crate::read).to_vec());
    (
        prop::sample::select(paths),
        prop::option::weighted(0.85, values),
    )
}

fn collect_paths(value: &Value, path: String, paths: &mut Vec<String>) {
    let join = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    if let Value::Object(object) = value {
        for (key, member) in object
            .iter()
            .filter(|(key, _)| !key.is_empty() && !key.contains('.'))
        {
            paths.push(join(key));
            collect_paths(member, join(key), paths);
        }
    }
    if let Value::Array(items) = value {
        for (at, item) in items.iter().enumerate() {
            collect_paths(item, join(&at.to_string()), paths);
        }
    }
}

/// Documents with one or two changes; a second change may find its path gone, and is then left out.
fn mutated() -> impl Strategy<Value = Value> {
    prop::collection::vec(mutation(), 1..3).prop_map(|mutations| {
        let mut document = crate::known_document(2);
        for (path, value) in mutations {
            let mut changed = document.clone();
            let whole = std::panic::catch_unwind(move || {
                crate::set(&mut changed, &path, value);
                changed
            });
            document = whole.unwrap_or(document);
        }
        document
    })
}

/// The document with a good hash and a good signature.
fn with_seal(document: &Value) -> Value {
    let hash = Hash::of(&capsule::canonical::to_vec(document));
    let signature = crate::key().sign(&hash.to_ascii()).unwrap();
    let mut record = document.as_object().unwrap().clone();
    record.insert("hash", hash.hex());
    record.insert("signature", crate::hex(&signature));
    record.insert("signature_pq", "");
    record.insert("signed_at", "2026-01-01T00:00:00+00:00");
    record.insert("signed_by", "03a107bff3ce10be");
    Value::Object(record)
}

fn verdict(record: &Value) -> Result<(), Option<Failure>> {
    let record = Record::from_value(record.clone()).map_err(|_| None)?;
    verify(&record, &keys()).map(drop).map_err(Some)
}

#[test]
fn hostile_documents_get_the_same_code() {
    let Some(mut peer) = Peer::start("hostile") else {
        return;
    };
    std::panic::set_hook(Box::new(|_| {}));
    let documents: Vec<Value> = samples(mutated(), 4000).collect();
    drop(std::panic::take_hook());
    let mut counts = [0; 3];
    for document in documents {
        let record = with_seal(&document);
        let theirs = peer.ask("verify", [("text", text_of(&record))]);
        match verdict(&record) {
            Ok(()) => {
                counts[0] += 1;
                assert_eq!(theirs.text("code"), "ok", "{document:?}");
            }
            Err(Some(failure)) => {
                counts[1] += 1;
                assert!(failure.normal_form.is_some());
                assert_eq!(
                    theirs.text("code"),
                    failure.code.as_str(),
                    "{document:?} {failure:?}"
                );
                assert_eq!(theirs.text("message"), failure.message, "{document:?}");
            }
            Err(None) => {
                counts[2] += 1;
                assert!(theirs.error().is_some(), "{document:?} {:?}", theirs.0);
            }
        }
    }
    assert!(counts.iter().all(|&count| count > 300), "{counts:?}");
}

#[test]
fn hostile_seals_get_the_same_code() {
    let Some(mut peer) = Peer::start("seals") else {
        return;
    };
    let good = crate::known_chain()[2].clone();
    let of = |key: &str| good.get(key).unwrap().as_str().unwrap().to_owned();
    let key = prop::sample::select(vec!["hash", "signature"]);
    let edit = (0..130_usize, 0..4_usize, "[0-9a-fA-FgxZ \t\u{b}é_+-]{0,2}");
    let edits = (key, prop::collection::vec(edit, 0..3));
    let mut codes = std::collections::BTreeSet::new();
    for (key, edits) in samples(edits, 3000) {
        let mut text: Vec<char> = of(key).chars().collect();
        for (at, cut, insert) in edits {
            let start = at.min(text.len());
            let end = (start + cut).min(text.len());
            text.splice(start..end, insert.chars());
        }
        let mut record = good.clone();
        crate::set(&mut record, key, Some(Value::from(String::from_iter(text))));
        let theirs = peer.ask("verify", [("text", text_of(&record))]);
        let (code, message) = match verdict(&record) {
            Ok(()) => ("ok", String::new()),
            Err(failure) => {
                let failure = failure.expect("strings are loaded");
                (failure.code.as_str(), failure.message.into_owned())
            }
        };
        assert_eq!(
            (theirs.text("code"), theirs.text("message")),
            (code, &*message),
            "{record:?}"
        );
        codes.insert(code);
    }
    assert!(codes.len() >= 4, "{codes:?}");
}

#[test]
fn the_validators_agree() {
    let Some(mut peer) = Peer::start("validator") else {
        return;
    };
    std::panic::set_hook(Box::new(|_| {}));
    let documents: Vec<Value> = samples(mutated(), 3000).collect();
    drop(std::panic::take_hook());
    let mut categories = std::collections::BTreeSet::new();
    for (at, document) in documents.into_iter().enumerate() {
        let strict = at % 3 == 0;
        let hash = Hash::of(&capsule::canonical::to_vec(&document)).hex();
        let claim = [None, Some(hash), Some("0".repeat(64)), Some("x".to_owned())][at % 4].clone();
        let ours = validate(&document, claim.as_deref(), strict);
        let fields = [
            ("text", text_of(&document)),
            ("claimed_hash", Value::from(claim.as_deref())),
            ("strict", Value::from(strict)),
        ];
        let theirs = peer.ask("validate", fields);
        let category = Value::from(ours.category.map(Category::as_str));
        assert_eq!(theirs.get("category"), &category, "{document:?}");
        assert_eq!(theirs.get("ok"), &Value::Bool(ours.ok));
        categories.insert(ours.category.map(Category::as_str));
        // Of several fields that a section lacks, the reference names any.
        let section = |field: &str| field.split('.').next().unwrap_or_default().to_owned();
        let (field, word) = (ours.field.as_deref(), theirs.get("field").as_str());
        if ours.category == Some(Category::MissingField) && field != word {
            assert_eq!(field.map(section), word.map(section));
            continue;
        }
        assert_eq!(field, word, "{document:?}");
        assert_eq!(theirs.text("message"), ours.message);
    }
    assert_eq!(categories.len(), 6, "{categories:?}");
}
