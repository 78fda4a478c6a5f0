//! The validator: whether a document has the shape of a record (Capsule Protocol 1.0, conformance).
//!
//! It looks at shape only, in a fixed order, and names the first fault by category and field, as the
//! reference does. Where a section lacks several fields, the first in the protocol's order is named; the
//! reference names any of them.

use crate::canonical;
use crate::hash::Hash;
use crate::hex;
use crate::json::{Object, Value};
use crate::model::CapsuleType;
use crate::time::python;
use crate::verify::read_uuid;

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// A field that every record has is not there.
    MissingField,
    /// A value is of another JSON type.
    WrongType,
    /// A value of the right type is not allowed.
    InvalidValue,
    /// Sequence and link contradict each other.
    ChainViolation,
    /// The content is not what the claimed hash is of.
    IntegrityViolation,
}

impl Category {
    /// The word of the reference.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Category::MissingField => "missing_field",
            Category::WrongType => "wrong_type",
            Category::InvalidValue => "invalid_value",
            Category::ChainViolation => "chain_violation",
            Category::IntegrityViolation => "integrity_violation",
        }
    }
}

/// What the validator found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether there is no fault.
    pub ok: bool,
    /// The kind of the first fault.
    pub category: Option<Category>,
    /// The field of the first fault, such as `reasoning.confidence`; empty for the root.
    pub field: Option<String>,
    /// The first fault in the reference's words; empty when there is none.
    pub message: String,
}

struct Fault {
    category: Category,
    field: String,
    message: String,
}

type Checked = Result<(), Fault>;

/// Checks the shape of a document, and its hash when one is claimed (64 hex digits of either case, over
/// the whole document as given). `strict_unknown` refuses top-level keys that the protocol does not
/// name, those of the seal included.
#[must_use]
pub fn validate(document: &Value, claimed_hash: Option<&str>, strict_unknown: bool) -> Report {
    match check(document, claimed_hash, strict_unknown) {
        Ok(()) => Report {
            ok: true,
            category: None,
            field: None,
            message: String::new(),
        },
        Err(fault) => Report {
            ok: false,
            category: Some(fault.category),
            field: Some(fault.field),
            message: fault.message,
        },
    }
}

const TOP: [&str; 13] = [
    "id",
    "type",
    "domain",
    "parent_id",
    "sequence",
    "previous_hash",
    "spec_version",
    "trigger",
    "context",
    "reasoning",
    "authority",
    "execution",
    "outcome",
];
const TRIGGER: &[&str] = &[
    "type",
    "source",
    "timestamp",
    "request",
    "correlation_id",
    "user_id",
];
const CONTEXT: &[&str] = &["agent_id", "session_id", "environment"];
const REASONING: &[&str] = &[
    "analysis",
    "options",
    "options_considered",
    "selected_option",
    "reasoning",
    "confidence",
    "model",
    "prompt_hash",
];
const AUTHORITY: &[&str] = &[
    "type",
    "approver",
    "policy_reference",
    "chain",
    "escalation_reason",
];
const EXECUTION: &[&str] = &["tool_calls", "duration_ms", "resources_used"];
const OUTCOME: &[&str] = &[
    "status",
    "result",
    "summary",
    "error",
    "side_effects",
    "metrics",
];

fn check(document: &Value, claimed_hash: Option<&str>, strict_unknown: bool) -> Checked {
    let Value::Object(root) = document else {
        return wrong_type("", "capsule root must be a JSON object");
    };
    if strict_unknown && let Some(key) = root.keys().find(|key| !TOP.contains(key)) {
        return invalid(key, format!("unknown top-level key: {}", repr(key)));
    }
    if let Some(key) = TOP.iter().find(|key| !root.contains_key(key)) {
        return Err(Fault {
            category: Category::MissingField,
            field: (*key).to_owned(),
            message: format!("missing required field '{key}'"),
        });
    }
    identity(root)?;
    place(root)?;
    trigger(section(root, "trigger", TRIGGER)?)?;
    is_map(
        section(root, "context", CONTEXT)?,
        "environment",
        "context.environment",
    )?;
    confidence(section(root, "reasoning", REASONING)?)?;
    section(root, "authority", AUTHORITY)?;
    execution(section(root, "execution", EXECUTION)?)?;
    section(root, "outcome", OUTCOME)?;
    claimed_hash.map_or(Ok(()), |claim| integrity(document, claim))
}

fn identity(root: &Object) -> Checked {
    match root.get("id") {
        Some(Value::String(id)) if read_uuid(id).is_some() => {}
        Some(Value::String(_)) => return invalid("id", "id must be a UUID string"),
        _ => return wrong_type("id", "id must be a UUID string"),
    }
    match root.get("type") {
        Some(Value::String(kind)) if kind.parse::<CapsuleType>().is_ok() => {}
        Some(Value::String(kind)) => {
            return invalid("type", format!("unknown capsule type {}", repr(kind)));
        }
        _ => return wrong_type("type", "type must be a string"),
    }
    if !matches!(root.get("domain"), Some(Value::String(_))) {
        return wrong_type("domain", "domain must be a string");
    }
    const PARENT: &str = "parent_id must be null or a UUID string";
    match root.get("parent_id") {
        Some(Value::Null) => Ok(()),
        Some(Value::String(id)) if read_uuid(id).is_some() => Ok(()),
        Some(Value::String(_)) => invalid("parent_id", PARENT),
        _ => wrong_type("parent_id", PARENT),
    }
}

