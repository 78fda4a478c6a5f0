//! `capsule export`: records in the reference's form, or chosen records with everything that proves them.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use capsule::PublicKey;
use capsule::verify::Record;

use crate::capsule_cli::args;
use crate::capsule_cli::bundle::filter::Filter;
use crate::capsule_cli::bundle::make;
use crate::capsule_cli::console::{Console, Visible};
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
    let filter = match Filter::of(&arguments.filter) {
        Ok(filter) => filter,
        Err(message) => {
            console.error(message)?;
            return Ok(Exit::Error);
        }
    };
    let result = if arguments.proof || !(filter.is_empty() || arguments.jsonl) {
        proofs(arguments, &choice, &filter, console)
    } else {
        records(arguments, &choice, &filter, console)
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

/// Why nothing, or not everything, was exported.
#[derive(Debug)]
pub enum ExportError {
    /// The records could not be read; the sentence says why.
    Input(String),
    /// They could, and what was asked for is not there or does not belong together.
    Refused(String),
    /// The export could not be written.
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

fn wanted(arguments: &args::Export, filter: &Filter, record: &Record) -> bool {
    arguments
        .seq
        .is_none_or(|sequence| record.sequence() == Some(sequence))
        && arguments
            .id
            .as_ref()
            .is_none_or(|id| record.id().to_string() == *id)
        && filter.takes(record)
}

/// One record or those that a filter takes, with everything that proves them.
fn proofs(
    arguments: &args::Export,
    choice: &Choice,
    filter: &Filter,
    console: &mut Console,
) -> Result<Vec<String>, ExportError> {
    // In memory until it is whole: a bundle that failed half-way must not look like one.
    let mut bundle = Vec::new();
    let notes = make::write(
        choice,
        arguments.source.data_dir.as_deref(),
        &make::Wanted {
            takes: &|record| wanted(arguments, filter, record),
            filter: filter.to_value(),
            one: filter.is_empty(),
        },
        &mut bundle,
    )?;
    let mut out = target(arguments, console)?;
    out.write_all(&bundle)?;
    out.flush()?;
    Ok(notes)
}

fn records(
    arguments: &args::Export,
    choice: &Choice,
    filter: &Filter,
    console: &mut Console,
) -> Result<Vec<String>, ExportError> {
    let mut out = target(arguments, console)?;
    let mut written = 0_u64;
    let mut left_out = 0_u64;
    let lines = arguments.jsonl;
    for_each_record(choice, |record| {
        if !wanted(arguments, filter, &record) {
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
            "{written} of {} records: an excerpt does not verify as a chain; leave --jsonl out for an evidence bundle with proofs",
            written + left_out
        )],
    })
}

/// The key of checkpoints that a genesis names.
#[must_use]
pub fn checkpoint_key(record: &Record) -> Option<PublicKey> {
    let environment = record.document().get("context")?.get("environment")?;
    if event(record)? != "genesis" {
        return None;
    }
    PublicKey::from_hex(environment.get("checkpoint_key")?.as_str()?).ok()
}

/// What a record of the ledger itself reports.
#[must_use]
pub fn event(record: &Record) -> Option<&str> {
    let environment = record.document().get("context")?.get("environment")?;
    environment.get("event")?.as_str()
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
