//! The same command lines, chains and damages for the reference tool and for ours: same output, same exit code.
//!
//! `SEALGATE_PYTHON` names a Python with the package `qp-capsule`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::capsule_support::{Author, run_with};

const DRIVER: &str = include_str!("reference.py");

#[test]
fn output_and_exit_codes_are_the_references() {
    let Some(python) = std::env::var_os("SEALGATE_PYTHON") else {
        assert!(
            std::env::var_os("SEALGATE_REQUIRE_PEERS").is_none(),
            "SEALGATE_PYTHON is not set and SEALGATE_REQUIRE_PEERS is"
        );
        println!("skipped: SEALGATE_PYTHON is not set");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    fs::create_dir(path.join("keys")).unwrap();
    fs::write(path.join("keys/key"), [1; 32]).unwrap();
    let files = write_chains(path);
    let cases = command_lines(&files, &Author::plain(0).public());
    let coloured = |case: &&Vec<String>| {
        case.iter().any(|word| word == "inspect" || word == "info")
            || case.ends_with(&["--full".to_owned()])
    };
    let painted: Vec<Vec<String>> = cases.iter().filter(coloured).cloned().collect();
    for (colour, cases) in [("", cases), ("1", painted)] {
        let variables = [("QUANTUMPIPES_DATA_DIR", "keys"), ("FORCE_COLOR", colour)];
        let expected = reference(Path::new(&python), path, &cases, &variables);
        assert_eq!(expected.len(), cases.len());
        for (case, expected) in cases.iter().zip(&expected) {
            let arguments: Vec<&str> = case.iter().map(String::as_str).collect();
            let ours = run_with(path, &arguments, &variables, b"");
            let found = (json!(ours.code), json!(comparable(&ours.out)));
            let wanted = (
                expected["code"].clone(),
                json!(comparable(expected["out"].as_str().unwrap())),
            );
            assert_eq!(found, wanted, "{case:?}: {}", ours.err);
        }
    }
}

/// The output without the keys that only our report has.
fn comparable(out: &str) -> String {
    let Ok(Value::Object(mut report)) = serde_json::from_str(out) else {
        return out.to_owned();
    };
    for key in ["damage", "notes", "signatures_checked"] {
        report.remove(key);
    }
    let first_keys = out.lines().filter(|line| line.starts_with("  \"")).take(5);
    let order: Vec<&str> = first_keys
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    format!("{order:?} {report:?}")
}

fn reference(
    python: &Path,
    dir: &Path,
    cases: &[Vec<String>],
    variables: &[(&str, &str)],
) -> Vec<Value> {
    let mut child = Command::new(python)
        .args(["-c", DRIVER])
        .env_remove("NO_COLOR")
        .env_remove("FORCE_COLOR")
        .envs(
            variables
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .copied(),
        )
        .env("COLUMNS", "80")
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(cases).unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Chains of every state in which both tools must say the same.
fn write_chains(dir: &Path) -> Vec<String> {
    let whole: Vec<Value> = Author::plain(5)
        .records
        .iter()
        .map(|record| serde_json::from_slice(record).unwrap())
        .collect();
    let mut chains: BTreeMap<&str, Value> = BTreeMap::new();
    let mut damaged = |name: &'static str, change: &dyn Fn(&mut Vec<Value>)| {
        let mut chain = whole.clone();
        change(&mut chain);
        chains.insert(name, Value::Array(chain));
    };
    damaged("whole", &|_| {});
    damaged("empty", &|chain| chain.clear());
    damaged("edited", &|chain| chain[2]["domain"] = json!("other"));
    damaged("missing", &|chain| drop(chain.remove(2)));
    damaged("swapped", &|chain| chain.swap(2, 3));
    damaged("reversed", &|chain| chain.reverse());
    damaged("twice", &|chain| chain.insert(2, chain[2].clone()));
    damaged("cut", &|chain| chain.truncate(3));
    damaged("beheaded", &|chain| drop(chain.remove(0)));
    damaged("no signature", &|chain| chain[2]["signature"] = json!(""));
    damaged("no hash", &|chain| chain[2]["hash"] = json!(""));
    damaged("bad signature", &|chain| {
        chain[2]["signature"] = json!("00".repeat(64))
    });
    damaged("bad hex", &|chain| {
        chain[2]["signature"] = json!("zz".repeat(64))
    });
    damaged("short", &|chain| chain[2]["signature"] = json!("00"));
    damaged("unknown label", &|chain| {
        chain[2]["signed_by"] = json!("ffffffffffffffff")
    });
    damaged("genesis with link", &|chain| {
        chain[0]["previous_hash"] = json!("00".repeat(32))
    });
    damaged("other link", &|chain| {
        chain[2]["previous_hash"] = json!("x")
    });
    damaged("word as sequence", &|chain| {
        chain[2]["sequence"] = json!("é\"x")
    });
    damaged("list as sequence", &|chain| {
        chain[2]["sequence"] = json!([1, null, "a'"])
    });
    damaged("float as sequence", &|chain| {
        chain[2]["sequence"] = json!(2.0)
    });
    damaged("true as sequence", &|chain| {
        chain[1]["sequence"] = json!(true)
    });
    damaged("unknown key", &|chain| chain[2]["new"] = json!(1));
    damaged("no id", &|chain| {
        drop(chain[2].as_object_mut().unwrap().remove("id"))
    });
    damaged("bad type", &|chain| chain[2]["type"] = json!("banana"));
    damaged("bad time", &|chain| {
        chain[2]["trigger"]["timestamp"] = json!("x")
    });
    damaged("bad seal time", &|chain| chain[2]["signed_at"] = json!("x"));
    damaged("text as section", &|chain| chain[2]["trigger"] = json!("x"));
    chains.insert("one", whole[0].clone());
    chains.insert("third alone", whole[3].clone());
    chains.insert("rich", rich(&whole[0]));
    chains.insert("wrapper", json!({ "capsules": [] }));
    chains.insert("text", json!("x"));
    chains.insert("null", Value::Null);
    let mut names = Vec::new();
    for (name, chain) in chains {
        let file = format!("{}.json", name.replace(' ', "-"));
        fs::write(dir.join(&file), serde_json::to_vec(&chain).unwrap()).unwrap();
        names.push(file);
    }
    for (name, bytes) in [
        ("bom.json", "\u{feff}[]"),
        ("torn.json", "[{\"id\":"),
        ("blank.json", " "),
    ] {
        fs::write(dir.join(name), bytes).unwrap();
        names.push(name.to_owned());
    }
    names
}

/// A record whose fields all hold something that `inspect` shows.
fn rich(record: &Value) -> Value {
    let mut record = record.clone();
    record["parent_id"] = json!("01900000-0000-7000-8000-00000000000f");
    record["trigger"]["source"] = json!("s".repeat(200));
    record["trigger"]["request"] = json!(format!("line 1\nline 2 {}", "é".repeat(300)));
    record["context"]["session_id"] = json!("session");
    record["reasoning"]["options"] = json!([
        { "id": "a", "description": "one", "selected": true },
        { "id": "b", "description": "two" }
    ]);
    record["reasoning"]["selected_option"] = json!("one");
    record["reasoning"]["confidence"] = json!(1);
    record["authority"]["approver"] = json!("bob");
    record["execution"]["duration_ms"] = json!(12.5);
    record["execution"]["tool_calls"] = json!([{ "tool": "t" }]);
    record["outcome"]["error"] = json!("boom");
    record["outcome"]["summary"] = json!(["a'b", 1.0, null]);
    record["signed_at"] = Value::Null;
    record["signed_by"] = json!("");
    record
}

fn command_lines(files: &[String], key: &str) -> Vec<Vec<String>> {
    let mut cases = Vec::new();
    let mut case = |arguments: &[&str]| {
        cases.push(
            arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
        );
    };
    for file in files {
        for options in [
            ["--structural"].as_slice(),
            &["--full"],
            &["--signatures"],
            &["--signatures", "--json"],
            &["--pubkey", key],
            &["--pubkey", "zz", "--json"],
            &["--pubkey", "00"],
            &["--full", "--quiet"],
            &["--full", "--json", "--quiet"],
        ] {
            case(&[&["verify", file], options].concat());
        }
        case(&["verify", "--full", file]);
        case(&["inspect", file]);
        case(&["inspect", file, "--seq", "1"]);
        case(&["hash", file]);
    }
    for arguments in [
        ["verify"].as_slice(),
        &["verify", "nope.json"],
        &["verify", "."],
        &["verify", "whole.json", "--db", "x.db"],
        &["verify", "whole.json", "extra"],
        &["verify", "whole.json", "--fu"],
        &["verify", "--full", "--full", "whole.json"],
        &["verify", "--full", "--signatures", "whole.json"],
        &["verify", "whole.json", "--pubkey"],
        &[
            "verify",
            "whole.json",
            "--pubkey",
            "aa",
            "--pubkey-file",
            "nope",
        ],
        &["verify", "whole.json", "--pubkey-file", "nope"],
        &["verify", "--json", "--", "whole.json"],
        &["inspect", "whole.json", "--seq", "9"],
        &["inspect", "whole.json", "--seq", "-1"],
        &["inspect", "whole.json", "--seq", "x"],
        &["inspect", "whole.json", "--id", "x"],
        &["hash", "nope"],
        &["hash"],
        &["keys"],
        &["keys", "bogus"],
        &["keys", "export-public"],
        &["bogus"],
    ] {
        case(arguments);
    }
    cases
}
