//! The reference tool `qp-capsule` as a peer: it verifies our file and appends to it, and we go on.
//!
//! `SEALGATE_PYTHON` names a Python that has it; without it these tests say that they did nothing.

use std::process::Command;

use ledger::LedgerError;

use crate::support::{GRACE, World, open, settle};

const APPEND: &str = "
import asyncio, sys
from qp_capsule import Capsule, Capsules, CapsuleType
async def main():
    capsules = Capsules(sys.argv[1])
    for n in range(3):
        capsule = Capsule(type=CapsuleType.AGENT)
        capsule.trigger.request = 'caf\u{e9} \u{1f600} %d' % n
        capsule.outcome.metrics = {'cost': 1e-7, 'n': n}
        await capsules.chain.seal_and_store(capsule, seal=capsules.seal)
    await capsules.close()
asyncio.run(main())
";

fn python() -> Option<String> {
    let python = std::env::var("SEALGATE_PYTHON").ok();
    if python.is_none() {
        println!("skipped: SEALGATE_PYTHON is not set");
        assert!(
            std::env::var_os("SEALGATE_REQUIRE_PEERS").is_none(),
            "SEALGATE_PYTHON is not set and SEALGATE_REQUIRE_PEERS is"
        );
    }
    python
}

fn run(world: &World, python: &str, arguments: &[&str]) -> String {
    let output = Command::new(python)
        .env("QUANTUMPIPES_DATA_DIR", world.data.root())
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}\n{out}\n{err}");
    out
}

#[test]
fn the_reference_verifies_and_appends_and_we_go_on() -> Result<(), LedgerError> {
    let Some(python) = python() else {
        return Ok(());
    };
    let world = World::new();
    let database = world.data.database();
    let database = database.to_str().unwrap();
    let cli = "from qp_capsule.cli import main; import sys; sys.exit(main(sys.argv[1:]))";
    let key = world.signers.records.public_key().hex();
    let verify = |world: &World| {
        run(
            world,
            &python,
            &[
                "-c", cli, "verify", "--db", database, "--pubkey", &key, "--json",
            ],
        )
    };
    // While it is served.
    let ledger = world.start();
    settle(&ledger, open(&ledger)).wait().unwrap();
    assert!(verify(&world).contains("\"capsules_verified\": 3"));
    run(&world, &python, &["-c", APPEND, database]);
    settle(&ledger, open(&ledger)).wait().unwrap();
    assert_eq!(ledger.status().adopted, 3);
    ledger.shutdown_blocking(GRACE)?;
    drop(ledger);
    // At rest, and after a restart.
    run(&world, &python, &["-c", APPEND, database]);
    let (ledger, recovery) = world.try_start()?;
    assert_eq!(recovery.adopted, 3);
    ledger.shutdown_blocking(GRACE)?;
    drop(ledger);
    assert!(verify(&world).contains("\"valid\": true"));
    assert_eq!(world.check(), 13);
    assert_eq!(world.reader().adopted().unwrap(), [(3, 5), (8, 10)]);
    Ok(())
}
