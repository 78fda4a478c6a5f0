//! Cuts a stream of JSON into records without loading it: an array of objects, one object, or one object after another.
//!
//! The cutter only balances brackets and quotes. Whether a record is JSON is decided by the parser that reads the piece;
//! a piece that the cutter cuts wrongly is never JSON. Memory is bounded by [`CHUNK`] plus one record of [`MAX_RECORD`].

use std::io::{ErrorKind, Read};
use std::ops::Range;

use thiserror::Error;

/// A chunk is handed on when it holds at least this many bytes.
const CHUNK: usize = 128 * 1024;
/// The most bytes that one record may have.
pub const MAX_RECORD: usize = 64 * 1024 * 1024;
/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// Why the input could not be cut into records.
#[derive(Debug, Error)]
pub enum SplitError {
    /// The file could not be read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// A byte that cannot stand there, at a byte offset of the input.
    #[error("{expected} at byte {offset}")]
    Syntax {
        /// What should have stood there.
        expected: &'static str,
        /// The offset in bytes from the start of the input.
        offset: u64,
    },
    /// The document is neither an array nor an object.
    #[error("Expected JSON array or object, got {0}")]
    Root(&'static str),
    /// An element of the array is not an object.
    #[error("record {index} is not an object")]
    NotObject {
        /// The position of the element, from 0.
        index: u64,
    },
    /// A record is larger than [`MAX_RECORD`].
    #[error("record {index} is larger than {MAX_RECORD} bytes")]
    TooLarge {
        /// The position of the record, from 0.
        index: u64,
    },
}

/// Some records in the order of the input.
#[derive(Debug)]
pub struct Chunk {
    /// The position of the first record, from 0.
    pub first: u64,
    /// The bytes of the records.
    pub bytes: Vec<u8>,
    /// Where each record stands in [`Chunk::bytes`].
    pub records: Vec<Range<usize>>,
    /// How many bytes of the input have been read when this chunk was complete (for a progress bar).
    pub consumed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing but white space so far.
    Start,
    /// In an array, before its first element.
    ArrayStart,
    /// In an array, after a comma.
    ArrayElement,
    /// In an array, after an element.
    ArrayAfter,
    /// Between objects that follow one another.
    Lines,
    /// In an object at this depth.
    Record { depth: u32, array: bool },
    /// In a string of an object.
    Text { depth: u32, array: bool },
    /// After a backslash in a string of an object.
    Escape { depth: u32, array: bool },
    /// After the closing bracket of the array.
    End,
}

/// Reads records from any reader.
#[derive(Debug)]
pub struct Splitter<R> {
    reader: R,
    block: Vec<u8>,
    /// What of `block` is not yet cut.
    rest: Range<usize>,
    /// The offset in the input of `rest.start`.
    offset: u64,
    place: Place,
    /// Records cut so far, complete or begun.
    index: u64,
    done: bool,
}

impl<R: Read> Splitter<R> {
    /// A cutter over `reader`. Nothing is read yet.
    pub fn new(reader: R) -> Self {
        Splitter {
            reader,
            block: vec![0; BLOCK],
            rest: 0..0,
            offset: 0,
            place: Place::Start,
            index: 0,
            done: false,
        }
    }

    /// The next records, or `None` at the end of a well-formed input.
    ///
    /// # Errors
    /// When the input cannot be read, ends early, or is not a sequence of objects.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, SplitError> {
        let mut chunk = Chunk {
            first: self.index,
            bytes: Vec::new(),
            records: Vec::new(),
            consumed: 0,
        };
        let mut begun = 0;
        while !self.done && (chunk.bytes.len() < CHUNK || self.inside()) {
            if self.rest.is_empty() && !self.fill()? {
                self.finish()?;
                break;
            }
            let block = self.block.get(self.rest.clone()).unwrap_or_default();
            let (used, event) = step(self.place, block, self.offset, self.index)?;
            if self.inside() || event.begins() {
                chunk
                    .bytes
                    .extend_from_slice(block.get(event.keep_from(used)..used).unwrap_or_default());
                if chunk.bytes.len() - begun > MAX_RECORD {
                    return Err(SplitError::TooLarge { index: self.index });
                }
            }
            self.rest.start += used;
            self.offset += used as u64;
            self.place = event.place;
            if event.ends {
                chunk.records.push(begun..chunk.bytes.len());
                begun = chunk.bytes.len();
                self.index += 1;
            }
        }
        chunk.consumed = self.offset;
        Ok((!chunk.records.is_empty()).then_some(chunk))
    }

