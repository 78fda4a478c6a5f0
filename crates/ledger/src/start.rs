//! Creating a ledger, and everything that must hold before a started one admits a call.
//!
//! Order of a start: whose ledger is it, does the chain end where it was left, does the tree match its
//! own checkpoint, does the anchor match the tree; then one transaction closes dead boots, seals what
//! they left open, and begins this boot.

use std::sync::Arc;

use capsule::{Id, Signer, Timestamp};

use crate::{
    anchor::Anchor,
    checkpoint::{self, Checkpoint},
    error::LedgerError,
    inspect::{check_anchor, check_genesis, check_head, load_tree},
    intent::OpenIntent,
    journal::{Head, Journal, TreeWrite},
    options::{Options, Recover},
    quarantine,
    row::{RowError, RowKeys},
    sequencer::{Attempt, Failure, Sequencer},
    system::{self, Event, Identity, Scribe, draft, fresh},
    tree::Edge,
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
    /// For instances that die while this one lives.
    pub(crate) recover: Option<Recover>,
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
    let anchored = anchor.read().map_err(LedgerError::Anchor)?;
    let head = check_head(journal.as_mut(), &chain, &keys)?;
    let origin = checkpoint::origin(&ledger, &chain);
    let (mut edge, signed) = load_tree(journal.as_mut(), &chain, &origin, signers, &head)?;
    let checkpoint = check_anchor(
        journal.as_mut(),
        &chain,
        &origin,
        signers,
        anchored,
        &edge,
        signed,
    )?;
    let covered = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);

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
        signed: signed.min(covered),
        checkpoint,
        recovery,
        recover: options.recover.take(),
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
        only_at: None,
    }
}

/// Closes dead boots and begins this one, in one transaction.
fn recover(
    sequencer: &mut Sequencer,
    scribe: &Scribe,
    options: &mut Options,
    edge: &mut Edge,
) -> Result<Recovery, LedgerError> {
    let now = options.clock.now();
    let (mut works, boots) = close_dead(sequencer, scribe, options.recover.as_ref(), now)?;
    works.push(Work::BeginBoot(scribe.identity.boot));
    works.push(Work::Seal(Box::new(Seal::plain(scribe.boot(now)?, None))));
    let attempt = commit_or_quarantine(sequencer, &mut works, scribe, now)?;
    let adopted = usize::try_from(attempt.foreign).unwrap_or(usize::MAX);
    attempt.adopted.iter().for_each(|leaf| edge.push(*leaf));
    for sealed in attempt.sealed.iter().flatten() {
        edge.push(crate::tree::leaf_hash(&sealed.record_json()));
    }
    Ok(Recovery { boots, adopted })
}

/// What closes the boots that have died: a record for each call that they left open, and one for each boot.
pub(crate) fn close_dead(
    sequencer: &mut Sequencer,
    scribe: &Scribe,
    build: Option<&Recover>,
    now: Timestamp,
) -> Result<(Vec<Work>, Vec<RecoveredBoot>), LedgerError> {
    let chain = sequencer.chain.clone();
    let mut works = Vec::new();
    let mut boots = Vec::new();
    for boot in sequencer.journal.unclosed_boots(&chain, now)? {
        let intents = sequencer.journal.open_intents(&chain, &boot.id)?;
        for intent in &intents {
            works.push(Work::Seal(Box::new(recovered(intent, scribe, build, now)?)));
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
    Ok((works, boots))
}

/// The record of a call that a dead boot left open.
fn recovered(
    intent: &OpenIntent,
    scribe: &Scribe,
    build: Option<&Recover>,
    now: Timestamp,
) -> Result<Seal, LedgerError> {
    let subject = Subject {
        id: intent.id,
        boot: intent.boot,
        number: intent.number,
        opened_at: intent.opened_at,
    };
    if let Some(build) = build {
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
