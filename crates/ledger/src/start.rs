//! Creating a ledger, and everything that must hold before a started one admits a call.
//!
//! Order of a start: whose ledger is it, does the chain end where it was left, does the tree match its
//! own checkpoint, does the anchor match the tree; then one transaction closes dead boots, seals what
//! they left open, and begins this boot.

use std::sync::Arc;

use capsule::{Id, Signer, Timestamp, json};

use crate::{
    anchor::Anchor,
    checkpoint::{self, Checkpoint},
    error::{Damage, LedgerError},
    intent::OpenIntent,
    journal::{Chain, Head, Journal, TreeWrite},
    options::Options,
    quarantine,
    row::{self, RowError, RowKeys},
    sequencer::{Attempt, Failure, Sequencer},
    stored::Stored,
    system::{self, Event, Identity, Scribe, draft, fresh},
    tree::{Edge, NodeHash, root_at},
    work::{Seal, Subject, Work},
};

/// The keys a ledger works with.
#[derive(Clone)]
pub struct Signers {
    /// Seals records.
    pub records: Arc<dyn Signer>,
    /// Signs checkpoints.
    pub checkpoints: Arc<dyn Signer>,
}

impl std::fmt::Debug for Signers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "Signers({}, {})",
            self.records.public_key(),
            self.checkpoints.public_key()
        )
    }
}

/// What a start found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Boots that had died and are closed now.
    pub boots: Vec<RecoveredBoot>,
    /// Records of other writers, signed by this ledger's key, that were adopted.
    pub adopted: usize,
}

/// A boot that died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredBoot {
    /// Its id.
    pub boot: Id,
    /// The last intent number it gave out.
    pub last_intent: u64,
    /// The calls that it left open and that are sealed as `unknown` now.
    pub recovered: Vec<OpenIntent>,
}

/// Writes the genesis record and its checkpoint into an empty store.
///
/// # Errors
/// When there is a ledger or any record already, or storage or anchor fail.
pub fn create(
    mut journal: Box<dyn Journal>,
    signers: &Signers,
    anchor: &mut dyn Anchor,
    options: &Options,
) -> Result<Id, LedgerError> {
    if let Some(id) = journal.ledger_id(&options.chain)? {
        return Err(LedgerError::Exists(id));
    }
    if !journal.rows(&options.chain, 0, 1)?.is_empty() {
        return Err(LedgerError::NotEmpty);
    }
    let clock = options.clock.as_ref();
    let identity = Identity {
        ledger: fresh(clock)?,
        boot: fresh(clock)?,
    };
    let scribe = Scribe::new(identity, options);
    let mut sequencer = sequencer(journal, signers, options, identity.boot, None);
    let (key, checkpoint_key) = (
        signers.records.public_key(),
        signers.checkpoints.public_key(),
    );
    let now = clock.now();
    let genesis = scribe.genesis(&options.chain, &fresh(clock)?, &key, &checkpoint_key, now)?;
    let mut works = [
        Work::Create(identity.ledger),
        Work::Seal(Box::new(Seal::plain(genesis, None))),
    ];
    let attempt = commit_once(&mut sequencer, &mut works, now)?;
    let mut edge = Edge::new();
    for sealed in attempt.sealed.iter().flatten() {
        edge.push(crate::tree::leaf_hash(&sealed.record_json()));
    }
    publish_once(&mut sequencer, edge, &identity.ledger, signers, anchor, now)?;
    sequencer.journal.close()?;
    Ok(identity.ledger)
}

/// Everything a running ledger starts from.
pub(crate) struct Started {
    pub(crate) sequencer: Sequencer,
    pub(crate) scribe: Scribe,
    pub(crate) edge: Edge,
    /// Leaves that the stored and the anchored checkpoint cover.
    pub(crate) signed: u64,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) recovery: Recovery,
}

