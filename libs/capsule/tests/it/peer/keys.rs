//! Key and keyring files.

use capsule::json::Value;
use capsule::keyring::{Keyring, Status};
use capsule::verify::{Keys, Record, verify};
use capsule::{PublicKey, SigningKey, Timestamp};

use super::Peer;

#[test]
fn keyrings_of_the_reference_are_read_and_written_back_unchanged() {
    let Some(mut peer) = Peer::start("keyring") else {
        return;
    };
    let directory = peer.directory.join("ring");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::copy(peer.directory.join("key"), directory.join("key")).unwrap();
    let place = Value::from(directory.to_str().unwrap());
    let answer = peer.ask(
        "keyring",
        [("directory", place), ("rotate", Value::from(3))],
    );
    let text = std::fs::read_to_string(directory.join("keyring.json")).unwrap();
    let keyring = Keyring::parse(text.as_bytes()).unwrap();
    assert_eq!(keyring.to_text(), text);
    assert_eq!(keyring.epochs().len(), 4);
    assert_eq!(keyring.epochs()[0].public_key, crate::public_key());
    let active = keyring.active().unwrap();
    assert_eq!(answer.text("active"), active.public_key.hex());
    // The key file holds the seed of the active epoch.
    let seed: [u8; 32] = std::fs::read(directory.join("key"))
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(SigningKey::from_seed(seed).public_key(), active.public_key);
}

#[test]
fn keyrings_of_this_library_are_read_by_the_reference() {
    let Some(mut peer) = Peer::start("rings") else {
        return;
    };
    let directory = peer.directory.join("ring");
    std::fs::create_dir_all(&directory).unwrap();
    let keys: Vec<PublicKey> = (0..4)
        .map(|at| SigningKey::from_seed([at; 32]).public_key())
        .collect();
    let mut keyring = Keyring::new();
    for (at, key) in keys.iter().enumerate() {
        keyring.rotate(key, Timestamp::new(at as i64 * 1_500_000));
    }
    std::fs::write(directory.join("keyring.json"), keyring.to_text()).unwrap();
    std::fs::write(directory.join("key"), [3; 32]).unwrap();
    let labels: Vec<String> = keys
        .iter()
        .flat_map(|key| [key.fingerprint(), key.short_fingerprint(), key.hex()])
        .chain(["".into(), "unknown".into()])
        .collect();
    let fields = [
        ("directory", Value::from(directory.to_str().unwrap())),
        ("lookup", Value::from(labels.clone())),
    ];
    let answer = peer.ask("keyring", fields);
    assert_eq!(answer.text("active"), keys[3].hex());
    let found = answer.get("found").as_array().unwrap();
    for (label, theirs) in labels.iter().zip(found) {
        let ours = keyring.lookup(label).map(|epoch| epoch.public_key.hex());
        assert_eq!(&Value::from(ours), theirs, "{label}");
    }
    let fields = [
        ("directory", Value::from(directory.to_str().unwrap())),
        ("rotate", Value::from(1)),
    ];
    peer.ask("keyring", fields);
    let rotated = std::fs::read(directory.join("keyring.json")).unwrap();
    let rotated = Keyring::parse(&rotated).unwrap();
    assert_eq!(rotated.epochs().len(), 5);
    assert_eq!(rotated.epochs()[3].status, Status::Retired);
    assert_eq!(rotated.epochs()[..3], keyring.epochs()[..3]);
}

#[test]
fn public_keys_are_accepted_and_refused_alike() {
    let Some(mut peer) = Peer::start("pubkey") else {
        return;
    };
    let record = crate::known_chain()[0].clone();
    let text = String::from_utf8(capsule::canonical::to_vec(&record)).unwrap();
    let record = Record::from_value(record).unwrap();
    let good = crate::public_key().hex();
    // Points of small order, the identity, encodings that are no point, other keys.
    let weak = [
        "01".to_owned() + &"00".repeat(31),
        "00".repeat(32),
        "ec".to_owned() + &"ff".repeat(30) + "7f",
        "ed".to_owned() + &"ff".repeat(30) + "7f",
        "ee".to_owned() + &"ff".repeat(30) + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05".to_owned(),
        "02".to_owned() + &"00".repeat(31),
        "ff".repeat(32),
        SigningKey::from_seed([5; 32]).public_key().hex(),
    ];
    let spellings = [
        good.clone(),
        good.to_uppercase(),
        format!(" {good}\n"),
        good.replace("03a1", "03 a1"),
        good.replace("03a1", "0 3a1"),
        good[1..].to_owned(),
        good[2..].to_owned(),
        String::new(),
        "zz".to_owned(),
    ];
    for key in weak.into_iter().chain(spellings) {
        let theirs = peer.ask(
            "verify",
            [("text", Value::from(&text)), ("key", Value::from(&key))],
        );
        let (code, message) = match PublicKey::from_hex(&key) {
            Err(error) => ("malformed_hex", error.to_string()),
            Ok(key) => match verify(&record, &Keys::explicit(&key)) {
                Ok(_) => ("ok", String::new()),
                Err(failure) => (failure.code.as_str(), failure.message.into_owned()),
            },
        };
        assert_eq!(
            (theirs.text("code"), theirs.text("message")),
            (code, &*message),
            "{key}"
        );
    }
}
