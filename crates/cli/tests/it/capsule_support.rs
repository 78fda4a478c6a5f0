//! Chains built with the library, and runs of the binary.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use capsule::json::{Limits, Object, Value, parse};
use capsule::{Capsule, Draft, Hash, Id, SigningKey, Timestamp, canonical};
use ledger::Chain;
use ledger::checkpoint::{Checkpoint, origin};
use ledger::tree::{Edge, leaf_hash};

pub(crate) const LEDGER: &str = "01900000-0000-7000-8000-000000000001";
pub(crate) const OTHER_LEDGER: &str = "01900000-0000-7000-8000-000000000002";
const BOOT: &str = "01900000-0000-7000-8000-0000000000b1";

/// The variables that change what the binary does; each run starts without them.
const VARIABLES: [&str; 5] = [
    "SEALGATE_DATA_DIR",
    "QUANTUMPIPES_DATA_DIR",
    "NO_COLOR",
    "FORCE_COLOR",
    "HOME",
];

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The names of the damage in a JSON report, with their sequence numbers.
    pub(crate) fn damage(&self) -> Vec<(String, Option<u64>)> {
        let report = self.json();
        let found = report["damage"].as_array().unwrap();
        let one = |entry: &serde_json::Value| {
            (
                entry["kind"].as_str().unwrap().to_owned(),
                entry["sequence"].as_u64(),
            )
        };
        found.iter().map(one).collect()
    }
}

/// Runs `capsule` in a directory.
pub(crate) fn run(dir: &Path, arguments: &[&str]) -> Ended {
    run_with(dir, arguments, &[], b"")
}

pub(crate) fn run_with(
    dir: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
    input: &[u8],
) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_capsule"));
    for name in VARIABLES {
        command.env_remove(name);
    }
    let mut child = command
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feeder = std::thread::spawn(move || {
        // A run that needs no input may end before it has read it.
        let _written = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Every file below a directory with its bytes.
pub(crate) fn listing(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(listing(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Seals records into a chain.
pub(crate) struct Author {
    pub(crate) signer: SigningKey,
    /// The sealed records as JSON text.
    pub(crate) records: Vec<Vec<u8>>,
    head: Option<Hash>,
}

impl Author {
    /// A chain as the reference writes one.
    pub(crate) fn plain(count: u64) -> Author {
        let mut author = Author {
            signer: SigningKey::from_seed([1; 32]),
            records: Vec::new(),
            head: None,
        };
        for number in 0..count {
            author.seal(number, Object::new());
        }
        author
    }

    /// A ledger of ours: genesis, boot, and `calls` calls.
    pub(crate) fn ledger(calls: u64) -> Author {
        let mut author = Author::plain(0);
        let public = author.public();
        let checkpoints = SigningKey::from_seed([9; 32]).public_key().hex();
        let keys = [
            ("public_key", public.into()),
            ("checkpoint_key", checkpoints.into()),
        ];
        author.event("genesis", &keys);
        author.event("boot", &[]);
        (1..=calls).for_each(|number| author.call(number));
        author
    }

    pub(crate) fn public(&self) -> String {
        self.signer.public_key().hex()
    }

    pub(crate) fn seal(&mut self, number: u64, environment: Object) {
        let mut capsule = Capsule::default();
        capsule.context.environment = environment;
        capsule.outcome.status = "success".into();
        self.seal_capsule(number, capsule);
    }

    pub(crate) fn seal_capsule(&mut self, number: u64, mut capsule: Capsule) {
        let mut id = [0xA0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        capsule.id = Id::from_bytes(id);
        let sequence = self.records.len() as u64;
        let linked = Draft::new(&capsule)
            .unwrap()
            .link(sequence, self.head.as_ref());
        let sealed = linked.seal(&self.signer, Timestamp::new(0)).unwrap();
        self.head = Some(sealed.hash());
        self.records.push(sealed.record_json());
    }

    pub(crate) fn event(&mut self, name: &str, more: &[(&'static str, Value)]) {
        let mut environment = member(LEDGER);
        environment.insert("event", name);
        for (key, value) in more {
            environment.insert(*key, value.clone());
        }
        self.seal(1_000 + self.records.len() as u64, environment);
    }

    pub(crate) fn call(&mut self, intent: u64) {
        let mut environment = member(LEDGER);
        environment.insert("intent", intent);
        self.seal(intent, environment);
    }

    /// Changes a sealed record without sealing it again.
    pub(crate) fn tamper(&mut self, at: usize, change: impl FnOnce(&mut Object)) {
        let mut value = parse(&self.records[at], &Limits::default()).unwrap();
        if let Value::Object(object) = &mut value {
            change(object);
        }
        self.records[at] = canonical::to_vec(&value);
    }

    pub(crate) fn checkpoint(&self) -> String {
        let mut edge = Edge::new();
        for record in &self.records {
            edge.push(leaf_hash(record));
        }
        let origin = origin(&LEDGER.parse().unwrap(), &Chain::default());
        let signer = SigningKey::from_seed([9; 32]);
        Checkpoint::sign(origin, edge.size(), edge.root(), &signer)
            .unwrap()
            .note
    }

    pub(crate) fn array(&self) -> Vec<u8> {
        let mut text = b"[".to_vec();
        text.extend_from_slice(&self.records.join(b",".as_slice()));
        text.push(b']');
        text
    }

    pub(crate) fn write(&self, path: &Path) {
        fs::write(path, self.array()).unwrap();
    }

    /// Verifies the records with the author's public key, as JSON.
    pub(crate) fn verify(&self, more: &[&str]) -> Ended {
        let dir = tempfile::tempdir().unwrap();
        self.write(&dir.path().join("chain.json"));
        fs::write(dir.path().join("pub"), Author::plain(0).public()).unwrap();
        let start = ["verify", "chain.json", "--json", "--pubkey-file", "pub"];
        run(dir.path(), &[&start, more].concat())
    }
}

pub(crate) fn member(ledger: &str) -> Object {
    let mut environment = Object::new();
    environment.insert("boot", BOOT);
    environment.insert("ledger", ledger);
    environment
}
