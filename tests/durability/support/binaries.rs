//! Where the binaries are.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// Paths of `sealgate` and `capsule`.
static BINARIES: LazyLock<[PathBuf; 2]> = LazyLock::new(find);

/// The gateway.
pub(crate) fn sealgate() -> &'static Path {
    &BINARIES[0]
}

/// Runs the verifier; it must be able to run, whatever it finds.
pub(crate) fn capsule(arguments: &[&str]) -> Output {
    let program = &BINARIES[1];
    Command::new(program).args(arguments).output().unwrap()
}

/// `SEALGATE_BIN` and `CAPSULE_BIN`, or the target folder of this test after a build, so that the binaries are never
/// older than the sources.
fn find() -> [PathBuf; 2] {
    let given = ["SEALGATE_BIN", "CAPSULE_BIN"].map(std::env::var_os);
    if let [Some(sealgate), Some(capsule)] = given {
        let binaries = [sealgate, capsule].map(PathBuf::from);
        for binary in &binaries {
            assert!(binary.is_file(), "there is no {}", binary.display());
        }
        return binaries;
    }
    // target/PROFILE/deps/durability-HASH
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "-p", "sealgate", "--bins"]);
    cargo.arg("--target-dir").arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let built = cargo.output().expect("cargo");
    let log = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "building the binaries:\n{log}");
    ["sealgate", "capsule"].map(|name| profile.join(name))
}
