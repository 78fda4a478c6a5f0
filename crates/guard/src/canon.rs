//! One character of text as the detectors read it.
//!
//! Every mapping is one character to one character, so a stream reads the same as the whole
//! text. Case is kept: it tells a tax number from a word.

use crate::fold::is_ignorable;

/// First digits of the decimal systems of Unicode (general category Nd), other than ASCII.
const ZEROS: &[u32] = &[
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    0x104A0, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0,
    0x11730,
];

/// Consecutive invisible characters that are skipped; a longer row parts words.
pub(crate) const MAX_INVISIBLE: usize = 16;

/// Reads characters one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reader {
    invisible: usize,
}

impl Reader {
    /// What the character is read as; `None` if it is skipped.
    pub(crate) fn read(&mut self, c: char) -> Option<char> {
        if c.is_ascii() {
            self.invisible = 0;
            return Some(c);
        }
        match canon(c) {
            None if self.invisible < MAX_INVISIBLE => {
                self.invisible = self.invisible.saturating_add(1);
                None
            }
            None => Some(char::REPLACEMENT_CHARACTER),
            some => {
                self.invisible = 0;
                some
            }
        }
    }
}

/// The character that stands for `c`; `None` if nobody sees it.
pub(crate) fn canon(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c);
    }
    if let Some(digit) = digit(c) {
        return Some(digit);
    }
    match c {
        '\u{E0020}'..='\u{E007E}' => offset(c, 0xE0000, 0),
        '\u{FF01}'..='\u{FF5E}' => offset(c, 0xFF01, 0x21),
        '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' | '\u{1680}' => {
            Some(' ')
        }
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' => Some('-'),
        '\u{2024}' | '\u{FE52}' => Some('.'),
        '\u{AB}' | '\u{BB}' | '\u{2018}'..='\u{201F}' | '\u{2039}' | '\u{203A}' => Some('"'),
        // Signs that part words as a semicolon does: bullets, arrows, boxes, pictures, CJK marks.
        '\u{A1}' | '\u{B7}' | '\u{BF}' | '\u{964}' | '\u{2020}'..='\u{2023}' => Some(';'),
        '\u{2190}'..='\u{21FF}' | '\u{2500}'..='\u{25FF}' | '\u{2713}'..='\u{2718}' => Some(';'),
        '\u{2794}'..='\u{27BE}' | '\u{3001}' | '\u{3002}' | '\u{3008}'..='\u{3011}' => Some(';'),
        '\u{1F300}'..='\u{1F9FF}' => Some(';'),
        '\u{FE6B}' => Some('@'),
        '\u{2044}' | '\u{2215}' => Some('/'),
        '\u{1D400}'..='\u{1D6A3}' => letter(c),
        '\u{24B6}'..='\u{24CF}' => offset(c, 0x24B6, 0x41),
        '\u{24D0}'..='\u{24E9}' => offset(c, 0x24D0, 0x61),
        _ if is_ignorable(c) => None,
        _ => Some(c),
    }
}

fn offset(c: char, from: u32, to: u32) -> Option<char> {
    char::from_u32((c as u32).saturating_sub(from).saturating_add(to)).or(Some(c))
}

/// Mathematical letters: alphabets of 52 letters, capitals first.
fn letter(c: char) -> Option<char> {
    let place = (c as u32).saturating_sub(0x1D400) % 52;
    let base = if place < 26 { 0x41 } else { 0x61 - 26 };
    char::from_u32(base + place)
}

fn digit(c: char) -> Option<char> {
    let code = c as u32;
    if code < 0x660 {
        return None;
    }
    let value = match code {
        0x1D7CE..=0x1D7FF => (code - 0x1D7CE) % 10,
        0x1FBF0..=0x1FBF9 => code - 0x1FBF0,
        0x2460..=0x2468 => code - 0x2460 + 1,
        0x24EA => 0,
        _ => {
            let after = ZEROS.partition_point(|zero| *zero <= code);
            let zero = ZEROS.get(after.checked_sub(1)?)?;
            code.checked_sub(*zero).filter(|value| *value < 10)?
        }
    };
    char::from_digit(value, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grd_07_digits_letters_and_spaces_of_other_forms_are_read_as_ascii() {
        let table = [
            ("４１１１", "4111"),
            ("٤١١١", "4111"),
            ("४१११", "4111"),
            ("৪১", "41"),
            ("𝟜𝟙", "41"),
            ("①⓪", "10"),
            ("𝐀𝐛𝒞", "AbC"),
            ("ａ＠ｂ．ｃ", "a@b.c"),
            ("12\u{2011}34\u{A0}56", "12-34 56"),
            ("4\u{200B}1\u{AD}1", "411"),
            ("日本é", "日本é"),
        ];
        for (text, expected) in table {
            let mut reader = Reader::default();
            let read: String = text.chars().filter_map(|c| reader.read(c)).collect();
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn a_flood_of_invisible_characters_parts_words() {
        let mut reader = Reader::default();
        let flood = format!("4{}1", "\u{200B}".repeat(MAX_INVISIBLE + 1));
        let read: String = flood.chars().filter_map(|c| reader.read(c)).collect();
        assert_eq!(read, "4\u{FFFD}1");
    }

    #[test]
    fn zeros_are_sorted() {
        assert!(ZEROS.is_sorted());
    }
}
