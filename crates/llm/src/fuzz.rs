//! Fuzz bodies: plain functions over bytes that return an error text when a promise is
//! broken. Stable tests run them over a corpus, a fuzzer over whatever it likes.

pub mod parsers;
pub mod responses;
pub mod translate;

use crate::edit::Edits;
use crate::openai::fields;
use crate::openai::{Target, chat, embeddings, stream};
use crate::provider::PROVIDERS;
use crate::scan::{Doc, Kind, Limits, Node};
use crate::sse::{Frame, Framer, SseError, SseLimits};
use bytes::Bytes;

/// A broken promise, for the person who reads the failing run.
pub type Broken = String;

/// Every string token below `node`, keys included, in document order.
pub fn strings<'a>(node: Node<'a>, out: &mut Vec<Node<'a>>) {
    if node.kind() == Kind::String {
        out.push(node);
    }
    for item in node.items() {
        strings(item, out);
    }
    for (key, value) in node.entries() {
        out.push(key);
        strings(value, out);
    }
}

fn decoded(doc: &Doc) -> Vec<String> {
    let mut nodes = Vec::new();
    strings(doc.root(), &mut nodes);
    let texts = nodes.iter().filter_map(|node| node.as_str());
    texts.map(|text| text.into_owned()).collect()
}

/// Scanning never panics; what it accepts can be edited token by token, and an edit
/// changes nothing but its token.
///
/// # Errors
/// The promise that was broken.
pub fn scan(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    let Ok(doc) = Doc::parse(Bytes::copy_from_slice(input), &limits) else {
        return Ok(());
    };
    let same = Edits::new().apply(&doc).map_err(|e| e.to_string())?;
    if same.as_ptr() != doc.bytes().as_ptr() {
        return Err("no edit, but another buffer".to_owned());
    }
    let mut nodes = Vec::new();
    strings(doc.root(), &mut nodes);
    let before = decoded(&doc);
    for (place, node) in nodes.iter().enumerate().take(8) {
        let replacement = format!("\"\\\u{1}{place}\u{1F512}");
        let mut edits = Edits::new();
        edits
            .replace_text(*node, &replacement)
            .map_err(|e| e.to_string())?;
        let after = edits.apply(&doc).map_err(|e| e.to_string())?;
        let head = input.get(..node.span().start).unwrap_or_default();
        let tail = input.get(node.span().end..).unwrap_or_default();
        if !after.starts_with(head) || !after.ends_with(tail) {
            return Err("an edit changed bytes outside of its token".to_owned());
        }
        let after = Doc::parse(after, &limits).map_err(|e| format!("edited: {e}"))?;
        let mut expected = before.clone();
        if let Some(slot) = expected.get_mut(place) {
            *slot = replacement;
        }
        if decoded(&after) != expected {
            return Err("an edit changed another string".to_owned());
        }
    }
    Ok(())
}

/// What is sent on holds no gateway member, and the texts of the sent body are those of
/// the transcript that was checked.
///
/// # Errors
/// The promise that was broken.
pub fn chat_request(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    let Ok(request) = chat::Request::parse(Bytes::copy_from_slice(input), &limits) else {
        return Ok(());
    };
    for provider in PROVIDERS {
        let target = Target {
            model: "upstream-model",
            provider,
            forward_metadata: false,
            allowed: &[],
        };
        let edits = request.upstream_edits(&target);
        let sent = edits.apply(request.doc()).map_err(|e| e.to_string())?;
        let sent = chat::Request::parse(sent, &limits).map_err(|e| format!("sent: {e}"))?;
        check_sent(sent.doc(), sent.model())?;
        let texts = |request: &chat::Request| -> Vec<String> {
            let texts = request.transcript().decoded(request.doc());
            texts.map(|(_, text)| text.into_owned()).collect()
        };
        // Dropped members may take texts with them; none may be added.
        let checked = texts(&request);
        let mut rest = checked.iter();
        for text in texts(&sent) {
            let renamed = provider.quirks.renamed.iter().any(|(_, new)| *new == text);
            if !renamed && !rest.any(|own| *own == text) {
                return Err("a text is sent that was not in the transcript".to_owned());
            }
        }
    }
    Ok(())
}

fn check_sent(doc: &Doc, model: Option<&str>) -> Result<(), Broken> {
    for (key, _) in doc.root().entries() {
        let name = key.as_str().unwrap_or_default();
        if fields::gateway_extra(&name) || fields::refused_field(&name) {
            return Err("a gateway member is sent on".to_owned());
        }
    }
    match model {
        Some("upstream-model") => Ok(()),
        _ => Err("another model is sent on".to_owned()),
    }
}

