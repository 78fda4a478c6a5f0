//! The same questions put to this library and to the reference implementation.
//!
//! The reference (`qp-capsule` from PyPI, with `greenlet`) runs in a process of its own. The
//! environment variable `SEALGATE_PYTHON` names a Python that has it; without it these tests do
//! nothing but say so, and with `SEALGATE_REQUIRE_PEERS=1` they then fail.

mod documents;
mod keys;
mod spelling;
mod times;
mod values;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use capsule::json::{Limits, Object, Value, parse};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// The reference, waiting for questions.
struct Peer {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
}

impl Peer {
    /// Starts the reference with the key of the known answers in a directory of its own.
    fn start(test: &str) -> Option<Peer> {
        let Some(python) = std::env::var_os("SEALGATE_PYTHON") else {
            println!("skipped: SEALGATE_PYTHON is not set");
            let required = std::env::var_os("SEALGATE_REQUIRE_PEERS").is_some_and(|it| it == "1");
            assert!(
                !required,
                "SEALGATE_REQUIRE_PEERS is set, SEALGATE_PYTHON is not"
            );
            return None;
        };
        let name = format!("capsule-peer-{}-{test}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let seed: Vec<u8> = (0..32).collect();
        std::fs::write(directory.join("key"), seed).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/reference.py");
        let mut child = Command::new(python)
            .arg(script)
            .env("QUANTUMPIPES_DATA_DIR", &directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("SEALGATE_PYTHON starts");
        Some(Peer {
            questions: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
            directory,
        })
    }

    fn ask<const N: usize>(
        &mut self,
        operation: &str,
        fields: [(&'static str, Value); N],
    ) -> Answer {
        let mut question = Object::from(fields);
        question.insert("op", operation);
        let mut line = capsule::canonical::to_vec(&question.into());
        line.push(b'\n');
        let pipe = self.questions.as_mut().unwrap();
        pipe.write_all(&line).unwrap();
        pipe.flush().unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        Answer(parse(answer.as_bytes(), &Limits::default()).expect("an answer"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input ends the program.
        drop(self.questions.take());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

struct Answer(Value);

impl Answer {
    /// The class of the exception that was the answer.
    fn error(&self) -> Option<&str> {
        self.0.get("error")?.as_str()
    }

    fn text(&self, key: &str) -> &str {
        self.0
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {key} in {:?}", self.0))
    }

    fn get(&self, key: &str) -> &Value {
        self.0
            .get(key)
            .unwrap_or_else(|| panic!("no {key} in {:?}", self.0))
    }
}

/// `count` values of a strategy, the same in every run.
fn samples<S: Strategy>(strategy: S, count: usize) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}
