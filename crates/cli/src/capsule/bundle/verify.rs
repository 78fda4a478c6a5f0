//! `capsule verify --proof`: what a bundle proves to somebody who knows a key of the ledger and nothing else.

use std::io;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use capsule::json::{self, Limits, Object, Value};
use capsule::verify::{self as record, Keys, Record};
use capsule::{Id, PublicKey};
use ledger::Chain;
use ledger::audit::verify_rotation;
use ledger::checkpoint::{self, Checkpoint};
use ledger::tree::{NodeHash, leaf_hash, verify_inclusion};

use super::VERSION;
use super::filter::Filter;
use crate::capsule_cli::console::{Console, Style, Visible};
use crate::capsule_cli::exit::Exit;
use crate::capsule_cli::export::{checkpoint_key, event};
use crate::capsule_cli::verify::trust::Trust;

/// What was found out about a bundle.
#[derive(Debug, Default)]
pub struct Report {
    /// The ledger, where the genesis is good.
    pub ledger: Option<String>,
    /// Records under the checkpoint.
    pub tree_size: u64,
    /// The chosen records that are proved: sequence, id and hash.
    pub proved: Vec<(u64, String, String)>,
    /// The first thing that is wrong.
    pub error: Option<String>,
}

/// Verifies the bundle in a file and prints the result.
///
/// # Errors
/// When an output cannot be written.
pub fn run(
    path: &Path,
    trust: &Trust,
    post_quantum: &record::PostQuantum,
    (as_json, quiet): (bool, bool),
    console: &mut Console,
) -> io::Result<Exit> {
    let read = std::fs::read(path).map_err(|error| error.to_string());
    let parsed = read.and_then(|bytes| {
        json::parse(&bytes, &Limits::default()).map_err(|error| error.to_string())
    });
    let bundle = match parsed {
        Ok(bundle) => bundle,
        Err(error) => {
            console.error(format!("{}: {error}", path.display()))?;
            return Ok(Exit::Error);
        }
    };
    let report = examine(&bundle, trust, post_quantum);
    if as_json {
        console.out.write_all(&report.json())?;
    } else if !quiet {
        report.print(console)?;
    }
    console.out.flush()?;
    Ok(match report.error {
        None => Exit::Pass,
        Some(_) => Exit::Fail,
    })
}

/// Checks everything; never fails half-way without saying why.
#[must_use]
pub fn examine(bundle: &Value, trust: &Trust, post_quantum: &record::PostQuantum) -> Report {
    let mut report = Report::default();
    if let Err(error) = prove(bundle, trust, post_quantum, &mut report) {
        report.error = Some(error);
    }
    report
}

/// One entry of a bundle.
struct Entry {
    at: u64,
    record: Record,
}

/// What leads from the bundle's first key to the others.
struct Lineage {
    ledger: String,
    /// Each key with the sequence of the first record that it seals.
    keys: Vec<(u64, PublicKey)>,
}

impl Lineage {
    fn key_at(&self, sequence: u64) -> Option<&PublicKey> {
        let mut keys = self.keys.iter().rev();
        keys.find(|(from, _)| *from <= sequence).map(|(_, key)| key)
    }
}

