//! Building a state from the database: after Redis was emptied, restarted or replaced, or when a process counted alone.
//!
//! The order makes it exact. (1) The marker changes: no script of the old state works any more. (2) Every process hands in
//! what its calls hold, or has not heard from Redis for longer than [`SILENCE`] and admits nothing, not even what it has
//! reserved already; what is handed in later is not taken, and a call that nobody handed in goes no further unless its intent
//! stands. (3) The database is read as of one moment: what was spent, what is open. (4) A call that was handed in
//! and has its record is counted by its record; any other holds what it held. (5) Open calls that nobody handed in hold what
//! their intents say. (6) The marker says ready.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ledger::OpenIntent;
use policy::MicroUsd;
use policy::budget::{Ask, Book, Demand};
use store::redis::{Balance, RedisError};

use super::watch::LookError;
use super::{Replicas, SILENCE, truth};
use crate::app::App;
use crate::ids;
use crate::proxy::recover;

/// Beyond [`SILENCE`]: how far clocks of this machine and others may run apart in a second.
const MARGIN: Duration = Duration::from_millis(250);
/// The instance that holds what no living process handed in.
pub(super) const LOST: &str = "lost";

/// Builds a state, unless somebody else does.
pub(super) async fn build(
    app: &Arc<App>,
    replicas: &Arc<Replicas>,
    seen: &str,
) -> Result<(), LookError> {
    let name = ids::call_id(replicas.now())
        .map_err(|error| LookError::Read(error.to_string()))?
        .to_string();
    let Some(marker) = replicas.team.lead(&name, seen).await? else {
        return Ok(());
    };
    tracing::warn!(state = name, "building the shared limits from the database");
    match construct(app, replicas, &name, &marker).await {
        Ok(()) => {
            let ready = marker.replacen("build", "ready", 1);
            // While nobody else builds: what is not of this state is of none.
            replicas.team.clean(&name, &marker).await?;
            if replicas.team.built(&marker, &ready).await? {
                replicas.built.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
        Err(error) => {
            replicas.book().leave();
            replicas.team.built(&marker, "").await?;
            Err(error)
        }
    }
}

async fn construct(
    app: &Arc<App>,
    replicas: &Arc<Replicas>,
    name: &str,
    marker: &str,
) -> Result<(), LookError> {
    if !replicas.hand_in(name).await? {
        return Err(RedisError::Epoch.into());
    }
    tokio::time::sleep(SILENCE + MARGIN).await;
    let handed_in = replicas.team.handed_in(name).await?;
    let asked: HashSet<String> = handed_in.iter().map(|(id, ..)| id.clone()).collect();
    let read = {
        let (app, asked) = (app.clone(), asked.clone());
        tokio::task::spawn_blocking(move || read(&app, &asked))
    };
    let (balances, calls) = read
        .await
        .map_err(|error| LookError::Read(error.to_string()))?
        .map_err(|error| LookError::Read(error.to_string()))?;
    let (book, now) = (replicas.book(), replicas.now());
    book.enter(name, marker);
    book.load(&balances).await?;
    for (id, instance, packed) in &handed_in {
        if !calls.ended.contains(id) {
            book.assert(instance, id, packed, now).await?;
        }
    }
    for intent in &calls.open {
        if !asked.contains(&intent.id.to_string()) {
            hold(app, replicas, intent, now).await?;
        }
    }
    book.leave();
    Ok(())
}

/// What every object begins with, and which calls are open.
fn read(
    app: &App,
    asked: &HashSet<String>,
) -> Result<(Vec<Balance>, truth::Calls), store::reader::ReadError> {
    let Some(replicas) = &app.identity.replicas else {
        return Ok((Vec::new(), truth::Calls::default()));
    };
    app.identity.read_again(&app.digests)?;
    let snapshot = app.snapshot();
    let now = replicas.now();
    let mut book = Book::new(snapshot.config.budgets.rules.clone());
    let calls = app
        .identity
        .replay(&mut book, &app.digests, &snapshot.config, now, |each| {
            truth::calls(replicas.truth.as_ref(), asked, each)
        })?;
    let balances = book
        .objects()
        .map(|object| {
            let (since, usage) = (book.since(object), book.usage(object, now));
            let windows = usage.windows.into_iter();
            Balance {
                object: object.clone(),
                total: usage.total,
                since,
                windows: windows
                    .map(|(period, span, settled, _)| (period, span, settled))
                    .collect(),
            }
        })
        .collect();
    Ok((balances, calls))
}

/// Fills the book of this process with what the database says was spent. Blocks.
pub(super) fn alone(app: &App) -> Result<(), store::reader::ReadError> {
    let Some(replicas) = &app.identity.replicas else {
        return Ok(());
    };
    let snapshot = app.snapshot();
    let mut book = Book::new(snapshot.config.budgets.rules.clone());
    let (config, now) = (&snapshot.config, replicas.now());
    let none = HashSet::new();
    let identity = &app.identity;
    identity.replay(&mut book, &app.digests, config, now, |each| {
        truth::calls(replicas.truth.as_ref(), &none, each)
    })?;
    *identity.shelf.book() = book;
    Ok(())
}

/// Holds what an open call may cost, as its intent says.
async fn hold(
    app: &App,
    replicas: &Replicas,
    intent: &OpenIntent,
    now: i64,
) -> Result<(), LookError> {
    let (spent, cost) = recover::bill(intent);
    let claims = {
        let snapshot = app.snapshot();
        app.identity
            .claims_of_past(&spent, &app.digests, &snapshot.config)
    };
    let demands: Vec<Demand<'_>> = claims.iter().map(|claim| claim.demand()).collect();
    let ask = Ask {
        money: MicroUsd::new(cost.unwrap_or(0)),
        ..Ask::default()
    };
    let id = intent.id.to_string();
    replicas.book().hold(LOST, &id, now, &demands, &ask).await?;
    Ok(())
}
