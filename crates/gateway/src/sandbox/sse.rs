//! Server-sent events of an answer, as steps of a body.

use bytes::Bytes;
use serde_json::Value;

use super::behaviour::Behaviour;
use super::chat::{Answer, Request};
use super::script::Step;

/// The closing event of OpenAI's streams.
pub(super) const DONE: &str = "data: [DONE]\n\n";

/// One event with `data` as OpenAI writes it.
pub(super) fn event(data: &Value) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

/// The steps of a well-behaved stream, or of one that stops too early.
pub(super) fn steps(request: &Request, behaviour: Behaviour, answer: &Answer) -> Vec<Step> {
    let chunks = answer.chunks(request.include_usage);
    let send = |chunk: &Value| Step::Send(event(chunk));
    match behaviour {
        // The role chunk comes first and is not content.
        Behaviour::CutAfter(count) => {
            let mut steps: Vec<Step> = chunks.iter().take(count as usize + 1).map(send).collect();
            // A pause lets the chunks leave before the break.
            steps.push(Step::Pause(std::time::Duration::from_millis(5)));
            steps.push(Step::Cut);
            steps
        }
        Behaviour::HangAfterFirst => chunks
            .iter()
            .take(2)
            .map(send)
            .chain([Step::Hang])
            .collect(),
        Behaviour::Drip(pause) => {
            let paced = chunks
                .iter()
                .flat_map(|chunk| [Step::Pause(pause), send(chunk)]);
            paced
                .chain([Step::Send(Bytes::from_static(DONE.as_bytes()))])
                .collect()
        }
        _ => chunks
            .iter()
            .map(send)
            .chain([Step::Send(Bytes::from_static(DONE.as_bytes()))])
            .collect(),
    }
}
