//! What `capsule verify` prints: on standard output the reference's words, on standard error what we add.

use std::io::{self, Write};

use ledger::audit::{Damage, Damages};
use serde::Serialize;

use crate::capsule_cli::console::{Console, Visible};

/// How many findings the human report lists on standard output where nothing else failed.
const LISTED: usize = 10;

/// How deep `verify` looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Sequence numbers and links.
    Structural,
    /// And the hash of the content.
    Full,
    /// And the signature.
    Signatures,
}

impl Level {
    /// The name in JSON output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Structural => "structural",
            Level::Full => "full",
            Level::Signatures => "signatures",
        }
    }

    /// The line of the human report.
    #[must_use]
    pub fn explained(self) -> &'static str {
        match self {
            Level::Structural => "structural (sequence + hash linkage)",
            Level::Full => "full (structural + SHA3-256 recomputation)",
            Level::Signatures => "signatures (full + Ed25519 verification)",
        }
    }

    /// What a reader must not believe after this level; `None` when everything was checked.
    #[must_use]
    pub fn caution(self) -> Option<&'static str> {
        match self {
            Level::Structural => Some(
                "content hashes and signatures were NOT checked: use --signatures or --pubkey HEX to prove who sealed what",
            ),
            Level::Full => Some(
                "signatures were NOT checked: whoever can rewrite the file can recompute every hash; use --signatures or --pubkey HEX",
            ),
            Level::Signatures => None,
        }
    }
}

/// The first failure of the chain, as the reference words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The position in the input, from 0.
    pub index: u64,
    /// The record's id.
    pub id: String,
    /// The reference's sentence.
    pub error: String,
}

/// Everything that a run of `verify` found.
#[derive(Debug)]
pub struct Verdict {
    /// How deep it looked.
    pub level: Level,
    /// Records that are good up to the first failure.
    pub verified: u64,
    /// Records in the input.
    pub total: u64,
    /// The first failure of the chain.
    pub failure: Option<Failure>,
    /// Damage by name.
    pub damage: Damages,
    /// What is worth knowing and does no harm.
    pub notes: Vec<String>,
}

impl Verdict {
    /// Whether the chain, and the ledger where it is one, is whole.
    #[must_use]
    pub fn valid(&self) -> bool {
        self.failure.is_none() && self.damage.is_empty()
    }

    /// The JSON report: the reference's keys, then ours.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let error = match (&self.failure, self.damage.kept().first()) {
            (Some(failure), _) => Some(ErrorEntry {
                sequence: Some(failure.index),
                capsule_id: Some(&failure.id),
                error: failure.error.clone(),
            }),
            (None, Some(damage)) => Some(ErrorEntry {
                sequence: damage.sequence,
                capsule_id: damage.capsule_id.as_deref(),
                error: damage.to_string(),
            }),
            (None, None) => None,
        };
        let damage = self.damage.kept().iter().map(|damage| DamageEntry {
            kind: damage.kind.as_str(),
            sequence: damage.sequence,
            capsule_id: damage.capsule_id.as_deref(),
            message: &damage.message,
        });
        let report = Report {
            valid: self.valid(),
            level: self.level.as_str(),
            capsules_verified: self.verified,
            total_capsules: self.total,
            errors: error.into_iter().collect(),
            damage: damage.collect(),
            notes: self.notes_and_rest(),
            signatures_checked: self.level == Level::Signatures,
        };
        let text = serde_json::to_string_pretty(&report).map_err(io::Error::other)?;
        writeln!(out, "{}", ascii(&text))
    }

    /// The lines for people on standard error.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write_remarks(&self, console: &mut Console) -> io::Result<()> {
        for damage in self.damage.kept() {
            writeln!(console.err, "damage: {}", Visible(&damage.to_string()))?;
        }
        for note in self.notes_and_rest() {
            writeln!(console.err, "note: {}", Visible(&note))?;
        }
        if let Some(caution) = self.level.caution() {
            writeln!(console.err, "note: {caution}")?;
        }
        Ok(())
    }

    fn notes_and_rest(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        let hidden = self.damage.count() - self.damage.kept().len() as u64;
        if hidden > 0 {
            notes.push(format!(
                "{hidden} further findings of damage are not listed"
            ));
        }
        notes
    }

    /// The findings that the human report lists on standard output.
    #[must_use]
    pub fn listed(&self) -> &[Damage] {
        let kept = self.damage.kept();
        match &self.failure {
            Some(_) => &[],
            None => kept.get(..LISTED).unwrap_or(kept),
        }
    }
}

/// The JSON report, in the order in which its keys are printed.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    level: &'static str,
    capsules_verified: u64,
    total_capsules: u64,
    errors: Vec<ErrorEntry<'a>>,
    damage: Vec<DamageEntry<'a>>,
    notes: Vec<String>,
    signatures_checked: bool,
}

#[derive(Serialize)]
struct ErrorEntry<'a> {
    sequence: Option<u64>,
    capsule_id: Option<&'a str>,
    error: String,
}

#[derive(Serialize)]
struct DamageEntry<'a> {
    kind: &'static str,
    sequence: Option<u64>,
    capsule_id: Option<&'a str>,
    message: &'a str,
}

/// JSON text with every character beyond ASCII escaped, which is how the reference prints it.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_beyond_ascii_is_escaped_as_the_reference_does() {
        assert_eq!(ascii("aé\u{1F600}"), "a\\u00e9\\ud83d\\ude00");
    }
}
