//! Where calls go: the gateway's side of [`policy::router`]. It gives the router time, randomness and the facts of a request,
//! and turns its decisions into the destination of a call.

mod classify;
mod learn;
mod report;
mod selectors;

use std::sync::Arc;
use std::time::Duration;

use llm::protocol::Protocol;
use policy::budget::{Dimension, Exceeded, Object, ObjectKind};
use policy::router::{Ask, Course, Failure, Lease, Pick, Step};
use policy::{Rejection, RouteError};

pub(crate) use learn::learn;
pub(crate) use report::{attempts, considered, count, health, is_cooling, metrics};
pub(crate) use selectors::{Selectors, request_tags};

use crate::app::{App, Snapshot};
use crate::config::{Deployment, Mode};
use crate::error::Error;
use crate::ids;
use crate::proxy::answer::not_served;
use crate::proxy::facts::{Attempt, Considered, Destination, Facts};
use crate::proxy::inspect::Request;
use crate::proxy::price::{self, Weight};
use crate::upstream::render;

/// Whether a caller may use a model; `None` for one who may use all.
pub(crate) type Permits = Option<Arc<dyn Fn(&str) -> bool + Send + Sync>>;

/// A call's way through the deployments, with what every further choice needs to know of its request.
pub(crate) struct Way {
    course: Course,
    /// The place at the present deployment; `None` once the attempt there has been reported.
    lease: Option<Lease>,
    /// Microseconds after the call's arrival at which the present attempt began.
    began: u64,
    /// The model group that was asked for.
    first_group: Arc<str>,
    protocol: Protocol,
    stream: bool,
    selectors: Selectors,
    prompt_tokens: u64,
    permits: Permits,
    /// What budgets of further deployments weigh the call by.
    weight: Weight,
    /// The id of the only deployment that can serve, where the request refers to what it holds.
    only: Option<Arc<str>>,
    /// Deployments and providers that had no room for this call when it was to be held, and why.
    full: Vec<(Object, Rejection)>,
}

impl Way {
    /// Repetitions so far.
    pub(crate) fn retries(&self) -> u32 {
        self.course.retries()
    }

    /// The model group that was asked for.
    pub(crate) fn first_group(&self) -> Arc<str> {
        self.first_group.clone()
    }

    /// Groups after the first one that were turned to.
    pub(crate) fn fallbacks(&self) -> u32 {
        self.course.fallbacks()
    }

    /// The longest the whole call may take, if the client asked for less than configured.
    pub(crate) fn time_asked(&self) -> Option<Duration> {
        self.selectors.timeout
    }

    /// The request leaves for the present deployment, so many microseconds after the call's arrival.
    pub(crate) fn attempt_begins(&mut self, elapsed: u64) {
        self.began = elapsed;
        if let Some(lease) = &mut self.lease {
            lease.begin();
        }
    }
}

/// Chooses the first deployment of a call.
///
/// # Errors
/// Unknown model, provider not available, no deployment that can serve now.
pub(crate) fn begin(
    app: &App,
    snapshot: &Snapshot,
    route: &'static str,
    request: &Request,
    selectors: Selectors,
    permits: Permits,
) -> Result<Destination, Error> {
    let unknown = |model| unknown(route, model);
    let model = request.model.as_deref().ok_or_else(|| unknown("None"))?;
    let wanted = Wanted {
        selectors,
        permits,
        only: None,
    };
    choose(app, snapshot, route, request, model, wanted)
}

/// As [`begin`], for a request that only one deployment can serve: it holds what the request refers to.
///
/// # Errors
/// As [`begin`].
pub(crate) fn begin_at(
    app: &App,
    snapshot: &Snapshot,
    route: &'static str,
    request: &Request,
    model: &str,
    deployment: &str,
    selectors: Selectors,
) -> Result<Destination, Error> {
    let wanted = Wanted {
        selectors,
        // No other group holds it either.
        permits: Some(Arc::new(|_| false)),
        only: Some(Arc::from(deployment)),
    };
    choose(app, snapshot, route, request, model, wanted)
}

/// What narrows a choice beside the model's name.
struct Wanted {
    selectors: Selectors,
    permits: Permits,
    only: Option<Arc<str>>,
}

