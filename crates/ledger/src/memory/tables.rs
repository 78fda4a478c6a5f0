//! What the memory journal holds, and the rules that a database would enforce.

use std::collections::BTreeMap;

use capsule::{Hash, Id, Sealed};

use crate::{
    intent::OpenIntent,
    journal::{Head, Quarantined, Row, TreeWrite, UnclosedBoot},
};

/// A boot in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBoot {
    /// Its id.
    pub id: Id,
    /// The last intent number it gave out.
    pub last_intent: u64,
    /// Whether a shutdown or recovery record closed it.
    pub closed: bool,
}

/// Everything that is committed.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Ledger id.
    pub ledger: Option<Id>,
    /// Records by sequence.
    pub rows: BTreeMap<u64, Row>,
    /// Attachments by the sequence of their record.
    pub attachments: BTreeMap<u64, Vec<u8>>,
    /// The recorded head.
    pub head: Option<Head>,
    /// Open intents.
    pub intents: BTreeMap<(Id, u64), OpenIntent>,
    /// Boots, oldest first.
    pub boots: Vec<StoredBoot>,
    /// Quarantined bytes.
    pub quarantine: Vec<Quarantined>,
    /// Ranges of adopted records.
    pub adopted: Vec<(u64, u64)>,
    /// Tiles by level and index.
    pub tiles: BTreeMap<(u8, u64), Vec<u8>>,
    /// Size and note of the newest checkpoint.
    pub checkpoint: Option<(u64, String)>,
}

/// One staged write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Ledger(Id),
    Record(Box<Row>),
    Attachment(u64, Vec<u8>),
    Head(Head),
    Intent(Box<OpenIntent>),
    TakeIntent(Id, u64),
    Boot(Id),
    CloseBoot(Id),
    AdvanceBoot(Id, u64),
    Quarantine(Box<Quarantined>),
    Adopted(u64, u64),
    Tree(Box<TreeWrite>),
    Reset(Head),
}

pub(super) enum Refused {
    Item(&'static str),
    Fatal(&'static str),
}

impl Contents {
    /// The last record in the table.
    #[must_use]
    pub fn last(&self) -> Option<Head> {
        let (sequence, row) = self.rows.last_key_value()?;
        Some(Head {
            sequence: *sequence,
            hash: Hash::from_hex(&row.hash).ok()?,
        })
    }

    pub(super) fn find(&self, id: &Id) -> Option<Head> {
        let id = id.to_string();
        let row = self.rows.values().find(|row| row.id == id)?;
        Some(Head {
            sequence: row.sequence,
            hash: Hash::from_hex(&row.hash).ok()?,
        })
    }

    pub(super) fn last_intent(&self, boot: &Id) -> Option<u64> {
        self.boots
            .iter()
            .find(|stored| stored.id == *boot)
            .map(|stored| stored.last_intent)
    }

    pub(super) fn unclosed(&self) -> Vec<UnclosedBoot> {
        let open = self.boots.iter().filter(|boot| !boot.closed);
        open.map(|boot| UnclosedBoot {
            id: boot.id,
            last_intent: boot.last_intent,
        })
        .collect()
    }

    /// The constraints of the tables.
    pub(super) fn refuses(&self, staged: &[Change], change: &Change) -> Option<Refused> {
        let Change::Record(row) = change else {
            return None;
        };
        let mut others = staged.iter().filter_map(|staged| match staged {
            Change::Record(row) => Some(row.as_ref()),
            _ => None,
        });
        if self.rows.contains_key(&row.sequence)
            || others.clone().any(|other| other.sequence == row.sequence)
        {
            return Some(Refused::Fatal("sequence taken"));
        }
        if self.rows.values().any(|other| other.id == row.id)
            || others.any(|other| other.id == row.id)
        {
            return Some(Refused::Item("id taken"));
        }
        None
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Ledger(id) => self.ledger = Some(id),
            Change::Record(row) => drop(self.rows.insert(row.sequence, *row)),
            Change::Attachment(sequence, bytes) => drop(self.attachments.insert(sequence, bytes)),
            Change::Head(head) => self.head = Some(head),
            Change::Intent(intent) => {
                drop(self.intents.insert((intent.boot, intent.number), *intent))
            }
            Change::TakeIntent(boot, number) => drop(self.intents.remove(&(boot, number))),
            Change::Boot(id) => self.boots.push(StoredBoot {
                id,
                last_intent: 0,
                closed: false,
            }),
            Change::CloseBoot(id) => self.boot(&id, |boot| boot.closed = true),
            Change::AdvanceBoot(id, to) => self.boot(&id, |boot| boot.last_intent = to),
            Change::Quarantine(entry) => self.quarantine.push(*entry),
            Change::Adopted(first, last) => self.adopted.push((first, last)),
            Change::Tree(write) => {
                self.tiles.extend(
                    write
                        .tiles
                        .into_iter()
                        .map(|tile| ((tile.level, tile.index), tile.hashes)),
                );
                self.checkpoint = Some((write.size, write.note));
            }
            Change::Reset(head) => {
                self.head = Some(head);
                self.tiles.clear();
                self.checkpoint = None;
                self.attachments
                    .retain(|sequence, _| *sequence <= head.sequence);
            }
        }
    }

    fn boot(&mut self, id: &Id, change: impl FnOnce(&mut StoredBoot)) {
        if let Some(boot) = self.boots.iter_mut().find(|boot| boot.id == *id) {
            change(boot);
        }
    }
}

/// A record as a table row.
pub(super) fn row(record: &Sealed) -> Row {
    Row {
        sequence: record.sequence(),
        id: record.id().to_string(),
        capsule_type: record.capsule_type().as_str().to_owned(),
        previous_hash: record.previous_hash().map(Hash::hex),
        data: record.content().to_vec(),
        hash: record.hash().hex(),
        signature: record.signature_hex().to_owned(),
        signature_pq: record.signature_pq_hex().to_owned(),
        signed_at: Some(record.signed_at().to_string()),
        signed_by: Some(record.signed_by().to_owned()),
        session_id: record.session_id().map(str::to_owned),
    }
}
