//! Writing a bundle. The records are read twice, so that no more than a hash of each has to be held.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use capsule::json::{Object, Value};
use capsule::verify::Record;
use capsule::{PublicKey, canonical};
use ledger::checkpoint::{Checkpoint, verifier_key};
use ledger::tree::{Layers, NodeHash, inclusion, leaf_hash, root_at};

use super::VERSION;
use crate::capsule_cli::console;
use crate::capsule_cli::export::{ExportError, checkpoint_key, event};
use crate::capsule_cli::input::{Choice, for_each_record};

/// What goes into a bundle.
pub struct Wanted<'a> {
    /// Whether a record is chosen.
    pub takes: &'a dyn Fn(&Record) -> bool,
    /// What the bundle says about the choice.
    pub filter: Value,
    /// Only the first record that is chosen, with the fields of one proof beside those of a bundle.
    pub one: bool,
}

/// The tree and the places of the records that go into a bundle.
struct Survey {
    checkpoint: Checkpoint,
    key: PublicKey,
    layers: Layers,
    /// Genesis and rotations.
    ledger: BTreeSet<u64>,
    chosen: BTreeSet<u64>,
    /// Chosen records that the checkpoint does not cover.
    beyond: u64,
}

/// Writes the bundle and returns what is worth knowing about it.
///
/// # Errors
/// When records or checkpoint cannot be read, do not belong together, or nothing was chosen.
pub fn write(
    choice: &Choice,
    dir: Option<&Path>,
    wanted: &Wanted<'_>,
    out: &mut dyn Write,
) -> Result<Vec<String>, ExportError> {
    let survey = survey(choice, dir, wanted)?;
    let mut notes = Vec::new();
    if survey.beyond > 0 {
        notes.push(format!(
            "{} chosen records are newer than the newest checkpoint and left out; try again in a second",
            survey.beyond
        ));
    }
    let mut head = Object::new();
    head.insert("bundle", VERSION);
    head.insert("checkpoint", survey.checkpoint.note.as_str());
    let verifier = verifier_key(&survey.checkpoint.origin, &survey.key);
    head.insert("checkpoint_key", verifier);
    head.insert("filter", wanted.filter.clone());
    let mut tail = Object::new();
    tail.insert("tree_size", survey.checkpoint.size);
    let ledger = entries(choice, &survey, &survey.ledger)?;
    if wanted.one {
        let entry = entries(choice, &survey, &survey.chosen)?.into_iter().next();
        let Some(Value::Object(entry)) = entry else {
            return Err(ExportError::Refused("the record is gone".to_owned()));
        };
        for (key, value) in entry {
            head.insert(key, value);
        }
    }
    head.insert("ledger", ledger);
    let mut text = canonical::to_vec(&Value::Object(head));
    // The records come last but for the size, and one by one.
    text.pop();
    out.write_all(&text)?;
    if !wanted.one {
        out.write_all(b",\"records\":[")?;
        let mut first = true;
        each(choice, &survey, &survey.chosen, |entry| {
            if !std::mem::take(&mut first) {
                out.write_all(b",")?;
            }
            Ok(out.write_all(&canonical::to_vec(&entry))?)
        })?;
        out.write_all(b"]")?;
    }
    out.write_all(b",")?;
    out.write_all(
        canonical::to_vec(&Value::Object(tail))
            .get(1..)
            .unwrap_or_default(),
    )?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(notes)
}

