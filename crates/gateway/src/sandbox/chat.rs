//! Chat completions: reading the request and composing the answer.

use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::tokens;

/// `created` of every answer: answers are the same every time.
pub(super) const CREATED: u64 = 1_760_000_000;
const STORY: &str = "A clerk kept a book in which every visit was written before the door was opened and once more when the \
    visitor had left so that nobody could say later that a visit had not been or had been longer than it was";

/// What the sandbox reads of a request.
pub(super) struct Request {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    choices: usize,
    max_tokens: usize,
    functions: Vec<String>,
    prompt: String,
    last_user: String,
    id: String,
}

impl Request {
    /// `None` when `model` or `messages` is missing.
    pub(super) fn read(body: &Value, id: String) -> Option<Self> {
        let messages = body.get("messages")?.as_array()?;
        let texts = |role: Option<&str>| -> Vec<String> {
            let chosen = messages.iter().filter(|m| {
                role.is_none_or(|role| m.get("role").and_then(Value::as_str) == Some(role))
            });
            chosen
                .map(|message| text_of(message.get("content")))
                .collect()
        };
        let functions = body
            .get("tools")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let number = |key: &str| {
            body.get(key)
                .and_then(Value::as_u64)
                .and_then(|n| usize::try_from(n).ok())
        };
        Some(Self {
            model: body.get("model")?.as_str()?.to_owned(),
            stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
            include_usage: body
                .pointer("/stream_options/include_usage")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            choices: number("n").unwrap_or(1).clamp(1, 16),
            max_tokens: number("max_tokens")
                .or_else(|| number("max_completion_tokens"))
                .unwrap_or(40)
                .clamp(1, 10_000),
            functions: functions
                .filter_map(|tool| Some(tool.pointer("/function/name")?.as_str()?.to_owned()))
                .collect(),
            prompt: texts(None).concat(),
            last_user: texts(Some("user")).pop().unwrap_or_default(),
            id,
        })
    }
}

/// The text of a message: a string, or the text parts of a list.
fn text_of(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str())
            .collect(),
        _ => String::new(),
    }
}

/// One function call of an answer.
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// One choice, cut into the pieces that a stream sends.
pub(super) struct Choice {
    pub(super) reasoning: Vec<String>,
    pub(super) content: Vec<String>,
    pub(super) refusal: Vec<String>,
    pub(super) calls: Vec<ToolCall>,
}

/// A composed answer; rendered whole or as chunks.
pub(super) struct Answer {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Value,
}

impl Answer {
    pub(super) fn compose(request: &Request, behaviour: Behaviour) -> Self {
        let choices: Vec<Choice> = (0..request.choices)
            .map(|index| choice(request, behaviour, index))
            .collect();
        let sum =
            |pieces: fn(&Choice) -> String| choices.iter().map(|c| tokens(&pieces(c))).sum::<u64>();
        let reasoning = sum(|c| c.reasoning.concat());
        let written = sum(|c| c.content.concat() + &c.refusal.concat())
            + choices
                .iter()
                .flat_map(|c| &c.calls)
                .map(|call| tokens(&call.arguments))
                .sum::<u64>();
        let usage = usage(tokens(&request.prompt), reasoning + written, reasoning);
        Self {
            id: request.id.clone(),
            model: format!("{}-2026-01-01", request.model),
            choices,
            usage,
        }
    }

    /// The `chat.completion` object.
    pub(super) fn whole(&self) -> Value {
        let choices: Vec<Value> = self
            .choices
            .iter()
            .enumerate()
            .map(|(index, choice)| choice.whole(index))
            .collect();
        json!({
            "id": self.id, "object": "chat.completion", "created": CREATED, "model": self.model, "choices": choices,
            "usage": self.usage, "service_tier": "default", "system_fingerprint": "fp_sandbox",
        })
    }

    /// The `chat.completion.chunk` objects: roles, contents in turn over the choices, finish reasons, and the usage chunk if asked.
    pub(super) fn chunks(&self, usage: bool) -> Vec<Value> {
        let deltas: Vec<Vec<Value>> = self.choices.iter().map(Choice::deltas).collect();
        let longest = deltas.iter().map(Vec::len).max().unwrap_or(0);
        let mut chunks: Vec<Value> = Vec::new();
        for step in 0..longest {
            let ready = deltas
                .iter()
                .enumerate()
                .filter_map(|(index, list)| Some((index, list.get(step)?)));
            chunks.extend(ready.map(|(index, delta)| self.chunk(index, delta, None)));
        }
        let ends = self.choices.iter().enumerate();
        chunks.extend(
            ends.map(|(index, choice)| self.chunk(index, &json!({}), Some(choice.finish()))),
        );
        if usage {
            for chunk in &mut chunks {
                set(chunk, "usage", Value::Null);
            }
            let mut last = self.envelope();
            set(&mut last, "choices", json!([]));
            set(&mut last, "usage", self.usage.clone());
            chunks.push(last);
        }
        chunks
    }