pub(crate) fn start(
    mut journal: Box<dyn Journal>,
    signers: &Signers,
    anchor: &mut dyn Anchor,
    options: &mut Options,
) -> Result<Started, LedgerError> {
    let chain = options.chain.clone();
    let ledger = journal.ledger_id(&chain)?.ok_or(LedgerError::NotCreated)?;
    let keys = row_keys(signers, options);
    check_genesis(journal.as_mut(), &chain, &ledger, &keys)?;
    let head = check_head(journal.as_mut(), &chain, &keys)?;
    let origin = checkpoint::origin(&ledger, &chain);
    let (mut edge, signed) = load_tree(journal.as_mut(), &chain, &origin, signers, &head)?;
    let checkpoint = check_anchor(
        journal.as_mut(),
        &chain,
        &origin,
        signers,
        anchor,
        &edge,
        signed,
    )?;
    let anchored = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);

    let identity = Identity {
        ledger,
        boot: fresh(options.clock.as_ref())?,
    };
    let scribe = Scribe::new(identity, options);
    let mut sequencer = sequencer(journal, signers, options, identity.boot, Some(head));
    let recovery = recover(&mut sequencer, &scribe, options, &mut edge)?;
    Ok(Started {
        sequencer,
        scribe,
        edge,
        signed: signed.min(anchored),
        checkpoint,
        recovery,
    })
}

pub(crate) fn row_keys(signers: &Signers, options: &Options) -> RowKeys {
    let own = signers.records.public_key();
    RowKeys::new(std::iter::once(&own).chain(&options.earlier_keys))
}

pub(crate) fn sequencer(
    journal: Box<dyn Journal>,
    signers: &Signers,
    options: &Options,
    boot: Id,
    head: Option<Head>,
) -> Sequencer {
    Sequencer {
        journal,
        chain: options.chain.clone(),
        signer: Arc::clone(&signers.records),
        keys: row_keys(signers, options),
        head,
        boot,
        last_intent: 0,
    }
}

