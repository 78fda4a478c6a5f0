//! `capsule verify`: the chain, record by record, in parallel and in constant memory.

pub mod check;
pub mod lines;
#[cfg(test)]
mod mutations;
pub mod report;
pub mod trust;

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use capsule::PublicKey;
use capsule::chain::{self, ChainVerifier, Checked, Level as ChainLevel};
use capsule::verify::{Keys, PostQuantum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ledger::audit::{Audit, Facts};
use ledger::checkpoint::Checkpoint;

use crate::capsule_cli::args;
use crate::capsule_cli::bundle;
use crate::capsule_cli::console::{self, Console, Visible};
use crate::capsule_cli::exit::Exit;
use crate::capsule_cli::input::{self, Choice, Source};
use crate::capsule_cli::pipeline;
use check::{Batch, Checker, Examined, Fault};
use lines::Lines;
use report::{Failure, Level, Verdict};
use store::post_quantum::read_public;
use trust::Trust;

/// A verification that is ready to run.
#[derive(Debug)]
pub struct Plan {
    /// Where the records are.
    pub source: Choice,
    /// How deep to look.
    pub level: Level,
    /// Whose signatures count.
    pub trust: Trust,
    /// What to do with post-quantum signatures.
    pub post_quantum: PostQuantum,
    /// A checkpoint to compare with.
    pub checkpoint: Option<Checkpoint>,
}

/// Runs `capsule verify`.
///
/// # Errors
/// When an output cannot be written.
pub fn run(arguments: &args::Verify, console: &mut Console) -> io::Result<Exit> {
    if let Some(path) = &arguments.proof {
        return proof(path, arguments, console);
    }
    let plan = match plan(arguments) {
        Ok(plan) => plan,
        Err(message) => {
            writeln!(console.err, "{}", Visible(&message))?;
            return Ok(Exit::Error);
        }
    };
    let human = !arguments.json && !arguments.quiet;
    let mut lines = human.then(|| Lines::new(plan.level));
    let verdict = match verify(plan, console, lines.as_mut(), !arguments.quiet) {
        Ok(verdict) => verdict,
        Err(VerifyError::Output(error)) => return Err(error),
        Err(VerifyError::Input(message)) => {
            writeln!(console.err, "Error loading capsules: {}", Visible(&message))?;
            return Ok(Exit::Error);
        }
    };
    if arguments.json {
        verdict.write_json(&mut console.out)?;
    } else if let Some(lines) = lines {
        lines.finish(console, &verdict)?;
    }
    console.out.flush()?;
    if !arguments.quiet {
        verdict.write_remarks(console)?;
    }
    Ok(if verdict.valid() {
        Exit::Pass
    } else {
        Exit::Fail
    })
}

/// Verifies a bundle instead of a chain. Without a key to trust it would prove nothing.
fn proof(path: &Path, arguments: &args::Verify, console: &mut Console) -> io::Result<Exit> {
    let trust = match explicit(arguments) {
        Ok(Some(trust)) => Ok(trust),
        Ok(None) => keys_of(arguments.source.data_dir.as_deref())
            .map_err(|message| format!("Error: {message}")),
        Err(message) => Err(message),
    };
    let trust = trust.and_then(|trust| match trust.is_empty() {
        false => Ok(trust),
        true => Err(
            "Error: a proof needs a key to trust: pass --pubkey HEX, or --data-dir DIR with a key"
                .to_owned(),
        ),
    });
    match trust.and_then(|trust| Ok((trust, post_quantum(arguments)?))) {
        Ok((trust, post_quantum)) => {
            let form = (arguments.json, arguments.quiet);
            bundle::verify::run(path, &trust, &post_quantum, form, console)
        }
        Err(message) => {
            writeln!(console.err, "{}", Visible(&message))?;
            Ok(Exit::Error)
        }
    }
}

/// The key of the command line.
fn explicit(arguments: &args::Verify) -> Result<Option<Trust>, String> {
    match (&arguments.pubkey, &arguments.pubkey_file) {
        (Some(_), Some(_)) => Err("Error: specify only one of --pubkey / --pubkey-file".to_owned()),
        (Some(text), None) => Ok(Some(Trust::of_text(text))),
        (None, Some(path)) => Ok(Some(Trust::of_text(&key_file(path)?))),
        (None, None) => Ok(None),
    }
}

/// What the arguments ask about post-quantum signatures.
fn post_quantum(arguments: &args::Verify) -> Result<PostQuantum, String> {
    if !arguments.require_pq && arguments.pq_pubkey_file.is_none() {
        return Ok(PostQuantum::Ignore);
    }
    let path = match &arguments.pq_pubkey_file {
        Some(path) => path.clone(),
        None => console::data_dir(arguments.source.data_dir.as_deref())
            .map_err(|message| format!("Error: {message}"))?
            .join("key.ml.pub"),
    };
    let key = read_public(path.clone()).map_err(|error| format!("Error: {error}"))?;
    let key = key.ok_or_else(|| {
        format!(
            "Error: {} does not exist; pass --pq-pubkey-file",
            path.display()
        )
    })?;
    Ok(match arguments.require_pq {
        true => PostQuantum::Require(key),
        false => PostQuantum::IfPresent(key),
    })
}

/// What the arguments ask for.
///
/// # Errors
/// The line to print on the error stream.
fn plan(arguments: &args::Verify) -> Result<Plan, String> {
    let source = input::choose(&arguments.source).map_err(|message| format!("Error: {message}"))?;
    let explicit = explicit(arguments)?;
    let post_quantum = post_quantum(arguments)?;
    let signatures = arguments.signatures || post_quantum != PostQuantum::Ignore;
    let level = match (&explicit, arguments.full, signatures) {
        (Some(_), _, _) | (None, _, true) => Level::Signatures,
        (None, true, false) => Level::Full,
        (None, false, false) => Level::Structural,
    };
    let dir = arguments.source.data_dir.as_deref();
    let trust = match explicit {
        Some(trust) => trust,
        None if level == Level::Signatures => {
            keys_of(dir).map_err(|message| format!("Error: {message}"))?
        }
        None => Trust::nobody(),
    };
    Ok(Plan {
        source,
        level,
        trust,
        post_quantum,
        checkpoint: checkpoint(arguments.checkpoint.as_deref(), dir)?,
    })
}

/// The key that a genesis of ours names.
fn genesis_key(facts: &Facts) -> Option<PublicKey> {
    let event = facts.member.as_ref()?.event.as_ref()?;
    let named = event.environment.get("public_key")?.as_str()?;
    (event.name == "genesis").then(|| PublicKey::from_hex(named).ok())?
}

fn keys_of(dir: Option<&Path>) -> Result<Trust, String> {
    Trust::of_dir(&console::data_dir(dir)?)
}

fn key_file(path: &Path) -> Result<String, String> {
    let failed = |error: io::Error| {
        let error = input::InputError::File {
            path: path.to_owned(),
            error,
        };
        format!("Error reading --pubkey-file: {error}")
    };
    let text = fs::read_to_string(path).map_err(failed)?;
    Ok(text.trim().to_owned())
}

/// The checkpoint of the flag, else the newest one that the data directory holds.
fn checkpoint(flag: Option<&Path>, dir: Option<&Path>) -> Result<Option<Checkpoint>, String> {
    let path: PathBuf = match (flag, dir) {
        (Some(path), _) => path.to_owned(),
        (None, Some(dir)) => {
            let dir =
                console::data_dir(Some(dir)).map_err(|message| format!("Error: {message}"))?;
            let path = dir.join("checkpoint");
            if !path.is_file() {
                return Ok(None);
            }
            path
        }
        (None, None) => return Ok(None),
    };
    let note = fs::read_to_string(&path)
        .map_err(|error| format!("Error reading --checkpoint: {}: {error}", path.display()))?;
    let parsed = Checkpoint::parse(&note);
    parsed
        .map(Some)
        .map_err(|error| format!("Error reading --checkpoint: {}: {error}", path.display()))
}

/// Why a verification came to no verdict.
#[derive(Debug)]
pub enum VerifyError {
    /// The records could not be read; the sentence says why.
    Input(String),
    /// The report could not be written.
    Output(io::Error),
}

/// Verifies a chain. `lines` takes the human report line by line; `progress` allows a bar on a terminal.
///
/// # Errors
/// When the records cannot be read to the end, or the report cannot be written.
pub fn verify(
    plan: Plan,
    console: &mut Console,
    lines: Option<&mut Lines>,
    progress: bool,
) -> Result<Verdict, VerifyError> {
    let failed = |error: input::InputError| VerifyError::Input(error.to_string());
    let (source, size) = Source::open(&plan.source).map_err(failed)?;
    let bar = progress_bar(size, &plan.source, progress && console.err_is_terminal);
    let mut audit = Audit::new();
    if let Some(checkpoint) = plan.checkpoint {
        audit = audit.with_checkpoint(checkpoint);
    }
    let checker = Checker::new(
        plan.level,
        plan.trust,
        plan.post_quantum,
        audit.wants_leaves(),
    );
    let mut run = Run::new(audit, plan.level, &checker, lines);
    let mut stopped = None;
    let read = pipeline::run(
        |push| source.for_each(push),
        |chunk| checker.check(chunk),
        |batch: Batch| {
            bar.set_position(batch.consumed);
            match run.take(batch, console) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    stopped = Some(error);
                    ControlFlow::Break(())
                }
            }
        },
    );
    bar.finish_and_clear();
    if let Some(error) = stopped {
        return Err(error);
    }
    read.map_err(failed)?;
    Ok(run.finish())
}

