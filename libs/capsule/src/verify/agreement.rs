//! The stored-document rule: what the reference would write again must agree with what is stored.
//!
//! The reference loads a document into typed fields, writes those, and compares. Nearly every field
//! passes through unchanged, so the comparison comes down to the few rules here; each was confirmed by
//! running the reference.

use super::{NotNormalForm, RecordError};
use crate::id::Id;
use crate::json::{Integer, Object, Value};
use crate::model::CapsuleType;
use crate::time::python;

/// What reading a document found.
pub(super) struct Read {
    pub(super) id: Id,
    pub(super) capsule_type: CapsuleType,
    pub(super) not_normal_form: Option<NotNormalForm>,
}

const TOP: [&str; 12] = [
    "authority",
    "context",
    "domain",
    "execution",
    "id",
    "outcome",
    "parent_id",
    "previous_hash",
    "reasoning",
    "sequence",
    "trigger",
    "type",
];
const AUTHORITY: [&str; 5] = [
    "approver",
    "chain",
    "escalation_reason",
    "policy_reference",
    "type",
];
const CONTEXT: [&str; 3] = ["agent_id", "environment", "session_id"];
const EXECUTION: [&str; 3] = ["duration_ms", "resources_used", "tool_calls"];
const OUTCOME: [&str; 6] = [
    "error",
    "metrics",
    "result",
    "side_effects",
    "status",
    "summary",
];
const REASONING: [&str; 8] = [
    "analysis",
    "confidence",
    "model",
    "options",
    "options_considered",
    "prompt_hash",
    "reasoning",
    "selected_option",
];
const TRIGGER: [&str; 6] = [
    "correlation_id",
    "request",
    "source",
    "timestamp",
    "type",
    "user_id",
];
const OPTION: [&str; 9] = [
    "cons",
    "description",
    "estimated_impact",
    "feasibility",
    "id",
    "pros",
    "rejection_reason",
    "risks",
    "selected",
];
const TOOL_CALL: [&str; 6] = [
    "arguments",
    "duration_ms",
    "error",
    "result",
    "success",
    "tool",
];

/// Reads a document by the rules of the reference.
///
/// An error is what the reference cannot load; the first departure from the normal form is noted.
pub(super) fn read(document: &Object) -> Result<Read, RecordError> {
    let mut reader = Reader { note: None };
    let id = reader.id(document)?;
    let capsule_type = capsule_type(document)?;
    reader.parent(document)?;
    reader.top_keys(document);
    for (name, keys) in [
        ("authority", &AUTHORITY[..]),
        ("context", &CONTEXT),
        ("execution", &EXECUTION),
        ("outcome", &OUTCOME),
        ("reasoning", &REASONING),
        ("trigger", &TRIGGER),
    ] {
        if let Some(section) = reader.section(document, name, keys)? {
            match name {
                "execution" => reader.execution(section)?,
                "reasoning" => reader.reasoning(section)?,
                "trigger" => reader.trigger(section)?,
                _ => {}
            }
        }
    }
    Ok(Read {
        id,
        capsule_type,
        not_normal_form: reader.note,
    })
}

fn unloadable(path: impl Into<String>, fault: &'static str) -> RecordError {
    RecordError::Field {
        path: path.into(),
        fault,
    }
}

fn capsule_type(document: &Object) -> Result<CapsuleType, RecordError> {
    match document.get("type") {
        None => Err(unloadable("type", "missing")),
        Some(Value::String(text)) => text
            .parse()
            .map_err(|_| unloadable("type", "no capsule type")),
        Some(_) => Err(unloadable("type", "no capsule type")),
    }
}

/// A UUID in any of the spellings that Python documents.
pub(crate) fn read_uuid(text: &str) -> Option<Id> {
    let bare = text.replace("urn:", "").replace("uuid:", "");
    let digits = bare.trim_matches(['{', '}']).replace('-', "");
    crate::hex::decode(digits.as_bytes()).map(Id::from_bytes)
}

