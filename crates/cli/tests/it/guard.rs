//! `sealgate guard test`, as users run it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::serve::sealgate;

fn run(dir: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = sealgate(dir)
        .args(["guard", "test"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const LINES: &str = concat!(
    "{\"id\": \"b\", \"text\": \"né écris à bo@example.org\", \"more\": 1}\n",
    "\n",
    "{\"id\": 7, \"text\": \"nothing here\"}\n",
    "{\"text\": \"\"}\n",
);

#[test]
fn a_line_for_each_text_in_order_with_offsets_in_code_points() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("texts.jsonl"), LINES).unwrap();
    let from_file = run(dir.path(), &["--jsonl", "texts.jsonl"], "");
    let from_input = run(dir.path(), &["--jsonl", "-"], LINES);
    for output in [&from_file, &from_input] {
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stderr.is_empty(), "no bar where no terminal is");
        let lines = lines(output);
        let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
        assert_eq!(ids, [&Value::from("b"), &Value::from(7), &Value::Null]);
        assert_eq!(lines[0]["verdict"], "mask");
        let found = &lines[0]["findings"];
        assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
        assert_eq!(
            (&found[0]["check"], &found[0]["type"]),
            (&Value::from("pii"), &Value::from("EMAIL_ADDRESS"))
        );
        assert_eq!(
            (&found[0]["start"], &found[0]["end"]),
            (&Value::from(11), &Value::from(25))
        );
        assert!(found[0]["score"].is_f64());
        assert!(lines[0]["scores"]["prompt_injection"].is_f64());
        assert_eq!(lines[1]["verdict"], "pass");
        assert_eq!(lines[1]["findings"], Value::Array(Vec::new()));
    }
}

#[test]
fn a_configuration_selects_the_checks() {
    let dir = tempfile::tempdir().unwrap();
    let config = "model_list: []\nguardrails:\n  - guardrail_name: words\n    litellm_params:\n      \
                  guardrail: litellm_content_filter\n      mode: pre_call\n      blocked_words:\n        \
                  - {keyword: nightingale, action: BLOCK}\n";
    fs::write(dir.path().join("config.yaml"), config).unwrap();
    let text = "{\"id\": 1, \"text\": \"project Nightingale, bo@example.org\"}\n";
    let arguments = ["--config", "config.yaml", "--jsonl", "-"];
    let output = run(dir.path(), &arguments, text);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let line = lines(&output).remove(0);
    assert_eq!(line["verdict"], "block");
    assert_eq!(line["findings"].as_array().unwrap().len(), 1, "{line}");
    assert_eq!(line["findings"][0]["check"], "words");
    assert_eq!(line["scores"], serde_json::json!({}));
}

#[test]
fn a_person_reads_places_and_never_the_text_that_was_found() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["-"], "first line\nwrite to bo@example.org\n");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("2:10: EMAIL_ADDRESS (pii, 14 characters"),
        "{text}"
    );
    assert!(text.ends_with("verdict: mask\n"), "{text}");
    assert!(!text.contains("bo@"), "{text}");
}

#[test]
fn what_cannot_be_read_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "{\"id\": 1, \"text\": \"a\"}\n{\"id\": 2}\n";
    let output = run(dir.path(), &["--jsonl", "-"], lines);
    assert_ne!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("line 2"), "{said}");
    let output = run(dir.path(), &["--jsonl", "absent.jsonl"], "");
    assert_ne!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("absent.jsonl"), "{said}");
}
