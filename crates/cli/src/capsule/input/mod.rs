//! Where records come from: JSON files and streams, and databases. Nothing is ever created.

pub mod split;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use capsule::Timestamp;
use capsule::verify::{Columns, Record, RecordError, Seal};

use crate::capsule_cli::args;
use crate::capsule_cli::console;
use ledger::journal::Chain;
use split::{SplitError, Splitter};
use store::postgres::Target;
use store::reader::Reader;

/// Rows of a database that are checked together.
const ROWS: usize = 64;

/// A source that was chosen on the command line and not opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A JSON file.
    File(PathBuf),
    /// JSON on standard input.
    Stdin,
    /// A SQLite database.
    Database(PathBuf),
    /// A chain in a PostgreSQL database.
    Server(Box<Target>, Chain),
}

/// The choice that the arguments make.
///
/// # Errors
/// The reference's sentence when there is none or more than one, ours for what this version does not have.
pub fn choose(source: &args::Source) -> Result<Choice, String> {
    let named = [
        source.source.is_some(),
        source.db.is_some(),
        source.pg.is_some(),
    ];
    match named.iter().filter(|is| **is).count() {
        0 | 1 => {}
        _ => return Err("specify only one source".to_owned()),
    }
    if let Some(url) = &source.pg {
        let target = Target::parse(url).map_err(|error| format!("--pg: {error}"))?;
        let target = target.or_password(std::env::var("PGPASSWORD").ok().as_deref());
        let chain = Chain::of(source.chain.as_deref().unwrap_or_default());
        return Ok(Choice::Server(Box::new(target), chain));
    }
    match (&source.source, &source.db, &source.data_dir) {
        (Some(path), _, _) if path == Path::new("-") => Ok(Choice::Stdin),
        (Some(path), _, _) => Ok(Choice::File(path.clone())),
        (None, Some(path), _) => Ok(Choice::Database(path.clone())),
        (None, None, Some(dir)) => Ok(Choice::Database(
            console::data_dir(Some(dir))?.join("capsules.db"),
        )),
        (None, None, None) => Err("specify a source (JSON file, --db, or --pg)".to_owned()),
    }
}

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file could not be opened or read.
    #[error("{}", errno(error, path))]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The JSON is not a sequence of records.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The database could not be read.
    #[error("{0}")]
    Database(String),
}

/// An error of the operating system in the words of the reference.
fn errno(error: &io::Error, path: &Path) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match error.raw_os_error() {
        Some(code) => format!("[Errno {code}] {text}: '{}'", path.display()),
        None => format!("{text}: '{}'", path.display()),
    }
}

/// An open source.
pub enum Source {
    /// JSON in a file or on standard input.
    Json(Splitter<Box<dyn Read + Send>>),
    /// A database.
    Rows(Box<Reader>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Source::Json(_) => "Source::Json",
            Source::Rows(_) => "Source::Rows",
        })
    }
}

impl Source {
    /// Opens a source and says how large it is, in bytes or in rows, where that is known.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    pub fn open(choice: &Choice) -> Result<(Source, Option<u64>), InputError> {
        match choice {
            Choice::Stdin => Ok((Source::Json(Splitter::new(Box::new(io::stdin()))), None)),
            Choice::File(path) => {
                let failed = |error| InputError::File {
                    path: path.clone(),
                    error,
                };
                let file = File::open(path).map_err(failed)?;
                let metadata = file.metadata().map_err(failed)?;
                if metadata.is_dir() {
                    return Err(failed(io::Error::from_raw_os_error(
                        rustix::io::Errno::ISDIR.raw_os_error(),
                    )));
                }
                let size = metadata.is_file().then_some(metadata.len());
                Ok((Source::Json(Splitter::new(Box::new(file))), size))
            }
            Choice::Database(path) => {
                let reader =
                    Reader::open(path).map_err(|error| InputError::Database(error.to_string()))?;
                let size = reader.count().ok();
                Ok((Source::Rows(Box::new(reader)), size))
            }
            Choice::Server(target, chain) => {
                let reader = Reader::connect(target, chain)
                    .map_err(|error| InputError::Database(error.to_string()))?;
                let size = reader.count().ok();
                Ok((Source::Rows(Box::new(reader)), size))
            }
        }
    }

    /// Hands all records to `push`, chunk by chunk in order, until that answers false.
    ///
    /// # Errors
    /// When the input cannot be read or is not a sequence of records.
    pub fn for_each(self, push: &mut dyn FnMut(Chunk) -> bool) -> Result<(), InputError> {
        match self {
            Source::Json(mut splitter) => {
                while let Some(chunk) = splitter.next_chunk()? {
                    let content = Content::Json {
                        bytes: chunk.bytes,
                        records: chunk.records,
                    };
                    let consumed = chunk.consumed;
                    if !push(Chunk { consumed, content }) {
                        break;
                    }
                }
                Ok(())
            }
            Source::Rows(reader) => push_rows(&reader, push),
        }
    }
}

/// The rows of a database, some at a time.
fn push_rows(reader: &Reader, push: &mut dyn FnMut(Chunk) -> bool) -> Result<(), InputError> {
    let mut consumed = 0;
    let mut rows = Vec::with_capacity(ROWS);
    let mut wanted = true;
    let read = reader.for_each(0, |row| {
        rows.push(Row::from(row));
        consumed += 1;
        if rows.len() == ROWS {
            let content = Content::Rows(std::mem::replace(&mut rows, Vec::with_capacity(ROWS)));
            wanted = push(Chunk { consumed, content });
        }
        wanted
    });
    read.map_err(|error| InputError::Database(error.to_string()))?;
    if wanted && !rows.is_empty() {
        let content = Content::Rows(rows);
        push(Chunk { consumed, content });
    }
    Ok(())
}

