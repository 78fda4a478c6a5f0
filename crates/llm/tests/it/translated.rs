//! What the tests of translations share.

use bytes::Bytes;
use llm::fuzz::frames;
use llm::openai::stream::Head;
use llm::protocol::{self, Protocol};
use llm::provider::Wire;
use llm::scan::{Doc, Limits};
use llm::translate::{self, Back, Options, Rendered, StreamTranslator, TranslateError};
use serde_json::Value;

/// The limits that all tests use.
pub(crate) fn limits() -> Limits {
    Limits::default()
}

/// A call's head as the gateway makes it.
pub(crate) fn head() -> Head {
    Head {
        id: "chatcmpl-01".to_owned(),
        created: 1_700_000_000,
        model: "group".to_owned(),
    }
}

/// The call's settings: strict, or dropping what cannot be said.
pub(crate) fn options(drop_params: bool) -> Options<'static> {
    Options {
        model: "upstream-model",
        drop_params,
        additional_drop_params: &[],
        allowed_params: &[],
        optional_params: &[],
        default_max_tokens: 4096,
    }
}

/// Translates a request.
pub(crate) fn request(
    from: Protocol,
    to: Wire,
    body: &Value,
    drop_params: bool,
) -> Result<Rendered, TranslateError> {
    let body = Bytes::from(serde_json::to_vec(body).expect("JSON"));
    let request = protocol::request(from, body, &limits()).expect("a request");
    translate::request(from, to, request.doc(), &options(drop_params))
}

/// The way back of a request that is known to be good.
pub(crate) fn back(from: Protocol, to: Wire, body: &Value) -> Back {
    request(from, to, body, true).expect("a translation").back
}

/// Translates an answer.
pub(crate) fn answer(back: &Back, body: &Value) -> Value {
    let body = Bytes::from(serde_json::to_vec(body).expect("JSON"));
    let out = translate::answer(back, body, &head(), &limits()).expect("an answer");
    let answer = protocol::answer(back.client, out.clone(), &limits()).expect("strict JSON");
    assert!(answer.is_answer(), "{out:?}");
    serde_json::from_slice(&out).expect("JSON")
}

/// Translates a stream that is cut into pieces of `size` bytes.
pub(crate) fn stream(back: &Back, upstream: &[u8], size: usize) -> Vec<u8> {
    let cuts: Vec<usize> = (size..upstream.len()).step_by(size.max(1)).collect();
    let mut translator = StreamTranslator::new(back, &head(), &limits());
    let mut out = Vec::new();
    for frame in frames(upstream, &cuts).expect("frames") {
        translator
            .push(&frame, &mut out)
            .expect("a frame of the format");
    }
    translator.finish(&mut out).expect("an end");
    out
}

/// `data:` frames of JSON values, `[DONE]` at the end.
pub(crate) fn sse(events: &[Value]) -> Vec<u8> {
    let mut out: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    out.push_str("data: [DONE]\n\n");
    out.into_bytes()
}

/// A body as readable JSON.
pub(crate) fn pretty(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).expect("JSON");
    serde_json::to_string_pretty(&value).expect("JSON")
}

/// Every string sent is structure, a constant, or made of texts that were checked. `structural`: words of the format.
pub(crate) fn check_sent(from: Protocol, client: &Value, sent: &[u8], structural: &[&str]) {
    let body = Bytes::from(serde_json::to_vec(client).expect("JSON"));
    let request = protocol::request(from, body, &limits()).expect("a request");
    let texts: Vec<String> = request
        .transcript()
        .decoded(request.doc())
        .map(|(_, text)| text.into_owned())
        .collect();
    // What no text check can read: media, ciphertext, ids.
    let opaque = request.transcript().opaque.iter().map(|part| {
        let raw = request.doc().node(part.node).raw();
        String::from_utf8_lossy(raw).into_owned()
    });
    let opaque: String = opaque.collect();
    let doc = Doc::parse(Bytes::copy_from_slice(sent), &limits()).expect("strict JSON");
    let mut nodes = Vec::new();
    llm::fuzz::strings(doc.root(), &mut nodes);
    for node in nodes {
        let text = node.as_str().expect("a string");
        let known = structural.contains(&text.as_ref())
            || texts.iter().any(|own| *own == text)
            || (text.len() > 3 && opaque.contains(text.as_ref()))
            || is_composed(&text, &texts, structural);
        assert!(
            known,
            "{text:?} is sent and was not checked ({})",
            doc.path(node.id())
        );
    }
}

/// Whether a string is nothing but checked texts and constants one after the other, or JSON of such.
fn is_composed(text: &str, texts: &[String], structural: &[&str]) -> bool {
    if let Ok(value) = serde_json::from_str::<Value>(text)
        && (value.is_object() || value.is_array())
    {
        let mut inner = Vec::new();
        crate::flow::strings(&value, &mut inner);
        return inner.iter().all(|inner| {
            texts
                .iter()
                .any(|own| own == inner || own.contains(&**inner))
        });
    }
    let mut rest = text;
    while !rest.is_empty() {
        let parts = texts
            .iter()
            .map(String::as_str)
            .chain(structural.iter().copied());
        let longest = parts
            .filter(|part| !part.is_empty() && rest.starts_with(part))
            .max_by_key(|part| part.len());
        match longest {
            Some(part) => rest = &rest[part.len()..],
            None => return false,
        }
    }
    true
}