/// Whether Python counts the value as false.
fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Int(integer) => integer.as_i64() == Some(0),
        Value::Float(float) => *float == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

/// Whether two values agree: an integer and a float of the same value do, a boolean and a number never.
fn agree(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Int(integer), Value::Float(float)) | (Value::Float(float), Value::Int(integer)) => {
            is_exactly(integer, *float)
        }
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| agree(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right.iter())
                    .all(|((lk, lv), (rk, rv))| lk == rk && agree(lv, rv))
        }
        (left, right) => left == right,
    }
}

/// Whether the integer is exactly the float: both have an exact decimal text.
fn is_exactly(integer: &Integer, float: f64) -> bool {
    float.fract() == 0.0 && (format!("{:.0}", float + 0.0) == integer.to_string())
}

struct Reader {
    note: Option<NotNormalForm>,
}

type Loaded<T> = Result<T, RecordError>;

impl Reader {
    fn note(&mut self, path: impl Into<String>, reason: &'static str) {
        if self.note.is_none() {
            self.note = Some(NotNormalForm {
                path: path.into(),
                reason,
            });
        }
    }

    fn id(&mut self, document: &Object) -> Loaded<Id> {
        let Some(value) = document.get("id") else {
            return Err(unloadable("id", "missing"));
        };
        let text = value
            .as_str()
            .ok_or_else(|| unloadable("id", "not a UUID"))?;
        self.uuid("id", text)
    }

    fn uuid(&mut self, path: &'static str, text: &str) -> Loaded<Id> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        self.note(path, "not a lower-case hyphenated UUID");
        read_uuid(text).ok_or_else(|| unloadable(path, "not a UUID"))
    }

    fn parent(&mut self, document: &Object) -> Loaded<()> {
        match document.get("parent_id") {
            None | Some(Value::Null) => {}
            Some(value) if is_falsy(value) => self.note("parent_id", "neither null nor a UUID"),
            Some(Value::String(text)) => {
                self.uuid("parent_id", text)?;
            }
            Some(_) => return Err(unloadable("parent_id", "neither null nor a UUID")),
        }
        Ok(())
    }

    /// Further keys are hashed and agree; `spec_version` alone may be missing.
    fn top_keys(&mut self, document: &Object) {
        let mut keys = document.keys();
        for key in TOP {
            if !keys.any(|there| there == key) {
                self.note(key, "missing");
                return;
            }
        }
    }