fn survey(choice: &Choice, dir: Option<&Path>, wanted: &Wanted<'_>) -> Result<Survey, ExportError> {
    let refused = |message: String| ExportError::Refused(message);
    if *choice == Choice::Stdin {
        return Err(refused(
            "a proof needs a file or a database, which can be read twice".to_owned(),
        ));
    }
    let dir = directory(choice, dir).map_err(refused)?;
    let checkpoint = newest_checkpoint(&dir).map_err(refused)?;
    let (mut key, mut leaves) = (None, Vec::new());
    let (mut ledger, mut chosen, mut beyond) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut at = 0_u64;
    for_each_record(choice, |record| {
        if at < checkpoint.size {
            leaves.push(leaf_hash(&record.record_json()));
        }
        if at == 0 {
            key = checkpoint_key(&record);
        }
        if at == 0 || (at < checkpoint.size && event(&record) == Some("key_rotation")) {
            ledger.insert(at);
        }
        let full = wanted.one && !chosen.is_empty();
        if !full && (wanted.takes)(&record) {
            if at < checkpoint.size {
                chosen.insert(at);
            } else {
                beyond += 1;
            }
        }
        at += 1;
        Ok::<_, ExportError>(true)
    })?;
    let key = key.ok_or_else(|| {
        refused("the chain does not begin as one of our ledgers, so it has no checkpoints; without proofs: --jsonl".to_owned())
    })?;
    Checkpoint::verify(&checkpoint.note, &checkpoint.origin, &key)
        .map_err(|error| refused(format!("{}: {error}", dir.join("checkpoint").display())))?;
    let held = leaves.len() as u64;
    let mut layers = Layers::new(leaves);
    let root = root_at(held, &mut layers).unwrap_or_else(|never| match never {});
    if held != checkpoint.size || root != checkpoint.root {
        return Err(refused(
            "the records are not those of the checkpoint; run capsule verify".to_owned(),
        ));
    }
    match (chosen.is_empty(), beyond) {
        (false, _) => {}
        (true, 0) => return Err(refused("no record matches".to_owned())),
        (true, _) => {
            return Err(refused(format!(
                "the chosen record is not under the newest checkpoint, which covers {} records; try again in a second",
                checkpoint.size
            )));
        }
    }
    Ok(Survey {
        checkpoint,
        key,
        layers,
        ledger,
        chosen,
        beyond,
    })
}

/// Where the checkpoint is: the directory that was named, else the one of the database.
fn directory(choice: &Choice, dir: Option<&Path>) -> Result<PathBuf, String> {
    match (choice, dir) {
        (Choice::Database(path), None) => Ok(path.parent().unwrap_or(Path::new(".")).to_owned()),
        _ => console::data_dir(dir),
    }
}

fn newest_checkpoint(dir: &Path) -> Result<Checkpoint, String> {
    let path = dir.join("checkpoint");
    let note = std::fs::read_to_string(&path).map_err(|error| {
        format!(
            "{}: {error}; a proof needs the data directory with its newest checkpoint (--data-dir DIR)",
            path.display()
        )
    })?;
    Checkpoint::parse(&note).map_err(|error| format!("{}: {error}", path.display()))
}

fn entries(
    choice: &Choice,
    survey: &Survey,
    places: &BTreeSet<u64>,
) -> Result<Vec<Value>, ExportError> {
    let mut found = Vec::new();
    each(choice, survey, places, |entry| {
        found.push(entry);
        Ok(())
    })?;
    Ok(found)
}

/// Calls `take` with the entry of each record at one of these places.
fn each(
    choice: &Choice,
    survey: &Survey,
    places: &BTreeSet<u64>,
    mut take: impl FnMut(Value) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let last = places.last().copied();
    let mut layers = survey.layers.clone();
    let mut at = 0_u64;
    for_each_record(choice, |record| {
        if places.contains(&at) {
            let proof = inclusion(at, survey.checkpoint.size, &mut layers);
            let proof = proof.unwrap_or_else(|never| match never {});
            take(entry(&record, at, &proof.unwrap_or_default()))?;
        }
        at += 1;
        Ok(last.is_some_and(|last| at <= last))
    })?;
    Ok(())
}

fn entry(record: &Record, at: u64, proof: &[NodeHash]) -> Value {
    let mut sealed = record.document().as_object().cloned().unwrap_or_default();
    let seal = record.seal();
    sealed.insert("hash", &seal.hash);
    sealed.insert("signature", &seal.signature);
    sealed.insert("signature_pq", &seal.signature_pq);
    sealed.insert("signed_at", seal.signed_at.clone());
    sealed.insert("signed_by", &seal.signed_by);
    let hashes: Vec<Value> = proof
        .iter()
        .map(|hash| Value::from(BASE64_STANDARD.encode(hash.0)))
        .collect();
    let leaf = BASE64_STANDARD.encode(leaf_hash(&record.record_json()).0);
    let mut entry = Object::new();
    entry.insert("inclusion_proof", Value::Array(hashes));
    entry.insert("leaf_hash", leaf);
    entry.insert("leaf_index", at);
    entry.insert("record", sealed);
    Value::Object(entry)
}
