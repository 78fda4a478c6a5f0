//! Where the binaries are.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(folder);

/// The gateway.
pub(crate) fn sealgate() -> PathBuf {
    FOLDER.join("sealgate")
}

/// Runs the verifier; it must be able to run, whatever it finds.
pub(crate) fn capsule(arguments: &[&str]) -> Output {
    Command::new(FOLDER.join("capsule"))
        .args(arguments)
        .output()
        .unwrap()
}

/// `SEALGATE_BIN_DIR`, or the target folder of this test after a build, so that the binaries are never older than the
/// sources.
fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("SEALGATE_BIN_DIR") {
        let folder = PathBuf::from(folder);
        let names = ["sealgate", "capsule"];
        assert!(
            names.iter().all(|name| folder.join(name).is_file()),
            "SEALGATE_BIN_DIR={} does not hold sealgate and capsule",
            folder.display()
        );
        return folder;
    }
    // target/PROFILE/deps/durability-HASH
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--locked",
        "-p",
        "sealgate",
        "--bins",
        "--target-dir",
    ]);
    cargo.arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let built = cargo.output().expect("cargo");
    let log = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "building the binaries:\n{log}");
    profile.to_owned()
}
