//! `detect_prompt_injection`: attacks on the model's instructions, with thresholds by origin.

use std::sync::Arc;

use guard::{Check, InjectionCheck, InjectionSettings, Origin};

use super::registry::Reading;
use super::{Engine, Local, Place, Refusal, Refused};
use crate::config::yaml::Value;

/// One check for each origin of texts.
struct Injection {
    user: [Arc<dyn Check>; 1],
    tool: [Arc<dyn Check>; 1],
    document: [Arc<dyn Check>; 1],
}

/// Reads the parameters.
pub(crate) fn build(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    for key in ["vector_db_check", "llm_api_check"] {
        if reading.params.flag(key, reading.report) == Some(true) {
            reading.not_built(key, "only the local check is built");
        }
    }
    let mut settings = InjectionSettings::default();
    if let Some(score) = score(reading, "threshold") {
        (settings.user, settings.tool, settings.document) = (score, score, score);
    }
    for (key, slot) in [
        ("threshold_user", &mut settings.user),
        ("threshold_tool", &mut settings.tool),
        ("threshold_document", &mut settings.document),
    ] {
        if let Some(score) = score(reading, key) {
            *slot = score;
        }
    }
    // A text cannot be masked against an attack: it is refused or reported.
    let actions = [
        ("BLOCK", guard::Action::Block),
        ("ALERT", guard::Action::Alert),
    ];
    for (key, slot) in [
        ("phrase_action", &mut settings.phrase),
        ("model_action", &mut settings.model),
    ] {
        if let Some(action) = reading.params.choice(key, &actions, reading.report) {
            *slot = action;
        }
    }
    let of = |origin| -> [Arc<dyn Check>; 1] {
        [Arc::new(InjectionCheck::new(
            reading.name,
            settings,
            origin,
        ))]
    };
    Some(Engine::local(Injection {
        user: of(Origin::User),
        tool: of(Origin::Tool),
        document: of(Origin::Document),
    }))
}

fn score(reading: &mut Reading<'_, '_>, key: &str) -> Option<f32> {
    let node = reading.params.get(key)?;
    let score = match &node.value {
        Value::Text(text) => text.trim().parse::<f32>().ok(),
        _ => None,
    };
    let score = score.filter(|score| (0.0..=1.0).contains(score));
    if score.is_none() {
        reading.problem(key, "expected a number from 0 to 1");
    }
    score
}

impl Local for Injection {
    fn readers(&self, place: Place) -> &[Arc<dyn Check>] {
        match place.origin {
            Origin::User => &self.user,
            Origin::Tool => &self.tool,
            Origin::Document => &self.document,
        }
    }

    /// LiteLLM's words.
    fn refusal(&self, refused: &Refused<'_>) -> Refusal {
        let message = "Rejected message. This is a prompt injection attack.".to_owned();
        refused.with_fields(message, &[])
    }
}