fn choose(
    app: &App,
    snapshot: &Snapshot,
    route: &'static str,
    request: &Request,
    model: &str,
    wanted: Wanted,
) -> Result<Destination, Error> {
    let Wanted {
        selectors,
        permits,
        only,
    } = wanted;
    let router = &snapshot.config.models;
    let prompt_tokens = match router.counts_tokens() {
        true => llm::tokens::of_request(request.body.as_ref()),
        false => 0,
    };
    let (protocol, stream) = (request.protocol, request.body.stream());
    let purse = Purse {
        app,
        snapshot,
        weight: Weight::of(request),
        now: app.clock.now().micros(),
    };
    let tags = selectors.tags();
    let began = router.begin(&Ask {
        model,
        now: snapshot.micros(),
        draw: ids::random_u64().map_err(|_| Error::Internal)?,
        tags: &tags,
        prompt_tokens,
        tokens: prompt_tokens,
        stream,
        judge: &|deployment| {
            judge(protocol, only.as_deref(), deployment).or_else(|| purse.judge(deployment))
        },
        permits: &|name| permits.as_ref().is_none_or(|permits| permits(name)),
        fallbacks: &selectors.fallbacks,
    });
    let (course, pick) = began.map_err(|error| match error {
        RouteError::NoneUsable { reason, .. } => purse
            .refusal(model, reason)
            .unwrap_or_else(|| refused(snapshot, route, request, model, error)),
        error => refused(snapshot, route, request, model, error),
    })?;
    let Pick {
        deployment,
        group,
        lease,
        step,
        ..
    } = pick;
    drop(tags);
    let mut destination = Destination {
        requested: Arc::from(model),
        served_as: Arc::from(model),
        group: Arc::from(group),
        wildcard: course.wildcard().is_some(),
        upstream_model: upstream_model(deployment, &course),
        considered: Vec::new(),
        deployment: deployment.clone(),
        way: Some(Box::new(Way {
            course,
            lease: Some(lease),
            began: 0,
            first_group: Arc::from(router.group_of(model).unwrap_or(group)),
            protocol,
            stream,
            selectors,
            prompt_tokens,
            permits,
            weight: purse.weight,
            only,
            full: Vec::new(),
        })),
    };
    note_model(&mut destination, step);
    note_considered(snapshot, &mut destination);
    Ok(destination)
}

/// After a failed attempt: reports it, and gives the wait before the next one, whose destination is then in `facts`. `None`
/// when the call ends here.
pub(crate) fn after(
    app: &App,
    facts: &mut Facts,
    error: &Error,
    remaining: Duration,
) -> Option<Duration> {
    let snapshot = facts.snapshot.clone();
    let router = &snapshot.config.models;
    let class = classify::class_of(error)?;
    let failure = Failure {
        class,
        retry_after: classify::retry_after(error),
        input: facts.attempts.last().map_or(0, Attempt::tokens),
        output: 0,
    };
    let way = facts.destination.way.as_mut()?;
    let now = snapshot.micros();
    let cooled = match way.lease.take() {
        Some(lease) => router.failed(&way.course, lease, now, &failure),
        None => return None,
    };
    if cooled {
        tracing::warn!(
            deployment = %facts.destination.deployment.id,
            class = class.as_str(),
            "a deployment fails and is left alone for a while"
        );
    }
    let tags = way.selectors.tags();
    let (protocol, permits, only) = (way.protocol, way.permits.clone(), way.only.clone());
    let purse = Purse {
        app,
        snapshot: &snapshot,
        weight: way.weight,
        now: app.clock.now().micros(),
    };
    let spent = way
        .selectors
        .retries
        .is_some_and(|most| way.course.retries() >= most);
    let next = router.next(
        &mut way.course,
        &failure,
        &Ask {
            model: &facts.destination.requested,
            now,
            draw: ids::random_u64().ok()?,
            tags: &tags,
            prompt_tokens: way.prompt_tokens,
            tokens: way.prompt_tokens,
            stream: way.stream,
            judge: &|deployment| {
                judge(protocol, only.as_deref(), deployment)
                    .or_else(|| known_full(&way.full, deployment))
                    .or_else(|| purse.judge(deployment))
            },
            permits: &|name| permits.as_ref().is_none_or(|permits| permits(name)),
            fallbacks: &way.selectors.fallbacks,
        },
        match spent {
            true => 0,
            false => u64::try_from(remaining.as_micros()).unwrap_or(u64::MAX),
        },
    );
    let Some(pick) = next else {
        note_considered(&snapshot, &mut facts.destination);
        return None;
    };
    let wait = pick.wait;
    take(&snapshot, &mut facts.destination, pick);
    Some(Duration::from_micros(wait))
}

/// Puts the router's choice in place of the present destination.
fn take(snapshot: &Snapshot, destination: &mut Destination, pick: Pick<'_, Arc<Deployment>>) {
    let Some(way) = &mut destination.way else {
        return;
    };
    way.lease = Some(pick.lease);
    destination.upstream_model = upstream_model(pick.deployment, &way.course);
    destination.wildcard = way.course.wildcard().is_some();
    destination.deployment = pick.deployment.clone();
    destination.group = Arc::from(pick.group);
    note_model(destination, pick.step);
    note_considered(snapshot, destination);
}

