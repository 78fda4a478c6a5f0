//! Does what is stored hold together? Looked at before anything is written.

use capsule::{Id, json};

use crate::{
    checkpoint::Checkpoint,
    error::{Damage, LedgerError},
    journal::{Chain, Head, Journal},
    row::{self, RowKeys},
    start::Signers,
    stored::Stored,
    system::Event,
    tree::{Edge, NodeHash, root_at},
};

/// The first record must be this ledger's genesis, made with a key that is this ledger's.
pub(crate) fn check_genesis(
    journal: &mut dyn Journal,
    chain: &Chain,
    ledger: &Id,
    keys: &RowKeys,
) -> Result<(), LedgerError> {
    let wrong = |message: &str| Damage::Record {
        sequence: 0,
        message: message.to_owned(),
    };
    let row = journal
        .rows(chain, 0, 1)?
        .into_iter()
        .next()
        .ok_or(Damage::Truncated {
            expected: 0,
            found: "no record".to_owned(),
        })?;
    let checked = row::check(&row)?;
    checked.follows(None)?;
    let environment = checked
        .record
        .document()
        .get("context")
        .and_then(|context| context.get("environment"));
    let text = |key: &str| {
        environment
            .and_then(|e| e.get(key))
            .and_then(json::Value::as_str)
    };
    if text("event") != Some(Event::Genesis.as_str()) || text("ledger") != Some(&ledger.to_string())
    {
        return Err(wrong("is not the genesis of this ledger").into());
    }
    if text("tenant") != Some(chain.tenant()) {
        return Err(wrong("is the genesis of another tenant's chain").into());
    }
    checked.signed_by(keys)?;
    Ok(())
}

/// The chain must end at, or verifiably go on after, the record that was committed last.
pub(crate) fn check_head(
    journal: &mut dyn Journal,
    chain: &Chain,
    keys: &RowKeys,
) -> Result<Head, LedgerError> {
    journal.begin()?;
    let locked = journal.lock_head(chain)?;
    journal.rollback()?;
    let recorded = locked.recorded.ok_or(LedgerError::NotCreated)?;
    let row = journal
        .rows(chain, recorded.sequence, 1)?
        .into_iter()
        .next();
    let Some(row) = row.filter(|row| row.sequence == recorded.sequence) else {
        return Err(Damage::Truncated {
            expected: recorded.sequence,
            found: locked
                .last
                .map_or("none".to_owned(), |last| last.sequence.to_string()),
        }
        .into());
    };
    let checked = row::check(&row)?;
    if checked.head != recorded {
        return Err(Damage::Record {
            sequence: recorded.sequence,
            message: "is not the record that was committed".to_owned(),
        }
        .into());
    }
    checked.signed_by(keys)?;
    Ok(recorded)
}

/// The stored tree, checked against its own checkpoint and continued from the rows up to `head`.
pub(crate) fn load_tree(
    journal: &mut dyn Journal,
    chain: &Chain,
    origin: &str,
    signers: &Signers,
    head: &Head,
) -> Result<(Edge, u64), LedgerError> {
    let mut edge = Edge::new();
    let mut signed = 0;
    if let Some((size, note)) = journal.tree(chain)? {
        let checkpoint = Checkpoint::verify(&note, origin, &signers.checkpoints.public_key())
            .map_err(|source| LedgerError::Checkpoint {
                place: "the stored checkpoint",
                source,
            })?;
        edge = Edge::load(size, &mut Stored { journal, chain })?;
        if checkpoint.size != size || edge.root() != checkpoint.root {
            return Err(Damage::Forked { size }.into());
        }
        signed = size;
    }
    if edge.size() > head.sequence + 1 {
        return Err(Damage::BehindCheckpoint {
            checkpoint: edge.size(),
            records: head.sequence + 1,
        }
        .into());
    }
    extend(journal, chain, &mut edge, head)?;
    Ok((edge, signed))
}

/// Adds the leaves of the rows from the tree's end up to `last`, checking content and links.
pub(crate) fn extend(
    journal: &mut dyn Journal,
    chain: &Chain,
    edge: &mut Edge,
    last: &Head,
) -> Result<(), LedgerError> {
    let mut before = None;
    if let Some(sequence) = edge
        .size()
        .checked_sub(1)
        .filter(|before| *before < last.sequence)
    {
        let row = journal.rows(chain, sequence, 1)?.into_iter().next();
        before = row
            .map(|row| row::check(&row))
            .transpose()?
            .map(|checked| checked.head);
    }
    while edge.size() <= last.sequence {
        let rows = journal.rows(chain, edge.size(), row::PAGE)?;
        if rows.is_empty() {
            return Err(Damage::Truncated {
                expected: last.sequence,
                found: edge.size().saturating_sub(1).to_string(),
            }
            .into());
        }
        for row in rows.iter().filter(|row| row.sequence <= last.sequence) {
            let checked = row::check(row)?;
            checked.follows(before.as_ref())?;
            edge.push(checked.leaf());
            before = Some(checked.head);
        }
    }
    Ok(())
}

/// The anchor must not know more records than there are, nor others. It was read before the head: while other processes append,
/// a later look could show a checkpoint of records that this start has not seen.
pub(crate) fn check_anchor(
    journal: &mut dyn Journal,
    chain: &Chain,
    origin: &str,
    signers: &Signers,
    anchored: Option<String>,
    edge: &Edge,
    signed: u64,
) -> Result<Option<Checkpoint>, LedgerError> {
    let Some(note) = anchored else {
        // The anchor is written before the store's first checkpoint, so only a crash right after
        // genesis explains that neither exists.
        return if signed == 0 {
            Ok(None)
        } else {
            Err(Damage::CheckpointMissing.into())
        };
    };
    let checkpoint =
        Checkpoint::verify(&note, origin, &signers.checkpoints.public_key()).map_err(|source| {
            LedgerError::Checkpoint {
                place: "the checkpoint file",
                source,
            }
        })?;
    if checkpoint.size > edge.size() {
        let (checkpoint, records) = (checkpoint.size, edge.size());
        return Err(Damage::BehindCheckpoint {
            checkpoint,
            records,
        }
        .into());
    }
    if tree_root(journal, chain, edge, signed, checkpoint.size)? != checkpoint.root {
        return Err(Damage::Forked {
            size: checkpoint.size,
        }
        .into());
    }
    Ok(Some(checkpoint))
}

/// Root of the first `size` leaves, from stored tiles as far as they reach.
fn tree_root(
    journal: &mut dyn Journal,
    chain: &Chain,
    edge: &Edge,
    signed: u64,
    size: u64,
) -> Result<NodeHash, LedgerError> {
    if size == edge.size() {
        return Ok(edge.root());
    }
    if size <= signed {
        return root_at(size, &mut Stored { journal, chain });
    }
    let mut part = Edge::load(signed, &mut Stored { journal, chain })?;
    let row = journal.rows(chain, size - 1, 1)?.into_iter().next();
    let last = row
        .map(|row| row::check(&row))
        .transpose()?
        .map(|checked| checked.head);
    let last = last.ok_or(Damage::BehindCheckpoint {
        checkpoint: size,
        records: edge.size(),
    })?;
    extend(journal, chain, &mut part, &last)?;
    Ok(part.root())
}
