//! Verification of single records: result codes, the stored-document rule, columns.

use capsule::json::{Object, Value};
use capsule::keyring::Keyring;
use capsule::verify::{
    Columns, Keys, PostQuantum, Record, RecordError, ResultCode, Seal, verify, verify_content,
    verify_with,
};
use capsule::{PublicKey, PublicKeyError, SigningKey, Timestamp};

fn code(record: &Record) -> (&'static str, String) {
    match verify(record, &Keys::explicit(&crate::public_key())) {
        Ok(_) => ("ok", String::new()),
        Err(failure) => (failure.code.as_str(), failure.message.into_owned()),
    }
}

fn changed(key: &'static str, value: impl Into<Value>) -> Record {
    let mut record = crate::known_chain()[2].clone();
    crate::set(&mut record, key, Some(value.into()));
    Record::from_value(record).unwrap()
}

#[test]
fn the_codes_and_words_of_the_reference() {
    let hash = "4ec719f7dbb3aefb4e74a52f859c9ec343e256506b877ad6b3ee4db799fa34e9";
    let signature = crate::known_chain()[2]
        .get("signature")
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned();
    let ok = ("ok", "");
    let not_hex = ("malformed_hex", "value is not valid hexadecimal");
    let short_hash = ("malformed_hex", "expected 32 bytes after decoding hex");
    let short_signature = ("malformed_hex", "expected 64 bytes after decoding hex");
    let mismatch = (
        "hash_mismatch",
        "recomputed hash does not match stored hash",
    );
    let invalid = ("invalid_signature", "Ed25519 signature verification failed");
    let no_hash = ("missing_hash", "capsule has no hash field");
    let no_signature = ("missing_signature", "capsule has no signature field");
    for (key, value, expected) in [
        ("hash", "".to_owned(), no_hash),
        ("signature", "".to_owned(), no_signature),
        ("hash", "zz".to_owned(), not_hex),
        ("hash", "ab".to_owned(), short_hash),
        ("signature", "zz".to_owned(), not_hex),
        ("signature", "abcd".to_owned(), short_signature),
        ("hash", hash.to_uppercase(), mismatch),
        ("hash", format!(" {hash}"), mismatch),
        ("hash", hash.replace("4ec7", "4ec8"), mismatch),
        ("signature", signature.replace("e59d", "e59e"), invalid),
        ("signature", signature.to_uppercase(), ok),
        (
            "signature",
            format!(" {}\n", signature.replace("e59d", "e5 9d")),
            ok,
        ),
        ("signature", signature.replace("e59d", "e 59d"), not_hex),
        ("signed_by", "anything".to_owned(), ok),
        ("signed_at", "2026-01-15T12:00:00Z".to_owned(), ok),
        ("signature_pq", "ab".to_owned(), ok),
        ("domain", "other".to_owned(), mismatch),
        (
            "an unknown key",
            "beside the sealed ones".to_owned(),
            mismatch,
        ),
    ] {
        let (code, words) = code(&changed(key, value.clone()));
        assert_eq!((code, &*words), expected, "{key} {value}");
    }
    for key in ["hash", "signature"] {
        let mut record = crate::known_chain()[2].clone();
        crate::set(&mut record, key, None);
        let missing = Record::from_value(record).unwrap();
        assert_eq!(code(&missing), code(&changed(key, "")));
        assert_eq!(code(&changed(key, Value::Null)), code(&changed(key, "")));
    }
}

#[test]
fn content_alone_needs_no_signature() {
    assert!(verify_content(&changed("signature", "")).is_ok());
    let failure = verify_content(&changed("domain", "other")).unwrap_err();
    assert_eq!(failure.code, ResultCode::HashMismatch);
    assert_eq!(
        verify_content(&changed("hash", "")).unwrap_err().code,
        ResultCode::MissingHash
    );
}