fn prove(
    bundle: &Value,
    trust: &Trust,
    post_quantum: &record::PostQuantum,
    report: &mut Report,
) -> Result<(), String> {
    let version = bundle.get("bundle").and_then(Value::as_u64);
    if version != Some(VERSION) {
        return Err(format!("not a bundle of version {VERSION}"));
    }
    let note = text(bundle, "checkpoint")?;
    let unsigned = Checkpoint::parse(note).map_err(|error| format!("checkpoint: {error}"))?;
    if bundle.get("tree_size").and_then(Value::as_u64) != Some(unsigned.size) {
        return Err("tree_size is not the size of the checkpoint".to_owned());
    }
    let entries = list(bundle, "ledger")?;
    let (first, rest) = entries.split_first().ok_or("the genesis is missing")?;
    let genesis = entry(first, &unsigned).map_err(|error| format!("genesis: {error}"))?;
    let mut lineage = begin(&genesis)?;
    let origin = origin(&genesis, &lineage.ledger)?;
    let key = checkpoint_key(&genesis.record).ok_or("the genesis names no checkpoint key")?;
    Checkpoint::verify(note, &origin, &key).map_err(|error| format!("checkpoint: {error}"))?;
    let verifier = text(bundle, "checkpoint_key")?;
    if verifier != checkpoint::verifier_key(&origin, &key) {
        return Err("checkpoint_key is not the key that the genesis names".to_owned());
    }
    sealed(&genesis, &lineage, post_quantum)?;
    for one in rest {
        let one = entry(one, &unsigned)?;
        sealed(&one, &lineage, post_quantum)?;
        rotate(&one, &mut lineage)?;
    }
    if !lineage.keys.iter().any(|(_, key)| trusts(trust, key)) {
        return Err(
            "the ledger's keys are not the one that is trusted: somebody else made this, or it is of another ledger"
                .to_owned(),
        );
    }
    report.ledger = Some(lineage.ledger.clone());
    report.tree_size = unsigned.size;
    let filter = Filter::of_value(bundle.get("filter"))?;
    let chosen = match bundle.get("record") {
        Some(_) => std::slice::from_ref(bundle),
        None => list(bundle, "records")?,
    };
    let mut before = None;
    for one in chosen {
        let one = entry(one, &unsigned)?;
        if before.is_some_and(|before| before >= one.at) {
            return Err(format!("record {} stands out of order", one.at));
        }
        before = Some(one.at);
        sealed(&one, &lineage, post_quantum)?;
        if !filter.takes(&one.record) {
            return Err(format!(
                "record {} is not one that the filter takes",
                one.at
            ));
        }
        let hash = one.record.seal().hash.clone();
        report
            .proved
            .push((one.at, one.record.id().to_string(), hash));
    }
    Ok(())
}

fn trusts(trust: &Trust, key: &PublicKey) -> bool {
    match trust {
        Trust::Explicit(trusted) => trusted == key,
        Trust::Unusable(_) => false,
        Trust::Ring { keyring, local } => {
            *local == Some(*key)
                || keyring
                    .epochs()
                    .iter()
                    .any(|epoch| epoch.public_key == *key)
        }
    }
}

/// Reads an entry and checks its place in the tree.
fn entry(value: &Value, checkpoint: &Checkpoint) -> Result<Entry, String> {
    let at = value
        .get("leaf_index")
        .and_then(Value::as_u64)
        .ok_or("an entry has no leaf_index")?;
    let sealed = value
        .get("record")
        .cloned()
        .ok_or_else(|| format!("entry {at} has no record"))?;
    let record = Record::from_value(sealed).map_err(|error| format!("record {at}: {error}"))?;
    let proof: Vec<NodeHash> = list(value, "inclusion_proof")?
        .iter()
        .map(|hash| hash.as_str().and_then(node))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("record {at}: the proof is not a list of base64 hashes"))?;
    let leaf = leaf_hash(&record.record_json());
    if let Some(named) = value.get("leaf_hash")
        && named.as_str().and_then(node) != Some(leaf)
    {
        return Err(format!("record {at}: leaf_hash is not that of the record"));
    }
    verify_inclusion(leaf, at, checkpoint.size, &proof, &checkpoint.root)
        .map_err(|error| format!("record {at} is not under the checkpoint: {error}"))?;
    if record.sequence() != Some(at) {
        return Err(format!("record {at} says that it has another place"));
    }
    Ok(Entry { at, record })
}

fn node(text: &str) -> Option<NodeHash> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    bytes.try_into().ok().map(NodeHash)
}

fn environment<'a>(entry: &'a Entry, key: &str) -> Option<&'a str> {
    let environment = entry.record.document().get("context")?.get("environment")?;
    environment.get(key)?.as_str()
}

fn begin(genesis: &Entry) -> Result<Lineage, String> {
    if genesis.at != 0 || event(&genesis.record) != Some("genesis") {
        return Err("the first entry is not the genesis of a ledger".to_owned());
    }
    let key = environment(genesis, "public_key").map(PublicKey::from_hex);
    let (Some(Ok(key)), Some(ledger)) = (key, environment(genesis, "ledger")) else {
        return Err("the genesis does not name ledger and key".to_owned());
    };
    Ok(Lineage {
        ledger: ledger.to_owned(),
        keys: vec![(0, key)],
    })
}

