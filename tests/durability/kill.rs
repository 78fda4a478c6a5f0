//! SIGKILL at random moments under load, start, compare; again and again on one ledger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::audit::Auditor;
use crate::support::client::{self, Call, Got};
use crate::support::random::Random;
use crate::support::record::Fact;
use crate::support::site::Site;
use crate::support::stub::{Seen, Stub, script};

const THREADS: u64 = 8;

/// What one life of the gateway looked like from outside.
#[derive(Default)]
pub(crate) struct Life {
    pub(crate) calls: Vec<(Call, Got)>,
}

/// Clients that call until `stop`, each one its own model; one call of eight is never answered by the provider, and its
/// client leaves after a while.
pub(crate) fn load(port: u16, life: u64, stop: &AtomicBool, seed: &mut Random) -> Life {
    let threads: Vec<_> = (0..THREADS).map(|thread| (thread, seed.next())).collect();
    let calls = std::thread::scope(|scope| {
        let running: Vec<_> = threads
            .into_iter()
            .map(|(thread, seed)| scope.spawn(move || client(port, life, thread, seed, stop)))
            .collect();
        let done = running.into_iter().flat_map(|t| t.join().unwrap());
        done.collect()
    });
    Life { calls }
}

fn client(port: u16, life: u64, thread: u64, seed: u64, stop: &AtomicBool) -> Vec<(Call, Got)> {
    let mut random = Random::seeded(seed);
    let mut done = Vec::new();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let hangs = random.below(8) == 0;
        let call = Call {
            marker: (life * THREADS + thread) * 100_000 + number,
            group: format!("g{thread}"),
            stream: random.coin(),
            script: if hangs { script::HANG } else { "" },
        };
        let patience = if hangs {
            40 + random.below(100)
        } else {
            20_000
        };
        let got = client::send(port, &call, Duration::from_millis(patience));
        if got.status == 0 && stop.load(Ordering::SeqCst) {
            done.push((call, got));
            break;
        }
        done.push((call, got));
        number += 1;
    }
    done
}

/// What the provider saw of one life; its number is in the markers.
pub(crate) fn seen_in(stub: &Stub, life: u64) -> Seen {
    let of_life = |marker: &u64| marker / 100_000 / THREADS == life;
    let seen = stub.seen();
    seen.into_iter()
        .filter(|(marker, _)| of_life(marker))
        .collect()
}

/// Records of one life against what clients and provider saw of it.
pub(crate) fn compare(records: &[Fact], life: &Life, seen: &Seen, sealed_first: bool) -> Tally {
    let mut by_id: BTreeMap<&str, &Fact> = BTreeMap::new();
    let mut settled: BTreeMap<u64, &Fact> = BTreeMap::new();
    // Per model, so per client: calls that ended as unknown.
    let mut unknown: BTreeMap<&str, u64> = BTreeMap::new();
    let mut abandoned = 0;
    for fact in records.iter().filter(|fact| fact.intent.is_some()) {
        assert!(by_id.insert(&fact.id, fact).is_none(), "{fact:?} twice");
        match fact.event.as_str() {
            "" => {
                let marker = fact.marker.expect("a settled record names its request");
                let other = settled.insert(marker, fact);
                assert!(
                    other.is_none(),
                    "two records for one request: {fact:?}, {other:?}"
                );
            }
            "recovered" => {
                assert_eq!(fact.status, "unknown", "{fact:?}");
                *unknown.entry(&fact.group).or_default() += 1;
            }
            "abandoned" => abandoned += 1,
            other => panic!("unexpected event {other} in {fact:?}"),
        }
    }
    let mut tally = Tally {
        records: by_id.len() as u64,
        abandoned,
        ..Tally::default()
    };
    // A request that reached the provider has a settled record, or is one of the unknown ones of its client.
    let mut unaccounted: BTreeMap<String, u64> = BTreeMap::new();
    for (marker, times) in seen {
        assert_eq!(*times, 1, "the provider saw request {marker} {times} times");
        if !settled.contains_key(marker) {
            let thread = marker / 100_000 % THREADS;
            *unaccounted.entry(format!("g{thread}")).or_default() += 1;
        }
    }
    for (group, count) in &unaccounted {
        let recorded = unknown.get(group.as_str()).copied().unwrap_or(0);
        assert!(
            recorded >= *count,
            "{group}: the provider saw {count} requests without a settled record, {recorded} are recorded as unknown"
        );
    }
    for (call, got) in &life.calls {
        let Some(id) = &got.capsule else { continue };
        if got.status != 200 {
            continue;
        }
        let fact = by_id.get(id.as_str());
        let fact = fact.unwrap_or_else(|| panic!("{id} was given to a client and is no record"));
        assert!(
            fact.marker.is_none_or(|marker| marker == call.marker),
            "{fact:?}"
        );
        assert_eq!(fact.group, call.group, "{fact:?}");
        if !got.complete {
            continue;
        }
        tally.complete += 1;
        let acceptable: &[&str] = if sealed_first && !call.stream {
            &["success"]
        } else {
            // Without waiting for the seal a killed gateway may not have settled what it answered.
            &["success", "unknown"]
        };
        assert!(
            acceptable.contains(&fact.status.as_str()),
            "{got:?}: {fact:?}"
        );
    }
    // No more records than calls, per client: nothing is recorded that nobody asked for.
    for (group, count) in &unknown {
        let calls = life.calls.iter().filter(|(c, _)| c.group == *group);
        let open = calls.filter(|(c, _)| !settled.contains_key(&c.marker));
        assert!(*count <= open.count() as u64, "{group}: {count} unknown");
        tally.unknown += count;
    }
    tally
}

