//! From a call to its record: the six sections, in the chosen content mode.

use std::sync::LazyLock;

use capsule::{
    Authority, Capsule, CapsuleType, Context, Execution, Hash, Id, MAX_INTEGER_DIGITS, Outcome,
    Reasoning, ToolCall, Trigger, canonical,
    json::{self, Duplicates, Limits, Object, Value},
};
use guard::{Check, Form, PatternCheck, PiiSettings, SecretSettings};
use sha3::{Digest, Sha3_256};

use crate::call::{AskedTool, Call, LONGEST_TEXT, cut};

/// How much of what was said a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The user's message, the answer and errors in clear.
    Full,
    /// The same with personal data and secrets replaced by their kinds.
    Masked,
    /// Keyed digests in their place.
    Hash,
}

impl Content {
    /// The mode that goes by this name.
    pub(crate) fn named(name: &str) -> Option<Content> {
        [Content::Full, Content::Masked, Content::Hash]
            .into_iter()
            .find(|content| content.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Content::Full => "full",
            Content::Masked => "masked",
            Content::Hash => "hash",
        }
    }
}

/// The gateway's checks for secrets and personal data, in this order and with their default settings.
static MASKS: LazyLock<[PatternCheck; 2]> = LazyLock::new(|| {
    [
        PatternCheck::secrets("secrets", SecretSettings::default()),
        PatternCheck::pii("pii", PiiSettings::default()),
    ]
});

fn masked(text: &str, form: Form) -> String {
    let mut text = text.to_owned();
    for check in MASKS.iter() {
        if let Some(masked) = check.scan_as(form, &text).masked {
            text = masked;
        }
    }
    text
}

/// What every record of one logger says.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) agent_id: String,
    pub(crate) domain: String,
    pub(crate) capsule_type: CapsuleType,
    pub(crate) content: Content,
}

/// The key of content digests; derived from the signing key, so there is no further file to keep.
pub(crate) struct DigestKey([u8; 32]);

impl DigestKey {
    pub(crate) fn derive(seed: &[u8; 32]) -> DigestKey {
        let mut hasher = Sha3_256::new_with_prefix(b"sealgate-litellm content digest v1");
        hasher.update(seed);
        DigestKey(hasher.finalize().into())
    }

    /// SHA3-256 of key and text: unlike its predecessors, SHA3 needs no nesting to be a keyed digest.
    fn digest(&self, text: &str) -> String {
        let mut hasher = Sha3_256::new_with_prefix(self.0);
        hasher.update(text);
        let digest = Hash::from_bytes(hasher.finalize().into());
        format!("keyed-sha3-256:{}", digest.hex())
    }
}

/// Builds records.
pub(crate) struct Recorder<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) key: &'a DigestKey,
}

