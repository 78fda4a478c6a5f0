//! Stage 9: the record and the spend, handed to the ledger as one item; and the settler for calls whose client left.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use capsule::Draft;
use policy::{Billed, Cost, CostSource, MicroUsd};
use store::spend::{Spend, Status};

use super::call::OpenCall;
use super::facts::{End, Facts, UsageSource, Wasted};
use super::record;
use super::reserve::Held;
use crate::app::App;
use crate::content;
use crate::observe::access::{Debug, Line};
use crate::observe::metrics::{ModelLabels, RequestLabels};
use crate::routing;

/// A dropped call on its way to the settler.
type Dropped = (Arc<App>, Box<OpenCall>);

/// The thread that settles calls nobody waits for. Its queue is bounded by the settle slots that the calls hold.
pub(crate) struct Settler {
    queue: std::sync::Mutex<Option<Sender<Dropped>>>,
}

impl Settler {
    /// Starts the thread.
    pub(crate) fn start() -> std::io::Result<(Self, JoinHandle<()>)> {
        let (sender, queue) = channel::<Dropped>();
        let thread = std::thread::Builder::new()
            .name("settler".into())
            .spawn(move || {
                while let Ok((app, open)) = queue.recv() {
                    let end = open.if_dropped.clone();
                    // Nobody waits; the ledger keeps and retries the record by itself.
                    drop(settle(&app, *open, &end, 499));
                }
            })?;
        Ok((
            Self {
                queue: std::sync::Mutex::new(Some(sender)),
            },
            thread,
        ))
    }

    /// Queues a dropped call. After [`Settler::close`] it is settled on the spot.
    pub(crate) fn push(&self, app: &Arc<App>, open: Box<OpenCall>) {
        let sender = match self.queue.lock() {
            Ok(queue) => queue.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        };
        let rest = match sender {
            Some(sender) => sender
                .send((app.clone(), open))
                .err()
                .map(|unsent| unsent.0.1),
            None => Some(open),
        };
        if let Some(open) = rest {
            let end = open.if_dropped.clone();
            drop(settle(app, *open, &end, 499));
        }
    }

    /// No more calls; the thread ends when the queue is empty.
    pub(crate) fn close(&self) {
        match self.queue.lock() {
            Ok(mut queue) => *queue = None,
            Err(poisoned) => *poisoned.into_inner() = None,
        }
    }
}

/// Builds the record, hands it to the ledger with the spend row, gives the slots back, counts and logs.
pub(crate) fn settle(app: &App, open: OpenCall, end: &End, status: u16) -> Option<ledger::Receipt> {
    let OpenCall {
        opened,
        mut held,
        mut facts,
        ..
    } = open;
    estimate_missing_usage(&mut facts, end);
    routing::learn(&mut facts, end);
    let cost = with_wasted(cost(&facts, &held), &mut facts);
    let cost = held.bound(cost);
    if held.bounded {
        facts.opened_switches.push("usage_above_ceiling");
    }
    if held.alone {
        facts.opened_switches.push("limits_alone");
    }
    let kept = content::keep(&app.contents.masker, &facts);
    let capsule = record::build(
        &facts,
        end,
        &cost,
        &app.ledger_info,
        kept.as_ref(),
        opened.number(),
    );
    let spend = spend(&facts, end, &cost).encode();
    let attachment = match &kept {
        Some(kept) => kept.content.attach(&spend),
        None => spend,
    };
    let receipt = match Draft::new(&capsule) {
        Ok(draft) => Some(opened.settle(draft, Some(attachment))),
        Err(error) => {
            // Dropping `opened` seals the call as unknown: accounted for, without the record we could not build.
            tracing::error!(%error, id = %facts.id, "a record could not be built");
            None
        }
    };
    let used = policy::budget::Used {
        money: cost.amount.unwrap_or(policy::MicroUsd::ZERO),
        input: facts.usage.input,
        output: facts.usage.output,
    };
    let receipt = held.settle(&used, receipt);
    app.metrics.sealed.inc();
    count(app, &facts, end, &cost, status);
    log(app, &facts, end, status);
    receipt
}

/// Says that a soft budget is reached.
pub(crate) fn say_crossed(crossed: &policy::budget::Crossed) {
    tracing::warn!(
        object = crossed.object.kind.as_str(),
        id = %crossed.object.id,
        soft_budget = %crossed.soft,
        spent = %crossed.spent,
        "a soft budget is reached"
    );
}

/// A call that reached a provider costs something even when nobody reported how much.
fn estimate_missing_usage(facts: &mut Facts, end: &End) {
    let reached =
        facts.attempts.iter().any(|attempt| attempt.status != 0) || matches!(end, End::Cut(_));
    let free = !facts.billed || matches!(end, End::Failed(_));
    if facts.usage_source != UsageSource::None || !reached || free {
        return;
    }
    // Four bytes a token is the usual ratio for English text; the record says that this is an estimate.
    facts.usage.input = facts.sent_text_bytes.div_ceil(4);
    facts.usage.output = facts.delivered_text_bytes.div_ceil(4);
    facts.usage_source = UsageSource::Estimated;
}

/// Adds what failed attempts used: they may be charged for, and the record says that the numbers are estimated.
fn with_wasted(cost: Cost, facts: &mut Facts) -> Cost {
    let wasted: Vec<Wasted> = facts.attempts.iter().filter_map(|a| a.wasted).collect();
    if wasted.is_empty() {
        return cost;
    }
    let tokens = wasted.iter().map(|wasted| wasted.tokens);
    facts.usage.input = tokens.fold(facts.usage.input, u64::saturating_add);
    facts.usage_source = UsageSource::Estimated;
    let mut total = cost;
    for amount in wasted.iter().filter_map(|wasted| wasted.micro_usd) {
        let so_far = total.amount.map_or(0, MicroUsd::micro);
        total = Cost {
            amount: Some(MicroUsd::new(so_far.saturating_add(amount))),
            source: CostSource::Deployment,
        };
    }
    total
}

