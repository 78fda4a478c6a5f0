//! Reads the mock's events out of a stream, however a gateway has cut or re-rendered them.

use memchr::memmem;

use crate::payload;

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Open,
    /// All chunks in order, each once, then the end mark.
    Complete,
    /// A chunk was missing, doubled or out of order.
    Broken,
}

/// Follows one stream.
#[derive(Debug)]
pub(crate) struct Reader {
    line: Vec<u8>,
    chunks: usize,
    progress: Progress,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            line: Vec::new(),
            chunks: 0,
            progress: Progress::Open,
        }
    }

    /// Content chunks seen so far.
    pub(crate) fn chunks(&self) -> usize {
        self.chunks
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// Takes bytes as they arrive; `stamped` receives the mock's time stamp of each chunk that carries one.
    pub(crate) fn push(&mut self, bytes: &[u8], stamped: &mut dyn FnMut(u64)) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (head, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.take_line(head, stamped);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(head);
                self.take_line(&line, stamped);
                line.clear();
                self.line = line;
            }
        }
        self.line.extend_from_slice(rest);
    }

    fn take_line(&mut self, line: &[u8], stamped: &mut dyn FnMut(u64)) {
        let Some(data) = line.strip_prefix(b"data:") else {
            return;
        };
        if data.trim_ascii() == b"[DONE]" {
            let whole = self.progress == Progress::Open && self.chunks == payload::STREAM_CHUNKS;
            self.progress = if whole {
                Progress::Complete
            } else {
                Progress::Broken
            };
            return;
        }
        let Some(number) = number_after(data, b" tok", 2) else {
            return;
        };
        if number != self.chunks as u64 {
            self.progress = Progress::Broken;
        }
        self.chunks += 1;
        if let Some(stamp) = number_after(data, b" t0", 18) {
            stamped(stamp);
        }
    }
}

fn number_after(data: &[u8], mark: &[u8], digits: usize) -> Option<u64> {
    let start = memmem::find(data, mark)? + mark.len();
    std::str::from_utf8(data.get(start..start + digits)?)
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Vec<u8> {
        let mut bytes = payload::stream_head().to_vec();
        for index in 0..payload::STREAM_CHUNKS {
            bytes.extend_from_slice(&payload::stream_event(index, Some(1_000 + index as u64)));
        }
        bytes.extend_from_slice(&payload::stream_tail(true));
        bytes
    }

    fn read(bytes: &[u8], step: usize) -> (Progress, Vec<u64>) {
        let mut reader = Reader::new();
        let mut stamps = Vec::new();
        for part in bytes.chunks(step) {
            reader.push(part, &mut |stamp| stamps.push(stamp));
        }
        (reader.progress(), stamps)
    }

    #[test]
    fn complete_however_the_bytes_are_cut() {
        for step in [1, 7, 100, 100_000] {
            let (progress, stamps) = read(&whole(), step);
            assert_eq!(progress, Progress::Complete);
            assert_eq!(stamps, (1_000..1_050).collect::<Vec<u64>>());
        }
    }

    #[test]
    fn a_missing_a_doubled_and_a_swapped_chunk_are_seen() {
        let text = String::from_utf8(whole()).unwrap();
        let events: Vec<&str> = text.split_inclusive("\n\n").collect();
        let mut missing = events.clone();
        missing.remove(9);
        let mut doubled = events.clone();
        doubled.insert(9, events[9]);
        let mut swapped = events.clone();
        swapped.swap(9, 10);
        for broken in [missing, doubled, swapped] {
            assert_eq!(read(broken.concat().as_bytes(), 64).0, Progress::Broken);
        }
        let cut = events[..40].concat();
        assert_eq!(read(cut.as_bytes(), 64).0, Progress::Open);
    }
}