impl Recorder<'_> {
    /// The record of a call.
    pub(crate) fn capsule(&self, id: Id, call: &Call) -> Capsule {
        let answer = call
            .answer
            .as_deref()
            .map(|answer| match self.settings.content {
                // Masked before it is cut, or half of an address could stay at the end.
                Content::Masked => cut(&masked(answer, Form::Plain)),
                _ => self.shown(&cut(answer)),
            });
        let error = call
            .error
            .as_ref()
            .map(|(class, text)| self.error(class, text));
        let result = Value::from(answer);
        Capsule {
            id,
            capsule_type: self.settings.capsule_type,
            domain: self.settings.domain.clone(),
            parent_id: None,
            trigger: Trigger {
                source: "litellm".to_owned(),
                timestamp: call.started,
                request: self.shown(&call.request),
                correlation_id: call.call_id.clone(),
                ..Trigger::default()
            },
            context: self.context(call),
            reasoning: reasoning(call),
            authority: Authority::default(),
            execution: Execution {
                tool_calls: self.tool_calls(call, &result, &error),
                duration_ms: call.duration_ms,
                resources_used: usage(call),
            },
            outcome: Outcome {
                status: if call.success { "success" } else { "failure" }.into(),
                result,
                summary: format!(
                    "{}: {}",
                    if call.success { "Completed" } else { "Failed" },
                    call.model
                ),
                error,
                metrics: usage(call),
                ..Outcome::default()
            },
        }
    }

    /// The record of a call whose own record the protocol does not allow.
    pub(crate) fn minimal(&self, id: Id, call: &Call, reason: &str) -> Capsule {
        Capsule {
            id,
            capsule_type: self.settings.capsule_type,
            domain: self.settings.domain.clone(),
            trigger: Trigger {
                source: "litellm".to_owned(),
                timestamp: call.started,
                ..Trigger::default()
            },
            execution: Execution {
                duration_ms: call.duration_ms,
                resources_used: usage(call),
                ..Execution::default()
            },
            outcome: Outcome {
                status: if call.success { "success" } else { "failure" }.into(),
                summary: format!("The rest of this record could not be sealed: {reason}"),
                metrics: usage(call),
                ..Outcome::default()
            },
            ..Capsule::default()
        }
    }

    fn context(&self, call: &Call) -> Context {
        let mut environment = Object::with_capacity(3);
        environment.insert("call_type", call.call_type.as_str());
        if self.settings.content != Content::Full {
            environment.insert("content_mode", self.settings.content.name());
        }
        environment.insert("model", call.model.as_str());
        Context {
            agent_id: self.settings.agent_id.clone(),
            session_id: None,
            environment,
        }
    }

    /// The call itself, then the tools that the model asked for. Whether those ran is not known here.
    fn tool_calls(&self, call: &Call, result: &Value, error: &Option<String>) -> Vec<ToolCall> {
        let mut arguments = Object::with_capacity(2);
        arguments.insert("message_count", call.message_count);
        arguments.insert("model", call.model.as_str());
        let mut calls = Vec::with_capacity(1 + call.asked.len());
        calls.push(ToolCall {
            tool: format!("litellm.{}", call.call_type),
            arguments,
            result: result.clone(),
            success: call.success,
            duration_ms: call.duration_ms,
            error: error.clone(),
        });
        calls.extend(call.asked.iter().map(|asked| self.asked(asked)));
        calls
    }

    fn asked(&self, asked: &AskedTool) -> ToolCall {
        let arguments = match self.settings.content {
            Content::Hash => Object::from([("digest", self.key.digest(&asked.arguments))]),
            Content::Full => told(&asked.arguments),
            Content::Masked => told(&masked(&asked.arguments, Form::JsonText)),
        };
        ToolCall {
            tool: asked.name.clone(),
            arguments,
            ..ToolCall::default()
        }
    }

    fn shown(&self, text: &str) -> String {
        match self.settings.content {
            Content::Hash if !text.is_empty() => self.key.digest(text),
            Content::Masked => masked(text, Form::Plain),
            _ => text.to_owned(),
        }
    }

    fn error(&self, class: &str, text: &str) -> String {
        match self.settings.content {
            Content::Full => cut(text),
            Content::Masked => cut(&masked(text, Form::Plain)),
            Content::Hash => format!("{class} {}", self.key.digest(&cut(text))),
        }
    }
}

/// Arguments as they are told: an object, or what there is instead.
fn told(arguments: &str) -> Object {
    parsed(arguments).unwrap_or_else(|| Object::from([("text", cut(arguments))]))
}

fn reasoning(call: &Call) -> Reasoning {
    Reasoning {
        analysis: format!("LLM {} via LiteLLM", call.call_type),
        selected_option: call.call_type.clone(),
        reasoning: format!("Routed to {}", call.model),
        model: Some(call.model.clone()),
        prompt_hash: call
            .prompt
            .as_ref()
            .map(|prompt| Hash::of(&canonical::to_vec(prompt)).hex()),
        ..Reasoning::default()
    }
}

fn usage(call: &Call) -> Object {
    Object::from([
        ("latency_ms", call.duration_ms),
        ("tokens_in", call.tokens_in),
        ("tokens_out", call.tokens_out),
    ])
}

/// Arguments as the object that they are, when a record can hold it.
fn parsed(arguments: &str) -> Option<Object> {
    if arguments.len() > LONGEST_TEXT {
        return None;
    }
    let limits = Limits {
        max_depth: 100,
        duplicates: Duplicates::Reject,
    };
    match json::parse(arguments.as_bytes(), &limits) {
        Ok(Value::Object(object)) if object.iter().all(|(_, value)| fits(value)) => Some(object),
        _ => None,
    }
}

fn fits(value: &Value) -> bool {
    match value {
        Value::Int(integer) => integer.digits() <= MAX_INTEGER_DIGITS,
        Value::Array(items) => items.iter().all(fits),
        Value::Object(object) => object.iter().all(|(_, member)| fits(member)),
        _ => true,
    }
}
