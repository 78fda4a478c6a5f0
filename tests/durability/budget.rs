//! Budgets across kills: what a key has spent after a restart is what the records say, whatever was reserved when it died.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::audit::Auditor;
use crate::support::random::Random;
use crate::support::site::{MASTER, Site};
use crate::support::stub::{Stub, script};

const LIVES: u64 = 6;

/// Status and body of a request; status 0 when the gateway died first.
fn ask(port: u16, key: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let exchange = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(head.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let Ok(answer) = exchange() else {
        return (0, Value::Null);
    };
    let status = answer.get(9..12).and_then(|text| text.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |parts| parts.1);
    (
        status.unwrap_or(0),
        serde_json::from_str(body).unwrap_or_default(),
    )
}

fn call(port: u16, key: &str, marker: u64, script: &str) -> u16 {
    let text = format!("marker-{marker} {script}");
    let body = json!({ "model": "g0", "max_tokens": 8, "messages": [{ "role": "user", "content": text }] });
    ask(port, key, "POST", "/v1/chat/completions", &body).0
}

/// What the key has spent by the gateway, and by the rows of the ledger, in micro-USD.
fn spent(site: &Site, key: &str) -> (i64, i64) {
    let (status, info) = ask(site.port, key, "GET", "/key/info", &Value::Null);
    assert_eq!(status, 200, "{info}");
    let id = info["key"].as_str().unwrap().to_owned();
    let by_gateway = info["info"]["spend"].as_f64().unwrap() * 1e6;
    let rows = Auditor::new(&site.data).reader().spend().unwrap();
    let of_key = rows.iter().filter(|(_, row)| row.key == id);
    let by_rows = of_key.filter_map(|(_, row)| row.cost_micro_usd).sum();
    (by_gateway.round() as i64, by_rows)
}

#[test]
fn bud_03_budgets_after_a_kill_are_those_of_the_records() {
    let stub = Stub::start();
    let site = Site::new(&stub, json!({ "limits": { "min_free_disk_mb": 1 } }));
    let server = site.start();
    let new = json!({ "max_budget": 0.02, "max_parallel_requests": 5 });
    let (status, made) = ask(site.port, MASTER, "POST", "/key/generate", &new);
    assert_eq!(status, 200, "{made}");
    let key = made["key"].as_str().unwrap().to_owned();
    // Between dispatch and settle: the provider has it and does not answer.
    assert_eq!(call(site.port, &key, 1, ""), 200);
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| call(site.port, &key, 2, script::HANG));
        let deadline = Instant::now() + Duration::from_secs(20);
        while stub.count() < 2 {
            assert!(Instant::now() < deadline, "the provider never got it");
            std::thread::sleep(Duration::from_millis(2));
        }
        server.kill();
        assert_eq!(hanging.join().unwrap(), 0);
    });
    let mut server = site.start();
    let (by_gateway, by_rows) = spent(&site, &key);
    assert_eq!(by_gateway, by_rows);
    let rows = Auditor::new(&site.data).reader().spend().unwrap();
    let unknown = rows
        .iter()
        .find(|(_, row)| row.estimated)
        .expect("the call that hung");
    let charged = unknown.1.cost_micro_usd.expect("charged its reservation");
    assert!(charged > 0 && by_rows > charged, "{charged} of {by_rows}");
    // At any moment, again and again: between reserve and dispatch, and between dispatch and settle.
    let mut random = Random::new("budget");
    let marker = AtomicU64::new(100);
    for _ in 0..LIVES {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::SeqCst) {
                        let marker = marker.fetch_add(1, Ordering::SeqCst);
                        let status = call(site.port, &key, marker, "");
                        assert!(matches!(status, 0 | 200 | 422), "{status}");
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(30 + random.below(150)));
            stop.store(true, Ordering::SeqCst);
            server.kill();
        });
        server = site.start();
        let (by_gateway, by_rows) = spent(&site, &key);
        assert_eq!(by_gateway, by_rows);
        assert!(by_rows <= 20_000, "{by_rows} of a budget of 20000");
        // No slot is held by a call that died.
        let (_, info) = ask(site.port, &key, "GET", "/key/info", &Value::Null);
        assert_eq!(info["info"]["blocked"], false);
    }
    // What reached the provider is on the bill, each once at most.
    assert!(stub.seen().values().all(|times| *times == 1));
    let rows = Auditor::new(&site.data).reader().spend().unwrap();
    let charged = rows
        .iter()
        .filter(|(_, row)| row.cost_micro_usd.is_some_and(|cost| cost > 0));
    assert!(charged.count() >= stub.seen().len());
    server.terminate();
    server.wait();
    Auditor::new(&site.data).finally();
}
