//! `sealgate serve` and the commands around it, as users run them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

pub(super) const MASTER: &str = "sk-Zq8vN3xR7tLw2KpY9sMd4HbF6jGc1VaE";

pub(super) fn sealgate(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    for (name, _) in std::env::vars_os() {
        if !matches!(name.to_str(), Some("PATH" | "TMPDIR")) {
            command.env_remove(name);
        }
    }
    command.env("LITELLM_MASTER_KEY", MASTER).current_dir(dir);
    command
}

fn configuration(more: &str) -> String {
    format!(
        "model_list:\n  - model_name: m\n    litellm_params:\n      model: openai/m\n      mock_response: hello\nsealgate:\n  data_dir: data\n{more}"
    )
}

pub(super) struct Gateway {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStderr>>,
    pub(super) address: String,
}

impl Gateway {
    pub(super) fn start(dir: &Path, more: &str, arguments: &[&str]) -> Gateway {
        fs::write(dir.join("config.yaml"), configuration(more)).unwrap();
        let mut child = sealgate(dir)
            .args(["serve", "--config", "config.yaml", "--port", "0"])
            .args(["--init-if-missing", "--no-access-log"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut gateway = Gateway {
            child,
            lines,
            address: String::new(),
        };
        gateway.address = gateway.says("listening on ");
        gateway
    }

    /// Waits for a line that begins so, and gives its rest.
    fn says(&mut self, start: &str) -> String {
        for line in self.lines.by_ref() {
            if let Some(rest) = line.unwrap().strip_prefix(start) {
                return rest.to_owned();
            }
        }
        panic!("it ended without saying {start:?}");
    }

    fn reload(&self, key: &str) -> (u16, String) {
        let address = self.address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let request = format!(
            "POST /config/reload HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.get(9..12).unwrap().parse().unwrap();
        (status, answer)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn a_reload_by_route_takes_a_good_file_and_names_the_faults_of_a_bad_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(dir.path(), "", &[]);
    assert_eq!(gateway.reload("sk-nobody").0, 401);
    fs::write(
        dir.path().join("config.yaml"),
        configuration("  domain: finance\n"),
    )
    .unwrap();
    let (status, answer) = gateway.reload(MASTER);
    assert_eq!(status, 200, "{answer}");
    assert!(
        answer.contains("\"status\":\"reloaded\"") && answer.contains("\"restart_needed_for\":[]"),
        "{answer}"
    );
    gateway.says("configuration reloaded");
    fs::write(
        dir.path().join("config.yaml"),
        configuration("  colour: red\n"),
    )
    .unwrap();
    let (status, answer) = gateway.reload(MASTER);
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer.contains("config_rejected") && answer.contains("sealgate.colour"),
        "{answer}"
    );
    fs::write(
        dir.path().join("config.yaml"),
        configuration("  limits: {settle_slots: 100}\n"),
    )
    .unwrap();
    let (status, answer) = gateway.reload(MASTER);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("settle_slots"), "{answer}");
    // Each change is a record: the start, and two reloads.
    let chain = Command::new(env!("CARGO_BIN_EXE_capsule"))
        .args(["export", "--db", "data/capsules.db", "--jsonl"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let chain = String::from_utf8(chain.stdout).unwrap();
    assert_eq!(chain.matches("\"cause\":\"reload\"").count(), 2);
    assert_eq!(chain.matches("\"cause\":\"start\"").count(), 1);
}

#[test]
fn a_watched_file_is_loaded_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(dir.path(), "  watch_config: true\n", &[]);
    fs::write(
        dir.path().join("config.yaml"),
        configuration("  watch_config: true\n  domain: finance\n"),
    )
    .unwrap();
    gateway.says("a file of the configuration has changed");
    gateway.says("configuration reloaded");
}

#[test]
fn tls_is_spoken_with_litellms_flags() {
    let dir = tempfile::tempdir().unwrap();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/tests/data/tls");
    for name in ["one.cert.pem", "one.key.pem"] {
        fs::copy(files.join(name), dir.path().join(name)).unwrap();
    }
    let flags = [
        "--ssl_certfile_path",
        "one.cert.pem",
        "--ssl_keyfile_path",
        "one.key.pem",
    ];
    let gateway = Gateway::start(dir.path(), "", &flags);
    let address = gateway.address.strip_prefix("https://").unwrap();
    // What is not TLS gets an alert or nothing, never an answer.
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /health/liveliness HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    drop(gateway);
    let refused = sealgate(dir.path())
        .args(["serve", "--config", "config.yaml", "--port", "0"])
        .args([
            "--ssl_certfile_path",
            "one.key.pem",
            "--ssl_keyfile_path",
            "one.key.pem",
        ])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("one.key.pem") && !said.contains("PRIVATE"),
        "{said}"
    );
}

#[test]
fn post_quantum_signatures_from_the_first_record_on() {
    let dir = tempfile::tempdir().unwrap();
    let init = sealgate(dir.path())
        .args(["init", "--data-dir", "data", "--post-quantum"])
        .output()
        .unwrap();
    assert!(init.status.success(), "{init:?}");
    let written = fs::read_to_string(dir.path().join("config.yaml")).unwrap();
    assert!(written.contains("post_quantum: true"), "{written}");
    let mut gateway = Gateway::start(dir.path(), "  post_quantum: true\n", &[]);
    assert_eq!(gateway.reload(MASTER).0, 200);
    gateway.says("configuration reloaded");
    drop(gateway);
    let capsule = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_capsule"));
        command
            .args(arguments)
            .current_dir(dir.path())
            .output()
            .unwrap()
    };
    let key = capsule(&["keys", "export-public", "--data-dir", "data"]).stdout;
    let key = String::from_utf8(key).unwrap();
    let verify = [
        "verify",
        "--data-dir",
        "data",
        "--require-pq",
        "--pubkey",
        key.trim(),
    ];
    let ended = capsule(&verify);
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn completions_and_checklist_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, word) in [
        (&["completions", "bash"][..], "sealgate"),
        (&["completions", "zsh"], "#compdef sealgate"),
        (&["completions", "fish", "--capsule"], "complete -c capsule"),
    ] {
        let output = sealgate(dir.path()).args(arguments).output().unwrap();
        assert!(output.status.success());
        assert!(
            String::from_utf8(output.stdout).unwrap().contains(word),
            "{arguments:?}"
        );
    }
    fs::write(dir.path().join("config.yaml"), configuration("")).unwrap();
    let output = sealgate(dir.path())
        .args(["config", "check", "--checklist"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("checklist:") && text.contains("not applicable"),
        "{text}"
    );
}
