//! The human report of `capsule verify`: one line per record, in the reference's form.

use std::collections::BTreeMap;
use std::io;

use super::report::{Failure, Level, Verdict};
use crate::capsule_cli::console::{Console, Style, Visible};

/// How many per-record lines are held back, so that an input that breaks off late prints an error and nothing else.
/// Longer reports are printed as they are made.
const HELD: u64 = 2_000_000;
/// How many lines are stored in one piece.
const PIECE: usize = 65_536;
/// The human report, written line by line while the records come. Lines that are held back take six bytes each: all
/// that differs between good records is the beginning of their hash.
#[derive(Debug)]
pub struct Lines {
    level: Level,
    /// Whether lines are still held back.
    holding: bool,
    /// The first twelve digits of the hashes of good records.
    good: Vec<Vec<[u8; 6]>>,
    /// Hashes that do not begin with twelve digits, by position.
    odd: BTreeMap<u64, String>,
    failure: Option<Failure>,
    /// Records so far.
    count: u64,
}

impl Lines {
    /// A report that holds its lines back for the time being.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Lines {
            level,
            holding: true,
            good: Vec::new(),
            odd: BTreeMap::new(),
            failure: None,
            count: 0,
        }
    }

    /// A record that is good.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn good(&mut self, console: &mut Console, hash: &str) -> io::Result<()> {
        let index = self.count;
        self.count += 1;
        if !self.holding {
            return write_good(console, index, hash);
        }
        let digits = packed(hash);
        if digits.is_none() {
            self.odd.insert(index, hash.chars().take(12).collect());
        }
        match self.good.last_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => piece.push(digits.unwrap_or_default()),
            None => {
                let mut piece = Vec::with_capacity(PIECE.min(1_024 << self.good.len().min(6)));
                piece.push(digits.unwrap_or_default());
                self.good.push(piece);
            }
        }
        self.full(console)
    }

    /// The record that failed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn bad(&mut self, console: &mut Console, failure: &Failure) -> io::Result<()> {
        self.count += 1;
        if !self.holding {
            return write_bad(console, failure);
        }
        self.failure = Some(failure.clone());
        Ok(())
    }

    /// A record after the one that failed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn skipped(&mut self, console: &mut Console) -> io::Result<()> {
        let index = self.count;
        self.count += 1;
        if !self.holding {
            return write_skipped(console, index);
        }
        self.full(console)
    }

    /// The end of the report.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, console: &mut Console, verdict: &Verdict) -> io::Result<()> {
        self.release(console)?;
        for damage in verdict.listed() {
            let mark = console.paint(Style::Red, "✗").to_string();
            let damage = damage.to_string();
            writeln!(console.out, "  {mark} Ledger: {}", Visible(&damage))?;
        }
        writeln!(console.out)?;
        let (verified, total) = (verdict.verified, verdict.total);
        if verdict.valid() {
            let word = console.paint(Style::Green, "PASS").to_string();
            writeln!(console.out, "  {word} -- {verified} capsules verified")?;
        } else {
            let word = console.paint(Style::Red, "FAIL").to_string();
            writeln!(
                console.out,
                "  {word} -- {verified} of {total} capsules verified"
            )?;
        }
        writeln!(console.out)
    }

    fn full(&mut self, console: &mut Console) -> io::Result<()> {
        if self.count < HELD {
            Ok(())
        } else {
            self.release(console)
        }
    }

    /// Prints the head and what was held back, once.
    fn release(&mut self, console: &mut Console) -> io::Result<()> {
        if !self.holding {
            return Ok(());
        }
        self.holding = false;
        let title = console
            .paint(Style::Bold, "Capsule Chain Verification")
            .to_string();
        let level = self.level.explained();
        write!(
            console.out,
            "\n{title}\n{}\n  Level: {level}\n\n",
            "=".repeat(50)
        )?;
        let mut index = 0;
        for digits in std::mem::take(&mut self.good).into_iter().flatten() {
            match self.odd.get(&index) {
                Some(hash) => write_good(console, index, hash)?,
                None => write_good(console, index, &unpacked(digits))?,
            }
            index += 1;
        }
        if let Some(failure) = self.failure.take() {
            write_bad(console, &failure)?;
            index += 1;
        }
        (index..self.count).try_for_each(|index| write_skipped(console, index))
    }
}

fn write_good(console: &mut Console, index: u64, hash: &str) -> io::Result<()> {
    let place = match index {
        0 => "genesis".to_owned(),
        _ => format!("seq {index}"),
    };
    let start: String = hash.chars().take(12).collect();
    let prefix = match start.as_str() {
        "" => "no hash".to_owned(),
        start => format!("{}...", Visible(start)),
    };
    let mark = console.paint(Style::Green, "✓").to_string();
    let prefix = console.paint(Style::Dim, &prefix).to_string();
    writeln!(console.out, "  {mark} Capsule #{index} ({place})  {prefix}")
}

fn write_bad(console: &mut Console, failure: &Failure) -> io::Result<()> {
    let mark = console.paint(Style::Red, "✗").to_string();
    let (index, error) = (failure.index, Visible(&failure.error));
    writeln!(console.out, "  {mark} Capsule #{index}: {error}")
}

fn write_skipped(console: &mut Console, index: u64) -> io::Result<()> {
    let mark = console.paint(Style::Dim, "·").to_string();
    let word = console.paint(Style::Dim, "(skipped)").to_string();
    writeln!(console.out, "  {mark} Capsule #{index}  {word}")
}

/// Twelve lower-case hex digits as six bytes.
fn packed(hash: &str) -> Option<[u8; 6]> {
    let (pairs, _) = hash.as_bytes().get(..12)?.as_chunks::<2>();
    let mut bytes = [0; 6];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        });
        *byte = high? << 4 | low?;
    }
    Some(bytes)
}

fn unpacked(bytes: [u8; 6]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_shown_as_they_are_whatever_stands_in_their_place() {
        for hash in ["0123456789ab", "ffffffffffff"] {
            assert_eq!(packed(hash).map(unpacked).as_deref(), Some(hash));
        }
        for hash in ["", "012345", "0123456789aB", "0123456789é", "           é"] {
            assert_eq!(packed(hash), None);
        }
    }
}