/// A limit of the destination's deployment, or of its provider, refused to hold the call. Chooses another deployment that has
/// room, if there is one; nothing was sent yet. False when the call ends with the refusal.
///
/// # Errors
/// No randomness.
pub(crate) fn instead(
    app: &App,
    snapshot: &Snapshot,
    destination: &mut Destination,
    exceeded: &Exceeded,
) -> Result<bool, Error> {
    let present = destination.deployment.clone();
    let Some(way) = &mut destination.way else {
        return Ok(false);
    };
    // What was refused once is never chosen again, so this ends.
    if !is_of(&exceeded.object, &present) || known_full(&way.full, &present).is_some() {
        return Ok(false);
    }
    way.full
        .push((exceeded.object.clone(), rejection(exceeded.dimension)));
    way.lease = None;
    let purse = Purse {
        app,
        snapshot,
        weight: way.weight,
        now: app.clock.now().micros(),
    };
    let tags = way.selectors.tags();
    let (protocol, permits, only) = (way.protocol, way.permits.clone(), way.only.clone());
    let full = &way.full;
    let chosen = snapshot.config.models.instead(
        &mut way.course,
        &Ask {
            model: &destination.requested,
            now: snapshot.micros(),
            draw: ids::random_u64().map_err(|_| Error::Internal)?,
            tags: &tags,
            prompt_tokens: way.prompt_tokens,
            tokens: way.prompt_tokens,
            stream: way.stream,
            judge: &|deployment| {
                judge(protocol, only.as_deref(), deployment)
                    .or_else(|| known_full(full, deployment))
                    .or_else(|| purse.judge(deployment))
            },
            permits: &|name| permits.as_ref().is_none_or(|permits| permits(name)),
            fallbacks: &way.selectors.fallbacks,
        },
    );
    drop(tags);
    match chosen {
        Ok(pick) => {
            take(snapshot, destination, pick);
            Ok(true)
        }
        Err(_) => {
            note_considered(snapshot, destination);
            Ok(false)
        }
    }
}

/// Whether an object of the book stands for a deployment or for its provider.
fn is_of(object: &Object, deployment: &Deployment) -> bool {
    match object.kind {
        ObjectKind::Deployment => {
            let id = object.id.split('\u{1f}').next();
            id == Some(deployment.id.as_str())
        }
        ObjectKind::Provider => *object.id == *deployment.provider,
        _ => false,
    }
}

/// Whether a limit is one of a deployment or of a provider.
pub(crate) fn is_target(exceeded: &Exceeded) -> bool {
    let kind = exceeded.object.kind;
    matches!(kind, ObjectKind::Deployment | ObjectKind::Provider)
}

fn known_full(full: &[(Object, Rejection)], deployment: &Deployment) -> Option<Rejection> {
    let mut full = full.iter();
    full.find_map(|(object, reason)| is_of(object, deployment).then_some(*reason))
}

/// What the router calls a limit.
fn rejection(dimension: Dimension) -> Rejection {
    match dimension {
        Dimension::Budget => Rejection::Budget,
        Dimension::Requests => Rejection::RequestLimit,
        Dimension::Tokens | Dimension::TokensPerDay => Rejection::TokenLimit,
        Dimension::Parallel => Rejection::ParallelLimit,
    }
}

/// What a client is told when a limit refuses its call: for calls and tokens of a deployment what a choice without room says.
pub(crate) fn no_room(exceeded: Exceeded, model: &str, budget_status: u16) -> Error {
    match (exceeded.object.kind, rejection(exceeded.dimension)) {
        (_, Rejection::Budget) => Error::Exceeded {
            exceeded: Box::new(exceeded),
            budget_status,
        },
        (ObjectKind::Deployment, reason) => Error::DeploymentLimit {
            model: model.chars().take(100).collect(),
            what: reason.as_str(),
            seconds: exceeded.retry_after().unwrap_or(1),
        },
        _ => Error::Exceeded {
            exceeded: Box::new(exceeded),
            budget_status,
        },
    }
}

/// After a fallback an answer carries the name of the model that gave it, as LiteLLM's clients see it.
fn note_model(destination: &mut Destination, step: Step) {
    if step == Step::Fallback {
        destination.served_as = Arc::from(destination.upstream_model.as_str());
    }
}

