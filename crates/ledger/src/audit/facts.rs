//! What the audit needs of one record, taken from it wherever the record is read: cheap to move between threads.

use capsule::json::Value;
use capsule::verify::Record;

use super::coverage;
use super::order::Link;

/// The facts of one record.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The lower-case hyphenated id.
    pub id: String,
    /// The sequence number; `None` when it is no number from 0 to 2^64-1.
    pub sequence: Option<u64>,
    /// What the record says about its predecessor.
    pub previous: Link,
    /// The hash that stands beside the record; `None` when it is not 64 hex digits.
    pub hash: Option<[u8; 32]>,
    /// The fingerprint that stands beside the record.
    pub signed_by: String,
    /// Whether hash and signature stand beside the record, good or bad.
    pub sealed: bool,
    /// The column of a stored row that does not repeat what the record says.
    pub column_fault: Option<String>,
    /// The record's own statements about the ledger that it belongs to.
    pub member: Option<Member>,
    /// Why its coverage does not hold.
    pub coverage_fault: Option<String>,
}

/// What a record of a ledger of ours says about its place in it (`context.environment`).
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Id of the ledger.
    pub ledger: String,
    /// Id of the boot that sealed it.
    pub boot: Option<String>,
    /// Number of its intent in that boot, from 1.
    pub intent: Option<u64>,
    /// Kind of system record.
    pub event: Option<Box<Event>>,
    /// Digest of the configuration under which the call ran.
    pub config: Option<String>,
}

/// A system record.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `genesis`, `boot`, `shutdown`, `recovery`, `adopt`, `config_change`, `key_rotation` ...
    pub name: String,
    /// The whole environment, for the few records that have one of these.
    pub environment: Value,
}

impl Facts {
    /// Takes the facts from a record. [`Facts::column_fault`] is left for the reader of a row.
    #[must_use]
    pub fn of(record: &Record) -> Facts {
        let document = record.document();
        let seal = record.seal();
        Facts {
            id: record.id().to_string(),
            sequence: sequence(document),
            previous: link(document.get("previous_hash")),
            hash: digits(&seal.hash),
            signed_by: seal.signed_by.clone(),
            sealed: !seal.hash.is_empty() && !seal.signature.is_empty(),
            column_fault: None,
            member: member(document),
            coverage_fault: coverage::fault(document),
        }
    }
}

/// The sequence number, as the reference compares it: `true` is 1, and `2.0` is 2.
fn sequence(document: &Value) -> Option<u64> {
    match document.get("sequence") {
        None => Some(0),
        Some(Value::Bool(flag)) => Some(u64::from(*flag)),
        Some(Value::Float(number)) if number.fract() == 0.0 => {
            format!("{:.0}", number + 0.0).parse().ok()
        }
        Some(number) => number.as_u64(),
    }
}

fn link(previous: Option<&Value>) -> Link {
    match previous {
        None | Some(Value::Null) => Link::None,
        Some(value) => match value.as_str().and_then(digits) {
            Some(hash) => Link::To(hash),
            None => Link::Unreadable,
        },
    }
}

/// 64 lower-case hex digits as 32 bytes.
fn digits(text: &str) -> Option<[u8; 32]> {
    capsule::Hash::from_hex(text)
        .ok()
        .map(|hash| *hash.as_bytes())
}

fn member(document: &Value) -> Option<Member> {
    let environment = document.get("context")?.get("environment")?;
    let text = |key: &str| environment.get(key).and_then(Value::as_str);
    let event = text("event").map(|name| {
        Box::new(Event {
            name: name.to_owned(),
            environment: environment.clone(),
        })
    });
    Some(Member {
        ledger: text("ledger")?.to_owned(),
        boot: text("boot").map(str::to_owned),
        intent: environment.get("intent").and_then(Value::as_u64),
        event,
        config: text("config_digest").map(str::to_owned),
    })
}
