//! The key of a ledger changes by a sealed record only, and verifiers follow it from the first key.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use capsule::{Signer as _, SigningKey};
use ledger::audit::rotation_message;
use ledger::{Ledger, Options, Signers, SystemClock};
use store::keys::DataDir;
use store::sqlite::{Settings, SqliteJournal};

use super::capsule_support::{Author, Ended, LEDGER, run, run_with};

fn create(dir: &Path) -> String {
    gateway::serve::data::create(dir, None, "chat", false, Arc::new(SystemClock)).unwrap();
    public(dir, "0")
}

fn public(dir: &Path, epoch: &str) -> String {
    let ended = run(
        dir,
        &["keys", "export-public", "--epoch", epoch, "--data-dir", "."],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.out.trim().to_owned()
}

/// A start and an end of the gateway: two records.
fn boot(dir: &Path) {
    let data = DataDir::open(dir).unwrap();
    let journal = SqliteJournal::open(data.database(), Settings::default()).unwrap();
    let signers = Signers {
        records: Arc::new(data.signer().unwrap()),
        checkpoints: Arc::new(data.checkpoint_signer().unwrap()),
    };
    let options = Options {
        earlier_keys: data.earlier_keys().unwrap(),
        ..Options::default()
    };
    let anchor = Box::new(data.anchor());
    let (ledger, _) = Ledger::start(Box::new(journal), &signers, anchor, options).unwrap();
    ledger.shutdown_blocking(Duration::from_secs(10)).unwrap();
}

fn rotate(dir: &Path) -> Ended {
    run(dir, &["keys", "rotate", "--data-dir", "."])
}

fn verify(dir: &Path, more: &[&str]) -> Ended {
    run(
        dir,
        &[&["verify", "--db", "capsules.db", "--json"], more].concat(),
    )
}

#[test]
fn a_ledger_with_two_rotations_verifies_from_its_first_key() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let first = create(dir);
    boot(dir);
    for _ in 0..2 {
        let ended = rotate(dir);
        assert_eq!(ended.code, 0, "{ended:?}");
        boot(dir);
    }
    assert!(!dir.join("key.next").exists());
    let (second, third) = (public(dir, "1"), public(dir, "2"));
    assert!(first != second && second != third);
    let ended = verify(dir, &["--pubkey", &first]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json()["capsules_verified"], 9);
    let ended = verify(dir, &["--signatures", "--data-dir", "."]);
    assert_eq!(ended.code, 0, "{ended:?}");
    // A later key alone proves nothing about the beginning, and the report says which key does.
    for later in [&second, &third] {
        let ended = verify(dir, &["--pubkey", later]);
        assert_eq!(ended.code, 1);
        let notes = ended.json()["notes"].to_string();
        assert!(
            notes.contains(&first) && notes.contains("--epoch 0"),
            "{notes}"
        );
    }
    reference(dir, &first);
}

/// The reference finds retired keys in the keyring that we write.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn reference(dir: &Path, first: &str) {
    let Some(python) = std::env::var_os("SEALGATE_PYTHON") else {
        assert!(std::env::var_os("SEALGATE_REQUIRE_PEERS").is_none());
        println!("skipped: SEALGATE_PYTHON is not set");
        return;
    };
    let tool = Path::new(&python).with_file_name("capsule");
    let verify = |arguments: &[&str]| {
        let ended = std::process::Command::new(&tool)
            .args(["verify", "--db", "capsules.db", "--quiet"])
            .args(arguments)
            .current_dir(dir)
            .env("QUANTUMPIPES_DATA_DIR", dir)
            .status();
        ended.unwrap().code()
    };
    assert_eq!(verify(&["--signatures"]), Some(0));
    // It does not follow rotations from one key.
    assert_eq!(verify(&["--pubkey", first]), Some(1));
}

#[test]
fn nobody_rotates_the_key_of_a_ledger_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let first = create(dir.path());
    let data = DataDir::open(dir.path()).unwrap();
    let running = SqliteJournal::open(data.database(), Settings::default()).unwrap();
    let ended = rotate(dir.path());
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("not rotated"), "{}", ended.err);
    drop(running);
    assert_eq!(public(dir.path(), "0"), first);
    assert_eq!(rotate(dir.path()).code, 0);
}

#[test]
fn an_interrupted_rotation_is_completed_or_did_not_happen() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let first = create(dir);
    let old = fs::read(dir.join("key")).unwrap();
    assert_eq!(rotate(dir).code, 0);
    let (new, ring) = (
        fs::read(dir.join("key")).unwrap(),
        fs::read(dir.join("keyring.json")).unwrap(),
    );
    // Killed after the record, before the keyring; and after the keyring, before the key.
    for written in [false, true] {
        fs::rename(dir.join("key"), dir.join("key.next")).unwrap();
        fs::write(dir.join("key"), &old).unwrap();
        set_private(&dir.join("key"));
        if !written {
            fs::remove_file(dir.join("keyring.json")).unwrap();
        }
        let data = DataDir::open(dir).unwrap();
        let at = capsule::Timestamp::new(0);
        assert!(data.finish_rotation(at).unwrap());
        assert!(!data.finish_rotation(at).unwrap());
        assert_eq!(fs::read(dir.join("key")).unwrap(), new);
        assert_eq!(data.earlier_keys().unwrap().len(), 1);
        fs::write(dir.join("keyring.json"), &ring).unwrap();
    }
    boot(dir);
    assert_eq!(verify(dir, &["--pubkey", &first]).code, 0);
    // Killed before the record: the key that was made is left alone until it is used.
    let data = DataDir::open(dir).unwrap();
    let heir = data.heir().unwrap().public_key();
    assert!(!data.finish_rotation(capsule::Timestamp::new(0)).unwrap());
    assert_eq!(rotate(dir).code, 0);
    assert_eq!(public(dir, "2"), heir.hex());
    assert_eq!(verify(dir, &["--pubkey", &first]).code, 0);
}

