//! The master key: what is refused as one, and how it is compared.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The least strength, in bits of the estimate.
pub const LEAST_BITS: u32 = 128;

/// Keys, or beginnings of keys, that are printed in public pages. Compared
/// without a leading `sk-`; the long ones also stand for their cut forms.
const WELL_KNOWN: [&str; 6] = [
    "1234",
    "12345",
    "master-key",
    "my-master-key",
    "litellm",
    "test",
];
const WELL_KNOWN_STARTS: [&str; 2] = ["47k9vR", "a7f9c8e2d1b4"];

/// The master key. Only its digest is kept.
#[derive(Clone)]
pub struct MasterKey {
    digest: [u8; 32],
}

/// Why a text is refused as master key. No variant holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyRefusal {
    /// It is not set anywhere.
    #[error(
        "no master key is set; make one with `openssl rand -hex 32` and set LITELLM_MASTER_KEY"
    )]
    Missing,
    /// It is set to nothing.
    #[error("the master key is empty; make one with `openssl rand -hex 32`")]
    Empty,
    /// It is printed in a public page.
    #[error("the master key is printed in public pages; make your own with `openssl rand -hex 32`")]
    WellKnown,
    /// It is too easy to guess.
    #[error(
        "the master key is weak: about {bits} bits by estimate, at least {LEAST_BITS} are needed; make one with `openssl rand -hex 32`"
    )]
    Weak {
        /// The estimate.
        bits: u32,
    },
    /// It holds spaces, control characters or letters outside ASCII, which no header carries safely.
    #[error("the master key must be visible ASCII without spaces")]
    NotVisibleAscii,
}

impl MasterKey {
    /// Takes a text as master key.
    ///
    /// # Errors
    /// [`MasterKeyRefusal`] when it is empty, public, weak or not visible ASCII.
    pub fn parse(text: &str) -> Result<Self, MasterKeyRefusal> {
        if text.is_empty() {
            return Err(MasterKeyRefusal::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MasterKeyRefusal::NotVisibleAscii);
        }
        let own = text.strip_prefix("sk-").unwrap_or(text);
        if WELL_KNOWN.contains(&own) || WELL_KNOWN_STARTS.iter().any(|s| own.starts_with(s)) {
            return Err(MasterKeyRefusal::WellKnown);
        }
        let bits = estimate(own);
        if bits < LEAST_BITS {
            return Err(MasterKeyRefusal::Weak { bits });
        }
        Ok(Self {
            digest: Sha256::digest(text.as_bytes()).into(),
        })
    }

    /// Whether the presented key is this one. The time taken depends on the
    /// length of the presented key only.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        digest.ct_eq(&self.digest).into()
    }
}

/// A careful estimate of a key's strength in whole bits.
///
/// Each character counts for the smallest alphabet that holds them all (digits,
/// hexadecimal, letters, ...). Characters that a guess gets for free, because
/// they repeat, continue a sequence or repeat an earlier part, count nothing;
/// a key made of words counts little per word. A few such characters occur by
/// chance, so a sixth of the length is let through.
fn estimate(key: &str) -> u32 {
    let bytes = key.as_bytes();
    let per_character = alphabet_bits(bytes);
    let free = predictable(bytes);
    let counted = if free > bytes.len() / 6 {
        bytes.len().saturating_sub(free)
    } else {
        bytes.len()
    };
    let plain = millibits(counted, per_character);
    let words = word_millibits(key).unwrap_or(u64::MAX);
    u32::try_from(plain.min(words) / 1_000).unwrap_or(u32::MAX)
}

fn millibits(characters: usize, per_character: u64) -> u64 {
    u64::try_from(characters)
        .unwrap_or(u64::MAX)
        .saturating_mul(per_character)
}

