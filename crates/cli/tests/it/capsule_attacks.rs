//! An operator attacks a ledger; an auditor with the public key and an old checkpoint finds out what was done.

use std::fs;

use capsule::json::{Object, Value};
use capsule::{Capsule, Signer, SigningKey};

use super::capsule_support::{Author, OTHER_LEDGER, member, run};

fn named(author: &Author) -> Vec<(String, Option<u64>)> {
    let ended = author.verify(&[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.json()["valid"], false);
    ended.damage()
}

fn one(kind: &str, sequence: u64) -> Vec<(String, Option<u64>)> {
    vec![(kind.to_owned(), Some(sequence))]
}

#[test]
fn a_ledger_that_nobody_touched_is_valid() {
    let mut author = Author::ledger(5);
    author.event("shutdown", &[("last_intent", 5_u64.into())]);
    let ended = author.verify(&[]);
    assert_eq!((ended.code, ended.damage().len()), (0, 0), "{ended:?}");
    let report = ended.json();
    assert_eq!(report["signatures_checked"], true);
    assert_eq!(report["total_capsules"], 8);
}

#[test]
fn led_01_an_edited_record_is_named() {
    let mut author = Author::ledger(5);
    author.tamper(4, |record| {
        record.insert("domain", "agentz");
    });
    assert_eq!(named(&author), one("edited", 4));

    // With the hash recomputed and linked again up to the end: the signatures tell.
    let mut author = Author::ledger(5);
    author.tamper(4, |record| {
        record.insert("signature", "00".repeat(64));
    });
    assert_eq!(named(&author), one("edited", 4));
}

#[test]
fn led_03_a_deleted_record_is_missing() {
    let mut author = Author::ledger(5);
    author.records.remove(3);
    assert_eq!(named(&author), one("missing", 3));
    author.event("shutdown", &[("last_intent", 5_u64.into())]);
    let found = named(&author);
    assert!(
        found.contains(&("missing intent".to_owned(), None)),
        "{found:?}"
    );
}

#[test]
fn led_05_swapped_records_are_reordered() {
    let mut author = Author::ledger(5);
    author.records.swap(3, 4);
    assert_eq!(named(&author), one("reordered", 3));
}

#[test]
fn led_07_a_cut_off_end_shows_against_an_old_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut author = Author::ledger(5);
    fs::write(dir.path().join("checkpoint"), author.checkpoint()).unwrap();
    author.records.truncate(5);
    author.write(&dir.path().join("chain.json"));
    let key = author.public();
    let start = ["verify", "chain.json", "--json", "--pubkey", &key];
    assert_eq!(
        run(dir.path(), &start).code,
        0,
        "nothing but a checkpoint can tell"
    );
    let ended = run(
        dir.path(),
        &[&start[..], &["--checkpoint", "checkpoint"]].concat(),
    );
    assert_eq!(
        (ended.code, ended.damage()),
        (1, vec![("truncated".to_owned(), None)])
    );
}

#[test]
fn led_09_a_restored_backup_that_went_on_is_a_fork() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("checkpoint"),
        Author::ledger(5).checkpoint(),
    )
    .unwrap();
    let mut restored = Author::ledger(3);
    (10..20).for_each(|number| restored.call(number));
    restored.write(&dir.path().join("chain.json"));
    let key = restored.public();
    let ended = run(
        dir.path(),
        &[
            "verify",
            "chain.json",
            "--json",
            "--pubkey",
            &key,
            "--checkpoint",
            "checkpoint",
        ],
    );
    assert_eq!(
        (ended.code, ended.damage()),
        (1, vec![("forked".to_owned(), None)])
    );
}

#[test]
fn two_histories_in_one_file_are_a_fork_and_a_copy_is_a_duplicate() {
    let mut author = Author::ledger(5);
    let mut other = Author::ledger(2);
    other.call(9);
    author.records.insert(5, other.records[4].clone());
    assert_eq!(named(&author), one("forked", 4));
    let mut author = Author::ledger(5);
    author.records.insert(5, author.records[4].clone());
    assert_eq!(named(&author), one("duplicate", 4));
}

#[test]
fn led_11_a_record_of_another_ledger_is_named() {
    let mut author = Author::ledger(2);
    author.seal(50, member(OTHER_LEDGER));
    assert_eq!(named(&author), one("wrong ledger", 4));
}

#[test]
fn led_13_no_key_but_the_ledgers_is_accepted_whatever_the_label() {
    // Another key, with the label of the ledger's.
    let mut author = Author::ledger(2);
    let label = author.signer.fingerprint();
    author.signer = SigningKey::from_seed([2; 32]);
    author.call(3);
    let at = author.records.len() - 1;
    assert_eq!(named(&author), one("unknown key", 4));
    author.tamper(at, |record| {
        record.insert("signed_by", label);
    });
    assert_eq!(named(&author), one("edited", 4));

    // The ledger's key under a label that nobody knows: there is no falling back.
    let mut author = Author::ledger(2);
    author.tamper(3, |record| {
        record.insert("signed_by", "qp_key_ffff");
    });
    assert_eq!(named(&author), one("unknown key", 3));
}

