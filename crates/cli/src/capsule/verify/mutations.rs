//! LED-19: ledgers with one mutation each. None passes that should not, each is named as what it is, and nothing panics.
//!
//! `SEALGATE_LONG_TESTS` makes ten million of them, `SEALGATE_SEED` repeats a run.

use std::collections::HashMap;

use capsule::json::{Limits, Object, Value, parse};
use capsule::{Capsule, Draft, Hash, Id, SigningKey, Timestamp, canonical};
use ledger::Chain;
use ledger::audit::{Audit, Kind};
use ledger::checkpoint::{Checkpoint, origin};
use ledger::tree::{Edge, leaf_hash};

use super::check::{Batch, Checker, Examined};
use super::report::Level;
use super::trust::Trust;
use super::{PostQuantum, Run};
use crate::capsule_cli::console::Console;
use crate::capsule_cli::input::Chunk;

const LEDGER: &str = "01900000-0000-7000-8000-000000000001";
const OTHER: &str = "01900000-0000-7000-8000-000000000002";
const BOOT: &str = "01900000-0000-7000-8000-0000000000b1";
/// Calls of a ledger. Genesis and boot come before them, the shutdown after.
const CALLS: u64 = 9;
const RECORDS: usize = CALLS as usize + 3;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

/// The records of a ledger, sealed by `signer`; call `without` was never recorded.
fn ledger(id: &str, signer: &SigningKey, without: Option<u64>, text: &str) -> Vec<Vec<u8>> {
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut head: Option<Hash> = None;
    let mut seal = |event: Option<&str>, more: &[(&'static str, Value)]| {
        let number = records.len() as u64;
        let mut capsule = Capsule::default();
        let mut bytes = [0xA0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes[8] ^= id.as_bytes()[35];
        capsule.id = Id::from_bytes(bytes);
        capsule.outcome.status = "success".into();
        capsule.trigger.request = format!("{text} {number}");
        let environment = &mut capsule.context.environment;
        environment.insert("boot", BOOT);
        environment.insert("ledger", id);
        if let Some(event) = event {
            environment.insert("event", event);
        }
        for (name, value) in more {
            environment.insert(*name, value.clone());
        }
        let linked = Draft::new(&capsule).unwrap().link(number, head.as_ref());
        let sealed = linked.seal(signer, Timestamp::new(0)).unwrap();
        head = Some(sealed.hash());
        records.push(sealed.record_json());
    };
    let keys = [
        ("public_key", Value::from(signer.public_key().hex())),
        ("checkpoint_key", Value::from(key(9).public_key().hex())),
    ];
    seal(Some("genesis"), &keys);
    seal(Some("boot"), &[]);
    for intent in (1..=CALLS).filter(|intent| Some(*intent) != without) {
        seal(None, &[("intent", Value::from(intent))]);
    }
    seal(Some("shutdown"), &[("last_intent", Value::from(CALLS))]);
    records
}

fn checkpoint(records: &[Vec<u8>]) -> Checkpoint {
    let mut edge = Edge::new();
    records
        .iter()
        .for_each(|record| edge.push(leaf_hash(record)));
    let origin = origin(&LEDGER.parse().unwrap(), &Chain::default());
    Checkpoint::sign(origin, edge.size(), edge.root(), &key(9)).unwrap()
}

/// Random numbers that a seed repeats (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// What must come of a mutation.
enum Due {
    /// This damage at this sequence, found at this level and above.
    Named(Kind, Option<u64>, Level),
    /// Some damage, or no record at all, from this level on.
    Refused(Level),
    /// As [`Due::Refused`] when the record is another one than before; anything when it only looks different.
    Compared(usize, Vec<u8>),
}

struct Bench {
    good: Vec<Vec<u8>>,
    /// The same ledger, sealed without one call.
    gap: Vec<Vec<u8>>,
    other: Vec<Vec<u8>>,
    /// Another history of the same ledger, by the same key.
    fork: Vec<Vec<u8>>,
    checkpoint: Checkpoint,
    checkers: [Checker; 2],
    seen: HashMap<(bool, Vec<u8>), Examined>,
}

impl Bench {
    fn new() -> Bench {
        let good = ledger(LEDGER, &key(1), None, "request");
        let checker = |level| {
            let trust = Trust::Explicit(key(1).public_key());
            Checker::new(level, trust, PostQuantum::Ignore, true)
        };
        let mut bench = Bench {
            gap: ledger(LEDGER, &key(1), Some(5), "request"),
            other: ledger(OTHER, &key(1), None, "request"),
            fork: ledger(LEDGER, &key(1), None, "question"),
            checkpoint: checkpoint(&good),
            good,
            checkers: [checker(Level::Full), checker(Level::Signatures)],
            seen: HashMap::new(),
        };
        for records in [
            bench.good.clone(),
            bench.gap.clone(),
            bench.other.clone(),
            bench.fork.clone(),
        ] {
            for record in records {
                for signatures in [false, true] {
                    let examined = bench.examine(signatures, &record).unwrap();
                    bench.seen.insert((signatures, record.clone()), examined);
                }
            }
        }
        bench
    }

    fn examine(&self, signatures: bool, record: &[u8]) -> Option<Examined> {
        if let Some(known) = self.seen.get(&(signatures, record.to_vec())) {
            return Some(known.clone());
        }
        let checker = &self.checkers[usize::from(signatures)];
        checker.check(Chunk::of_json(record.to_vec())).records.pop()
    }

    /// Whether the ledger is valid, and what is wrong with it. `None`: it holds something that is no record.
    fn judge(&self, signatures: bool, records: &[Vec<u8>], anchored: bool) -> Option<Vec<Finding>> {
        let mut audit = Audit::new();
        if anchored {
            audit = audit.with_checkpoint(self.checkpoint.clone());
        }
        let mut console = Console {
            out: Box::new(std::io::sink()),
            err: Box::new(std::io::sink()),
            colour: false,
            out_is_terminal: false,
            err_is_terminal: false,
        };
        let checker = &self.checkers[usize::from(signatures)];
        let mut run = Run::new(audit, checker.level, checker, None);
        for record in records {
            let batch = Batch {
                records: vec![self.examine(signatures, record)?],
                ..Batch::default()
            };
            run.take(batch, &mut console).unwrap();
        }
        let verdict = run.finish();
        let damage = verdict.damage.kept().iter();
        let mut found: Vec<Finding> = damage.map(|one| (Some(one.kind), one.sequence)).collect();
        if let Some(failure) = &verdict.failure {
            found.push((None, Some(failure.index)));
        }
        assert_eq!(found.is_empty(), verdict.valid());
        Some(found)
    }
}

/// A kind of damage (`None`: the failure of the chain in the reference's words) and where.
type Finding = (Option<Kind>, Option<u64>);

fn edited(record: &[u8], change: impl FnOnce(&mut Object)) -> Vec<u8> {
    let mut value = parse(record, &Limits::default()).unwrap();
    if let Value::Object(object) = &mut value {
        change(object);
    }
    canonical::to_vec(&value)
}

/// Gives a record the hash of its content.
fn rehashed(record: &[u8]) -> Vec<u8> {
    let hash = capsule::verify::Record::from_json(record)
        .unwrap()
        .content_hash();
    edited(record, |object| {
        object.insert("hash", hash.hex());
    })
}

/// One mutation of the ledger: its records, whether the checkpoint is at hand, what is due.
fn mutate(bench: &Bench, dice: &mut Dice) -> (Vec<Vec<u8>>, bool, Due) {
    use Level::{Full, Signatures};
    let mut records = bench.good.clone();
    let at = dice.below(RECORDS);
    let inner = 2 + dice.below(RECORDS - 4);
    let place = |at: usize| Some(at as u64);
    let due = match dice.below(14) {
        0 => {
            records.remove(inner);
            Due::Named(Kind::Missing, place(inner), Full)
        }
        1 => {
            records.swap(inner, inner + 1);
            Due::Named(Kind::Reordered, place(inner), Full)
        }
        2 => {
            records.truncate(1 + dice.below(RECORDS - 1));
            return (records, true, Due::Named(Kind::Truncated, None, Full));
        }
        3 => {
            let copy = records[inner].clone();
            records.insert(inner + 1, copy);
            Due::Named(Kind::Duplicate, place(inner), Full)
        }
        4 => {
            records[inner] = bench.other[inner].clone();
            Due::Named(Kind::WrongLedger, place(inner), Full)
        }
        5 => {
            records[at] = edited(&records[at], |object| {
                object.insert("domain", "agentz");
            });
            Due::Named(Kind::Edited, place(at), Full)
        }
        6 => {
            // The hash fits; only the signature tells, and the link of the next record.
            let changed = edited(&records[RECORDS - 1], |object| {
                object.insert("domain", "agentz");
            });
            records[RECORDS - 1] = rehashed(&changed);
            Due::Named(Kind::Edited, place(RECORDS - 1), Signatures)
        }
        7 => {
            records[at] = edited(&records[at], |object| {
                object.insert("signature", "");
            });
            Due::Named(Kind::SealStripped, place(at), Full)
        }
        8 => {
            // Sealed by somebody else, in the same place.
            let last = RECORDS - 1;
            let stranger = ledger(LEDGER, &key(2), None, "request");
            let link = parse(&records[last - 1], &Limits::default()).unwrap();
            let link = link.get("hash").cloned().unwrap_or_default();
            let moved = rehashed(&edited(&stranger[last], |object| {
                object.insert("previous_hash", link);
            }));
            records[last] = moved;
            Due::Refused(Signatures)
        }
        9 => {
            return (
                bench.gap.clone(),
                false,
                Due::Named(Kind::MissingIntent, None, Full),
            );
        }
        10 => {
            return (
                bench.fork.clone(),
                true,
                Due::Named(Kind::Forked, None, Full),
            );
        }
        11 => {
            let digits = if dice.below(2) == 0 {
                "signature"
            } else {
                "hash"
            };
            let from = dice.below(60);
            records[at] = edited(&records[at], |object| {
                let text = object
                    .get(digits)
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let old = text.as_bytes()[from];
                let new = if old == b'5' { '6' } else { '5' };
                let text = format!("{}{new}{}", &text[..from], &text[from + 1..]);
                object.insert(digits, text);
            });
            Due::Refused(if digits == "hash" { Full } else { Signatures })
        }
        12 => {
            // Any byte becomes any other.
            let byte = dice.below(records[at].len());
            let before = std::mem::take(&mut records[at]);
            let mut after = before.clone();
            after[byte] = after[byte].wrapping_add(1 + dice.below(255) as u8);
            records[at] = after;
            Due::Compared(at, before)
        }
        _ => {
            // Bytes go, come or move.
            let before = std::mem::take(&mut records[at]);
            let mut after = before.clone();
            let (from, length) = (dice.below(after.len()), 1 + dice.below(40));
            let to = (from + length).min(after.len());
            let piece: Vec<u8> = after.drain(from..to).collect();
            if dice.below(2) == 0 {
                let target = dice.below(after.len());
                after.splice(target..target, piece);
            }
            records[at] = after;
            Due::Compared(at, before)
        }
    };
    (records, false, due)
}

/// Whether two texts are the same sealed record for a second reader of JSON: equal content, hash, label, and signature by value.
fn same_record(left: &[u8], right: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let mut value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        let object = value.as_object_mut()?;
        for key in ["signed_at", "signature_pq"] {
            object.remove(key);
        }
        let signature = object.get("signature")?.as_str()?.to_ascii_lowercase();
        let signature: String = signature.split_ascii_whitespace().collect();
        object.insert("signature".to_owned(), signature.into());
        Some(value)
    };
    matches!((read(left), read(right)), (Some(left), Some(right)) if left == right)
}

#[test]
fn led_19_no_mutated_ledger_passes_and_each_is_named() {
    let long = std::env::var_os("SEALGATE_LONG_TESTS").is_some();
    let count: u64 = if long { 10_000_000 } else { 20_000 };
    let seed = std::env::var("SEALGATE_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut dice = Dice(seed.unwrap_or(0x9E37_79B9_7F4A_7C15));
    let bench = Bench::new();
    for signatures in [false, true] {
        assert_eq!(bench.judge(signatures, &bench.good, true), Some(Vec::new()));
    }
    for round in 0..count {
        let state = dice.0;
        let (records, anchored, due) = mutate(&bench, &mut dice);
        let judge = |signatures| bench.judge(signatures, &records, anchored);
        let refused = |signatures| judge(signatures).is_none_or(|found| !found.is_empty());
        match due {
            Due::Named(kind, at, from) => {
                for signatures in [false, true] {
                    let found = judge(signatures).unwrap_or_default();
                    let named = found
                        .iter()
                        .any(|one| one.0 == Some(kind) && (at.is_none() || one.1 == at));
                    let expected = signatures || from == Level::Full;
                    assert_eq!(
                        named, expected,
                        "round {round}, seed {state}: {kind:?} at {at:?}: {found:?}"
                    );
                }
            }
            Due::Refused(from) => {
                assert!(refused(true), "round {round}, seed {state}");
                assert!(
                    from == Level::Signatures || refused(false),
                    "round {round}, seed {state}"
                );
            }
            Due::Compared(at, before) => {
                let text = String::from_utf8_lossy(&records[at]).into_owned();
                let same = same_record(&before, &records[at]);
                assert!(same || refused(true), "round {round}, seed {state}: {text}");
            }
        }
    }
}
