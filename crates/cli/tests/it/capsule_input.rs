//! Hostile inputs, streams, and the promise that verifying leaves no trace.

use std::fs;
use std::process::Command;

use super::capsule_support::{Author, listing, run, run_with};

#[test]
fn hostile_inputs_end_with_2_and_say_so_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Author::plain(3).array();
    let deep = [b"[{\"a\":".to_vec(), vec![b'['; 200_000]].concat();
    let wide = format!("[{{\"a\":{}1{}}}]", "[".repeat(5_000), "]".repeat(5_000));
    let inputs: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("nul", vec![0]),
        ("cut", chain[..chain.len() - 20].to_vec()),
        ("cut in text", chain[..40].to_vec()),
        ("bom", [b"\xef\xbb\xbf".as_slice(), &chain].concat()),
        ("trailing", [chain.as_slice(), b"x"].concat()),
        ("deep", deep),
        ("wide", wide.into_bytes()),
        ("not utf-8", b"[{\"id\":\"\xff\"}]".to_vec()),
        ("control", b"[{\"id\":\"\x01\"}]".to_vec()),
        ("surrogate", br#"[{"id":"\ud800"}]"#.to_vec()),
        ("numbers", b"[1,2]".to_vec()),
        ("wrapper", b"{\"capsules\":[]}".to_vec()),
        ("null", b"null".to_vec()),
        ("NaN", b"[{\"id\":NaN}]".to_vec()),
        ("nul inside", [&chain[..100], b"\0", &chain[100..]].concat()),
    ];
    for (name, bytes) in inputs {
        fs::write(dir.path().join("chain.json"), &bytes).unwrap();
        for level in ["--structural", "--full", "--signatures", "--json"] {
            let ended = run(
                dir.path(),
                &["verify", "chain.json", level, "--data-dir", "."],
            );
            assert_eq!(
                (ended.code, ended.out.as_str()),
                (2, ""),
                "{name} {level}: {ended:?}"
            );
            assert!(
                ended.err.starts_with("Error loading capsules: "),
                "{name}: {}",
                ended.err
            );
            assert_eq!(ended.err.lines().count(), 1, "{name}: {}", ended.err);
        }
    }
}

#[test]
fn the_same_records_verify_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let author = Author::ledger(40);
    let key = author.public();
    author.write(&dir.path().join("chain.json"));
    let lines = author.records.join(b"\n".as_slice());
    fs::write(dir.path().join("chain.jsonl"), &lines).unwrap();
    let of_file = run(dir.path(), &["verify", "chain.json", "--pubkey", &key]);
    let of_lines = run(dir.path(), &["verify", "chain.jsonl", "--pubkey", &key]);
    let of_stdin = run_with(dir.path(), &["verify", "-", "--pubkey", &key], &[], &lines);
    assert_eq!(of_file.code, 0, "{of_file:?}");
    assert_eq!(of_file.out, of_lines.out);
    assert_eq!(of_file.out, of_stdin.out);
    let one = run_with(
        dir.path(),
        &["verify", "-", "--full"],
        &[],
        &author.records[0],
    );
    assert_eq!(one.code, 0, "{one:?}");
}

#[test]
fn full_says_that_signatures_were_not_checked() {
    let dir = tempfile::tempdir().unwrap();
    Author::plain(2).write(&dir.path().join("chain.json"));
    let ended = run(dir.path(), &["verify", "chain.json", "--full"]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("PASS -- 2 capsules verified"));
    assert!(
        ended.err.contains("signatures were NOT checked"),
        "{}",
        ended.err
    );
    let quiet = run(dir.path(), &["verify", "chain.json", "--full", "--quiet"]);
    assert_eq!(
        (quiet.code, quiet.out.as_str(), quiet.err.as_str()),
        (0, "", "")
    );
    let json = run(dir.path(), &["verify", "chain.json", "--full", "--json"]);
    assert_eq!(json.json()["signatures_checked"], false);
}