    fn chunk(&self, index: usize, delta: &Value, finish: Option<&str>) -> Value {
        let mut chunk = self.envelope();
        let choice =
            json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish });
        set(&mut chunk, "choices", json!([choice]));
        chunk
    }

    fn envelope(&self) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": CREATED, "model": self.model,
            "service_tier": "default", "system_fingerprint": "fp_sandbox",
        })
    }
}

/// OpenAI's usage object.
pub(super) fn usage(prompt: u64, completion: u64, reasoning: u64) -> Value {
    json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
        "completion_tokens_details": {
            "reasoning_tokens": reasoning, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// Sets a member of an object.
pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

fn choice(request: &Request, behaviour: Behaviour, index: usize) -> Choice {
    let mut choice = Choice {
        reasoning: Vec::new(),
        content: Vec::new(),
        refusal: Vec::new(),
        calls: Vec::new(),
    };
    let echo = || match index {
        0 => request.last_user.clone(),
        _ => format!("{} ({index})", request.last_user),
    };
    match behaviour {
        Behaviour::Letters => choice.content = echo().chars().map(String::from).collect(),
        Behaviour::Story
        | Behaviour::Drip(_)
        | Behaviour::CutAfter(_)
        | Behaviour::HangAfterFirst => {
            choice.content = story(request.max_tokens);
        }
        Behaviour::Chunks(count) => choice.content = story(count as usize),
        Behaviour::Tools if !request.functions.is_empty() => {
            let calls = request.functions.iter().enumerate();
            choice.calls = calls
                .map(|(n, name)| tool_call(n, name, &request.last_user))
                .collect();
        }
        Behaviour::Refusal => choice.refusal = words("I cannot help with that."),
        Behaviour::Reasoning => {
            choice.reasoning = words("The user wants the same text back.");
            choice.content = words(&echo());
        }
        _ => choice.content = words(&echo()),
    }
    choice
}

fn tool_call(index: usize, name: &str, about: &str) -> ToolCall {
    ToolCall {
        id: format!("call_sandbox_{index}"),
        name: name.to_owned(),
        arguments: json!({ "about": about, "number": index }).to_string(),
    }
}

/// Words with the white space that follows them: concatenated they are `text`.
fn words(text: &str) -> Vec<String> {
    text.split_inclusive(char::is_whitespace)
        .map(str::to_owned)
        .collect()
}

fn story(count: usize) -> Vec<String> {
    let words = STORY
        .split_ascii_whitespace()
        .cycle()
        .take(count)
        .enumerate();
    words
        .map(|(index, word)| {
            if index == 0 {
                word.to_owned()
            } else {
                format!(" {word}")
            }
        })
        .collect()
}

impl Choice {
    fn finish(&self) -> &'static str {
        if self.calls.is_empty() {
            "stop"
        } else {
            "tool_calls"
        }
    }

    fn whole(&self, index: usize) -> Value {
        let text = |pieces: &[String]| {
            if pieces.is_empty() {
                Value::Null
            } else {
                pieces.concat().into()
            }
        };
        let mut message = json!({
            "role": "assistant", "content": text(&self.content), "refusal": text(&self.refusal), "annotations": [],
        });
        if !self.reasoning.is_empty() {
            set(
                &mut message,
                "reasoning_content",
                self.reasoning.concat().into(),
            );
        }
        if !self.calls.is_empty() {
            let calls: Vec<Value> = self
                .calls
                .iter()
                .map(|call| call.json(&call.arguments))
                .collect();
            set(&mut message, "tool_calls", calls.into());
        }
        json!({ "index": index, "message": message, "logprobs": null, "finish_reason": self.finish() })
    }

    fn deltas(&self) -> Vec<Value> {
        let mut deltas = vec![json!({ "role": "assistant", "content": "", "refusal": null })];
        deltas.extend(
            self.reasoning
                .iter()
                .map(|piece| json!({ "reasoning_content": piece })),
        );
        deltas.extend(self.content.iter().map(|piece| json!({ "content": piece })));
        deltas.extend(self.refusal.iter().map(|piece| json!({ "refusal": piece })));
        for (index, call) in self.calls.iter().enumerate() {
            let mut head = call.json("");
            set(&mut head, "index", index.into());
            deltas.push(json!({ "tool_calls": [head] }));
            let pieces = pieces(&call.arguments, 6).into_iter();
            deltas.extend(pieces.map(|piece| json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] })));
        }
        deltas
    }
}

impl ToolCall {
    fn json(&self, arguments: &str) -> Value {
        json!({ "id": self.id, "type": "function", "function": { "name": self.name, "arguments": arguments } })
    }
}

/// `text` in pieces of `size` characters.
pub(super) fn pieces(text: &str, size: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(size)
        .map(|piece| piece.iter().collect())
        .collect()
}
