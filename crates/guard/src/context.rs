//! Words near a candidate that speak for or against a reading.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use crate::engine::Window;

/// A set of subjects that words speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Subjects(u64);

macro_rules! subjects {
    ($($name:ident = $bit:literal),* $(,)?) => {
        impl Subjects {
            $(pub(crate) const $name: Subjects = Subjects(1 << $bit);)*

            fn named(name: &str) -> Option<Subjects> {
                match name {
                    $(stringify!($name) => Some(Subjects::$name),)*
                    _ => None,
                }
            }
        }
    };
}

subjects! {
    PHONE = 0, CARD = 1, AADHAAR = 2, PAN = 3, GST = 4, VOTER = 5, PASSPORT = 6, VEHICLE = 7,
    SSN = 8, BANK = 9, IFSC = 10, UPI = 11, IP = 12, KEY = 13, NUMBER = 14, VERSION = 15,
    TIME = 16, MONEY = 17, CODE = 18, ITIN = 19, LICENSE = 20, NHS = 21, NINO = 22, NIF = 23,
    FISCAL = 24, PESEL = 25, NRIC = 26, ABN = 27, TFN = 28, MEDICARE = 29, STEUER = 30, HETU = 31,
    RRN = 32, NPI = 33, DEA = 34, ABHA = 35, CRYPTO = 36, MAC = 37, DRIVING = 38, POSTAL = 39,
    SECRET = 40, US = 41, PASSWORD = 42, EXAMPLE = 43,
}

impl Subjects {
    /// Words that say that a number is something else.
    pub(crate) const OTHER: Subjects = Subjects(
        Subjects::NUMBER.0
            | Subjects::VERSION.0
            | Subjects::TIME.0
            | Subjects::MONEY.0
            | Subjects::CODE.0
            | Subjects::POSTAL.0,
    );

    pub(crate) fn has(self, other: Subjects) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn and(self, other: Subjects) -> Subjects {
        Subjects(self.0 | other.0)
    }
}

/// What is said around a candidate.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context {
    /// By the words before it, up to the end of the sentence before.
    pub(crate) before: Subjects,
    /// By the words after it.
    pub(crate) after: Subjects,
    /// By the nearest telling word before it.
    pub(crate) nearest: Subjects,
    /// Bytes between that word and the candidate.
    gap: usize,
}

impl Context {
    /// Whether anything around speaks of the subject.
    pub(crate) fn has(&self, subject: Subjects) -> bool {
        self.before.has(subject) || self.after.has(subject)
    }

    /// Whether the word right before it says that it is something else.
    pub(crate) fn denies(&self) -> bool {
        self.gap <= ADJACENT && self.nearest.has(Subjects::OTHER)
    }
}

/// FNV-1a: the keys are short and ours.
#[derive(Default)]
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut hash = if self.0 == 0 {
            0xcbf2_9ce4_8422_2325
        } else {
            self.0
        };
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.0 = hash;
    }
}

type Words = HashMap<Box<[u8]>, Subjects, BuildHasherDefault<Fnv>>;

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut words = Words::default();
    for line in include_str!("../data/context.txt").lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((name, list)) = line.split_once(':') else {
            continue;
        };
        let Some(subject) = Subjects::named(name.trim()) else {
            continue;
        };
        for word in list.split_whitespace() {
            let entry = words.entry(word.as_bytes().into()).or_default();
            *entry = entry.and(subject);
        }
    }
    words
});

/// Longest word that is looked up.
const LONGEST: usize = 24;

/// Bytes before a candidate that count.
const NEAR: usize = 64;

/// Most bytes between a word that denies and the candidate: `order no: `, `ticket #`.
const ADJACENT: usize = 8;

/// Bytes after it.
const NEXT: usize = 40;

/// A telling place of a window.
#[derive(Debug, Clone, Copy)]
struct Sign {
    start: usize,
    end: usize,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Word(Subjects),
    /// A full stop, question or exclamation mark before a space.
    Stop,
    Line,
}

/// The telling words of a window, found once and asked about often.
#[derive(Debug, Default)]
pub(crate) struct Signs(Vec<Sign>);

