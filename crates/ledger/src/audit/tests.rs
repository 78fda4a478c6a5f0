//! Ledgers built with the library, then attacked.

use capsule::json::{Object, Value};
use capsule::verify::{Keys, Record, verify};
use capsule::{Capsule, Draft, Hash, Id, Signer, SigningKey, Timestamp};

use super::*;
use crate::checkpoint::{Checkpoint, origin};
use crate::journal::Chain;
use crate::tree::{Edge, leaf_hash};

const LEDGER: &str = "01900000-0000-7000-8000-000000000001";
const BOOT: &str = "01900000-0000-7000-8000-0000000000b1";

/// Seals records into a chain.
struct Author {
    signer: SigningKey,
    records: Vec<Record>,
    head: Option<Hash>,
}

impl Author {
    fn new() -> Author {
        Author {
            signer: SigningKey::from_seed([1; 32]),
            records: Vec::new(),
            head: None,
        }
    }

    /// A ledger with a genesis, a boot and `calls` calls.
    fn ledger(calls: u64) -> Author {
        let mut author = Author::new();
        let checkpoint_key = SigningKey::from_seed([9; 32]).public_key().hex();
        let public_key = author.signer.public_key().hex();
        author.event(
            "genesis",
            &[
                ("public_key", public_key.into()),
                ("checkpoint_key", checkpoint_key.into()),
            ],
        );
        author.event("boot", &[]);
        for number in 1..=calls {
            author.call(number);
        }
        author
    }

