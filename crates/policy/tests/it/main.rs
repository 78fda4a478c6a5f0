//! What keys and limits cost. Run with `cargo test --release -p sealgate-policy --test it -- --ignored --nocapture`.

#![expect(clippy::unwrap_used, reason = "a measurement states what must hold")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use policy::MicroUsd;
use policy::budget::{Ask, Book, Caps, Demand, Period, Rules, Shelf, Used};
use policy::identity::{Directory, Entity, KeyPart, Kind, Member, TeamPart};
use sha2::{Digest as _, Sha256};

const KEYS: usize = 100_000;
const CALLS: usize = 300_000;
const NOW: i64 = 1_795_172_400_000_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

/// What is presented; its digest stands for the keyed one, whose cost is the same.
fn presented(index: usize) -> String {
    format!("sk-{index:08}-0123456789abcdef0123456789abcdef")
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(Sha256::digest(text.as_bytes())).into()
}

fn caps(budget: i64) -> Option<Arc<Caps>> {
    Some(Arc::new(Caps {
        max_budget: Some(MicroUsd::new(budget)),
        budget_duration: Some(Period::Months(1)),
        rpm_limit: Some(1_000_000_000),
        tpm_limit: Some(1_000_000_000_000),
        max_parallel_requests: Some(1_000),
        ..Caps::default()
    }))
}

fn rows() -> Vec<String> {
    let team = Entity {
        kind: Kind::Team,
        id: "team".into(),
        version: 1,
        caps: caps(i64::MAX / 4),
        group: Some(Box::new(TeamPart {
            members: vec![Member {
                user: "user".into(),
                caps: caps(i64::MAX / 4).map(|caps| Box::new(Caps::clone(&caps))),
                ..Member::default()
            }],
            ..TeamPart::default()
        })),
        ..Entity::default()
    };
    let user = Entity {
        kind: Kind::User,
        id: "user".into(),
        version: 1,
        ..Entity::default()
    };
    let keys = (0..KEYS).map(|index| {
        let digest = hex(&digest(&presented(index)));
        Entity {
            kind: Kind::Key,
            id: digest[..32].into(),
            version: 1,
            alias: Some(format!("application {index}").into()),
            caps: caps(i64::MAX / 4),
            team: Some("team".into()),
            user: Some("user".into()),
            models: vec!["gpt-4o".into(), "claude-*".into()].into(),
            key: Some(Box::new(KeyPart {
                digest: digest.into(),
                name: "sk-...cdef".into(),
                ..KeyPart::default()
            })),
            created_at: NOW,
            created_by: "admin".into(),
            updated_at: NOW,
            updated_by: "admin".into(),
            ..Entity::default()
        }
    });
    let rows = [team, user].into_iter().chain(keys);
    rows.map(|row| serde_json::to_string(&row).unwrap())
        .collect()
}

/// Resident memory, bytes.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kilobytes: i64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

#[test]
#[ignore = "measures; means something in a release build only"]
fn a_known_key_with_limits() {
    let rows = rows();
    let (before, began) = (resident(), Instant::now());
    let directory = Directory::default();
    directory.replace(
        rows.iter()
            .map(|row| Arc::new(serde_json::from_str::<Entity>(row).unwrap())),
    );
    let loaded = began.elapsed();
    let memory = resident() - before;
    let shelf = Shelf::new(Book::new(Rules::default()));
    let keys: Vec<String> = (0..1_000).map(|index| presented(index * 97)).collect();
    let ask = Ask {
        money: MicroUsd::new(100),
        input: 100,
        output: 100,
    };
    let used = Used {
        money: MicroUsd::new(50),
        input: 100,
        output: 20,
    };
    let began = Instant::now();
    for call in 0..CALLS {
        let now = NOW + call as i64 * 10;
        let caller = directory
            .authenticate(&digest(&keys[call % keys.len()]), now, None)
            .unwrap();
        let principal = caller.principal();
        principal.may_use("gpt-4o").unwrap();
        let claims = directory.read().claims(principal, "gpt-4o", None, &[]);
        let demands: Vec<Demand<'_>> = claims.iter().map(|claim| claim.demand()).collect();
        let hold = shelf.reserve(now, &demands, &ask).unwrap();
        hold.settle(&used);
    }
    let each = began.elapsed() / CALLS as u32;
    println!(
        "{KEYS} keys load in {loaded:?} and take {} MB",
        memory / 1_000_000
    );
    println!(
        "authentication, model, limits of key, team and member, reservation and settlement: {each:?} a call"
    );
}
