//! What `config check` and the start say, as text and as JSON.

use super::Config;
use super::callbacks::CallbackKind;
use super::effective;
use super::problems::{KeyState, Note, Place, Problem, Rejected, Severity};

/// Whether `config check` passes: no problem, and no note that fails it.
#[must_use]
pub fn check_passes(result: &Result<Config, Rejected>) -> bool {
    result.as_ref().is_ok_and(|config| {
        config
            .notes
            .iter()
            .all(|note| note.severity != Severity::Failing)
    })
}

fn parts(result: &Result<Config, Rejected>) -> (&[Problem], &[Note]) {
    match result {
        Ok(config) => (&[], &config.notes),
        Err(rejected) => (&rejected.problems, &rejected.notes),
    }
}

/// The whole report of `config check` for people.
#[must_use]
pub fn check_text(result: &Result<Config, Rejected>) -> String {
    let (problems, notes) = parts(result);
    let mut out = String::new();
    let mut part = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            out.push_str(&format!("{title} ({}):\n", lines.len()));
            for line in lines {
                out.push_str(&format!("  {line}\n"));
            }
        }
    };
    part(
        "stops the start",
        problems.iter().map(ToString::to_string).collect(),
    );
    let by = |severity: Severity| -> Vec<String> {
        let heavy = notes.iter().filter(|note| note.severity == severity);
        heavy.map(ToString::to_string).collect()
    };
    part("fails the check", by(Severity::Failing));
    part("said at every start", by(Severity::Warning));
    part("noted", by(Severity::Info));
    if let Ok(config) = result {
        let lines = config.presets.iter().flat_map(super::Preset::lines);
        part("presets", lines.collect());
        let settings = effective::lines(config);
        let show = |(path, value): &effective::Line| format!("{path} = {value}");
        part("effective", settings.iter().map(show).collect());
        part("routes whose calls get no record", ungoverned().collect());
        out.push_str(&format!("digest: {}\n", hex(&config.digest)));
    }
    out.push_str(match (result, check_passes(result)) {
        (_, true) => "the configuration is good\n",
        (Ok(_), false) => "the configuration starts, but does not pass the check\n",
        (Err(_), false) => "the configuration does not start\n",
    });
    out
}

/// The routes whose calls are not accounted, one line each.
fn ungoverned() -> impl Iterator<Item = String> {
    policy::route::Route::ungoverned().map(|route| {
        let (method, paths) = (route.method.as_str(), route.paths.join(", "));
        format!("{method} {paths}: {}", route.summary)
    })
}

/// The whole report of `config check` as one JSON object: `ok`, `starts`,
/// `problems`, `notes`, `presets`, `effective` (null when it does not start), `digest`, `ungoverned_routes`.
#[must_use]
pub fn check_json(result: &Result<Config, Rejected>) -> String {
    let (problems, notes) = parts(result);
    let problems: Vec<String> = problems.iter().map(problem_json).collect();
    let notes: Vec<String> = notes.iter().map(note_json).collect();
    let (settings, digest) = match result {
        Ok(config) => {
            let pair = |(path, value): &effective::Line| {
                let (path, value) = (string(path), string(value));
                format!("{{\"path\":{path},\"value\":{value}}}")
            };
            let lines: Vec<String> = effective::lines(config).iter().map(pair).collect();
            (
                format!("[{}]", lines.join(",")),
                string(&hex(&config.digest)),
            )
        }
        Err(_) => ("null".to_owned(), "null".to_owned()),
    };
    let presets: Vec<String> = match result {
        Ok(config) => config.presets.iter().map(preset_json).collect(),
        Err(_) => Vec::new(),
    };
    format!(
        "{{\"ok\":{},\"starts\":{},\"problems\":[{}],\"notes\":[{}],\"presets\":[{}],\"effective\":{settings},\"digest\":{digest},\"ungoverned_routes\":[{}]}}",
        check_passes(result),
        result.is_ok(),
        problems.join(","),
        notes.join(","),
        presets.join(","),
        ungoverned()
            .map(|route| string(&route))
            .collect::<Vec<_>>()
            .join(","),
    )
}

fn preset_json(preset: &super::Preset) -> String {
    let list = |lines: &[String]| {
        let lines: Vec<String> = lines.iter().map(|line| string(line)).collect();
        lines.join(",")
    };
    format!(
        "{{\"name\":{},\"set\":[{}],\"kept\":[{}],\"open\":[{}]}}",
        string(preset.name),
        list(&preset.set),
        list(&preset.kept),
        list(&preset.open),
    )
}

/// The lines said at every start: what listens, what is active, what opens
/// something, what is accepted without effect.
#[must_use]
pub fn start_lines(config: &Config) -> Vec<String> {
    let mut lines = vec![format!(
        "configuration {}: {} models, content mode {}",
        hex(&config.digest).get(..16).unwrap_or_default(),
        config.models.names().len(),
        format!("{:?}", config.content_mode).to_lowercase(),
    )];
    let presets = config.presets.iter().flat_map(super::Preset::lines);
    lines.extend(presets.map(|line| format!("preset {line}")));
    for callback in &config.callbacks {
        let state = match &callback.kind {
            CallbackKind::Policy => "not built, every call is refused".to_owned(),
            CallbackKind::Sink => "not built, nothing is sent".to_owned(),
            CallbackKind::Native => "done by the gateway".to_owned(),
            CallbackKind::Disabled(reason) => format!("disabled, {reason}"),
        };
        let mode = if callback.mode.is_empty() {
            String::new()
        } else {
            format!(" ({})", callback.mode)
        };
        lines.push(format!("callback {}{mode}: {state}", callback.name));
    }
    for guardrail in &config.guardrails {
        let when = guardrail.modes.names().join(", ");
        let who = if guardrail.default_on {
            "every call"
        } else {
            "calls that select it"
        };
        let never =
            guardrail.modes == super::Modes::default() && guardrail.selection.modes.is_empty();
        let state = if guardrail.missing.is_empty() && never {
            "not run: the routes of its modes are not built".to_owned()
        } else if guardrail.missing.is_empty() {
            "active".to_owned()
        } else {
            format!("not built: {}", guardrail.missing.join(", "))
        };
        lines.push(format!(
            "check {} [{when}] on {who}: {state}",
            guardrail.name
        ));
    }
    let heavy = config
        .notes
        .iter()
        .filter(|note| note.severity >= Severity::Warning);
    lines.extend(heavy.map(|note| format!("warning: {note}")));
    lines
}

fn problem_json(problem: &Problem) -> String {
    let suggestion = problem
        .suggestion
        .as_deref()
        .map_or_else(|| "null".to_owned(), string);
    format!(
        "{{{},\"path\":{},\"message\":{},\"suggestion\":{suggestion}}}",
        place_json(&problem.place),
        string(&problem.path),
        string(&problem.message),
    )
}

fn note_json(note: &Note) -> String {
    let severity = match note.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Failing => "failing",
    };
    let state = note
        .state
        .map(KeyState::as_str)
        .map_or_else(|| "null".to_owned(), string);
    format!(
        "{{{},\"path\":{},\"severity\":\"{severity}\",\"state\":{state},\"message\":{}}}",
        place_json(&note.place),
        string(&note.path),
        string(&note.message),
    )
}

fn place_json(place: &Place) -> String {
    let file = string(&place.file);
    format!(
        "\"file\":{file},\"line\":{},\"column\":{}",
        place.line, place.column
    )
}

/// A JSON string.
fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control.is_control() => {
                let mut units = [0u16; 2];
                for unit in control.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "tests/render.rs"]
mod tests;
