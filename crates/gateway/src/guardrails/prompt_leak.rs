//! `prompt_leak`: answers that give the call's own system prompt away.

use std::borrow::Cow;
use std::sync::Arc;

use guard::{Action, Check, PromptLeak};

use super::registry::Reading;
use super::{Engine, Local, LocalEngine, Own, Place, Refusal, Refused};

/// What is looked for, before it is known in which call.
struct Leak {
    name: Arc<str>,
    words: Option<usize>,
    canary: Option<String>,
    action: Action,
}

/// The same for one call.
struct LeakOfCall {
    readers: [Arc<dyn Check>; 1],
}

/// Reads the parameters.
pub(crate) fn build(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    if !(reading.modes.post_call || reading.modes.logging_only) {
        reading.problem(
            "mode",
            "only an answer can leak the prompt: write post_call",
        );
    }
    let actions = [
        ("BLOCK", Action::Block),
        ("MASK", Action::Mask),
        ("ALERT", Action::Alert),
    ];
    let action = reading.params.choice("action", &actions, reading.report);
    let words = reading.params.whole("words_in_a_row", 3, reading.report);
    let canary = reading.params.text("canary", reading.report);
    Some(Engine::Local(LocalEngine(Arc::new(Leak {
        name: Arc::from(reading.name),
        words: words.and_then(|words| usize::try_from(words).ok()),
        canary: canary.map(str::to_owned),
        action: action.unwrap_or(Action::Block),
    }))))
}

impl Local for Leak {
    /// Nothing leaks where no call is.
    fn readers(&self, _place: Place) -> &[Arc<dyn Check>] {
        &[]
    }

    fn for_call(&self, own: &Own<'_>) -> Option<Arc<dyn Local>> {
        let prompt: Vec<&str> = own.instructions.iter().map(Cow::as_ref).collect();
        let (prompt, canary) = (prompt.join("\n"), self.canary.as_deref());
        let leak = PromptLeak::new(&self.name, &prompt, self.words, canary, self.action);
        Some(Arc::new(LeakOfCall {
            readers: [Arc::new(leak)],
        }))
    }

    fn refusal(&self, refused: &Refused<'_>) -> Refusal {
        refused.plain("the answer repeats the system prompt")
    }
}

impl Local for LeakOfCall {
    /// The prompt is in the request; only an answer can leak it.
    fn readers(&self, place: Place) -> &[Arc<dyn Check>] {
        match place.answer {
            true => &self.readers,
            false => &[],
        }
    }

    fn scope(&self) -> Option<&'static str> {
        Some("answer")
    }

    fn refusal(&self, refused: &Refused<'_>) -> Refusal {
        refused.plain("the answer repeats the system prompt")
    }
}