fn cost(facts: &Facts, held: &Held) -> Cost {
    if facts.usage_source == UsageSource::None {
        return Cost {
            amount: None,
            source: CostSource::None,
        };
    }
    let usage = &facts.usage;
    let billed = Billed {
        input: usage
            .input
            .saturating_sub(usage.cached_input)
            .saturating_sub(usage.cache_write),
        cached_input: usage.cached_input,
        cache_write: usage.cache_write,
        output: usage.output.saturating_sub(usage.reasoning),
        reasoning: usage.reasoning.min(usage.output),
    };
    held.quote.cost(&billed)
}

fn spend(facts: &Facts, end: &End, cost: &Cost) -> Spend {
    Spend {
        at: facts.arrival.micros(),
        status: match end {
            End::Answered => Status::Success,
            End::Blocked(_) => Status::Blocked,
            End::Failed(_) => Status::Failure,
            End::Cut(_) => Status::Partial,
        },
        call_type: facts.call_type.to_owned(),
        model: facts.billing.model.clone(),
        deployment: facts.destination.deployment.id.clone(),
        provider: facts.destination.deployment.provider.clone(),
        key: facts.key_id.to_string(),
        team: facts.billing.team.clone(),
        user: facts.billing.user.clone(),
        tenant: facts.tenant.clone(),
        organization: facts.billing.organization.clone(),
        end_user: facts.billing.end_user.clone(),
        tags: facts.billing.tags.clone(),
        address: facts
            .billing
            .address
            .map(|address| address.to_string())
            .unwrap_or_default(),
        tokens_in: facts.usage.input,
        tokens_out: facts.usage.output,
        tokens_cached: facts.usage.cached_input,
        tokens_reasoning: facts.usage.reasoning,
        duration_ms: facts.elapsed() / 1000,
        cost_micro_usd: cost.amount.map(policy::MicroUsd::micro),
        cost_source: source(cost),
        estimated: facts.usage_source == UsageSource::Estimated,
    }
}

/// Where a cost comes from, in the words of records and rows.
pub(crate) fn source(cost: &Cost) -> store::spend::CostSource {
    match cost.source {
        CostSource::None => store::spend::CostSource::None,
        CostSource::Table => store::spend::CostSource::Table,
        CostSource::Deployment | CostSource::Ceiling => store::spend::CostSource::Config,
    }
}

fn count(app: &App, facts: &Facts, end: &End, cost: &Cost, status: u16) {
    let requests = RequestLabels {
        route: facts.route,
        requested_model: facts.destination.group.clone(),
        status_code: status,
        hashed_api_key: facts.key_id.clone(),
    };
    if *end != End::Answered {
        app.metrics.failed.get_or_create(&requests).inc();
    }
    app.metrics.requests.get_or_create(&requests).inc();
    app.metrics
        .total_latency
        .observe(facts.elapsed() as f64 / 1e6);
    if facts.timings.head > 0 {
        app.metrics
            .provider_latency
            .observe(facts.timings.head.saturating_sub(facts.timings.checked) as f64 / 1e6);
    }
    if facts.usage_source != UsageSource::None {
        let model = ModelLabels {
            requested_model: facts.destination.group.clone(),
            model_id: Arc::from(facts.destination.deployment.id.as_str()),
        };
        app.metrics
            .tokens_in
            .get_or_create(&model)
            .inc_by(facts.usage.input);
        app.metrics
            .tokens_out
            .get_or_create(&model)
            .inc_by(facts.usage.output);
        if let Some(amount) = cost.amount {
            app.metrics
                .spend
                .get_or_create(&model)
                .inc_by(amount.micro() as f64 / 1e6);
        }
    }
    routing::count(&app.metrics, facts, *end == End::Answered);
    for entry in &facts.coverage {
        let labels = crate::observe::metrics::CheckLabels {
            guardrail_name: entry.check.clone(),
            status: entry.outcome.word(),
        };
        app.metrics.checks.get_or_create(&labels).inc();
    }
    for code in &facts.opened_switches {
        app.metrics
            .opened
            .get_or_create(&crate::observe::metrics::WordLabel { code })
            .inc();
    }
}

fn log(app: &App, facts: &Facts, end: &End, status: u16) {
    if !app.access.is_on() {
        return;
    }
    app.access.write(Line {
        time_micros: app.clock.now().micros(),
        route: facts.route,
        status,
        key_id: Some(facts.key_id.to_string()),
        model: Some(facts.destination.group.to_string()),
        deployment: Some(facts.destination.deployment.id.clone()),
        micros: facts.elapsed(),
        record: Some(facts.id.to_string()),
        outcome: end.status(),
        error: end.code(),
        tokens_in: (facts.usage_source != UsageSource::None).then_some(facts.usage.input),
        tokens_out: (facts.usage_source != UsageSource::None).then_some(facts.usage.output),
        stream: facts.stream,
        debug: facts.snapshot.config.log.debug_fields.then_some(Debug {
            request_bytes: facts.request_bytes,
            delivered_bytes: facts.delivered_bytes,
            opened: facts.timings.opened,
            head: facts.timings.head,
            first_byte: facts.timings.first_byte,
        }),
    });
}
