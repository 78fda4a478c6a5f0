//! What the events of a stream carry, by the member names and types of the format.

use super::output;
use super::unit::Unit;
use crate::openai::Channel;
use crate::openai::output::{Found, opaque, other, push};
use crate::scan::{Kind, Node};
use crate::transcript::OpaqueKind;

/// The family of an event, by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Carries the next piece of a text.
    Delta,
    /// Ends a text and repeats it.
    Done,
    /// Announces an item or part.
    Added,
    /// Repeats a whole item or part that is over.
    ItemDone,
    /// Carries the response; `true` if nothing follows.
    Response(bool),
    /// Says how far something is.
    Progress,
}

/// The place that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Place of the item in `output`.
    pub(crate) item: u32,
    /// Name and value of the index within the item.
    pub(crate) index: Option<(&'static str, u32)>,
}

/// The names of the index within an item.
const INDEXES: [&str; 3] = ["content_index", "summary_index", "command_index"];

impl Place {
    pub(crate) fn of(root: Node<'_>) -> Place {
        let number = |name: &str| {
            let value = root.get(name)?.as_u64()?;
            Some(u32::try_from(value).unwrap_or(u32::MAX))
        };
        let mut named = INDEXES.into_iter();
        Place {
            item: number("output_index").unwrap_or(0),
            index: named.find_map(|name| Some((name, number(name)?))),
        }
    }

    /// The unit of a text of this channel; `reasoning`: of the content of reasoning.
    pub(crate) fn unit(self, reasoning: bool) -> Unit {
        let part = self.index.map_or(0, |(_, value)| value);
        match reasoning {
            true => Unit::reasoning(self.item, part),
            false => Unit {
                item: self.item,
                part,
            },
        }
    }
}

pub(crate) fn family(kind: &str) -> Family {
    match kind {
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            Family::Response(true)
        }
        "response.created" | "response.in_progress" | "response.queued" => Family::Response(false),
        "response.output_item.done"
        | "response.content_part.done"
        | "response.reasoning_summary_part.done" => Family::ItemDone,
        added if added.ends_with(".added") => Family::Added,
        delta if delta.ends_with(".delta") => Family::Delta,
        done if done.ends_with(".done") => Family::Done,
        _ => Family::Progress,
    }
}

/// The channel of the pieces of an event type.
fn channel(kind: &str) -> Channel {
    let stem = kind.strip_prefix("response.").unwrap_or(kind);
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    match stem {
        "output_text" => Channel::Text,
        "refusal" => Channel::Refusal,
        "reasoning_summary_text" | "reasoning_text" | "reasoning_summary" | "reasoning" => {
            Channel::Reasoning
        }
        "function_call_arguments" | "mcp_call_arguments" => Channel::ToolArguments(0),
        "audio.transcript" | "audio_transcript" => Channel::AudioTranscript,
        _ => Channel::ToolInput(0),
    }
}

/// Whether the texts of this event type are those of the content of reasoning.
fn is_reasoning_text(kind: &str) -> bool {
    kind.starts_with("response.reasoning_text.")
}

/// Finds the outputs of an event. Gives the choice whose text it carries or ends.
pub(crate) fn outputs(kind: &str, family: Family, root: Node<'_>, found: &mut Found) -> u32 {
    let place = Place::of(root);
    let choice = place.unit(is_reasoning_text(kind)).choice();
    let channel = channel(kind);
    for (key, value) in root.entries() {
        let name = key.as_str().unwrap_or_default();
        match (&*name, family) {
            ("type" | "item_id" | "call_id" | "status" | "obfuscation", _)
                if value.kind() == Kind::String => {}
            // Repeats the text token by token; goes when the text may change.
            ("logprobs" | "sequence_number", _) => {}
            ("delta", Family::Delta) if kind == "response.audio.delta" => {
                opaque(OpaqueKind::Audio, value, found);
            }
            ("delta", Family::Delta)
            | ("text" | "refusal" | "arguments" | "input" | "code" | "command", Family::Done) => {
                push(choice, channel, value, found);
            }
            ("response", Family::Response(_)) => output::response(value, found),
            ("item", Family::Added | Family::ItemDone) => output::item(value, place.item, found),
            ("part", Family::Added | Family::ItemDone) => {
                let reasoning = value
                    .get("type")
                    .is_some_and(|k| k.is_str("reasoning_text"));
                output::part(value, place.unit(reasoning), found);
            }
            ("partial_image_b64", _) => opaque(OpaqueKind::Image, value, found),
            _ => other(key, value, choice, found),
        }
    }
    choice
}