    fn section<'d>(
        &mut self,
        document: &'d Object,
        name: &'static str,
        keys: &[&str],
    ) -> Loaded<Option<&'d Object>> {
        match document.get(name) {
            None => Ok(None),
            Some(Value::Object(section)) => {
                self.exact_keys(name, section, keys);
                Ok(Some(section))
            }
            Some(_) => Err(unloadable(name, "not an object")),
        }
    }

    fn exact_keys(&mut self, path: &str, object: &Object, keys: &[&str]) {
        if object.keys().eq(keys.iter().copied()) {
            return;
        }
        let missing = keys.iter().find(|key| !object.contains_key(key));
        let unknown = object.keys().find(|key| !keys.contains(key));
        match (missing, unknown) {
            (Some(key), _) => self.note(format!("{path}.{key}"), "missing"),
            (None, Some(key)) => self.note(format!("{path}.{key}"), "a key that the section lacks"),
            (None, None) => {}
        }
    }

    fn trigger(&mut self, section: &Object) -> Loaded<()> {
        const PATH: &str = "trigger.timestamp";
        match section.get("timestamp") {
            None => {}
            Some(value) if is_falsy(value) => self.note(PATH, "empty"),
            Some(Value::String(text)) if python::is_isoformat(text) => {}
            Some(Value::String(text)) if python::from_isoformat(text).is_some() => {
                self.note(PATH, "not YYYY-MM-DDTHH:MM:SS[.ffffff]+HH:MM");
            }
            Some(_) => return Err(unloadable(PATH, "not a timestamp")),
        }
        Ok(())
    }

    fn execution(&mut self, section: &Object) -> Loaded<()> {
        const PATH: &str = "execution.tool_calls";
        for (at, call) in self.items(section, "tool_calls", PATH)?.iter().enumerate() {
            let Value::Object(call) = call else {
                return Err(unloadable(format!("{PATH}.{at}"), "not an object"));
            };
            if !call.keys().eq(TOOL_CALL) {
                self.exact_keys(&format!("{PATH}.{at}"), call, &TOOL_CALL);
            }
        }
        Ok(())
    }

    /// The items of a list; an empty map or text, in which Python meets no item, counts as empty.
    fn items<'d>(
        &mut self,
        section: &'d Object,
        key: &str,
        path: &'static str,
    ) -> Loaded<&'d [Value]> {
        match section.get(key) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(value @ (Value::Object(_) | Value::String(_))) if is_falsy(value) => {
                self.note(path, "not an array");
                Ok(&[])
            }
            Some(_) => Err(unloadable(path, "not an array")),
        }
    }

    fn reasoning(&mut self, section: &Object) -> Loaded<()> {
        const PATH: &str = "reasoning.options";
        let options = match section.get("options") {
            None => &[],
            Some(Value::Array(options)) => options.as_slice(),
            Some(value) if is_falsy(value) => {
                self.note(PATH, "not an array");
                &[]
            }
            Some(_) => return Err(unloadable(PATH, "not an array")),
        };
        for (at, option) in options.iter().enumerate() {
            let Value::Object(option) = option else {
                return Err(unloadable(format!("{PATH}.{at}"), "not an object"));
            };
            self.option(at, option)?;
        }
        self.considered(section, options);
        Ok(())
    }

    fn considered(&mut self, section: &Object, options: &[Value]) {
        const PATH: &str = "reasoning.options_considered";
        let Some(considered) = section.get("options_considered") else {
            return;
        };
        if options.is_empty() {
            if !is_falsy(considered) {
                self.note(PATH, "not empty although there are no options");
            }
            return;
        }
        let empty = Value::String(String::new());
        let descriptions = options
            .iter()
            .map(|option| option.get("description").unwrap_or(&empty));
        let same = considered.as_array().is_some_and(|considered| {
            considered.len() == options.len()
                && considered
                    .iter()
                    .zip(descriptions)
                    .all(|(l, r)| agree(l, r))
        });
        if !same {
            self.note(PATH, "not the descriptions of the options");
        }
    }

    fn option(&mut self, at: usize, option: &Object) -> Loaded<()> {
        let path = |key: &str| format!("reasoning.options.{at}.{key}");
        if !option.keys().eq(OPTION) {
            self.exact_keys(&format!("reasoning.options.{at}"), option, &OPTION);
        }
        match option.get("feasibility") {
            None | Some(Value::Float(_)) => {}
            Some(Value::Int(integer)) => {
                let float: f64 = integer.to_string().parse().unwrap_or(f64::INFINITY);
                if !float.is_finite() {
                    return Err(unloadable(path("feasibility"), "too large for a float"));
                }
                if !is_exactly(integer, float) {
                    self.note(path("feasibility"), "an integer that no float equals");
                }
            }
            Some(Value::Bool(_)) => self.note(path("feasibility"), "not a number"),
            Some(Value::String(text)) if reads_as_float(text) => {
                self.note(path("feasibility"), "not a number");
            }
            Some(_) => return Err(unloadable(path("feasibility"), "not a number")),
        }
        if !matches!(option.get("selected"), None | Some(Value::Bool(_))) {
            self.note(path("selected"), "neither true nor false");
        }
        Ok(())
    }
}

/// Whether Python's `float` reads the text, as far as a record can tell: either way the record fails.
fn reads_as_float(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok()
}
