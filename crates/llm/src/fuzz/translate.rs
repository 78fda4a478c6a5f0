//! Fuzz bodies of the Messages format and of the translations.

use super::{Broken, frames};
use crate::anthropic::{MessagesAnswer, MessagesRequest};
use crate::openai::Target;
use crate::openai::fields;
use crate::openai::stream::Head;
use crate::protocol::{self, Answer, Event, Protocol, Request, StreamOptions};
use crate::provider::Provider;
use crate::scan::{Doc, Limits};
use crate::translate::{self, Back, Options, StreamTranslator, Wire};
use bytes::Bytes;

/// The pairs of formats that are translated, with a small request for each.
const PAIRS: &[(Protocol, Wire, &str)] = &[
    (
        Protocol::Chat,
        Wire::Anthropic,
        r#"{"model":"g","messages":[{"role":"user","content":"hi"}],"stream":true}"#,
    ),
    (
        Protocol::Chat,
        Wire::Anthropic,
        r#"{"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_object"}}"#,
    ),
    (
        Protocol::Messages,
        Wire::OpenAi,
        r#"{"model":"g","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
    ),
    (
        Protocol::Chat,
        Wire::Gemini,
        r#"{"model":"g","messages":[{"role":"user","content":"hi"}]}"#,
    ),
    (
        Protocol::Responses,
        Wire::OpenAi,
        r#"{"model":"g","input":"hi","tools":[{"type":"custom","name":"patch"}]}"#,
    ),
    (
        Protocol::Responses,
        Wire::Anthropic,
        r#"{"model":"g","input":"hi","include":["reasoning.encrypted_content"]}"#,
    ),
    (
        Protocol::Responses,
        Wire::Gemini,
        r#"{"model":"g","input":"hi"}"#,
    ),
    (
        Protocol::Completions,
        Wire::OpenAi,
        r#"{"model":"g","prompt":"hi"}"#,
    ),
    (
        Protocol::Completions,
        Wire::Anthropic,
        r#"{"model":"g","prompt":"hi"}"#,
    ),
    (
        Protocol::Completions,
        Wire::Gemini,
        r#"{"model":"g","prompt":"hi"}"#,
    ),
    (
        Protocol::Messages,
        Wire::Gemini,
        r#"{"model":"g","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
    ),
    (
        Protocol::Embeddings,
        Wire::Gemini,
        r#"{"model":"g","input":"hi","encoding_format":"base64"}"#,
    ),
];

fn head() -> Head {
    Head {
        id: "call-1".to_owned(),
        created: 1,
        model: "group".to_owned(),
    }
}

fn options(drop_params: bool) -> Options<'static> {
    Options {
        model: "upstream-model",
        drop_params,
        additional_drop_params: &[],
        allowed_params: &[],
        optional_params: &[],
        default_max_tokens: 4096,
    }
}

fn backs() -> Result<Vec<Back>, Broken> {
    let mut backs = Vec::new();
    for (from, to, body) in PAIRS {
        let doc = Doc::parse(Bytes::from_static(body.as_bytes()), &Limits::default());
        let doc = doc.map_err(|e| e.to_string())?;
        let rendered = translate::request(*from, *to, &doc, &options(false));
        backs.push(rendered.map_err(|e| e.to_string())?.back);
    }
    Ok(backs)
}

/// What is sent on holds no gateway member and no text that was not in the transcript.
///
/// # Errors
/// The promise that was broken.
pub fn messages_request(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    let Ok(request) = MessagesRequest::parse(Bytes::copy_from_slice(input), &limits) else {
        return Ok(());
    };
    let provider = Provider::named("anthropic").ok_or("no such provider")?;
    let edits = request.upstream_edits(&Target {
        model: "upstream-model",
        provider,
        forward_metadata: false,
        allowed: &[],
    });
    let sent = edits.apply(request.doc()).map_err(|e| e.to_string())?;
    let sent = MessagesRequest::parse(sent, &limits).map_err(|e| format!("sent: {e}"))?;
    if sent.model() != Some("upstream-model") {
        return Err("another model is sent on".to_owned());
    }
    for (key, _) in sent.doc().root().entries() {
        let name = key.as_str().unwrap_or_default();
        let extra = fields::gateway_extra(&name) && name != "metadata";
        if extra || fields::refused_field(&name) {
            return Err("a gateway member is sent on".to_owned());
        }
    }
    let texts = |request: &MessagesRequest| -> Vec<String> {
        let texts = request.transcript().decoded(request.doc());
        texts.map(|(_, text)| text.into_owned()).collect()
    };
    let checked = texts(&request);
    let mut rest = checked.iter();
    match texts(&sent).iter().all(|text| rest.any(|own| own == text)) {
        true => Ok(()),
        false => Err("a text is sent that was not in the transcript".to_owned()),
    }
}

