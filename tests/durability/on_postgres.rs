//! The binaries with their records in PostgreSQL: the flows of the other stores, a second instance, a server that goes away.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::pg_server;
use crate::support::client::{self, Call};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::site::{MASTER, Site};
use crate::support::stub::Stub;
use crate::support::{binaries, site};

/// A request of the management API, or a call with another key than the master's.
fn ask(port: u16, method: &str, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).unwrap();
    (status, serde_json::from_slice(&text).unwrap_or(Value::Null))
}

fn chat(port: u16, key: &str, marker: u64) -> (u16, Value) {
    let body = json!({ "model": "g0", "messages": [{ "role": "user", "content": format!("marker-{marker} ") }] });
    ask(port, "POST", "/v1/chat/completions", key, &body)
}

/// A ledger in a database of its own server.
struct Place {
    server: pg_server::Server,
    url: String,
    site: Site,
    stub: Stub,
}

impl Place {
    fn new(settings: Value) -> Option<Place> {
        let server = pg_server::Server::start(&[])?;
        let url = server.database();
        let stub = Stub::start();
        let site = Site::on(&stub, settings, &url);
        Some(Place {
            server,
            url,
            site,
            stub,
        })
    }

    fn sql(&self, statement: &str) -> Vec<String> {
        pg_server::sql(&pg_server::programs().unwrap(), &self.url, statement)
    }

    /// As a lease passes that nobody renews: without waiting for it.
    fn forget_the_dead(&self) {
        self.sql("UPDATE sealgate_boots SET lease_until = 'epoch' WHERE closed_at IS NULL");
        let old = "SELECT clock_timestamp() > pg_postmaster_start_time() + interval '16 s'";
        eventually("the server is old enough", || {
            (self.sql(old) == ["t"]).then_some(())
        });
    }

    fn capsule(&self, arguments: &[&str]) -> Output {
        binaries::capsule(arguments)
    }

