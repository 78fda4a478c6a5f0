//! `sealgate demo`: real calls through a real gateway to a sandbox provider, and what the ledger says about them.

mod calls;
mod config;
mod erasure;
mod guard;
mod instance;
mod proof;
mod table;
mod team;
mod work;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use gateway::sandbox::{Journal, Options, Sandbox};
use serde_json::Value;

use crate::client;
use calls::Made;
use instance::{Plan, Target};
use proof::Ledger;
use table::Row;
use work::Work;

/// No step waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the demonstration; true when everything was as promised. Without `once` it keeps serving afterwards, until a signal.
///
/// # Errors
/// When a step could not be made at all.
pub(crate) fn run(data_dir: Option<PathBuf>, once: bool) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let work = Work::new()?;
    let dir = data_dir.unwrap_or_else(|| work.path().join("ledger"));
    let is_new = work::is_new(&dir)?;
    let provider_key = format!("sk-sandbox-{}", work::random_hex(16)?);
    let options = Options {
        api_key: Some(provider_key.clone()),
        ..Options::default()
    };
    let sandbox = runtime
        .block_on(Sandbox::with(options))
        .context("starting the sandbox provider")?;
    let plan = Plan {
        config: work.path().join("config.yaml"),
        data_dir: dir.clone(),
        log: work.path().join("gateway.log"),
        target: Target {
            address: instance::free_address()?,
            key: format!("sk-{}", work::random_hex(32)?),
        },
        provider_key,
    };
    fs::write(&plan.config, config::yaml(&sandbox.base_url(), &dir))?;
    if is_new {
        plan.create()?;
        work::mark(&dir)?;
    }
    say(&format!(
        "ledger    {}\nprovider  {} (sandbox, loopback)\n",
        dir.display(),
        sandbox.base_url()
    ))?;
    let rows = runtime.block_on(demonstrate(&plan, &sandbox.journal(), work.path()))?;
    let as_promised = rows.iter().all(|row| row.wrong.is_none());
    if !once {
        runtime.block_on(keep_serving(&plan))?;
    }
    runtime.block_on(sandbox.stop());
    Ok(as_promised)
}

async fn demonstrate(plan: &Plan, provider: &Journal, work: &Path) -> Result<Vec<Row>> {
    // Calls block, so they run beside the runtime that serves the sandbox and the second gateway.
    let mut made = tokio::task::block_in_place(|| until_the_kill(plan, provider))?;
    let (running, recovered) = plan.start().await?;
    made.extend(tokio::task::block_in_place(|| {
        calls::after_the_restart(&plan.target)
    })?);
    instance::stop(running).await?;
    tokio::task::block_in_place(|| {
        let ledger = Ledger::export(&plan.data_dir, work)?;
        let mut rows: Vec<Row> = made
            .into_iter()
            .map(|made| with_record(made, &ledger))
            .collect();
        rows.iter_mut()
            .filter(|row| row.what == calls::KILLED && recovered != 1)
            .for_each(|row| {
                row.wrong = Some(format!("{recovered} calls were recovered"));
            });
        say(&table::render(&rows))?;
        let proofs = proofs(plan, &ledger, work, &rows)?;
        rows.extend(proofs);
        Ok(rows)
    })
}

/// Everything that happens in the first gateway; it is killed while one call waits at the provider.
fn until_the_kill(plan: &Plan, provider: &Journal) -> Result<Vec<Made>> {
    let process = plan.spawn()?;
    let mut made = calls::all(&plan.target, provider)?;
    made.push(erasure::erased(&plan.target)?);
    until("every record is committed", || {
        let metrics = client::get(plan.target.address, "/metrics", &plan.target.key);
        metrics.is_ok_and(|answer| {
            answer
                .text()
                .lines()
                .any(|line| line.trim() == "sealgate_settle_slots_taken 0")
        })
    })?;
    let connection = calls::waiting(&plan.target, provider)?;
    process.kill()?;
    drop(connection);
    made.push(calls::killed());
    Ok(made)
}

