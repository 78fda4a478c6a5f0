//! Counts the frames of an HTTP/2 connection that cost the peer nothing and us something.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `PRI * HTTP/2.0..` before the first frame.
const PREFACE: usize = 24;
/// Bytes of a frame's head.
const HEAD: usize = 9;

const DATA: u8 = 0;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// What a connection may spend at once, and what it earns in a second. A reset costs ten, so that about a hundred streams
/// can be given up in a burst, as agents do, and ten a second for ever.
const PURSE: f64 = 1_000.0;
const EARNED: f64 = 100.0;
const RESET: f64 = 10.0;

/// GOAWAY with ENHANCE_YOUR_CALM, for a peer that has spent all.
const GOAWAY: [u8; 17] = [
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0x0B,
];

/// Follows the frames in a stream of bytes and what they cost.
#[derive(Debug)]
struct Meter {
    /// Bytes until the next frame's head.
    skip: usize,
    head: [u8; HEAD],
    have: usize,
    purse: f64,
    since: Instant,
}

impl Meter {
    fn new(now: Instant) -> Self {
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            have: 0,
            purse: PURSE,
            since: now,
        }
    }

    /// Looks at bytes that arrived; false when the purse is empty.
    fn read(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let mut cost = 0.0;
        while let Some(&byte) = bytes.first() {
            if self.skip > 0 {
                let step = self.skip.min(bytes.len());
                self.skip -= step;
                bytes = bytes.get(step..).unwrap_or_default();
                continue;
            }
            if let Some(slot) = self.head.get_mut(self.have) {
                *slot = byte;
            }
            self.have += 1;
            bytes = bytes.get(1..).unwrap_or_default();
            if self.have == HEAD {
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.skip = length;
                cost += price(kind, flags, length);
            }
        }
        self.pay(cost, now)
    }

    fn pay(&mut self, cost: f64, now: Instant) -> bool {
        if cost == 0.0 {
            return true;
        }
        let earned = now.duration_since(self.since).as_secs_f64() * EARNED;
        self.since = now;
        self.purse = (self.purse + earned).min(PURSE) - cost;
        self.purse >= 0.0
    }
}

fn price(kind: u8, flags: u8, length: usize) -> f64 {
    const END_STREAM: u8 = 1;
    match kind {
        RST_STREAM => RESET,
        PRIORITY | SETTINGS | PING | CONTINUATION => 1.0,
        // One empty frame ends a body; more of them do nothing.
        DATA if length == 0 && flags & END_STREAM == 0 => 1.0,
        _ => 0.0,
    }
}

/// A stream whose reading fails once its peer has spent its purse.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
    spent: bool,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            meter: Meter::new(Instant::now()),
            spent: false,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        if self.spent || !self.meter.read(new, Instant::now()) {
            if !std::mem::replace(&mut self.spent, true) {
                tracing::warn!("an HTTP/2 connection sends frames that only cost time; closing it");
                // Whether the peer hears why is up to the peer.
                let _told = Pin::new(&mut self.stream).poll_write(cx, &GOAWAY);
                let _sent = Pin::new(&mut self.stream).poll_flush(cx);
            }
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        let mut bytes = vec![size[1], size[2], size[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEAD + length, 0x55);
        bytes
    }

    fn begun(now: Instant) -> Meter {
        let mut meter = Meter::new(now);
        assert!(meter.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now));
        meter
    }

    #[test]
    fn work_is_free_and_noise_is_not() {
        let now = Instant::now();
        let mut meter = begun(now);
        for _ in 0..100_000 {
            // HEADERS, a body and its empty end, window updates: what requests consist of.
            for (kind, flags, length) in [(1, 4, 40), (0, 0, 1_000), (0, 1, 0), (8, 0, 4)] {
                assert!(meter.read(&frame(kind, flags, length), now));
            }
        }
        for (kind, flags, length, allowed) in [
            (RST_STREAM, 0, 4, 100),
            (PING, 0, 8, 1_000),
            (SETTINGS, 0, 6, 1_000),
            (PRIORITY, 0, 5, 1_000),
            (CONTINUATION, 0, 10, 1_000),
            (DATA, 0, 0, 1_000),
        ] {
            let mut meter = begun(now);
            let noise = frame(kind, flags, length);
            assert!(
                (0..allowed).all(|_| meter.read(&noise, now)),
                "frame {kind}"
            );
            assert!(!meter.read(&noise, now), "frame {kind}");
        }
    }

    #[test]
    fn the_purse_fills_up_with_time_and_no_further() {
        let mut now = Instant::now();
        let mut meter = begun(now);
        let ping = frame(PING, 0, 8);
        for _ in 0..10 {
            now += Duration::from_secs(3_600);
            assert!((0..1_000).all(|_| meter.read(&ping, now)));
        }
        assert!(!meter.read(&ping, now));
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let now = Instant::now();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for kind in [SETTINGS, PING, 1, RST_STREAM, PING] {
            bytes.extend(frame(kind, 4, 21));
        }
        for size in [1, 2, 7, 9, 10, 64, 1_000] {
            let mut meter = Meter::new(now);
            assert!(bytes.chunks(size).all(|part| meter.read(part, now)));
            assert_eq!(meter.purse, PURSE - 3.0 - RESET, "pieces of {size}");
        }
    }
}
