//! Power loss, replayed: the writes and syncs of a run under load are recorded once; then, for many moments of the run,
//! the files are rebuilt as a disk may have left them, and the ledger is started on them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use ledger::{Ledger, LedgerError, Options, Signers};
use rustix::process::Signal;
use serde_json::json;
use store::keys::DataDir;
use store::sqlite::{Settings, SqliteJournal};
use tempfile::TempDir;

use crate::kill;
use crate::support::audit::Auditor;
use crate::support::eventually;
use crate::support::lossy::{Disk, Loss};
use crate::support::random::Random;
use crate::support::record::Fact;
use crate::support::server::Server;
use crate::support::site::Site;
use crate::support::strace::{self, Event};
use crate::support::stub::{self, Stub};

/// Calls of the recorded run: enough for the log to be folded into the database and begun anew under load.
const CALLS: u32 = 1100;

/// Something that somebody outside knows, and from when on.
struct Promise {
    at: usize,
    /// The record that must exist.
    id: String,
    /// It must be the settled one, not one that recovery made.
    settled: bool,
}

struct Recording {
    start: Disk,
    folder: PathBuf,
    trace: Vec<Event>,
    promises: Vec<Promise>,
    /// Records of the run as it ended, by sequence.
    records: Vec<Fact>,
    /// The files as the run left them.
    end: BTreeMap<String, Vec<u8>>,
}

static RECORDING: LazyLock<Option<Recording>> = LazyLock::new(|| strace::available().then(record));

fn record() -> Recording {
    let stub = Stub::start();
    let limits = json!({ "min_free_disk_mb": 1, "drain_timeout": 2 });
    let site = Site::new(
        &stub,
        json!({ "seal_before_answer": true, "limits": limits }),
    );
    let start = Disk::of(&site.data);
    let log = site.data.with_file_name("trace");
    let (mut tracer, id) = strace::start(&site, &log);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut random = Random::seeded(1);
        let (stop, port) = (&stop, site.port);
        scope.spawn(move || kill::load(port, 0, stop, &mut random));
        eventually("enough calls", || (stub.count() >= CALLS).then_some(()));
        stop.store(true, Ordering::SeqCst);
    });
    Server::signal_to(id, Signal::TERM);
    assert!(tracer.wait().success(), "{}", tracer.said());
    let end = names(&site.data);
    let mut auditor = Auditor::new(&site.data);
    auditor.finally();
    let trace = strace::parse(&std::fs::read_to_string(&log).unwrap());
    let promises = promises(&trace, &auditor.facts, stub.port, site.port);
    Recording {
        start,
        folder: site.data.clone(),
        trace,
        promises,
        records: auditor.facts,
        end,
    }
}

/// Names and contents of the files in a folder. The lock file says who held the lease, which nobody needs afterwards.
fn names(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .filter(|(name, _)| !name.ends_with(".lock"))
        .collect()
}

/// What the provider knows when a request leaves, and a client when its answer leaves.
fn promises(trace: &[Event], facts: &[Fact], upstream: u16, gateway: u16) -> Vec<Promise> {
    let ids: BTreeMap<u64, &str> = facts
        .iter()
        .filter_map(|fact| Some((fact.marker?, fact.id.as_str())))
        .collect();
    let mut promises = Vec::new();
    for event in trace {
        let text = || String::from_utf8_lossy(&event.data);
        if event.goes_to(upstream) {
            if let Some(marker) = stub::marker(&text()) {
                promises.push(Promise {
                    at: event.begin,
                    id: ids[&marker].to_owned(),
                    settled: false,
                });
            }
        } else if event.comes_from(gateway) && event.data.starts_with(b"HTTP/1.1 200") {
            let text = text().to_ascii_lowercase();
            let Some((_, rest)) = text.split_once("capsule://") else {
                continue;
            };
            promises.push(Promise {
                at: event.begin,
                id: rest[..36].to_owned(),
                // Plain answers wait for the commit of their record in this run.
                settled: text.contains("content-type: application/json"),
            });
        }
    }
    promises
}

/// The files that are left when the power goes before the call at `at`, opened by the ledger; an error says what is lost.
fn replay(
    run: &Recording,
    trace: &[Event],
    at: usize,
    loss: Loss,
    random: &mut Random,
) -> Result<(), String> {
    let mut disk = run.start.clone();
    let folder = run.folder.to_str().unwrap();
    for event in trace.iter().take_while(|event| event.begin < at) {
        disk.apply(event, folder, at);
    }
    let place = fast_folder();
    let copy = place.path().join("data");
    disk.crash(&copy, loss, random);
    restrict(&copy);
    recover(&copy).map_err(|error| format!("the ledger does not start: {error}"))?;
    let mut auditor = Auditor::new(&copy);
    auditor.read();
    auditor.checkpoints();
    auditor.intents(None);
    if !auditor.reader().intents().unwrap().is_empty() {
        return Err("an intent is left open".into());
    }
    let by_id: BTreeMap<&str, &Fact> = auditor.facts.iter().map(|f| (f.id.as_str(), f)).collect();
    for promise in run.promises.iter().filter(|promise| promise.at < at) {
        match by_id.get(promise.id.as_str()) {
            None => return Err(format!("{} is lost", promise.id)),
            Some(fact) if promise.settled && fact.status != "success" => {
                return Err(format!("{} was settled and is {}", promise.id, fact.status));
            }
            Some(_) => {}
        }
    }
    // Settled records are those of the run, each at its place and none half.
    for fact in auditor
        .facts
        .iter()
        .filter(|fact| fact.intent.is_some() && fact.event.is_empty())
    {
        if run.records.get(fact.sequence as usize) != Some(fact) {
            return Err(format!("{fact:?} is not a record of the run"));
        }
    }
    Ok(())
}