fn note_considered(snapshot: &Snapshot, destination: &mut Destination) {
    let Some(way) = &destination.way else {
        return;
    };
    let considered = snapshot.config.models.considered(&way.course);
    destination.considered = considered
        .map(|seen| Considered {
            id: seen.deployment.id.clone(),
            group: seen.group.to_owned(),
            rejected: seen.rejected.map(Rejection::as_str),
        })
        .collect();
}

fn upstream_model(deployment: &Deployment, course: &Course) -> String {
    deployment
        .upstream_model
        .name(course.wildcard())
        .into_owned()
}

/// Why a deployment cannot serve a call.
fn judge(protocol: Protocol, only: Option<&str>, deployment: &Deployment) -> Option<Rejection> {
    if only.is_some_and(|only| only != deployment.id) {
        return Some(Rejection::NotHolder);
    }
    if !deployment.built && deployment.mock_response.is_none() {
        return Some(Rejection::ProviderNotBuilt);
    }
    let fits = match deployment.mode {
        Mode::Any => true,
        Mode::Chat => !matches!(protocol, Protocol::Embeddings | Protocol::Moderations),
        Mode::Embedding => protocol == Protocol::Embeddings,
        Mode::Completion => protocol == Protocol::Completions,
        Mode::Responses => protocol == Protocol::Responses,
        Mode::Moderation => protocol == Protocol::Moderations,
        Mode::Other => false,
    };
    // What is stored at a deployment is asked for there, whatever else it serves.
    let fits = only.is_some() || (fits && render::serves(protocol, deployment));
    (!fits).then_some(Rejection::OtherMode)
}

/// What decides about budgets of deployments, and about limits that processes share, while one is chosen.
struct Purse<'a> {
    app: &'a App,
    snapshot: &'a Snapshot,
    weight: Weight,
    /// Microseconds since the Unix epoch.
    now: i64,
}

impl Purse<'_> {
    /// The limit, the deployment's or its provider's, that has no room for the call.
    fn over(&self, deployment: &Deployment) -> Option<Exceeded> {
        let settings = &self.snapshot.config.budgets;
        self.app
            .identity
            .over(&self.snapshot.config, deployment, self.now, || {
                let model = deployment.upstream_model.name(None);
                let quote = price::quote_of(deployment, &model, settings);
                self.weight.expect(&quote, settings).ask
            })
    }

    /// A deployment without room in its budget takes no more calls; others of its group do.
    fn judge(&self, deployment: &Deployment) -> Option<Rejection> {
        self.over(deployment)
            .map(|exceeded| rejection(exceeded.dimension))
    }

    /// What a client is told when such a limit leaves no deployment of the group.
    fn refusal(&self, model: &str, reason: Rejection) -> Option<Error> {
        let mut behind = self.snapshot.config.models.behind(model);
        let exceeded = behind.find_map(|target| {
            self.over(&target.deployment)
                .filter(|exceeded| rejection(exceeded.dimension) == reason)
        })?;
        let status = self.snapshot.config.budgets.exceeded_status;
        Some(no_room(exceeded, model, status))
    }
}

/// What a client is told when no deployment can serve.
fn refused(
    snapshot: &Snapshot,
    route: &'static str,
    request: &Request,
    model: &str,
    error: RouteError,
) -> Error {
    let RouteError::NoneUsable { reason, retry_at } = error else {
        return unknown(route, model);
    };
    let provider = || {
        let first = snapshot.config.models.behind(model).next();
        first.map_or_else(|| "unknown".to_owned(), |t| t.deployment.provider.clone())
    };
    let cut = || model.chars().take(100).collect::<String>();
    let wait = retry_at.map_or(0, |at| at.saturating_sub(snapshot.micros()));
    // Rounded up, so that whoever waits so long finds it open.
    let seconds = wait.div_ceil(1_000_000).max(1);
    match reason {
        Rejection::CoolingDown => Error::NoDeployment {
            model: cut(),
            seconds,
        },
        Rejection::RequestLimit | Rejection::TokenLimit | Rejection::ParallelLimit => {
            Error::DeploymentLimit {
                model: cut(),
                what: reason.as_str(),
                seconds,
            }
        }
        Rejection::ContextWindow => Error::ContextWindow { model: cut() },
        Rejection::TagMismatch => Error::NoDeploymentForTags { model: cut() },
        Rejection::ProviderNotBuilt => Error::ProviderNotAvailable {
            provider: provider(),
        },
        Rejection::OtherMode => not_served(&provider(), request.protocol),
        _ => unknown(route, model),
    }
}

fn unknown(route: &'static str, model: &str) -> Error {
    Error::UnknownModel {
        route,
        model: model.chars().take(100).collect(),
    }
}