/// Every text of a whole answer can be replaced, and nothing else changes its shape.
///
/// # Errors
/// The promise that was broken.
pub fn messages_answer(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    let Ok(answer) = MessagesAnswer::parse(Bytes::copy_from_slice(input), &limits) else {
        return Ok(());
    };
    let _ = (answer.usage(), answer.finish_reasons(), answer.tool_calls());
    let mut edits = answer.rename_model("group");
    for (number, output) in answer.outputs().iter().enumerate() {
        // Names of members must stay different from each other.
        answer.replace_output(&mut edits, output, &format!("[{number}]"));
    }
    let edited = edits.apply(answer.doc()).map_err(|e| e.to_string())?;
    let after = MessagesAnswer::parse(edited, &limits).map_err(|e| format!("edited: {e}"))?;
    let kept = answer
        .outputs()
        .iter()
        .all(|output| !output.channel.is_incremental());
    let replaced = after
        .outputs()
        .iter()
        .enumerate()
        .all(|(number, output)| output.decode(after.doc()) == format!("[{number}]"));
    // Replacing the name of a member can make a member of it that is read differently.
    match (replaced, after.outputs().len() == answer.outputs().len()) {
        (true, true) => Ok(()),
        _ if kept => Ok(()),
        _ if answer.is_answer() => Err("a text was not replaced".to_owned()),
        _ => Ok(()),
    }
}

fn reader() -> Box<dyn protocol::Stream> {
    protocol::stream(
        Protocol::Messages,
        StreamOptions {
            model: "group",
            include_usage: true,
            edits: true,
            ids: None,
            limits: Limits::default(),
        },
    )
}

/// The events of a stream never panic the reader, and each that it writes it reads again
/// as the same event.
///
/// # Errors
/// The promise that was broken.
pub fn messages_stream(input: &[u8]) -> Result<(), Broken> {
    let Ok(frames) = frames(input, &[]) else {
        return Ok(());
    };
    let mut stream = reader();
    let mut out = Vec::new();
    for frame in frames {
        match stream.read(frame) {
            Ok(Event::Change(mut change)) => {
                if !change.well_formed {
                    break;
                }
                let texts: Vec<Option<String>> = change
                    .outputs
                    .iter()
                    .enumerate()
                    .map(|(number, _)| Some(format!("[{number}]")))
                    .collect();
                let wrote = stream.write(&mut change, &texts, &mut out);
                wrote.map_err(|e| e.to_string())?;
            }
            Ok(Event::Piece(piece)) => stream.write_piece(&piece, Some("[0]"), &mut out),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    let again = super::frames(&out, &[]).map_err(|e| e.to_string())?;
    for frame in again {
        let data = frame.data.unwrap_or_default();
        let _ = Doc::parse(data, &Limits::default()).map_err(|e| format!("written: {e}"))?;
    }
    Ok(())
}

/// A translated request is strict JSON for the right model.
///
/// # Errors
/// The promise that was broken.
pub fn translated_request(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    for (from, to, _) in PAIRS {
        let body = Bytes::copy_from_slice(input);
        let Ok(request) = protocol::request(*from, body, &limits) else {
            continue;
        };
        for drop_params in [false, true] {
            let rendered = translate::request(*from, *to, request.doc(), &options(drop_params));
            let Ok(rendered) = rendered else {
                continue;
            };
            let sent = Doc::parse(Bytes::from(rendered.body), &limits);
            let sent = sent.map_err(|e| format!("{from:?} to {to:?}: {e}"))?;
            let model = sent.root().get("model");
            // Google's models are named in the URL.
            if *to != Wire::Gemini && !model.is_some_and(|model| model.is_str("upstream-model")) {
                return Err("another model is sent on".to_owned());
            }
        }
    }
    Ok(())
}

/// A translated answer has the form of the client's protocol.
///
/// # Errors
/// The promise that was broken.
pub fn translated_answer(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    for back in backs()? {
        let body = Bytes::copy_from_slice(input);
        let Ok(answer) = translate::answer(&back, body, &head(), &limits) else {
            continue;
        };
        let answer = protocol::answer(back.client, answer, &limits);
        let answer = answer.map_err(|e| format!("{back:?}: {e}"))?;
        if !answer.is_answer() {
            return Err(format!("{back:?}: it has not the form of an answer"));
        }
        let usage = answer.usage();
        usage.map_err(|e| format!("{back:?}: {e}"))?;
    }
    Ok(())
}

/// A translated stream is made of events of the client's protocol, whatever comes in and
/// wherever it ends.
///
/// # Errors
/// The promise that was broken.
pub fn translated_stream(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    let Ok(frames) = frames(input, &[]) else {
        return Ok(());
    };
    for back in backs()? {
        let mut translator = StreamTranslator::new(&back, &head(), &limits);
        let mut out = Vec::new();
        for frame in &frames {
            if translator.push(frame, &mut out).is_err() {
                break;
            }
        }
        translator.finish(&mut out).map_err(|e| e.to_string())?;
        let options = StreamOptions {
            model: "group",
            include_usage: true,
            edits: true,
            ids: None,
            limits,
        };
        let mut reader = protocol::stream(back.client, options);
        for frame in super::frames(&out, &[]).map_err(|e| e.to_string())? {
            match reader.read(frame) {
                Ok(Event::Change(change)) if !change.well_formed => {
                    return Err(format!("{back:?}: an event that is not well formed"));
                }
                Ok(_) => {}
                Err(error) => return Err(format!("{back:?}: {error}")),
            }
        }
    }
    Ok(())
}
