//! `capsule export`: records in the reference's form, or one record with everything that proves it.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use capsule::json::{Object, Value};
use capsule::verify::Record;
use capsule::{PublicKey, canonical};
use ledger::checkpoint::{Checkpoint, verifier_key};
use ledger::tree::{Leaves, NodeHash, inclusion, leaf_hash, root_at};

use crate::capsule_cli::args;
use crate::capsule_cli::console::{self, Console, Visible};
use crate::capsule_cli::exit::Exit;
use crate::capsule_cli::input::{self, Choice, EachError, for_each_record};

/// Runs `capsule export`.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(arguments: &args::Export, console: &mut Console) -> io::Result<Exit> {
    let choice = match input::choose(&arguments.source) {
        Ok(choice) => choice,
        Err(message) => {
            console.error(message)?;
            return Ok(Exit::Error);
        }
    };
    let result = if arguments.proof {
        proof(arguments, &choice, console)
    } else {
        records(arguments, &choice, console)
    };
    match result {
        Ok(notes) => {
            for note in notes {
                writeln!(console.err, "note: {}", Visible(&note))?;
            }
            Ok(Exit::Pass)
        }
        Err(ExportError::Output(error)) => Err(error),
        Err(ExportError::Input(message)) => {
            writeln!(console.err, "Error loading capsules: {}", Visible(&message))?;
            Ok(Exit::Error)
        }
        Err(ExportError::Refused(message)) => {
            console.error(message)?;
            Ok(Exit::Error)
        }
    }
}

#[derive(Debug)]
enum ExportError {
    Input(String),
    Refused(String),
    Output(io::Error),
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> Self {
        ExportError::Output(error)
    }
}

impl From<EachError<ExportError>> for ExportError {
    fn from(error: EachError<ExportError>) -> Self {
        match error {
            EachError::Input(message) => ExportError::Input(message),
            EachError::Own(error) => error,
        }
    }
}

/// Where the export goes: the file that was named, else standard output.
fn target<'a>(
    arguments: &args::Export,
    console: &'a mut Console,
) -> Result<Box<dyn Write + 'a>, ExportError> {
    match &arguments.output {
        None => Ok(Box::new(&mut console.out)),
        Some(path) => {
            let file = File::create(path)
                .map_err(|error| ExportError::Refused(format!("{}: {error}", path.display())))?;
            Ok(Box::new(BufWriter::new(file)))
        }
    }
}

fn wanted(arguments: &args::Export, record: &Record) -> bool {
    let domain = record.document().get("domain").and_then(Value::as_str);
    arguments
        .seq
        .is_none_or(|sequence| record.sequence() == Some(sequence))
        && arguments
            .id
            .as_ref()
            .is_none_or(|id| record.id().to_string() == *id)
        && (arguments.domain.is_none() || domain == arguments.domain.as_deref())
}

fn records(
    arguments: &args::Export,
    choice: &Choice,
    console: &mut Console,
) -> Result<Vec<String>, ExportError> {
    let mut out = target(arguments, console)?;
    let mut written = 0_u64;
    let mut left_out = 0_u64;
    let lines = arguments.jsonl;
    for_each_record(choice, |record| {
        if !wanted(arguments, &record) {
            left_out += 1;
            return Ok::<_, ExportError>(true);
        }
        let before: &[u8] = match (lines, written) {
            (true, _) => b"",
            (false, 0) => b"[\n",
            (false, _) => b",\n",
        };
        out.write_all(before)?;
        out.write_all(&record.record_json())?;
        if lines {
            out.write_all(b"\n")?;
        }
        written += 1;
        Ok(true)
    })?;
    if !lines {
        out.write_all(if written == 0 { b"[]\n" } else { b"\n]\n" })?;
    }
    out.flush()?;
    Ok(match left_out {
        0 => Vec::new(),
        _ => vec![format!(
            "{written} of {} records: an excerpt does not verify as a chain; use --proof for one record",
            written + left_out
        )],
    })
}

