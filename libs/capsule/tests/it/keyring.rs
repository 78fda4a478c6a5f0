//! Keyring files: text in and out, rotation, registration, lookup.

use capsule::keyring::{Keyring, KeyringError, Status};
use capsule::verify::{Keys, Record, verify};
use capsule::{Draft, PublicKey, Signer, SigningKey, Timestamp};

fn key(byte: u8) -> PublicKey {
    SigningKey::from_seed([byte; 32]).public_key()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::new(micros)
}

#[test]
fn the_text_is_that_of_the_reference() {
    let mut keyring = Keyring::new();
    assert_eq!(
        keyring.to_text(),
        "{\n  \"version\": 1,\n  \"active_epoch\": 0,\n  \"epochs\": []\n}\n"
    );
    keyring.rotate(&crate::public_key(), at(0));
    keyring.rotate(&key(1), at(1_000_001));
    let expected = format!(
        r#"{{
  "version": 1,
  "active_epoch": 1,
  "epochs": [
    {{
      "epoch": 0,
      "algorithm": "ed25519",
      "public_key_hex": "{}",
      "fingerprint": "qp_key_03a1",
      "created_at": "1970-01-01T00:00:00+00:00",
      "rotated_at": "1970-01-01T00:00:01.000001+00:00",
      "status": "retired"
    }},
    {{
      "epoch": 1,
      "algorithm": "ed25519",
      "public_key_hex": "{}",
      "fingerprint": "{}",
      "created_at": "1970-01-01T00:00:01.000001+00:00",
      "rotated_at": null,
      "status": "active"
    }}
  ]
}}
"#,
        crate::public_key(),
        key(1),
        key(1).short_fingerprint(),
    );
    assert_eq!(keyring.to_text(), expected);
    assert_eq!(Keyring::parse(expected.as_bytes()), Ok(keyring));
}

#[test]
fn rotation_leaves_one_active_epoch() {
    let mut keyring = Keyring::new();
    for byte in 0..4 {
        assert_eq!(keyring.rotate(&key(byte), at(byte.into())), u64::from(byte));
        let active: Vec<_> = keyring
            .epochs()
            .iter()
            .filter(|it| it.status == Status::Active)
            .collect();
        assert_eq!(active.len(), 1);
        assert_eq!(keyring.active().map(|it| it.public_key), Some(key(byte)));
    }
}

#[test]
fn registering_makes_the_key_the_one_that_signs() {
    let mut keyring = Keyring::new();
    assert!(keyring.register(&key(1), at(0)));
    assert!(!keyring.register(&key(1), at(1)));
    assert!(keyring.register(&key(2), at(2)));
    assert_eq!(keyring.active().map(|it| it.public_key), Some(key(2)));
    assert_eq!(keyring.epochs().len(), 2);
    // A key of the past begins a new epoch.
    assert!(keyring.register(&key(1), at(3)));
    assert_eq!(keyring.active().map(|it| it.epoch), Some(2));
}

#[test]
fn a_file_with_two_active_epochs_is_read_and_mended() {
    let mut keyring = Keyring::new();
    keyring.rotate(&key(1), at(0));
    keyring.rotate(&key(2), at(1));
    let text = keyring.to_text().replace("\"retired\"", "\"active\"");
    let mut read = Keyring::parse(text.as_bytes()).unwrap();
    // The first wins, as in the reference, whatever active_epoch says.
    assert_eq!(read.active().map(|it| it.epoch), Some(0));
    assert!(read.register(&key(2), at(2)));
    assert_eq!(read.active().map(|it| it.public_key), Some(key(2)));
}

#[test]
fn lookup_prefers_the_label() {
    let mut keyring = Keyring::new();
    keyring.rotate(&key(1), at(0));
    keyring.rotate(&key(2), at(1));
    let found = |label: &str| keyring.lookup(label).map(|it| it.epoch);
    assert_eq!(found(&key(1).fingerprint()), Some(0));
    assert_eq!(found(&key(2).short_fingerprint()), Some(1));
    assert_eq!(found(&key(2).hex()), None);
    assert_eq!(found(""), None);
    // A label that is another key's digits: the label wins.
    let swapped = keyring
        .to_text()
        .replace(&key(2).short_fingerprint(), &key(1).fingerprint());
    let swapped = Keyring::parse(swapped.as_bytes()).unwrap();
    assert_eq!(
        swapped.lookup(&key(1).fingerprint()).map(|it| it.epoch),
        Some(1)
    );
}

#[test]
fn what_is_no_keyring_is_refused() {
    let mut keyring = Keyring::new();
    keyring.rotate(&key(1), at(0));
    let text = keyring.to_text();
    for (from, to, field) in [
        (
            "\"version\": 1",
            "\"version\": 2",
            "version 2 is not supported",
        ),
        (
            "\"version\": 1",
            "\"version\": \"1\"",
            "version \"1\" is not supported",
        ),
        ("\"version\"", "\"ver\"", "version is missing"),
        ("\"epochs\"", "\"eras\"", "epochs is missing"),
        ("ed25519", "rsa", "epochs.0.algorithm"),
        ("\"epoch\": 0", "\"epoch\": -1", "epochs.0.epoch"),
        ("\"active\"", "\"lost\"", "epochs.0.status"),
        (&*key(1).hex(), "ab", "epochs.0.public_key_hex"),
        ("null", "5", "epochs.0.rotated_at"),
    ] {
        let error = Keyring::parse(text.replace(from, to).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
    assert!(matches!(Keyring::parse(b"{"), Err(KeyringError::Json(_))));
}

#[test]
fn a_signer_that_outlives_a_rotation_still_writes_records_that_verify() {
    let old = crate::key().with_short_fingerprint();
    let mut keyring = Keyring::new();
    keyring.rotate(&old.public_key(), at(0));
    keyring.rotate(&key(1), at(1));
    let sealed = Draft::new(&crate::sample())
        .unwrap()
        .link(0, None)
        .seal(&old, at(2))
        .unwrap();
    assert_eq!(sealed.signed_by(), old.fingerprint());
    let record = Record::from_json(&sealed.record_json()).unwrap();
    let _ = verify(&record, &Keys::keyring(&keyring, None)).unwrap();
}
