//! Clients: an ordinary one over hyper, and a raw one that writes bytes as they are.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::logs::Sink;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Awaits `future`, failing the test after [`PATIENCE`].
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// An answer read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// False when the connection broke before the body was complete.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("not JSON ({error}): {}", self.text()),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Member of the error envelope.
    pub(crate) fn error(&self, member: &str) -> Value {
        self.json()["error"][member].clone()
    }

    /// The stable code of an error answer.
    pub(crate) fn code(&self) -> String {
        self.error("sealgate_code")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Data of the events of a stream, comments left out.
    pub(crate) fn events(&self) -> Vec<String> {
        events(&self.text())
    }

    /// The events that are JSON.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        self.events()
            .iter()
            .filter_map(|event| serde_json::from_str(event).ok())
            .collect()
    }

    /// Content of choice `index`: of a plain answer or put together from a stream.
    pub(crate) fn content(&self, index: usize) -> String {
        if self
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
        {
            return content(&self.chunks(), index);
        }
        self.json()["choices"][index]["message"]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Fails unless this is an error of this status and code in the envelope, without anything that tells of our inside.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> &Self {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{}",
            self.text()
        );
        assert_eq!(self.error("code"), status.to_string(), "{}", self.text());
        assert!(
            self.error("message")
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        assert!(self.error("type").is_string());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        for inside in [
            "/src/", ".rs:", "panicked", "SELECT ", "INSERT ", "rusqlite", "hyper::", "tokio",
        ] {
            assert!(
                !self.text().contains(inside),
                "the error shows `{inside}`: {}",
                self.text()
            );
        }
        self
    }
}

/// Data of the events in `text`.
pub(crate) fn events(text: &str) -> Vec<String> {
    let frames = text.split("\n\n").map(|frame| {
        let data = frame.lines().filter_map(|line| line.strip_prefix("data:"));
        data.map(|data| data.strip_prefix(' ').unwrap_or(data))
            .collect::<Vec<_>>()
            .join("\n")
    });
    frames.filter(|data| !data.is_empty()).collect()
}

/// Content of choice `index` over the chunks of a stream.
pub(crate) fn content(chunks: &[Value], index: usize) -> String {
    let choices = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"].as_array())
        .flatten();
    let deltas = choices.filter(|choice| choice["index"] == index);
    deltas
        .filter_map(|choice| choice.pointer("/delta/content")?.as_str())
        .collect()
}

/// One open answer, read piece by piece.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    connection: JoinHandle<()>,
    pub(crate) seen: Vec<u8>,
}

impl Open {
    /// Reads until the text so far satisfies `done`, the body ends, or the connection breaks; true if `done`.
    pub(crate) async fn until(&mut self, done: impl Fn(&str) -> bool) -> bool {
        soon("a piece of the stream", async {
            loop {
                if done(&String::from_utf8_lossy(&self.seen)) {
                    return true;
                }
                match self.body.frame().await {
                    Some(Ok(frame)) => self
                        .seen
                        .extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                    Some(Err(_)) | None => return false,
                }
            }
        })
        .await
    }

    /// Reads to the end.
    pub(crate) async fn rest(mut self) -> Answer {
        let mut complete = true;
        soon("the end of the answer", async {
            while let Some(frame) = self.body.frame().await {
                match frame {
                    Ok(frame) => self
                        .seen
                        .extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                    Err(_) => complete = false,
                }
            }
        })
        .await;
        self.connection.abort();
        Answer {
            status: self.status,
            headers: self.headers,
            body: self.seen.into(),
            complete,
        }
    }

    /// Goes away: closes the connection.
    pub(crate) async fn leave(self) {
        self.connection.abort();
        drop(self.body);
        let _cancelled = self.connection.await;
    }
}

/// Sends one request on a connection of its own and returns when the head has come.
pub(crate) async fn open(
    address: SocketAddr,
    request: http::Request<Full<Bytes>>,
) -> io::Result<Open> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(async move {
        // How the connection ends is seen by the reader of the body.
        let _ended = connection.await;
    });
    let response = soon("the head of an answer", send.send_request(request))
        .await
        .map_err(io::Error::other)?;
    let (head, body) = response.into_parts();
    // The sender must live as long as the body: dropping it lets the connection close when idle.
    std::mem::forget(send);
    Ok(Open {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        connection,
        seen: Vec::new(),
    })
}

/// A connection that sends exactly the bytes it is given.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    pub(crate) seen: Vec<u8>,
    /// Gets everything that came, when the connection ends.
    sink: Sink,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.sink.add(&self.seen);
    }
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr, sink: Sink) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        stream.set_nodelay(true).expect("nodelay");
        Self {
            stream,
            seen: Vec::new(),
            sink,
        }
    }

    /// Sends; false when the peer has closed.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        soon("sending", self.stream.write_all(bytes.as_ref()))
            .await
            .is_ok()
    }

    /// Reads until what came satisfies `done`; false when the peer closed before.
    pub(crate) async fn until(&mut self, done: impl Fn(&str) -> bool) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        soon("an answer on the raw connection", async {
            loop {
                if done(&String::from_utf8_lossy(&self.seen)) {
                    return true;
                }
                match self.stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return false,
                    Ok(length) => self.seen.extend_from_slice(&buffer[..length]),
                }
            }
        })
        .await
    }

    /// Reads until the peer closes and returns everything that came.
    pub(crate) async fn closed(&mut self) -> String {
        self.until(|_| false).await;
        self.text()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Status codes of the answers that came, in order.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let text = self.text();
        let heads = text
            .match_indices("HTTP/1.1 ")
            .filter_map(|(at, found)| text.get(at + found.len()..at + found.len() + 3));
        heads.filter_map(|status| status.parse().ok()).collect()
    }
}
