//! Who else may use the file of a running gateway, and who may not.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::audit::Auditor;
use crate::support::binaries;
use crate::support::client::{self, Call};
use crate::support::server::Server;
use crate::support::site::Site;
use crate::support::stub::Stub;

fn send(site: &Site, marker: u64) -> client::Got {
    let call = Call {
        marker,
        group: "g0".into(),
        stream: false,
        script: "",
    };
    client::send(site.port, &call, Duration::from_secs(30))
}

#[test]
fn a_second_gateway_on_the_same_file_refuses_to_start() {
    let stub = Stub::start();
    let site = Site::new(&stub, json!({ "limits": { "min_free_disk_mb": 1 } }));
    let mut first = site.start();
    let before = send(&site, 1);
    assert_eq!(before.status, 200, "{before:?}");
    // The lease is what keeps it out, so it must not get as far as the port.
    let mut second = Server::spawn(site.serve(binaries::sealgate()));
    let ended = second.wait();
    assert_eq!(ended.code(), Some(3), "{}", second.said());
    let said = second.said();
    assert!(said.contains("in use"), "{said}");
    assert!(
        said.contains("capsules.db"),
        "the message names the file: {said}"
    );
    let after = send(&site, 2);
    assert!(after.complete, "the first one goes on: {after:?}");
    first.terminate();
    assert_eq!(first.wait().code(), Some(0), "{}", first.said());
    let mut auditor = Auditor::new(&site.data);
    auditor.finally();
    let boots = auditor
        .facts
        .iter()
        .filter(|fact| fact.event == "boot")
        .count();
    assert_eq!(boots, 1, "the second one wrote nothing");
}

const APPEND: &str = "
import asyncio, pathlib, sys
from qp_capsule import Capsule, CapsuleChain, CapsuleStorage, CapsuleType, Seal
async def main():
    storage = CapsuleStorage(db_path=pathlib.Path(sys.argv[1]))
    chain, seal = CapsuleChain(storage), Seal(key_path=pathlib.Path(sys.argv[2]))
    for number in range(3):
        capsule = Capsule(type=CapsuleType.AGENT)
        capsule.trigger.request = 'appended by the reference, %d' % number
        await chain.seal_and_store(capsule, seal=seal)
    await storage.close()
asyncio.run(main())
";

#[test]
fn records_of_the_reference_tool_are_adopted_while_the_gateway_runs() {
    let Some(python) = std::env::var_os("SEALGATE_PYTHON") else {
        assert!(
            std::env::var_os("SEALGATE_REQUIRE_PEERS").is_none(),
            "SEALGATE_PYTHON is not set"
        );
        eprintln!("not run: SEALGATE_PYTHON names no Python with qp-capsule");
        return;
    };
    let stub = Stub::start();
    let site = Site::new(&stub, json!({ "limits": { "min_free_disk_mb": 1 } }));
    let mut server = site.start();
    for marker in 1..4 {
        assert_eq!(send(&site, marker).status, 200);
    }
    let done = Command::new(&python)
        .args(["-c", APPEND])
        .arg(site.database())
        .arg(site.data.join("key"))
        .env("QUANTUMPIPES_DATA_DIR", &site.data)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    for marker in 4..7 {
        let got = send(&site, marker);
        assert!(got.complete, "{got:?}");
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
    let mut auditor = Auditor::new(&site.data);
    auditor.finally();
    let adopted = auditor.reader().adopted().unwrap();
    let count: u64 = adopted.iter().map(|(first, last)| last - first + 1).sum();
    assert_eq!(count, 3, "{adopted:?}");
    let all = auditor.facts.len() as u64;
    assert_eq!(
        auditor.checkpoints(),
        (all, all),
        "the tree holds the adopted records as well"
    );
    // The tool says so too.
    let key = store::keys::DataDir::open(&site.data)
        .unwrap()
        .signer()
        .unwrap();
    let key = capsule::Signer::public_key(&key).hex();
    let db = site.database();
    let done = binaries::capsule(&[
        "verify",
        "--json",
        "--pubkey",
        &key,
        "--db",
        db.to_str().unwrap(),
    ]);
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let notes = report["notes"].to_string();
    assert!(
        notes.contains("3 records were written by another program"),
        "{report}"
    );
}
