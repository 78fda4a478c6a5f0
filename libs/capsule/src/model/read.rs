//! A stored document as a typed record.

use std::str::FromStr;

use super::{
    Authority, Capsule, Context, DecisionOption, Execution, Outcome, Reasoning, ToolCall, Trigger,
};
use crate::json::{Object, Value};
use crate::time::Timestamp;

/// A document does not fit the typed record. It may verify all the same: the protocol types few fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} is not {expected}")]
pub struct ModelError {
    /// The field, such as `reasoning.confidence`.
    pub path: String,
    /// What the typed record needs there.
    pub expected: &'static str,
}

impl Capsule {
    /// Reads the typed record from a document. Missing fields get their defaults, except `id`,
    /// `type` and the tools' names; unknown fields are left out; a time with another offset becomes UTC.
    ///
    /// # Errors
    /// [`ModelError`] for the first field whose value the typed record cannot hold.
    pub fn from_document(document: &Value) -> Result<Capsule, ModelError> {
        let root = Reader::new(document, String::new())?;
        let parent = root.optional_text("parent_id")?.filter(|id| !id.is_empty());
        let parent_id = parent
            .map(|text| parse(&text, &root, "parent_id", "a UUID"))
            .transpose()?;
        Ok(Capsule {
            id: parse(&root.required_text("id")?, &root, "id", "a UUID")?,
            capsule_type: parse(
                &root.required_text("type")?,
                &root,
                "type",
                "a capsule type",
            )?,
            domain: root.text("domain", "agents")?,
            parent_id,
            trigger: trigger(&root.section("trigger")?)?,
            context: context(&root.section("context")?)?,
            reasoning: reasoning(&root.section("reasoning")?)?,
            authority: authority(&root.section("authority")?)?,
            execution: execution(&root.section("execution")?)?,
            outcome: outcome(&root.section("outcome")?)?,
        })
    }
}

fn trigger(section: &Reader<'_>) -> Result<Trigger, ModelError> {
    let written = section.text("timestamp", "")?;
    Ok(Trigger {
        trigger_type: section.text("type", "user_request")?.into(),
        source: section.text("source", "")?,
        timestamp: Timestamp::parse(&written)
            .map_err(|_| section.fault("timestamp", "a timestamp with an offset"))?,
        request: section.text("request", "")?,
        correlation_id: section.optional_text("correlation_id")?,
        user_id: section.optional_text("user_id")?,
    })
}

fn context(section: &Reader<'_>) -> Result<Context, ModelError> {
    Ok(Context {
        agent_id: section.text("agent_id", "")?,
        session_id: section.optional_text("session_id")?,
        environment: section.map("environment")?,
    })
}

fn reasoning(section: &Reader<'_>) -> Result<Reasoning, ModelError> {
    Ok(Reasoning {
        analysis: section.text("analysis", "")?,
        options: section
            .items("options")?
            .iter()
            .map(option)
            .collect::<Result<_, _>>()?,
        selected_option: section.text("selected_option", "")?,
        reasoning: section.text("reasoning", "")?,
        confidence: section.number("confidence")?,
        model: section.optional_text("model")?,
        prompt_hash: section.optional_text("prompt_hash")?,
    })
}

fn option(item: &Reader<'_>) -> Result<DecisionOption, ModelError> {
    Ok(DecisionOption {
        id: item.text("id", "")?,
        description: item.text("description", "")?,
        pros: item.texts("pros")?,
        cons: item.texts("cons")?,
        estimated_impact: item.map("estimated_impact")?,
        feasibility: item.number("feasibility")?,
        risks: item.texts("risks")?,
        selected: item.flag("selected")?,
        rejection_reason: item.text("rejection_reason", "")?,
    })
}

fn authority(section: &Reader<'_>) -> Result<Authority, ModelError> {
    Ok(Authority {
        authority_type: section.text("type", "autonomous")?.into(),
        approver: section.optional_text("approver")?,
        policy_reference: section.optional_text("policy_reference")?,
        chain: section
            .items("chain")?
            .iter()
            .map(|step| step.object.clone())
            .collect(),
        escalation_reason: section.optional_text("escalation_reason")?,
    })
}

fn execution(section: &Reader<'_>) -> Result<Execution, ModelError> {
    Ok(Execution {
        tool_calls: section
            .items("tool_calls")?
            .iter()
            .map(tool_call)
            .collect::<Result<_, _>>()?,
        duration_ms: section.count("duration_ms")?,
        resources_used: section.map("resources_used")?,
    })
}

