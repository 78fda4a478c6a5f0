//! The upstream that every gateway calls: one thread, fixed answers, and a count of what it answered.
//!
//! `GET /count` returns the counts, `POST /control?latency_ms=..&chunk_ms=..&flush=each|merged` sets the behaviour.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Either, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};

use crate::{clock, payload};

/// What the mock has answered since it started. A stream counts in `streams` when it begins and in `streams_completed`
/// when its last byte was handed to the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Plain calls, chat completions and Messages alike.
    pub(crate) chat: u64,
    pub(crate) streams: u64,
    pub(crate) streams_completed: u64,
    pub(crate) embeddings: u64,
}

impl Counts {
    /// Calls that reached the mock, of any kind.
    pub(crate) fn total(self) -> u64 {
        self.chat + self.streams + self.embeddings
    }
}

/// How the mock behaves; changed by `/control`, read at the start of each call.
struct State {
    chat: AtomicU64,
    streams: AtomicU64,
    streams_completed: AtomicU64,
    embeddings: AtomicU64,
    latency_ms: AtomicU64,
    chunk_ms: AtomicU64,
    flush_each: AtomicBool,
    answers: Answers,
}

struct Answers {
    chat: Bytes,
    embeddings: Bytes,
    messages: Bytes,
    head: Bytes,
    events: Vec<Bytes>,
}

impl State {
    fn new() -> Self {
        Self {
            chat: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            streams_completed: AtomicU64::new(0),
            embeddings: AtomicU64::new(0),
            latency_ms: AtomicU64::new(0),
            chunk_ms: AtomicU64::new(0),
            flush_each: AtomicBool::new(true),
            answers: Answers {
                chat: payload::chat_answer(),
                embeddings: payload::embeddings_answer(),
                messages: payload::messages_answer(),
                head: payload::stream_head(),
                events: (0..payload::STREAM_CHUNKS)
                    .map(|index| payload::stream_event(index, None))
                    .collect(),
            },
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            chat: self.chat.load(Ordering::Relaxed),
            streams: self.streams.load(Ordering::Relaxed),
            streams_completed: self.streams_completed.load(Ordering::Relaxed),
            embeddings: self.embeddings.load(Ordering::Relaxed),
        }
    }
}

/// Serves on `address` until standard input closes (its parent is gone) or `lifetime` has passed.
pub(crate) fn run(address: SocketAddr, lifetime: Duration) -> Result<()> {
    watch_parent();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the mock's runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the mock cannot listen on {address}"))?;
        let state = Arc::new(State::new());
        let _ = tokio::time::timeout(lifetime, accept(listener, state)).await;
        Ok(())
    })
}

/// A mock that outlives the bench would hold its port and a core; end of file on standard input ends it.
fn watch_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let _ = socket.set_nodelay(true);
        tokio::spawn(serve(socket, Arc::clone(&state)));
    }
}

async fn serve(socket: TcpStream, state: Arc<State>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
    // A gateway that hangs up ends its connection only; nothing to report.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

type Answer = Response<Either<Full<Bytes>, Events>>;

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return Ok(plain(400, Bytes::from_static(b"{}")));
    };
    let path = head.uri.path();
    match path {
        "/count" => return Ok(count_answer(&state)),
        "/control" => {
            control(&state, head.uri.query().unwrap_or_default());
            return Ok(count_answer(&state));
        }
        _ => {}
    }
    let latency = state.latency_ms.load(Ordering::Relaxed);
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    if path.ends_with("/embeddings") {
        state.embeddings.fetch_add(1, Ordering::Relaxed);
        return Ok(plain(200, state.answers.embeddings.clone()));
    }
    if path.ends_with("/messages") {
        state.chat.fetch_add(1, Ordering::Relaxed);
        return Ok(plain(200, state.answers.messages.clone()));
    }
    if !path.ends_with("/chat/completions") {
        return Ok(plain(
            404,
            Bytes::from_static(b"{\"error\":{\"message\":\"no such route\"}}"),
        ));
    }
    if asks(&body, b"\"stream\"") {
        state.streams.fetch_add(1, Ordering::Relaxed);
        return Ok(stream(&state, &body));
    }
    state.chat.fetch_add(1, Ordering::Relaxed);
    Ok(plain(200, state.answers.chat.clone()))
}