/// Some records in the order of the input, not yet parsed.
#[derive(Debug)]
pub struct Chunk {
    /// How much of the input has been read with this chunk, in bytes or rows.
    pub consumed: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Json {
        bytes: Vec<u8>,
        records: Vec<Range<usize>>,
    },
    Rows(Vec<Row>),
}

/// One record, not yet parsed.
#[derive(Debug)]
pub enum Item<'a> {
    /// A sealed record as JSON.
    Json(&'a [u8]),
    /// A row of a database. Reading it takes document and seal out of the row; its columns stay.
    Row(&'a mut Row),
}

impl Item<'_> {
    /// Parses the record.
    ///
    /// # Errors
    /// When it is no record.
    pub fn read(&mut self) -> Result<Record, RecordError> {
        let record = match self {
            Item::Json(text) => Record::from_json(text)?,
            Item::Row(row) => Record::from_owned_row(
                std::mem::take(&mut row.data),
                std::mem::take(&mut row.seal),
            )?,
        };
        match record.seal().signed_at.as_deref() {
            Some(at) if !at.is_empty() && !is_time(at) => Err(RecordError::Field {
                path: "signed_at".to_owned(),
                fault: "not a timestamp",
            }),
            _ => Ok(record),
        }
    }
}

/// Whether the reference reads the text as a time; one without an offset counts too.
fn is_time(text: &str) -> bool {
    let offset = || format!("{text}+00:00");
    let midnight = || format!("{text}T00:00:00+00:00");
    Timestamp::parse(text).is_ok()
        || Timestamp::parse(&offset()).is_ok()
        || Timestamp::parse(&midnight()).is_ok()
}

/// A row of a database.
#[derive(Clone, Debug)]
pub struct Row {
    /// The content as JSON.
    pub data: Vec<u8>,
    /// The seal columns.
    pub seal: Seal,
    /// The `id` column.
    pub id: String,
    /// The `type` column.
    pub capsule_type: String,
    /// The `sequence` column.
    pub sequence: i64,
    /// The `previous_hash` column.
    pub previous_hash: Option<String>,
    /// The `session_id` column.
    pub session_id: Option<String>,
}

impl Row {
    /// The columns that repeat what the document says.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        Columns {
            id: &self.id,
            capsule_type: &self.capsule_type,
            sequence: self.sequence,
            previous_hash: self.previous_hash.as_deref(),
            session_id: self.session_id.as_deref(),
        }
    }
}

impl Chunk {
    /// One record as JSON.
    #[cfg(test)]
    pub(crate) fn of_json(record: Vec<u8>) -> Chunk {
        let whole = 0..record.len();
        Chunk {
            consumed: 0,
            content: Content::Json {
                bytes: record,
                records: vec![whole],
            },
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.content {
            Content::Json { records, .. } => records.len(),
            Content::Rows(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records.
    #[must_use]
    pub fn items(&mut self) -> Vec<Item<'_>> {
        match &mut self.content {
            Content::Json { bytes, records } => records
                .iter()
                .map(|range| Item::Json(bytes.get(range.clone()).unwrap_or_default()))
                .collect(),
            Content::Rows(rows) => rows.iter_mut().map(Item::Row).collect(),
        }
    }
}

impl From<ledger::journal::Row> for Row {
    fn from(row: ledger::journal::Row) -> Self {
        Row {
            data: row.data,
            seal: Seal {
                hash: row.hash,
                signature: row.signature,
                signature_pq: row.signature_pq,
                signed_at: row.signed_at,
                signed_by: row.signed_by.unwrap_or_default(),
            },
            id: row.id,
            capsule_type: row.capsule_type,
            sequence: i64::try_from(row.sequence).unwrap_or(-1),
            previous_hash: row.previous_hash,
            session_id: row.session_id,
        }
    }
}

/// Why records could not be read, or the error of who reads them.
#[derive(Debug)]
pub enum EachError<E> {
    /// The records could not be read; the sentence says why.
    Input(String),
    /// The reader of the records failed.
    Own(E),
}

/// Calls `each` for every record of a source, in order, until it answers false.
///
/// # Errors
/// When the records cannot be read, or `each` fails.
pub fn for_each_record<E>(
    choice: &Choice,
    mut each: impl FnMut(Record) -> Result<bool, E>,
) -> Result<(), EachError<E>> {
    let (source, _) = Source::open(choice).map_err(|error| EachError::Input(error.to_string()))?;
    let mut position = 0_u64;
    let mut failed = None;
    let read = source.for_each(&mut |mut chunk| {
        for mut item in chunk.items() {
            let goes_on = match item.read() {
                Ok(record) => each(record).map_err(EachError::Own),
                Err(error) => Err(EachError::Input(format!("record {position}: {error}"))),
            };
            position += 1;
            match goes_on {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    failed = Some(error);
                    return false;
                }
            }
        }
        true
    });
    match failed {
        Some(error) => Err(error),
        None => read.map_err(|error| EachError::Input(error.to_string())),
    }
}
