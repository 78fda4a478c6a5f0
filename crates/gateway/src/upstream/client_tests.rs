//! What the provider's side of a connection sees: one connection for many calls, none of them twice, none kept for nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};

use super::client::{SendError, Upstream};
use super::pool::Origin;
use crate::config::Egress;

const PLAIN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const DONE: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n";
const END: &str = "0\r\n\r\n";
const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}";

/// What a scripted provider does on one connection, which it closes after the last step.
#[derive(Clone, Copy)]
enum Step {
    /// Reads the head of a request and tells.
    Request,
    Send(&'static str),
    /// Waits to be told to go on.
    Hold,
    /// Reads until the peer closes, and tells.
    Gone,
}
use Step::{Gone, Hold, Request as Asked, Send};

struct Provider {
    address: SocketAddr,
    told: Receiver<&'static str>,
    go: Sender<()>,
}

impl Provider {
    /// One script a connection, one connection after the other.
    fn start(scripts: &'static [&'static [Step]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = channel();
        let (go, wait) = channel();
        std::thread::spawn(move || {
            for script in scripts {
                let (socket, _) = listener.accept().unwrap();
                tell.send("connection").unwrap();
                play(socket, script, &tell, &wait);
                // The test may be over.
                let _nobody = tell.send("over");
            }
        });
        Self { address, told, go }
    }

    fn told(&self, count: usize) -> Vec<&'static str> {
        let one = || self.told.recv_timeout(Duration::from_secs(10)).unwrap();
        (0..count).map(|_| one()).collect()
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let uri = format!("http://{}/v1/x?y", self.address);
        Request::get(uri).body(Full::default()).unwrap()
    }
}

fn play(mut socket: TcpStream, script: &[Step], tell: &Sender<&'static str>, wait: &Receiver<()>) {
    for step in script {
        match step {
            Step::Request => {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    assert_eq!(socket.read(&mut byte).unwrap(), 1, "the request is cut");
                    head.push(byte[0]);
                }
                assert!(head.starts_with(b"GET /v1/x?y HTTP/1.1\r\n"));
                tell.send("request").unwrap();
            }
            Send(text) => socket.write_all(text.as_bytes()).unwrap(),
            Hold => wait.recv().unwrap(),
            Gone => {
                while socket.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
                tell.send("closed").unwrap();
            }
        }
    }
}

fn upstream() -> Upstream {
    Upstream::new(Egress::loopback(), Duration::from_secs(5))
}

/// Waits until that many kept connections are usable.
async fn until_idle(upstream: &Upstream, provider: &Provider, count: usize) {
    let origin = Origin::of(provider.request().uri()).unwrap();
    let wait = async {
        while upstream.idle(&origin) != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap();
}

async fn answer(upstream: &Upstream, provider: &Provider) -> Result<Bytes, SendError> {
    let response = upstream.send(provider.request()).await?;
    Ok(response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let provider = Provider::start(&[&[Asked, Send(PLAIN), Asked, Send(PLAIN), Gone]]);
    let upstream = upstream();
    for _ in 0..2 {
        assert_eq!(answer(&upstream, &provider).await.unwrap(), "{}");
    }
    assert_eq!(provider.told(3), ["connection", "request", "request"]);
    drop(upstream);
    assert_eq!(provider.told(1), ["closed"]);
}

#[tokio::test]
async fn a_stream_that_said_done_gives_its_connection_back() {
    let provider =
        Provider::start(&[&[Asked, Send(DONE), Hold, Send(END), Asked, Send(PLAIN), Gone]]);
    let upstream = upstream();
    let mut body = upstream.send(provider.request()).await.unwrap().into_body();
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: [DONE]\n\n");
    body.release();
    provider.go.send(()).unwrap();
    until_idle(&upstream, &provider, 1).await;
    assert_eq!(answer(&upstream, &provider).await.unwrap(), "{}");
    assert_eq!(provider.told(3), ["connection", "request", "request"]);
}

#[tokio::test]
async fn a_connection_that_the_provider_closed_is_not_used_and_nothing_is_sent_twice() {
    let provider = Provider::start(&[&[Asked, Send(PLAIN)], &[Asked, Send(PLAIN), Gone]]);
    let upstream = upstream();
    assert_eq!(answer(&upstream, &provider).await.unwrap(), "{}");
    assert_eq!(provider.told(3), ["connection", "request", "over"]);
    until_idle(&upstream, &provider, 0).await;
    assert_eq!(answer(&upstream, &provider).await.unwrap(), "{}");
    assert_eq!(provider.told(2), ["connection", "request"]);
}

#[tokio::test]
async fn a_request_that_may_have_been_read_is_not_sent_again() {
    let provider = Provider::start(&[&[Asked, Send(PLAIN), Asked]]);
    let upstream = upstream();
    assert_eq!(answer(&upstream, &provider).await.unwrap(), "{}");
    let error = answer(&upstream, &provider).await.unwrap_err();
    assert!(!error.is_connect(), "{error}");
    assert_eq!(provider.told(3), ["connection", "request", "request"]);
}

#[tokio::test]
async fn a_body_that_is_dropped_closes_its_connection() {
    let provider = Provider::start(&[&[Asked, Send(HALF), Gone]]);
    let upstream = upstream();
    let mut body = upstream.send(provider.request()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(provider.told(3), ["connection", "request", "closed"]);
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection() {
    let provider = Provider::start(&[&[Asked, Gone]]);
    let upstream = upstream();
    let waiting = upstream.send(provider.request());
    let gave_up = tokio::time::timeout(Duration::from_millis(50), waiting).await;
    assert!(gave_up.is_err());
    assert_eq!(provider.told(3), ["connection", "request", "closed"]);
}
