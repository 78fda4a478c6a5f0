//! The chain against a signed checkpoint: is it as long, and are its first records those that were signed?

use capsule::PublicKey;
use capsule::json::Value;

use super::damage::{Damage, Damages, Kind};
use super::facts::Facts;
use crate::checkpoint::{Checkpoint, NoteError};
use crate::tree::{Edge, NodeHash};

/// Completed parts of the tree are dropped this often.
const DROP_EVERY: u64 = 4_096;

/// Follows the tree up to the size of one checkpoint.
#[derive(Debug)]
pub(super) struct TreeCheck {
    checkpoint: Checkpoint,
    edge: Edge,
    /// The genesis was seen, and the checkpoint is this ledger's by origin and signature.
    ours: bool,
    /// A finding about the checkpoint was reported, or need not be.
    refused: bool,
    /// The tree differs, and other damage says why.
    explained: bool,
}

impl TreeCheck {
    pub(super) fn new(checkpoint: Checkpoint) -> Self {
        TreeCheck {
            checkpoint,
            edge: Edge::new(),
            ours: false,
            refused: false,
            explained: false,
        }
    }

    /// Takes the leaf of the next record. `damage` is what was found up to and with this record.
    pub(super) fn push(&mut self, facts: &Facts, leaf: NodeHash, damage: &mut Damages) {
        if self.edge.size() == 0 {
            self.identify(facts, damage);
        }
        if self.edge.size() >= self.checkpoint.size {
            return;
        }
        self.edge.push(leaf);
        if self.edge.size().is_multiple_of(DROP_EVERY) {
            drop(self.edge.take_tiles());
        }
        let reached = self.ours && self.edge.size() == self.checkpoint.size;
        if reached && self.edge.root() != self.checkpoint.root {
            // Damage that has a name already changes the tree as well and is no fork beside it.
            self.explained = !damage.is_empty();
            self.refused = true;
            if !self.explained {
                let message = format!(
                    "the first {} records are not those of the checkpoint: they were rewritten, or the chain forked",
                    self.checkpoint.size
                );
                self.refuse(damage, Kind::Forked, message);
            }
        }
    }

    /// Compares the lengths. `next` is one more than the highest sequence number of the chain.
    pub(super) fn finish(mut self, next: u64, damage: &mut Damages, notes: &mut Vec<String>) {
        let size = self.checkpoint.size;
        if next < size {
            let message =
                format!("the checkpoint covers {size} records, the chain ends after {next}");
            self.refuse(damage, Kind::Truncated, message);
        } else if !self.ours && !self.refused {
            let message = format!(
                "the checkpoint is of {}, and this chain does not begin as one of our ledgers",
                self.checkpoint.origin
            );
            self.refuse(damage, Kind::WrongLedger, message);
        }
        if self.explained {
            notes.push(format!(
                "because of the damage above, the first {size} records are not those of the checkpoint"
            ));
        }
        if !self.refused {
            notes.push(format!(
                "the first {size} records are those of the checkpoint"
            ));
        }
    }

    /// The checkpoint must be signed by the key that the genesis names, for the ledger that it founds.
    fn identify(&mut self, facts: &Facts, damage: &mut Damages) {
        let Some(member) = &facts.member else { return };
        let Some(event) = member
            .event
            .as_ref()
            .filter(|event| event.name == "genesis")
        else {
            return;
        };
        let text = |key: &str| event.environment.get(key).and_then(Value::as_str);
        let origin = match text("tenant").unwrap_or_default() {
            "" => format!("sealgate/{}", member.ledger),
            tenant => format!("sealgate/{}/{tenant}", member.ledger),
        };
        let Some(key) = text("checkpoint_key").and_then(|key| PublicKey::from_hex(key).ok()) else {
            let message = "the genesis does not name the key of checkpoints".to_owned();
            self.refuse(damage, Kind::UnknownKey, message);
            return;
        };
        match Checkpoint::verify(&self.checkpoint.note, &origin, &key) {
            Ok(_) => self.ours = true,
            Err(error @ NoteError::Origin { .. }) => {
                self.refuse(damage, Kind::WrongLedger, error.to_string());
            }
            Err(error) => self.refuse(damage, Kind::UnknownKey, error.to_string()),
        }
    }

    fn refuse(&mut self, damage: &mut Damages, kind: Kind, message: String) {
        self.refused = true;
        damage.push(Damage {
            kind,
            sequence: None,
            capsule_id: None,
            message,
        });
    }
}
