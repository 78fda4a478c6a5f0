//! How fast the ledger appends on this disk: `append DIR SECONDS CALLERS [call|append] [postgresql://...]`.
//!
//! Every caller is a thread that opens a call and settles it, over and over; the records have about
//! 2.3 KB. Prints calls per second, CPU per record of the whole process, and the latency of `open`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement, not a program"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use capsule::{Capsule, CapsuleType, Draft};
use ledger::journal::Journal;
use ledger::{Clock, Intent, Ledger, Options, Signers, SystemClock, new_id};
use store::keys::DataDir;
use store::postgres::{PostgresJournal, Target};
use store::spend::Spend;
use store::sqlite::{Settings, SqliteJournal};

fn capsule_of_2_3_kb(id: capsule::Id, boot: &str, intent: u64) -> Capsule {
    let mut capsule = Capsule {
        id,
        capsule_type: CapsuleType::Chat,
        ..Capsule::default()
    };
    let environment = &mut capsule.context.environment;
    environment.insert("boot", boot.to_owned());
    environment.insert("intent", intent);
    for key in ["request_digest", "sent_digest", "response_digest"] {
        environment.insert(key, "d".repeat(64));
    }
    capsule.trigger.source = "/v1/chat/completions".to_owned();
    capsule.reasoning.model = Some("gpt-4o-mini".to_owned());
    capsule.outcome.status = "success".into();
    capsule.outcome.summary = "s".repeat(850);
    capsule
}

/// Several of these may run on one database at the same time.
fn shared() -> store::postgres::Settings {
    store::postgres::Settings {
        shared: true,
        ..store::postgres::Settings::default()
    }
}

fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().unwrap();
    let seconds: u64 = arguments.next().unwrap().parse().unwrap();
    let callers: usize = arguments.next().unwrap().parse().unwrap();
    let mode = arguments.next().unwrap_or_else(|| "call".to_owned());
    let data = DataDir::create(&dir).unwrap();
    let signers = Signers {
        records: Arc::new(data.signer().unwrap()),
        checkpoints: Arc::new(data.checkpoint_signer().unwrap()),
    };
    let target = arguments.next().map(|url| Target::parse(&url).unwrap());
    let there = match &target {
        Some(target) => PostgresJournal::exists(target).unwrap(),
        None => data.database().exists(),
    };
    if !there {
        let journal: Box<dyn Journal> = match &target {
            Some(target) => Box::new(PostgresJournal::create(target, shared()).unwrap()),
            None => Box::new(SqliteJournal::create(data.database(), Settings::default()).unwrap()),
        };
        let mut anchor = data.anchor();
        ledger::create(journal, &signers, &mut anchor, &Options::default()).unwrap();
    }
    let started = Instant::now();
    let journal: Box<dyn Journal> = match &target {
        Some(target) => Box::new(PostgresJournal::open(target, shared()).unwrap()),
        None => Box::new(SqliteJournal::open(data.database(), Settings::default()).unwrap()),
    };
    let anchor = Box::new(data.anchor());
    let options = Options::default();
    let (ledger, _) = Ledger::start(journal, &signers, anchor, options).unwrap();
    println!("start {:?}", started.elapsed());

    let (cpu_before, begin) = (cpu(), Instant::now());
    let end = begin + Duration::from_secs(seconds);
    let mut waits: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|_| {
                scope.spawn(|| {
                    if mode == "append" {
                        append(&ledger, end)
                    } else {
                        call(&ledger, end)
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let elapsed = begin.elapsed();
    let used = cpu() - cpu_before;
    let status = ledger.status();
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    println!(
        "{} records, {:.0}/s, {:.1} us CPU each, {:.1} records per commit",
        status.records,
        status.records as f64 / elapsed.as_secs_f64(),
        used.as_secs_f64() * 1e6 / status.records as f64,
        status.records as f64 / status.commits as f64,
    );
    println!(
        "wait p50 {:?} p99 {:?} p99.9 {:?} max {:?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    let closing = Instant::now();
    ledger.shutdown_blocking(Duration::from_secs(10)).unwrap();
    println!("shutdown {:?}", closing.elapsed());
}

/// Intent, then record; waits for the intent only, as a gateway does.
fn call(ledger: &Ledger, end: Instant) -> Vec<Duration> {
    let boot = ledger.identity().boot.to_string();
    let spend = Spend {
        model: "gpt-4o-mini".to_owned(),
        ..Spend::default()
    }
    .encode();
    let mut waits = Vec::new();
    while Instant::now() < end {
        let Some(slot) = ledger.slot() else {
            std::thread::yield_now();
            continue;
        };
        let now = SystemClock.now();
        let intent = Intent {
            id: new_id(now).unwrap(),
            opened_at: now,
            payload: vec![7; 200],
        };
        let since = Instant::now();
        let opened = ledger.open(slot, intent).wait().unwrap();
        waits.push(since.elapsed());
        let capsule = capsule_of_2_3_kb(opened.id(), &boot, opened.number());
        drop(opened.settle(Draft::new(&capsule).unwrap(), Some(spend.clone())));
    }
    waits
}

/// Records without intent, each waited for; 64 under way per caller.
fn append(ledger: &Ledger, end: Instant) -> Vec<Duration> {
    let boot = ledger.identity().boot.to_string();
    let mut waits = Vec::new();
    while Instant::now() < end {
        let since = Instant::now();
        let receipts: Vec<_> = (0..64)
            .map(|at| {
                let capsule = capsule_of_2_3_kb(new_id(SystemClock.now()).unwrap(), &boot, at);
                ledger.append(Draft::new(&capsule).unwrap(), None)
            })
            .collect();
        for receipt in receipts {
            receipt.wait().unwrap();
        }
        waits.push(since.elapsed());
    }
    waits
}
