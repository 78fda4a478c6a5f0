//! `canonical`, `hash`, `validate`, `uri` and `keys`.

use std::fs;

use super::capsule_support::{Author, run, run_with};

#[test]
fn canonical_prints_the_bytes_that_are_hashed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let canonical = |text: &str| {
        fs::write(dir.path().join("f.json"), text).unwrap();
        run(dir.path(), &["canonical", "f.json"])
    };
    for (text, expected) in [
        (
            r#" {"b": 1e16, "a": [1.0, -0, "\u00e9\u001f"], "a": 2} "#,
            r#"{"a":2,"b":1e+16}"#,
        ),
        (
            r#"{"hash":"x","z":{"hash":"y"},"signed_by":"k","signature":"","signature_pq":"","signed_at":null}"#,
            r#"{"z":{"hash":"y"}}"#,
        ),
        ("1E5", "100000.0"),
        ("\"a/\\u0007\"", "\"a/\\u0007\""),
    ] {
        let ended = canonical(text);
        assert_eq!((ended.code, ended.out.as_str()), (0, expected), "{text}");
    }
    for (text, code) in [
        ("NaN", 1),
        ("[-Infinity]", 1),
        ("[1e309]", 1),
        ("{\"a\":Infinity}", 1),
        ("", 2),
        ("{", 2),
        ("[1,]", 2),
        ("nope", 2),
    ] {
        let ended = canonical(text);
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (code, ""),
            "{text}: {ended:?}"
        );
    }
    assert_eq!(run(dir.path(), &["canonical", "missing.json"]).code, 2);
}

#[test]
fn hash_of_a_record_is_the_hash_that_it_carries() {
    let dir = tempfile::tempdir().unwrap();
    let author = Author::plain(1);
    fs::write(dir.path().join("one.json"), &author.records[0]).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&author.records[0]).unwrap();
    let ended = run(dir.path(), &["hash", "--capsule", "one.json"]);
    assert_eq!(ended.out.trim(), record["hash"]);
    fs::write(dir.path().join("abc"), "abc").unwrap();
    let ended = run(dir.path(), &["hash", "abc"]);
    assert_eq!(
        ended.out,
        "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532\n"
    );
    let ended = run(dir.path(), &["hash", "nope"]);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (2, "Error: file not found: nope\n")
    );
}

#[test]
fn validate_reports_category_field_and_message() {
    let dir = tempfile::tempdir().unwrap();
    let author = Author::plain(1);
    let record: serde_json::Value = serde_json::from_slice(&author.records[0]).unwrap();
    let content = run_with(dir.path(), &["canonical", "-"], &[], &author.records[0]).out;
    let good = run_with(dir.path(), &["validate", "-"], &[], content.as_bytes());
    assert_eq!(good.code, 0, "{good:?}");
    assert!(good.json()["category"].is_null() && good.json()["ok"] == true);
    let hash = record["hash"].as_str().unwrap();
    let claimed = ["validate", "-", "--claimed-hash", hash];
    assert_eq!(
        run_with(dir.path(), &claimed, &[], content.as_bytes()).code,
        0
    );
    let wrong = "00".repeat(32);
    let claimed = ["validate", "-", "--claimed-hash", &wrong];
    let ended = run_with(dir.path(), &claimed, &[], content.as_bytes());
    assert_eq!(
        (ended.code, &ended.json()["category"]),
        (1, &"integrity_violation".into())
    );
    let ended = run_with(dir.path(), &["validate", "-"], &[], b"{}");
    assert_eq!((ended.code, &ended.json()["field"]), (1, &"id".into()));
    assert_eq!(run_with(dir.path(), &["validate", "-"], &[], b"{").code, 2);
}

#[test]
fn uris_are_taken_apart_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run(
        dir.path(),
        &["uri", "capsule://main/42#reasoning/confidence"],
    );
    assert_eq!(ended.code, 0);
    let parts = ended.json();
    assert_eq!(
        (
            &parts["chain"],
            &parts["sequence"],
            &parts["reference_type"]
        ),
        (&"main".into(), &42.into(), &"sequence".into())
    );
    assert!(parts["hash_value"].is_null() && parts["id"].is_null());
    for uri in [
        "http://x",
        "",
        "capsule://",
        "capsule://a/-1",
        "capsule://a/1#../x",
    ] {
        let ended = run(dir.path(), &["uri", uri]);
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{uri}");
    }
}

#[test]
fn keys_rotate_without_a_ledger_and_old_records_still_verify() {
    let dir = tempfile::tempdir().unwrap();
    let keys = |arguments: &[&str]| {
        let dir = dir.path();
        run_with(
            dir,
            &[&["keys"], arguments].concat(),
            &[("QUANTUMPIPES_DATA_DIR", "d")],
            b"",
        )
    };
    assert_eq!(keys(&["export-public"]).code, 2);
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/key"), [1; 32]).unwrap();
    let author = Author::plain(2);
    assert_eq!(keys(&["export-public"]).out.trim(), author.public());
    assert!(!dir.path().join("d/keyring.json").exists());
    let ended = keys(&["rotate"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("Previous: Epoch 0") && ended.out.contains("New:      Epoch 1"));
    assert_ne!(keys(&["export-public"]).out.trim(), author.public());
    assert!(keys(&["info"]).out.contains("Epoch 0  ed25519"));
    author.write(&dir.path().join("chain.json"));
    let ended = run(
        dir.path(),
        &["verify", "chain.json", "--signatures", "--data-dir", "d"],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    let upward = run(dir.path(), &["keys", "info", "--data-dir", "../d"]);
    assert_eq!(upward.code, 2, "{upward:?}");
}

#[cfg(unix)]
#[test]
fn new_key_files_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        run(dir.path(), &["keys", "rotate", "--data-dir", "d"]).code,
        0
    );
    for name in ["key", "keyring.json"] {
        let mode = fs::metadata(dir.path().join("d").join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::read_dir(dir.path().join("d")).unwrap().count(), 2);
}

#[test]
fn usage_mistakes_end_with_2() {
    let dir = tempfile::tempdir().unwrap();
    Author::plain(1).write(&dir.path().join("c.json"));
    for arguments in [
        [].as_slice(),
        &["verify"],
        &["verify", "c.json", "--db", "x.db"],
        &["verify", "--pg", "mysql://localhost/x"],
        &["verify", "--db", "x.db", "--chain", "t"],
        &["verify", "c.json", "--full", "--signatures"],
        &[
            "verify",
            "c.json",
            "--pubkey",
            "aa",
            "--pubkey-file",
            "c.json",
        ],
        &["verify", "c.json", "--pubkey-file", "nope"],
        &["verify", "c.json", "--checkpoint", "c.json"],
        &["verify", "."],
        &["inspect", "c.json", "--seq", "7"],
        &["keys"],
        &["nonsense"],
    ] {
        assert_eq!(run(dir.path(), arguments).code, 2, "{arguments:?}");
    }
    let help = run(dir.path(), &["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    assert!(run(dir.path(), &["--version"]).out.starts_with("capsule "));
}
