//! What one LiteLLM event says about one call, read on the caller's thread. Nothing is hashed here.

use capsule::{Timestamp, json::Value};
use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyFloat, PyInt, PyString},
};

use crate::value::{self, field, items, text, type_name};

/// Most characters of an answer or an error that a record holds, as in the published callback.
pub(crate) const LONGEST_TEXT: usize = 2000;

/// More is read than is shown, so that what stands at the end is masked as a whole.
const MARGIN: usize = 500;

/// One call.
pub(crate) struct Call {
    pub(crate) model: String,
    pub(crate) call_type: String,
    /// The whole prompt, of which only the hash is kept.
    pub(crate) prompt: Option<Value>,
    pub(crate) message_count: u64,
    /// The last message of the user; every input where each is one of its own, as in embeddings.
    pub(crate) request: String,
    pub(crate) started: Timestamp,
    pub(crate) duration_ms: u64,
    pub(crate) success: bool,
    pub(crate) answer: Option<String>,
    pub(crate) asked: Vec<AskedTool>,
    pub(crate) tokens_in: u64,
    pub(crate) tokens_out: u64,
    /// Class and text of the exception.
    pub(crate) error: Option<(String, String)>,
    pub(crate) call_id: Option<String>,
}

/// A tool that the model asked for.
pub(crate) struct AskedTool {
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// An event as LiteLLM passes it.
pub(crate) struct Event<'a, 'py> {
    pub(crate) kwargs: &'a Bound<'py, PyAny>,
    pub(crate) response: &'a Bound<'py, PyAny>,
    pub(crate) start: &'a Bound<'py, PyAny>,
    pub(crate) end: &'a Bound<'py, PyAny>,
    pub(crate) success: bool,
}

impl Call {
    /// Reads an event. Whatever shape its parts have, a call comes out: a record with gaps is better than
    /// none.
    pub(crate) fn read(event: &Event<'_, '_>, now: Timestamp) -> Call {
        let py = event.kwargs.py();
        let kwargs = event.kwargs;
        let prompt = field(kwargs, intern!(py, "messages"))
            .or_else(|| field(kwargs, intern!(py, "input")))
            .or_else(|| field(kwargs, intern!(py, "prompt")));
        let started = instant(event.start).unwrap_or(now);
        let ended = instant(event.end).unwrap_or(started);
        let micros = ended.micros().saturating_sub(started.micros()).max(0);
        let call_type = named(kwargs, intern!(py, "call_type"), "completion");
        let several = has_inputs(&call_type);
        let mut call = Call {
            model: named(kwargs, intern!(py, "model"), "unknown"),
            call_type,
            message_count: prompt.as_ref().map_or(0, count),
            request: prompt
                .as_ref()
                .map(|prompt| user_text(prompt, several))
                .unwrap_or_default(),
            prompt: prompt.as_ref().map(value::value),
            started,
            duration_ms: u64::try_from(micros / 1000).unwrap_or(0),
            success: event.success,
            answer: None,
            asked: Vec::new(),
            tokens_in: 0,
            tokens_out: 0,
            error: None,
            call_id: field(kwargs, intern!(py, "litellm_call_id")).map(|id| text(&id)),
        };
        if event.success {
            call.read_answer(event.response);
        } else {
            call.error = Some(failure(event));
        }
        call
    }

    fn read_answer(&mut self, response: &Bound<'_, PyAny>) {
        let py = response.py();
        if response.is_none() {
            return;
        }
        self.read_usage(response);
        if let Ok(string) = response.cast::<PyString>() {
            self.answer = Some(kept(&string.to_string_lossy()));
        } else if let Some(choices) = field(response, intern!(py, "choices")) {
            self.read_choices(&choices);
        } else if let Some(output) = field(response, intern!(py, "output")) {
            self.read_output(&output);
        } else if let Some(data) = field(response, intern!(py, "data")) {
            // Vectors and images: their number says enough, their content is not text.
            self.answer = Some(format!("[{} items]", items(&data).len()));
        } else if let Some(transcript) = field(response, intern!(py, "text")) {
            self.answer = Some(kept(&text(&transcript)));
        } else if let Some(content) = field(response, intern!(py, "content")) {
            self.answer = shown(&parts(&content));
        } else {
            self.answer = Some(kept(&text(response)));
        }
    }

