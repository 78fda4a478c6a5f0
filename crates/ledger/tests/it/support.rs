//! A ledger over memory, a clock that is told the time, and the check that every test ends with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use capsule::json::Value;
use capsule::verify::{Keys, Record, verify};
use capsule::{Capsule, CapsuleType, Draft, Id, SigningKey, Timestamp};
use ledger::memory::{Contents, Memory};
use ledger::tree::{Edge, TileSource, leaf_hash};
use ledger::{
    Checkpoint, Clock, Intent, Ledger, LedgerError, MemoryAnchor, Opened, Options, Recovery,
    Signers, new_id,
};

/// Steps a millisecond at every look, so that stamps differ and never depend on the machine.
#[derive(Debug)]
pub(crate) struct Ticking(AtomicI64);

impl Default for Ticking {
    fn default() -> Self {
        Ticking(AtomicI64::new(1_767_225_600_000_000))
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::new(self.0.fetch_add(1000, Ordering::Relaxed))
    }
}

/// One store with its keys and anchor, over several boots.
pub(crate) struct World {
    pub(crate) memory: Memory,
    pub(crate) anchor: MemoryAnchor,
    pub(crate) signers: Signers,
    pub(crate) clock: Arc<Ticking>,
}

pub(crate) fn signers() -> Signers {
    Signers {
        records: Arc::new(SigningKey::from_seed([1; 32])),
        checkpoints: Arc::new(SigningKey::from_seed([2; 32])),
    }
}

impl World {
    /// A created ledger that has not been started.
    pub(crate) fn new() -> World {
        let world = World {
            memory: Memory::new(),
            anchor: MemoryAnchor::default(),
            signers: signers(),
            clock: Arc::default(),
        };
        let mut anchor = world.anchor.clone();
        let journal = Box::new(world.memory.clone());
        ledger::create(journal, &world.signers, &mut anchor, &world.options()).unwrap();
        world
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            clock: self.clock.clone(),
            retry: (Duration::from_millis(1), Duration::from_millis(5)),
            checkpoint_interval: Duration::from_millis(1),
            ..Options::default()
        }
    }

    pub(crate) fn try_start_with(
        &self,
        options: Options,
    ) -> Result<(Ledger, Recovery), LedgerError> {
        let (journal, anchor) = (Box::new(self.memory.clone()), Box::new(self.anchor.clone()));
        Ledger::start(journal, &self.signers, anchor, options)
    }

    pub(crate) fn start(&self) -> Ledger {
        self.try_start_with(self.options()).unwrap().0
    }

    /// The process dies here: nothing that was not committed survives.
    pub(crate) fn crash(&mut self, ledger: Ledger) {
        self.memory = self.memory.crash();
        drop(ledger);
    }

    /// Everything that must hold of the store at any time. `open`: calls that may be open.
    pub(crate) fn check(&self) -> Facts {
        check(&self.memory.contents(), &self.signers)
    }
}

pub(crate) fn id() -> Id {
    new_id(ledger::SystemClock.now()).unwrap()
}

pub(crate) fn intent() -> Intent {
    Intent {
        id: id(),
        opened_at: Timestamp::new(1_767_225_600_000_000),
        payload: b"reservation".to_vec(),
    }
}

pub(crate) fn open(ledger: &Ledger) -> Opened {
    ledger
        .open(ledger.slot().unwrap(), intent())
        .wait()
        .unwrap()
}

/// The record that a gateway would seal for an open call.
pub(crate) fn record_of(ledger: &Ledger, opened: &Opened) -> Draft {
    let mut capsule = Capsule {
        id: opened.id(),
        capsule_type: CapsuleType::Chat,
        ..Capsule::default()
    };
    let environment = &mut capsule.context.environment;
    environment.insert("boot", opened.boot().to_string());
    environment.insert("intent", opened.number());
    environment.insert("ledger", ledger.id().to_string());
    environment.insert("observed", true);
    capsule.outcome.status = "success".into();
    Draft::new(&capsule).unwrap()
}

pub(crate) fn plain(id: Id) -> Draft {
    Draft::new(&Capsule {
        id,
        ..Capsule::default()
    })
    .unwrap()
}

/// What the records say.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) records: usize,
    /// Boot to the intent numbers that have a record.
    pub(crate) settled: BTreeMap<String, BTreeSet<u64>>,
    pub(crate) events: Vec<String>,
    pub(crate) statuses: Vec<String>,
}