/// True when `key` is followed by `true`. Gateways may put white space after the colon.
fn asks(body: &[u8], key: &[u8]) -> bool {
    memchr::memmem::find_iter(body, key).any(|at| {
        let rest = body.get(at + key.len()..).unwrap_or_default();
        let value = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b':'))
            .and_then(|start| rest.get(start..))
            .unwrap_or_default();
        value.starts_with(b"true")
    })
}

fn plain(status: u16, body: Bytes) -> Answer {
    with_type(status, "application/json", Either::Left(Full::new(body)))
}

fn with_type(status: u16, content_type: &'static str, body: Either<Full<Bytes>, Events>) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static(content_type),
    );
    response
}

fn count_answer(state: &State) -> Answer {
    plain(
        200,
        Bytes::from(serde_json::to_vec(&state.counts()).unwrap_or_default()),
    )
}

fn control(state: &State, query: &str) {
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match (name, value.parse::<u64>()) {
            ("latency_ms", Ok(millis)) => state.latency_ms.store(millis, Ordering::Relaxed),
            ("chunk_ms", Ok(millis)) => state.chunk_ms.store(millis, Ordering::Relaxed),
            ("flush", _) => state.flush_each.store(value == "each", Ordering::Relaxed),
            _ => {}
        }
    }
}

fn stream(state: &Arc<State>, body: &[u8]) -> Answer {
    let pace = match state.chunk_ms.load(Ordering::Relaxed) {
        0 => None,
        millis => Some(tokio::time::interval(Duration::from_millis(millis))),
    };
    let events = Events {
        state: Arc::clone(state),
        next: 0,
        with_usage: asks(body, b"\"include_usage\""),
        flush_each: state.flush_each.load(Ordering::Relaxed),
        flushed: true,
        pace,
    };
    with_type(200, "text/event-stream", Either::Right(events))
}

/// The body of one stream: head, fifty chunks, tail; each in a write of its own unless `flush=merged`.
struct Events {
    state: Arc<State>,
    /// 0 is the head, 1..=50 the chunks, 51 the tail, 52 the end.
    next: usize,
    with_usage: bool,
    flush_each: bool,
    flushed: bool,
    pace: Option<tokio::time::Interval>,
}

impl Events {
    fn take_next(&mut self) -> Option<Bytes> {
        let at = self.next;
        self.next += 1;
        if at == 0 {
            return Some(self.state.answers.head.clone());
        }
        if at <= payload::STREAM_CHUNKS {
            return Some(match &self.pace {
                Some(_) => payload::stream_event(at - 1, Some(clock::monotonic_nanos())),
                None => self.state.answers.events.get(at - 1)?.clone(),
            });
        }
        if at == payload::STREAM_CHUNKS + 1 {
            self.state.streams_completed.fetch_add(1, Ordering::Relaxed);
            return Some(payload::stream_tail(self.with_usage));
        }
        None
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk_ahead = (1..=payload::STREAM_CHUNKS).contains(&self.next);
        if let Some(pace) = self.pace.as_mut() {
            if chunk_ahead && pace.poll_tick(context).is_pending() {
                return Poll::Pending;
            }
        } else if self.flush_each && !self.flushed {
            // hyper flushes what it holds when the body is pending: one write per chunk.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.flushed = false;
        Poll::Ready(self.take_next().map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Asks a running mock for its counts.
pub(crate) fn counts(address: SocketAddr) -> Result<Counts> {
    let body = crate::http_get::get(address, "/count")?;
    serde_json::from_str(&body).with_context(|| format!("the mock's counts are unreadable: {body}"))
}

/// Sets a running mock's behaviour: `query` is for example `chunk_ms=2`.
pub(crate) fn set(address: SocketAddr, query: &str) -> Result<()> {
    crate::http_get::get(address, &format!("/control?{query}")).map(drop)
}

/// Waits for `future` on a runtime of the calling thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?
        .block_on(future))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_recognised_with_and_without_white_space() {
        assert!(asks(b"{\"stream\":true}", b"\"stream\""));
        assert!(asks(b"{\"stream\": true}", b"\"stream\""));
        assert!(!asks(b"{\"stream\":false}", b"\"stream\""));
        assert!(!asks(b"{\"stream_options\":{}}", b"\"stream\""));
    }
}
