//! Commands over one JSON value: `canonical`, `hash`, `validate`, `uri`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use capsule::json::{self, Duplicates, Limits, ParseError, ParseErrorKind, Value};
use capsule::uri::CapsuleUri;
use capsule::validate::validate;
use capsule::{Hash, canonical};

use crate::capsule_cli::args;
use crate::capsule_cli::console::Console;
use crate::capsule_cli::exit::Exit;

/// The keys beside the content of a sealed record, which are not part of what is hashed.
const SEAL_KEYS: [&str; 5] = [
    "hash",
    "signature",
    "signature_pq",
    "signed_at",
    "signed_by",
];

/// The largest file that these commands take.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// `capsule canonical FILE`: the canonical bytes and nothing else.
///
/// # Errors
/// When an output cannot be written.
pub fn canonical(arguments: &args::OneFile, console: &mut Console) -> io::Result<Exit> {
    match content(&arguments.file) {
        Ok(bytes) => {
            console.out.write_all(&bytes)?;
            console.out.flush()?;
            Ok(Exit::Pass)
        }
        Err((exit, message)) => {
            console.error(message)?;
            Ok(exit)
        }
    }
}

/// `capsule hash FILE`: the SHA3-256 of its bytes, or with `--capsule` of its canonical content.
///
/// # Errors
/// When an output cannot be written.
pub fn hash(arguments: &args::Hash, console: &mut Console) -> io::Result<Exit> {
    let bytes = if arguments.capsule {
        content(&arguments.file)
    } else {
        read(&arguments.file).map_err(|message| (Exit::Error, message))
    };
    match bytes {
        Ok(bytes) => {
            writeln!(console.out, "{}", Hash::of(&bytes).hex())?;
            console.out.flush()?;
            Ok(Exit::Pass)
        }
        Err((exit, message)) => {
            console.error(message)?;
            Ok(exit)
        }
    }
}

/// `capsule validate FILE`: the validator's report as JSON.
///
/// # Errors
/// When an output cannot be written.
pub fn check(arguments: &args::Validate, console: &mut Console) -> io::Result<Exit> {
    let value = read(&arguments.file)
        .map_err(|message| (Exit::Error, message))
        .and_then(|bytes| {
            parse(&arguments.file, &bytes).map_err(|(_, message)| (Exit::Error, message))
        });
    let document = match value {
        Ok(value) => value,
        Err((exit, message)) => {
            console.error(message)?;
            return Ok(exit);
        }
    };
    let report = validate(&document, arguments.claimed_hash.as_deref(), false);
    let shown = ValidateReport {
        ok: report.ok,
        category: report.category.map(|category| category.as_str()),
        field: report.field.as_deref(),
        message: &report.message,
    };
    let text = serde_json::to_string_pretty(&shown).map_err(io::Error::other)?;
    writeln!(console.out, "{text}")?;
    console.out.flush()?;
    Ok(if report.ok { Exit::Pass } else { Exit::Fail })
}

/// The report of `capsule validate`, in the order of its keys.
#[derive(serde::Serialize)]
struct ValidateReport<'a> {
    ok: bool,
    category: Option<&'static str>,
    field: Option<&'a str>,
    message: &'a str,
}

/// `capsule uri URI`: the parts of a reference as JSON.
///
/// # Errors
/// When an output cannot be written.
pub fn uri(text: &str, console: &mut Console) -> io::Result<Exit> {
    match CapsuleUri::parse(text) {
        Ok(uri) => {
            let bytes = canonical::to_vec(&Value::Object(uri.to_object()));
            console.out.write_all(&bytes)?;
            writeln!(console.out)?;
            console.out.flush()?;
            Ok(Exit::Pass)
        }
        Err(error) => {
            console.error(error)?;
            Ok(Exit::Fail)
        }
    }
}

/// The canonical bytes of the value in a file, without the keys of a seal.
fn content(path: &Path) -> Result<Vec<u8>, (Exit, String)> {
    let bytes = read(path).map_err(|message| (Exit::Error, message))?;
    let mut value = parse(path, &bytes)?;
    if let Value::Object(object) = &mut value {
        for key in SEAL_KEYS {
            object.remove(key);
        }
    }
    Ok(canonical::to_vec(&value))
}

/// 1 for a value that JSON can write and that has no canonical form, 2 for what is no JSON.
fn parse(path: &Path, bytes: &[u8]) -> Result<Value, (Exit, String)> {
    let limits = Limits {
        duplicates: Duplicates::LastWins,
        ..Limits::default()
    };
    json::parse(bytes, &limits).map_err(|error: ParseError| {
        let exit = match error.kind {
            ParseErrorKind::NotFinite
            | ParseErrorKind::NumberTooLarge
            | ParseErrorKind::LoneSurrogate => Exit::Fail,
            _ => Exit::Error,
        };
        (exit, format!("{}: {error}", path.display()))
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("file not found: {}", path.display()),
        _ => format!("{}: {error}", path.display()),
    };
    let reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    reader
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!(
            "{} is larger than {MAX_FILE} bytes",
            path.display()
        ));
    }
    Ok(bytes)
}
