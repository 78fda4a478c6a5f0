//! The place where the logs go is full or gone: no call and no record is lost, and the gateway neither ends nor fails.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::audit::Auditor;
use crate::support::binaries;
use crate::support::client::{self, Call};
use crate::support::server::Server;
use crate::support::site::Site;
use crate::support::stub::Stub;

/// Every write to it fails as on a full disk.
pub(crate) fn full() -> Stdio {
    OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// Every write to it fails: nobody reads any more.
fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn serves(place: impl FnOnce(&mut Command) -> &mut Command, later: impl FnOnce()) {
    let stub = Stub::start();
    let site = Site::new(&stub, json!({ "limits": { "min_free_disk_mb": 1 } }));
    let mut command = site.serve(binaries::sealgate());
    place(&mut command);
    let mut server = Server::spawn(command);
    server.wait_until_connected(site.port);
    later();
    for marker in 0..20 {
        let call = Call {
            marker,
            group: "g0".into(),
            stream: marker % 2 == 1,
            script: "",
        };
        let got = client::send(site.port, &call, Duration::from_secs(30));
        assert!(got.status == 200 && got.complete, "{got:?}");
        // A call that no model serves is refused, which is logged as well.
        let unknown = Call {
            group: "no-such-model".into(),
            ..call
        };
        let got = client::send(site.port, &unknown, Duration::from_secs(30));
        assert!(got.status == 400 || got.status == 404, "{got:?}");
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
    let mut auditor = Auditor::new(&site.data);
    auditor.finally();
    let calls = auditor.facts.iter().filter(|fact| fact.intent.is_some());
    assert_eq!(calls.count(), 20);
}

#[test]
fn dur_05_access_log_on_a_full_disk() {
    serves(|command| command.stdout(full()), || ());
}

#[test]
fn dur_05_access_log_that_nobody_reads() {
    serves(|command| command.stdout(gone()), || ());
}

#[test]
fn dur_05_every_log_on_a_full_disk() {
    serves(|command| command.stdout(full()).stderr(full()), || ());
}

#[test]
fn dur_05_no_log_that_anybody_reads() {
    serves(|command| command.stdout(gone()).stderr(gone()), || ());
}

/// The reader of the logs ends while the gateway runs; what it has to say at its end, nobody hears.
#[test]
fn dur_05_logs_lost_while_it_runs() {
    let (reader, writer) = std::io::pipe().unwrap();
    serves(|command| command.stderr(writer), || drop(reader));
}
