//! `ledger adopt`: an operator accepts the records that are there although the newest checkpoint says
//! otherwise, and the ledger says so for ever in a record.

use capsule::Id;

use crate::{
    anchor::Anchor,
    checkpoint::{self, Checkpoint},
    error::{Damage, LedgerError},
    inspect::extend,
    journal::{Head, Journal},
    options::Options,
    row,
    start::{Signers, commit_once, publish_once, row_keys, sequencer},
    system::{Identity, Scribe, fresh},
    tree::{Edge, NodeHash},
    work::{Seal, Work},
};

/// How checkpoint and records disagree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GapKind {
    /// They do not: nothing had to be adopted.
    None,
    /// The checkpoint covers more records than there are.
    Behind,
    /// The checkpoint was made over other records.
    Forked,
    /// There is no checkpoint.
    Missing,
    /// Records after the last one were cut off and no checkpoint covered them.
    Truncated,
}

impl GapKind {
    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GapKind::None => "none",
            GapKind::Behind => "behind",
            GapKind::Forked => "forked",
            GapKind::Missing => "checkpoint_missing",
            GapKind::Truncated => "truncated",
        }
    }
}

/// What was adopted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// How checkpoint and records disagree.
    pub kind: GapKind,
    /// Records that are there.
    pub records: u64,
    /// Size and root of the checkpoint that disagrees.
    pub checkpoint: Option<(u64, NodeHash)>,
    /// The operator's words.
    pub reason: String,
}

/// Verifies every record that is there (content, links, signatures), rebuilds the tree over them,
/// seals the gap as a record and publishes a new checkpoint. Does nothing when there is no gap.
///
/// # Errors
/// When a record within the chain is damaged (which nothing adopts), or storage or anchor fail.
pub fn adopt(
    mut journal: Box<dyn Journal>,
    signers: &Signers,
    anchor: &mut dyn Anchor,
    options: &Options,
    reason: &str,
) -> Result<Gap, LedgerError> {
    let chain = options.chain.clone();
    let ledger = journal.ledger_id(&chain)?.ok_or(LedgerError::NotCreated)?;
    let (edge, last) = rebuild(journal.as_mut(), signers, options)?;
    journal.begin()?;
    let recorded = journal.lock_head(&chain)?.recorded;
    journal.rollback()?;
    let cut = recorded.is_some_and(|recorded| recorded.sequence > last.sequence);
    let gap = find_gap(
        journal.as_mut(),
        &ledger,
        signers,
        anchor,
        options,
        (&edge, cut, reason),
    )?;
    if gap.kind == GapKind::None {
        journal.close()?;
        return Ok(gap);
    }
    journal.begin()?;
    journal.reset_to(&chain, &last)?;
    journal.commit()?;
    seal_gap(
        journal,
        signers,
        anchor,
        options,
        (ledger, edge, last),
        &gap,
    )?;
    Ok(gap)
}

fn seal_gap(
    journal: Box<dyn Journal>,
    signers: &Signers,
    anchor: &mut dyn Anchor,
    options: &Options,
    (ledger, mut edge, last): (Id, Edge, Head),
    gap: &Gap,
) -> Result<(), LedgerError> {
    let identity = Identity {
        ledger,
        boot: fresh(options.clock.as_ref())?,
    };
    let scribe = Scribe::new(identity, options);
    let now = options.clock.now();
    let mut sequencer = sequencer(journal, signers, options, identity.boot, Some(last));
    let mut works = [Work::Seal(Box::new(Seal::plain(
        scribe.adopt(gap, now)?,
        None,
    )))];
    let attempt = commit_once(&mut sequencer, &mut works, now)?;
    for sealed in attempt.sealed.iter().flatten() {
        edge.push(crate::tree::leaf_hash(&sealed.record_json()));
    }
    publish_once(&mut sequencer, edge, &ledger, signers, anchor, now)?;
    Ok(sequencer.journal.close()?)
}

/// The tree over every row, each of them verified.
fn rebuild(
    journal: &mut dyn Journal,
    signers: &Signers,
    options: &Options,
) -> Result<(Edge, Head), LedgerError> {
    let keys = row_keys(signers, options);
    let mut edge = Edge::new();
    let mut last = None;
    loop {
        let rows = journal.rows(&options.chain, edge.size(), row::PAGE)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let checked = row::check(&row)?;
            checked.follows(last.as_ref())?;
            checked.signed_by(&keys)?;
            edge.push(checked.leaf());
            last = Some(checked.head);
        }
    }
    let last = last.ok_or(Damage::Truncated {
        expected: 0,
        found: "no record".to_owned(),
    })?;
    Ok((edge, last))
}

fn find_gap(
    journal: &mut dyn Journal,
    ledger: &Id,
    signers: &Signers,
    anchor: &mut dyn Anchor,
    options: &Options,
    (edge, cut, reason): (&Edge, bool, &str),
) -> Result<Gap, LedgerError> {
    let origin = checkpoint::origin(ledger, &options.chain);
    let gap = |kind, checkpoint: Option<&Checkpoint>| Gap {
        kind,
        records: edge.size(),
        checkpoint: checkpoint.map(|checkpoint| (checkpoint.size, checkpoint.root)),
        reason: reason.to_owned(),
    };
    let Some(note) = anchor.read().map_err(LedgerError::Anchor)? else {
        return Ok(gap(GapKind::Missing, None));
    };
    let checkpoint = Checkpoint::verify(&note, &origin, &signers.checkpoints.public_key())
        .map_err(|source| LedgerError::Checkpoint {
            place: "the checkpoint file",
            source,
        })?;
    if checkpoint.size > edge.size() {
        return Ok(gap(GapKind::Behind, Some(&checkpoint)));
    }
    let mut part = Edge::new();
    if let Some(last) = checkpoint.size.checked_sub(1) {
        let row = journal.rows(&options.chain, last, 1)?.into_iter().next();
        if let Some(checked) = row.map(|row| row::check(&row)).transpose()? {
            extend(journal, &options.chain, &mut part, &checked.head)?;
        }
    }
    if part.root() != checkpoint.root {
        return Ok(gap(GapKind::Forked, Some(&checkpoint)));
    }
    Ok(gap(
        if cut {
            GapKind::Truncated
        } else {
            GapKind::None
        },
        Some(&checkpoint),
    ))
}
