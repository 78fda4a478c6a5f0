//! What the loader has to say: problems that stop the start, notes that do not.

use std::fmt;
use std::sync::Arc;

/// Where something stands in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named; `environment` or `command line` for values from there.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the value has no line.
    pub line: u32,
    /// Column in characters, from 1; 0 when the value has no column.
    pub column: u32,
}

impl Place {
    /// A place outside every file.
    pub(crate) fn outside(what: &str) -> Self {
        Self {
            file: Arc::from(what),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Something that stops the start. Its texts never hold a value of the file
/// that could be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// The key's path, such as `model_list[0].litellm_params.api_key`; may be empty.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The known key that was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        Ok(())
    }
}

/// What a key of the file does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// It has its effect.
    Honoured,
    /// It is read and has no effect yet; this is said at every start.
    AcceptedInactive,
    /// Nobody knows it; it has no effect.
    Unknown,
}

impl KeyState {
    /// The state in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::AcceptedInactive => "accepted, not active yet",
            Self::Unknown => "unknown, no effect",
        }
    }
}

/// How much a note weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Only shown by `config check`.
    Info,
    /// Said at every start.
    Warning,
    /// Said at every start, and `config check` does not pass.
    Failing,
}

/// Something to know that does not stop the start. Like a problem, it never
/// holds a secret value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it weighs.
    pub severity: Severity,
    /// The state of the key it speaks of, when it speaks of one.
    pub state: Option<KeyState>,
    /// Where it stands.
    pub place: Place,
    /// The key's path; may be empty.
    pub path: String,
    /// The text.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        match self.state {
            Some(state) if self.message.is_empty() => f.write_str(state.as_str()),
            Some(state) => write!(f, "{}: {}", state.as_str(), self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Everything that was said while loading. Problems are collected, so that one
/// look shows all of them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<Problem>,
    pub(crate) notes: Vec<Note>,
}

impl Report {
    pub(crate) fn problem(&mut self, place: &Place, path: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            place: place.clone(),
            path: path.to_owned(),
            message: message.into(),
            suggestion: None,
        });
    }

    pub(crate) fn misspelt(&mut self, place: &Place, path: &str, message: &str, meant: &str) {
        self.problems.push(Problem {
            place: place.clone(),
            path: path.to_owned(),
            message: message.to_owned(),
            suggestion: Some(meant.to_owned()),
        });
    }

    pub(crate) fn state(
        &mut self,
        place: &Place,
        path: &str,
        state: KeyState,
        message: impl Into<String>,
    ) {
        let severity = match state {
            KeyState::Honoured => Severity::Info,
            KeyState::AcceptedInactive | KeyState::Unknown => Severity::Warning,
        };
        self.notes.push(Note {
            severity,
            state: Some(state),
            place: place.clone(),
            path: path.to_owned(),
            message: message.into(),
        });
    }

    pub(crate) fn note(
        &mut self,
        severity: Severity,
        place: &Place,
        path: &str,
        message: impl Into<String>,
    ) {
        self.notes.push(Note {
            severity,
            state: None,
            place: place.clone(),
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// In the order of the file, whatever the order in which concerns were read.
    pub(crate) fn sort(&mut self) {
        let key = |place: &Place| (place.file.clone(), place.line, place.column);
        self.problems.sort_by_key(|problem| key(&problem.place));
        self.notes.sort_by_key(|note| key(&note.place));
        // A section that two concerns read says the same twice.
        let mut seen: Vec<Problem> = Vec::new();
        self.problems.retain(|problem| {
            let new = !seen.contains(problem);
            seen.push(problem.clone());
            new
        });
        let mut seen: Vec<Note> = Vec::new();
        self.notes.retain(|note| {
            let new = !seen.contains(note);
            seen.push(note.clone());
            new
        });
    }
}

/// A configuration that does not start: every problem, and the notes beside them.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} problem(s){}", .problems.len(), lines(.problems))]
pub struct Rejected {
    /// What stops the start, in the order of the file.
    pub problems: Vec<Problem>,
    /// What else was noticed.
    pub notes: Vec<Note>,
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}
