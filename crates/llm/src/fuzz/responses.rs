//! Fuzz bodies of the Responses format.

use super::{Broken, frames};
use crate::openai::{Target, fields};
use crate::protocol::{self, Answer, Event, Protocol, Request, StreamOptions};
use crate::provider::PROVIDERS;
use crate::responses;
use crate::scan::{Doc, Limits};
use bytes::Bytes;

/// What is sent on holds no gateway member and no text that was not in the transcript.
///
/// # Errors
/// The promise that was broken.
pub fn request(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    let Ok(request) = responses::Request::parse(Bytes::copy_from_slice(input), &limits) else {
        return Ok(());
    };
    let texts = |request: &responses::Request| -> Vec<String> {
        let texts = request.transcript().decoded(request.doc());
        texts.map(|(_, text)| text.into_owned()).collect()
    };
    let native =
        |provider: &&crate::provider::Provider| provider.speaks(crate::provider::Route::Responses);
    for provider in PROVIDERS.iter().filter(native) {
        let mut edits = request.upstream_edits(&Target {
            model: "upstream-model",
            provider,
            forward_metadata: false,
            allowed: &[],
        });
        request.forbid_retention(&mut edits);
        let sent = edits.apply(request.doc()).map_err(|e| e.to_string())?;
        let sent = responses::Request::parse(sent, &limits).map_err(|e| format!("sent: {e}"))?;
        if sent.model() != Some("upstream-model") || sent.store() {
            return Err("another model, or a stored response".to_owned());
        }
        for (key, _) in sent.doc().root().entries() {
            let name = key.as_str().unwrap_or_default();
            if fields::gateway_extra(&name) || fields::refused_field(&name) {
                return Err("a gateway member is sent on".to_owned());
            }
        }
        let checked = texts(&request);
        let mut rest = checked.iter();
        if !texts(&sent).iter().all(|text| rest.any(|own| own == text)) {
            return Err("a text is sent that was not in the transcript".to_owned());
        }
    }
    Ok(())
}

/// Every text of a whole answer can be replaced.
///
/// # Errors
/// The promise that was broken.
pub fn answer(input: &[u8]) -> Result<(), Broken> {
    let limits = Limits::default();
    let Ok(answer) = responses::Answer::parse(Bytes::copy_from_slice(input), &limits) else {
        return Ok(());
    };
    let _ = (answer.usage(), answer.finish_reasons(), answer.tool_calls());
    let mut edits = answer.rename_model("group");
    for output in answer.outputs() {
        answer.replace_output(&mut edits, output, "[x]");
        answer.drop_derived(&mut edits, output.choice);
    }
    let edited = edits.apply(answer.doc()).map_err(|e| e.to_string())?;
    let after = responses::Answer::parse(edited, &limits).map_err(|e| format!("edited: {e}"))?;
    let replaced = after
        .outputs()
        .iter()
        .all(|o| o.decode(after.doc()) == "[x]");
    (replaced && after.outputs().len() == answer.outputs().len())
        .then_some(())
        .ok_or_else(|| "a text was not replaced".to_owned())
}

/// Events never panic the reader; what it writes is strict JSON with the texts that were
/// put in, numbered as the client counts.
///
/// # Errors
/// The promise that was broken.
pub fn stream(input: &[u8]) -> Result<(), Broken> {
    let Ok(events) = frames(input, &[]) else {
        return Ok(());
    };
    let options = StreamOptions {
        model: "group",
        include_usage: true,
        edits: true,
        ids: None,
        limits: Limits::default(),
    };
    let mut state = protocol::stream(Protocol::Responses, options);
    let mut out = Vec::new();
    for frame in events {
        let Ok(Event::Change(mut change)) = state.read(frame) else {
            continue;
        };
        if !change.well_formed {
            break;
        }
        let texts: Vec<Option<String>> = change
            .outputs
            .iter()
            .map(|_| Some("[x]".to_owned()))
            .collect();
        let (choices, finished) = (change.outputs.clone(), change.finished.clone());
        for output in choices
            .iter()
            .filter(|output| finished.contains(&output.choice))
        {
            state.write_tail(output.choice, output.channel, "[y]", &mut out);
        }
        let wrote = state.write(&mut change, &texts, &mut out);
        wrote.map_err(|e| e.to_string())?;
    }
    for frame in frames(&out, &[]).map_err(|e| e.to_string())? {
        let data = frame.data.unwrap_or_default();
        let _ = Doc::parse(data, &Limits::default()).map_err(|e| format!("written: {e}"))?;
    }
    Ok(())
}
