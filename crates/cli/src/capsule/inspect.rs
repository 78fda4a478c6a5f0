//! `capsule inspect`: one record for people, in the reference's form.

use std::convert::Infallible;
use std::io;

use capsule::json::Value;
use capsule::verify::Record;
use ledger::audit::Facts;

use crate::capsule_cli::args;
use crate::capsule_cli::console::{Console, Style, Visible};
use crate::capsule_cli::exit::Exit;
use crate::capsule_cli::input::{self, EachError, for_each_record};
use crate::capsule_cli::python::{is_true, text, text_or};

/// Runs `capsule inspect`.
///
/// # Errors
/// When an output cannot be written.
pub fn run(arguments: &args::Inspect, console: &mut Console) -> io::Result<Exit> {
    let choice = match input::choose(&arguments.source) {
        Ok(choice) => choice,
        Err(message) => {
            console.error(message)?;
            return Ok(Exit::Error);
        }
    };
    match find(&choice, arguments) {
        Ok(Found::Record(record)) => {
            print(&record, console)?;
            console.out.flush()?;
            Ok(Exit::Pass)
        }
        Ok(Found::None(message)) => {
            console.error(message)?;
            Ok(Exit::Error)
        }
        Err(message) => {
            writeln!(console.err, "Error loading capsules: {}", Visible(&message))?;
            Ok(Exit::Error)
        }
    }
}

enum Found {
    Record(Box<Record>),
    None(String),
}

/// Reads to the end, as the reference does, and keeps the one record that is asked for.
fn find(choice: &input::Choice, arguments: &args::Inspect) -> Result<Found, String> {
    let mut kept: Option<Record> = None;
    let mut candidates = 0_u64;
    let read = for_each_record(choice, |record| {
        if wanted(&record, arguments) {
            candidates += 1;
            kept.get_or_insert(record);
        }
        Ok::<_, Infallible>(true)
    });
    if let Err(EachError::Input(message)) = read {
        return Err(message);
    }
    let selected = arguments.seq.is_some() || arguments.id.is_some();
    Ok(match (kept, candidates, selected) {
        (Some(record), _, true) | (Some(record), 1, false) => Found::Record(Box::new(record)),
        _ => Found::None(match (arguments.seq, &arguments.id) {
            (Some(sequence), _) => format!("no capsule with sequence {sequence}"),
            (None, Some(id)) => format!("no capsule with id {id}"),
            (None, None) => "multiple capsules found, use --seq or --id".to_owned(),
        }),
    })
}

fn wanted(record: &Record, arguments: &args::Inspect) -> bool {
    let domain = record.document().get("domain").and_then(Value::as_str);
    if arguments.domain.is_some() && domain != arguments.domain.as_deref() {
        return false;
    }
    match (arguments.seq, &arguments.id) {
        (Some(sequence), _) => u64::try_from(sequence)
            .is_ok_and(|sequence| Facts::of(record).sequence == Some(sequence)),
        (None, Some(id)) => record.id().to_string() == *id,
        (None, None) => true,
    }
}

fn print(record: &Record, console: &mut Console) -> io::Result<()> {
    let mut page = Page {
        bars: Vec::new(),
        document: record.document(),
        visible: console.out_is_terminal,
    };
    page.head(record);
    page.sections();
    let title = console.paint(Style::Bold, "Capsule Inspection").to_string();
    write!(console.out, "\n{title}\n{}\n", "=".repeat(50))?;
    for (bar, lines) in page.bars {
        if let Some(bar) = bar {
            let rule = "─".repeat(46_usize.saturating_sub(bar.chars().count()));
            let bar = console
                .paint(Style::Dim, &format!("── {bar} {rule}"))
                .to_string();
            writeln!(console.out, "  {bar}")?;
        }
        for line in lines {
            writeln!(console.out, "  {line}")?;
        }
    }
    writeln!(console.out)
}

/// The lines of the page, bar by bar.
struct Page<'a> {
    bars: Vec<(Option<&'static str>, Vec<String>)>,
    document: &'a Value,
    /// On a terminal control characters are written out, so that content cannot drive it.
    visible: bool,
}

impl<'a> Page<'a> {
    fn bar(&mut self, title: Option<&'static str>, width: usize, lines: Vec<(&str, String)>) {
        let shown = |value: &str| match self.visible {
            true => Visible(value).to_string(),
            false => value.to_owned(),
        };
        let lines = lines
            .into_iter()
            .map(|(label, value)| format!("{:width$}{}", format!("{label}:"), shown(&value)))
            .collect();
        self.bars.push((title, lines));
    }

