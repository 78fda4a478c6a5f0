//! An auditor that reads a ledger as it grows: chain, signatures, tree, checkpoints, intents and spend.

use std::collections::{BTreeMap, BTreeSet};

use capsule::chain::{ChainVerifier, Level};
use capsule::verify::Keys;
use capsule::{PublicKey, Signer as _};
use ledger::journal::Row;
use ledger::tree::{Edge, NodeHash, leaf_hash};
use ledger::{Chain, Checkpoint, checkpoint};
use store::keys::DataDir;
use store::reader::Reader;

use super::binaries;
use super::record::{Fact, record};

/// Reads each record once.
pub(crate) struct Auditor {
    data: DataDir,
    chain: ChainVerifier,
    checkpoint_key: PublicKey,
    /// Every record, by sequence.
    pub(crate) facts: Vec<Fact>,
    leaves: Vec<NodeHash>,
    /// A tree of the first leaves, kept so that it need not be built anew each time.
    edge: Edge,
}

impl Auditor {
    pub(crate) fn new(data: &std::path::Path) -> Self {
        let data = DataDir::open(data).unwrap();
        let key = data.signer().unwrap().public_key();
        Self {
            chain: ChainVerifier::new(Level::Signatures, Keys::explicit(&key)),
            checkpoint_key: data.checkpoint_signer().unwrap().public_key(),
            data,
            facts: Vec::new(),
            leaves: Vec::new(),
            edge: Edge::new(),
        }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(self.data.database()).unwrap()
    }

    /// Reads and verifies what is new; gives its place in `facts`. Safe while a gateway writes.
    pub(crate) fn read(&mut self) -> usize {
        let from = self.facts.len();
        let reader = self.reader();
        for row in reader.rows(from as u64) {
            self.push(&row.unwrap());
        }
        from
    }

    fn push(&mut self, row: &Row) {
        let record = record(row);
        if let Err(failure) = self.chain.push(&record) {
            panic!("the chain does not verify: {failure:?}");
        }
        self.leaves.push(leaf_hash(&record.record_json()));
        self.facts.push(Fact::of(row));
    }

    /// Root of the first `size` records.
    fn root(&mut self, size: u64) -> NodeHash {
        if size < self.edge.size() {
            self.edge = Edge::new();
        }
        let (from, to) = (self.edge.size() as usize, size as usize);
        for leaf in &self.leaves[from..to] {
            self.edge.push(*leaf);
        }
        self.edge.take_tiles();
        self.edge.root()
    }

    /// The stored and the anchored checkpoint are of this chain; gives their sizes.
    pub(crate) fn checkpoints(&mut self) -> (u64, u64) {
        // First the older one: the anchor is written before the store.
        let (_, stored) = self.reader().checkpoint().unwrap().expect("a checkpoint");
        let anchored = std::fs::read_to_string(self.data.checkpoint()).unwrap();
        self.read();
        let id = self.reader().ledger_id().unwrap().unwrap();
        let origin = checkpoint::origin(&id, &Chain::default());
        let sizes = [&stored, &anchored].map(|note| {
            let checkpoint = Checkpoint::verify(note, &origin, &self.checkpoint_key).unwrap();
            assert!(
                checkpoint.size <= self.leaves.len() as u64,
                "a checkpoint of {} records, and there are {}",
                checkpoint.size,
                self.leaves.len()
            );
            assert_eq!(self.root(checkpoint.size), checkpoint.root);
            checkpoint.size
        });
        (sizes[0], sizes[1])
    }

    /// Each boot but `running` has records for its intents 1 to the last one, each once, and an end that says so.
    pub(crate) fn intents(&self, running: Option<&str>) {
        let mut numbers: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for fact in &self.facts {
            let end = match fact.event.as_str() {
                "recovery" => fact.environment["closed_boot"].as_str(),
                "shutdown" => Some(fact.boot.as_str()),
                "boot" => {
                    numbers.entry(&fact.boot).or_default();
                    None
                }
                _ => None,
            };
            if let Some(boot) = end {
                let number = fact.environment["last_intent"].as_u64().unwrap();
                assert!(last.insert(boot, number).is_none(), "{boot} ended twice");
            }
            if let Some(number) = fact.intent {
                let new = numbers.entry(&fact.boot).or_default().insert(number);
                assert!(new, "two records for intent {number} of {}", fact.boot);
            }
        }
        for (boot, numbers) in numbers {
            if Some(boot) == running {
                continue;
            }
            let last = last
                .get(boot)
                .unwrap_or_else(|| panic!("{boot} has no end"));
            let wanted: BTreeSet<u64> = (1..=*last).collect();
            assert_eq!(numbers, wanted, "intents of boot {boot}");
        }
    }

    /// Every call that was settled or recovered has a row of spend with the record's numbers, and there is no other row.
    /// A call that was given up before it was open for anybody (`abandoned`) cost nothing and has none.
    pub(crate) fn spend(&self) {
        let spend: BTreeMap<u64, _> = self.reader().spend().unwrap().into_iter().collect();
        let mut calls = 0;
        for fact in &self.facts {
            if fact.intent.is_none() || fact.event == "abandoned" {
                continue;
            }
            calls += 1;
            let row = spend.get(&fact.sequence);
            let row = row.unwrap_or_else(|| panic!("no spend for {fact:?}"));
            assert_eq!(row.cost_micro_usd, fact.cost, "{fact:?}");
            assert_eq!((row.tokens_in, row.tokens_out), fact.tokens, "{fact:?}");
        }
        assert_eq!(spend.len(), calls, "rows of spend and records of calls");
    }

    /// What an outsider does: `capsule verify --signatures` with the public key and the anchored checkpoint.
    pub(crate) fn verify_by_tool(&self) {
        let key = self.data.signer().unwrap().public_key().hex();
        let (db, anchor) = (self.data.database(), self.data.checkpoint());
        let done = binaries::capsule(&[
            "verify",
            "--signatures",
            "--pubkey",
            &key,
            "--checkpoint",
            anchor.to_str().unwrap(),
            "--db",
            db.to_str().unwrap(),
        ]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&done.stdout), text(&done.stderr));
        assert!(done.status.success(), "capsule verify: {out}\n{err}");
    }

    /// Everything that must hold of a ledger that nobody serves.
    pub(crate) fn finally(&mut self) {
        self.read();
        self.checkpoints();
        self.intents(None);
        assert!(self.reader().intents().unwrap().is_empty(), "open intents");
        self.spend();
        self.verify_by_tool();
    }
}
