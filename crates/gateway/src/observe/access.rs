//! The access log: one JSON line a call, written by a thread of its own.
//!
//! Fields are ids, numbers and names from the configuration; nothing a client chose freely gets in.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Lines that may wait for the writer; beyond it lines are dropped and counted, calls are never delayed.
const QUEUE: usize = 8192;

/// One finished request.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// End of the call, microseconds since the epoch.
    pub time_micros: i64,
    /// Route name from the route table.
    pub route: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Public id of the key, absent when unauthenticated.
    pub key_id: Option<String>,
    /// Model group from the configuration.
    pub model: Option<String>,
    /// Deployment id.
    pub deployment: Option<String>,
    /// Whole duration in microseconds.
    pub micros: u64,
    /// Id of the sealed record.
    pub record: Option<String>,
    /// Outcome as in the record.
    pub outcome: &'static str,
    /// Stable error code.
    pub error: Option<&'static str>,
    /// Input tokens.
    pub tokens_in: Option<u64>,
    /// Output tokens.
    pub tokens_out: Option<u64>,
    /// True for streams.
    pub stream: bool,
    /// More numbers, where the configuration asks for them.
    pub debug: Option<Debug>,
}

/// Numbers of `detailed_debug`. As everywhere in this log: nothing a client chose freely.
#[derive(Debug, Clone, Copy, Default)]
pub struct Debug {
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer.
    pub delivered_bytes: u64,
    /// Microseconds until the intent was durable.
    pub opened: u64,
    /// Microseconds until the provider's head.
    pub head: u64,
    /// Microseconds until the first event of a stream.
    pub first_byte: u64,
}

/// Handle of the log. Cheap to share.
#[derive(Debug)]
pub struct AccessLog {
    lines: Option<SyncSender<Line>>,
    dropped: AtomicU64,
}

impl AccessLog {
    /// Starts the writer thread over `sink`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(sink: Box<dyn Write + Send>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (lines, queue) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(&queue, sink))?;
        Ok((
            Self {
                lines: Some(lines),
                dropped: AtomicU64::new(0),
            },
            writer,
        ))
    }

    /// A log that keeps nothing.
    pub fn off() -> Self {
        Self {
            lines: None,
            dropped: AtomicU64::new(0),
        }
    }

    /// True when lines go somewhere: callers may skip building them otherwise.
    pub fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Hands one line to the writer.
    pub fn write(&self, line: Line) {
        let Some(lines) = &self.lines else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = lines.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines lost because the writer was behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn write_all(queue: &Receiver<Line>, mut sink: Box<dyn Write + Send>) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    while let Ok(first) = queue.recv() {
        buffer.clear();
        render(&mut buffer, &first);
        while buffer.len() < 48 * 1024
            && let Ok(line) = queue.try_recv()
        {
            render(&mut buffer, &line);
        }
        // A closed standard output must not stop the gateway; there is nobody left to tell.
        if sink.write_all(&buffer).and_then(|()| sink.flush()).is_err() {
            return;
        }
    }
}

fn render(out: &mut Vec<u8>, line: &Line) {
    let mut object = serde_json::Map::new();
    let mut put = |key: &str, value: serde_json::Value| {
        object.insert(key.to_owned(), value);
    };
    put(
        "time",
        capsule::Timestamp::new(line.time_micros).to_string().into(),
    );
    put("route", line.route.into());
    put("status", line.status.into());
    put("outcome", line.outcome.into());
    put("ms", serde_json::json!(line.micros as f64 / 1000.0));
    for (key, value) in [
        ("key_id", &line.key_id),
        ("model", &line.model),
        ("deployment", &line.deployment),
        ("record", &line.record),
    ] {
        if let Some(value) = value {
            put(key, value.as_str().into());
        }
    }
    if let Some(error) = line.error {
        put("error", error.into());
    }
    for (key, value) in [
        ("tokens_in", line.tokens_in),
        ("tokens_out", line.tokens_out),
    ] {
        if let Some(value) = value {
            put(key, value.into());
        }
    }
    if line.stream {
        put("stream", true.into());
    }
    if let Some(debug) = line.debug {
        for (key, value) in [
            ("request_bytes", debug.request_bytes),
            ("delivered_bytes", debug.delivered_bytes),
            ("opened_micros", debug.opened),
            ("head_micros", debug.head),
            ("first_byte_micros", debug.first_byte),
        ] {
            put(key, value.into());
        }
    }
    out.extend_from_slice(serde_json::Value::Object(object).to_string().as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_one_json_object() {
        let sink = Shared::default();
        let (log, writer) = AccessLog::start(Box::new(sink.clone())).expect("a thread");
        for status in [200, 401] {
            log.write(Line {
                status,
                route: "/chat/completions",
                outcome: "success",
                model: Some("a\"\n".into()),
                ..Line::default()
            });
        }
        drop(log);
        writer.join().expect("the writer ends");
        let text = String::from_utf8(sink.0.lock().expect("lock").clone()).expect("text");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["status"], 200);
        assert_eq!(lines[0]["model"], "a\"\n");
    }
}