#[test]
fn a_stripped_seal_is_named_even_where_signatures_are_not_checked() {
    let dir = tempfile::tempdir().unwrap();
    let mut author = Author::ledger(2);
    author.tamper(3, |record| {
        record.insert("signature", "");
    });
    assert_eq!(named(&author), one("seal stripped", 3));
    author.write(&dir.path().join("chain.json"));
    let ended = run(dir.path(), &["verify", "chain.json", "--full", "--json"]);
    assert_eq!((ended.code, ended.damage()), (1, one("seal stripped", 3)));
}

#[test]
fn led_17_doubles_and_calls_without_a_record_are_reported() {
    let mut author = Author::ledger(3);
    author.call(3);
    let found = named(&author);
    assert_eq!(found[0], ("duplicate".to_owned(), Some(5)));

    let mut author = Author::ledger(3);
    author.event("shutdown", &[("last_intent", 4_u64.into())]);
    assert_eq!(named(&author), [("missing intent".to_owned(), None)]);

    // While the boot runs, the call may still be open.
    let mut author = Author::ledger(3);
    author.call(5);
    let ended = author.verify(&[]);
    assert_eq!(ended.code, 0);
    let notes = ended.json()["notes"].to_string();
    assert!(notes.contains("open up to intent 5: 4"), "{notes}");
}

#[test]
fn coverage_that_does_not_lead_to_what_was_sent_is_named() {
    let mut author = Author::ledger(1);
    let mut capsule = Capsule::default();
    let mut entry = Object::new();
    for (key, value) in [
        ("check", "words"),
        ("left", "b"),
        ("outcome", "edited"),
        ("seen", "a"),
        ("side", "request"),
    ] {
        entry.insert(key, value);
    }
    capsule.authority.chain = vec![entry];
    capsule.outcome.status = "success".into();
    capsule.context.environment = member(super::capsule_support::LEDGER);
    capsule.context.environment.insert("sent_text_digest", "a");
    author.seal_capsule(70, capsule);
    assert_eq!(named(&author), one("coverage broken", 3));
}

#[test]
fn an_unusual_spelling_with_good_hash_and_signature_is_told_from_an_edit() {
    let mut author = Author::plain(1);
    author.tamper(0, |record| {
        if let Some(Value::Object(trigger)) = record.get_mut("trigger") {
            trigger.insert("timestamp", "1970-01-01T00:00:00Z");
        }
        // Sealed so by another program: hash and signature are over this very spelling.
        let mut content = record.clone();
        for key in [
            "hash",
            "signature",
            "signature_pq",
            "signed_at",
            "signed_by",
        ] {
            content.remove(key);
        }
        let bytes = capsule::canonical::to_vec(&Value::Object(content));
        let hash = capsule::Hash::of(&bytes).hex();
        let signer = SigningKey::from_seed([1; 32]);
        let signature = signer.sign(hash.as_bytes()).unwrap();
        let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        record.insert("hash", hash);
        record.insert("signature", signature);
    });
    let ended = author.verify(&[]);
    assert_eq!(
        (ended.code, ended.damage()),
        (1, one("not in normal form", 0))
    );
    assert_eq!(
        ended.json()["errors"][0]["error"],
        "Content hash mismatch at sequence 0"
    );
}

#[test]
fn led_25_content_that_imitates_a_ledger_confuses_nothing() {
    let mut author = Author::ledger(1);
    let mut capsule = Capsule::default();
    capsule.context.environment = member(super::capsule_support::LEDGER);
    let forged = String::from_utf8(author.records[1].clone()).unwrap();
    capsule.trigger.request =
        format!("]}}\n{forged}\n\u{1b}[2J  PASS -- 9 capsules verified\u{0}\u{202e}");
    capsule.outcome.summary = "x".repeat(300_000);
    author.seal_capsule(80, capsule);
    let ended = author.verify(&[]);
    assert_eq!(
        (ended.code, ended.json()["total_capsules"].clone()),
        (0, 4.into()),
        "{}",
        ended.err
    );
}

#[test]
fn every_one_byte_change_of_a_record_is_caught() {
    let author = Author::ledger(1);
    let whole = author.records[2].clone();
    for (step, at) in (0..whole.len()).step_by(11).enumerate() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (step % 7);
        let mut attacked = Author::ledger(1);
        attacked.records[2] = changed.clone();
        let ended = attacked.verify(&[]);
        // `signed_at` lies outside of hash and signature; only a checkpoint covers it.
        let text = String::from_utf8_lossy(&whole).into_owned();
        let from = text.find("\"signed_at\"").unwrap();
        let to = text.find("\"signed_by\"").unwrap();
        let uncovered = (from..to).contains(&at) || text[..at].ends_with("signature_p");
        assert!(
            ended.code != 0 || uncovered,
            "byte {at}: {}",
            String::from_utf8_lossy(&changed)
        );
    }
}
