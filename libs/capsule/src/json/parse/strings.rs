//! String tokens.

use super::{Parsed, Parser};
use crate::canonical;
use crate::json::ParseErrorKind;

impl Parser<'_> {
    /// The string whose opening quote is next: the text itself, or the decoded text in `scratch`.
    pub(super) fn string(&mut self) -> Parsed<&str> {
        self.at += 1;
        let start = self.at;
        self.at += self.plain();
        if self.peek() == Some(b'"') {
            let text = self.text.get(start..self.at);
            self.at += 1;
            return text.ok_or(ParseErrorKind::Utf8);
        }
        self.scratch.clear();
        let mut run = start;
        loop {
            let plain = self.bytes.get(run..self.at).unwrap_or_default();
            self.scratch.extend_from_slice(plain);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return std::str::from_utf8(&self.scratch).map_err(|_| ParseErrorKind::Utf8);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(ParseErrorKind::ControlCharacter),
                None => return Err(ParseErrorKind::UnexpectedEnd),
            }
            run = self.at;
            self.at += self.plain();
        }
    }

    /// Length of the run before the next quote, backslash or control character.
    fn plain(&self) -> usize {
        canonical::plain_prefix(self.bytes.get(self.at..).unwrap_or_default())
    }

    fn escape(&mut self) -> Parsed<()> {
        let start = self.at;
        let byte = match self.bytes.get(self.at + 1) {
            Some(b'"') => b'"',
            Some(b'\\') => b'\\',
            Some(b'/') => {
                self.canonical = false;
                b'/'
            }
            Some(b'b') => 0x08,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 0x0C,
            Some(b'r') => b'\r',
            Some(b'u') => return self.unicode_escape(start),
            Some(_) => return Err(ParseErrorKind::Escape),
            None => return Err(ParseErrorKind::UnexpectedEnd),
        };
        self.scratch.push(byte);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self, start: usize) -> Parsed<()> {
        let high = self.hex4(start + 2)?;
        let mut end = start + 6;
        let code = match high {
            0xD800..=0xDBFF => {
                if self.bytes.get(end..end + 2) != Some(b"\\u") {
                    return Err(ParseErrorKind::LoneSurrogate);
                }
                let low = self.hex4(end + 2)?;
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err(ParseErrorKind::LoneSurrogate);
                }
                end += 6;
                0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            }
            code => code,
        };
        // What is left without a character is a low half on its own.
        let character = char::from_u32(code).ok_or(ParseErrorKind::LoneSurrogate)?;
        let mut utf8 = [0; 4];
        self.scratch
            .extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
        if self.canonical {
            let mut written = Vec::with_capacity(8);
            canonical::write_string(character.encode_utf8(&mut utf8), &mut written);
            let token = self.bytes.get(start..end).unwrap_or_default();
            self.canonical = written.get(1..written.len() - 1) == Some(token);
        }
        self.at = end;
        Ok(())
    }

    fn hex4(&self, at: usize) -> Parsed<u32> {
        let digits = self
            .bytes
            .get(at..at + 4)
            .ok_or(ParseErrorKind::UnexpectedEnd)?;
        digits.iter().try_fold(0, |value, &digit| {
            let digit = char::from(digit)
                .to_digit(16)
                .ok_or(ParseErrorKind::Escape)?;
            Ok(value * 16 + digit)
        })
    }
}
