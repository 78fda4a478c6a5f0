//! `litellm_content_filter`: words, patterns and categories, each blocked or masked.

use std::sync::Arc;

use super::registry::Reading;
use super::{Engine, Local, Place, Refusal, Refused};
use crate::config::problems::Severity;
use crate::config::words;
use crate::config::yaml::{Node, Value};

/// Parts of the content filter that are not built.
const MISSING_PARTS: [&str; 6] = [
    "patterns",
    "categories",
    "blocked_words_file",
    "image_model",
    "on_sensitive_data",
    "end_session_after_n_fails",
];

/// The filter.
struct ContentFilter {
    readers: Vec<Arc<dyn guard::Check>>,
}

/// Reads the parameters.
pub(crate) fn build(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    let params = reading.params;
    let missing = MISSING_PARTS
        .into_iter()
        .filter(|part| is_on(params.get(part)));
    reading.missing.extend(missing.map(str::to_owned));
    let words = words::read(reading.name, params, reading.report);
    if words.entries.is_empty() && reading.missing.is_empty() {
        let message = "the content filter has no blocked_words and checks nothing";
        let (place, path) = (&params.place, &params.path);
        reading.report.note(Severity::Failing, place, path, message);
    }
    // What cannot work was said by the reader of the words.
    let built = words.build(reading.name).ok()?;
    reading.words = Some(words);
    Some(Engine::local(ContentFilter {
        readers: vec![Arc::new(built)],
    }))
}

/// Whether a value asks for something.
pub(crate) fn is_on(node: Option<&Node>) -> bool {
    node.is_some_and(|node| match &node.value {
        Value::Null | Value::Bool(false, _) => false,
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        Value::Bool(true, _) => true,
        // What is sensitive is blocked anyway; another word asks for more.
        Value::Text(text) => !text.is_empty() && text != "block",
    })
}

impl Local for ContentFilter {
    fn readers(&self, _place: Place) -> &[Arc<dyn guard::Check>] {
        &self.readers
    }

    fn refusal(&self, refused: &Refused<'_>) -> Refusal {
        // The word itself is not named: in an answer it is the text that was blocked.
        let described = refused.description.map(|text| [("description", text)]);
        let more = described.as_ref().map_or(&[][..], |more| more.as_slice());
        let message = match refused.answer {
            true => "Content blocked: keyword detected in the answer",
            false => "Content blocked: keyword detected",
        };
        refused.with_fields(message.to_owned(), more)
    }
}