    fn inside(&self) -> bool {
        matches!(
            self.place,
            Place::Record { .. } | Place::Text { .. } | Place::Escape { .. }
        )
    }

    /// Reads the next block; false at the end of the input.
    fn fill(&mut self) -> Result<bool, SplitError> {
        loop {
            match self.reader.read(&mut self.block) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    self.rest = 0..read;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The input has ended: was that allowed here?
    fn finish(&mut self) -> Result<(), SplitError> {
        self.done = true;
        let expected = match self.place {
            Place::End | Place::Lines => return Ok(()),
            Place::Start => "Expecting value",
            Place::ArrayStart | Place::ArrayElement => "Expecting value (the array is cut off)",
            Place::ArrayAfter => "Expecting ',' delimiter (the array is cut off)",
            Place::Record { .. } => "Expecting the end of an object (the record is cut off)",
            Place::Text { .. } | Place::Escape { .. } => {
                "Unterminated string (the record is cut off)"
            }
        };
        Err(SplitError::Syntax {
            expected,
            offset: self.offset,
        })
    }
}

/// What a step did: where the cutter stands now, and whether a record begins or ends at its last byte.
struct Event {
    place: Place,
    begins: bool,
    ends: bool,
}

impl Event {
    fn to(place: Place) -> Self {
        Event {
            place,
            begins: false,
            ends: false,
        }
    }

    fn begins(&self) -> bool {
        self.begins
    }

    /// From where on the used bytes belong to a record: the brace itself when one begins, all when inside of one.
    fn keep_from(&self, used: usize) -> usize {
        if self.begins { used - 1 } else { 0 }
    }
}

/// Uses up bytes from the front of `block`, which is not empty, up to the next change of place.
fn step(place: Place, block: &[u8], offset: u64, index: u64) -> Result<(usize, Event), SplitError> {
    match place {
        Place::Record { depth, array } => Ok(in_record(depth, array, block)),
        Place::Text { depth, array } => Ok(in_text(depth, array, block)),
        Place::Escape { depth, array } => Ok((1, Event::to(Place::Text { depth, array }))),
        _ => between(place, block, offset, index),
    }
}

fn in_record(depth: u32, array: bool, block: &[u8]) -> (usize, Event) {
    let mut depth = depth;
    for (at, byte) in block.iter().enumerate() {
        match byte {
            b'"' => return (at + 1, Event::to(Place::Text { depth, array })),
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let place = if array {
                        Place::ArrayAfter
                    } else {
                        Place::Lines
                    };
                    let event = Event {
                        place,
                        begins: false,
                        ends: true,
                    };
                    return (at + 1, event);
                }
            }
            _ => {}
        }
    }
    (block.len(), Event::to(Place::Record { depth, array }))
}

fn in_text(depth: u32, array: bool, block: &[u8]) -> (usize, Event) {
    match memchr::memchr2(b'"', b'\\', block) {
        None => (block.len(), Event::to(Place::Text { depth, array })),
        Some(at) if block.get(at) == Some(&b'"') => {
            (at + 1, Event::to(Place::Record { depth, array }))
        }
        Some(at) => (at + 1, Event::to(Place::Escape { depth, array })),
    }
}

/// White space, commas and brackets between records.
fn between(
    place: Place,
    block: &[u8],
    offset: u64,
    index: u64,
) -> Result<(usize, Event), SplitError> {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let skipped = block.iter().take_while(blank).count();
    let Some(byte) = block.get(skipped) else {
        return Ok((skipped, Event::to(place)));
    };
    let begin = |array| Event {
        place: Place::Record { depth: 1, array },
        begins: true,
        ends: false,
    };
    let event = match (place, byte) {
        (Place::Start, b'[') => Event::to(Place::ArrayStart),
        (Place::Start | Place::Lines, b'{') => begin(false),
        (Place::ArrayStart | Place::ArrayElement, b'{') => begin(true),
        (Place::ArrayStart | Place::ArrayAfter, b']') => Event::to(Place::End),
        (Place::ArrayAfter, b',') => Event::to(Place::ArrayElement),
        (Place::Start, byte) => return Err(root_error(*byte, offset + skipped as u64)),
        (Place::ArrayStart | Place::ArrayElement, byte) if starts_value(*byte) => {
            return Err(SplitError::NotObject { index });
        }
        (place, _) => {
            let expected = match place {
                Place::End | Place::Lines => "Extra data",
                Place::ArrayAfter => "Expecting ',' delimiter",
                _ => "Expecting value",
            };
            return Err(SplitError::Syntax {
                expected,
                offset: offset + skipped as u64,
            });
        }
    };
    Ok((skipped + 1, event))
}

