//! `presidio` with a service: Presidio's analyzer finds, its anonymizer (or the gateway) replaces.
//!
//! Offsets of the analyzer count characters. Without an anonymizer the gateway writes `<KIND>` itself, and where values come
//! back (`output_parse_pii`) a placeholder of the request's vault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use guard::{Form, Vault};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::judge::all;
use super::service::{KeyHeader, Service};
use super::{Answer, Ask, BoxFuture, Kinds, Manner, Remote, Said, Silence};
use crate::config::yaml;
use crate::digest::Purpose;
use crate::guardrails::registry::Reading;
use crate::guardrails::{Engine, Refusal, Refused, Restore};

const ANALYZER: (&str, &str) = ("presidio_analyzer_api_base", "PRESIDIO_ANALYZER_API_BASE");
const ANONYMIZER: (&str, &str) = (
    "presidio_anonymizer_api_base",
    "PRESIDIO_ANONYMIZER_API_BASE",
);
/// Texts that are asked about at the same time.
const TEXTS: usize = 8;
/// Longest name of a kind.
const LONGEST_NAME: usize = 48;

/// What is done with a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Mask,
    Block,
    Alert,
}

struct Presidio {
    analyzer: Service,
    anonymizer: Option<Service>,
    manner: Manner,
    language: String,
    /// The kinds asked for; all that the analyzer knows without.
    entities: Option<BTreeMap<String, Action>>,
    thresholds: BTreeMap<String, f64>,
    denied: BTreeSet<String>,
    ad_hoc: Option<Value>,
    restore: Option<Restore>,
    who: Arc<str>,
}

/// Whether a service is configured, in the file or the environment.
pub(crate) fn is_configured(reading: &Reading<'_, '_>) -> bool {
    [ANALYZER, ANONYMIZER].iter().any(|(key, variable)| {
        reading.params.get(key).is_some() || reading.variables.get(variable).is_some()
    })
}

/// Reads the parameters.
pub(crate) fn build(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    let manner = Manner::read(reading);
    let analyzer = Service::read(reading, ANALYZER, None, KeyHeader::Bearer);
    let written = reading.params.get(ANONYMIZER.0).is_some();
    let anonymizer = match written || reading.variables.get(ANONYMIZER.1).is_some() {
        true => Some(Service::read(reading, ANONYMIZER, None, KeyHeader::Bearer)?),
        false => None,
    };
    let analyzer = analyzer?;
    let entities = entities(reading);
    let thresholds = reading.shares("presidio_score_thresholds");
    let params = reading.params;
    let denied = params.texts("presidio_entities_deny_list", reading.report);
    let denied = denied
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    let language = params.text("presidio_language", reading.report);
    let ad_hoc = reading.file("presidio_ad_hoc_recognizers");
    let ad_hoc = ad_hoc.and_then(|bytes| match serde_json::from_slice(&bytes) {
        Ok(value @ Value::Array(_)) => Some(value),
        _ => {
            let message = "expected a JSON list, which the analyzer is sent";
            reading.problem("presidio_ad_hoc_recognizers", message);
            None
        }
    });
    let restores = params.flag("output_parse_pii", reading.report) == Some(true);
    let tools = params.flag("restore_tool_arguments", reading.report);
    for key in ["allow_list"] {
        if params.get(key).is_some() {
            reading.not_built(
                key,
                "a list for the built-in recognisers; Presidio's is its own",
            );
        }
    }
    Some(Engine::remote(Presidio {
        who: analyzer.host.clone(),
        analyzer,
        anonymizer,
        manner,
        language: language.unwrap_or("en").to_owned(),
        entities,
        thresholds,
        denied,
        ad_hoc,
        restore: restores.then_some(Restore {
            tool_arguments: tools.unwrap_or(false),
        }),
    }))
}

fn entities(reading: &mut Reading<'_, '_>) -> Option<BTreeMap<String, Action>> {
    const KEY: &str = "pii_entities_config";
    const ACTIONS: [(&str, Action); 3] = [
        ("MASK", Action::Mask),
        ("BLOCK", Action::Block),
        ("ALERT", Action::Alert),
    ];
    reading.params.get(KEY)?;
    let section = reading.params.section(KEY, reading.report);
    let pair = |entry: &yaml::Entry| {
        let action = section.choice(&entry.key, &ACTIONS, reading.report)?;
        Some((entry.key.clone(), action))
    };
    Some(section.entries().iter().filter_map(pair).collect())
}

