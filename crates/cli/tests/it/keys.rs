//! `sealgate keys` against a running gateway, and what it says about texts without one.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::serve::{Gateway, MASTER, sealgate};

fn keys(dir: &Path, url: &str, arguments: &[&str]) -> Output {
    let mut command = sealgate(dir);
    command.arg("keys").args(arguments).env("SEALGATE_URL", url);
    command.output().unwrap()
}

fn out(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_key_is_made_listed_blocked_renewed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path(), "", &[]);
    let run = |arguments: &[&str]| keys(dir.path(), &gateway.address, arguments);
    let made = run(&[
        "create",
        "--alias",
        "cli",
        "--model",
        "m",
        "--max-budget",
        "2.5",
        "--rpm",
        "7",
    ]);
    // The key stands alone on standard output, so that it can be piped.
    let key = out(&made).trim().to_owned();
    assert!(
        key.starts_with("sk-") && !key.contains(char::is_whitespace),
        "{key}"
    );
    let list = out(&run(&["list"]));
    assert!(
        list.contains("cli") && list.contains("of 2.500000 USD") && !list.contains(&key),
        "{list}"
    );
    let info: Value = serde_json::from_str(&out(&run(&["info", &key, "--json"]))).unwrap();
    assert_eq!(info["rpm_limit"], 7);
    let id = info["token_id"].as_str().unwrap().to_owned();
    // Offline, from the directory: the id that stands in rows of spend.
    let said = out(&run(&["id", &key, "--data-dir", "data"]));
    assert!(said.contains(&format!("id {id}")), "{said}");
    assert!(out(&run(&["block", &id])).contains("blocked"));
    assert!(out(&run(&["info", &id])).contains("revoked"));
    assert!(out(&run(&["unblock", &id])).contains("active"));
    let renewed = out(&run(&["regenerate", &id, "--grace-period", "1h"]));
    assert!(renewed.starts_with("sk-") && renewed.trim() != key);
    assert_eq!(out(&run(&["delete", &id])), "deleted\n");
    assert!(failed(&run(&["info", &id])).contains("no such key"));
    assert!(failed(&run(&["block", &id])).contains("answers 404"));
    let wrong = failed(&run(&["create", "--fields", "{\"max_bugdet\": 1}"]));
    assert!(wrong.contains("max_bugdet: unknown field"), "{wrong}");
}

#[test]
fn keys_are_asked_for_over_loopback_and_by_environment_only() {
    let dir = tempfile::tempdir().unwrap();
    for url in ["https://127.0.0.1:1", "http://192.0.2.1:4000"] {
        let said = failed(&keys(dir.path(), url, &["list"]));
        assert!(!said.contains(MASTER), "{said}");
    }
    let mut command = sealgate(dir.path());
    command
        .args(["keys", "list"])
        .env_remove("LITELLM_MASTER_KEY");
    let said = failed(&command.output().unwrap());
    assert!(
        said.contains("SEALGATE_API_KEY or LITELLM_MASTER_KEY"),
        "{said}"
    );
}

#[test]
fn a_text_is_told_apart_without_a_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let ours = policy::key_text::scannable("prod", &[7; 48]);
    let run = |text: &str| keys(dir.path(), "http://127.0.0.1:1", &["id", text, "--json"]);
    let said: Value = serde_json::from_str(&out(&run(&ours))).unwrap();
    assert_eq!(
        (&said["kind"], &said["environment"]),
        (&"scannable".into(), &"prod".into())
    );
    let cut = run(&ours[..ours.len() - 1]);
    assert_eq!(cut.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&cut.stdout).contains("scannable_damaged"));
    let other = run("hello");
    assert_eq!(other.status.code(), Some(1));
}
