//! Is this ledger whole? Checks beyond hashes, links and signatures, over a stream of records in constant memory.
//!
//! The reader of the records checks each one by itself (content hash, signature, normal form) and passes what it found
//! as a [`SealCheck`], with the record's [`Facts`]. The audit looks at the order of the records, at what they say
//! about the ledger that they belong to, and at a signed checkpoint. It finds out by itself whether the chain is a
//! ledger of ours: its genesis says so. For any other chain only order and seals are looked at.

mod batch;
mod boots;
mod coverage;
mod damage;
mod facts;
mod intervals;
mod keys;
mod order;
mod seen;
mod tree;

pub use batch::{SignatureJob, verify_signatures};
pub use damage::{Damage, Damages, KEPT, Kind};
pub use facts::{Event, Facts, Member};
pub use keys::{rotation_message, verify_rotation};
pub use order::{Link, Trust};

use std::collections::BTreeSet;

use capsule::PublicKey;

use crate::checkpoint::Checkpoint;
use crate::tree::NodeHash;
use boots::Boots;
use keys::KeyHistory;
use order::{Order, Place};
use seen::Seen;
use tree::TreeCheck;

/// How many configuration digests are remembered.
const CONFIGS: usize = 4_096;

/// How many adopted gaps are listed.
const ADOPTIONS: usize = 100;

/// What the reader of a record found out about its seal.
#[derive(Clone, Debug)]
pub struct SealCheck {
    /// How far hash and signature were checked, and whether they are good.
    pub trust: Trust,
    /// The key whose signature is good, when signatures were checked.
    pub key: Option<PublicKey>,
    /// What is wrong, by name and as a sentence.
    pub problem: Option<(Kind, String)>,
}

/// What an audit ends with.
#[derive(Debug)]
pub struct Outcome {
    /// Everything that is wrong.
    pub damage: Damages,
    /// What is worth knowing and does no harm.
    pub notes: Vec<String>,
    /// The id of the ledger, where the chain is a ledger of ours.
    pub ledger: Option<String>,
}

/// Follows one chain from its first record to its last.
#[derive(Debug, Default)]
pub struct Audit {
    order: Order,
    ids: Seen,
    ledger: Option<Ours>,
    tree: Option<TreeCheck>,
    damage: Damages,
    records: u64,
    /// Rows of a chain that is not ours whose columns do not repeat the document.
    column_faults: u64,
}

/// What is known of a ledger of ours.
#[derive(Debug)]
struct Ours {
    id: String,
    boots: Boots,
    keys: KeyHistory,
    /// Configuration digests that a sealed change announced.
    announced: BTreeSet<String>,
    /// The configuration of the boot that runs, where no change was ever announced.
    config: Option<String>,
    foreign: u64,
    first_foreign: Option<u64>,
    /// One sentence for each gap that an operator adopted.
    adopted: Vec<String>,
}

