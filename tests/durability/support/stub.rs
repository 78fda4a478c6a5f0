//! A scripted provider that counts each request by the marker in its text.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::PATIENCE;

/// How often each marker was seen.
pub(crate) type Seen = BTreeMap<u64, u32>;

#[derive(Default)]
struct State {
    seen: Mutex<Seen>,
    released: Mutex<bool>,
    wake: Condvar,
    closed: AtomicBool,
}

/// What a request of a test asks the provider to do, as words of its text.
pub(crate) mod script {
    /// Never answers; the request ends when the caller leaves.
    pub(crate) const HANG: &str = "hang";
    /// Answers when the test says so.
    pub(crate) const HOLD: &str = "hold";
}

/// Dropping it ends the listening thread; threads of connections end with their connections.
pub(crate) struct Stub {
    pub(crate) port: u16,
    state: Arc<State>,
}

impl Stub {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(socket), state) = (socket, shared.clone()) else {
                    continue;
                };
                // A caller that was killed ends its thread with an I/O error, which is no failure of the test.
                std::thread::spawn(move || drop(serve(&socket, &state)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.state.seen.lock().unwrap().clone()
    }

    /// All requests seen so far.
    pub(crate) fn count(&self) -> u32 {
        self.state.seen.lock().unwrap().values().sum()
    }

    /// Requests that hold are answered from now on.
    pub(crate) fn release(&self) {
        *self.state.released.lock().unwrap() = true;
        self.state.wake.notify_all();
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.release();
        self.state.closed.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Answers requests on one connection until it ends.
fn serve(socket: &TcpStream, state: &State) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut reader = BufReader::new(socket);
    loop {
        let Some(body) = request(&mut reader)? else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&body).into_owned();
        let marker = marker(&text).expect("every request of these tests has a marker");
        *state.seen.lock().unwrap().entry(marker).or_insert(0) += 1;
        if text.contains(script::HANG) {
            return reader.read(&mut [0]).map(drop);
        }
        if text.contains(script::HOLD) {
            let released = state.released.lock().unwrap();
            let _released = state.wake.wait_timeout_while(released, PATIENCE, |r| !*r);
        }
        if text.contains("\"stream\":true") {
            stream(socket)?;
        } else {
            plain(socket)?;
        }
    }
}

/// One request's body; `None` at the end of the connection.
fn request(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    let mut lines = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        lines += 1;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" && lines > 1 {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}

/// The number after the word `marker-`.
pub(crate) fn marker(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("marker-")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn plain(mut socket: &TcpStream) -> std::io::Result<()> {
    let body = concat!(
        r#"{"id":"c-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"#,
        r#""message":{"role":"assistant","content":"sealed"},"finish_reason":"stop"}],"#,
        r#""usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#
    );
    let length = body.len();
    write!(
        socket,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Five pieces with a pause between them, then usage and the end.
fn stream(mut socket: &TcpStream) -> std::io::Result<()> {
    socket.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    let head = r#"{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":"#;
    for word in ["one ", "two ", "three ", "four ", "five"] {
        let piece = format!(
            r#"{head}[{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}]}}"#
        );
        event(socket, &piece)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    event(
        socket,
        &format!(r#"{head}[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}"#),
    )?;
    let usage = r#""usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}"#;
    event(socket, &format!("{head}[],{usage}}}"))?;
    event(socket, "[DONE]")?;
    socket.write_all(b"0\r\n\r\n")
}

fn event(mut socket: &TcpStream, data: &str) -> std::io::Result<()> {
    let event = format!("data: {data}\n\n");
    write!(socket, "{:x}\r\n{event}\r\n", event.len())
}