impl Signs {
    pub(crate) fn of(window: &Window<'_>) -> Signs {
        let bytes = window.bytes;
        let mut all = Vec::with_capacity(16);
        let mut place = 0;
        while let Some(&byte) = bytes.get(place) {
            if is_word(byte) {
                let rest = bytes.get(place..).unwrap_or_default();
                let end = rest.iter().position(|byte| !is_word(*byte));
                let length = end.unwrap_or(rest.len());
                let subjects = subjects_of(rest.get(..length).unwrap_or_default());
                if subjects != Subjects::default() {
                    all.push(Sign {
                        start: place,
                        end: place + length,
                        what: What::Word(subjects),
                    });
                }
                place += length;
                continue;
            }
            let what = match byte {
                b'.' | b'?' | b'!' if window.at(place + 1).is_ascii_whitespace() => {
                    Some(What::Stop)
                }
                b'\n' => Some(What::Line),
                _ => None,
            };
            all.extend(what.map(|what| Sign {
                start: place,
                end: place + 1,
                what,
            }));
            place += 1;
        }
        Signs(all)
    }

    /// What is said around `start..end`.
    pub(crate) fn around(&self, start: usize, end: usize) -> Context {
        let mut context = Context::default();
        let last = self.0.partition_point(|sign| sign.end <= start);
        for sign in self.0.iter().take(last).rev() {
            if sign.start + NEAR < start {
                break;
            }
            match sign.what {
                // A full stop right before the candidate belongs to an abbreviation ("no. 12").
                What::Stop if start - sign.end > 1 => break,
                What::Stop | What::Line => {}
                What::Word(subjects) => {
                    if context.nearest == Subjects::default() {
                        context.nearest = subjects;
                        context.gap = start - sign.end;
                    }
                    context.before = context.before.and(subjects);
                }
            }
        }
        let first = self.0.partition_point(|sign| sign.start < end);
        for sign in self.0.iter().skip(first) {
            match sign.what {
                What::Word(subjects) if sign.end <= end + NEXT => {
                    context.after = context.after.and(subjects);
                }
                _ => break,
            }
        }
        context
    }
}

/// What is said around `start..end` of a window.
pub(crate) fn around(window: &Window<'_>, start: usize, end: usize) -> Context {
    Signs::of(window).around(start, end)
}

#[inline]
fn is_word(byte: u8) -> bool {
    // Three comparisons instead of a row of them: this is asked of every byte around a value.
    (byte | 0x20).wrapping_sub(b'a') < 26 || byte.wrapping_sub(b'0') < 10 || byte >= 0x80
}

/// Which first and last letters and lengths occur in the list: most other words are not even
/// looked up.
static LIKELY: LazyLock<Box<[bool]>> = LazyLock::new(|| {
    let mut likely = vec![false; 4096].into_boxed_slice();
    for word in WORDS.keys() {
        if let Some(slot) = likely.get_mut(likeness(word)) {
            *slot = true;
        }
    }
    likely
});

fn likeness(word: &[u8]) -> usize {
    let part = |byte: Option<&u8>| usize::from(byte.map_or(0, |byte| byte & 31));
    part(word.first()) << 7 | part(word.last()) << 2 | word.len() & 3
}

fn subjects_of(word: &[u8]) -> Subjects {
    if word.len() < 2 || word.first().is_some_and(u8::is_ascii_digit) {
        return Subjects::default();
    }
    if !LIKELY.get(likeness(word)).copied().unwrap_or(false) {
        return Subjects::default();
    }
    if word.len() > LONGEST {
        return Subjects::default();
    }
    let mut lower = [0_u8; LONGEST];
    for (to, from) in lower.iter_mut().zip(word) {
        *to = from.to_ascii_lowercase();
    }
    let lower = lower.get(..word.len()).unwrap_or_default();
    WORDS.get(lower).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_names_a_subject() {
        for line in include_str!("../data/context.txt").lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let name = line.split(':').next().unwrap_or_default();
                assert!(Subjects::named(name.trim()).is_some(), "{line}");
            }
        }
    }
}