fn progress_bar(size: Option<u64>, source: &Choice, shown: bool) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let bytes = !matches!(source, Choice::Database(_) | Choice::Server(..));
    let template = match (size, bytes) {
        (Some(_), true) => "{bar:40} {bytes}/{total_bytes} {eta}",
        (Some(_), false) => "{bar:40} {pos}/{len} records {eta}",
        (None, _) => "{spinner} {bytes}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.set_style(style);
    bar
}

/// The part of a verification that goes in order.
struct Run<'a> {
    audit: Audit,
    chain: ChainVerifier,
    level: Level,
    trust: &'a Trust,
    checker: &'a Checker,
    /// The genesis names another key than the one that was given.
    other_genesis: Option<PublicKey>,
    lines: Option<&'a mut Lines>,
    failure: Option<Failure>,
    verified: u64,
    total: u64,
    /// Records whose label names no known key and which the local key signed.
    strangers: u64,
}

impl<'a> Run<'a> {
    fn new(audit: Audit, level: Level, checker: &'a Checker, lines: Option<&'a mut Lines>) -> Self {
        Run {
            audit,
            chain: ChainVerifier::new(ChainLevel::Structural, Keys::none()),
            level,
            trust: &checker.trust,
            checker,
            other_genesis: None,
            lines,
            failure: None,
            verified: 0,
            total: 0,
            strangers: 0,
        }
    }

