//! One record by itself: content hash, signature, normal form. Runs on any thread, in any order.

use capsule::chain::{self, Checked};
use capsule::json::Value;
use capsule::verify::{self, Failure, Keys, Record, RecordError, ResultCode};
use ledger::audit::{Facts, Kind, SealCheck, SignatureJob, Trust as Depth, verify_signatures};
use ledger::tree::{NodeHash, leaf_hash};

use super::report::Level;
use super::trust::Trust;
use crate::capsule_cli::input::{Chunk, Item};
use crate::capsule_cli::python;

/// What every worker needs to know.
#[derive(Debug)]
pub struct Checker {
    /// How deep to look.
    pub level: Level,
    /// Whose signatures count.
    pub trust: Trust,
    /// Whether leaf hashes are wanted, for a checkpoint.
    pub leaves: bool,
    keys: Keys,
}

/// What was found out about one record.
#[derive(Debug)]
pub struct Examined {
    /// What the chain needs: place, link and stored hash.
    pub place: Checked,
    /// What the audit needs.
    pub facts: Facts,
    /// What was found about hash and signature.
    pub seal: SealCheck,
    /// The stored hash, as the report shows it.
    pub hash: String,
    /// The leaf of the tree, where it is wanted.
    pub leaf: Option<NodeHash>,
    /// The first thing that is wrong with the record by itself, as the reference names it.
    pub fault: Option<Fault>,
    /// The label names no key that is known.
    pub stranger: bool,
    /// The sequence as the reference prints it, where it is no plain number.
    pub odd_sequence: Option<String>,
}

/// What is wrong with a record by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The content is not what was hashed.
    Content,
    /// The signature is missing or wrong; with the reason.
    Signature(String),
}

/// The records of one chunk, up to one that cannot be read.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records that could be read.
    pub records: Vec<Examined>,
    /// Why the next one could not be read.
    pub error: Option<RecordError>,
    /// How much of the input had been read.
    pub consumed: u64,
}

/// A record whose signature is still to be checked.
struct Pending {
    examined: Examined,
    job: Option<SignatureJob>,
    content: Result<(), Failure>,
}

impl Checker {
    /// A checker of this depth.
    #[must_use]
    pub fn new(level: Level, trust: Trust, leaves: bool) -> Self {
        let keys = trust.keys();
        Checker {
            level,
            trust,
            leaves,
            keys,
        }
    }

    /// Checks the records of a chunk.
    #[must_use]
    pub fn check(&self, chunk: Chunk) -> Batch {
        let mut batch = Batch {
            consumed: chunk.consumed,
            ..Batch::default()
        };
        let mut pending = Vec::with_capacity(chunk.len());
        for item in chunk.items() {
            match item.read() {
                Ok(record) => pending.push(self.examine(&record, &item)),
                Err(error) => {
                    batch.error = Some(error);
                    break;
                }
            }
        }
        let jobs: Vec<SignatureJob> = pending.iter().filter_map(|one| one.job.clone()).collect();
        let mut results = verify_signatures(&jobs).into_iter();
        for mut one in pending {
            if one.job.is_some() {
                let good = results.next().unwrap_or(false);
                self.judge(&mut one, good);
            }
            batch.records.push(one.examined);
        }
        batch
    }

    fn examine(&self, record: &Record, item: &Item<'_>) -> Pending {
        let mut facts = Facts::of(record);
        if let Item::Row(row) = item {
            let mismatch = record.check_columns(&row.columns()).err();
            facts.column_fault = mismatch.map(|mismatch| mismatch.to_string());
        }
        let seal = record.seal();
        let examined = Examined {
            place: chain::check(record, chain::Level::Structural, &self.keys),
            hash: seal.hash.clone(),
            leaf: self.leaves.then(|| leaf_hash(&record.record_json())),
            facts,
            seal: SealCheck {
                trust: Depth::Unchecked,
                key: None,
                problem: None,
            },
            fault: None,
            odd_sequence: odd(record.document().get("sequence")),
            stranger: self.level == Level::Signatures && !self.keys.knows(&seal.signed_by),
        };
        let mut pending = Pending {
            examined,
            job: None,
            content: Ok(()),
        };
        if self.level == Level::Structural {
            return pending;
        }
        pending.content = verify::verify_content(record);
        let hopeless = matches!(&pending.content, Err(failure) if failure.normal_form.is_none());
        if self.level == Level::Signatures && !hopeless {
            self.signature(record, &mut pending);
        } else {
            pending.content_only();
        }
        pending
    }

