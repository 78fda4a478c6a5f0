//! Who read rows of spend and the audit log, and how many: counted by caller and route, and sealed in groups, so that reading
//! leaves a trace that costs little. What was counted and not sealed when a process is killed is lost; an orderly end seals it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use capsule::json::{Object, Value};
use capsule::{Capsule, CapsuleType, Context, Draft, Outcome, Trigger};
use policy::identity::Manage;

use crate::app::App;
use crate::ids;

/// How long reads are counted before they are sealed.
const INTERVAL: Duration = Duration::from_secs(60);
/// So many callers are counted apart; others are counted together.
const MOST: usize = 500;

/// Requests and rows.
type Count = (u64, u64);
/// By key and route.
type Counts = BTreeMap<(String, &'static str), Count>;

/// Counts of reads that are not sealed yet.
pub(crate) struct Reads {
    state: Mutex<(Instant, Counts)>,
}

impl Default for Reads {
    fn default() -> Self {
        Self {
            state: Mutex::new((Instant::now(), Counts::new())),
        }
    }
}

impl Reads {
    /// Counts an answer, when the route shows what was done and by whom.
    pub(super) fn note(
        &self,
        route: Manage,
        path: &'static str,
        key: &str,
        answer: &serde_json::Value,
    ) {
        if !matches!(
            route,
            Manage::SpendLogs
                | Manage::Audit
                | Manage::AuditOne
                | Manage::ConsentInfo
                | Manage::ConsentList
        ) {
            return;
        }
        let rows = answer.get("audit_logs").unwrap_or(answer).as_array();
        let rows = rows.map_or(1, Vec::len) as u64;
        let mut state = self.lock();
        let known = state.1.len() < MOST || state.1.contains_key(&(key.to_owned(), path));
        let name = if known { key } else { "others" };
        add(&mut state.1, (name.to_owned(), path), (1, rows));
    }

    /// Seals what was counted, once a minute, and at the end (`ending`). For a thread that may block.
    pub(crate) fn flush(&self, app: &App, ending: bool) {
        let counts = {
            let mut state = self.lock();
            if state.1.is_empty() || !(ending || state.0.elapsed() >= INTERVAL) {
                return;
            }
            state.0 = Instant::now();
            std::mem::take(&mut state.1)
        };
        if sealed(app, &counts).is_none() {
            // Not recorded: the next flush tries again.
            let mut state = self.lock();
            for (key, count) in counts {
                add(&mut state.1, key, count);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Instant, Counts)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(counts: &mut Counts, key: (String, &'static str), (requests, rows): Count) {
    let count = counts.entry(key).or_insert((0, 0));
    *count = (
        count.0.saturating_add(requests),
        count.1.saturating_add(rows),
    );
}

fn sealed(app: &App, counts: &Counts) -> Option<()> {
    let now = app.clock.now();
    let listed = counts.iter().map(|((key, route), (requests, rows))| {
        let mut entry = Object::new();
        entry.insert("key_id", key.as_str());
        entry.insert("requests", *requests);
        entry.insert("route", *route);
        entry.insert("rows", *rows);
        Value::Object(entry)
    });
    let mut env = Object::new();
    env.insert("boot", app.ledger_info.boot.as_ref());
    env.insert("event", "reads");
    env.insert("ledger", app.ledger_info.id.as_ref());
    env.insert("observed", true);
    env.insert("reads", Value::Array(listed.collect()));
    let total: u64 = counts.values().map(|count| count.0).sum();
    let capsule = Capsule {
        id: ids::call_id(now.micros()).ok()?,
        capsule_type: CapsuleType::Auth,
        domain: app.snapshot().config.domain.clone(),
        trigger: Trigger {
            trigger_type: "user_request".into(),
            source: "management".to_owned(),
            timestamp: now,
            ..Trigger::default()
        },
        context: Context {
            agent_id: app.ledger_info.host.to_string(),
            session_id: None,
            environment: env,
        },
        outcome: Outcome {
            status: "success".into(),
            summary: format!("{total} reads of spend and audit"),
            ..Outcome::default()
        },
        ..Capsule::default()
    };
    let draft = Draft::new(&capsule)
        .inspect_err(|error| tracing::error!(%error, "reads could not be recorded"))
        .ok()?;
    app.ledger.append(draft, None).wait().ok().map(drop)
}
