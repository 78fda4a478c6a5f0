//! What counts as the same character.
//!
//! Case: simple folding, one character to one character, as lower case of upper case
//! (`K` the Kelvin sign is `k`, long s is `s`, final sigma is sigma; `ß`, whose upper
//! case is two letters, only folds with capital `ß`). Width: full-width ASCII is ASCII.
//! Tag characters (U+E0020 to U+E007E), which models read and people do not see, are the
//! ASCII they shadow. Characters that are never shown are skipped.

use std::sync::LazyLock;

/// Characters below this are looked up: all with case in everyday use.
const TABLE: usize = 0x2000;

static FOLDED: LazyLock<Box<[Option<char>]>> = LazyLock::new(|| {
    let all = (0..TABLE as u32).map(|code| char::from_u32(code).and_then(compute));
    all.collect()
});

/// The folded form of a character; `None` if it is skipped.
pub(crate) fn fold(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c.to_ascii_lowercase());
    }
    match FOLDED.get(c as usize) {
        Some(folded) => *folded,
        None => compute(c),
    }
}

fn compute(c: char) -> Option<char> {
    match c {
        '\0'..='\x7f' => Some(c.to_ascii_lowercase()),
        // Scripts without case, the bulk of text beyond Latin, Greek and Cyrillic.
        '\u{3040}'..='\u{3163}' | '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' => Some(c),
        _ if is_ignorable(c) => None,
        '\u{FF01}'..='\u{FF5E}' | '\u{E0020}'..='\u{E007E}' => Some(narrow(c).to_ascii_lowercase()),
        _ => Some(simple_case(c)),
    }
}

fn narrow(c: char) -> char {
    let base = match c {
        '\u{FF01}'..='\u{FF5E}' => 0xFF01 - 0x21,
        _ => 0xE0000,
    };
    char::from_u32((c as u32).saturating_sub(base)).unwrap_or(c)
}

fn simple_case(c: char) -> char {
    // Dotless i is a letter of its own.
    if c == '\u{131}' {
        return c;
    }
    let upper = single(c.to_uppercase()).unwrap_or(c);
    single(upper.to_lowercase()).unwrap_or(upper)
}

fn single(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    let first = mapped.next()?;
    mapped.next().is_none().then_some(first)
}

/// Default-ignorable characters: shown as nothing, so they cannot part a word.
pub(crate) fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E001F}' | '\u{E007F}'..='\u{E0FFF}')
}

/// Appends the folded text to `out`; gives the number of bytes that were skipped.
pub(crate) fn fold_into(text: &str, out: &mut String) -> usize {
    let mut skipped = 0_usize;
    for c in text.chars() {
        match fold(c) {
            Some(folded) => out.push(folded),
            None => skipped = skipped.saturating_add(c.len_utf8()),
        }
    }
    skipped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut out = String::new();
        fold_into(text, &mut out);
        out
    }

    #[test]
    fn grd_07_case_width_and_invisible_characters_fold() {
        let table = [
            ("TopSecret", "topsecret"),
            ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
            ("σίσυφος", "σίσυφοσ"),
            ("\u{212A}elvin", "kelvin"),
            ("\u{17F}ecret", "secret"),
            ("ＳＥＣＲＥＴ１", "secret1"),
            ("s\u{200B}e\u{AD}c\u{202E}r\u{2060}e\u{FE0F}t", "secret"),
            ("\u{E0053}\u{E0065}cret", "secret"),
            ("straße", "straße"),
            ("STRAẞE", "straße"),
            ("ı", "ı"),
            ("İ", "İ"),
            ("ǅ", "ǆ"),
            ("ДЁГОТЬ", "дёготь"),
            ("日本語", "日本語"),
        ];
        for (text, expected) in table {
            assert_eq!(folded(text), expected, "{text}");
        }
    }

    #[test]
    fn folding_is_idempotent_for_every_character() {
        for c in '\0'..=char::MAX {
            if let Some(once) = fold(c) {
                assert_eq!(fold(once), Some(once), "U+{:04X}", c as u32);
            }
        }
    }
}