#[test]
fn post_quantum_signatures_by_choice() {
    let keys = Keys::explicit(&crate::public_key());
    let secret = capsule::pq::PqSigningKey::from_seed(&[5; 32]);
    let key = secret.public_key();
    let plain = changed("signature_pq", "");
    let message = plain.seal().hash.clone();
    let signature = secret.sign(message.as_bytes()).unwrap();
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let other = capsule::pq::PqSigningKey::from_seed(&[6; 32]).sign(message.as_bytes());
    let other: String = other.unwrap().iter().map(|b| format!("{b:02x}")).collect();
    let records = [
        changed("signature_pq", &hex),
        plain,
        changed("signature_pq", "ab"),
        changed("signature_pq", "no hex"),
        changed("signature_pq", &other),
    ];
    let (failed, missing) = ("pq_verification_failed", "missing_pq_signature");
    for (choice, expected) in [
        (PostQuantum::Ignore, ["ok"; 5]),
        (
            PostQuantum::IfPresent(key.clone()),
            ["ok", "ok", failed, failed, failed],
        ),
        (
            PostQuantum::Require(key),
            ["ok", missing, failed, failed, failed],
        ),
    ] {
        let found = records.each_ref().map(|record| {
            verify_with(record, &keys, &choice)
                .map_or_else(|failure| failure.code.as_str(), |_| "ok")
        });
        assert_eq!(found, expected, "{choice:?}");
    }
}

/// Documents whose hash and signature are right: those that the reference accepts, and those that it
/// refuses for their form.
#[test]
fn the_stored_document_rule() {
    let cases = include_str!("../data/stored-documents.json");
    let mut refused = 0;
    for case in crate::read(cases).as_array().unwrap() {
        let case = case.as_object().unwrap();
        let path = case.get("path").unwrap().as_str().unwrap();
        let mut document = crate::known_document(2);
        crate::set(&mut document, path, case.get("value").cloned());
        let record = crate::sealed_document(&document);
        let result = verify(&record, &Keys::explicit(&crate::public_key()));
        match (result, case.get("note")) {
            (Ok(_), None) => {}
            (Err(failure), Some(note)) => {
                refused += 1;
                assert_eq!(failure.code, ResultCode::HashMismatch);
                let words = "capsule content was changed after it was loaded from storage";
                assert_eq!(failure.message, words);
                let form = failure.normal_form.expect("hash and signature are good");
                assert_eq!(form.path, note.as_str().unwrap(), "{case:?}");
            }
            (result, note) => panic!("{case:?}: {result:?}, expected {note:?}"),
        }
    }
    assert!(refused > 20);
}

#[test]
fn a_form_is_not_excused_by_a_wrong_hash_or_signature() {
    let mut document = crate::known_document(2);
    crate::set(
        &mut document,
        "trigger.timestamp",
        Some("2026-01-15T12:00:00Z".into()),
    );
    let good = crate::sealed_document(&document);
    let with = |change: fn(&mut Seal)| {
        let mut seal = good.seal().clone();
        change(&mut seal);
        Record::from_row(&good.content(), seal).unwrap()
    };
    let keys = Keys::explicit(&crate::public_key());
    let form = |record: &Record| verify(record, &keys).unwrap_err().normal_form;
    assert!(form(&with(|_| {})).is_some());
    assert!(form(&with(|seal| seal.hash = "0".repeat(64))).is_none());
    assert!(form(&with(|seal| seal.signature = "0".repeat(128))).is_none());
    assert!(good.not_normal_form().is_some());
}