    fn seal(&mut self, number: u64, environment: Object) -> &mut Record {
        let sequence = self.records.len() as u64;
        let mut id = [0xA0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let mut capsule = Capsule {
            id: Id::from_bytes(id),
            ..Capsule::default()
        };
        capsule.context.environment = environment;
        capsule.outcome.status = "success".into();
        self.sealed(&capsule, sequence)
    }

    fn sealed(&mut self, capsule: &Capsule, sequence: u64) -> &mut Record {
        let linked = Draft::new(capsule)
            .unwrap()
            .link(sequence, self.head.as_ref());
        let sealed = linked.seal(&self.signer, Timestamp::new(0)).unwrap();
        self.head = Some(sealed.hash());
        let record = Record::from_json(&sealed.record_json()).unwrap();
        self.records.push(record);
        self.records.last_mut().unwrap()
    }

    fn event(&mut self, name: &str, more: &[(&'static str, Value)]) {
        let mut environment = member(LEDGER);
        environment.insert("event", name);
        for (key, value) in more {
            environment.insert(*key, value.clone());
        }
        self.seal(1_000 + self.records.len() as u64, environment);
    }

    fn call(&mut self, intent: u64) {
        let mut environment = member(LEDGER);
        environment.insert("intent", intent);
        self.seal(intent, environment);
    }

    fn checkpoint(&self, ledger: &str) -> Checkpoint {
        let mut edge = Edge::new();
        for record in &self.records {
            edge.push(leaf_hash(&record.record_json()));
        }
        let origin = origin(&ledger.parse().unwrap(), &Chain::default());
        let signer = SigningKey::from_seed([9; 32]);
        Checkpoint::sign(origin, edge.size(), edge.root(), &signer).unwrap()
    }

    fn audit(&self) -> (Vec<(Kind, Option<u64>)>, Vec<String>) {
        self.audit_with(Audit::new())
    }

    /// Audits as the readers do: each record verified by the key that it names, or any that is known.
    fn audit_with(&self, mut audit: Audit) -> (Vec<(Kind, Option<u64>)>, Vec<String>) {
        let signers: Vec<SigningKey> = (1..4)
            .map(|seed| SigningKey::from_seed([seed; 32]))
            .collect();
        for record in &self.records {
            let key = signers
                .iter()
                .map(SigningKey::public_key)
                .find(|key| verify(record, &Keys::explicit(key)).is_ok());
            let (trust, problem) = match key {
                Some(_) => (Trust::Signed, None),
                None => (Trust::Bad, Some((Kind::Edited, "bad".to_owned()))),
            };
            let seal = SealCheck {
                trust,
                key,
                problem,
            };
            audit.push(
                &Facts::of(record),
                &seal,
                Some(leaf_hash(&record.record_json())),
            );
        }
        let outcome = audit.finish();
        let kept = outcome.damage.kept().iter();
        (
            kept.map(|damage| (damage.kind, damage.sequence)).collect(),
            outcome.notes,
        )
    }
}

fn member(ledger: &str) -> Object {
    let mut environment = Object::new();
    environment.insert("boot", BOOT);
    environment.insert("ledger", ledger);
    environment
}

#[test]
fn a_whole_ledger_has_no_damage_and_open_calls_are_listed() {
    let mut author = Author::ledger(3);
    author.call(6);
    let (damage, notes) = author.audit();
    assert_eq!(damage, []);
    assert!(
        notes
            .iter()
            .any(|note| note.contains("open up to intent 6: 4 to 5")),
        "{notes:?}"
    );
    author.call(4);
    author.call(5);
    author.event("shutdown", &[("last_intent", 6_u64.into())]);
    let (damage, notes) = author.audit();
    assert_eq!((damage, notes), (vec![], vec![format!("ledger {LEDGER}")]));
}

#[test]
fn a_call_without_a_record_is_missing_once_its_boot_is_closed() {
    for (event, more) in [
        ("shutdown", vec![]),
        ("recovery", vec![("closed_boot", Value::from(BOOT))]),
    ] {
        let mut author = Author::ledger(2);
        author.call(4);
        let last = ("last_intent", Value::from(5_u64));
        author.event(event, &[&[last], more.as_slice()].concat());
        let (damage, _) = author.audit();
        assert_eq!(
            damage,
            [(Kind::MissingIntent, None), (Kind::MissingIntent, None)]
        );
    }
}

#[test]
fn records_of_another_ledger_and_doubles_are_named() {
    let mut author = Author::ledger(2);
    author.seal(50, member("01900000-0000-7000-8000-000000000002"));
    author.call(2);
    author.seal(1, member(LEDGER));
    author.event("genesis", &[]);
    let (damage, _) = author.audit();
    assert_eq!(
        damage,
        [
            (Kind::WrongLedger, Some(4)),
            // Id and intent of a call that has a record, reported once.
            (Kind::Duplicate, Some(5)),
            (Kind::Duplicate, Some(6)),
            (Kind::Duplicate, Some(7)),
        ]
    );
}

#[test]
fn a_beheaded_ledger_is_still_audited() {
    let mut author = Author::ledger(2);
    author.records.remove(0);
    author.seal(50, member("01900000-0000-7000-8000-000000000002"));
    // The author's chain is one record longer than it says now.
    let (damage, _) = author.audit();
    assert!(damage.contains(&(Kind::Missing, Some(0))), "{damage:?}");
    assert!(
        damage.iter().any(|(kind, _)| *kind == Kind::WrongLedger),
        "{damage:?}"
    );
}

#[test]
fn records_of_other_programs_are_a_note_under_the_ledgers_key_and_damage_under_another() {
    let mut author = Author::ledger(1);
    author.seal(60, Object::new());
    let (damage, notes) = author.audit();
    assert_eq!(damage, []);
    assert!(
        notes
            .iter()
            .any(|note| note.contains("1 records were written by another program"))
    );
    author.signer = SigningKey::from_seed([2; 32]);
    author.seal(61, Object::new());
    author.call(2);
    let (damage, _) = author.audit();
    assert_eq!(
        damage,
        [(Kind::UnknownKey, Some(4)), (Kind::UnknownKey, Some(5))]
    );
}

#[test]
fn a_label_that_is_not_the_ledgers_key_is_not_accepted() {
    let mut author = Author::ledger(1);
    let text = author.records[2].record_json();
    let own = author.signer.fingerprint();
    let forged = String::from_utf8(text)
        .unwrap()
        .replace(&own, "ffffffffffffffff");
    author.records[2] = Record::from_json(forged.as_bytes()).unwrap();
    assert_eq!(author.audit().0, [(Kind::UnknownKey, Some(2))]);
}

#[test]
fn a_sealed_rotation_changes_the_key_and_the_old_one_is_refused_afterwards() {
    let rotated = |message_sequence: u64| {
        let mut author = Author::ledger(1);
        let next = SigningKey::from_seed([2; 32]);
        let message = rotation_message(
            LEDGER,
            &author.signer.public_key(),
            &next.public_key(),
            message_sequence,
        );
        let signature: String = next
            .sign(&message)
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        author.event(
            "key_rotation",
            &[
                ("new_public_key", next.public_key().hex().into()),
                ("new_key_signature", signature.into()),
            ],
        );
        author.signer = next;
        author.call(2);
        author
    };
    assert_eq!(rotated(3).audit().0, []);
    let mut retired = rotated(3);
    retired.signer = SigningKey::from_seed([1; 32]);
    retired.call(3);
    assert_eq!(retired.audit().0, [(Kind::UnknownKey, Some(5))]);
    // The new key signed another place: it is no heir.
    assert_eq!(
        rotated(7).audit().0,
        [(Kind::UnknownKey, Some(3)), (Kind::UnknownKey, Some(4))]
    );
}

#[test]
fn a_configuration_that_nobody_announced_is_named() {
    let call = |author: &mut Author, number: u64, config: &str| {
        let mut environment = member(LEDGER);
        environment.insert("intent", number);
        environment.insert("config_digest", config);
        author.seal(number, environment);
    };
    let mut author = Author::ledger(0);
    call(&mut author, 1, "a");
    call(&mut author, 2, "b");
    assert_eq!(author.audit().0, [(Kind::UnloggedChange, Some(3))]);

    let mut author = Author::ledger(0);
    author.event("config_change", &[("config_digest", "a".into())]);
    call(&mut author, 1, "a");
    author.event("config_change", &[("config_digest", "b".into())]);
    call(&mut author, 2, "b");
    // A call that began before the change ends under what it began with.
    call(&mut author, 3, "a");
    assert_eq!(author.audit().0, []);
    call(&mut author, 4, "c");
    assert_eq!(author.audit().0, [(Kind::UnloggedChange, Some(7))]);
}

#[test]
fn a_checkpoint_finds_truncation_forks_and_other_ledgers() {
    let mut author = Author::ledger(5);
    let checkpoint = author.checkpoint(LEDGER);
    let with = |author: &Author, checkpoint: &Checkpoint| {
        author
            .audit_with(Audit::new().with_checkpoint(checkpoint.clone()))
            .0
    };
    assert_eq!(with(&author, &checkpoint), []);
    author.call(6);
    assert_eq!(with(&author, &checkpoint), []);

    let mut shorter = Author::ledger(5);
    shorter.records.truncate(4);
    assert_eq!(with(&shorter, &checkpoint), [(Kind::Truncated, None)]);
    shorter.records.clear();
    assert_eq!(with(&shorter, &checkpoint), [(Kind::Truncated, None)]);

    let mut forked = Author::ledger(4);
    forked.call(7);
    assert_eq!(with(&forked, &checkpoint), [(Kind::Forked, None)]);

    // Damage with a name of its own is not called a fork as well.
    let mut edited = Author::ledger(5);
    edited.records[3] = {
        let text = String::from_utf8(edited.records[3].record_json()).unwrap();
        Record::from_json(text.replace("\"agents\"", "\"agentz\"").as_bytes()).unwrap()
    };
    assert_eq!(with(&edited, &checkpoint), [(Kind::Edited, Some(3))]);

    let other = author.checkpoint("01900000-0000-7000-8000-000000000002");
    assert_eq!(with(&author, &other), [(Kind::WrongLedger, None)]);

    let mut unsigned = checkpoint.clone();
    unsigned.note = unsigned
        .note
        .replace(&format!("\n{}\n", checkpoint.size), "\n6\n");
    assert_eq!(with(&author, &unsigned), [(Kind::UnknownKey, None)]);

    let mut plain = Author::new();
    for number in 0..7 {
        plain.seal(number, Object::new());
    }
    let found = with(&plain, &checkpoint);
    assert!(found.contains(&(Kind::WrongLedger, None)), "{found:?}");
}

#[test]
fn a_gap_that_an_operator_adopted_is_always_shown() {
    let mut author = Author::ledger(1);
    author.event("adopt", &[("gap", "truncated".into())]);
    author.call(2);
    let (damage, notes) = author.audit();
    assert_eq!(damage, []);
    assert!(
        notes
            .iter()
            .any(|note| note.contains("at sequence 3 an operator adopted a gap: truncated"))
    );
}

#[test]
fn a_plain_chain_is_looked_at_for_order_and_seals_only() {
    let mut plain = Author::new();
    for number in 0..3 {
        let mut environment = Object::new();
        environment.insert("intent", 7_u64);
        plain.seal(number, environment);
    }
    assert_eq!(plain.audit(), (vec![], vec![]));
}

#[test]
fn content_that_imitates_a_genesis_does_not_found_a_ledger() {
    let mut plain = Author::new();
    plain.seal(1, Object::new());
    let mut capsule = Capsule::default();
    capsule.trigger.request =
        format!(r#"{{"environment":{{"event":"genesis","ledger":"{LEDGER}"}}}}"#);
    plain.sealed(&capsule, 1);
    let mut nested = Object::new();
    nested.insert("event", "genesis");
    nested.insert("ledger", LEDGER);
    plain.seal(3, nested);
    assert_eq!(plain.audit(), (vec![], vec![]));
}