impl Audit {
    /// An audit of a chain of which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Audit::default()
    }

    /// Compares the chain with this checkpoint as well. Its signature is checked with the key that the genesis names.
    #[must_use]
    pub fn with_checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.tree = Some(TreeCheck::new(checkpoint));
        self
    }

    /// Whether [`Audit::push`] wants the leaf hash of the next record.
    #[must_use]
    pub fn wants_leaves(&self) -> bool {
        self.tree.is_some()
    }

    /// The key that must seal the next record of a ledger of ours, as far as genesis and rotation records prove it:
    /// each of them was signed, by the key before. `None` for other chains, and where signatures are not checked.
    #[must_use]
    pub fn proven_key(&self) -> Option<PublicKey> {
        self.ledger.as_ref()?.keys.proven()
    }

    /// Whether anything has been found so far.
    #[must_use]
    pub fn found_damage(&self) -> bool {
        !self.damage.is_empty()
    }

    /// Takes the next record. `leaf` is the RFC 6962 leaf hash of the full sealed record, where it is wanted.
    pub fn push(&mut self, facts: &Facts, seal: &SealCheck, leaf: Option<NodeHash>) {
        let mut found = Vec::new();
        if let Some((kind, message)) = &seal.problem {
            found.push(about(facts, *kind, message.clone()));
        }
        match facts.sequence {
            Some(sequence) => {
                let place = Place {
                    sequence,
                    id: &facts.id,
                    previous: facts.previous,
                    hash: facts.hash,
                    trust: seal.trust,
                };
                self.order.push(place, &mut found);
            }
            None => found.push(about(
                facts,
                Kind::Edited,
                format!(
                    "record {} of the input has no sequence number",
                    self.records
                ),
            )),
        }
        self.known_ids(facts, &mut found);
        if self.ledger.is_none() {
            self.ledger = Ours::begin(facts, self.records);
        }
        match &mut self.ledger {
            Some(ours) => ours.push(facts, seal, &mut found),
            None if facts.column_fault.is_some() => self.column_faults += 1,
            None => {}
        }
        for damage in found {
            self.damage.push(damage);
        }
        if let (Some(tree), Some(leaf)) = (&mut self.tree, leaf) {
            tree.push(facts, leaf, &mut self.damage);
        }
        self.records += 1;
    }

    /// The end of the input.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        let mut found = Vec::new();
        let mut notes = Vec::new();
        self.order.finish(&mut found);
        if let Some(ours) = &self.ledger {
            ours.finish(&mut found, &mut notes);
        }
        if self.column_faults > 0 {
            notes.push(format!(
                "{} rows have columns that do not repeat what their record says",
                self.column_faults
            ));
        }
        for damage in found {
            self.damage.push(damage);
        }
        if let Some(tree) = self.tree {
            tree.finish(self.order.next(), &mut self.damage, &mut notes);
        }
        Outcome {
            damage: self.damage,
            notes,
            ledger: self.ledger.map(|ours| ours.id),
        }
    }

    fn known_ids(&mut self, facts: &Facts, found: &mut Vec<Damage>) {
        if !self.ids.insert(facts.id.as_bytes()) && !is_double(found) {
            found.push(about(
                facts,
                Kind::Duplicate,
                format!("the id {} appears a second time", facts.id),
            ));
        }
    }
}

impl Ours {
    /// A ledger of ours begins with its genesis; where that is cut off, any record that names its ledger tells.
    fn begin(facts: &Facts, position: u64) -> Option<Ours> {
        let member = facts.member.as_ref()?;
        let genesis = member
            .event
            .as_ref()
            .filter(|event| event.name == "genesis" && facts.sequence == Some(0));
        let beheaded = position == 0 && facts.sequence != Some(0);
        if genesis.is_none() && !beheaded {
            return None;
        }
        Some(Ours {
            id: member.ledger.clone(),
            boots: Boots::default(),
            keys: KeyHistory::default(),
            announced: BTreeSet::new(),
            config: None,
            foreign: 0,
            first_foreign: None,
            adopted: Vec::new(),
        })
    }

    fn push(&mut self, facts: &Facts, seal: &SealCheck, found: &mut Vec<Damage>) {
        self.keys.check(&self.id, facts, seal, found);
        if let Some(fault) = &facts.column_fault {
            found.push(about(facts, Kind::Edited, fault.clone()));
        }
        if !facts.sealed && seal.problem.is_none() {
            let message = "the record has no hash or no signature".to_owned();
            found.push(about(facts, Kind::SealStripped, message));
        }
        let Some(member) = &facts.member else {
            self.foreign += 1;
            self.first_foreign = self.first_foreign.or(facts.sequence);
            return;
        };
        if member.ledger != self.id {
            let message = format!(
                "the record is of ledger {}, this is {}",
                member.ledger, self.id
            );
            found.push(about(facts, Kind::WrongLedger, message));
            return;
        }
        if let Some(fault) = &facts.coverage_fault {
            found.push(about(facts, Kind::CoverageBroken, fault.clone()));
        }
        if let (Some(boot), Some(number)) = (&member.boot, member.intent)
            && !self.boots.settled(boot, number)
            && !is_double(found)
        {
            let message = format!("intent {number} of boot {boot} has a second record");
            found.push(about(facts, Kind::Duplicate, message));
        }
        if let Some(event) = &member.event {
            self.event(facts, member, event, found);
        }
        self.config(facts, member, found);
    }