/// One finding of the analyzer.
#[derive(Clone, Debug, Deserialize)]
struct Hit {
    entity_type: String,
    start: usize,
    end: usize,
    score: f64,
}

/// The anonymizer's answer.
#[derive(Deserialize)]
struct Anonymized {
    text: String,
}

/// One text with what was found in it.
struct Looked {
    text: String,
    found: Vec<(String, Action)>,
}

impl Presidio {
    fn action(&self, kind: &str) -> Option<Action> {
        match &self.entities {
            None => Some(Action::Mask),
            Some(entities) => entities.get(kind).copied(),
        }
    }

    fn counts(&self, hit: &Hit) -> bool {
        let thresholds = &self.thresholds;
        let least = thresholds.get(&hit.entity_type);
        let least = least.or_else(|| thresholds.get("ALL"));
        let least = least.or_else(|| thresholds.get("DEFAULT"));
        !self.denied.contains(&hit.entity_type)
            && self.action(&hit.entity_type).is_some()
            && least.is_none_or(|least| hit.score >= *least)
    }

    /// Asks the analyzer, and the anonymizer where there is something to replace.
    async fn look(
        &self,
        ask: &Ask,
        text: &str,
        until: Instant,
    ) -> Result<(Looked, Vec<u8>), Silence> {
        let mut question = json!({ "text": text, "language": self.language });
        if let Some(question) = question.as_object_mut() {
            if let Some(entities) = &self.entities {
                let names: Vec<&String> = entities.keys().collect();
                question.insert("entities".to_owned(), json!(names));
            }
            if let Some(recognisers) = &self.ad_hoc {
                question.insert("ad_hoc_recognizers".to_owned(), recognisers.clone());
            }
        }
        let question = question.to_string().into_bytes();
        let permit = &ask.permit;
        let answer = self.analyzer.post(permit, "/analyze", question, until);
        let answer = answer.await?;
        let hits: Vec<Hit> = serde_json::from_slice(&answer).map_err(|_| Silence::Malformed)?;
        let most = text.chars().count();
        let plain = |hit: &Hit| {
            let named = |c: char| c.is_ascii_alphanumeric() || "_- ".contains(c);
            let name = &hit.entity_type;
            !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(named)
        };
        if !hits
            .iter()
            .all(|hit| hit.start < hit.end && hit.end <= most && plain(hit))
        {
            return Err(Silence::Malformed);
        }
        let hits: Vec<Hit> = hits.into_iter().filter(|hit| self.counts(hit)).collect();
        let mut found = Vec::new();
        for hit in &hits {
            let action = self.action(&hit.entity_type).unwrap_or(Action::Mask);
            found.push((hit.entity_type.clone(), action));
        }
        let masked = |hit: &Hit| self.action(&hit.entity_type) == Some(Action::Mask);
        let masked: Vec<Hit> = hits.into_iter().filter(masked).collect();
        let mut evidence = answer.to_vec();
        let left = match (&self.anonymizer, &ask.vault) {
            _ if masked.is_empty() => text.to_owned(),
            (Some(anonymizer), vault) if self.restore.is_none() || vault.is_none() => {
                let results: Vec<Value> = masked
                    .iter()
                    .map(|hit| {
                        json!({ "entity_type": hit.entity_type, "start": hit.start, "end": hit.end, "score": hit.score })
                    })
                    .collect();
                let question = json!({ "text": text, "analyzer_results": results });
                let question = question.to_string().into_bytes();
                let answer = anonymizer
                    .post(permit, "/anonymize", question, until)
                    .await?;
                evidence.extend_from_slice(&answer);
                let anonymized: Anonymized =
                    serde_json::from_slice(&answer).map_err(|_| Silence::Malformed)?;
                // It was told of something to replace: the same text back is no answer.
                if anonymized.text == text {
                    return Err(Silence::Malformed);
                }
                anonymized.text
            }
            (_, vault) => {
                let vault = vault.as_ref().filter(|_| self.restore.is_some());
                replaced(text, masked, vault)
            }
        };
        Ok((Looked { text: left, found }, evidence))
    }
}

