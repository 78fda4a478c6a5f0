//! Evidence bundles: what they prove to somebody who has a public key and nothing else.

use std::fs;
use std::path::Path;

use capsule::json::Object;
use capsule::{Capsule, SigningKey, Timestamp};
use serde_json::{Value, json};

use super::capsule_support::{Author, Ended, LEDGER, member, run};

/// A ledger of three days, two agents, two keys and two tenants, with a rotation in the middle.
fn ledger() -> Author {
    let mut author = Author::ledger(0);
    for number in 1..=30_u64 {
        if number == 16 {
            rotate(&mut author);
        }
        let mut environment = member(LEDGER);
        environment.insert("intent", number);
        environment.insert("key_id", ["k1", "k2"][(number % 2) as usize]);
        environment.insert(
            "tenant",
            ["", "acme"][usize::from(number.is_multiple_of(3))],
        );
        author.seal_capsule(number, call(number, environment));
    }
    author
}

fn call(number: u64, environment: Object) -> Capsule {
    let mut capsule = Capsule::default();
    capsule.context.agent_id = ["alpha", "beta"][usize::from(number.is_multiple_of(5))].to_owned();
    capsule.context.environment = environment;
    capsule.trigger.timestamp =
        Timestamp::parse(&format!("2026-03-{:02}T12:00:00+00:00", 1 + number / 10)).unwrap();
    capsule.domain = ["chat", "finance"][usize::from(number.is_multiple_of(7))].to_owned();
    capsule
}

fn rotate(author: &mut Author) {
    use capsule::Signer as _;
    let heir = SigningKey::from_seed([2; 32]);
    let sequence = author.records.len() as u64;
    let message = ledger::audit::rotation_message(
        LEDGER,
        &author.signer.public_key(),
        &heir.public_key(),
        sequence,
    );
    let signature = heir.sign(&message).unwrap();
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let more = [
        ("new_key_signature", hex.into()),
        ("new_public_key", heir.public_key().hex().into()),
    ];
    author.event("key_rotation", &more);
    author.signer = heir;
}

fn prepared() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let author = ledger();
    author.write(&dir.path().join("chain.json"));
    fs::write(dir.path().join("checkpoint"), author.checkpoint()).unwrap();
    (dir, Author::plain(0).public())
}

fn export(dir: &Path, more: &[&str]) -> Ended {
    let start = [
        "export",
        "chain.json",
        "--data-dir",
        ".",
        "-o",
        "bundle.json",
    ];
    run(dir, &[&start, more].concat())
}

fn verify(dir: &Path, key: &str) -> Ended {
    run(
        dir,
        &[
            "verify",
            "--proof",
            "bundle.json",
            "--json",
            "--pubkey",
            key,
        ],
    )
}

fn sequences(ended: &Ended) -> Vec<u64> {
    let report = ended.json();
    let records = report["records"].as_array().unwrap();
    records
        .iter()
        .map(|one| one["sequence"].as_u64().unwrap())
        .collect()
}

