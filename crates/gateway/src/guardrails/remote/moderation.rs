//! `openai_moderation`: a service that answers as OpenAI's `POST /v1/moderations` does, OpenAI's own or another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::service::{KeyHeader, Service};
use super::{Answer, Ask, BoxFuture, Kinds, Manner, Remote, Said, Silence};
use crate::digest::Purpose;
use crate::guardrails::registry::Reading;
use crate::guardrails::{Engine, Refusal, Refused};

/// Where the service is when nothing else is said, and under which name in a certificate.
const BASE: &str = "https://api.openai.com/v1";
const HOST: &str = "api.openai.com";
const MODEL: &str = "omni-moderation-latest";
/// Longest name of a category that is recorded.
const LONGEST_NAME: usize = 64;

struct Moderation {
    service: Service,
    manner: Manner,
    model: String,
    /// Lowest scores that refuse, by category; for others the service's own judgement counts.
    thresholds: BTreeMap<String, f64>,
}

/// Reads the parameters: `api_base`, `api_key`, `model`, `category_thresholds`.
pub(crate) fn build(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    let manner = Manner::read(reading);
    let place = ("api_base", "OPENAI_MODERATION_API_BASE");
    let mut service = Service::read(reading, place, Some(BASE), KeyHeader::Bearer)?;
    // The provider's key is for the provider's own address only.
    if !service.has_key() && service.is_at(HOST) {
        match reading.variables.get("OPENAI_API_KEY") {
            Some(key) => service.add_bearer(&key),
            None => reading.problem(
                "api_key",
                "missing: no key for api.openai.com (or set OPENAI_API_KEY)",
            ),
        }
    }
    let service = service.without_suffix("/moderations");
    let model = reading.params.text("model", reading.report);
    let thresholds = reading.shares("category_thresholds");
    Some(Engine::remote(Moderation {
        service,
        manner,
        model: model.unwrap_or(MODEL).to_owned(),
        thresholds,
    }))
}

#[derive(Deserialize)]
struct Judgement {
    results: Vec<OneResult>,
}

#[derive(Deserialize)]
struct OneResult {
    flagged: bool,
    categories: BTreeMap<String, Option<bool>>,
    category_scores: BTreeMap<String, Option<f64>>,
}

impl Moderation {
    fn read(&self, bytes: &[u8], asked: usize) -> Result<Said, Silence> {
        let judged: Judgement = serde_json::from_slice(bytes).map_err(|_| Silence::Malformed)?;
        if judged.results.len() != asked {
            return Err(Silence::Malformed);
        }
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for result in &judged.results {
            let kinds = self.kinds(result)?;
            // Flagged without a category, where no threshold says otherwise.
            if kinds.is_empty() && result.flagged && self.thresholds.is_empty() {
                *found.entry("flagged".to_owned()).or_default() += 1;
            }
            for kind in kinds {
                *found.entry(kind).or_default() += 1;
            }
        }
        if found.is_empty() {
            return Ok(Said::Pass);
        }
        let found: Kinds = found.into_iter().collect();
        Ok(Said::Block {
            found,
            reason: "Violated OpenAI moderation policy".to_owned(),
        })
    }

    fn kinds(&self, result: &OneResult) -> Result<Vec<String>, Silence> {
        let mut kinds = Vec::new();
        for (name, flag) in &result.categories {
            let hit = match self.thresholds.get(name) {
                None => flag.unwrap_or(false),
                Some(threshold) => {
                    let score = result.category_scores.get(name).copied().flatten();
                    // A category that is judged by its score has one.
                    score.ok_or(Silence::Malformed)? >= *threshold
                }
            };
            if hit {
                kinds.push(name.chars().take(LONGEST_NAME).collect());
            }
        }
        let known = |name: &&String| result.categories.contains_key(*name);
        match self.thresholds.keys().all(|name| known(&name)) {
            true => Ok(kinds),
            false => Err(Silence::Malformed),
        }
    }
}

impl Remote for Moderation {
    fn ask<'c>(&'c self, ask: &'c Ask, until: Instant) -> BoxFuture<'c, Result<Answer, Silence>> {
        Box::pin(async move {
            let texts = ask.texts.iter().map(|asked| asked.text.as_str());
            let texts: Vec<&str> = texts.filter(|text| !text.trim().is_empty()).collect();
            if texts.is_empty() {
                return Ok(Answer {
                    said: Said::Pass,
                    evidence: None,
                });
            }
            let question = json!({ "model": self.model, "input": texts });
            let question = question.to_string().into_bytes();
            let post = self
                .service
                .post(&ask.permit, "/moderations", question, until);
            self.manner
                .ask(until, async {
                    let answer = post.await?;
                    let digests = &ask.permit.digests;
                    Ok(Answer {
                        evidence: Some(digests.digest("", Purpose::Response, &answer)),
                        said: self.read(&answer, texts.len())?,
                    })
                })
                .await
        })
    }

    fn manner(&self) -> &Manner {
        &self.manner
    }

    fn asserted_by(&self) -> &Arc<str> {
        &self.service.host
    }

    fn refusal(&self, refused: &Refused<'_>, reason: &str) -> Refusal {
        refused.with_fields(reason.to_owned(), &[("category", refused.kind)])
    }
}