fn place(root: &Object) -> Checked {
    const LINK: &str = "previous_hash must be null or a 64-character hex string";
    const VERSION: &str = "spec_version must be a non-empty string";
    // Python's booleans are integers, and pass as such.
    let genesis = match root.get("sequence") {
        Some(Value::Bool(flag)) => !flag,
        Some(Value::Int(sequence)) if sequence.is_negative() => {
            return invalid("sequence", "sequence must be non-negative");
        }
        Some(Value::Int(sequence)) => sequence.as_i64() == Some(0),
        _ => return wrong_type("sequence", "sequence must be an integer"),
    };
    let linked = match root.get("previous_hash") {
        Some(Value::Null) => false,
        Some(Value::String(link)) if is_hash(link) => true,
        Some(Value::String(_)) => return invalid("previous_hash", LINK),
        _ => return wrong_type("previous_hash", LINK),
    };
    match root.get("spec_version") {
        Some(Value::String(version)) if !version.is_empty() => {}
        Some(Value::String(_)) => return invalid("spec_version", VERSION),
        _ => return wrong_type("spec_version", VERSION),
    }
    let message = match (genesis, linked) {
        (true, true) => "genesis capsule (sequence 0) must have previous_hash null",
        (false, false) => "non-genesis capsule must have previous_hash set",
        _ => return Ok(()),
    };
    fault(Category::ChainViolation, "previous_hash", message)
}

fn trigger(section: &Object) -> Checked {
    const PATH: &str = "trigger.timestamp";
    const TIME: &str = "trigger.timestamp must be an ISO 8601 string with timezone";
    if !matches!(section.get("type"), Some(Value::String(_))) {
        return wrong_type("trigger.type", "trigger.type must be a non-null string");
    }
    match section.get("timestamp") {
        Some(Value::String(text)) => match python::from_isoformat(text) {
            Some(time) if time.has_offset() => Ok(()),
            _ => invalid(PATH, TIME),
        },
        _ => wrong_type(PATH, TIME),
    }
}

fn confidence(section: &Object) -> Checked {
    const PATH: &str = "reasoning.confidence";
    let within = match section.get("confidence") {
        Some(Value::Int(integer)) => matches!(integer.as_i64(), Some(0 | 1)),
        Some(Value::Float(float)) => (0.0..=1.0).contains(float),
        _ => return wrong_type(PATH, "reasoning.confidence must be a number"),
    };
    if within {
        return Ok(());
    }
    invalid(PATH, "reasoning.confidence must be between 0.0 and 1.0")
}

fn execution(section: &Object) -> Checked {
    if !matches!(section.get("tool_calls"), Some(Value::Array(_))) {
        return wrong_type(
            "execution.tool_calls",
            "execution.tool_calls must be an array",
        );
    }
    if !matches!(
        section.get("duration_ms"),
        Some(Value::Int(_) | Value::Bool(_))
    ) {
        return wrong_type(
            "execution.duration_ms",
            "execution.duration_ms must be an integer",
        );
    }
    is_map(section, "resources_used", "execution.resources_used")
}

fn integrity(document: &Value, claim: &str) -> Checked {
    if !is_hash(claim) {
        return invalid("hash", "claimed_hash must be a 64-character hex string");
    }
    let hash = Hash::of(&canonical::to_vec(document));
    if hash.hex() == claim.to_ascii_lowercase() {
        return Ok(());
    }
    fault(
        Category::IntegrityViolation,
        "hash",
        "content hash does not match claimed_hash",
    )
}

fn is_hash(text: &str) -> bool {
    hex::decode::<32>(text.as_bytes()).is_some()
}

fn section<'d>(root: &'d Object, name: &str, keys: &[&str]) -> Result<&'d Object, Fault> {
    let Some(Value::Object(section)) = root.get(name) else {
        return Err(Fault {
            category: Category::WrongType,
            field: name.to_owned(),
            message: format!("{name} must be an object"),
        });
    };
    match keys.iter().find(|key| !section.contains_key(key)) {
        None => Ok(section),
        Some(key) => Err(Fault {
            category: Category::MissingField,
            field: format!("{name}.{key}"),
            message: format!("missing required field {name}.'{key}'"),
        }),
    }
}

fn is_map(section: &Object, key: &str, path: &str) -> Checked {
    match section.get(key) {
        Some(Value::Object(_)) => Ok(()),
        _ => wrong_type(path, format!("{path} must be an object")),
    }
}

fn fault(category: Category, field: &str, message: impl Into<String>) -> Checked {
    Err(Fault {
        category,
        field: field.to_owned(),
        message: message.into(),
    })
}

fn wrong_type(field: &str, message: impl Into<String>) -> Checked {
    fault(Category::WrongType, field, message)
}

fn invalid(field: &str, message: impl Into<String>) -> Checked {
    fault(Category::InvalidValue, field, message)
}

/// A string as Python's `repr` quotes it, but for what the two languages' tables call printable.
fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' | '\'' if character != quote => out.push(character),
            '"' | '\'' => out.extend(['\\', character]),
            _ if character.escape_debug().len() == 1 => out.push(character),
            _ => match u32::from(character) {
                code @ 0..=0xFF => out.push_str(&format!("\\x{code:02x}")),
                code @ 0x100..=0xFFFF => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
        }
    }
    out.push(quote);
    out
}
