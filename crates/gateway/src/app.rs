//! The state of a running gateway: what is fixed for the process, and the snapshot that a reload swaps.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use ledger::{Clock, Ledger};
use llm::protocol::Family;
use policy::Slots;
use tokio::sync::watch;

use crate::config::Config;
use crate::content::Contents;
use crate::digest::DigestKey;
use crate::error::Error;
use crate::guardrails::Checks;
use crate::identity::Identity;
use crate::manage::reads::Reads;
use crate::observe::access::AccessLog;
use crate::observe::metrics::Metrics;
use crate::proxy::headers::Witness;
use crate::proxy::refusals::{Refusals, Stranger};
use crate::proxy::settle::Settler;
use crate::serve::desk::Desk;
use crate::server::addresses::Pace;
use crate::server::reply::{self, Reply};
use crate::upstream::client::Upstream;
use crate::upstream::prepared::Prepared;

/// Everything that a reload replaces as one. A call keeps the snapshot it began with.
pub(crate) struct Snapshot {
    pub(crate) config: Config,
    pub(crate) checks: Checks,
    pub(crate) rules: policy::rules::Rules,
    /// Digest of the configuration, 64 hexadecimal characters.
    pub(crate) digest_hex: Arc<str>,
    pub(crate) scan: llm::scan::Limits,
    /// Where the router's clock begins: the start of the process.
    pub(crate) epoch: Instant,
    /// Requests to deployments, by deployment id.
    pub(crate) prepared: HashMap<String, Arc<Prepared>>,
}

impl Snapshot {
    /// Now on the router's clock, in microseconds.
    pub(crate) fn micros(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// What records say about the ledger they stand in.
pub(crate) struct LedgerInfo {
    pub(crate) id: Arc<str>,
    pub(crate) boot: Arc<str>,
    pub(crate) digest_key: Arc<str>,
    /// Host part of the agent identity, when nothing better is known.
    pub(crate) host: Arc<str>,
}

/// A running gateway.
pub(crate) struct App {
    snapshot: ArcSwap<Snapshot>,
    pub(crate) ledger: Ledger,
    pub(crate) ledger_info: LedgerInfo,
    pub(crate) digests: Arc<DigestKey>,
    /// What is kept of calls' texts.
    pub(crate) contents: Arc<Contents>,
    pub(crate) upstream: Upstream,
    pub(crate) slots: Arc<Slots>,
    /// Reads of spend and audit that are not sealed yet.
    pub(crate) reads: Reads,
    /// Requests and wrong keys by address.
    pub(crate) requests_by_address: Pace,
    pub(crate) wrong_keys_by_address: Pace,
    /// Keys, teams, users, and what they spent.
    pub(crate) identity: Arc<Identity>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access: Arc<AccessLog>,
    pub(crate) refusals: Refusals,
    pub(crate) settler: Settler,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reloads: Desk,
    /// The newest checkpoint as a header.
    pub(crate) witness: Witness,
    draining: AtomicBool,
    /// True once open streams must end: the drain time is over.
    cut: watch::Sender<bool>,
}

/// Parts of an [`App`], put together by [`crate::serve`].
pub(crate) struct Parts {
    pub(crate) snapshot: Snapshot,
    pub(crate) ledger: Ledger,
    pub(crate) ledger_info: LedgerInfo,
    pub(crate) digests: Arc<DigestKey>,
    pub(crate) contents: Arc<Contents>,
    pub(crate) upstream: Upstream,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access: Arc<AccessLog>,
    pub(crate) settler: Settler,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reloads: Desk,
    pub(crate) identity: Identity,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        let limits = &parts.snapshot.config.limits;
        Self {
            slots: Slots::new(limits.max_parallel),
            reads: Reads::default(),
            requests_by_address: Pace::default(),
            wrong_keys_by_address: Pace::default(),
            refusals: Refusals::new(limits.sealed_refusals_per_minute),
            identity: Arc::new(parts.identity),
            snapshot: ArcSwap::from_pointee(parts.snapshot),
            ledger: parts.ledger,
            ledger_info: parts.ledger_info,
            digests: parts.digests,
            contents: parts.contents,
            upstream: parts.upstream,
            metrics: parts.metrics,
            access: parts.access,
            settler: parts.settler,
            clock: parts.clock,
            reloads: parts.reloads,
            witness: Witness::default(),
            draining: AtomicBool::new(false),
            cut: watch::Sender::new(false),
        }
    }

    /// The configuration and what was built from it.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts a validated and sealed configuration in place.
    pub(crate) fn swap(&self, snapshot: Arc<Snapshot>) {
        self.slots.set_limit(snapshot.config.limits.max_parallel);
        self.upstream.set_egress(&snapshot.config.egress);
        let rules = snapshot.config.budgets.rules.clone();
        if let Some(replicas) = &self.identity.replicas {
            replicas.set_rules(rules.clone());
        }
        self.identity.shelf.book().set_rules(rules);
        self.snapshot.store(snapshot);
    }

    /// No new calls from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Ends open streams with an error event.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// True once [`App::cut`] was called.
    pub(crate) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }

    /// Resolves when [`App::cut`] is called.
    pub(crate) fn when_cut(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut cut = self.cut.subscribe();
        async move {
            // The sender lives as long as the app that every call holds.
            if cut.wait_for(|cut| *cut).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Answers with an error in the client's envelope and accounts for the refusal: log, metric, record.
    pub(crate) fn refuse(
        self: &Arc<Self>,
        family: Family,
        error: Error,
        route: &'static str,
        key_id: Option<&str>,
    ) -> Reply {
        self.refusals.note(self, &error, route, key_id, None);
        reply::error_in(family, &error, None)
    }

    /// The same for somebody who could not be authenticated: what was presented is noted as its digest.
    pub(crate) fn refuse_stranger(
        self: &Arc<Self>,
        family: Family,
        error: Error,
        route: &'static str,
        stranger: &Stranger,
    ) -> Reply {
        self.refusals
            .note(self, &error, route, None, Some(stranger));
        reply::error_in(family, &error, None)
    }

    /// The text of `/metrics`.
    pub(crate) fn render_metrics(&self) -> String {
        let status = self.ledger.status();
        let mut text = crate::routing::metrics(&self.snapshot());
        if let Some(replicas) = &self.identity.replicas {
            text.push_str(&replicas.metrics());
        }
        text.push_str(&self.metrics.render(&[
            (
                "sealgate_settle_slots_taken",
                "Calls whose record is not committed yet",
                status.slots.0 as u64,
            ),
            (
                "sealgate_ledger_admitting",
                "1 while the ledger takes new calls",
                u64::from(status.admitting),
            ),
            (
                "sealgate_access_lines_dropped",
                "Access log lines lost",
                self.access.dropped(),
            ),
            (
                "sealgate_damaged_entities",
                "Stored keys, teams and users that are not as they were sealed; they count as blocked",
                self.identity.damaged as u64,
            ),
            (
                "sealgate_parallel_calls",
                "Calls holding a parallel slot",
                u64::from(self.slots.taken()),
            ),
        ]));
        text
    }
}
