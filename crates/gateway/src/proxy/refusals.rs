//! Records of requests that were refused before an intent: one by one up to a rate, beyond it as exact counts, so that
//! nobody can fill the disk and no refusal goes unaccounted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use capsule::json::{Object, Value};
use capsule::{Capsule, CapsuleType, Context, Draft, Outcome, Trigger};

use crate::app::App;
use crate::error::{Blame, Error};
use crate::ids;
use crate::observe::access::Line;
use crate::observe::metrics::WordLabel;
use store::spend::{Spend, Status};

/// Counts of one (route, code) since the last summary.
type Counts = BTreeMap<(&'static str, &'static str), u64>;

/// Somebody who could not be authenticated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stranger {
    /// Public id that the presented key has or would have; empty when none was presented.
    pub(crate) key: String,
    /// Where the request came from, if that is known.
    pub(crate) address: String,
}

impl Stranger {
    /// A row among those of calls, so that a query finds who tries again and again. It costs nothing.
    fn row(&self, app: &App, route: &str) -> Spend {
        Spend {
            at: app.clock.now().micros(),
            status: Status::Refused,
            call_type: route.to_owned(),
            key: self.key.clone(),
            address: self.address.clone(),
            ..Spend::default()
        }
    }
}

/// Rate limiter and counters.
pub(crate) struct Refusals {
    per_minute: u32,
    state: Mutex<State>,
}

struct State {
    window_began: Instant,
    sealed_in_window: u32,
    beyond: Counts,
}

impl Refusals {
    pub(crate) fn new(per_minute: u32) -> Self {
        let state = State {
            window_began: Instant::now(),
            sealed_in_window: 0,
            beyond: Counts::new(),
        };
        Self {
            per_minute,
            state: Mutex::new(state),
        }
    }

    /// Accounts for one refusal.
    pub(crate) fn note(
        &self,
        app: &Arc<App>,
        error: &Error,
        route: &'static str,
        key_id: Option<&str>,
        stranger: Option<&Stranger>,
    ) {
        let public = error.public();
        app.metrics
            .refusals
            .get_or_create(&WordLabel { code: public.code })
            .inc();
        if public.blame == Blame::Gateway {
            tracing::warn!(code = public.code, route, "a request was refused");
        }
        let record = if self.may_seal(route, public.code) {
            seal(app, error, route, key_id, stranger)
        } else {
            None
        };
        if app.access.is_on() {
            app.access.write(Line {
                time_micros: app.clock.now().micros(),
                route,
                status: public.status.as_u16(),
                key_id: key_id.map(str::to_owned),
                record,
                outcome: "refused",
                error: Some(public.code),
                ..Line::default()
            });
        }
    }

    fn may_seal(&self, route: &'static str, code: &'static str) -> bool {
        let mut state = self.lock();
        if state.window_began.elapsed() >= Duration::from_secs(60) {
            state.window_began = Instant::now();
            state.sealed_in_window = 0;
        }
        if state.sealed_in_window < self.per_minute {
            state.sealed_in_window += 1;
            return true;
        }
        add(&mut state.beyond, (route, code), 1);
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals the counts of refusals beyond the rate, if any, and waits for the commit. For a thread that may block: called
    /// every second and at shutdown.
    pub(crate) fn flush(&self, app: &App) {
        let counts = std::mem::take(&mut self.lock().beyond);
        if counts.is_empty() {
            return;
        }
        let total: u64 = counts.values().sum();
        let listed = counts.iter().map(|((route, code), count)| {
            let mut entry = Object::new();
            entry.insert("code", *code);
            entry.insert("count", *count);
            entry.insert("route", *route);
            Value::Object(entry)
        });
        let mut env = Object::new();
        env.insert("counts", Value::Array(listed.collect()));
        env.insert("event", "refusals");
        let summary = format!("{total} requests refused beyond the rate of single records");
        let appended = append(
            app,
            CapsuleType::System,
            "gateway",
            env,
            "refusals",
            summary,
            None,
        );
        if appended.is_none_or(|(_, receipt)| receipt.wait().is_err()) {
            // Not recorded: put them back, the next flush tries again.
            let mut state = self.lock();
            for (key, count) in counts {
                add(&mut state.beyond, key, count);
            }
        }
    }
}

fn add(counts: &mut Counts, key: (&'static str, &'static str), more: u64) {
    let count = counts.entry(key).or_insert(0);
    *count = count.saturating_add(more);
}

fn seal(
    app: &Arc<App>,
    error: &Error,
    route: &'static str,
    key_id: Option<&str>,
    stranger: Option<&Stranger>,
) -> Option<String> {
    let public = error.public();
    let mut env = Object::new();
    env.insert("event", "refusal");
    env.insert("key_id", key_id.map_or(Value::Null, Value::from));
    env.insert("status", u64::from(public.status.as_u16()));
    let kind = if matches!(error, Error::Auth(_) | Error::MasterKeyDenied) {
        CapsuleType::Auth
    } else {
        CapsuleType::Chat
    };
    let (id, receipt) = append(
        app,
        kind,
        route,
        env,
        public.code,
        format!("Refused: {}", public.code),
        stranger
            .filter(|_| matches!(error, Error::Auth(_)))
            .map(|stranger| stranger.row(app, route)),
    )?;
    // The refusal is answered at once; if the ledger cannot take the record, the refusal joins the counts.
    let app = app.clone();
    tokio::spawn(async move {
        if receipt.await.is_err() {
            add(&mut app.refusals.lock().beyond, (route, public.code), 1);
        }
    });
    Some(id)
}

fn append(
    app: &App,
    kind: CapsuleType,
    source: &str,
    mut env: Object,
    code: &str,
    summary: String,
    row: Option<Spend>,
) -> Option<(String, ledger::Receipt)> {
    let now = app.clock.now();
    let id = ids::call_id(now.micros()).ok()?;
    env.insert("boot", app.ledger_info.boot.as_ref());
    env.insert("ledger", app.ledger_info.id.as_ref());
    env.insert("observed", true);
    let capsule = Capsule {
        id,
        capsule_type: kind,
        domain: app.snapshot().config.domain.clone(),
        trigger: Trigger {
            trigger_type: "user_request".into(),
            source: source.to_owned(),
            timestamp: now,
            ..Trigger::default()
        },
        context: Context {
            agent_id: app.ledger_info.host.to_string(),
            session_id: None,
            environment: env,
        },
        outcome: Outcome {
            status: "blocked".into(),
            summary,
            error: Some(code.to_owned()),
            ..Outcome::default()
        },
        ..Capsule::default()
    };
    let draft = match Draft::new(&capsule) {
        Ok(draft) => draft,
        Err(error) => {
            tracing::error!(%error, "a refusal could not be recorded");
            return None;
        }
    };
    Some((
        id.to_string(),
        app.ledger.append(draft, row.map(|row| row.encode())),
    ))
}
