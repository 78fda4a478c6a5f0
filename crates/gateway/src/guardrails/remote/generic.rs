//! `generic_guardrail_api`: any service that speaks LiteLLM's Generic Guardrail API.
//!
//! It is sent every text of the transcript, in order, and may pass, refuse, or give them back changed, one for one. A word
//! that the format does not have is a malformed answer, not a pass.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::service::{KeyHeader, Service};
use super::{Answer, Ask, BoxFuture, Manner, Permit, Remote, Said, Silence};
use crate::config::yaml;
use crate::digest::Purpose;
use crate::guardrails::registry::Reading;
use crate::guardrails::{Engine, Refusal, Refused};

/// The path of the API below its base.
const PATH: &str = "/beta/litellm_basic_guardrail_api";
/// The release of LiteLLM whose format this is.
const LITELLM_VERSION: &str = "1.106.2";
/// Longest reason of a service that a client is shown, in characters.
const LONGEST_REASON: usize = 500;

struct Generic {
    service: Service,
    manner: Manner,
    /// `additional_provider_specific_params`
    more: Value,
}

/// Reads the parameters.
pub(crate) fn build(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    let manner = Manner::read(reading);
    let place = ("api_base", "GENERIC_GUARDRAIL_API_BASE");
    let service = Service::read(reading, place, None, KeyHeader::XApiKey)?.without_suffix(PATH);
    let more = reading.params.get("additional_provider_specific_params");
    let more = more.map_or_else(|| json!({}), value);
    Some(Engine::remote(Generic {
        service,
        manner,
        more,
    }))
}

/// A value of the configuration as JSON: scalars keep their text unless they are numbers.
fn value(node: &yaml::Node) -> Value {
    match &node.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Bool(flag, _) => json!(flag),
        yaml::Value::Text(text) => match text.parse::<serde_json::Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => json!(text),
        },
        yaml::Value::List(items) => items.iter().map(value).collect(),
        yaml::Value::Map(entries) => {
            let pairs = entries
                .iter()
                .map(|entry| (entry.key.clone(), value(&entry.value)));
            Value::Object(pairs.collect())
        }
    }
}

/// The answer of a service. What it may not replace stays unread: unknown members are its own affair.
#[derive(Deserialize)]
struct Verdict {
    action: Option<String>,
    blocked_reason: Option<String>,
    texts: Option<Vec<String>>,
    images: Option<Vec<Value>>,
    tools: Option<Vec<Value>>,
    structured_messages: Option<Vec<Value>>,
}

impl Generic {
    fn question(&self, ask: &Ask) -> Value {
        let chat: Value = match ask.chat.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&ask.chat).unwrap_or(Value::Null),
        };
        let member = |name: &str| chat.get(name).cloned().unwrap_or(Value::Null);
        let texts: Vec<&str> = ask.texts.iter().map(|asked| asked.text.as_str()).collect();
        let permit = &ask.permit;
        json!({
            "input_type": if ask.answer { "response" } else { "request" },
            "litellm_call_id": permit.id.to_string(),
            "litellm_trace_id": permit.trace,
            "texts": texts,
            "images": Value::Null,
            "tools": member("tools"),
            "tool_calls": Value::Null,
            "structured_messages": member("messages"),
            "request_data": who(permit),
            "request_headers": Value::Null,
            "litellm_version": LITELLM_VERSION,
            "additional_provider_specific_params": self.more,
            "model": if ask.answer { &permit.model } else { &*permit.group },
        })
    }

    fn read(&self, bytes: &[u8], ask: &Ask) -> Result<Said, Silence> {
        let verdict: Verdict = serde_json::from_slice(bytes).map_err(|_| Silence::Malformed)?;
        let texts = verdict.texts.filter(|texts| !texts.is_empty());
        if texts
            .as_ref()
            .is_some_and(|texts| texts.len() != ask.texts.len())
        {
            return Err(Silence::Malformed);
        }
        let same = |texts: &Vec<String>| {
            let pairs = texts.iter().zip(ask.texts.iter());
            pairs.into_iter().all(|(new, old)| *new == old.text)
        };
        let changed = texts.filter(|texts| !same(texts));
        let said = match verdict.action.as_deref() {
            Some("BLOCKED") => Said::Block {
                found: vec![("BLOCKED".to_owned(), 1)],
                reason: reason(verdict.blocked_reason),
            },
            None | Some("NONE") => match changed {
                Some(texts) => Said::Replace(texts, Vec::new()),
                None => Said::Pass,
            },
            Some("GUARDRAIL_INTERVENED") => {
                let found = vec![("GUARDRAIL_INTERVENED".to_owned(), 1)];
                let others = [verdict.images, verdict.tools, verdict.structured_messages];
                match changed {
                    Some(texts) => Said::Replace(texts, found),
                    // It changed something that is not ours to put in place: its text is not what would go on.
                    None if others.iter().flatten().any(|list| !list.is_empty()) => {
                        return Err(Silence::Malformed);
                    }
                    None => Said::Alert(found),
                }
            }
            Some(_) => return Err(Silence::Malformed),
        };
        Ok(said)
    }
}

/// The reason for the client, without what a terminal or a log would stumble over.
fn reason(said: Option<String>) -> String {
    let said = said.filter(|said| !said.trim().is_empty());
    let said = said.unwrap_or_else(|| "Content violates policy".to_owned());
    said.chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_REASON)
        .collect()
}

fn alias(row: Option<&Arc<policy::identity::Entity>>) -> Option<&str> {
    row?.alias.as_deref()
}

/// Who calls: ids and aliases, never a key.
fn who(permit: &Permit) -> Value {
    let billing = &permit.billing;
    let pairs = [
        ("user_api_key_hash", Some(&*permit.key_id)),
        ("user_api_key_alias", alias(permit.caller.key())),
        ("user_api_key_user_id", Some(billing.user.as_str())),
        ("user_api_key_team_id", Some(billing.team.as_str())),
        ("user_api_key_team_alias", alias(permit.caller.team())),
        ("user_api_key_end_user_id", Some(billing.end_user.as_str())),
        ("user_api_key_org_id", Some(billing.organization.as_str())),
    ];
    let set = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, json!(value)));
    Value::Object(set.collect())
}

impl Remote for Generic {
    fn ask<'c>(&'c self, ask: &'c Ask, until: Instant) -> BoxFuture<'c, Result<Answer, Silence>> {
        Box::pin(self.manner.ask(until, async move {
            let question = self.question(ask).to_string().into_bytes();
            let answer = self
                .service
                .post(&ask.permit, PATH, question, until)
                .await?;
            let digests = &ask.permit.digests;
            Ok(Answer {
                evidence: Some(digests.digest("", Purpose::Response, &answer)),
                said: self.read(&answer, ask)?,
            })
        }))
    }

    fn manner(&self) -> &Manner {
        &self.manner
    }

    fn asserted_by(&self) -> &Arc<str> {
        &self.service.host
    }

    fn edits(&self) -> bool {
        true
    }

    /// The service's own words, as LiteLLM gives them.
    fn refusal(&self, _refused: &Refused<'_>, reason: &str) -> Refusal {
        Refusal {
            message: reason.to_owned(),
            fields: Vec::new(),
        }
    }
}
