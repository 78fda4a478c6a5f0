//! One record by itself: content hash, signature, normal form. Runs on any thread, in any order.

use std::sync::{PoisonError, RwLock};

use capsule::PublicKey;
use capsule::chain::{self, Checked};
use capsule::json::Value;
use capsule::verify::{self, Failure, Keys, PostQuantum, Record, RecordError, ResultCode};
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
    post_quantum: PostQuantum,
    /// Keys that proven rotations have led to from an explicit key.
    rotated: RwLock<Vec<PublicKey>>,
}

/// What was found out about one record.
#[derive(Clone, Debug)]
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
    /// A signature that is not by the key it was checked with, for the key that a rotation named since.
    pub second_chance: Option<Box<SecondChance>>,
}

/// What is needed to check a signature again.
#[derive(Clone, Debug)]
pub struct SecondChance {
    job: SignatureJob,
    content: Result<(), Failure>,
    post_quantum: Result<(), Failure>,
}

impl Examined {
    /// Checks the signature again with the key that rotation records have led to by now.
    pub fn again(&mut self, key: PublicKey) {
        let Some(chance) = self.second_chance.take() else {
            return;
        };
        let job = SignatureJob { key, ..chance.job };
        if verify_signatures(&[job]) != [true] {
            return;
        }
        self.fault = None;
        self.seal.problem = None;
        self.accept(&chance.content, Some(key));
        self.post_quantum(&chance.post_quantum);
    }

    /// Takes over what was found about the post-quantum signature of a record that is good but for that.
    fn post_quantum(&mut self, result: &Result<(), Failure>) {
        let (Err(failure), None) = (result, &self.fault) else {
            return;
        };
        let kind = match failure.code {
            ResultCode::MissingPqSignature => Kind::SealStripped,
            _ => Kind::Edited,
        };
        self.seal.trust = Depth::Bad;
        self.seal.problem = Some((kind, failure.message.to_string()));
        self.fault = Some(Fault::Signature(failure.message.to_string()));
    }

    /// Takes over what was found about the content, below a signature by `key` if there is one.
    fn accept(&mut self, content: &Result<(), Failure>, key: Option<PublicKey>) {
        let seal = &mut self.seal;
        seal.key = key;
        let failure = match content {
            Ok(()) if key.is_some() => {
                seal.trust = Depth::Signed;
                return;
            }
            Ok(()) => {
                seal.trust = Depth::Content;
                return;
            }
            Err(failure) => failure,
        };
        self.fault = Some(Fault::Content);
        let (trust, kind, sentence) = match (&failure.normal_form, failure.code) {
            (Some(form), _) => (Depth::Content, Kind::NotNormalForm, form.to_string()),
            (None, ResultCode::MissingHash) => (
                Depth::Bad,
                Kind::SealStripped,
                "the record has no hash".to_owned(),
            ),
            (None, _) => (
                Depth::Bad,
                Kind::Edited,
                "the content is not what was hashed".to_owned(),
            ),
        };
        seal.trust = trust;
        seal.problem = Some((kind, sentence));
    }
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
    post_quantum: Result<(), Failure>,
}

impl Checker {
    /// A checker of this depth.
    #[must_use]
    pub fn new(level: Level, trust: Trust, post_quantum: PostQuantum, leaves: bool) -> Self {
        let keys = trust.keys();
        Checker {
            level,
            trust,
            leaves,
            keys,
            post_quantum,
            rotated: RwLock::default(),
        }
    }

    /// A rotation record, signed by the key before it, names this key: records that are labelled with it are by it.
    pub fn follow(&self, key: PublicKey) {
        let mut keys = self.rotated.write().unwrap_or_else(PoisonError::into_inner);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    fn followed(&self, signed_by: &str) -> Option<PublicKey> {
        let keys = self.rotated.read().unwrap_or_else(PoisonError::into_inner);
        let mut known = keys.iter();
        known.find(|key| key.fingerprint() == signed_by).copied()
    }

    /// Checks the records of a chunk.
    #[must_use]
    pub fn check(&self, mut chunk: Chunk) -> Batch {
        let mut batch = Batch {
            consumed: chunk.consumed,
            ..Batch::default()
        };
        let mut pending = Vec::with_capacity(chunk.len());
        for mut item in chunk.items() {
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
            second_chance: None,
            odd_sequence: odd(record.document().get("sequence")),
            stranger: self.level == Level::Signatures && !self.keys.knows(&seal.signed_by),
        };
        let mut pending = Pending {
            examined,
            job: None,
            content: Ok(()),
            post_quantum: verify::check_post_quantum(seal, &self.post_quantum),
        };
        if self.level == Level::Structural {
            return pending;
        }
        pending.content = verify::verify_content(record);
        let hopeless = matches!(&pending.content, Err(failure) if failure.normal_form.is_none());
        if self.level == Level::Signatures && !hopeless {
            self.signature(record, &mut pending);
        } else {
            pending.examined.accept(&pending.content, None);
        }
        pending
    }

    /// Prepares the signature for the batch, or, where it is missing or oddly spelled, checks it at once.
    fn signature(&self, record: &Record, pending: &mut Pending) {
        let seal = record.seal();
        let key = self
            .followed(&seal.signed_by)
            .or_else(|| self.trust.key_for(&seal.signed_by));
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
                pending.examined.post_quantum(&pending.post_quantum);
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
            if let (Trust::Explicit(_), Some(job)) = (&self.trust, pending.job.take()) {
                pending.examined.second_chance = Some(Box::new(SecondChance {
                    job,
                    content: pending.content.clone(),
                    post_quantum: pending.post_quantum.clone(),
                }));
            }
            return;
        }
        pending.examined.accept(&pending.content, key);
        pending.examined.post_quantum(&pending.post_quantum);
    }

    fn refuse(&self, pending: &mut Pending, code: ResultCode, message: String) {
        // Of a record whose form is unusual and whose signature is wrong, nothing is known to be good.
        if pending.content.is_err() {
            pending.examined.accept(&pending.content, None);
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