    fn verifies(&self) {
        let data = self.site.data.to_str().unwrap();
        let checkpoint = self.site.data.join("checkpoint");
        let done = self.capsule(&[
            "verify",
            "--signatures",
            "--pg",
            &self.url,
            "--data-dir",
            data,
            "--checkpoint",
            checkpoint.to_str().unwrap(),
        ]);
        assert!(
            done.status.success(),
            "{}{}",
            text(&done.stdout),
            text(&done.stderr)
        );
        let done = Command::new(binaries::sealgate())
            .args(["verify", "--data-dir", data])
            .env("DATABASE_URL", &self.url)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}{}",
            text(&done.stdout),
            text(&done.stderr)
        );
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn keys_calls_spend_and_blocks_survive_a_kill() {
    let Some(place) = Place::new(json!({})) else {
        return;
    };
    let port = place.site.port;
    let server = place.site.start();
    let (status, made) = ask(
        port,
        "POST",
        "/key/generate",
        MASTER,
        &json!({ "models": ["g0"], "max_budget": 5, "key_alias": "web", "metadata": { "app": "shop" } }),
    );
    assert_eq!(status, 200, "{made}");
    let key = made["key"].as_str().unwrap().to_owned();
    assert_eq!(chat(port, &key, 1).0, 200);
    assert_eq!(chat(port, "sk-nobody-has-this-one-00000000", 2).0, 401);
    let rows = eventually("the row of spend", || {
        let (status, rows) = ask(
            port,
            "GET",
            &format!("/spend/logs?api_key={key}"),
            MASTER,
            &Value::Null,
        );
        assert_eq!(status, 200, "{rows}");
        (rows.as_array().unwrap().len() == 1).then_some(rows)
    });
    assert!(rows[0]["spend"].as_f64().unwrap() > 0.0, "{rows}");
    let shown = place.sql(
        r#"SELECT k.key_alias, k.metadata ->> 'app', s.spend > 0, s.status FROM "LiteLLM_SpendLogs" s
           JOIN "LiteLLM_VerificationToken" k ON k.token = s.api_key"#,
    );
    assert_eq!(shown, ["web|shop|t|success"]);
    let (status, answer) = ask(port, "POST", "/key/block", MASTER, &json!({ "key": key }));
    assert_eq!(status, 200, "{answer}");
    assert!(chat(port, &key, 3).0 >= 400);
    assert!(!place.stub.seen().contains_key(&3));
    let trail = place.sql(r#"SELECT action FROM "LiteLLM_AuditLog" ORDER BY updated_at"#);
    assert_eq!(trail, ["created", "blocked"]);
    server.kill();
    place.forget_the_dead();
    let mut server = place.site.start();
    assert!(chat(port, &key, 4).0 >= 400, "blocked stays blocked");
    assert_eq!(chat(port, MASTER, 5).0, 200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
    place.verifies();
    // No text that an operator sees holds the URL's password, and the reference's tables hold what the reference reads.
    assert_eq!(
        place.sql("SELECT count(*) > 6 FROM quantumpipes_capsules WHERE tenant_id IS NULL"),
        ["t"]
    );
    let export = place.capsule(&[
        "export",
        "--pg",
        &place.url,
        "--data-dir",
        place.site.data.to_str().unwrap(),
        "--jsonl",
    ]);
    assert!(export.status.success(), "{}", text(&export.stderr));
    assert!(
        text(&export.stdout).lines().count() > 6,
        "{}",
        text(&export.stderr)
    );
}

#[test]
fn a_second_instance_without_redis_says_why_it_does_not_start() {
    let Some(place) = Place::new(json!({})) else {
        return;
    };
    let mut first = place.site.start();
    let other = site::free_port();
    let mut second = Server::spawn(place.site.serve_on(binaries::sealgate(), other));
    let ended = second.wait();
    assert_ne!(ended.code(), Some(0));
    assert!(
        second.said().contains("another instance"),
        "{}",
        second.said()
    );
    assert!(second.said().contains("Redis"), "{}", second.said());
    assert_eq!(
        chat(place.site.port, MASTER, 1).0,
        200,
        "the first one is not disturbed"
    );
    first.terminate();
    assert_eq!(first.wait().code(), Some(0));
    // Keys that belong to records elsewhere start no second ledger beside them.
    let mut command = place.site.serve(binaries::sealgate());
    command.arg("--init-if-missing").env_remove("DATABASE_URL");
    let mut lost = Server::spawn(command);
    assert_ne!(lost.wait().code(), Some(0));
    assert!(lost.said().contains("DATABASE_URL"), "{}", lost.said());
    assert!(!place.site.database().exists());
}

#[test]
fn calls_are_refused_while_the_database_is_away_and_open_ones_settle_afterwards() {
    let Some(place) = Place::new(json!({})) else {
        return;
    };
    let port = place.site.port;
    let mut server = place.site.start();
    let held = Call {
        marker: 1,
        group: "g0".to_owned(),
        stream: false,
        script: crate::support::stub::script::HOLD,
    };
    let caller = std::thread::spawn(move || client::send(port, &held, Duration::from_secs(120)));
    eventually("the call is at the provider", || {
        place.stub.seen().contains_key(&1).then_some(())
    });
    place.server.stop("immediate");
    for marker in 2..5 {
        let (status, answer) = chat(port, MASTER, marker);
        assert_eq!(
            (status, &answer["error"]["sealgate_code"]),
            (503, &json!("audit_unavailable")),
            "{answer}"
        );
        assert!(
            !place.stub.seen().contains_key(&marker),
            "nothing went to the provider"
        );
    }
    let (status, _) = ask(port, "GET", "/health/readiness", MASTER, &Value::Null);
    assert_eq!(status, 503);
    place.stub.release();
    assert_eq!(
        caller.join().unwrap().status,
        200,
        "the answer does not wait for its record"
    );
    place.server.start_again();
    eventually("calls are admitted again", || {
        (chat(port, MASTER, 9).0 == 200).then_some(())
    });
    eventually("the open call is sealed", || {
        let sealed = "SELECT count(*) FROM quantumpipes_capsules WHERE data LIKE '%marker-1 %' AND data LIKE '%success%'";
        (place.sql(sealed) == ["1"]).then_some(())
    });
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
    place.verifies();
    assert_eq!(place.sql("SELECT count(*) FROM sealgate_intents"), ["0"]);
}

#[test]
fn the_key_is_rotated_and_a_wrong_url_says_nothing_of_its_password() {
    let Some(place) = Place::new(json!({})) else {
        return;
    };
    let rotate = |url: &str| {
        Command::new(std::path::Path::new(binaries::sealgate()).with_file_name("capsule"))
            .args(["keys", "rotate", "--data-dir"])
            .arg(&place.site.data)
            .env("DATABASE_URL", url)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let wrong = rotate("postgresql://u:canary-3d81@127.0.0.1:1/db");
    assert!(!wrong.status.success());
    assert!(!format!("{}{}", text(&wrong.stdout), text(&wrong.stderr)).contains("canary"));
    let done = rotate(&place.url);
    assert!(
        done.status.success(),
        "{}{}",
        text(&done.stdout),
        text(&done.stderr)
    );
    let mut server = place.site.start();
    assert_eq!(chat(place.site.port, MASTER, 1).0, 200);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
    place.verifies();
}
