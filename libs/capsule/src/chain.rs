//! Verification of chains, record by record in constant memory (Capsule Protocol 1.0, chain).

use std::fmt;

use crate::canonical;
use crate::id::Id;
use crate::json::Value;
use crate::verify::{self, Failure, Keys, Record};

/// How much of each record is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Sequence and links; the stored hashes are trusted.
    Structural,
    /// And the hash of every document. A chain that was rewritten as a whole passes.
    Full,
    /// And every signature.
    Signatures,
}

impl Level {
    /// The reference's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Structural => "structural",
            Level::Full => "full",
            Level::Signatures => "signatures",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The first record that breaks a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFailure {
    /// Position of the record, from 0: the sequence that it should have.
    pub sequence: u64,
    /// The record's identifier.
    pub capsule_id: Id,
    /// What is wrong.
    pub fault: Fault,
    /// The words of the reference's programming interface.
    pub message: String,
}

/// What can be wrong with a record of a chain, in the order in which it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The record's sequence is not its position.
    Sequence {
        /// The sequence that it says, as JSON text.
        got: String,
    },
    /// The first record has a predecessor.
    Genesis,
    /// The link is not the predecessor's hash.
    Link,
    /// The content is not what was hashed, or not in normal form.
    Content(Failure),
    /// The signature is missing or not good.
    Signature(Failure),
}

impl std::error::Error for ChainFailure {}

impl fmt::Display for ChainFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ChainFailure {
    fn new(sequence: u64, capsule_id: Id, fault: Fault) -> ChainFailure {
        let message = match &fault {
            Fault::Sequence { got } => format!("Sequence gap: expected {sequence}, got {got}"),
            Fault::Genesis => "Genesis Capsule has previous_hash (should be None)".to_owned(),
            Fault::Link => format!("Chain broken: previous_hash mismatch at sequence {sequence}"),
            Fault::Content(_) => format!("Content hash mismatch at sequence {sequence}"),
            Fault::Signature(_) => {
                format!("Signature verification failed at sequence {sequence}")
            }
        };
        ChainFailure {
            sequence,
            capsule_id,
            fault,
            message,
        }
    }

    /// The words of the reference's command line tool.
    #[must_use]
    pub fn tool_message(&self) -> String {
        match &self.fault {
            Fault::Genesis => "Genesis capsule has previous_hash (should be null)".to_owned(),
            _ => self.message.clone(),
        }
    }
}

/// The checks of one record that need no neighbour; they may run on any thread, in any order.
#[derive(Debug, Clone)]
pub struct Checked {
    capsule_id: Id,
    sequence: Place,
    previous: Previous,
    hash: String,
    verdict: Result<(), Fault>,
}

/// What a record says about its place.
#[derive(Debug, Clone)]
enum Place {
    /// A number from 0.
    At(u64),
    /// Anything else, as JSON text.
    Other(String),
}

#[derive(Debug, Clone)]
enum Previous {
    Null,
    Text(String),
    /// A value that no hash equals.
    Other,
}

/// Does for one record what needs no neighbour: everything of the level but sequence and link.
#[must_use]
pub fn check(record: &Record, level: Level, keys: &Keys) -> Checked {
    let verdict = match level {
        Level::Structural => Ok(()),
        Level::Full => verify::verify_content(record).map_err(Fault::Content),
        Level::Signatures => signatures(record, keys),
    };
    Checked {
        capsule_id: record.id(),
        sequence: place(record.document().get("sequence")),
        previous: match record.document().get("previous_hash") {
            None | Some(Value::Null) => Previous::Null,
            Some(Value::String(text)) => Previous::Text(text.clone()),
            Some(_) => Previous::Other,
        },
        hash: record.seal().hash.clone(),
        verdict,
    }
}

fn signatures(record: &Record, keys: &Keys) -> Result<(), Fault> {
    use verify::ResultCode::{HashMismatch, MissingHash};
    match verify::verify(record, keys) {
        Ok(_) => Ok(()),
        Err(failure) if matches!(failure.code, HashMismatch | MissingHash) => {
            Err(Fault::Content(failure))
        }
        // A hash that is no hex cannot be that of the content either, which is looked at first.
        Err(failure) => match verify::verify_content(record) {
            Ok(()) => Err(Fault::Signature(failure)),
            Err(content) => Err(Fault::Content(content)),
        },
    }
}

