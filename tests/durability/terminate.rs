//! SIGTERM at full load: everything answered is sealed, everything open is settled, exit code 0.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::kill::{compare, load, seen_in};
use crate::support::audit::Auditor;
use crate::support::eventually;
use crate::support::random::Random;
use crate::support::site::Site;
use crate::support::stub::Stub;

const TIMES: u64 = 10;

#[test]
fn sigterm_at_full_load_settles_everything() {
    let mut random = Random::new("sigterm");
    let stub = Stub::start();
    let limits = json!({ "min_free_disk_mb": 1, "drain_timeout": 2 });
    let site = Site::new(&stub, json!({ "limits": limits }));
    let mut auditor = Auditor::new(&site.data);
    for life in 0..TIMES {
        auditor.read();
        let from = auditor.facts.len();
        let mut server = site.start();
        let stop = AtomicBool::new(false);
        let pause = Duration::from_millis(100 + random.below(400));
        let port = site.port;
        let calls = std::thread::scope(|scope| {
            let calls = scope.spawn(|| load(port, life, &stop, &mut random));
            std::thread::sleep(pause);
            server.terminate();
            let ended = server.wait();
            stop.store(true, Ordering::SeqCst);
            assert_eq!(ended.code(), Some(0), "{}", server.said());
            calls.join().unwrap()
        });
        auditor.read();
        let records = &auditor.facts[from..];
        let tally = compare(records, &calls, &seen_in(&stub, life), false);
        assert_eq!(tally.unknown, 0, "nothing is unknown after an orderly end");
        let answered = calls
            .calls
            .iter()
            .filter(|(_, got)| got.status == 200 && got.complete);
        let success = records
            .iter()
            .filter(|fact| fact.status == "success" && fact.intent.is_some());
        assert_eq!(
            success.count(),
            answered.count(),
            "sealed as answered, and answered"
        );
        assert_eq!(records.last().unwrap().event, "shutdown");
        // The log is folded in, and the last checkpoint covers every record, in both places.
        let log = site.data.join("capsules.db-wal");
        assert!(
            !log.exists() || std::fs::metadata(log).unwrap().len() == 0,
            "the log is not folded in"
        );
        let all = auditor.facts.len() as u64;
        assert_eq!(
            auditor.checkpoints(),
            (all, all),
            "stored and anchored checkpoint"
        );
    }
    auditor.finally();
}

/// The last checkpoint is stored too when nothing is going on, which is when it is written at once rather than at the end
/// of an interval.
#[test]
fn sigterm_while_idle_stores_the_last_checkpoint() {
    let stub = Stub::start();
    let site = Site::new(&stub, json!({ "limits": { "min_free_disk_mb": 1 } }));
    let mut auditor = Auditor::new(&site.data);
    for _ in 0..TIMES {
        let mut server = site.start();
        eventually("the running tree covers every record", || {
            let (_, anchored) = auditor.checkpoints();
            (anchored == auditor.facts.len() as u64).then_some(())
        });
        server.terminate();
        assert_eq!(server.wait().code(), Some(0), "{}", server.said());
        auditor.read();
        let all = auditor.facts.len() as u64;
        assert_eq!(
            auditor.checkpoints(),
            (all, all),
            "stored and anchored checkpoint"
        );
    }
    auditor.finally();
}