/// The text with each finding replaced: of those that overlap the surest, then the longest.
fn replaced(text: &str, mut hits: Vec<Hit>, vault: Option<&Arc<Vault>>) -> String {
    hits.sort_by(|a, b| {
        let longer = (b.end - b.start).cmp(&(a.end - a.start));
        b.score.total_cmp(&a.score).then(longer)
    });
    let mut chosen: Vec<Hit> = Vec::new();
    for hit in hits {
        let apart = |other: &Hit| hit.end <= other.start || other.end <= hit.start;
        if chosen.iter().all(apart) {
            chosen.push(hit);
        }
    }
    chosen.sort_by_key(|hit| hit.start);
    let replacer = vault.map(|vault| vault.replacer(Form::Plain));
    let mut out = String::with_capacity(text.len());
    let (mut chars, mut at) = (text.chars(), 0);
    for hit in chosen {
        out.extend(chars.by_ref().take(hit.start - at));
        let value: String = chars.by_ref().take(hit.end - hit.start).collect();
        at = hit.end;
        match &replacer {
            Some(replacer) => out.push_str(&replacer.replace(&hit.entity_type, &value)),
            None => {
                out.push('<');
                out.push_str(&hit.entity_type);
                out.push('>');
            }
        }
    }
    out.extend(chars);
    out
}

impl Remote for Presidio {
    fn ask<'c>(&'c self, ask: &'c Ask, until: Instant) -> BoxFuture<'c, Result<Answer, Silence>> {
        Box::pin(self.manner.ask(until, async move {
            let mut texts = Vec::with_capacity(ask.texts.len());
            let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
            let (mut blocked, mut masked) = (Vec::new(), false);
            let mut evidence = ask.permit.digests.begin("", Purpose::Response);
            for some in ask.texts.chunks(TEXTS) {
                let questions = some.iter().map(|asked| -> BoxFuture<'_, _> {
                    Box::pin(async move {
                        match asked.text.trim().is_empty() {
                            true => Ok(None),
                            false => self.look(ask, &asked.text, until).await.map(Some),
                        }
                    })
                });
                for (asked, looked) in some.iter().zip(all(questions.collect()).await) {
                    let Some((looked, answer)) = looked? else {
                        texts.push(asked.text.clone());
                        continue;
                    };
                    evidence.update(&answer);
                    masked |= looked.text != asked.text;
                    texts.push(looked.text);
                    for (kind, action) in looked.found {
                        if action == Action::Block {
                            blocked.push((kind.clone(), 1));
                        }
                        *kinds.entry(kind).or_default() += 1;
                    }
                }
            }
            let kinds: Kinds = kinds.into_iter().collect();
            let said = match (blocked.is_empty(), masked, kinds.is_empty()) {
                (false, ..) => Said::Block {
                    found: blocked,
                    reason: String::new(),
                },
                (true, true, _) => Said::Replace(texts, kinds),
                (true, false, false) => Said::Alert(kinds),
                (true, false, true) => Said::Pass,
            };
            Ok(Answer {
                said,
                evidence: Some(evidence.finish()),
            })
        }))
    }

    fn manner(&self) -> &Manner {
        &self.manner
    }

    fn asserted_by(&self) -> &Arc<str> {
        &self.who
    }

    fn edits(&self) -> bool {
        true
    }

    fn restores(&self) -> Option<Restore> {
        self.restore
    }

    /// LiteLLM's words.
    fn refusal(&self, refused: &Refused<'_>, _reason: &str) -> Refusal {
        crate::guardrails::pii::refusal(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_characters_and_the_surest_wins() {
        let hit = |kind: &str, start, end, score| Hit {
            entity_type: kind.to_owned(),
            start,
            end,
            score,
        };
        let text = "für Zoë Müller, 😀 hier";
        let hits = vec![
            hit("PERSON", 4, 14, 0.85),
            hit("NRP", 4, 7, 0.4),
            hit("EMOJI", 16, 17, 0.5),
        ];
        assert_eq!(replaced(text, hits, None), "für <PERSON>, <EMOJI> hier");
        assert_eq!(replaced(text, Vec::new(), None), text);
    }
}