    fn take(&mut self, batch: Batch, console: &mut Console) -> Result<(), VerifyError> {
        for mut record in batch.records {
            self.follow_rotations(&mut record);
            self.audit.push(&record.facts, &record.seal, record.leaf);
            self.chain(record, console).map_err(VerifyError::Output)?;
        }
        match batch.error {
            None => Ok(()),
            Some(error) => Err(VerifyError::Input(format!(
                "record {}: {error}",
                self.total
            ))),
        }
    }

    /// With `--pubkey` the keys that rotation records lead to from that key are trusted as well: each of these records
    /// is sealed by the key before and signed by the key after it.
    fn follow_rotations(&mut self, record: &mut Examined) {
        let Trust::Explicit(explicit) = self.trust else {
            return;
        };
        if self.total == 0 {
            self.other_genesis = genesis_key(&record.facts).filter(|key| key != explicit);
        }
        if let Some(key) = self.audit.proven_key().filter(|key| key != explicit) {
            self.checker.follow(key);
            record.again(key);
        }
    }

    /// What the reference does with a record: the first failure ends the chain, the rest is skipped.
    fn chain(&mut self, record: Examined, console: &mut Console) -> io::Result<()> {
        let index = self.total;
        self.total += 1;
        if self.failure.is_some() {
            return match &mut self.lines {
                Some(lines) => lines.skipped(console),
                None => Ok(()),
            };
        }
        let Some(error) = self.error(
            record.place,
            record.fault.as_ref(),
            record.odd_sequence,
            index,
        ) else {
            self.verified += 1;
            if record.stranger && record.seal.key.is_some() && !self.trust.explains() {
                self.strangers += 1;
            }
            return match &mut self.lines {
                Some(lines) => lines.good(console, &record.hash),
                None => Ok(()),
            };
        };
        let failure = Failure {
            index,
            id: record.facts.id,
            error,
        };
        let result = match &mut self.lines {
            Some(lines) => lines.bad(console, &failure),
            None => Ok(()),
        };
        self.failure = Some(failure);
        result
    }

    /// The first thing that is wrong, in the reference's order and words.
    fn error(
        &mut self,
        place: Checked,
        fault: Option<&Fault>,
        odd_sequence: Option<String>,
        index: u64,
    ) -> Option<String> {
        if let Err(failure) = self.chain.push_checked(place) {
            return Some(match (&failure.fault, odd_sequence) {
                (chain::Fault::Sequence { .. }, Some(got)) => {
                    format!("Sequence gap: expected {index}, got {got}")
                }
                _ => failure.tool_message(),
            });
        }
        match fault? {
            Fault::Content => Some(format!("Content hash mismatch at sequence {index}")),
            Fault::Signature(reason) if self.trust.explains() => Some(format!(
                "Signature verification failed at sequence {index}: {reason}"
            )),
            Fault::Signature(_) => {
                Some(format!("Signature verification failed at sequence {index}"))
            }
        }
    }

    fn finish(self) -> Verdict {
        let outcome = self.audit.finish();
        let mut notes = outcome.notes;
        if self.strangers > 0 {
            notes.push(format!(
                "{} records are labelled with a key that is not known here; their signatures are by the local key",
                self.strangers
            ));
        }
        if self.level == Level::Signatures && self.trust.is_empty() {
            notes.push(
                "there is no key to verify with: pass --pubkey HEX, or --data-dir DIR with a key"
                    .to_owned(),
            );
        }
        if let Some(key) = self.other_genesis {
            notes.push(format!(
                "the ledger begins with the key {key}, not with the one given: rotations are followed from the first key on, so pass that one (capsule keys export-public --epoch 0 prints it)"
            ));
        }
        Verdict {
            level: self.level,
            verified: self.verified,
            total: self.total,
            failure: self.failure,
            damage: outcome.damage,
            notes,
        }
    }
}