/// Counts over all lives.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) complete: u64,
    pub(crate) unknown: u64,
    pub(crate) abandoned: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.records += other.records;
        self.complete += other.complete;
        self.unknown += other.unknown;
        self.abandoned += other.abandoned;
    }
}

fn lives() -> u64 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let long = std::env::var_os("SEALGATE_LONG_TESTS").is_some();
    number("SEALGATE_LONG_KILLS").unwrap_or(if long { 10_000 } else { 100 })
}

#[test]
fn dur_01_killed_at_random_moments_under_load() {
    let mut random = Random::new("dur_01");
    let stub = Stub::start();
    let settings =
        |before| json!({ "seal_before_answer": before, "limits": { "min_free_disk_mb": 1 } });
    let site = Site::new(&stub, settings(true));
    let mut auditor = Auditor::new(&site.data);
    auditor.read();
    let begin = Instant::now();
    let (mut total, mut early) = (Tally::default(), 0);
    let mut last: Option<(Life, bool)> = None;
    let lives = lives();
    for life in 0..=lives {
        let sealed_first = random.coin();
        site.configure(&stub, settings(sealed_first));
        if life > 0 && random.below(5) == 0 {
            // Killed while it recovers: the next start must find as much.
            let server = site.spawn();
            std::thread::sleep(Duration::from_millis(random.below(120)));
            server.kill();
            early += 1;
        }
        let server = site.start();
        let from = auditor.read();
        assert!(
            auditor.reader().intents().unwrap().is_empty(),
            "open intents after recovery"
        );
        if let Some((calls, sealed_first)) = last.take() {
            let seen = seen_in(&stub, life - 1);
            total.add(&compare(
                &auditor.facts[from..],
                &calls,
                &seen,
                sealed_first,
            ));
        }
        if life % 10 == 0 {
            auditor.checkpoints();
            let boot = auditor.facts.iter().rfind(|fact| fact.event == "boot");
            auditor.intents(boot.map(|fact| fact.boot.as_str()));
            auditor.spend();
        }
        if life == lives {
            server.terminate();
            let mut server = server;
            assert_eq!(server.wait().code(), Some(0), "{}", server.said());
            break;
        }
        let stop = AtomicBool::new(false);
        let pause = Duration::from_millis(30 + random.below(400));
        let port = site.port;
        let calls = std::thread::scope(|scope| {
            let calls = scope.spawn(|| load(port, life, &stop, &mut random));
            std::thread::sleep(pause);
            server.kill();
            stop.store(true, Ordering::SeqCst);
            calls.join().unwrap()
        });
        last = Some((calls, sealed_first));
    }
    auditor.finally();
    eprintln!(
        "dur_01: {lives} kills under load, {early} during start, {total:?}, {:?}",
        begin.elapsed()
    );
    assert!(
        total.complete > lives,
        "hardly any call was answered: {total:?}"
    );
    assert!(total.unknown > 0, "no kill met an open call: {total:?}");
}

/// One call that the provider saw once, that its client got whole, and that is recorded.
fn one_call() -> (Fact, Life, Seen) {
    let call = Call {
        marker: 7,
        group: "g0".into(),
        stream: false,
        script: "",
    };
    let got = Got {
        status: 200,
        complete: true,
        capsule: Some("id-7".into()),
        body: String::new(),
    };
    let fact = Fact {
        sequence: 3,
        id: "id-7".into(),
        event: String::new(),
        boot: "boot".into(),
        intent: Some(1),
        status: "success".into(),
        group: "g0".into(),
        marker: Some(7),
        tokens: (7, 3),
        cost: None,
        environment: json!({}),
    };
    let life = Life {
        calls: vec![(call, got)],
    };
    (fact, life, Seen::from([(7, 1)]))
}

#[test]
fn the_comparison_passes_what_is_right() {
    let (fact, life, seen) = one_call();
    let tally = compare(&[fact], &life, &seen, true);
    assert_eq!((tally.records, tally.complete, tally.unknown), (1, 1, 0));
}

#[test]
#[should_panic(expected = "without a settled record")]
fn the_comparison_finds_a_request_without_a_record() {
    let (_, mut life, seen) = one_call();
    life.calls.clear();
    compare(&[], &life, &seen, true);
}

#[test]
#[should_panic(expected = "is no record")]
fn the_comparison_finds_an_answer_without_a_record() {
    let (_, life, _) = one_call();
    compare(&[], &life, &Seen::new(), true);
}

#[test]
#[should_panic(expected = "two records for one request")]
fn the_comparison_finds_a_request_with_two_records() {
    let (fact, life, seen) = one_call();
    let other = Fact {
        id: "id-8".into(),
        intent: Some(2),
        ..fact.clone()
    };
    compare(&[fact, other], &life, &seen, true);
}

#[test]
#[should_panic(expected = "2 times")]
fn the_comparison_finds_a_request_that_was_sent_twice() {
    let (fact, life, _) = one_call();
    compare(&[fact], &life, &Seen::from([(7, 2)]), true);
}

#[test]
#[should_panic(expected = "unknown")]
fn the_comparison_finds_an_answer_that_left_before_its_seal() {
    let (fact, life, _) = one_call();
    let fact = Fact {
        event: "recovered".into(),
        status: "unknown".into(),
        marker: None,
        ..fact
    };
    compare(&[fact], &life, &Seen::new(), true);
}
