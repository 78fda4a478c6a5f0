//! What the demo does with the finished ledger: read it, verify it, damage copies of it, and have the damage named.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use sealgate::capsule_cli::{self, console::Console, exit::Exit};
use serde_json::Value;

/// The ledger as exported: one sealed record a line.
pub(super) struct Ledger {
    text: String,
    pub(super) records: Vec<Value>,
}

/// What the verifier said about one input.
pub(super) struct Verdict {
    pub(super) passed: bool,
    pub(super) verified: u64,
    /// Damage as `kind at sequence n`.
    pub(super) damage: Vec<(String, Option<u64>)>,
}

impl Ledger {
    /// Exports the ledger in `dir`, with `work` for the file.
    pub(super) fn export(dir: &Path, work: &Path) -> Result<Self> {
        let file = work.join("ledger.jsonl");
        let (exit, _) = capsule([
            "export".into(),
            "--db".into(),
            database(dir),
            "--jsonl".into(),
            "--output".into(),
            file.clone().into(),
        ]);
        if exit != Exit::Pass {
            bail!("the ledger could not be exported");
        }
        let text = fs::read_to_string(&file)?;
        let records = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .context("reading the export")?;
        Ok(Self { text, records })
    }

    /// The record with this id.
    pub(super) fn record(&self, id: &str) -> Option<&Value> {
        self.records
            .iter()
            .find(|record| record.get("id").and_then(Value::as_str) == Some(id))
    }

    /// The export without its last record.
    fn shortened(&self) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        let kept = lines.len().saturating_sub(1);
        lines
            .iter()
            .take(kept)
            .fold(String::new(), |text, line| text + line + "\n")
    }
}

/// The public key of the ledger in `dir`, 64 hexadecimal digits.
pub(super) fn public_key(dir: &Path) -> Result<String> {
    let (exit, out) = capsule([
        "keys".into(),
        "export-public".into(),
        "--data-dir".into(),
        dir.into(),
    ]);
    if exit != Exit::Pass {
        bail!("the public key could not be exported");
    }
    Ok(out.trim().to_owned())
}

/// Verifies the ledger itself, as an auditor with the public key and the newest checkpoint would.
pub(super) fn verify(dir: &Path, key: &str) -> Result<Verdict> {
    judge(["--db".into(), database(dir)], dir, key)
}

/// Copies the database, changes one byte of one of the records `ids` in the copy, and verifies that. Also gives the id.
pub(super) fn edited_copy<'i>(
    dir: &Path,
    work: &Path,
    key: &str,
    ids: impl IntoIterator<Item = &'i str>,
) -> Result<(&'i str, Verdict)> {
    let mut bytes = fs::read(dir.join("capsules.db")).context("copying the database")?;
    let found = ids
        .into_iter()
        .find_map(|id| Some((id, digit_of(&bytes, id)?)));
    let (id, at) = found.context("no record stands exactly once in the database file")?;
    if let Some(byte) = bytes.get_mut(at) {
        *byte = if *byte == b'9' { b'1' } else { *byte + 1 };
    }
    let copy = work.join("edited.db");
    fs::write(&copy, bytes)?;
    Ok((id, judge(["--db".into(), copy.into()], dir, key)?))
}

/// Writes a copy without the last record and verifies that.
pub(super) fn shortened_copy(
    ledger: &Ledger,
    dir: &Path,
    work: &Path,
    key: &str,
) -> Result<Verdict> {
    let copy = work.join("shortened.jsonl");
    fs::write(&copy, ledger.shortened())?;
    judge([copy.into()], dir, key)
}

/// Bytes from a record's id within which its own output tokens stand.
const NEAR: usize = 400;

/// Place of the first digit of the output tokens in the record `id`: the byte whose change would alter a bill. `None` unless the
/// record stands in the file exactly once: a database may keep dead copies of what it moved, and editing those changes nothing.
fn digit_of(bytes: &[u8], id: &str) -> Option<usize> {
    let start = format!("\"id\":\"{id}\"");
    let mut places = places(bytes, start.as_bytes());
    let record = places.next().filter(|_| places.next().is_none())?;
    // The outcome follows the id at once; farther away stands another record, as when this one goes on in another page or
    // is of a call that used no tokens.
    let near = bytes.len().min(record.saturating_add(NEAR));
    let outcome = bytes.get(record..near)?;
    let outcome = outcome.split(|byte| !(b' '..=b'~').contains(byte)).next()?;
    let digit = record + self::places(outcome, b"\"tokens_out\":").next()?;
    if self::places(outcome, b"{\"authority\":")
        .next()
        .is_some_and(|next| record + next < digit)
    {
        return None;
    }
    bytes
        .get(digit)
        .filter(|byte| byte.is_ascii_digit())
        .map(|_| digit)
}

/// Where each occurrence of `needle` ends.
fn places<'b>(bytes: &'b [u8], needle: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    let windows = bytes.windows(needle.len()).enumerate();
    windows
        .filter(move |(_, window)| *window == needle)
        .map(|(at, _)| at + needle.len())
}

fn database(dir: &Path) -> OsString {
    dir.join("capsules.db").into()
}

fn judge(input: impl IntoIterator<Item = OsString>, dir: &Path, key: &str) -> Result<Verdict> {
    let mut arguments: Vec<OsString> = vec!["verify".into()];
    arguments.extend(input);
    arguments.extend([
        "--pubkey".into(),
        key.into(),
        "--checkpoint".into(),
        dir.join("checkpoint").into(),
        "--json".into(),
    ]);
    let (exit, out) = capsule(arguments);
    if exit == Exit::Error {
        bail!("the verifier could not read its input");
    }
    let report: Value = serde_json::from_str(&out).context("the verifier's report")?;
    let damage = report
        .get("damage")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let named = |entry: &Value| {
        Some((
            entry.get("kind")?.as_str()?.to_owned(),
            entry.get("sequence").and_then(Value::as_u64),
        ))
    };
    Ok(Verdict {
        passed: exit == Exit::Pass,
        verified: report
            .get("capsules_verified")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
        damage: damage.filter_map(named).collect(),
    })
}

/// Runs the tool `capsule` within this process; gives its exit and what it printed.
fn capsule(arguments: impl IntoIterator<Item = OsString>) -> (Exit, String) {
    let out = Buffer::default();
    let mut console = Console {
        out: Box::new(out.clone()),
        err: Box::new(io::sink()),
        colour: false,
        out_is_terminal: false,
        err_is_terminal: false,
    };
    let exit = capsule_cli::run(
        std::iter::once("capsule".into())
            .chain(arguments)
            .collect::<Vec<OsString>>(),
        &mut console,
    );
    (exit, out.text())
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changed_byte_is_a_digit_of_the_named_record() {
        let file = br#"..{"id":"a","outcome":{"metrics":{"tokens_out":12}}}..{"id":"b","outcome":{"metrics":{"tokens_out":34}}}"#;
        let at = digit_of(file, "b").expect("found");
        assert_eq!(file.get(at..at + 2), Some(b"34".as_slice()));
        assert_eq!(digit_of(file, "c"), None);
        assert_eq!(
            digit_of(&[file.as_slice(), file].concat(), "b"),
            None,
            "which of the two is alive?"
        );
    }
}
