//! TLS and HTTP/2 on a listener, by attack: raw frames against `accept::serve` with a handler that counts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::client::TlsStream;

use super::accept::{ServerLimits, serve};
use super::tls::Tls;
use super::{framing, reply};
use crate::config::TlsFiles;

const LIMITS: ServerLimits = ServerLimits {
    max_head_bytes: 16 * 1024,
    head_timeout: Duration::from_secs(10),
    max_connections: 100,
};

fn files(name: &str) -> TlsFiles {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    TlsFiles {
        certificate: dir.join(format!("{name}.cert.pem")),
        key: dir.join(format!("{name}.key.pem")),
        http2: true,
    }
}

/// A listener whose handler counts requests; those to `/wait` are answered when told.
struct Server {
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    calls: Arc<AtomicUsize>,
    go_on: Arc<Notify>,
    stop: watch::Sender<bool>,
    ended: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(tls: Option<TlsFiles>, limits: ServerLimits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let tls = tls.map(|files| Arc::new(Tls::load(&files).expect("a certificate")));
        let (calls, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let handler = {
            let (calls, go_on) = (calls.clone(), go_on.clone());
            Arc::new(move |request: http::Request<Incoming>| {
                calls.fetch_add(1, Ordering::SeqCst);
                let go_on = go_on.clone();
                async move {
                    let (head, _body) = request.into_parts();
                    if let Err(error) = framing::check(&head) {
                        return reply::error(&error, None);
                    }
                    if head.uri.path() == "/wait" {
                        go_on.notified().await;
                    }
                    let host = head
                        .headers
                        .get("host")
                        .map(|host| host.as_bytes().to_vec());
                    reply::json(StatusCode::OK, host.unwrap_or_default())
                }
            })
        };
        let (stop, stopped) = watch::channel(false);
        let grace = Duration::from_secs(5);
        let ended = tokio::spawn(serve(
            listener,
            limits,
            stopped,
            grace,
            tls.clone(),
            super::addresses::Door::default().into(),
            handler,
        ));
        Server {
            address,
            tls,
            calls,
            go_on,
            stop,
            ended,
        }
    }

    async fn connect(&self, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.expect("connects");
        let config = client(&["one", "two"], alpn);
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = tokio_rustls::TlsConnector::from(config);
        connector.connect(name, stream).await.expect("a handshake")
    }

    /// Sends bytes to an HTTP/2 connection until it ends, and gives what came back.
    async fn attack(&self, bytes: impl Iterator<Item = Vec<u8>>) -> Seen {
        let stream = self.connect(&[b"h2"]).await;
        let (mut read, mut write) = tokio::io::split(stream);
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = read.read(&mut buffer).await {
                all.extend_from_slice(&buffer[..count]);
            }
            all
        });
        let mut sent = 0;
        let mut open = write.write_all(&preface()).await.is_ok();
        for part in bytes {
            open = open && write.write_all(&part).await.is_ok();
            if !open {
                break;
            }
            sent += part.len();
        }
        let answer = tokio::time::timeout(Duration::from_secs(20), reader).await;
        Seen {
            ended: answer.is_ok(),
            frames: frames(&answer.map(Result::unwrap_or_default).unwrap_or_default()),
            sent,
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn stop(self) {
        let _told = self.stop.send(true);
        self.ended.await.expect("it ends");
    }
}

/// What an attack met with.
struct Seen {
    ended: bool,
    /// Type and payload of each frame.
    frames: Vec<(u8, Vec<u8>)>,
    sent: usize,
}

impl Seen {
    /// The error codes of GOAWAY frames.
    fn goaway(&self) -> Vec<u8> {
        let frames = self.frames.iter().filter(|(kind, _)| *kind == 7);
        frames.map(|(_, payload)| payload[7]).collect()
    }
}

fn client(trusted: &[&str], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for name in trusted {
        let certificate = CertificateDer::from_pem_file(files(name).certificate).expect("PEM");
        roots.add(certificate).expect("a certificate");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// `GET path` over https from `localhost`, in HPACK's static table and literals.
fn headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x01, 9];
    block.extend(b"localhost");
    block.extend([0x04, u8::try_from(path.len()).expect("short")]);
    block.extend(path.as_bytes());
    block
}

fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        found.push((*kind, payload.to_vec()));
        bytes = rest;
    }
    found
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_served_over_tls() {
    let server = Server::start(Some(files("one")), LIMITS).await;
    let stream = TokioIo::new(server.connect(&[b"h2", b"http/1.1"]).await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let request = |uri: &str| {
        let request = http::Request::get(uri).body(Empty::<Bytes>::new());
        request.expect("a request")
    };
    let answer = sender
        .send_request(request("https://localhost:4000/x"))
        .await;
    let answer = answer.expect("an answer");
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, http::Version::HTTP_2)
    );
    let host = answer
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(
        host, "localhost:4000",
        "the authority stands for the host header"
    );

    let stream = TokioIo::new(server.connect(&[b"http/1.1"]).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .expect("HTTP/1.1");
    tokio::spawn(connection);
    let mut old = request("/x");
    old.headers_mut()
        .insert("host", "localhost".parse().expect("a value"));
    let answer = sender.send_request(old).await.expect("an answer");
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, http::Version::HTTP_11)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_only_where_it_was_agreed() {
    let plain = Server::start(None, LIMITS).await;
    let mut stream = TcpStream::connect(plain.address).await.expect("connects");
    stream.write_all(&preface()).await.expect("sent");
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    assert!(
        !answer.starts_with(&[0, 0]),
        "no SETTINGS frame: {answer:?}"
    );
    assert_eq!(plain.calls(), 0);
    plain.stop().await;

    let only_old = TlsFiles {
        http2: false,
        ..files("one")
    };
    for files in [files("one"), only_old] {
        let server = Server::start(Some(files), LIMITS).await;
        let mut stream = server.connect(&[b"http/1.1"]).await;
        stream.write_all(&preface()).await.expect("sent");
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(&[0, 0]), "{answer:?}");
        assert_eq!(server.calls(), 0);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_15_rapid_reset() {
    let server = Server::start(Some(files("one")), LIMITS).await;
    let pairs = (0..100_000_u32).map(|number| {
        let stream = number * 2 + 1;
        let mut bytes = frame(1, END_STREAM | END_HEADERS, stream, &headers("/wait"));
        bytes.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
        bytes
    });
    let seen = server.attack(pairs).await;
    assert!(seen.ended, "the connection is closed");
    assert!(seen.sent < 100_000 * 60, "before all is sent");
    assert!(server.calls() <= 300, "{} calls were begun", server.calls());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_15_continuation_flood() {
    let server = Server::start(Some(files("one")), LIMITS).await;
    let first = frame(1, END_STREAM, 1, &headers("/"));
    // Never END_HEADERS: an endless list of headers.
    let mut header = vec![0x00, 1, b'x', 0x7F, 0x80, 0x07];
    header.resize(1_000, b'a');
    let more = std::iter::repeat_with(|| frame(9, 0, 1, &header)).take(100_000);
    let seen = server.attack(std::iter::once(first).chain(more)).await;
    assert!(seen.ended);
    assert!(seen.sent < 10_000_000, "{} bytes were taken", seen.sent);
    assert_eq!(server.calls(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_15_frames_that_cost_nothing() {
    let server = Server::start(Some(files("one")), LIMITS).await;
    for (what, kind, payload) in [
        ("ping", 6, &[0_u8; 8][..]),
        ("settings", 4, &[]),
        ("priority", 2, &[0, 0, 0, 3, 16]),
    ] {
        let stream = if kind == 2 { 1 } else { 0 };
        let flood = std::iter::repeat_with(|| frame(kind, 0, stream, payload)).take(200_000);
        let seen = server.attack(flood).await;
        assert!(seen.ended, "{what}");
        // Either count may be the first to be exceeded, the library's or ours; both say the same.
        assert!(
            seen.goaway().iter().all(|code| *code == 0x0B),
            "{what}: {:?}",
            seen.goaway()
        );
    }
    // Others are served meanwhile and after.
    let calm = server
        .attack(
            [
                frame(1, END_STREAM | END_HEADERS, 1, &headers("/")),
                frame(7, 0, 0, &[0; 8]),
            ]
            .into_iter(),
        )
        .await;
    assert!(calm.frames.iter().any(|(kind, _)| *kind == 1), "an answer");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_15_many_streams_at_once() {
    let server = Server::start(Some(files("one")), LIMITS).await;
    let mut stream = server.connect(&[b"h2"]).await;
    let mut bytes = preface();
    for number in 0..150_u32 {
        bytes.extend(frame(
            1,
            END_STREAM | END_HEADERS,
            number * 2 + 1,
            &headers("/wait"),
        ));
    }
    stream.write_all(&bytes).await.expect("sent");
    let (mut refused, mut all, mut buffer) = (0, Vec::new(), [0; 4_096]);
    while refused < 50 {
        let count = stream.read(&mut buffer).await.expect("readable");
        assert_ne!(count, 0, "it stays open");
        all.extend_from_slice(&buffer[..count]);
        let resets = frames(&all).into_iter().filter(|(kind, _)| *kind == 3);
        let codes: Vec<u8> = resets.map(|(_, payload)| payload[3]).collect();
        assert!(
            codes.iter().all(|code| *code == 7),
            "REFUSED_STREAM: {codes:?}"
        );
        refused = codes.len();
    }
    // Those that were let in begin when their tasks are run.
    let all_in = async {
        while server.calls() < 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all_in)
        .await
        .expect("a hundred calls");
    assert_eq!(server.calls(), 100);
    server.go_on.notify_waiters();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_15_a_long_list_of_headers_reaches_no_handler() {
    let server = Server::start(Some(files("one")), LIMITS).await;
    let mut block = headers("/");
    for _ in 0..30 {
        block.extend([0x00, 1, b'x', 0x7F, 0xE9, 0x06]);
        block.resize(block.len() + 1_000, b'a');
    }
    let (head, rest) = block.split_at(16_000);
    let parts = [
        frame(1, END_STREAM, 1, head),
        frame(9, END_HEADERS, 1, rest),
        frame(7, 0, 0, &[0; 8]),
    ];
    let seen = server.attack(parts.into_iter()).await;
    assert!(seen.ended);
    assert_eq!(server.calls(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_for_new_connections() {
    let server = Server::start(Some(files("one")), LIMITS).await;
    let shown = |stream: &TlsStream<TcpStream>| {
        let shown = stream
            .get_ref()
            .1
            .peer_certificates()
            .expect("a certificate");
        shown[0].clone().into_owned()
    };
    let certificate =
        |name| CertificateDer::from_pem_file(files(name).certificate).expect("a certificate");
    let mut old = server.connect(&[b"http/1.1"]).await;
    assert_eq!(shown(&old), certificate("one"));
    let tls = server.tls.clone().expect("TLS");
    tls.replace(&Tls::load(&files("two")).expect("a certificate"));
    assert_eq!(
        shown(&server.connect(&[b"http/1.1"]).await),
        certificate("two")
    );
    old.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = [0; 12];
    old.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let limits = ServerLimits {
        head_timeout: Duration::from_millis(50),
        ..LIMITS
    };
    let server = Server::start(Some(files("one")), limits).await;
    for bytes in [
        &b""[..],
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        &[0x16, 3, 1, 2],
    ] {
        let mut stream = TcpStream::connect(server.address).await.expect("connects");
        stream.write_all(bytes).await.expect("sent");
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
        let _reset = ended.await.expect("the connection ends");
    }
    assert_eq!(server.calls(), 0);
    server.stop().await;
}

#[test]
fn files_that_are_none_are_named() {
    let good = files("one");
    let key_for_certificate = TlsFiles {
        certificate: good.key.clone(),
        ..good.clone()
    };
    let certificate_for_key = TlsFiles {
        key: good.certificate.clone(),
        ..good.clone()
    };
    let foreign = TlsFiles {
        key: files("two").key,
        ..good.clone()
    };
    let missing = TlsFiles {
        key: PathBuf::from("/nowhere/key.pem"),
        ..good
    };
    for (files, named) in [
        (key_for_certificate, "one.key.pem"),
        (certificate_for_key, "one.cert.pem"),
        (foreign, "two.key.pem"),
        (missing, "/nowhere/key.pem"),
    ] {
        let error = Tls::load(&files).err().expect("refused").to_string();
        assert!(error.contains(named), "{error}");
        assert!(!error.contains("BEGIN"), "{error}");
    }
}
