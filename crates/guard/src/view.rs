//! A text as the detectors read it, with the way back to the text as it is written.

use std::borrow::Cow;

use crate::Form;
use crate::canon::Reader;
use crate::escape::{Escapes, Unit};

/// Where one read byte was written: start and end of its character (or escape), in bytes.
pub(crate) type Origin = (usize, usize);

/// The whole text, read.
pub(crate) struct View<'t> {
    pub(crate) bytes: Cow<'t, [u8]>,
    /// One entry per byte; `None` if the text is read as it is written.
    origins: Option<Vec<Origin>>,
}

impl<'t> View<'t> {
    pub(crate) fn new(text: &'t str, form: Form) -> View<'t> {
        let escaped = form == Form::JsonText && text.contains('\\');
        if text.is_ascii() && !escaped {
            return View {
                bytes: Cow::Borrowed(text.as_bytes()),
                origins: None,
            };
        }
        let mut lens = Lens::new(form);
        let mut bytes = Vec::with_capacity(text.len());
        let mut origins = Vec::with_capacity(text.len());
        let mut keep = |byte: u8, origin: Origin| {
            bytes.push(byte);
            origins.push(origin);
        };
        for c in text.chars() {
            lens.take(c, &mut keep);
        }
        lens.finish(&mut keep);
        View {
            bytes: Cow::Owned(bytes),
            origins: Some(origins),
        }
    }

    /// The range of written bytes that was read as `start..end`.
    pub(crate) fn written(&self, start: usize, end: usize) -> (usize, usize) {
        let Some(origins) = &self.origins else {
            return (start, end);
        };
        let first = origins.get(start).map_or(0, |origin| origin.0);
        let last = origins.get(end.saturating_sub(1)).map_or(first, |o| o.1);
        (first, last)
    }
}

/// Reads characters into bytes with their origins; the same for a stream and a whole text.
pub(crate) struct Lens {
    reader: Reader,
    escapes: Option<Escapes>,
    /// Bytes taken and handed on.
    at: usize,
}

impl Lens {
    pub(crate) fn new(form: Form) -> Lens {
        Lens {
            reader: Reader::default(),
            escapes: (form == Form::JsonText).then(Escapes::default),
            at: 0,
        }
    }

    /// Bytes taken and handed on.
    pub(crate) fn read(&self) -> usize {
        self.at
    }

    pub(crate) fn take(&mut self, c: char, keep: &mut impl FnMut(u8, Origin)) {
        match &mut self.escapes {
            Some(escapes) if c == '\\' || escapes.pending() > 0 => {
                let mut units = Vec::new();
                escapes.take(c, &mut units);
                self.units(units, keep);
            }
            _ => self.unit(c, c.len_utf8(), keep),
        }
    }

    pub(crate) fn finish(&mut self, keep: &mut impl FnMut(u8, Origin)) {
        if let Some(escapes) = &mut self.escapes {
            let mut units = Vec::new();
            escapes.flush(&mut units);
            self.units(units, keep);
        }
    }

    fn units(&mut self, units: Vec<Unit>, keep: &mut impl FnMut(u8, Origin)) {
        for unit in units {
            self.unit(unit.meaning(), unit.len(), keep);
        }
    }

    fn unit(&mut self, c: char, length: usize, keep: &mut impl FnMut(u8, Origin)) {
        let origin = (self.at, self.at.saturating_add(length));
        self.at = origin.1;
        if let Some(read) = self.reader.read(c) {
            let mut buffer = [0; 4];
            for &byte in read.encode_utf8(&mut buffer).as_bytes() {
                keep(byte, origin);
            }
        }
    }
}
