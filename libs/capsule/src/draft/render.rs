//! Writes a typed record as canonical JSON, keys in their final order, in one pass.

use super::{
    DraftError, LINK_WIDTH, MAX_DOMAIN_CHARS, MAX_DRAFT_DEPTH, MAX_INTEGER_DIGITS,
    MAX_SESSION_ID_CHARS, SEQUENCE_WIDTH,
};
use crate::canonical;
use crate::json::{Object, Value};
use crate::model::{
    Authority, Capsule, Context, DecisionOption, Execution, Outcome, Reasoning, ToolCall, Trigger,
};

pub(super) struct Rendered {
    pub(super) text: Vec<u8>,
    pub(super) id_at: usize,
    pub(super) link_at: usize,
    pub(super) sequence_at: usize,
}

type Checked = Result<(), DraftError>;

pub(super) fn render(capsule: &Capsule) -> Result<Rendered, DraftError> {
    let mut out = Writer {
        out: Vec::with_capacity(estimate(capsule)),
    };
    out.authority(&capsule.authority)?;
    out.context(&capsule.context)?;
    within("domain", &capsule.domain, MAX_DOMAIN_CHARS)?;
    out.text(",\"domain\":", &capsule.domain);
    out.execution(&capsule.execution)?;
    out.raw(",");
    let id_at = out.out.len();
    out.raw("\"id\":\"");
    out.out.extend_from_slice(&capsule.id.to_ascii());
    out.raw("\"");
    out.outcome(&capsule.outcome)?;
    match capsule.parent_id {
        None => out.raw(",\"parent_id\":null"),
        Some(parent) => {
            out.raw(",\"parent_id\":\"");
            out.out.extend_from_slice(&parent.to_ascii());
            out.raw("\"");
        }
    }
    out.raw(",\"previous_hash\":");
    let link_at = out.out.len();
    // Room for the link; the marks stay when it is a hash.
    out.out.resize(link_at + LINK_WIDTH, b'"');
    out.reasoning(&capsule.reasoning)?;
    out.raw(",\"sequence\":");
    let sequence_at = out.out.len();
    out.raw(",\"spec_version\":\"1.0\"");
    out.trigger(&capsule.trigger);
    out.raw(",\"type\":\"");
    out.raw(capsule.capsule_type.as_str());
    out.raw("\"}");
    out.out.reserve(SEQUENCE_WIDTH);
    Ok(Rendered {
        text: out.out,
        id_at,
        link_at,
        sequence_at,
    })
}

/// A first guess at the size, so that most records are written without moving the buffer.
fn estimate(capsule: &Capsule) -> usize {
    let maps = capsule.context.environment.len()
        + capsule.authority.chain.len() * 8
        + capsule.execution.tool_calls.len() * 8
        + capsule.reasoning.options.len() * 8;
    1536 + maps * 40
        + capsule.trigger.request.len()
        + capsule.outcome.result.as_str().map_or(0, str::len)
}

fn within(field: &'static str, text: &str, limit: usize) -> Checked {
    // Bytes bound characters from above, so counting is rarely needed.
    if text.len() > limit && text.chars().count() > limit {
        return Err(DraftError::TooLong { field, limit });
    }
    Ok(())
}

struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// `key` holds the punctuation around the key too.
    fn text(&mut self, key: &str, value: &str) {
        self.raw(key);
        canonical::write_string(value, &mut self.out);
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value),
            None => {
                self.raw(key);
                self.raw("null");
            }
        }
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.raw(key);
        self.raw(if value { "true" } else { "false" });
    }

    fn count(&mut self, key: &str, value: u64) {
        self.raw(key);
        canonical::write_u64(value, &mut self.out);
    }

    fn share(&mut self, key: &str, field: &'static str, value: f64) -> Checked {
        if !value.is_finite() {
            return Err(DraftError::NotFinite(field));
        }
        if !(0.0..=1.0).contains(&value) {
            return Err(DraftError::OutOfRange(field));
        }
        self.raw(key);
        canonical::write_f64(value, &mut self.out);
        Ok(())
    }

    fn list<T>(
        &mut self,
        key: &str,
        items: &[T],
        mut write: impl FnMut(&mut Self, &T) -> Checked,
    ) -> Checked {
        self.raw(key);
        self.raw("[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            write(self, item)?;
        }
        self.raw("]");
        Ok(())
    }

    fn texts(&mut self, key: &str, items: &[String]) {
        // Writing text cannot fail, so neither can the list.
        let _: Checked = self.list(key, items, |out, item| {
            out.text("", item);
            Ok(())
        });
    }

    fn map(&mut self, key: &str, field: &'static str, object: &Object, depth: usize) -> Checked {
        self.raw(key);
        self.object(object, field, depth)
    }

    fn object(&mut self, object: &Object, field: &'static str, depth: usize) -> Checked {
        if depth > MAX_DRAFT_DEPTH {
            return Err(DraftError::TooDeep(field));
        }
        self.raw("{");
        for (index, (key, value)) in object.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            canonical::write_string(key, &mut self.out);
            self.raw(":");
            self.value("", field, value, depth + 1)?;
        }
        self.raw("}");
        Ok(())
    }

    /// `depth` is the level that the value has if it is an array or object; the document is level 1.
    fn value(&mut self, key: &str, field: &'static str, value: &Value, depth: usize) -> Checked {
        self.raw(key);
        match value {
            Value::Null => self.raw("null"),
            Value::Bool(flag) => self.flag("", *flag),
            Value::Int(integer) if integer.digits() > MAX_INTEGER_DIGITS => {
                return Err(DraftError::IntegerTooLong(field));
            }
            Value::Int(integer) => canonical::write_integer(integer, &mut self.out),
            Value::Float(float) if !float.is_finite() => return Err(DraftError::NotFinite(field)),
            Value::Float(float) => canonical::write_f64(*float, &mut self.out),
            Value::String(text) => self.text("", text),
            Value::Array(_) if depth > MAX_DRAFT_DEPTH => return Err(DraftError::TooDeep(field)),
            Value::Array(items) => {
                self.list("", items, |out, item| out.value("", field, item, depth + 1))?
            }
            Value::Object(object) => self.object(object, field, depth)?,
        }
        Ok(())
    }

    fn authority(&mut self, section: &Authority) -> Checked {
        self.optional("{\"authority\":{\"approver\":", section.approver.as_deref());
        self.list(",\"chain\":", &section.chain, |out, step| {
            out.object(step, "authority.chain", 4)
        })?;
        self.optional(
            ",\"escalation_reason\":",
            section.escalation_reason.as_deref(),
        );
        self.optional(
            ",\"policy_reference\":",
            section.policy_reference.as_deref(),
        );
        self.text(",\"type\":", &section.authority_type);
        self.raw("}");
        Ok(())
    }

    fn context(&mut self, section: &Context) -> Checked {
        self.text(",\"context\":{\"agent_id\":", &section.agent_id);
        self.map(
            ",\"environment\":",
            "context.environment",
            &section.environment,
            3,
        )?;
        if let Some(session) = &section.session_id {
            within("context.session_id", session, MAX_SESSION_ID_CHARS)?;
        }
        self.optional(",\"session_id\":", section.session_id.as_deref());
        self.raw("}");
        Ok(())
    }

    fn execution(&mut self, section: &Execution) -> Checked {
        self.count(",\"execution\":{\"duration_ms\":", section.duration_ms);
        self.map(
            ",\"resources_used\":",
            "execution.resources_used",
            &section.resources_used,
            3,
        )?;
        self.list(",\"tool_calls\":", &section.tool_calls, Self::tool_call)?;
        self.raw("}");
        Ok(())
    }

    fn tool_call(&mut self, call: &ToolCall) -> Checked {
        const FIELD: &str = "execution.tool_calls";
        self.map("{\"arguments\":", FIELD, &call.arguments, 5)?;
        self.count(",\"duration_ms\":", call.duration_ms);
        self.optional(",\"error\":", call.error.as_deref());
        self.value(",\"result\":", FIELD, &call.result, 5)?;
        self.flag(",\"success\":", call.success);
        self.text(",\"tool\":", &call.tool);
        self.raw("}");
        Ok(())
    }

    fn outcome(&mut self, section: &Outcome) -> Checked {
        self.optional(",\"outcome\":{\"error\":", section.error.as_deref());
        self.map(",\"metrics\":", "outcome.metrics", &section.metrics, 3)?;
        self.value(",\"result\":", "outcome.result", &section.result, 3)?;
        self.list(
            ",\"side_effects\":",
            &section.side_effects,
            |out, effect| out.value("", "outcome.side_effects", effect, 4),
        )?;
        self.text(",\"status\":", &section.status);
        self.text(",\"summary\":", &section.summary);
        self.raw("}");
        Ok(())
    }

    fn reasoning(&mut self, section: &Reasoning) -> Checked {
        self.text(",\"reasoning\":{\"analysis\":", &section.analysis);
        self.share(
            ",\"confidence\":",
            "reasoning.confidence",
            section.confidence,
        )?;
        self.optional(",\"model\":", section.model.as_deref());
        self.list(",\"options\":", &section.options, Self::option)?;
        self.list(
            ",\"options_considered\":",
            &section.options,
            |out, option| {
                out.text("", &option.description);
                Ok(())
            },
        )?;
        self.optional(",\"prompt_hash\":", section.prompt_hash.as_deref());
        self.text(",\"reasoning\":", &section.reasoning);
        self.text(",\"selected_option\":", &section.selected_option);
        self.raw("}");
        Ok(())
    }

    fn option(&mut self, option: &DecisionOption) -> Checked {
        const FIELD: &str = "reasoning.options";
        self.texts("{\"cons\":", &option.cons);
        self.text(",\"description\":", &option.description);
        self.map(",\"estimated_impact\":", FIELD, &option.estimated_impact, 5)?;
        self.share(
            ",\"feasibility\":",
            "feasibility of an option",
            option.feasibility,
        )?;
        self.text(",\"id\":", &option.id);
        self.texts(",\"pros\":", &option.pros);
        self.text(",\"rejection_reason\":", &option.rejection_reason);
        self.texts(",\"risks\":", &option.risks);
        self.flag(",\"selected\":", option.selected);
        self.raw("}");
        Ok(())
    }

    fn trigger(&mut self, section: &Trigger) {
        self.optional(
            ",\"trigger\":{\"correlation_id\":",
            section.correlation_id.as_deref(),
        );
        self.text(",\"request\":", &section.request);
        self.text(",\"source\":", &section.source);
        self.raw(",\"timestamp\":\"");
        section.timestamp.write(&mut self.out);
        self.text("\",\"type\":", &section.trigger_type);
        self.optional(",\"user_id\":", section.user_id.as_deref());
        self.raw("}");
    }
}