fn set_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A ledger whose rotation record names `heir`, with a signature for (ledger, sequence) by `signer`.
fn rotated(heir: &SigningKey, signer: &SigningKey, ledger: &str, sequence: u64) -> Author {
    let mut author = Author::ledger(3);
    let message = rotation_message(
        ledger,
        &author.signer.public_key(),
        &heir.public_key(),
        sequence,
    );
    let signature = signer.sign(&message).unwrap();
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let more = [
        ("new_key_signature", hex.into()),
        ("new_public_key", heir.public_key().hex().into()),
    ];
    author.event("key_rotation", &more);
    author
}

#[test]
fn forged_rotations_are_named() {
    let (heir, thief) = (
        SigningKey::from_seed([2; 32]),
        SigningKey::from_seed([3; 32]),
    );
    let mut good = rotated(&heir, &heir, LEDGER, 5);
    good.signer = SigningKey::from_seed([2; 32]);
    (4..400).for_each(|number| good.call(number));
    assert_eq!(good.verify(&[]).code, 0);

    let unknown = ("unknown key".to_owned(), Some(5));
    for (what, author) in [
        ("not signed by the heir", rotated(&heir, &thief, LEDGER, 5)),
        ("for another place", rotated(&heir, &heir, LEDGER, 6)),
        ("for another ledger", rotated(&heir, &heir, "other", 5)),
    ] {
        let ended = author.verify(&[]);
        assert_eq!(ended.code, 1, "{what}");
        assert!(ended.damage().contains(&unknown), "{what}: {ended:?}");
    }
    // The thief's own rotation, sealed by the thief: the key before it did not agree.
    let mut stolen = Author::ledger(3);
    stolen.signer = SigningKey::from_seed([3; 32]);
    let message = rotation_message(
        LEDGER,
        &SigningKey::from_seed([1; 32]).public_key(),
        &thief.public_key(),
        5,
    );
    let signature = thief.sign(&message).unwrap();
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let more = [
        ("new_key_signature", hex.into()),
        ("new_public_key", thief.public_key().hex().into()),
    ];
    stolen.event("key_rotation", &more);
    stolen.call(4);
    let ended = stolen.verify(&[]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.json()["capsules_verified"], 5);
    assert!(ended.damage().iter().any(|(_, at)| *at == Some(6)));
    // The retired key goes on sealing.
    let mut late = rotated(&heir, &heir, LEDGER, 5);
    late.call(4);
    assert_eq!(
        late.verify(&[]).damage(),
        [("unknown key".to_owned(), Some(6))]
    );
}

#[test]
fn without_a_ledger_rotation_is_the_references() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [("QUANTUMPIPES_DATA_DIR", "keys")];
    for _ in 0..2 {
        let ended = run_with(dir.path(), &["keys", "rotate"], &variables, b"");
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let info = run_with(dir.path(), &["keys", "info"], &variables, b"");
    assert!(info.out.contains("Epoch 1"), "{info:?}");
}

#[test]
fn post_quantum_signatures_are_made_beside_the_others_and_can_be_required() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let first = create(dir);
    let made = run(dir, &["keys", "create-pq", "--data-dir", "."]);
    assert_eq!(made.code, 0, "{made:?}");
    let again = run(dir, &["keys", "create-pq", "--data-dir", "."]);
    assert_eq!(again.code, 2, "{again:?}");
    let data = DataDir::open(dir).unwrap();
    let journal = SqliteJournal::open(data.database(), Settings::default()).unwrap();
    let signers = Signers {
        records: Arc::new(data.double_signer().unwrap()),
        checkpoints: Arc::new(data.checkpoint_signer().unwrap()),
    };
    let anchor = Box::new(data.anchor());
    let (ledger, _) =
        Ledger::start(Box::new(journal), &signers, anchor, Options::default()).unwrap();
    ledger.shutdown_blocking(Duration::from_secs(10)).unwrap();
    let key = ["--pubkey", &first, "--pq-pubkey-file", "key.ml.pub"];
    assert_eq!(verify(dir, &key).code, 0);
    // The genesis is older than the ML-DSA-65 key.
    let ended = verify(
        dir,
        &["--pubkey", &first, "--require-pq", "--data-dir", "."],
    );
    assert_eq!(ended.code, 1);
    assert_eq!(ended.damage()[0], ("seal stripped".to_owned(), Some(0)));
    let chain = run(dir, &["export", "--db", "capsules.db", "--jsonl"]).out;
    let lines: Vec<&str> = chain.lines().collect();
    let record: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
    let signature = record["signature_pq"].as_str().unwrap();
    assert_eq!(signature.len(), 2 * 3309);
    // One digit of one signature.
    let other = if signature.starts_with('0') { '1' } else { '0' };
    let forged = signature.replacen(&signature[..1], &other.to_string(), 1);
    let edited = lines.join("\n").replace(signature, &forged);
    fs::write(dir.join("edited.jsonl"), edited).unwrap();
    let ended = run(
        dir,
        &[&["verify", "edited.jsonl", "--json"], &key[..]].concat(),
    );
    assert_eq!(ended.code, 1);
    assert_eq!(ended.damage()[0], ("edited".to_owned(), Some(1)));
    let plain = ["verify", "edited.jsonl", "--json", "--pubkey", &first];
    assert_eq!(run(dir, &plain).code, 0, "only who asks sees it");
}
