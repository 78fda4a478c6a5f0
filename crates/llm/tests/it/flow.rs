//! A small pipeline for tests: frames of an upstream through a protocol's stream, with a check that masks a word.

use llm::fuzz::frames;
use llm::openai::Channel;
use llm::protocol::{Change, Event, Protocol, Reported, StreamOptions, stream};
use llm::scan::Limits;
use llm::usage::Usage;

/// The word that is masked, and what stands in its place.
const WORD: &str = "secret";
const MASK: &str = "[x]";

/// What a client got, and what the pipeline learned.
#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) out: Vec<u8>,
    pub(crate) error: Option<Reported>,
    pub(crate) reasons: Vec<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) last: bool,
    pub(crate) complete: bool,
    pub(crate) malformed: usize,
    held: Vec<((u32, Channel), String)>,
}

impl Flow {
    /// The data of every event that the client got.
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let frames = frames(&self.out, &[]).expect("frames");
        let data = frames.iter().filter_map(|frame| frame.data.clone());
        data.filter(|data| data.as_ref() != b"[DONE]")
            .map(|data| serde_json::from_slice(&data).expect("JSON"))
            .collect()
    }

    /// Passes a text through the check; what could be the beginning of the word is held back.
    fn push(&mut self, key: (u32, Channel), text: &str, over: bool) -> String {
        let at = self.held.iter().position(|(known, _)| *known == key);
        let at = at.unwrap_or_else(|| {
            self.held.push((key, String::new()));
            self.held.len() - 1
        });
        let held = &mut self.held[at].1;
        held.push_str(text);
        let all = held.replace(WORD, MASK);
        let keep = match over {
            true => 0,
            false => (1..WORD.len())
                .rev()
                .find(|&length| all.ends_with(&WORD[..length]))
                .unwrap_or(0),
        };
        let cut = all.len() - keep;
        *held = all[cut..].to_owned();
        all[..cut].to_owned()
    }
}

/// Runs a stream of the upstream. With `masking` the word is masked.
pub(crate) fn run(protocol: Protocol, upstream: &[u8], masking: bool) -> Flow {
    let mut flow = Flow::default();
    let mut state = stream(
        protocol,
        StreamOptions {
            model: "group",
            include_usage: true,
            edits: masking,
            limits: Limits::default(),
            ids: None,
        },
    );
    for frame in frames(upstream, &[]).expect("frames") {
        match state.read(frame).expect("strict JSON") {
            Event::Ignored => {}
            Event::Done => {
                flow.last = true;
                break;
            }
            Event::Error(error) => {
                flow.error = Some(error);
                break;
            }
            Event::Piece(piece) => {
                let text = match masking {
                    true => Some(flow.push((piece.choice, piece.channel), &piece.text(), false)),
                    false => None,
                };
                state.write_piece(&piece, text.as_deref(), &mut flow.out);
            }
            Event::Change(mut change) => {
                let texts = check(&mut flow, &mut *state, &change, masking);
                flow.malformed += usize::from(!change.well_formed);
                flow.reasons.extend(change.reasons.iter().cloned());
                if let Some(usage) = change.usage.expect("usage") {
                    flow.usage = Some(usage);
                }
                change.usage = Ok(None);
                flow.last |= change.last;
                if change.forward {
                    state
                        .write(&mut change, &texts, &mut flow.out)
                        .expect("edits");
                }
            }
        }
    }
    flow.complete = state.is_complete();
    flow
}

fn check(
    flow: &mut Flow,
    state: &mut dyn llm::protocol::Stream,
    change: &Change,
    masking: bool,
) -> Vec<Option<String>> {
    let mut texts = Vec::new();
    for output in &change.outputs {
        let text = output.decode(&change.doc);
        texts.push(match (masking, output.channel.is_incremental()) {
            (false, _) => None,
            (true, true) => Some(flow.push((output.choice, output.channel), &text, false)),
            (true, false) => Some(text.replace(WORD, MASK)),
        });
    }
    let held: Vec<(u32, Channel)> = flow.held.iter().map(|(key, _)| *key).collect();
    for key in held
        .into_iter()
        .filter(|key| change.finished.contains(&key.0))
    {
        let tail = flow.push(key, "", true);
        let same = |output: &llm::openai::Output| (output.choice, output.channel) == key;
        match change.outputs.iter().rposition(same) {
            Some(at) => texts[at].get_or_insert_default().push_str(&tail),
            None if tail.is_empty() => {}
            None => assert!(
                state.write_tail(key.0, key.1, &tail, &mut flow.out),
                "{key:?}"
            ),
        }
    }
    texts
}

/// Every string of a JSON value.
pub(crate) fn strings(value: &serde_json::Value, out: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => out.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        serde_json::Value::Object(members) => members.values().for_each(|item| strings(item, out)),
        _ => {}
    }
}
