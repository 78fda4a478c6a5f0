//! HTTP family: framing, limits, early answers. Raw connections, because no proper client sends these.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{MASTER, TestApp, prompt};

const PATH: &str = "/v1/chat/completions";

/// A request head for `PATH` with the master key; `more` are complete header lines.
fn head(more: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {MASTER}\r\n{more}\r\n")
}

fn whole(body: &str) -> String {
    format!(
        "{}{body}",
        head(&format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        ))
    )
}

fn hello() -> String {
    prompt("echo", "hello", json!({})).to_string()
}

/// The connection is closed after one answer of `status`, and the provider saw at most `most` calls.
async fn refused_and_closed(app: &TestApp, bytes: &str, status: u16) {
    let mut raw = app.raw().await;
    raw.send(bytes).await;
    let answer = raw.closed().await;
    assert_eq!(raw.statuses(), [status], "for {bytes:?} came {answer:?}");
    assert!(
        !answer.contains("invalid_json"),
        "refused for its framing, not for its body: {answer}"
    );
    let lower = answer.to_ascii_lowercase();
    assert!(
        lower.contains("connection: close"),
        "the answer says that it closes: {answer}"
    );
    assert_eq!(
        app.sandbox.requests().len(),
        0,
        "nothing reached the provider for {bytes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_01_length_and_chunked_together() {
    let app = TestApp::start().await;
    let hidden = whole(&hello());
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
    ] {
        refused_and_closed(&app, &format!("{}0\r\n\r\n{hidden}", head(fields)), 400).await;
    }
    // Far down in a long head, and in the second of two requests that come in one piece.
    let padding: String = (0..20)
        .map(|n| format!("x-padding-{n}: {}\r\n", "p".repeat(1000)))
        .collect();
    let far = format!("transfer-encoding: chunked\r\n{padding}content-length: 5\r\n");
    refused_and_closed(&app, &format!("{}0\r\n\r\n{hidden}", head(&far)), 400).await;
    let second = head("transfer-encoding: chunked\r\ncontent-length: 5\r\n");
    let mut raw = app.raw().await;
    raw.send(format!(
        "GET /health/liveliness HTTP/1.1\r\nhost: gateway\r\n\r\n{second}0\r\n\r\n{hidden}"
    ))
    .await;
    raw.closed().await;
    assert_eq!(raw.statuses(), [200, 400], "{}", raw.text());
    assert!(
        !raw.text().contains("invalid_json"),
        "refused for its framing, not for its body: {}",
        raw.text()
    );
    assert_eq!(app.sandbox.requests().len(), 0);
    let two_lengths = head("content-length: 5\r\ncontent-length: 6\r\n");
    refused_and_closed(&app, &format!("{two_lengths}hello!{hidden}"), 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_03_other_transfer_codings() {
    let app = TestApp::start().await;
    for coding in [
        "xchunked",
        "chunked, identity",
        "\x0bchunked",
        "chunked, chunked",
        "gzip, chunked",
        "identity",
    ] {
        refused_and_closed(
            &app,
            &format!(
                "{}0\r\n\r\n",
                head(&format!("transfer-encoding: {coding}\r\n"))
            ),
            400,
        )
        .await;
    }
    refused_and_closed(
        &app,
        &format!("{}0\r\n\r\n", head("transfer-encoding : chunked\r\n")),
        400,
    )
    .await;
    let old = head("transfer-encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
    refused_and_closed(&app, &format!("{old}0\r\n\r\n"), 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_05_upgrade_does_not_smuggle_a_second_request() {
    let app = TestApp::start().await;
    let first =
        "GET /v1/models HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n";
    let second = hello();
    let second = format!(
        "POST {PATH} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{second}",
        second.len()
    );
    let mut raw = app.raw().await;
    raw.send(format!("{first}{second}")).await;
    raw.closed().await;
    assert_eq!(
        raw.statuses(),
        [401, 401],
        "each request is authenticated on its own: {}",
        raw.text()
    );
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_07_an_early_answer_does_not_pollute_the_next_request() {
    let app = TestApp::start().await;
    let inner = whole(&hello());
    let mut raw = app.raw().await;
    // No key: answered 401 at once, while a body that looks like a request is still being sent.
    raw.send(format!(
        "POST {PATH} HTTP/1.1\r\nhost: gateway\r\ncontent-length: {}\r\n\r\n",
        inner.len()
    ))
    .await;
    assert!(raw.until(|text| text.contains("HTTP/1.1 401")).await);
    raw.send(&inner).await;
    raw.send("GET /health/liveliness HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n")
        .await;
    raw.closed().await;
    let statuses = raw.statuses();
    assert!(
        statuses == [401] || statuses == [401, 200],
        "closed or drained, never answered as a call: {statuses:?}"
    );
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_09_without_a_key_the_body_is_not_read() {
    let app = TestApp::start().await;
    for fields in [
        "content-length: 4000000000\r\n",
        "transfer-encoding: chunked\r\n",
    ] {
        let mut raw = app.raw().await;
        let began = Instant::now();
        raw.send(format!(
            "POST {PATH} HTTP/1.1\r\nhost: gateway\r\n{fields}\r\n"
        ))
        .await;
        assert!(
            raw.until(|text| text.contains("\"unauthenticated\"")).await,
            "{}",
            raw.text()
        );
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "answered before any body byte"
        );
        assert_eq!(raw.statuses(), [401]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_09_nobody_is_told_to_continue_without_a_key() {
    let app = TestApp::start().await;
    let mut raw = app.raw().await;
    raw.send(format!("POST {PATH} HTTP/1.1\r\nhost: gateway\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n")).await;
    assert!(raw.until(|text| text.contains("\"unauthenticated\"")).await);
    assert_eq!(raw.statuses(), [401], "no 100 before the 401");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_11_heads_and_targets_have_limits() {
    let app = TestApp::start().await;
    let many: String = (0..250).map(|n| format!("x-{n}: v\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(1 << 20));
    for (bytes, status) in [
        (
            format!("GET /v1/models HTTP/1.1\r\nhost: gateway\r\n{many}\r\n"),
            431,
        ),
        (
            format!("GET /v1/models HTTP/1.1\r\nhost: gateway\r\n{long}\r\n"),
            431,
        ),
        (
            format!(
                "GET /{} HTTP/1.1\r\nhost: gateway\r\n\r\n",
                "a".repeat(100 << 10)
            ),
            414,
        ),
    ] {
        let mut raw = app.raw().await;
        raw.send(&bytes).await;
        raw.closed().await;
        let statuses = raw.statuses();
        // A head above the buffer cannot be told apart from a long target, so the target may count as head.
        assert!(
            statuses == [status] || (status == 414 && statuses == [431]),
            "{statuses:?} instead of {status}"
        );
    }
    app.alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_13_a_slow_body_meets_its_deadline() {
    let app = TestApp::with(|config| config["sealgate"]["limits"]["body_timeout"] = json!(1)).await;
    let mut raw = app.raw().await;
    raw.send(head("content-length: 1000\r\n")).await;
    raw.send("{").await;
    let began = Instant::now();
    let answer = raw.closed().await;
    assert!(answer.contains("\"body_timeout\""), "{answer}");
    assert_eq!(raw.statuses(), [408]);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(app.sandbox.requests().len(), 0);
    app.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_13_a_dripping_head_meets_its_deadline() {
    let app =
        TestApp::with(|config| config["sealgate"]["limits"]["header_timeout"] = json!(1)).await;
    let mut raw = app.raw().await;
    raw.send("GET /v1/models HTTP/1.1\r\nhost: gateway\r\n")
        .await;
    let began = Instant::now();
    while raw.send("x-drip: y\r\n").await {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "each line must not buy more time"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    app.alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_have_a_limit() {
    let app =
        TestApp::with(|config| config["sealgate"]["limits"]["max_connections"] = json!(2)).await;
    let (first, second) = (app.raw().await, app.raw().await);
    let mut third = app.raw().await;
    assert_eq!(third.closed().await, "");
    drop((first, second, third));
    // Their places come back as soon as the gateway sees the ends.
    crate::support::soon("a place", async {
        loop {
            let mut raw = app.raw().await;
            raw.send(
                "GET /health/liveliness HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n",
            )
            .await;
            raw.closed().await;
            if raw.statuses() == [200] {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_15_http_2_is_not_spoken() {
    let app = TestApp::start().await;
    let mut raw = app.raw().await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        .await;
    let answer = raw.closed().await;
    assert!(
        !answer.contains("HTTP/1.1 200") && !answer.contains("HTTP/2"),
        "{answer}"
    );
    app.alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_17_hosts_that_two_readers_could_see_differently() {
    let app = TestApp::start().await;
    let body = hello();
    let tail = format!(
        "authorization: Bearer {MASTER}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    for start in [
        format!("POST {PATH} HTTP/1.1\r\nhost: a\r\nhost: b\r\n"),
        format!("POST {PATH} HTTP/1.1\r\nhost: a\r\nhost: a\r\n"),
        format!("POST {PATH} HTTP/1.1\r\nhost:\r\n"),
        format!("POST {PATH} HTTP/1.1\r\n"),
        format!("POST http://other{PATH} HTTP/1.1\r\nhost: gateway\r\n"),
        format!("POST {PATH} HTTP/1.1\r\nhost: localhost:4000/#@attacker.example\r\n"),
        format!("POST {PATH} HTTP/1.1\r\nhost: a b\r\n"),
    ] {
        refused_and_closed(&app, &format!("{start}{tail}"), 400).await;
    }
    let mut raw = app.raw().await;
    raw.send(format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\nhost: b\r\n{tail}"
    ))
    .await;
    let answer = raw.closed().await;
    assert!(
        answer.contains("\"bad_framing\"") && answer.contains("\"type\":\"invalid_request_error\""),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_19_overrides_of_method_and_path_are_ignored() {
    let app = TestApp::start().await;
    for (name, value) in [
        ("x-http-method-override", "POST"),
        ("x-method-override", "POST"),
        ("x-original-url", PATH),
        ("x-rewrite-url", PATH),
        ("x-forwarded-prefix", "/health"),
    ] {
        let answer = app.send("GET", "/v1/models", "", &[(name, value)]).await;
        assert_eq!(
            (answer.status, answer.json()["object"].as_str()),
            (200, Some("list")),
            "{name}"
        );
    }
    for path in [
        "/v1//models",
        "/v1/./models",
        "/v1/%6dodels",
        "/v1/models;x",
        "//v1/models",
        "/V1/models",
        "/v1/chat/../models",
    ] {
        let answer = app.send("GET", path, "", &[]).await;
        assert_eq!(answer.status, 404, "one path has one spelling: {path}");
    }
    assert_eq!(app.sandbox.requests().len(), 0);
}