    fn read_choices(&mut self, choices: &Bound<'_, PyAny>) {
        let py = choices.py();
        let choices = items(choices);
        if let Some(first) = choices.first() {
            let message = field(first, intern!(py, "message"));
            let content = match &message {
                Some(message) => field(message, intern!(py, "content")),
                None => field(first, intern!(py, "text")),
            };
            self.answer = content.and_then(|content| shown(&parts(&content)));
        }
        for choice in &choices {
            let Some(message) = field(choice, intern!(py, "message")) else {
                continue;
            };
            if let Some(calls) = field(&message, intern!(py, "tool_calls")) {
                for asked in items(&calls) {
                    if let Some(function) = field(&asked, intern!(py, "function")) {
                        self.asked.push(AskedTool::read(&function));
                    }
                }
            }
            if let Some(function) = field(&message, intern!(py, "function_call")) {
                self.asked.push(AskedTool::read(&function));
            }
        }
    }

    /// The items of a Responses answer: messages and function calls.
    fn read_output(&mut self, output: &Bound<'_, PyAny>) {
        let py = output.py();
        let mut texts = Vec::new();
        for item in items(output) {
            if let Some(content) = field(&item, intern!(py, "content")) {
                texts.push(parts(&content));
            } else if field(&item, intern!(py, "arguments")).is_some() {
                self.asked.push(AskedTool::read(&item));
            }
        }
        self.answer = shown(&texts.join("\n"));
    }

    fn read_usage(&mut self, response: &Bound<'_, PyAny>) {
        let py = response.py();
        let Some(usage) = field(response, intern!(py, "usage")) else {
            return;
        };
        let read = |first, second| {
            field(&usage, first)
                .or_else(|| field(&usage, second))
                .and_then(|number| number.extract::<u64>().ok())
                .unwrap_or(0)
        };
        self.tokens_in = read(intern!(py, "prompt_tokens"), intern!(py, "input_tokens"));
        self.tokens_out = read(
            intern!(py, "completion_tokens"),
            intern!(py, "output_tokens"),
        );
    }

    /// About how many bytes the call holds while it waits.
    pub(crate) fn size(&self) -> usize {
        let prompt = self.prompt.as_ref().map_or(0, value_size);
        let asked: usize = self
            .asked
            .iter()
            .map(|tool| tool.name.len() + tool.arguments.len() + 64)
            .sum();
        let texts = self.request.len() + self.answer.as_ref().map_or(0, String::len);
        let error = self.error.as_ref().map_or(0, |(_, text)| text.len());
        512 + prompt + texts + asked + error
    }
}

impl AskedTool {
    fn read(function: &Bound<'_, PyAny>) -> AskedTool {
        let py = function.py();
        let arguments = field(function, intern!(py, "arguments"));
        AskedTool {
            name: named(function, intern!(py, "name"), ""),
            arguments: arguments.map(|found| text(&found)).unwrap_or_default(),
        }
    }
}

/// A string member; `missing` where there is none.
fn named<'py>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyString>, missing: &str) -> String {
    field(object, name).map_or_else(|| missing.to_owned(), |found| text(&found))
}

/// Class and text of what went wrong, without the caller's provider key.
fn failure(event: &Event<'_, '_>) -> (String, String) {
    let py = event.kwargs.py();
    let given = field(event.kwargs, intern!(py, "exception")).or_else(|| {
        let response = event.response;
        (!response.is_none()).then(|| response.clone())
    });
    let (class, mut said) = match given {
        Some(given) => (type_name(&given), text(&given)),
        None => {
            let logged = field(event.kwargs, intern!(py, "standard_logging_object"));
            let said = logged.and_then(|logged| field(&logged, intern!(py, "error_str")));
            let said = said.map(|said| text(&said));
            ("Exception".to_owned(), said.unwrap_or_default())
        }
    };
    for key in secrets(event.kwargs) {
        said = said.replace(&key, "[key]");
    }
    if said.is_empty() {
        said = format!("{class} without a message");
    }
    (class, kept(&said))
}

