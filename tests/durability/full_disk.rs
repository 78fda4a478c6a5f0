//! A full disk: no new call, no provider called, running calls settled when there is space again, no restart.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::full_logs::full;
use crate::support::audit::Auditor;
use crate::support::client::{self, Call, Got};
use crate::support::disk::SmallDisk;
use crate::support::server::Server;
use crate::support::site::Site;
use crate::support::stub::{Stub, script};
use crate::support::{binaries, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

fn call(marker: u64, script: &'static str) -> Call {
    Call {
        marker,
        group: format!("g{}", marker % 8),
        stream: marker % 2 == 1,
        script,
    }
}

fn refused(got: &Got) {
    assert_eq!(got.status, 503, "{got:?}");
    assert!(got.body.contains("audit_unavailable"), "{got:?}");
}

/// `reserve` megabytes are kept for calls that run; `fill` makes the disk as full as the case wants it; `settles` says
/// whether calls that run can be sealed then, or only when there is space again.
fn full_disk(reserve: u32, fill: impl Fn(&SmallDisk), settles: bool, logs: fn() -> Stdio) {
    let Some(disk) = SmallDisk::mount(48) else {
        return;
    };
    let stub = Stub::start();
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "limits": { "min_free_disk_mb": reserve, "drain_timeout": 5 } });
    let site = Site::at(folder, disk.path().join("data"), &stub, settings);
    let mut command = site.serve(binaries::sealgate());
    command.stderr(logs());
    let mut server = Server::spawn(command);
    server.wait_until_connected(site.port);
    let send = |call: Call| client::send(site.port, &call, PATIENCE);
    for marker in 0..6 {
        assert_eq!(send(call(marker, "")).status, 200);
    }

    // Calls that are under way when the disk fills up.
    let held = std::thread::scope(|scope| {
        let held: Vec<_> = (10..14)
            .map(|m| scope.spawn(move || send(call(m, script::HOLD))))
            .collect();
        eventually("the held calls reach the provider", || {
            (stub.count() == 10).then_some(())
        });
        fill(&disk);
        let refusal = eventually("the full disk is noticed", || {
            let before = stub.count();
            let got = send(call(1_000_000 + u64::from(before), ""));
            // Until the next look at the disk a call may still find room; then it must be a sealed one.
            (got.status == 503).then_some(got)
        });
        refused(&refusal);
        let before = stub.count();
        for marker in 20..40 {
            refused(&send(call(marker, "")));
        }
        assert_eq!(
            stub.count(),
            before,
            "a provider was called though nothing could be recorded"
        );
        stub.release();
        let held: Vec<Got> = held.into_iter().map(|call| call.join().unwrap()).collect();
        for marker in 40..50 {
            refused(&send(call(marker, "")));
        }
        assert_eq!(
            stub.count(),
            before,
            "a provider was called though nothing could be recorded"
        );
        held
    });
    let mut auditor = Auditor::new(&site.data);
    for got in &held {
        assert!(
            got.status == 200 && got.complete,
            "a call under way is answered: {got:?}"
        );
        let id = got.capsule.clone().unwrap();
        let mut sealed = || {
            auditor.read();
            auditor.facts.iter().any(|fact| fact.id == id)
        };
        if settles {
            eventually("settled from the reserve", || sealed().then_some(()));
        } else {
            assert!(!sealed(), "this disk was not full: {got:?} is sealed");
        }
    }

    disk.clear();
    let mut marker = 100;
    eventually("calls are admitted again", || {
        marker += 1;
        (send(call(marker, "")).status == 200).then_some(())
    });
    for marker in 200..206 {
        let got = send(call(marker, ""));
        assert!(got.status == 200 && got.complete, "{got:?}");
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());

    auditor.finally();
    let sealed = |id: &Option<String>| {
        let fact = auditor
            .facts
            .iter()
            .find(|fact| Some(&fact.id) == id.as_ref());
        fact.map(|fact| fact.status.clone())
    };
    for got in &held {
        assert_eq!(sealed(&got.capsule).as_deref(), Some("success"), "{got:?}");
    }
    let settled = auditor
        .facts
        .iter()
        .filter(|fact| fact.intent.is_some() && fact.marker.is_some());
    assert_eq!(
        settled.count() as u32,
        stub.count(),
        "records and requests that the provider saw"
    );
    let boots = auditor
        .facts
        .iter()
        .filter(|fact| fact.event == "boot")
        .count();
    assert_eq!(boots, 1, "it was never started again");
}

#[test]
fn dur_05_no_byte_left() {
    full_disk(1, SmallDisk::fill, false, Stdio::piped);
}

/// The errors that a full disk brings are themselves written to a full disk.
#[test]
fn dur_05_no_byte_left_for_logs_either() {
    full_disk(1, SmallDisk::fill, false, full);
}

#[test]
fn dur_05_less_than_the_reserve_left() {
    full_disk(16, |disk| disk.fill_but(8 << 20), true, Stdio::piped);
}