    /// Prepares the signature for the batch, or, where it is missing or oddly spelled, checks it at once.
    fn signature(&self, record: &Record, pending: &mut Pending) {
        let seal = record.seal();
        let key = self.trust.key_for(&seal.signed_by);
        let message = <[u8; 64]>::try_from(seal.hash.as_bytes()).ok();
        if let (Some(key), Some(message), Some(signature)) =
            (key, message, plain_hex(&seal.signature))
        {
            pending.job = Some(SignatureJob {
                message,
                signature,
                key,
            });
            return;
        }
        match verify::verify(record, &self.keys) {
            Ok(verified) => {
                let key = Some(*verified.key());
                pending.examined.seal = SealCheck {
                    trust: Depth::Signed,
                    key,
                    problem: None,
                };
            }
            Err(failure) => self.refuse(pending, failure.code, failure.message.into_owned()),
        }
    }

    /// The batch has decided about a signature.
    fn judge(&self, pending: &mut Pending, good: bool) {
        let key = pending.job.as_ref().map(|job| job.key);
        if !good {
            let message = "Ed25519 signature verification failed".to_owned();
            self.refuse(pending, ResultCode::InvalidSignature, message);
            return;
        }
        pending.content_only();
        pending.examined.seal.key = key;
        if pending.examined.seal.problem.is_none() {
            pending.examined.seal.trust = Depth::Signed;
        }
    }

    fn refuse(&self, pending: &mut Pending, code: ResultCode, message: String) {
        // Of a record whose form is unusual and whose signature is wrong, nothing is known to be good.
        if pending.content.is_err() {
            pending.content_only();
            pending.examined.seal.problem = Some((
                Kind::Edited,
                "neither form nor signature are those of a sealed record".to_owned(),
            ));
            return;
        }
        let facts = &pending.examined.facts;
        let problem = match code {
            ResultCode::MissingSignature | ResultCode::MissingHash => {
                (Kind::SealStripped, "the record has no signature".to_owned())
            }
            ResultCode::InvalidSignature if pending.examined.stranger => (
                Kind::UnknownKey,
                format!(
                    "sealed by {:?}, which is none of the trusted keys",
                    facts.signed_by
                ),
            ),
            _ => (Kind::Edited, format!("the signature is wrong: {message}")),
        };
        let message = match &self.trust {
            Trust::Unusable(error) if code == ResultCode::InvalidSignature => error.to_string(),
            _ => message,
        };
        pending.examined.seal = SealCheck {
            trust: Depth::Bad,
            key: None,
            problem: Some(problem),
        };
        pending.examined.fault = Some(Fault::Signature(message));
    }
}

impl Pending {
    /// Takes over what was found about the content.
    fn content_only(&mut self) {
        let seal = &mut self.examined.seal;
        match &self.content {
            Ok(()) => seal.trust = Depth::Content,
            Err(failure) => {
                self.examined.fault = Some(Fault::Content);
                let problem = match (&failure.normal_form, failure.code) {
                    (Some(form), _) => {
                        seal.trust = Depth::Content;
                        (Kind::NotNormalForm, form.to_string())
                    }
                    (None, ResultCode::MissingHash) => {
                        seal.trust = Depth::Bad;
                        (Kind::SealStripped, "the record has no hash".to_owned())
                    }
                    (None, _) => {
                        seal.trust = Depth::Bad;
                        (
                            Kind::Edited,
                            "the content is not what was hashed".to_owned(),
                        )
                    }
                };
                seal.problem = Some(problem);
            }
        }
    }
}

fn odd(sequence: Option<&Value>) -> Option<String> {
    match sequence {
        None => None,
        Some(value) if value.as_u64().is_some() => None,
        Some(value) => Some(python::text(value)),
    }
}

/// 128 hex digits as 64 bytes.
fn plain_hex(text: &str) -> Option<[u8; 64]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 64 || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; 64];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let high = char::from(*high).to_digit(16)?;
        let low = char::from(*low).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}