fn starts_value(byte: u8) -> bool {
    matches!(
        byte,
        b'[' | b'"' | b't' | b'f' | b'n' | b'-' | b'N' | b'I' | b'0'..=b'9'
    )
}

fn root_error(byte: u8, offset: u64) -> SplitError {
    match byte {
        b'"' => SplitError::Root("str"),
        b'n' => SplitError::Root("NoneType"),
        b't' | b'f' => SplitError::Root("bool"),
        b'-' | b'0'..=b'9' => SplitError::Root("a number"),
        0xEF => SplitError::Syntax {
            expected: "Unexpected UTF-8 BOM",
            offset,
        },
        _ => SplitError::Syntax {
            expected: "Expecting value",
            offset,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives at most `step` bytes at once.
    struct Dribble<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let count = self.step.min(self.bytes.len()).min(into.len());
            let (now, later) = self.bytes.split_at(count);
            into[..count].copy_from_slice(now);
            self.bytes = later;
            Ok(count)
        }
    }

    fn cut(text: &[u8], step: usize) -> Result<Vec<Vec<u8>>, String> {
        let mut splitter = Splitter::new(Dribble { bytes: text, step });
        let mut found = Vec::new();
        while let Some(chunk) = splitter.next_chunk().map_err(|error| error.to_string())? {
            assert_eq!(chunk.first, found.len() as u64);
            for range in &chunk.records {
                found.push(chunk.bytes[range.clone()].to_vec());
            }
        }
        assert!(splitter.next_chunk().is_ok_and(|chunk| chunk.is_none()));
        Ok(found)
    }

    #[test]
    fn every_shape_gives_the_same_records_whatever_the_size_of_the_reads() {
        let records: Vec<&[u8]> = vec![
            br#"{"a":"]}\"{[,","b":[1,{"c":"\\"}]}"#,
            b"{}",
            br#"{ "x" : [ [ ] ] }"#,
        ];
        let joined = |by: &[u8]| records.join(by);
        let array = [b" [ ".as_slice(), &joined(b" ,\n"), b"]\r\n "].concat();
        let lines = joined(b"\n");
        for step in 1..40 {
            assert_eq!(cut(&array, step).unwrap(), records);
            assert_eq!(cut(&lines, step).unwrap(), records);
        }
        assert_eq!(cut(b"[]", 1).unwrap().len(), 0);
        assert_eq!(cut(b"  {}\n", 1).unwrap(), [b"{}"]);
    }

    #[test]
    fn records_larger_than_a_chunk_stay_whole() {
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(3 * CHUNK));
        let text = format!("[{large},{{}},{large}]");
        let found = cut(text.as_bytes(), BLOCK).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], large.as_bytes());
        assert_eq!(found[2], large.as_bytes());
    }

    #[test]
    fn what_is_not_a_sequence_of_objects_is_refused() {
        for (text, expected) in [
            ("", "Expecting value at byte 0"),
            ("\0", "Expecting value at byte 0"),
            ("[", "cut off"),
            ("[{}", "cut off"),
            ("[{},", "cut off"),
            ("[{},]", "Expecting value at byte 4"),
            ("[{} {}]", "Expecting ',' delimiter at byte 4"),
            ("[{}]x", "Extra data at byte 4"),
            ("[{}] {}", "Extra data at byte 5"),
            ("{}x", "Extra data at byte 2"),
            ("{\"a\":\"", "Unterminated string"),
            ("{\"a\":\"\\", "Unterminated string"),
            ("[1]", "record 0 is not an object"),
            ("[{},[]]", "record 1 is not an object"),
            ("\"x\"", "got str"),
            ("null", "got NoneType"),
            ("\u{feff}[]", "BOM"),
        ] {
            let error = cut(text.as_bytes(), 1).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_endless_record_is_given_up() {
        let endless = b"{\"a\":\"".chain(std::io::repeat(b'x'));
        let error = Splitter::new(endless).next_chunk().unwrap_err();
        assert!(matches!(error, SplitError::TooLarge { index: 0 }));
    }
}