/// As [`chat_request`] for embeddings.
///
/// # Errors
/// The promise that was broken.
pub fn embeddings_request(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    let body = Bytes::copy_from_slice(input);
    let Ok(request) = embeddings::Request::parse(body, &limits) else {
        return Ok(());
    };
    for provider in PROVIDERS {
        let target = Target {
            model: "upstream-model",
            provider,
            forward_metadata: false,
            allowed: &[],
        };
        let edits = request.upstream_edits(&target);
        let sent = edits.apply(request.doc()).map_err(|e| e.to_string())?;
        let sent = embeddings::Request::parse(sent, &limits).map_err(|e| format!("sent: {e}"))?;
        check_sent(sent.doc(), sent.model())?;
    }
    Ok(())
}

/// A chunk of the upstream never panics, and every text in it can be replaced.
///
/// # Errors
/// The promise that was broken.
pub fn chunk(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    let data = Bytes::copy_from_slice(input);
    let Ok(stream::Event::Chunk(chunk)) = stream::Event::parse(data, &limits) else {
        return Ok(());
    };
    let _ = (
        chunk.usage(),
        chunk.is_usage_only(),
        chunk.finished().count(),
    );
    let mut edits = chunk.client_edits("group", false);
    for output in chunk.outputs() {
        chunk.replace_output(&mut edits, output, "[x]");
        chunk.drop_logprobs(&mut edits, output.choice);
    }
    let frame = chunk.render(&edits).map_err(|e| e.to_string())?;
    let frames = frames(&frame, &[]).map_err(|e| e.to_string())?;
    let [
        Frame {
            data: Some(data), ..
        },
    ] = frames.as_slice()
    else {
        return Err("a chunk became something else than one frame".to_owned());
    };
    match stream::Event::parse(data.clone(), &limits) {
        Ok(stream::Event::Chunk(after)) => {
            let all = after
                .outputs()
                .iter()
                .all(|o| o.decode(after.doc()) == "[x]");
            (all && after.outputs().len() == chunk.outputs().len())
                .then_some(())
                .ok_or_else(|| "a text was not replaced".to_owned())
        }
        _ => Err("an edited chunk is no chunk".to_owned()),
    }
}

/// Frames `input`, cut at the given offsets.
///
/// # Errors
/// The framer's error.
pub fn frames(input: &[u8], cuts: &[usize]) -> Result<Vec<Frame>, SseError> {
    let mut framer = Framer::new(SseLimits::default());
    let mut out = Vec::new();
    let input = Bytes::copy_from_slice(input);
    let mut from = 0_usize;
    for &cut in cuts.iter().chain([&input.len()]) {
        let cut = cut.clamp(from, input.len());
        framer.push(input.slice(from..cut))?;
        from = cut;
        while let Some(frame) = framer.next_frame() {
            out.push(frame);
        }
    }
    out.extend(framer.finish());
    Ok(out)
}

/// Where a stream is cut makes no difference to the events in it, and the raw frames are
/// the stream.
///
/// # Errors
/// The promise that was broken.
pub fn sse(input: &[u8]) -> Result<(), Broken> {
    let whole = frames(input, &[]).map_err(|e| e.to_string())?;
    let events = |frames: &[Frame]| -> Vec<(Option<Bytes>, Option<Bytes>)> {
        let shown = frames
            .iter()
            .filter(|f| f.data.is_some() || f.event.is_some());
        shown.map(|f| (f.data.clone(), f.event.clone())).collect()
    };
    let every: Vec<usize> = (1..input.len()).collect();
    let mut ways: Vec<Vec<usize>> = (1..input.len().min(64)).map(|cut| vec![cut]).collect();
    ways.push(every);
    for cuts in ways {
        let cut = frames(input, &cuts).map_err(|e| e.to_string())?;
        if events(&cut) != events(&whole) {
            return Err(format!("cut at {cuts:?}: other events"));
        }
        let raw: Vec<u8> = cut.iter().flat_map(|frame| frame.raw.to_vec()).collect();
        let missing = input.strip_prefix(raw.as_slice());
        if missing.is_none_or(|rest| rest.iter().any(|b| !matches!(b, b'\r' | b'\n'))) {
            return Err(format!("cut at {cuts:?}: the frames are not the stream"));
        }
    }
    Ok(())
}