/// Fills in what the record of a call says, and compares it with what was promised.
fn with_record(made: Made, ledger: &Ledger) -> Row {
    let Made {
        mut row,
        id,
        outcome,
        attempts,
        refused,
    } = made;
    let found = match (id, refused) {
        (Some(id), _) => ledger.record(&id),
        (None, Some(code)) => ledger.records.iter().rfind(|record| {
            text(record, "/context/environment/event") == "refusal"
                && text(record, "/outcome/error") == code
        }),
        // The killed call told nobody its id: it is the newest one that recovery sealed.
        (None, None) => ledger
            .records
            .iter()
            .rfind(|record| text(record, "/outcome/status") == "unknown"),
    };
    let Some(record) = found else {
        row.wrong.get_or_insert_with(|| "no record".to_owned());
        return row;
    };
    let status = text(record, "/outcome/status");
    let number = |pointer: &str| record.pointer(pointer).and_then(Value::as_u64);
    row.tokens = number("/execution/resources_used/tokens_in")
        .zip(number("/execution/resources_used/tokens_out"));
    let checks = record
        .pointer("/authority/chain")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut verdicts: Vec<&str> = checks
        .filter_map(|entry| entry.get("outcome")?.as_str())
        .collect();
    verdicts.dedup();
    row.verdict = if verdicts.is_empty() {
        status.to_owned()
    } else {
        format!("{status} ({})", verdicts.join(", "))
    };
    let tried = attempts_of(record);
    if tried.len() > 1 {
        let said: Vec<String> = tried
            .iter()
            .map(|(deployment, status)| format!("{deployment}={status}"))
            .collect();
        row.verdict.push_str(&format!(", {}", said.join(", ")));
    }
    if !attempts.is_empty() && tried != attempts {
        row.wrong
            .get_or_insert_with(|| format!("the record names the attempts {tried:?}"));
    }
    let sequence = number("/sequence").unwrap_or_default();
    row.record = format!("#{sequence} {}", text(record, "/id"));
    if status != outcome {
        row.wrong
            .get_or_insert_with(|| format!("the record says `{status}`, not `{outcome}`"));
    }
    row
}

/// Deployment and status of each attempt that a record holds.
fn attempts_of(record: &Value) -> Vec<(&str, u64)> {
    let attempts = record.pointer("/execution/tool_calls/0/result/attempts");
    let attempts = attempts.and_then(Value::as_array).into_iter().flatten();
    attempts
        .filter_map(|attempt| {
            Some((
                attempt.get("deployment")?.as_str()?,
                attempt.get("status")?.as_u64()?,
            ))
        })
        .collect()
}

fn text<'r>(record: &'r Value, pointer: &str) -> &'r str {
    record
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Verifies the ledger and the damaged copies, and says what came of it.
fn proofs(plan: &Plan, ledger: &Ledger, work: &Path, rows: &[Row]) -> Result<Vec<Row>> {
    let dir = &plan.data_dir;
    let key = proof::public_key(dir)?;
    let mut out = Vec::new();
    let mut note = |what: &str, said: String, fine: bool| -> Result<()> {
        say(&format!(
            "{}{what}: {said}\n",
            if fine { "" } else { "NOT AS PROMISED  " }
        ))?;
        out.push(Row {
            what: what.to_owned(),
            wrong: (!fine).then_some(said),
            ..Row::default()
        });
        Ok(())
    };
    let whole = proof::verify(dir, &key)?;
    note(
        "verified",
        format!(
            "{} records, signatures, links, intents and checkpoint",
            whole.verified
        ),
        whole.passed,
    )?;

    let numbered: Vec<(&str, &str)> = rows
        .iter()
        .filter_map(|row| row.record.strip_prefix('#')?.split_once(' '))
        .collect();
    let (id, edited) =
        proof::edited_copy(dir, work, &key, numbered.iter().rev().map(|(_, id)| *id))?;
    let sequence = numbered
        .iter()
        .find(|(_, other)| *other == id)
        .and_then(|(sequence, _)| sequence.parse::<u64>().ok());
    let named = edited
        .damage
        .iter()
        .any(|(kind, at)| kind == "edited" && *at == sequence);
    note(
        "one byte edited in a copy",
        spoken(&edited),
        !edited.passed && named,
    )?;

    let shortened = proof::shortened_copy(ledger, dir, work, &key)?;
    let named = shortened.damage.iter().any(|(kind, _)| kind == "truncated");
    note(
        "one record cut off a copy",
        spoken(&shortened),
        !shortened.passed && named,
    )?;
    Ok(out)
}

fn spoken(verdict: &proof::Verdict) -> String {
    if verdict.damage.is_empty() {
        return "no damage found".to_owned();
    }
    let named = verdict.damage.iter().map(|(kind, at)| match at {
        Some(at) => format!("{} at record {at}", kind.to_uppercase()),
        None => kind.to_uppercase(),
    });
    named.collect::<Vec<_>>().join(", ")
}

/// Serves until a signal, then ends in order.
async fn keep_serving(plan: &Plan) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (running, _) = plan.start().await?;
    let (address, key) = (plan.target.address, &plan.target.key);
    say(&format!(
        "\nserving on http://{address}  (key {key}; Ctrl-C ends)\n\n  curl http://{address}/v1/chat/completions -H 'Authorization: Bearer {key}' \\\n    \
         -H 'Content-Type: application/json' -d '{{\"model\":\"echo\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'\n\n",
    ))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    instance::stop(running).await
}

/// Polls until `done`.
fn until(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > deadline {
            bail!("{what}: not within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Writes to standard output at once.
fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