fn origin(genesis: &Entry, ledger: &str) -> Result<String, String> {
    let id: Id = ledger
        .parse()
        .map_err(|_| "the genesis names no ledger id".to_owned())?;
    let tenant = environment(genesis, "tenant").unwrap_or_default();
    Ok(checkpoint::origin(&id, &Chain::of(tenant)))
}

/// Content and signature, by the key that seals at that place, in the ledger that the bundle is about.
fn sealed(
    entry: &Entry,
    lineage: &Lineage,
    post_quantum: &record::PostQuantum,
) -> Result<(), String> {
    let key = lineage
        .key_at(entry.at)
        .ok_or("there is no key for a record")?;
    let _verified = record::verify_with(&entry.record, &Keys::explicit(key), post_quantum)
        .map_err(|failure| format!("record {}: {failure}", entry.at))?;
    match environment(entry, "ledger") {
        Some(ledger) if ledger != lineage.ledger => {
            Err(format!("record {} is of another ledger", entry.at))
        }
        _ => Ok(()),
    }
}

fn rotate(entry: &Entry, lineage: &mut Lineage) -> Result<(), String> {
    let wrong = |what: String| format!("record {}: {what}", entry.at);
    let last = lineage.keys.last().ok_or("there is no key")?;
    if event(&entry.record) != Some("key_rotation") || entry.at < last.0 {
        return Err(wrong("not a key rotation, or out of order".to_owned()));
    }
    let environment = entry.record.document().get("context");
    let environment = environment.and_then(|context| context.get("environment"));
    let environment = environment.unwrap_or(&Value::Null);
    let new = verify_rotation(&lineage.ledger, &last.1, environment, entry.at).map_err(wrong)?;
    lineage.keys.push((entry.at.saturating_add(1), new));
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    let found = value.get(key).and_then(Value::as_str);
    found.ok_or_else(|| format!("{key} is missing or not a string"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a [Value], String> {
    let found = value.get(key).and_then(Value::as_array);
    found.ok_or_else(|| format!("{key} is missing or not an array"))
}

impl Report {
    fn json(&self) -> Vec<u8> {
        let proved = self.proved.iter().map(|(at, id, hash)| {
            let mut one = Object::new();
            one.insert("capsule_id", id);
            one.insert("hash", hash);
            one.insert("sequence", *at);
            Value::Object(one)
        });
        let mut report = Object::new();
        report.insert("error", self.error.clone());
        report.insert("ledger", self.ledger.clone());
        report.insert("records", Value::Array(proved.collect()));
        report.insert("tree_size", self.tree_size);
        report.insert("valid", self.error.is_none());
        let mut text = capsule::canonical::to_vec(&Value::Object(report));
        text.push(b'\n');
        text
    }

    fn print(&self, console: &mut Console) -> io::Result<()> {
        let title = console.paint(Style::Bold, "Evidence Bundle").to_string();
        writeln!(console.out, "\n{title}\n{}", "=".repeat(50))?;
        if let Some(ledger) = &self.ledger {
            writeln!(console.out, "  Ledger: {}", Visible(ledger))?;
            writeln!(
                console.out,
                "  Checkpoint over {} records\n",
                self.tree_size
            )?;
        }
        for (at, id, hash) in &self.proved {
            let mark = console.paint(Style::Green, "✓").to_string();
            let start: String = hash.chars().take(12).collect();
            writeln!(console.out, "  {mark} Record {at}  {id}  {start}...")?;
        }
        match &self.error {
            None => {
                let word = console.paint(Style::Green, "PASS").to_string();
                let count = self.proved.len();
                writeln!(console.out, "\n  {word} -- {count} records proved\n")?;
                writeln!(
                    console.err,
                    "note: each record is proved; that no other matching record was left out is not"
                )
            }
            Some(error) => {
                let word = console.paint(Style::Red, "FAIL").to_string();
                writeln!(console.out, "\n  {word} -- {}\n", Visible(error))
            }
        }
    }
}
