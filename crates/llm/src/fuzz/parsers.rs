//! One fuzz body for the parsers of every protocol: requests, whole answers, streams, error
//! bodies.

use super::{Broken, frames};
use crate::openai::{Target, fields};
use crate::protocol::{self, Event, Protocol, StreamOptions};
use crate::provider::{PROVIDERS, Route};
use crate::scan::{Doc, Limits};
use crate::translate::{self, Wire};
use bytes::Bytes;

/// Every protocol.
pub const PROTOCOLS: [Protocol; 11] = [
    Protocol::Chat,
    Protocol::Completions,
    Protocol::Embeddings,
    Protocol::Moderations,
    Protocol::Messages,
    Protocol::CountTokens,
    Protocol::Responses,
    Protocol::ResponseGet,
    Protocol::ResponseDelete,
    Protocol::ResponseCancel,
    Protocol::ResponseInputItems,
];

/// The route of a provider that speaks a protocol as it is.
fn route(protocol: Protocol) -> Route {
    match protocol {
        Protocol::Chat => Route::ChatCompletions,
        Protocol::Completions => Route::Completions,
        Protocol::Embeddings => Route::Embeddings,
        Protocol::Moderations => Route::Moderations,
        Protocol::Messages => Route::Messages,
        Protocol::CountTokens => Route::CountTokens,
        _ => Route::Responses,
    }
}

/// A request that is accepted is sent without members of the gateway, with the provider's
/// model name, and with no text that was not in the transcript.
///
/// # Errors
/// The promise that was broken.
pub fn request(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    for protocol in PROTOCOLS
        .into_iter()
        .filter(|protocol| !protocol.is_stored())
    {
        let body = Bytes::copy_from_slice(input);
        let Ok(request) = protocol::request(protocol, body, &limits) else {
            continue;
        };
        let _ = (request.user(), request.last_user_text(), request.choices());
        let _ = (request.unknown_members(), request.max_output_tokens());
        let _ = crate::tokens::of_request(request.as_ref());
        let texts = |request: &dyn protocol::Request| -> Vec<String> {
            let texts = request.transcript().decoded(request.doc());
            texts.map(|(_, text)| text.into_owned()).collect()
        };
        let checked = texts(request.as_ref());
        let speaks = |provider: &&crate::provider::Provider| provider.speaks(route(protocol));
        for provider in PROVIDERS.iter().filter(speaks) {
            let edits = request.upstream_edits(&Target {
                model: "upstream-model",
                provider,
                forward_metadata: false,
                allowed: &[],
            });
            let sent = edits.apply(request.doc()).map_err(|e| e.to_string())?;
            let sent = protocol::request(protocol, sent, &limits)
                .map_err(|e| format!("{protocol:?} to {}: {e}", provider.name))?;
            if sent.model().is_some_and(|model| model != "upstream-model") {
                return Err(format!("{protocol:?}: another model is sent"));
            }
            for (key, _) in sent.doc().root().entries() {
                let name = key.as_str().unwrap_or_default();
                // Anthropic's `metadata` is the provider's, with one member.
                let own = protocol.family() == protocol::Family::Anthropic && name == "metadata";
                if !own && (fields::gateway_extra(&name) || fields::refused_field(&name)) {
                    return Err(format!("{protocol:?}: '{name}' is sent on"));
                }
            }
            let mut rest = checked.iter();
            for text in texts(sent.as_ref()) {
                let renamed = provider.quirks.renamed.iter().any(|(_, new)| *new == text);
                if !renamed && !rest.any(|own| *own == text) {
                    return Err(format!("{protocol:?}: a text is sent that was not checked"));
                }
            }
        }
    }
    Ok(())
}

/// Every text of a whole answer can be replaced, and is then gone.
///
/// # Errors
/// The promise that was broken.
pub fn answer(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    for protocol in PROTOCOLS {
        let body = Bytes::copy_from_slice(input);
        let Ok(answer) = protocol::answer(protocol, body, &limits) else {
            continue;
        };
        let _ = (answer.usage(), answer.finish_reasons(), answer.tool_calls());
        if !answer.is_answer() {
            continue;
        }
        // In the gateway's order: what a check changes wins.
        let mut edits = answer.rename_model("group");
        let ids: protocol::IdMap = std::sync::Arc::new(|id: &str| format!("mine-{id}"));
        answer.rename_ids(&mut edits, &ids);
        for output in answer.outputs() {
            answer.replace_output(&mut edits, output, "[GONE]");
            answer.drop_derived(&mut edits, output.choice);
        }
        let changed = edits.apply(answer.doc()).map_err(|e| e.to_string())?;
        let changed = protocol::answer(protocol, changed, &limits)
            .map_err(|e| format!("{protocol:?}: the changed answer: {e}"))?;
        for output in changed.outputs() {
            let text = changed.doc().node(output.node).as_str().unwrap_or_default();
            // Arguments may stand as an object, whose texts are outputs of their own.
            if !text.contains("[GONE]") {
                return Err(format!("{protocol:?}: a replaced text is still there"));
            }
        }
    }
    Ok(())
}

/// Events of any protocol never panic the reader; what it writes is strict JSON.
///
/// # Errors
/// The promise that was broken.
pub fn stream(input: &[u8]) -> Result<(), Broken> {
    let Ok(events) = frames(input, &[]) else {
        return Ok(());
    };
    for protocol in PROTOCOLS.into_iter().filter(|p| p.streams()) {
        let mut state = protocol::stream(
            protocol,
            StreamOptions {
                model: "group",
                include_usage: true,
                edits: true,
                ids: None,
                limits: Limits::default(),
            },
        );
        let mut out = Vec::new();
        for frame in &events {
            let Ok(Event::Change(mut change)) = state.read(frame.clone()) else {
                continue;
            };
            if !change.well_formed {
                break;
            }
            let texts = vec![Some("[x]".to_owned()); change.outputs.len()];
            let wrote = state.write(&mut change, &texts, &mut out);
            wrote.map_err(|e| format!("{protocol:?}: {e}"))?;
        }
        for frame in frames(&out, &[]).map_err(|e| e.to_string())? {
            let data = frame.data.unwrap_or_default();
            let read = Doc::parse(data, &Limits::default());
            read.map_err(|e| format!("{protocol:?}: written: {e}"))?;
        }
    }
    Ok(())
}

/// The facts of an error body are texts of that body, whatever it is.
///
/// # Errors
/// The promise that was broken.
pub fn error(input: &[u8]) -> Result<(), Broken> {
    for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini] {
        let found = translate::error(wire, Bytes::copy_from_slice(input));
        let _ = found.refusal();
        let facts = [&found.message, &found.kind, &found.code, &found.param];
        let plain = |text: &String| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        for text in facts.into_iter().flatten().filter(|text| plain(text)) {
            let whole = String::from_utf8_lossy(input);
            // An escape in the body spells it another way.
            if !whole.contains(text.as_str()) && !whole.contains('\\') {
                return Err("a fact is not in the body".to_owned());
            }
        }
    }
    Ok(())
}