/// The sequence as Python compares it: `true` is 1, and `2.0` is 2.
fn place(sequence: Option<&Value>) -> Place {
    let at = match sequence {
        None => Some(0),
        Some(Value::Bool(flag)) => Some(u64::from(*flag)),
        Some(Value::Float(float)) if float.fract() == 0.0 => {
            format!("{:.0}", float + 0.0).parse().ok()
        }
        Some(value) => value.as_u64(),
    };
    match (at, sequence) {
        (Some(at), _) => Place::At(at),
        (None, value) => {
            let text = value.map(canonical::to_vec).unwrap_or_default();
            Place::Other(String::from_utf8_lossy(&text).into_owned())
        }
    }
}

/// Verifies a chain, one record after the other, in constant memory.
///
/// ```
/// use capsule::chain::{ChainVerifier, Level};
/// use capsule::verify::{Keys, Record};
/// # let text = include_bytes!("../tests/data/capsule-kat-chain3.json");
/// let records = capsule::json::parse(text, &capsule::json::Limits::default())?;
/// let key = capsule::PublicKey::from_hex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")?;
/// let mut chain = ChainVerifier::new(Level::Signatures, Keys::explicit(&key));
/// for record in records.as_array().unwrap_or_default() {
///     chain.push(&Record::from_value(record.clone())?)?;
/// }
/// assert_eq!(chain.verified(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ChainVerifier {
    level: Level,
    keys: Keys,
    next: u64,
    /// Stored hash of the last record.
    head: Option<String>,
    failure: Option<ChainFailure>,
}

impl ChainVerifier {
    /// Begins at the start of a chain. The keys matter at [`Level::Signatures`] only.
    #[must_use]
    pub fn new(level: Level, keys: Keys) -> ChainVerifier {
        ChainVerifier {
            level,
            keys,
            next: 0,
            head: None,
            failure: None,
        }
    }

    /// Begins after the record with the hash `head`, which is trusted, expecting the sequence `next`.
    #[must_use]
    pub fn resume(level: Level, keys: Keys, next: u64, head: String) -> ChainVerifier {
        ChainVerifier {
            next,
            head: Some(head),
            ..ChainVerifier::new(level, keys)
        }
    }

    /// Checks the next record.
    ///
    /// # Errors
    /// [`ChainFailure`] for the first record that is not good; from then on always the same.
    pub fn push(&mut self, record: &Record) -> Result<(), ChainFailure> {
        if self.failure.is_none() && !self.in_place(record) {
            // Sequence and link come first and are cheap: no need to hash.
            return self.push_checked(check(record, Level::Structural, &self.keys));
        }
        self.push_checked(check(record, self.level, &self.keys))
    }

    fn in_place(&self, record: &Record) -> bool {
        record.sequence() == Some(self.next) && record.previous_hash() == self.head.as_deref()
    }

    /// Checks the place of the next record, whose other checks [`check`] has done at this level.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_checked(&mut self, record: Checked) -> Result<(), ChainFailure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        match self.fault(&record) {
            None => {
                self.next += 1;
                self.head = Some(record.hash);
                Ok(())
            }
            Some(fault) => {
                let failure = ChainFailure::new(self.next, record.capsule_id, fault);
                self.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    fn fault(&self, record: &Checked) -> Option<Fault> {
        match &record.sequence {
            Place::At(at) if *at == self.next => {}
            Place::At(at) => {
                return Some(Fault::Sequence {
                    got: at.to_string(),
                });
            }
            Place::Other(got) => return Some(Fault::Sequence { got: got.clone() }),
        }
        match (&self.head, &record.previous) {
            (None, Previous::Null) => {}
            (None, _) => return Some(Fault::Genesis),
            (Some(head), Previous::Text(link)) if link == head => {}
            (Some(_), _) => return Some(Fault::Link),
        }
        record.verdict.clone().err()
    }

    /// The number of records that were good.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.next
    }

    /// The stored hash of the last good record.
    #[must_use]
    pub fn head(&self) -> Option<&str> {
        self.head.as_deref()
    }

    /// The failure that ended the verification.
    #[must_use]
    pub fn failure(&self) -> Option<&ChainFailure> {
        self.failure.as_ref()
    }
}