    fn get(&self, section: &str, key: &str) -> Option<&'a Value> {
        self.document.get(section)?.get(key)
    }

    fn or(&self, section: &str, key: &str, otherwise: &str) -> String {
        text_or(self.get(section, key), otherwise)
    }

    /// The value as it is; the default of the model where there is none.
    fn raw(&self, section: &str, key: &str, default: &str) -> String {
        self.get(section, key)
            .map_or_else(|| default.to_owned(), text)
    }

    fn head(&mut self, record: &Record) {
        let top = |key: &str, default: &str| {
            self.document
                .get(key)
                .map_or_else(|| default.to_owned(), text)
        };
        let seal = record.seal();
        let or = |text: &str, otherwise: &str| match text {
            "" => otherwise.to_owned(),
            text => text.to_owned(),
        };
        let lines = vec![
            ("ID", record.id().to_string()),
            ("Type", record.capsule_type().to_string()),
            ("Domain", top("domain", "agents")),
            ("Sequence", top("sequence", "0")),
            ("Parent", text_or(self.document.get("parent_id"), "none")),
        ];
        let sealed = vec![
            ("Hash", or(&seal.hash, "not sealed")),
            (
                "Signed",
                or(seal.signed_at.as_deref().unwrap_or_default(), "n/a"),
            ),
            ("Key", or(&seal.signed_by, "n/a")),
        ];
        self.bar(None, 10, lines);
        self.bar(Some("Seal"), 10, sealed);
    }

    fn sections(&mut self) {
        let (considered, selected) = self.options();
        let calls = self
            .get("execution", "tool_calls")
            .and_then(Value::as_array);
        let calls = calls.map_or(0, <[Value]>::len).to_string();
        let trigger = vec![
            ("Type", self.raw("trigger", "type", "user_request")),
            ("Source", self.raw("trigger", "source", "")),
            ("Request", self.raw("trigger", "request", "")),
            ("Time", self.raw("trigger", "timestamp", "n/a")),
        ];
        let context = vec![
            ("Agent", self.or("context", "agent_id", "n/a")),
            ("Session", self.or("context", "session_id", "n/a")),
        ];
        let reasoning = vec![
            ("Analysis", self.or("reasoning", "analysis", "n/a")),
            (
                "Options",
                format!("{considered} considered, {selected} selected"),
            ),
            ("Selected", self.or("reasoning", "selected_option", "n/a")),
            ("Confidence", self.raw("reasoning", "confidence", "0.0")),
            ("Model", self.or("reasoning", "model", "n/a")),
        ];
        let authority = vec![
            ("Type", self.raw("authority", "type", "autonomous")),
            ("Approver", self.or("authority", "approver", "n/a")),
        ];
        let execution = vec![
            ("Tool Calls", calls),
            (
                "Duration",
                format!("{}ms", self.raw("execution", "duration_ms", "0")),
            ),
        ];
        let mut outcome = vec![
            ("Status", self.raw("outcome", "status", "pending")),
            ("Summary", self.or("outcome", "summary", "n/a")),
        ];
        if self.get("outcome", "error").is_some_and(is_true) {
            outcome.push(("Error", self.or("outcome", "error", "")));
        }
        self.bar(Some("1. Trigger"), 10, trigger);
        self.bar(Some("2. Context"), 10, context);
        self.bar(Some("3. Reasoning"), 12, reasoning);
        self.bar(Some("4. Authority"), 10, authority);
        self.bar(Some("5. Execution"), 12, execution);
        self.bar(Some("6. Outcome"), 9, outcome);
    }

    /// How many options there were and how many were selected.
    fn options(&self) -> (usize, usize) {
        let list = |key| {
            self.get("reasoning", key)
                .and_then(Value::as_array)
                .unwrap_or_default()
        };
        let options = list("options");
        if options.is_empty() {
            let selected = self.get("reasoning", "selected_option");
            let considered = list("options_considered");
            let chosen = considered
                .iter()
                .filter(|option| Some(*option) == selected)
                .count();
            return (considered.len(), chosen);
        }
        let selected = options
            .iter()
            .filter(|option| option.get("selected").is_some_and(is_true))
            .count();
        (options.len(), selected)
    }
}