fn recover(data: &Path) -> Result<(), LedgerError> {
    let data = DataDir::open(data).expect("keys were durable before the run");
    let journal = SqliteJournal::open(data.database(), Settings::default())
        .map_err(|error| LedgerError::Stopped(error.to_string()))?;
    let signers = Signers {
        records: Arc::new(data.signer().unwrap()),
        checkpoints: Arc::new(data.checkpoint_signer().unwrap()),
    };
    let (ledger, _) = Ledger::start(
        Box::new(journal),
        &signers,
        Box::new(data.anchor()),
        Options::default(),
    )?;
    ledger.shutdown_blocking(Duration::from_secs(10))
}

/// In memory where there is such a place: the copies need not survive anything.
fn fast_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() {
        memory
    } else {
        Path::new(env!("CARGO_TARGET_TMPDIR"))
    };
    tempfile::Builder::new()
        .prefix("power-loss-")
        .tempdir_in(place)
        .unwrap()
}

/// Key files must not be readable by everybody.
fn restrict(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Moments worth a crash: around every call on a file, and around every promise.
fn moments(run: &Recording) -> Vec<usize> {
    let folder = run.folder.to_str().unwrap();
    let on_files = run
        .trace
        .iter()
        .filter(|event| event.target.starts_with(folder));
    let mut moments: BTreeSet<usize> = on_files.flat_map(|e| [e.begin, e.begin + 1]).collect();
    moments.extend(run.promises.iter().map(|promise| promise.at + 1));
    moments.into_iter().collect()
}

#[test]
fn dur_03_nothing_that_was_promised_is_lost() {
    let Some(run) = RECORDING.as_ref() else {
        return;
    };
    let mut random = Random::new("dur_03");
    let moments = moments(run);
    let long = std::env::var_os("SEALGATE_LONG_TESTS").is_some();
    let times = if long { 5_000 } else { 150 };
    let begin = Instant::now();
    for time in 0..times {
        // Half of the moments are shortly after a promise, where a loss would show.
        let at = if random.coin() {
            let promise = &run.promises[random.below(run.promises.len() as u64) as usize];
            promise.at + 1
        } else {
            moments[random.below(moments.len() as u64) as usize]
        };
        let loss = Loss::ALL[time % Loss::ALL.len()];
        let result = replay(run, &run.trace, at, loss, &mut random);
        result.unwrap_or_else(|error| panic!("power loss before call {at}, {loss:?}: {error}"));
    }
    let folds = run
        .trace
        .iter()
        .filter(|e| e.is_sync() && e.target.ends_with("capsules.db"));
    let folds = folds.count();
    eprintln!(
        "dur_03: {times} power losses over {} calls, {} records, {} promises, {folds} syncs of the database, {:?}",
        run.trace.len(),
        run.records.len(),
        run.promises.len(),
        begin.elapsed()
    );
    assert!(folds > 1, "the log was never folded in under load");
}

/// Without a loss the rebuilt files are those that the run left, so the model of the disk misses no call.
#[test]
fn a_replay_of_the_whole_run_gives_its_files() {
    let Some(run) = RECORDING.as_ref() else {
        return;
    };
    let mut disk = run.start.clone();
    let folder = run.folder.to_str().unwrap();
    for event in &run.trace {
        disk.apply(event, folder, usize::MAX);
    }
    let place = fast_folder();
    disk.crash(place.path(), Loss::Nothing, &mut Random::seeded(1));
    let rebuilt = names(place.path());
    assert_eq!(
        rebuilt.keys().collect::<Vec<_>>(),
        run.end.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &run.end {
        assert!(
            rebuilt[name] == *bytes,
            "{name} is rebuilt as something else"
        );
    }
}

/// What a replay of the run without the syncs of a file finds when the power goes before the call at `at`.
fn without_syncs(run: &Recording, file: &str, at: usize) -> String {
    let synced = |event: &&Event| !(event.is_sync() && event.target.ends_with(file));
    let lazy: Vec<Event> = run.trace.iter().filter(synced).cloned().collect();
    let mut random = Random::seeded(3);
    replay(run, &lazy, at, Loss::Everything, &mut random).unwrap_err()
}

/// Every word that the replay has for a promise that was broken; what is found first depends on where the run was cut.
fn names_a_loss(error: &str) -> bool {
    ["lost", "does not start", "was settled and is unknown"]
        .iter()
        .any(|word| error.contains(word))
}

#[test]
fn the_replay_finds_a_log_that_is_not_synced() {
    let Some(run) = RECORDING.as_ref() else {
        return;
    };
    let middle = &run.promises[run.promises.len() / 2];
    let error = without_syncs(run, "capsules.db-wal", middle.at + 1);
    assert!(names_a_loss(&error), "{error}");
}

#[test]
fn the_replay_finds_a_database_that_is_not_synced_before_the_log_begins_anew() {
    let Some(run) = RECORDING.as_ref() else {
        return;
    };
    let last = run.promises.last().unwrap();
    let error = without_syncs(run, "capsules.db", last.at + 1);
    assert!(names_a_loss(&error), "{error}");
}
