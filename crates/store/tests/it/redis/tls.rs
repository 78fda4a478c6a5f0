//! TLS to a real Redis, with certificates of the test's own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use store::redis::{Command, Link, RedisError, Settings};

use super::server::Server;

fn certificate(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../gateway/tests/data/tls")
        .join(name)
}

/// A server that speaks TLS on the port, with the certificate `one`.
fn server() -> (Server, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let path = |name: &str| certificate(name).display().to_string();
    let server = Server::start(&[
        "--bind",
        "127.0.0.1",
        "127.0.0.2",
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("one.cert.pem"),
        "--tls-key-file",
        &path("one.key.pem"),
        "--tls-ca-cert-file",
        &path("one.cert.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    (server, port)
}

fn link(port: u16, host: &str, change: impl FnOnce(Settings) -> Settings) -> Link {
    let settings = Settings {
        host: host.to_owned(),
        port,
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(20),
        ..Settings::default()
    };
    Link::start(Arc::new(change(settings)), Duration::from_secs(40))
}

fn trusting(name: &'static str) -> impl FnOnce(Settings) -> Settings {
    move |settings| settings.with_tls(Some(&certificate(name))).unwrap()
}

/// The reason why the first try to connect failed: whoever asks meanwhile gets it.
async fn refused(link: &Link) -> RedisError {
    match link.one(Command::new("PING")).await {
        Ok(reply) => panic!("answered: {reply:?}"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_the_trusted_certificate_is_spoken_to() {
    let (server, port) = server();
    for host in ["127.0.0.1", "localhost"] {
        let link = link(port, host, trusting("one.cert.pem"));
        link.connected(Duration::from_secs(30)).await.unwrap();
        // More than one record of TLS, both ways.
        let long = "x".repeat(100_000);
        let set = Command::new("SET").arg("k").arg(&long);
        link.one(set).await.unwrap();
        let got = link.one(Command::new("GET").arg("k")).await.unwrap();
        assert_eq!(got.text().as_deref(), Some(long.as_str()));
    }
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_or_name_is_not_spoken_to() {
    let (server, port) = server();
    let stranger = link(port, "127.0.0.1", trusting("two.cert.pem"));
    let public = link(port, "127.0.0.1", |settings| {
        settings.with_tls(None).unwrap()
    });
    // The certificate is for 127.0.0.1 and not for the address of the same machine beside it.
    let elsewhere = link(port, "127.0.0.2", trusting("one.cert.pem"));
    for link in [stranger, public, elsewhere] {
        let error = refused(&link).await.to_string();
        assert!(error.contains("cannot be reached"), "{error}");
        assert_eq!(link.seen().connection, 0);
    }
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_plain_do_not_mix() {
    let (server, port) = server();
    let plain = server.settings().port;
    let brief = |settings: Settings| Settings {
        connect_timeout: Duration::from_secs(2),
        ..settings
    };
    let ways = [
        // A plain server waits for the end of a line that never comes.
        link(plain, "127.0.0.1", |settings| {
            brief(trusting("one.cert.pem")(settings))
        }),
        link(port, "127.0.0.1", brief),
    ];
    for link in ways {
        refused(&link).await;
        assert_eq!(link.seen().connection, 0);
    }
}