#[test]
fn verifying_creates_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    Author::ledger(3).write(&path.join("chain.json"));
    fs::create_dir(path.join("data")).unwrap();
    let home = path.to_str().unwrap();
    let before = listing(path);
    for arguments in [
        ["verify", "chain.json", "--signatures"].as_slice(),
        &["verify", "chain.json", "--signatures", "--data-dir", "data"],
        &["verify", "chain.json", "--full", "--json"],
        &["verify", "--db", "data/none.db"],
        &["verify", "--db", "none.db", "--signatures"],
        &["verify", "--data-dir", "data"],
        &["verify", "none.json"],
        &["inspect", "chain.json", "--seq", "1"],
        &["inspect", "--db", "none.db", "--seq", "1"],
        &["keys", "info"],
        &["keys", "info", "--data-dir", "data"],
        &["keys", "export-public"],
        &["export", "chain.json"],
        &["export", "--db", "none.db"],
    ] {
        run_with(path, arguments, &[("HOME", home)], b"");
        assert_eq!(listing(path), before, "{arguments:?}");
    }
    let missing = run(path, &["verify", "--db", "none.db"]);
    assert_eq!((missing.code, missing.out.as_str()), (2, ""));
}

#[test]
fn a_database_of_a_ledger_verifies_and_an_edited_copy_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let made = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["init", "--no-config", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let before = listing(&data);
    let ended = run(
        dir.path(),
        &["verify", "--data-dir", "data", "--signatures", "--json"],
    );
    assert_eq!((ended.code, ended.damage().len()), (0, 0), "{ended:?}");
    assert_eq!(listing(&data), before);
    let key = run(dir.path(), &["keys", "export-public", "--data-dir", "data"]);
    let arguments = [
        "verify",
        "--db",
        "data/capsules.db",
        "--pubkey",
        key.out.trim(),
    ];
    assert_eq!(run(dir.path(), &arguments).code, 0);
    assert_eq!(listing(&data), before);

    let database = data.join("capsules.db");
    let mut bytes = fs::read(&database).unwrap();
    let needle = b"ledger created";
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap();
    bytes[at] = b'L';
    fs::write(&database, bytes).unwrap();
    let ended = run(
        dir.path(),
        &["verify", "--data-dir", "data", "--signatures", "--json"],
    );
    assert_eq!(ended.code, 1);
    assert_eq!(ended.damage()[0], ("edited".to_owned(), Some(0)));
}

#[test]
fn one_record_is_exported_with_a_proof_that_holds() {
    let dir = tempfile::tempdir().unwrap();
    let author = Author::ledger(20);
    author.write(&dir.path().join("chain.json"));
    fs::write(dir.path().join("checkpoint"), author.checkpoint()).unwrap();
    let arguments = [
        "export",
        "chain.json",
        "--proof",
        "--seq",
        "7",
        "--data-dir",
        ".",
    ];
    let ended = run(dir.path(), &arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    let bundle = ended.json();
    assert_eq!(
        (&bundle["leaf_index"], &bundle["tree_size"]),
        (&7.into(), &22.into())
    );
    assert_eq!(bundle["record"]["sequence"], 7);
    assert_eq!(bundle["checkpoint"], author.checkpoint());
    let whole = run(dir.path(), &["export", "chain.json"]);
    fs::write(dir.path().join("copy.json"), &whole.out).unwrap();
    let key = author.public();
    assert_eq!(
        run(dir.path(), &["verify", "copy.json", "--pubkey", &key]).code,
        0
    );
    let lines = run(dir.path(), &["export", "chain.json", "--jsonl"]);
    assert_eq!(lines.out.lines().count(), 22);
    let beyond = [
        "export",
        "chain.json",
        "--proof",
        "--seq",
        "99",
        "--data-dir",
        ".",
    ];
    assert_eq!(run(dir.path(), &beyond).code, 2);
}