/// Provider keys of the call, which some providers repeat in their errors.
fn secrets(kwargs: &Bound<'_, PyAny>) -> Vec<String> {
    let py = kwargs.py();
    let name = intern!(py, "api_key");
    let inner = field(kwargs, intern!(py, "litellm_params"));
    let optional = field(kwargs, intern!(py, "optional_params"));
    [Some(kwargs), inner.as_ref(), optional.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|place| field(place, name))
        .map(|key| text(&key))
        // A shorter text is no key, and replacing it could destroy the message.
        .filter(|key| key.len() >= 8)
        .collect()
}

fn count(prompt: &Bound<'_, PyAny>) -> u64 {
    prompt
        .cast::<PyString>()
        .map_or_else(|_| items(prompt).len() as u64, |_| 1)
}

/// Whether the call takes a list of inputs, none of which follows from another. LiteLLM passes each as a message of the user.
fn has_inputs(call_type: &str) -> bool {
    ["embedding", "text_completion", "moderation"]
        .iter()
        .any(|kind| call_type.contains(kind))
}

/// The last message with role `user`, or all of them, in order, when there are `several`; a prompt that is text, or a list
/// of texts, is that text.
fn user_text(prompt: &Bound<'_, PyAny>, several: bool) -> String {
    let py = prompt.py();
    if let Ok(string) = prompt.cast::<PyString>() {
        return string.to_string_lossy().into_owned();
    }
    let messages = items(prompt);
    let said = |message: &Bound<'_, PyAny>| {
        let content = field(message, intern!(py, "content"));
        content.map(|content| parts(&content)).unwrap_or_default()
    };
    let mut of_user = messages.iter().filter(|message| {
        field(message, intern!(py, "role")).is_some_and(|role| text(&role) == "user")
    });
    if let Some(last) = of_user.next_back() {
        let before: Vec<String> = if several {
            of_user.map(said).collect()
        } else {
            Vec::new()
        };
        return [before, vec![said(last)]].concat().join("\n");
    }
    let texts = messages
        .iter()
        .filter_map(|item| item.cast::<PyString>().ok());
    let texts: Vec<String> = texts
        .map(|item| item.to_string_lossy().into_owned())
        .collect();
    if texts.is_empty() && messages.iter().any(|item| item.cast::<PyInt>().is_ok()) {
        return format!("[{} tokens]", messages.len());
    }
    texts.join("\n")
}

/// Text content, or the texts of its parts in order; a part without text is named by its type.
fn parts(content: &Bound<'_, PyAny>) -> String {
    let py = content.py();
    if let Ok(string) = content.cast::<PyString>() {
        return string.to_string_lossy().into_owned();
    }
    let mut found = Vec::new();
    for part in items(content) {
        if let Ok(string) = part.cast::<PyString>() {
            found.push(string.to_string_lossy().into_owned());
        } else if let Some(said) = field(&part, intern!(py, "text")) {
            found.push(text(&said));
        } else {
            found.push(format!("[{}]", named(&part, intern!(py, "type"), "part")));
        }
    }
    if found.is_empty() && content.cast::<PyDict>().is_ok() {
        found.push(text(content));
    }
    found.join("\n")
}

/// `datetime`, aware or naive local, or seconds since the epoch.
fn instant(time: &Bound<'_, PyAny>) -> Option<Timestamp> {
    let seconds = if time.cast::<PyFloat>().is_ok() || time.cast::<PyInt>().is_ok() {
        time.extract::<f64>().ok()?
    } else if time.is_none() {
        return None;
    } else {
        let py = time.py();
        let stamp = time.call_method0(intern!(py, "timestamp")).ok()?;
        stamp.extract::<f64>().ok()?
    };
    // Saturates, and the time stamp's own range is narrower still.
    Some(Timestamp::new((seconds * 1e6).round() as i64))
}

/// `None` for an empty text, else its first characters.
fn shown(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| kept(text))
}

/// The first characters, as a record shows them.
pub(crate) fn cut(text: &str) -> String {
    first(text, LONGEST_TEXT)
}

/// The first characters, and what is needed to mask them.
fn kept(text: &str) -> String {
    first(text, LONGEST_TEXT + MARGIN)
}

fn first(text: &str, characters: usize) -> String {
    if text.len() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters).collect()
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 24,
        Value::Array(items) => items.iter().map(value_size).sum::<usize>() + 24,
        Value::Object(object) => object
            .iter()
            .map(|(key, member)| key.len() + 24 + value_size(member))
            .sum(),
        _ => 24,
    }
}
