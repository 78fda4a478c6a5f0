//! The bench's own client: it knows every answer by its id, and every event of a stream by its number and time.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    clock, mock, payload,
    sse::{Progress, Reader},
};

/// What the plain client saw.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Record ids of the 2xx answers that arrived whole, where the gateway names them.
    pub(crate) ids: Vec<String>,
    /// 2xx answers that arrived whole.
    pub(crate) answered: u64,
    /// Answers of any other status.
    pub(crate) refused: u64,
    /// Calls that were sent and whose answer did not arrive whole.
    pub(crate) cut: u64,
}

impl Calls {
    fn add(&mut self, other: Self) {
        self.ids.extend(other.ids);
        self.answered += other.answered;
        self.refused += other.refused;
        self.cut += other.cut;
    }
}

/// What the stream client saw.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Streams with all chunks in order and the end mark.
    pub(crate) complete: u64,
    /// Streams that ended in any other way.
    pub(crate) incomplete: u64,
    /// From the request to the first content event, microseconds.
    pub(crate) first_us: Vec<u64>,
    /// From the request to the end, microseconds.
    pub(crate) whole_us: Vec<u64>,
    /// From the mock's write to our read of one chunk, microseconds; paced streams only.
    pub(crate) chunk_us: Vec<u64>,
}

impl Streams {
    fn add(&mut self, other: Self) {
        self.complete += other.complete;
        self.incomplete += other.incomplete;
        self.first_us.extend(other.first_us);
        self.whole_us.extend(other.whole_us);
        self.chunk_us.extend(other.chunk_us);
    }
}

/// Plain calls on `connections` connections until `stop` is set; calls in flight are finished.
pub(crate) fn run_calls(
    address: SocketAddr,
    body: &Bytes,
    connections: u32,
    stop: &Arc<AtomicBool>,
    limit: Duration,
) -> Result<Calls> {
    let until = Instant::now() + limit;
    calls(address, body, connections, stop, until, true)
}

/// The same without keeping ids, for runs so long that they would fill memory.
pub(crate) fn run_calls_uncollected(
    address: SocketAddr,
    body: &Bytes,
    connections: u32,
    stop: &Arc<AtomicBool>,
    limit: Duration,
) -> Result<Calls> {
    calls(
        address,
        body,
        connections,
        stop,
        Instant::now() + limit,
        false,
    )
}

fn calls(
    address: SocketAddr,
    body: &Bytes,
    connections: u32,
    stop: &Arc<AtomicBool>,
    until: Instant,
    collect: bool,
) -> Result<Calls> {
    mock::block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            tasks.spawn(calls_on_one(
                address,
                body.clone(),
                Arc::clone(stop),
                until,
                collect,
            ));
        }
        let mut total = Calls::default();
        while let Some(one) = tasks.join_next().await {
            total.add(one?);
        }
        Ok(total)
    })?
}

/// Streams on `connections` connections for `active`; streams in flight are finished.
pub(crate) fn run_streams(
    address: SocketAddr,
    body: &Bytes,
    connections: u32,
    active: Duration,
) -> Result<Streams> {
    streams(address, body, connections, Instant::now() + active, true)
}

/// The same without keeping times.
pub(crate) fn run_streams_uncollected(
    address: SocketAddr,
    body: &Bytes,
    connections: u32,
    active: Duration,
) -> Result<Streams> {
    streams(address, body, connections, Instant::now() + active, false)
}

fn streams(
    address: SocketAddr,
    body: &Bytes,
    connections: u32,
    until: Instant,
    collect: bool,
) -> Result<Streams> {
    mock::block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            tasks.spawn(streams_on_one(address, body.clone(), until, collect));
        }
        let mut total = Streams::default();
        while let Some(one) = tasks.join_next().await {
            total.add(one??);
        }
        Ok(total)
    })?
}

type Sender = SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr) -> Result<Sender> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    // The connection's end shows at the sender; its error adds nothing.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

async fn send(
    sender: &mut Sender,
    address: SocketAddr,
    body: &Bytes,
) -> Result<Response<Incoming>> {
    let request = Request::post("/v1/chat/completions")
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", payload::CLIENT_KEY))
        .body(Full::new(body.clone()))?;
    sender.ready().await?;
    Ok(sender.send_request(request).await?)
}

async fn calls_on_one(
    address: SocketAddr,
    body: Bytes,
    stop: Arc<AtomicBool>,
    until: Instant,
    collect: bool,
) -> Calls {
    let mut calls = Calls::default();
    let going = || !stop.load(Ordering::Relaxed) && Instant::now() < until;
    while going() {
        let Ok(mut sender) = connect(address).await else {
            // The server is gone: nothing was sent.
            break;
        };
        while going() {
            if sender.ready().await.is_err() {
                break;
            }
            match call(&mut sender, address, &body).await {
                Ok((status, id)) if (200..300).contains(&status) => {
                    calls.answered += 1;
                    calls.ids.extend(id.filter(|_| collect));
                }
                Ok(_) => calls.refused += 1,
                Err(_) => {
                    calls.cut += 1;
                    break;
                }
            }
        }
    }
    calls
}

async fn call(
    sender: &mut Sender,
    address: SocketAddr,
    body: &Bytes,
) -> Result<(u16, Option<String>)> {
    let response = send(sender, address, body).await?;
    let status = response.status().as_u16();
    let id = record_id(&response);
    response.into_body().collect().await?;
    Ok((status, id))
}

/// The id of the sealed record, from `x-sealgate-capsule: capsule://<id>`.
fn record_id(response: &Response<Incoming>) -> Option<String> {
    let value = response
        .headers()
        .get("x-sealgate-capsule")?
        .to_str()
        .ok()?;
    Some(value.strip_prefix("capsule://")?.to_owned())
}

async fn streams_on_one(
    address: SocketAddr,
    body: Bytes,
    until: Instant,
    collect: bool,
) -> Result<Streams> {
    let mut streams = Streams::default();
    let mut sender = connect(address)
        .await
        .context("the stream client cannot connect")?;
    while Instant::now() < until {
        if sender.is_closed() {
            sender = connect(address)
                .await
                .context("the stream client cannot reconnect")?;
        }
        match stream(&mut sender, address, &body, &mut streams).await {
            Ok(true) => streams.complete += 1,
            Ok(false) | Err(_) => streams.incomplete += 1,
        }
        if !collect {
            streams.first_us.clear();
            streams.whole_us.clear();
            streams.chunk_us.clear();
        }
    }
    Ok(streams)
}

/// Reads one stream; true when it was complete.
async fn stream(
    sender: &mut Sender,
    address: SocketAddr,
    body: &Bytes,
    streams: &mut Streams,
) -> Result<bool> {
    let sent = clock::monotonic_nanos();
    let response = send(sender, address, body).await?;
    if !response.status().is_success() {
        response.into_body().collect().await?;
        return Ok(false);
    }
    let mut incoming = response.into_body();
    let mut reader = Reader::new();
    let mut first = None;
    while let Some(frame) = incoming.frame().await {
        let Ok(bytes) = frame?.into_data() else {
            continue;
        };
        let now = clock::monotonic_nanos();
        reader.push(&bytes, &mut |stamp| {
            streams.chunk_us.push(now.saturating_sub(stamp) / 1_000);
        });
        if first.is_none() && reader.chunks() > 0 {
            first = Some(now);
        }
    }
    let end = clock::monotonic_nanos();
    streams.first_us.extend(first.map(|at| (at - sent) / 1_000));
    streams.whole_us.push((end - sent) / 1_000);
    Ok(reader.progress() == Progress::Complete)
}
