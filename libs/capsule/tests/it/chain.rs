//! Chains at every level: what each catches, and what each cannot.

use capsule::chain::{ChainFailure, ChainVerifier, Fault, Level, check};
use capsule::json::Value;
use capsule::verify::{Keys, Record};
use capsule::{Draft, Hash, SigningKey, Timestamp};

const LEVELS: [Level; 3] = [Level::Structural, Level::Full, Level::Signatures];

fn keys() -> Keys {
    Keys::explicit(&crate::public_key())
}

fn run(records: &[Record], level: Level) -> Result<u64, ChainFailure> {
    let mut chain = ChainVerifier::new(level, keys());
    for record in records {
        chain.push(record)?;
    }
    Ok(chain.verified())
}

fn records(length: u64) -> Vec<Record> {
    crate::sealed_chain(length)
        .iter()
        .map(|sealed| Record::from_json(&sealed.record_json()).unwrap())
        .collect()
}

fn edited(record: &Record, path: &str, value: impl Into<Value>) -> Record {
    let text = record.record_json();
    let mut whole = crate::read(std::str::from_utf8(&text).unwrap());
    crate::set(&mut whole, path, Some(value.into()));
    Record::from_value(whole).unwrap()
}

/// The levels at which the chain fails, and the first message.
fn caught(records: &[Record]) -> (Vec<Level>, String) {
    let failures = LEVELS.map(|level| (level, run(records, level)));
    let caught = failures.iter().filter(|(_, result)| result.is_err());
    let message = failures
        .iter()
        .find_map(|(_, result)| result.as_ref().err());
    (
        caught.map(|(level, _)| *level).collect(),
        message.map_or_else(String::new, |failure| failure.message.clone()),
    )
}

#[test]
fn a_good_chain_passes_every_level() {
    let records = records(5);
    for level in LEVELS {
        assert_eq!(run(&records, level), Ok(5));
        assert_eq!(run(&[], level), Ok(0));
    }
}

#[test]
fn each_damage_is_caught_at_its_level() {
    let good = records(4);
    let all = LEVELS.to_vec();
    let with = |at: usize, record: Record| {
        let mut records = good.clone();
        records[at] = record;
        caught(&records)
    };
    let content = (
        LEVELS[1..].to_vec(),
        "Content hash mismatch at sequence 2".to_owned(),
    );
    assert_eq!(with(2, edited(&good[2], "domain", "x")), content);
    assert_eq!(
        with(
            2,
            edited(&good[2], "trigger.timestamp", "2026-01-01T00:00:00Z")
        ),
        content
    );
    let signature = (
        vec![Level::Signatures],
        "Signature verification failed at sequence 1".to_owned(),
    );
    assert_eq!(
        with(1, edited(&good[1], "signature", "0".repeat(128))),
        signature
    );
    assert_eq!(with(1, edited(&good[1], "signature", "")), signature);
    assert_eq!(with(1, edited(&good[1], "signature", "zz")), signature);
    let link = (
        all.clone(),
        "Chain broken: previous_hash mismatch at sequence 3".to_owned(),
    );
    assert_eq!(
        with(3, edited(&good[3], "previous_hash", "0".repeat(64))),
        link
    );
    assert_eq!(
        with(3, edited(&good[3], "previous_hash", Value::Null)),
        link
    );
    assert_eq!(with(3, edited(&good[3], "previous_hash", 5)), link);
    assert_eq!(with(2, edited(&good[2], "hash", "0".repeat(64))).0, all);
    let gap = |got: &str| (all.clone(), format!("Sequence gap: expected 2, got {got}"));
    assert_eq!(with(2, edited(&good[2], "sequence", 7)), gap("7"));
    assert_eq!(with(2, edited(&good[2], "sequence", "2")), gap("\"2\""));
    assert_eq!(with(2, edited(&good[2], "sequence", -2)), gap("-2"));
    let genesis = "Genesis Capsule has previous_hash (should be None)".to_owned();
    assert_eq!(
        with(0, edited(&good[0], "previous_hash", "0".repeat(64))),
        (all.clone(), genesis)
    );
    // Neither hashed nor signed.
    assert_eq!(
        with(
            1,
            edited(&good[1], "signed_at", "2030-01-01T00:00:00+00:00")
        )
        .0,
        []
    );
    assert_eq!(with(1, edited(&good[1], "signed_by", "somebody")).0, []);
}

