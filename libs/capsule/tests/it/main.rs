//! Tests of the library through its public interface.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the helpers of tests may state what must hold"
)]

mod chain;
mod draft;
mod json;
mod kat;
mod keyring;
mod peer;
mod properties;
mod uri;
mod validate;
mod verify;

use capsule::json::{Limits, Value, parse};
use capsule::verify::Record;
use capsule::{
    Capsule, DecisionOption, Draft, Hash, Id, PublicKey, Sealed, SigningKey, Timestamp, ToolCall,
};

/// The key of the known answers: the seed 00, 01, .. 1f.
pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(std::array::from_fn(|at| at as u8))
}

pub(crate) fn public_key() -> PublicKey {
    key().public_key()
}

pub(crate) fn read(text: &str) -> Value {
    parse(text.as_bytes(), &Limits::default()).unwrap()
}

/// The three sealed records of the known-answer chain.
pub(crate) fn known_chain() -> Vec<Value> {
    let text = include_str!("../data/capsule-kat-chain3.json");
    read(text).as_array().unwrap().to_vec()
}

/// A record that uses every field.
pub(crate) fn sample() -> Capsule {
    let mut capsule = Capsule {
        id: "0199b2c4-7a00-7000-8000-000000000001".parse().unwrap(),
        domain: "tests".into(),
        parent_id: Some(Id::from_bytes([9; 16])),
        ..Capsule::default()
    };
    capsule.trigger.timestamp = Timestamp::new(1_767_225_600_120_000);
    capsule.trigger.request = "say \"hello\"\n".into();
    capsule.context.session_id = Some("session".into());
    capsule.context.environment.insert("observed", true);
    capsule.reasoning.confidence = 0.5;
    capsule.reasoning.options.push(DecisionOption {
        id: "opt_0".into(),
        description: "the only one".into(),
        pros: vec!["cheap".into()],
        feasibility: 1.0,
        selected: true,
        ..DecisionOption::default()
    });
    capsule.authority.chain.push([("level", 1)].into());
    capsule.execution.tool_calls.push(ToolCall {
        tool: "search".into(),
        result: Value::from(vec![1, 2]),
        success: true,
        ..ToolCall::default()
    });
    capsule.outcome.side_effects.push("none".into());
    capsule.outcome.metrics.insert("tokens_in", 5);
    capsule
}

pub(crate) fn seal(capsule: &Capsule, sequence: u64, previous: Option<&Hash>) -> Sealed {
    Draft::new(capsule)
        .unwrap()
        .link(sequence, previous)
        .seal(&key(), Timestamp::new(1_767_225_601_000_000))
        .unwrap()
}

/// Records of a chain of `length` made from [`sample`].
pub(crate) fn sealed_chain(length: u64) -> Vec<Sealed> {
    let mut previous = None;
    (0..length)
        .map(|sequence| {
            let mut capsule = sample();
            capsule.id = Id::from_bytes([sequence as u8; 16]);
            let sealed = seal(&capsule, sequence, previous.as_ref());
            previous = Some(sealed.hash());
            sealed
        })
        .collect()
}

/// A document with a good hash and a good signature, whatever it says.
pub(crate) fn sealed_document(document: &Value) -> Record {
    use capsule::Signer;
    let hash = Hash::of(&capsule::canonical::to_vec(document));
    let signature = key().sign(&hash.to_ascii()).unwrap();
    let mut record = document.as_object().unwrap().clone();
    record.insert("hash", hash.hex());
    record.insert("signature", hex(&signature));
    record.insert("signature_pq", "");
    record.insert("signed_at", "2026-01-01T00:00:00+00:00");
    record.insert("signed_by", public_key().fingerprint());
    Record::from_value(Value::Object(record)).unwrap()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The content of record `index` of the known chain, without its seal.
pub(crate) fn known_document(index: usize) -> Value {
    Record::from_value(known_chain()[index].clone())
        .unwrap()
        .document()
        .clone()
}

/// Sets the value at a path such as `reasoning.options.0.feasibility`; `None` removes it.
pub(crate) fn set(document: &mut Value, path: &str, value: Option<Value>) {
    let (parent, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = document;
    for step in parent.split('.').filter(|step| !step.is_empty()) {
        at = match at {
            Value::Object(object) => object.get_mut(step).unwrap(),
            Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
            other => panic!("{path}: cannot step into {}", other.type_name()),
        };
    }
    match (at, value) {
        (Value::Object(object), Some(value)) => drop(object.insert(last.to_owned(), value)),
        (Value::Object(object), None) => drop(object.remove(last)),
        (Value::Array(items), Some(value)) => items[last.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{path}: cannot set in {}", other.type_name()),
    }
}