/// One record, its place in the tree, and the signed checkpoint that the tree leads to.
fn proof(
    arguments: &args::Export,
    choice: &Choice,
    console: &mut Console,
) -> Result<Vec<String>, ExportError> {
    let refused = |message: String| ExportError::Refused(message);
    let dir = console::data_dir(arguments.source.data_dir.as_deref()).map_err(refused)?;
    let checkpoint = newest_checkpoint(&dir).map_err(refused)?;
    let mut found = None;
    let mut genesis = None;
    let mut leaves = Vec::new();
    for_each_record(choice, |record| {
        let at = leaves.len() as u64;
        if at < checkpoint.size {
            leaves.push(leaf_hash(&record.record_json()));
        }
        if genesis.is_none() {
            genesis = Some(checkpoint_key(&record));
        }
        if found.is_none() && wanted(arguments, &record) {
            found = Some((at, record));
        }
        Ok::<_, ExportError>(true)
    })?;
    let (at, record) = found
        .ok_or_else(|| refused("no record matches; choose one by --seq or --id".to_owned()))?;
    let key = genesis.flatten().ok_or_else(|| {
        refused(
            "the chain does not begin as one of our ledgers, so it has no checkpoints".to_owned(),
        )
    })?;
    Checkpoint::verify(&checkpoint.note, &checkpoint.origin, &key)
        .map_err(|error| refused(format!("{}: {error}", dir.join("checkpoint").display())))?;
    let path = path(at, &checkpoint, leaves).map_err(refused)?;
    let mut out = target(arguments, console)?;
    out.write_all(&canonical::to_vec(&bundle(
        &record,
        at,
        &path,
        &checkpoint,
        &key,
    )))?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(Vec::new())
}

/// The hashes that lead from leaf `at` to the root of the checkpoint.
fn path(at: u64, checkpoint: &Checkpoint, leaves: Vec<NodeHash>) -> Result<Vec<NodeHash>, String> {
    let size = checkpoint.size;
    if at >= size {
        return Err(format!(
            "record {at} is not under the newest checkpoint, which covers {size} records; try again later"
        ));
    }
    let mut leaves = Leaves(leaves);
    let root = root_at(size, &mut leaves).unwrap_or_else(|never| match never {});
    if leaves.0.len() as u64 != size || root != checkpoint.root {
        return Err("the records are not those of the checkpoint; run capsule verify".to_owned());
    }
    let path = inclusion(at, size, &mut leaves).unwrap_or_else(|never| match never {});
    path.ok_or_else(|| format!("record {at} is outside the tree"))
}

fn bundle(
    record: &Record,
    at: u64,
    path: &[NodeHash],
    checkpoint: &Checkpoint,
    key: &PublicKey,
) -> Value {
    let mut sealed = record.document().as_object().cloned().unwrap_or_default();
    let seal = record.seal();
    sealed.insert("hash", &seal.hash);
    sealed.insert("signature", &seal.signature);
    sealed.insert("signature_pq", &seal.signature_pq);
    sealed.insert("signed_at", seal.signed_at.clone());
    sealed.insert("signed_by", &seal.signed_by);
    let hashes: Vec<Value> = path
        .iter()
        .map(|hash| Value::from(BASE64_STANDARD.encode(hash.0)))
        .collect();
    let mut bundle = Object::new();
    bundle.insert("checkpoint", checkpoint.note.as_str());
    bundle.insert("checkpoint_key", verifier_key(&checkpoint.origin, key));
    bundle.insert("inclusion_proof", Value::Array(hashes));
    bundle.insert(
        "leaf_hash",
        BASE64_STANDARD.encode(leaf_hash(&record.record_json()).0),
    );
    bundle.insert("leaf_index", at);
    bundle.insert("record", sealed);
    bundle.insert("tree_size", checkpoint.size);
    Value::Object(bundle)
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

/// The key of checkpoints that a genesis names.
fn checkpoint_key(record: &Record) -> Option<PublicKey> {
    let environment = record.document().get("context")?.get("environment")?;
    if environment.get("event")?.as_str()? != "genesis" {
        return None;
    }
    PublicKey::from_hex(environment.get("checkpoint_key")?.as_str()?).ok()
}

/// Whether there is a database at `path` whose first record is the genesis of a ledger of ours.
///
/// # Errors
/// A sentence, when there is something that cannot be read: then nobody knows.
pub fn founds_a_ledger(path: &Path) -> Result<bool, String> {
    if !path.exists() {
        return Ok(false);
    }
    let mut founds = false;
    let read = for_each_record(&Choice::Database(path.to_owned()), |record| {
        founds = checkpoint_key(&record).is_some();
        Ok::<_, Infallible>(false)
    });
    match read {
        Err(EachError::Input(message)) => Err(format!("{}: {message}", path.display())),
        Ok(()) | Err(EachError::Own(_)) => Ok(founds),
    }
}