#[test]
fn records_that_are_missing_moved_or_doubled_are_caught_at_every_level() {
    let good = records(4);
    let pick = |order: &[usize]| order.iter().map(|&at| good[at].clone()).collect::<Vec<_>>();
    for (order, message) in [
        (&[1, 2, 3][..], "Sequence gap: expected 0, got 1"),
        (&[0, 2, 3], "Sequence gap: expected 1, got 2"),
        (&[0, 2, 1, 3], "Sequence gap: expected 1, got 2"),
        (&[0, 1, 1, 2], "Sequence gap: expected 2, got 1"),
        (&[3, 2, 1, 0], "Sequence gap: expected 0, got 3"),
    ] {
        assert_eq!(caught(&pick(order)), (LEVELS.to_vec(), message.to_owned()));
    }
    // A tail that was cut off leaves a good chain: only a checkpoint shows it.
    assert_eq!(caught(&pick(&[0, 1])).0, []);
}

#[test]
fn a_chain_rewritten_by_another_key_is_caught_by_signatures_only() {
    let forger = SigningKey::from_seed([66; 32]);
    let mut previous: Option<Hash> = None;
    let forged: Vec<Record> = (0..3)
        .map(|sequence| {
            let sealed = Draft::new(&crate::sample())
                .unwrap()
                .link(sequence, previous.as_ref())
                .seal(&forger, Timestamp::new(0))
                .unwrap();
            previous = Some(sealed.hash());
            Record::from_json(&sealed.record_json()).unwrap()
        })
        .collect();
    let message = "Signature verification failed at sequence 0".to_owned();
    assert_eq!(caught(&forged), (vec![Level::Signatures], message));
}

#[test]
fn the_first_broken_record_ends_the_verification() {
    let good = records(4);
    let mut chain = ChainVerifier::new(Level::Full, keys());
    chain.push(&good[0]).unwrap();
    let failure = chain.push(&edited(&good[1], "domain", "x")).unwrap_err();
    assert_eq!((failure.sequence, failure.capsule_id), (1, good[1].id()));
    assert!(matches!(&failure.fault, Fault::Content(why) if why.normal_form.is_none()));
    // Also for records that would have been good.
    assert_eq!(chain.push(&good[1]), Err(failure.clone()));
    assert_eq!(chain.failure(), Some(&failure));
    assert_eq!(chain.verified(), 1);
    assert_eq!(chain.head(), Some(&*good[0].seal().hash));
}

#[test]
fn the_command_line_tool_words_the_first_record_differently() {
    let good = records(1);
    let bad = edited(&good[0], "previous_hash", "0".repeat(64));
    let failure = run(&[bad], Level::Structural).unwrap_err();
    assert_eq!(failure.fault, Fault::Genesis);
    assert_eq!(
        failure.tool_message(),
        "Genesis capsule has previous_hash (should be null)"
    );
    assert_eq!(
        failure.to_string(),
        "Genesis Capsule has previous_hash (should be None)"
    );
}

#[test]
fn sequences_compare_as_python_compares_them() {
    let mut previous = Value::Null;
    for (position, sequence) in ["false", "true", "2.0", "3"].into_iter().enumerate() {
        let mut document = crate::known_document(0);
        crate::set(&mut document, "sequence", Some(crate::read(sequence)));
        crate::set(&mut document, "previous_hash", Some(previous.clone()));
        let record = crate::sealed_document(&document);
        let head = previous.as_str().map(str::to_owned);
        let mut chain = match head {
            None => ChainVerifier::new(Level::Signatures, keys()),
            Some(head) => ChainVerifier::resume(Level::Signatures, keys(), position as u64, head),
        };
        chain.push(&record).unwrap();
        previous = Value::from(&record.seal().hash);
    }
}

#[test]
fn checks_on_other_threads_give_the_same_answers() {
    let mut records = records(40);
    records[23] = edited(&records[23], "signature", "0".repeat(128));
    records[31] = edited(&records[31], "domain", "x");
    let keys = keys();
    for level in LEVELS {
        let checked: Vec<_> = std::thread::scope(|scope| {
            let halves: Vec<_> = records
                .chunks(7)
                .map(|chunk| {
                    let keys = &keys;
                    scope.spawn(move || {
                        chunk
                            .iter()
                            .map(|it| check(it, level, keys))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            halves
                .into_iter()
                .flat_map(|half| half.join().unwrap())
                .collect()
        });
        let mut chain = ChainVerifier::new(level, keys.clone());
        let result = checked
            .into_iter()
            .try_for_each(|record| chain.push_checked(record));
        assert_eq!(result.map(|()| 40), run(&records, level));
    }
}
