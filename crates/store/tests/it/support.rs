//! A ledger in a temporary directory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capsule::verify::{Keys, verify};
use capsule::{Capsule, CapsuleType, Draft, Id};
use ledger::tree::{Edge, leaf_hash};
use ledger::{
    Checkpoint, Clock, Intent, Ledger, LedgerError, Opened, Options, Receipt, Recovery, Signers,
    SystemClock, new_id,
};
use store::keys::DataDir;
use store::reader::Reader;
use store::spend::Spend;
use store::sqlite::{Settings, SqliteJournal};

pub(crate) const GRACE: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) data: DataDir,
    pub(crate) signers: Signers,
    pub(crate) _root: tempfile::TempDir,
}

/// No reserve, since temporary directories may be small.
pub(crate) fn settings() -> Settings {
    Settings {
        disk_reserve: 0,
        ..Settings::default()
    }
}

impl World {
    pub(crate) fn new() -> World {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::create(root.path().join("data")).unwrap();
        let signers = Signers {
            records: Arc::new(data.signer().unwrap()),
            checkpoints: Arc::new(data.checkpoint_signer().unwrap()),
        };
        let journal = SqliteJournal::create(data.database(), settings()).unwrap();
        let mut anchor = data.anchor();
        ledger::create(Box::new(journal), &signers, &mut anchor, &options()).unwrap();
        World {
            data,
            signers,
            _root: root,
        }
    }

    pub(crate) fn journal(&self) -> SqliteJournal {
        SqliteJournal::open(self.data.database(), settings()).unwrap()
    }

    pub(crate) fn try_start(&self) -> Result<(Ledger, Recovery), LedgerError> {
        let anchor = Box::new(self.data.anchor());
        Ledger::start(Box::new(self.journal()), &self.signers, anchor, options())
    }

    pub(crate) fn start(&self) -> Ledger {
        self.try_start().unwrap().0
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(self.data.database()).unwrap()
    }

    pub(crate) fn check(&self) -> u64 {
        check(self.reader(), &self.signers)
    }
}

/// Chain, signatures, columns, tree and spend, from the rows. Returns the number of records.
pub(crate) fn check(mut reader: Reader, signers: &Signers) -> u64 {
    let keys = Keys::explicit(&signers.records.public_key());
    let (mut edge, mut previous) = (Edge::new(), None);
    let checkpoint = reader.checkpoint().unwrap();
    for row in reader.rows(0) {
        let row = row.unwrap();
        let record = row.record().unwrap();
        let _good = verify(&record, &keys).unwrap();
        record.check_columns(&row.columns()).unwrap();
        assert_eq!(row.sequence, edge.size());
        assert_eq!(row.previous_hash, previous);
        previous = Some(row.hash);
        edge.push(leaf_hash(&record.record_json()));
        if let Some((size, note)) = &checkpoint
            && edge.size() == *size
        {
            assert_eq!(Checkpoint::parse(note).unwrap().root, edge.root());
        }
    }
    if let Some((size, _)) = checkpoint {
        let stored = ledger::tree::root_at(size, &mut reader).unwrap();
        assert_eq!(Edge::load(size, &mut reader).unwrap().root(), stored);
    }
    for (sequence, _) in reader.spend().unwrap() {
        assert!(reader.row(sequence).unwrap().is_some());
    }
    edge.size()
}

pub(crate) fn options() -> Options {
    Options {
        retry: (Duration::from_millis(1), Duration::from_millis(5)),
        checkpoint_interval: Duration::from_millis(20),
        ..Options::default()
    }
}

pub(crate) fn id() -> Id {
    new_id(SystemClock.now()).unwrap()
}

pub(crate) fn intent() -> Intent {
    Intent {
        id: id(),
        opened_at: SystemClock.now(),
        payload: b"reservation".to_vec(),
    }
}

pub(crate) fn open(ledger: &Ledger) -> Opened {
    ledger
        .open(ledger.slot().unwrap(), intent())
        .wait()
        .unwrap()
}

pub(crate) fn record(id: Id, session: Option<&str>) -> Draft {
    let mut capsule = Capsule {
        id,
        capsule_type: CapsuleType::Chat,
        ..Capsule::default()
    };
    capsule.context.session_id = session.map(str::to_owned);
    capsule.outcome.summary = "caf\u{e9} \u{1f600}".to_owned();
    Draft::new(&capsule).unwrap()
}

pub(crate) fn spend() -> Spend {
    Spend {
        model: "gpt".to_owned(),
        tokens_in: 12,
        cost_micro_usd: Some(7),
        ..Spend::default()
    }
}

pub(crate) fn settle(ledger: &Ledger, opened: Opened) -> Receipt {
    let _ = ledger;
    let draft = record(opened.id(), None);
    opened.settle(draft, Some(spend().encode()))
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // A checkpoint is written beside its place and moved there, at a time of its own.
        .filter(|name| !name.ends_with(".new"))
        .collect();
    names.sort();
    names
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
