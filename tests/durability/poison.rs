//! A settlement that the store refuses hurts only itself.
//!
//! No request makes such a record: sizes are capped and ids are our own. So another program spoils the file: it takes the
//! place in the table of spend that the next record's row needs.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::audit::Auditor;
use crate::support::client::{self, Call, Got};
use crate::support::eventually;
use crate::support::site::Site;
use crate::support::stub::{Stub, script};

const SPOIL: &str = "INSERT INTO sealgate_spend (sequence, at, status, call_type, model, deployment, provider, key, team, \
                     user, tokens_in, tokens_out, tokens_cached, tokens_reasoning, duration_ms, cost_source, estimated) \
                     SELECT max(sequence) + 1, 0, 4, '', '', '', '', '', '', '', 0, 0, 0, 0, 0, 0, 1 FROM capsules";

const CALLS: u64 = 8;

#[test]
fn a_record_that_the_store_refuses_hurts_only_itself() {
    let tool = Command::new("sqlite3").arg("-version").output();
    if !tool.is_ok_and(|done| done.status.success()) {
        assert!(
            std::env::var_os("SEALGATE_REQUIRE_PEERS").is_none(),
            "sqlite3 is not installed"
        );
        eprintln!("not run: sqlite3 is not installed");
        return;
    }
    let stub = Stub::start();
    let site = Site::new(&stub, json!({ "limits": { "min_free_disk_mb": 1 } }));
    let mut server = site.start();
    let send = |marker: u64, script: &'static str| {
        let call = Call {
            marker,
            group: format!("g{marker}"),
            stream: marker % 2 == 1,
            script,
        };
        client::send(site.port, &call, Duration::from_secs(30))
    };
    let got: Vec<Got> = std::thread::scope(|scope| {
        let held: Vec<_> = (0..CALLS)
            .map(|marker| scope.spawn(move || send(marker, script::HOLD)))
            .collect();
        eventually("the calls reach the provider", || {
            (u64::from(stub.count()) == CALLS).then_some(())
        });
        let done = Command::new("sqlite3")
            .args(["-cmd", ".timeout 5000"])
            .arg(site.database())
            .arg(SPOIL)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        // All of them are settled at the same time, in one batch or a few.
        stub.release();
        held.into_iter().map(|call| call.join().unwrap()).collect()
    });
    for got in &got {
        assert!(got.status == 200 && got.complete, "{got:?}");
    }
    let after = send(1, "");
    assert!(after.complete, "calls go on: {after:?}");
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());

    let mut auditor = Auditor::new(&site.data);
    auditor.finally();
    let calls = auditor.facts.iter().filter(|fact| fact.intent.is_some());
    let (spoilt, whole): (Vec<_>, Vec<_>) = calls.partition(|fact| fact.event == "quarantined");
    assert_eq!(spoilt.len(), 1, "{spoilt:?}");
    assert_eq!(spoilt[0].status, "unknown", "{spoilt:?}");
    assert!(
        got.iter()
            .any(|got| got.capsule.as_ref() == Some(&spoilt[0].id)),
        "the refused record keeps its place and its id: {spoilt:?}"
    );
    assert_eq!(
        whole.len() as u64,
        CALLS,
        "the neighbours and the call after"
    );
    assert!(
        whole.iter().all(|fact| fact.status == "success"),
        "{whole:?}"
    );
    // What was to be sealed is kept, under the digest that the record holds.
    let kept = auditor.reader().quarantine().unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(
        spoilt[0].environment["quarantined"].as_str(),
        Some(kept[0].digest.hex().as_str())
    );
}