#[test]
fn what_the_reference_cannot_load_is_no_record() {
    for (path, value) in [
        ("id", None),
        ("id", Some("\"x\"")),
        ("id", Some("5")),
        ("type", None),
        ("type", Some("\"CHAT\"")),
        ("type", Some("5")),
        ("parent_id", Some("5")),
        ("parent_id", Some("\"x\"")),
        ("trigger", Some("null")),
        ("context", Some("[]")),
        ("reasoning.options", Some("\"x\"")),
        ("reasoning.options.0", Some("5")),
        ("reasoning.options.0.feasibility", Some("null")),
        ("reasoning.options.0.feasibility", Some("\"x\"")),
        ("execution.tool_calls", Some("null")),
        ("execution.tool_calls.0", Some("5")),
        ("trigger.timestamp", Some("5")),
        ("trigger.timestamp", Some("\"2026-01-15T12:00:60+00:00\"")),
        ("trigger.timestamp", Some("\"10000-01-15T12:00:00+00:00\"")),
        ("hash", Some("5")),
        ("signed_at", Some("5")),
    ] {
        let mut record = crate::known_chain()[2].clone();
        crate::set(&mut record, path, value.map(crate::read));
        let error = Record::from_value(record).unwrap_err();
        assert!(
            matches!(&error, RecordError::Field { path: named, .. } if named == path),
            "{path} {value:?}: {error}"
        );
    }
    assert!(matches!(
        Record::from_json(b"[]"),
        Err(RecordError::NotAnObject("array"))
    ));
    assert!(matches!(Record::from_json(b"{"), Err(RecordError::Json(_))));
    assert!(matches!(
        Record::from_json(br#"{"id":"x","x":NaN}"#),
        Err(RecordError::Json(_))
    ));
}

#[test]
fn columns_must_repeat_the_document() {
    let record = Record::from_value(crate::known_chain()[2].clone()).unwrap();
    let good = Columns {
        id: "b2c3d4e5-f6a7-8901-bcde-f12345678901",
        capsule_type: "agent",
        sequence: 2,
        previous_hash: Some("9d82131e5e5127bde30450e74f8b83f407ff20247791994620b2762a22197acb"),
        session_id: Some("sess_def456"),
    };
    assert_eq!(record.check_columns(&good), Ok(()));
    for (column, columns) in [
        (
            "id",
            Columns {
                id: "col-0",
                ..good
            },
        ),
        (
            "type",
            Columns {
                capsule_type: "chat",
                ..good
            },
        ),
        (
            "sequence",
            Columns {
                sequence: 3,
                ..good
            },
        ),
        (
            "sequence",
            Columns {
                sequence: -2,
                ..good
            },
        ),
        (
            "previous_hash",
            Columns {
                previous_hash: None,
                ..good
            },
        ),
        (
            "previous_hash",
            Columns {
                previous_hash: Some(""),
                ..good
            },
        ),
        (
            "session_id",
            Columns {
                session_id: Some("sess_x"),
                ..good
            },
        ),
        (
            "session_id",
            Columns {
                session_id: None,
                ..good
            },
        ),
    ] {
        assert_eq!(record.check_columns(&columns).unwrap_err().column, column);
    }
    let genesis = Record::from_value(crate::known_chain()[0].clone()).unwrap();
    let columns = Columns {
        id: "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        capsule_type: "agent",
        sequence: 0,
        previous_hash: None,
        session_id: None,
    };
    assert_eq!(genesis.check_columns(&columns), Ok(()));
}

#[test]
fn rows_and_records_read_alike() {
    let whole = Record::from_value(crate::known_chain()[2].clone()).unwrap();
    let canonical = Record::from_row(&whole.content(), whole.seal().clone()).unwrap();
    let spaced = String::from_utf8(whole.content().into_owned())
        .unwrap()
        .replace(":{", ": {");
    let spaced = Record::from_row(spaced.as_bytes(), whole.seal().clone()).unwrap();
    for record in [canonical, spaced] {
        assert_eq!(record.document(), whole.document());
        assert_eq!(record.content(), whole.content());
        assert_eq!(record.record_json(), whole.record_json());
        assert_eq!(code(&record).0, "ok");
    }
}

#[test]
fn keys_are_found_as_the_reference_finds_them() {
    let old = crate::public_key();
    let new = SigningKey::from_seed([9; 32]).public_key();
    let mut keyring = Keyring::new();
    keyring.rotate(&old, Timestamp::new(0));
    keyring.rotate(&new, Timestamp::new(1));
    let keys = Keys::keyring(&keyring, Some(&new));
    for label in ["03a107bff3ce10be", "qp_key_03a1"] {
        let _ = verify(&changed("signed_by", label), &keys).unwrap();
        assert!(keys.knows(label));
    }
    // An unknown label falls back to the local key, which is not the one that signed.
    let failure = verify(&changed("signed_by", "unknown"), &keys).unwrap_err();
    assert_eq!(failure.code, ResultCode::InvalidSignature);
    assert!(!keys.knows("unknown"));
    let local = Keys::keyring(&Keyring::new(), Some(&old));
    let _ = verify(&changed("signed_by", "unknown"), &local).unwrap();
    for keys in [Keys::none(), Keys::keyring(&Keyring::new(), None)] {
        assert!(verify(&changed("signed_by", "unknown"), &keys).is_err());
    }
    let zero = Keys::explicit(&PublicKey::from_bytes([0; 32]));
    assert!(verify(&changed("signed_by", ""), &zero).is_err());
}

#[test]
fn public_keys_are_read_as_the_reference_reads_them() {
    let hex = crate::public_key().hex();
    for text in [hex.to_uppercase(), format!(" {hex}\n")] {
        assert_eq!(PublicKey::from_hex(&text), Ok(crate::public_key()));
    }
    let error = |text: &str| PublicKey::from_hex(text).unwrap_err().to_string();
    assert_eq!(error("zz"), "value is not valid hexadecimal");
    assert_eq!(error(&hex[1..]), "value is not valid hexadecimal");
    assert_eq!(error("ab"), "expected 32 bytes after decoding hex");
    assert_eq!(PublicKey::from_hex(""), Err(PublicKeyError::Length));
}

#[test]
fn extra_top_level_keys_are_hashed() {
    let mut document = crate::known_document(0);
    crate::set(
        &mut document,
        "zz_extension",
        Some(Object::from([("a", 1)]).into()),
    );
    let record = crate::sealed_document(&document);
    assert_eq!(code(&record).0, "ok");
    crate::set(&mut document, "zz_extension", None);
    let stripped = Record::from_row(
        &capsule::canonical::to_vec(&document),
        record.seal().clone(),
    );
    assert_eq!(code(&stripped.unwrap()).0, "hash_mismatch");
}

/// A row is cut together from its text, an item of an array is written anew: both give the same record, whatever further
/// keys the document has and wherever they sort among those of the seal.
#[test]
fn a_whole_record_does_not_depend_on_how_it_was_read() {
    let sealed = &crate::sealed_chain(1)[0];
    let text = std::str::from_utf8(sealed.content()).unwrap();
    let seal = Record::from_json(&sealed.record_json())
        .unwrap()
        .seal()
        .clone();
    let further = [
        "",
        "a",
        "has",
        "hash",
        "hashes",
        "i",
        "sig",
        "signature_",
        "signed_as",
        "signed_bz",
        "zz",
        "\u{e9}",
    ];
    for key in further {
        let document =
            crate::read(&text.replacen('{', &format!("{{\"{key}\":[1,{{\"b\":2}}],"), 1));
        let canonical = capsule::canonical::to_vec(&document);
        let cut = Record::from_row(&canonical, seal.clone()).unwrap();
        let spaced = text.replacen('{', &format!("{{ \"{key}\":[1,{{\"b\":2}}],"), 1);
        let written = Record::from_row(spaced.as_bytes(), seal.clone()).unwrap();
        assert_eq!(
            String::from_utf8(cut.record_json()).unwrap(),
            String::from_utf8(written.record_json()).unwrap(),
            "{key}"
        );
    }
}
