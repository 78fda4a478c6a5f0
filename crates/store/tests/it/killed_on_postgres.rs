//! Three processes on one database, one of them killed again and again: no call is lost, none is settled twice.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use capsule::{Capsule, CapsuleType, Draft};
use ledger::{Ledger, Signers};
use store::keys::DataDir;
use store::postgres::{PostgresJournal, Settings, Target};

use crate::ledger_on_postgres::{World, shared};
use crate::support::{GRACE, options, spend, until};

const URL: &str = "SEALGATE_TEST_CHILD_URL";
const DIR: &str = "SEALGATE_TEST_CHILD_DIR";

/// Not a test of its own: the process that the test below starts and kills. It prints each call when its intent is durable and
/// when its record is.
#[test]
#[ignore = "a child process of another test"]
fn child() {
    let (Ok(url), Ok(dir)) = (std::env::var(URL), std::env::var(DIR)) else {
        return;
    };
    let data = DataDir::open(Path::new(&dir)).unwrap();
    let signers = Signers {
        records: Arc::new(data.signer().unwrap()),
        checkpoints: Arc::new(data.checkpoint_signer().unwrap()),
    };
    let journal = PostgresJournal::open(
        &Target::parse(&url).unwrap(),
        Settings {
            lease: Duration::from_secs(3),
            ..shared()
        },
    )
    .unwrap();
    let (ledger, _) = Ledger::start(
        Box::new(journal),
        &signers,
        Box::new(data.anchor()),
        options(),
    )
    .unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let ledger = ledger.clone();
            std::thread::spawn(move || {
                while let Some(slot) = ledger.slot() {
                    match ledger.open(slot, crate::support::intent()).wait() {
                        Ok(call) => one(call),
                        // Taken for dead because the machine was slow: a new one starts in its place.
                        Err(_) if taken_over(&ledger) => std::process::exit(0),
                        Err(_) => until("it admits", || ledger.admitting() || taken_over(&ledger)),
                    }
                }
            })
        })
        .collect();
    let mut end = String::new();
    // A line, or the end of the test, ends it.
    std::io::stdin().read_line(&mut end).unwrap();
    ledger.shutdown_blocking(Duration::from_secs(1)).ok();
    drop(threads);
}

fn taken_over(ledger: &Ledger) -> bool {
    let said = ledger.status().last_error;
    !ledger.admitting() && said.is_some_and(|said| said.contains("taken over"))
}

fn one(call: ledger::Opened) {
    let id = call.id();
    let say = |what: &str| writeln!(std::io::stdout().lock(), "{what} {id}").unwrap();
    say("open");
    let mut capsule = Capsule {
        id,
        capsule_type: CapsuleType::Chat,
        ..Capsule::default()
    };
    let environment = &mut capsule.context.environment;
    environment.insert("boot", call.boot().to_string());
    environment.insert("intent", call.number());
    capsule.outcome.status = "success".into();
    let draft = Draft::new(&capsule).unwrap();
    if let Ok(done) = call.settle(draft, Some(spend().encode())).wait() {
        assert_eq!(done.id, id);
        say("done");
    }
}

struct Instance {
    child: Child,
    lines: Receiver<String>,
}

impl Instance {
    fn start(world: &World) -> Instance {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "killed_on_postgres::child",
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(URL, &world.url)
            .env(DIR, world.data.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            out.lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Instance { child, lines }
    }

    /// Waits until it has settled so many calls, counting what it says on the way.
    fn work(&self, calls: usize, said: &mut Said) {
        let mut done = 0;
        let end = Instant::now() + Duration::from_secs(60);
        while done < calls {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => done += usize::from(said.hear(&line)),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("an instance does nothing"),
            }
        }
    }

    fn kill(mut self, said: &mut Said) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().unwrap();
        for line in self.lines {
            said.hear(&line);
        }
    }
}

#[derive(Default)]
struct Said {
    opened: BTreeSet<String>,
    done: BTreeSet<String>,
}

impl Said {
    fn hear(&mut self, line: &str) -> bool {
        match line.split_once(' ') {
            Some(("open", id)) => {
                self.opened.insert(id.to_owned());
                false
            }
            Some(("done", id)) => self.done.insert(id.to_owned()),
            _ => false,
        }
    }
}

#[test]
fn kills_of_one_of_three_lose_and_double_nothing() {
    let Some(world) = World::new() else { return };
    let rounds: usize = std::env::var("SEALGATE_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(6);
    let mut said = Said::default();
    let mut instances: Vec<Instance> = (0..3).map(|_| Instance::start(&world)).collect();
    for round in 0..rounds {
        let victim = instances.remove(round % 3);
        // At a moment that nobody chose: somewhere between two lines of its output.
        let before = said.done.len();
        victim.work(3 + (round * 7) % 11, &mut said);
        assert!(
            said.done.len() > before,
            "round {round}: the instance did not start"
        );
        victim.kill(&mut said);
        for living in &instances {
            living.work(2, &mut said);
        }
        instances.insert(round % 3, Instance::start(&world));
    }
    for instance in &instances {
        instance.work(1, &mut said);
    }
    for instance in instances {
        instance.kill(&mut said);
    }
    // The last one closes what all of them left open.
    let ledger = world.start(crate::ledger_on_postgres::alone());
    until("every boot is closed", || {
        world.sql("SELECT count(*) FROM sealgate_boots WHERE closed_at IS NULL") == ["1"]
    });
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
    assert_eq!(world.sql("SELECT count(*) FROM sealgate_intents"), ["0"]);
    assert_eq!(world.sql("SELECT count(*) FROM sealgate_quarantine"), ["0"]);
    let records: BTreeSet<String> = world
        .sql("SELECT id FROM quantumpipes_capsules")
        .into_iter()
        .collect();
    assert!(
        said.opened.len() > rounds * 4,
        "{} calls",
        said.opened.len()
    );
    assert!(
        said.opened.is_subset(&records),
        "every durable intent has a record"
    );
    let unknown = "SELECT id FROM quantumpipes_capsules WHERE data::json -> 'outcome' ->> 'status' = 'unknown'";
    let unknown: BTreeSet<String> = world.sql(unknown).into_iter().collect();
    assert!(
        said.done.is_disjoint(&unknown),
        "what was settled is not unknown"
    );
    // Numbers of each boot are gapless, and each has one record.
    let numbers = world.sql(
        "SELECT b.last_intent, count(c.id), count(DISTINCT (c.data::json #>> '{context,environment,intent}')) \
         FROM sealgate_boots b LEFT JOIN quantumpipes_capsules c \
         ON c.data::json #>> '{context,environment,boot}' = b.id AND c.data::json #>> '{context,environment,intent}' IS NOT NULL \
         GROUP BY b.id, b.last_intent",
    );
    for line in &numbers {
        let fields: BTreeSet<&str> = line.split('|').collect();
        assert_eq!(
            fields.len(),
            1,
            "last number, records, different numbers: {line}"
        );
    }
    assert!(numbers.len() > rounds, "boots");
}