#[test]
fn each_filter_takes_what_it_says_and_the_bundle_proves_it() {
    let (dir, key) = prepared();
    // Call n has sequence n + 1, and n + 2 after the rotation.
    let place = |number: u64| if number < 16 { number + 1 } else { number + 2 };
    type Takes = fn(u64) -> bool;
    let cases: [(&[&str], Takes); 7] = [
        (&["--key", "k2"], |n| n % 2 == 1),
        (&["--agent", "beta"], |n| n % 5 == 0),
        (&["--tenant", "acme"], |n| n % 3 == 0),
        (&["--tenant", ""], |n| n % 3 != 0),
        (&["--domain", "finance"], |n| n % 7 == 0),
        (
            &[
                "--since",
                "2026-03-02",
                "--until",
                "2026-03-03T12:00:00+00:00",
            ],
            |n| (10..20).contains(&n),
        ),
        (&["--agent", "beta", "--key", "k1", "--proof"], |n| {
            n % 10 == 0
        }),
    ];
    for (arguments, takes) in cases {
        let ended = export(dir.path(), arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        let ended = verify(dir.path(), &key);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        let expected: Vec<u64> = (1..=30).filter(|n| takes(*n)).map(place).collect();
        assert_eq!(sequences(&ended), expected, "{arguments:?}");
        assert_eq!(ended.json()["ledger"], LEDGER);
    }
    // The key after the rotation vouches for the one before it.
    let heir = SigningKey::from_seed([2; 32]).public_key().hex();
    assert_eq!(verify(dir.path(), &heir).code, 0);
    let human = run(
        dir.path(),
        &["verify", "--proof", "bundle.json", "--pubkey", &key],
    );
    assert!(human.out.contains("PASS -- 3 records proved"), "{human:?}");
    assert!(human.err.contains("left out"), "{human:?}");
}

#[test]
fn one_record_is_proved_the_same_way() {
    let (dir, key) = prepared();
    for sequence in ["0", "7", "17", "20", "32"] {
        assert_eq!(export(dir.path(), &["--proof", "--seq", sequence]).code, 0);
        let ended = verify(dir.path(), &key);
        assert_eq!(ended.code, 0, "{sequence}: {ended:?}");
        assert_eq!(sequences(&ended), [sequence.parse::<u64>().unwrap()]);
    }
}

#[test]
fn what_cannot_be_exported_says_why() {
    let (dir, _) = prepared();
    for (arguments, reason) in [
        (["--agent", "gamma"], "no record matches"),
        (["--since", "tomorrow"], "--since"),
    ] {
        let ended = export(dir.path(), &arguments);
        assert_eq!(ended.code, 2, "{arguments:?}");
        assert!(ended.err.contains(reason), "{ended:?}");
    }
    assert!(!dir.path().join("bundle.json").exists());
    let excerpt = run(
        dir.path(),
        &["export", "chain.json", "--agent", "beta", "--jsonl"],
    );
    assert_eq!((excerpt.code, excerpt.out.lines().count()), (0, 6));
}

type Change = Box<dyn Fn(&mut Value)>;

#[test]
fn every_change_of_a_bundle_is_noticed() {
    let (dir, key) = prepared();
    assert_eq!(export(dir.path(), &["--agent", "beta"]).code, 0);
    let path = dir.path().join("bundle.json");
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let changes: Vec<(&str, Change)> = vec![
        (
            "content",
            Box::new(|b| b["records"][1]["record"]["domain"] = json!("x")),
        ),
        (
            "label",
            Box::new(|b| b["records"][1]["record"]["signed_by"] = json!("x")),
        ),
        (
            "time",
            Box::new(|b| {
                b["records"][1]["record"]["signed_at"] = json!("2026-03-01T00:00:00+00:00")
            }),
        ),
        (
            "index",
            Box::new(|b| b["records"][1]["leaf_index"] = json!(12)),
        ),
        (
            "swap",
            Box::new(|b| b["records"].as_array_mut().unwrap().swap(0, 1)),
        ),
        (
            "double",
            Box::new(|b| {
                let one = b["records"][0].clone();
                b["records"].as_array_mut().unwrap().insert(0, one)
            }),
        ),
        (
            "proof",
            Box::new(|b| {
                b["records"][0]["inclusion_proof"]
                    .as_array_mut()
                    .unwrap()
                    .pop();
            }),
        ),
        (
            "longer proof",
            Box::new(|b| {
                let one = b["records"][0]["inclusion_proof"][0].clone();
                b["records"][0]["inclusion_proof"]
                    .as_array_mut()
                    .unwrap()
                    .push(one)
            }),
        ),
        (
            "leaf",
            Box::new(|b| b["records"][0]["leaf_hash"] = json!("AAAA")),
        ),
        ("size", Box::new(|b| b["tree_size"] = json!(32))),
        (
            "note",
            Box::new(|b| {
                b["checkpoint"] = json!(
                    b["checkpoint"]
                        .as_str()
                        .unwrap()
                        .replace("\n33\n", "\n34\n")
                )
            }),
        ),
        (
            "other filter",
            Box::new(|b| b["filter"] = json!({"agent": "alpha"})),
        ),
        (
            "unknown filter",
            Box::new(|b| b["filter"] = json!({"colour": "red"})),
        ),
        (
            "no genesis",
            Box::new(|b| {
                b["ledger"].as_array_mut().unwrap().remove(0);
            }),
        ),
        (
            "no rotation",
            Box::new(|b| {
                b["ledger"].as_array_mut().unwrap().pop();
            }),
        ),
        (
            "checkpoint key",
            Box::new(|b| b["checkpoint_key"] = json!("x+00000000+AA==")),
        ),
        ("version", Box::new(|b| b["bundle"] = json!(2))),
        (
            "no records",
            Box::new(|b| {
                b.as_object_mut().unwrap().remove("records");
            }),
        ),
        ("a list", Box::new(|b| *b = json!([1]))),
    ];
    for (what, change) in &changes {
        let mut bad = good.clone();
        change(&mut bad);
        fs::write(&path, bad.to_string()).unwrap();
        let ended = verify(dir.path(), &key);
        assert_eq!(ended.code, 1, "{what}: {ended:?}");
        assert!(ended.json()["error"].is_string(), "{what}");
    }
    fs::write(&path, good.to_string()).unwrap();
    assert_eq!(verify(dir.path(), &key).code, 0);
    let stranger = SigningKey::from_seed([77; 32]).public_key().hex();
    let ended = verify(dir.path(), &stranger);
    assert_eq!(ended.code, 1);
    assert!(ended.json()["error"].as_str().unwrap().contains("trusted"));
    for bad in ["", "{", "[]"] {
        fs::write(&path, bad).unwrap();
        assert_ne!(verify(dir.path(), &key).code, 0, "{bad:?}");
    }
}

/// A whole other ledger made with the attacker's keys is consistent in itself.
#[test]
fn a_key_is_needed() {
    let (dir, _) = prepared();
    assert_eq!(export(dir.path(), &["--agent", "beta"]).code, 0);
    let ended = run(dir.path(), &["verify", "--proof", "bundle.json"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    let ended = run(
        dir.path(),
        &["verify", "--proof", "bundle.json", "--data-dir", "nothing"],
    );
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("--pubkey"), "{ended:?}");
}