/// Thousandths of a bit per character of the smallest alphabet that holds the text.
fn alphabet_bits(bytes: &[u8]) -> u64 {
    let all = |test: fn(&u8) -> bool| bytes.iter().all(test);
    let any = |test: fn(&u8) -> bool| bytes.iter().any(test);
    if all(u8::is_ascii_digit) {
        return 3_321;
    }
    if all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        || all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
    {
        return 4_000;
    }
    let size = [
        (any(u8::is_ascii_digit), 10),
        (any(u8::is_ascii_lowercase), 26),
        (any(u8::is_ascii_uppercase), 26),
        // One symbol does not make the others likely: base64 uses two.
        (any(u8::is_ascii_punctuation), 2),
    ]
    .into_iter()
    .filter_map(|(present, size)| present.then_some(size))
    .sum::<u32>();
    match size {
        0..=12 => 3_321,
        13..=28 => 4_700,
        29..=38 => 5_170,
        39..=54 => 5_700,
        _ => 5_954,
    }
}

/// How many characters follow from the ones before: the third and later of a
/// run or of a sequence (`aaa`, `abc`, `987`), and repeats of four or more
/// characters seen before.
fn predictable(bytes: &[u8]) -> usize {
    let mut free = vec![false; bytes.len()];
    for (index, window) in bytes.windows(3).enumerate() {
        let &[a, b, c] = window else { continue };
        let step = i16::from(b) - i16::from(a);
        let follows = step == i16::from(c) - i16::from(b) && step.abs() <= 1;
        if let Some(flag) = free.get_mut(index.saturating_add(2)) {
            *flag |= follows;
        }
    }
    let grams: Vec<&[u8]> = bytes.windows(4).collect();
    let mut seen = std::collections::BTreeMap::new();
    for (index, gram) in grams.iter().enumerate() {
        match seen.get(gram) {
            // Overlapping the first sight is the run that is counted above.
            Some(first) if index > *first => {
                for flag in free.iter_mut().skip(index).take(4) {
                    *flag = true;
                }
            }
            Some(_) => {}
            None => {
                seen.insert(*gram, index);
            }
        }
    }
    free.iter().filter(|flag| **flag).count()
}

/// For a key made mostly of words, in small letters or each with a capital:
/// about 13 bits a word (a list of 7,776), next to nothing for what stands
/// between them. Nothing for other keys.
fn word_millibits(key: &str) -> Option<u64> {
    let (mut in_words, mut in_long_words) = (0usize, 0usize);
    let mut bits = 0u64;
    let mut rest = key;
    while let Some(first) = rest.chars().next() {
        let tail = rest.get(first.len_utf8()..).unwrap_or_default();
        if !first.is_ascii_alphabetic() {
            let per_character = if first.is_ascii_digit() { 3_321 } else { 300 };
            bits = bits.saturating_add(per_character);
            in_words = in_words.saturating_add(usize::from(!first.is_ascii_digit()));
            rest = tail;
            continue;
        }
        let small = tail.bytes().take_while(u8::is_ascii_lowercase).count();
        let (word, after) = rest.split_at_checked(small.saturating_add(1))?;
        if word.len() > 1 {
            in_words = in_words.saturating_add(word.len());
        }
        if word.len() > 3 {
            in_long_words = in_long_words.saturating_add(word.len());
        }
        bits = bits.saturating_add(run_millibits(word));
        rest = after;
    }
    let mostly = in_words.saturating_mul(4) > key.len().saturating_mul(3);
    (mostly && in_long_words.saturating_mul(2) > key.len()).then_some(bits)
}

/// A run of letters as words.
fn run_millibits(run: &str) -> u64 {
    let as_letters = millibits(run.len(), 4_700);
    if run.len() <= 14 {
        return as_letters.min(13_000);
    }
    let vowels = run
        .bytes()
        .filter(|byte| b"aeiouAEIOU".contains(byte))
        .count();
    if vowels.saturating_mul(10) >= run.len().saturating_mul(3) {
        millibits(run.len(), 2_300)
    } else {
        as_letters
    }
}

#[cfg(test)]
#[path = "master_key_tests.rs"]
mod tests;