/// Chain, tree and intents, from nothing but the store's rows.
pub(crate) fn check(contents: &Contents, signers: &Signers) -> Facts {
    let keys = Keys::explicit(&signers.records.public_key());
    let mut facts = Facts::default();
    let mut previous: Option<String> = None;
    let mut edge = Edge::new();
    for (at, (sequence, row)) in contents.rows.iter().enumerate() {
        assert_eq!(*sequence, at as u64, "no gap");
        let record = row.record().unwrap();
        let _good = verify(&record, &keys).unwrap();
        record.check_columns(&row.columns()).unwrap();
        assert_eq!(record.sequence(), Some(*sequence));
        assert_eq!(record.previous_hash(), previous.as_deref());
        previous = Some(row.hash.clone());
        edge.push(leaf_hash(&record.record_json()));
        note(&mut facts, &record);
        if let Some((size, note)) = &contents.checkpoint
            && *size == edge.size()
        {
            check_tree(contents, &edge, note, signers);
        }
    }
    facts.records = contents.rows.len();
    let recorded = contents.head.map(|head| (head.sequence, head.hash.hex()));
    assert_eq!(
        recorded,
        previous.map(|hash| (contents.rows.len() as u64 - 1, hash))
    );
    if let Some((size, _)) = &contents.checkpoint {
        assert!(*size <= edge.size(), "the tree is ahead of the records");
    }
    check_intents(contents, &facts);
    facts
}

fn note(facts: &mut Facts, record: &Record) {
    let document = record.document();
    let environment = document
        .get("context")
        .and_then(|context| context.get("environment"));
    let text = |key: &str| {
        environment
            .and_then(|e| e.get(key))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let number = environment
        .and_then(|e| e.get("intent"))
        .and_then(Value::as_u64);
    if let (Some(boot), Some(number)) = (text("boot"), number) {
        let new = facts.settled.entry(boot).or_default().insert(number);
        assert!(new, "intent {number} has two records");
    }
    facts.events.extend(text("event"));
    let status = document
        .get("outcome")
        .and_then(|outcome| outcome.get("status"));
    facts
        .statuses
        .extend(status.and_then(Value::as_str).map(str::to_owned));
}

/// Numbers of a boot are gapless: each has a record or is open, none both, and none lies beyond.
fn check_intents(contents: &Contents, facts: &Facts) {
    for boot in &contents.boots {
        let none = BTreeSet::new();
        let settled = facts.settled.get(&boot.id.to_string()).unwrap_or(&none);
        let open: BTreeSet<u64> = contents
            .intents
            .keys()
            .filter(|(id, _)| *id == boot.id)
            .map(|(_, number)| *number)
            .collect();
        assert!(settled.is_disjoint(&open), "an intent is open and settled");
        let all: BTreeSet<u64> = settled.union(&open).copied().collect();
        assert_eq!(all, (1..=boot.last_intent).collect(), "gapless");
        assert!(
            !boot.closed || open.is_empty(),
            "a closed boot has no open intent"
        );
    }
}

struct Tiles<'a>(&'a Contents);

impl TileSource for Tiles<'_> {
    type Error = String;
    fn tile(
        &mut self,
        level: u8,
        index: u64,
        width: usize,
    ) -> Result<Vec<ledger::tree::NodeHash>, String> {
        let bytes = self.0.tiles.get(&(level, index)).ok_or("no tile")?;
        let bytes = bytes.get(..width * 32).ok_or("short tile")?;
        Ok(bytes
            .as_chunks::<32>()
            .0
            .iter()
            .map(|hash| ledger::tree::NodeHash(*hash))
            .collect())
    }
}

fn check_tree(contents: &Contents, edge: &Edge, note: &str, signers: &Signers) {
    let checkpoint = Checkpoint::parse(note).unwrap();
    Checkpoint::verify(note, &checkpoint.origin, &signers.checkpoints.public_key()).unwrap();
    assert_eq!(checkpoint.root, edge.root());
    let loaded = Edge::load(edge.size(), &mut Tiles(contents)).unwrap();
    assert_eq!(loaded.root(), edge.root());
    // Every full tile is there too, not only the right edge.
    for index in 0..edge.size() / 256 {
        Tiles(contents).tile(0, index, 256).unwrap();
    }
}

/// Waits for what another thread is about to do, without a fixed pause.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        // Short enough to lose no time, long enough to leave the processor to what is awaited.
        std::thread::park_timeout(Duration::from_micros(200));
    }
}

/// Settles a call as a gateway would.
pub(crate) fn settle(ledger: &Ledger, opened: Opened) -> ledger::Receipt {
    let draft = record_of(ledger, &opened);
    opened.settle(draft, Some(b"spend".to_vec()))
}
