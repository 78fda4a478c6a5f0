//! The order of system calls of one call: the intent is written, the log is synced, and only then the first byte leaves
//! for the provider.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::client::{self, Call};
use crate::support::server::Server;
use crate::support::site::Site;
use crate::support::strace::{self, Event};
use crate::support::stub::Stub;

/// Bytes of a frame header in SQLite's write-ahead log; its second word is not 0 in the frame that commits.
const FRAME_HEADER: usize = 24;

/// Where in the trace the three steps are.
#[derive(Debug, PartialEq)]
struct Steps {
    written: usize,
    synced: usize,
    sent: usize,
}

/// Finds the steps, or says which one is missing or out of order. `intent` are bytes of the intent that nothing before it
/// holds.
fn check(trace: &[Event], intent: &[u8], upstream: u16) -> Result<Steps, String> {
    let log = |event: &&Event| event.target.ends_with("capsules.db-wal");
    let written = trace
        .iter()
        .filter(log)
        .find(|event| event.is_write() && event.contains(intent))
        .ok_or("the intent was never written to the log")?;
    let commits = |event: &&Event| {
        let size = event.data.get(4..8);
        event.data.len() == FRAME_HEADER && size.is_some_and(|size| size != [0; 4])
    };
    // The header of a frame stands before its page, so the frame that commits may be the intent's own.
    let at = trace.iter().position(|event| event == written).unwrap_or(0);
    let own = trace[..at]
        .iter()
        .rfind(|event| log(event) && event.is_write());
    let later = trace[at..].iter().filter(log).filter(|e| e.is_write());
    let commit = own
        .filter(commits)
        .map(|_| written)
        .or_else(|| {
            let mut later = later.skip_while(|event| !commits(event));
            later.next()?;
            later.next()
        })
        .ok_or("the frame that commits the intent was never written")?;
    let synced = trace
        .iter()
        .filter(log)
        .find(|event| event.is_sync() && !event.failed && event.begin > commit.end)
        .ok_or("the log was not synced after the intent's commit")?;
    let sent = trace
        .iter()
        .find(|event| event.goes_to(upstream))
        .ok_or("nothing was sent to the provider")?;
    if synced.end >= sent.begin {
        return Err(format!(
            "the first byte left at {}, before the sync ended at {}",
            sent.begin, synced.end
        ));
    }
    Ok(Steps {
        written: written.begin,
        synced: synced.end,
        sent: sent.begin,
    })
}

/// The trace with some of its calls changed.
fn doctored(trace: &[Event], change: impl Fn(&mut Event)) -> Vec<Event> {
    let mut trace = trace.to_vec();
    trace.iter_mut().for_each(change);
    trace.sort_by_key(|event| event.begin);
    trace
}

#[test]
fn written_and_synced_before_the_first_byte_leaves() {
    if !strace::available() {
        return;
    }
    for stream in [false, true] {
        let stub = Stub::start();
        let site = Site::new(&stub, json!({ "limits": { "min_free_disk_mb": 1 } }));
        let log = site.data.with_file_name("trace");
        let (mut tracer, id) = strace::start(&site, &log);
        let call = Call {
            marker: 1,
            group: "g5".into(),
            stream,
            script: "",
        };
        let got = client::send(site.port, &call, Duration::from_secs(30));
        assert!(got.complete, "{got:?}\n{}", tracer.said());
        Server::signal_to(id, Signal::TERM);
        assert!(tracer.wait().success(), "{}", tracer.said());
        let trace = strace::parse(&std::fs::read_to_string(&log).unwrap());

        // The intent's row holds the id of the call, long before a record does.
        let (id, port) = (got.capsule.unwrap(), stub.port);
        let intent = id.as_bytes();
        let steps = check(&trace, intent, port).unwrap();
        assert!(
            steps.written < steps.synced && steps.synced < steps.sent,
            "{steps:?}"
        );
        eprintln!(
            "order: written at {}, synced at {}, sent at {} of {} calls",
            steps.written,
            steps.synced,
            steps.sent,
            trace.len()
        );
        the_check_can_fail(&trace, &steps, intent, port);
    }
}

/// The same trace with one thing wrong at a time must not pass.
fn the_check_can_fail(trace: &[Event], steps: &Steps, intent: &[u8], port: u16) {
    let wrong = |why: &str, trace: &[Event], part: &str| {
        let error = check(trace, intent, port).expect_err(why);
        assert!(error.contains(part), "{why}: {error}");
    };
    let early = doctored(trace, |event| {
        if event.begin == steps.sent {
            (event.begin, event.end) = (steps.written + 1, steps.written + 1);
        }
    });
    wrong("sent before the sync", &early, "before the sync ended");
    let overlapping = doctored(trace, |event| {
        if event.end == steps.synced && event.is_sync() {
            event.end = steps.sent + 1;
        }
    });
    wrong(
        "sent during the sync",
        &overlapping,
        "before the sync ended",
    );
    let unsynced: Vec<Event> = trace
        .iter()
        .filter(|event| !event.is_sync())
        .cloned()
        .collect();
    wrong("no sync at all", &unsynced, "not synced");
    let elsewhere = doctored(trace, |event| {
        if event.is_sync() {
            event.target = event.target.replace("-wal", "");
        }
    });
    wrong("another file synced", &elsewhere, "not synced");
    let failed = doctored(trace, |event| event.failed |= event.is_sync());
    wrong("the sync failed", &failed, "not synced");
    let unwritten: Vec<Event> = trace
        .iter()
        .filter(|e| !e.target.ends_with("-wal"))
        .cloned()
        .collect();
    wrong("no intent", &unwritten, "never written");
}