fn tool_call(item: &Reader<'_>) -> Result<ToolCall, ModelError> {
    Ok(ToolCall {
        tool: item.required_text("tool")?,
        arguments: item.map("arguments")?,
        result: item.any("result"),
        success: item.flag("success")?,
        duration_ms: item.count("duration_ms")?,
        error: item.optional_text("error")?,
    })
}

fn outcome(section: &Reader<'_>) -> Result<Outcome, ModelError> {
    Ok(Outcome {
        status: section.text("status", "pending")?.into(),
        result: section.any("result"),
        summary: section.text("summary", "")?,
        error: section.optional_text("error")?,
        side_effects: section.list("side_effects")?.to_vec(),
        metrics: section.map("metrics")?,
    })
}

fn parse<T: FromStr>(
    text: &str,
    reader: &Reader<'_>,
    key: &str,
    expected: &'static str,
) -> Result<T, ModelError> {
    text.parse().map_err(|_| reader.fault(key, expected))
}

/// An object of the document and where it stands.
struct Reader<'a> {
    object: &'a Object,
    path: String,
}

static NOTHING: Object = Object::new();

impl<'a> Reader<'a> {
    fn new(value: &'a Value, path: String) -> Result<Reader<'a>, ModelError> {
        match value {
            Value::Object(object) => Ok(Reader { object, path }),
            _ => Err(ModelError {
                path: if path.is_empty() {
                    "the document".into()
                } else {
                    path
                },
                expected: "an object",
            }),
        }
    }

    fn path_of(&self, key: &str) -> String {
        match &*self.path {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn fault(&self, key: &str, expected: &'static str) -> ModelError {
        ModelError {
            path: self.path_of(key),
            expected,
        }
    }

    /// The value when it is there and converts, the default when it is missing.
    fn read<T>(
        &self,
        key: &str,
        expected: &'static str,
        default: T,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, ModelError> {
        match self.object.get(key) {
            None => Ok(default),
            Some(value) => convert(value).ok_or_else(|| self.fault(key, expected)),
        }
    }

    fn text(&self, key: &str, default: &str) -> Result<String, ModelError> {
        self.read(key, "a string", None, |value| {
            value.as_str().map(|text| Some(text.to_owned()))
        })
        .map(|text| text.unwrap_or_else(|| default.to_owned()))
    }

    fn required_text(&self, key: &str) -> Result<String, ModelError> {
        match self.object.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            _ => Err(self.fault(key, "a string")),
        }
    }

    fn optional_text(&self, key: &str) -> Result<Option<String>, ModelError> {
        self.read(key, "a string or null", None, |value| match value {
            Value::Null => Some(None),
            Value::String(text) => Some(Some(text.clone())),
            _ => None,
        })
    }

    fn map(&self, key: &str) -> Result<Object, ModelError> {
        self.read(key, "an object", Object::new(), |value| {
            value.as_object().cloned()
        })
    }

    fn list(&self, key: &str) -> Result<&'a [Value], ModelError> {
        self.read(key, "an array", &[][..], Value::as_array)
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, ModelError> {
        let items = self.list(key)?.iter();
        items
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| self.fault(key, "an array of strings"))
    }

    fn items(&self, key: &str) -> Result<Vec<Reader<'a>>, ModelError> {
        let items = self.list(key)?.iter().enumerate();
        items
            .map(|(at, item)| Reader::new(item, format!("{}.{at}", self.path_of(key))))
            .collect()
    }

    fn section(&self, key: &str) -> Result<Reader<'a>, ModelError> {
        match self.object.get(key) {
            Some(value) => Reader::new(value, self.path_of(key)),
            None => Ok(Reader {
                object: &NOTHING,
                path: self.path_of(key),
            }),
        }
    }

    fn number(&self, key: &str) -> Result<f64, ModelError> {
        self.read(key, "a number", 0.0, |value| match value {
            Value::Float(float) => Some(*float),
            // Decimal text of any size is read, rounded, as a double.
            Value::Int(integer) => integer.to_string().parse().ok(),
            _ => None,
        })
    }

    fn count(&self, key: &str) -> Result<u64, ModelError> {
        self.read(key, "an integer from 0", 0, Value::as_u64)
    }

    fn flag(&self, key: &str) -> Result<bool, ModelError> {
        self.read(key, "true or false", false, Value::as_bool)
    }

    fn any(&self, key: &str) -> Value {
        self.object.get(key).cloned().unwrap_or_default()
    }
}