/// The first record must be this ledger's genesis, made with a key that is this ledger's.
fn check_genesis(
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
fn check_head(
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
fn load_tree(
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

/// The anchor must not know more records than there are, nor others.
fn check_anchor(
    journal: &mut dyn Journal,
    chain: &Chain,
    origin: &str,
    signers: &Signers,
    anchor: &mut dyn Anchor,
    edge: &Edge,
    signed: u64,
) -> Result<Option<Checkpoint>, LedgerError> {
    let Some(note) = anchor.read().map_err(LedgerError::Anchor)? else {
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

/// Closes dead boots and begins this one, in one transaction.
fn recover(
    sequencer: &mut Sequencer,
    scribe: &Scribe,
    options: &mut Options,
    edge: &mut Edge,
) -> Result<Recovery, LedgerError> {
    let now = options.clock.now();
    let mut works = Vec::new();
    let mut boots = Vec::new();
    for boot in sequencer.journal.unclosed_boots(&options.chain, now)? {
        let intents = sequencer.journal.open_intents(&options.chain, &boot.id)?;
        for intent in &intents {
            works.push(Work::Seal(Box::new(recovered(
                intent, scribe, options, now,
            )?)));
        }
        let numbers: Vec<u64> = intents.iter().map(|intent| intent.number).collect();
        let record = scribe.recovery(&boot, &numbers, now)?;
        works.push(Work::Seal(Box::new(Seal::plain(record, None))));
        works.push(Work::CloseBoot(boot.id));
        boots.push(RecoveredBoot {
            boot: boot.id,
            last_intent: boot.last_intent,
            recovered: intents,
        });
    }
    works.push(Work::BeginBoot(scribe.identity.boot));
    works.push(Work::Seal(Box::new(Seal::plain(scribe.boot(now)?, None))));
    let attempt = commit_or_quarantine(sequencer, &mut works, scribe, now)?;
    let adopted = attempt.adopted.len();
    attempt.adopted.iter().for_each(|leaf| edge.push(*leaf));
    for sealed in attempt.sealed.iter().flatten() {
        edge.push(crate::tree::leaf_hash(&sealed.record_json()));
    }
    Ok(Recovery { boots, adopted })
}

/// The record of a call that a dead boot left open.
fn recovered(
    intent: &OpenIntent,
    scribe: &Scribe,
    options: &Options,
    now: Timestamp,
) -> Result<Seal, LedgerError> {
    let subject = Subject {
        id: intent.id,
        boot: intent.boot,
        number: intent.number,
        opened_at: intent.opened_at,
    };
    if let Some(build) = &options.recover {
        let (mut capsule, attachment) = build(intent);
        capsule.id = intent.id;
        scribe.claim(&mut capsule, Event::Recovered, &subject);
        match draft(&capsule) {
            Ok(draft) => {
                return Ok(Seal {
                    subject: Some(subject),
                    ..Seal::plain(draft, attachment)
                });
            }
            Err(error) => {
                tracing::error!(target: "sealgate::ledger", %error, "recovery uses a minimal record");
            }
        }
    }
    let unknown = scribe.unknown(Event::Recovered, Some(&subject), intent.id, None, now)?;
    Ok(Seal {
        subject: Some(subject),
        ..Seal::plain(system::draft(&unknown)?, None)
    })
}

/// One transaction; items that the store refuses are replaced by what it takes.
fn commit_or_quarantine(
    sequencer: &mut Sequencer,
    works: &mut [Work],
    scribe: &Scribe,
    now: Timestamp,
) -> Result<Attempt, LedgerError> {
    loop {
        match sequencer.attempt(works, now) {
            Err(Failure::Poison(at, refusal)) => match works.get_mut(at) {
                Some(Work::Seal(seal)) if seal.strikes < quarantine::MAX_STRIKES => {
                    quarantine::replace(seal, refusal, scribe, now)?;
                }
                _ => {
                    return Err(LedgerError::Record(
                        "the store refuses a record of a start".to_owned(),
                    ));
                }
            },
            result => return certain(sequencer, works, result),
        }
    }
}

/// One transaction, tried once; an unknown outcome is resolved once.
pub(crate) fn commit_once(
    sequencer: &mut Sequencer,
    works: &mut [Work],
    now: Timestamp,
) -> Result<Attempt, LedgerError> {
    let result = sequencer.attempt(works, now);
    certain(sequencer, works, result)
}

fn certain(
    sequencer: &mut Sequencer,
    works: &[Work],
    result: Result<Attempt, Failure>,
) -> Result<Attempt, LedgerError> {
    match result {
        Ok(attempt) => Ok(attempt),
        Err(Failure::Unknown(attempt, error)) => match sequencer.reconcile(works, &attempt) {
            Ok(true) => Ok(*attempt),
            Ok(false) => Err(error.into()),
            Err(failure) => Err(failed(failure)),
        },
        Err(failure) => Err(failed(failure)),
    }
}

fn failed(failure: Failure) -> LedgerError {
    match failure {
        Failure::Later(error) | Failure::Suspect(error) | Failure::Unknown(_, error) => {
            error.into()
        }
        Failure::Stop(damage) => damage.into(),
        Failure::Poison(_, refusal) => LedgerError::Record(match refusal {
            crate::sequencer::Refusal::Store(reason) => reason,
            crate::sequencer::Refusal::AlreadySettled => "already settled".to_owned(),
        }),
    }
}

/// Signs a checkpoint over `edge`, writes it to the anchor, then stores it with its tiles.
pub(crate) fn publish_once(
    sequencer: &mut Sequencer,
    mut edge: Edge,
    ledger: &Id,
    signers: &Signers,
    anchor: &mut dyn Anchor,
    now: Timestamp,
) -> Result<Checkpoint, LedgerError> {
    let origin = checkpoint::origin(ledger, &sequencer.chain);
    let size = edge.size();
    let checkpoint = Checkpoint::sign(origin, size, edge.root(), signers.checkpoints.as_ref())
        .map_err(|source| LedgerError::Checkpoint {
            place: "a new checkpoint",
            source,
        })?;
    anchor
        .write(&checkpoint.note)
        .map_err(LedgerError::Anchor)?;
    let write = TreeWrite {
        tiles: edge.take_tiles(),
        size,
        note: checkpoint.note.clone(),
    };
    commit_once(sequencer, &mut [Work::Tree(write)], now)?;
    Ok(checkpoint)
}

impl From<RowError> for LedgerError {
    fn from(error: RowError) -> LedgerError {
        match error {
            RowError::Damage(damage) => damage.into(),
            RowError::Journal(error) => error.into(),
        }
    }
}