    fn event(&mut self, facts: &Facts, member: &Member, event: &Event, found: &mut Vec<Damage>) {
        let text = |key: &str| {
            event
                .environment
                .get(key)
                .and_then(capsule::json::Value::as_str)
        };
        let closed = match event.name.as_str() {
            "genesis" if facts.sequence != Some(0) => {
                let message = "a second genesis".to_owned();
                found.push(about(facts, Kind::Duplicate, message));
                None
            }
            "boot" => {
                self.config = None;
                None
            }
            "adopt" => {
                self.adopted(facts, text("gap").unwrap_or("unknown"));
                None
            }
            "shutdown" => member.boot.as_deref(),
            "recovery" => text("closed_boot"),
            _ => None,
        };
        let last = event
            .environment
            .get("last_intent")
            .and_then(capsule::json::Value::as_u64);
        if let (Some(boot), Some(last)) = (closed, last)
            && !self.boots.closed(boot, last)
        {
            let message = format!("boot {boot} was closed before, with another last intent");
            found.push(about(facts, Kind::MissingIntent, message));
        }
    }

    /// An operator accepted records that the newest checkpoint contradicted: not damage, and never forgotten.
    fn adopted(&mut self, facts: &Facts, gap: &str) {
        if self.adopted.len() < ADOPTIONS {
            let sequence = facts.sequence.unwrap_or_default();
            self.adopted.push(format!(
                "at sequence {sequence} an operator adopted a gap: {gap}"
            ));
        }
    }

    /// Every configuration under which a call ran was announced by a sealed change. Where none ever was, it must
    /// at least stay the same within a boot.
    fn config(&mut self, facts: &Facts, member: &Member, found: &mut Vec<Damage>) {
        let Some(digest) = &member.config else { return };
        let announcing = member
            .event
            .as_ref()
            .is_some_and(|event| matches!(event.name.as_str(), "config_change" | "boot"));
        if announcing {
            if self.announced.len() < CONFIGS {
                self.announced.insert(digest.clone());
            }
            return;
        }
        let known = match (self.announced.is_empty(), &self.config) {
            (false, _) => self.announced.len() >= CONFIGS || self.announced.contains(digest),
            (true, Some(config)) => config == digest,
            (true, None) => true,
        };
        if self.announced.is_empty() {
            self.config = Some(digest.clone());
        }
        if !known {
            let message = "the configuration changed, and no sealed change says so".to_owned();
            found.push(about(facts, Kind::UnloggedChange, message));
        }
    }

    fn finish(&self, found: &mut Vec<Damage>, notes: &mut Vec<String>) {
        notes.push(format!("ledger {}", self.id));
        notes.extend_from_slice(&self.adopted);
        self.boots.finish(found, notes);
        if let Some(first) = self.first_foreign {
            notes.push(format!(
                "{} records were written by another program that shares the chain; the first has sequence {first}",
                self.foreign
            ));
        }
    }
}

/// Whether the record was reported as a double already: an exact copy repeats sequence number, id and intent.
fn is_double(found: &[Damage]) -> bool {
    found.iter().any(|damage| damage.kind == Kind::Duplicate)
}

/// A finding about one record.
fn about(facts: &Facts, kind: Kind, message: String) -> Damage {
    Damage {
        kind,
        sequence: facts.sequence,
        capsule_id: Some(facts.id.clone()),
        message,
    }
}

#[cfg(test)]
mod tests;
