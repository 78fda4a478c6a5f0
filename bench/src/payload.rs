//! Request bodies and upstream answers, fixed so that every gateway carries the same bytes.

use std::fmt::Write as _;

use bytes::Bytes;

/// Model name that clients ask for; every gateway maps it to the mock upstream.
pub(crate) const MODEL: &str = "gpt-4o";
/// Model name of the deployment that speaks Anthropic's Messages.
pub(crate) const MESSAGES_MODEL: &str = "claude";
/// Key that clients present. Long and random-looking, since Sealgate refuses weak master keys.
pub(crate) const CLIENT_KEY: &str = "sk-bench-8Qv2mZr7Lw4Xc9Tn5Bh1Kd6Pf3Gs0Yj";
/// Key that gateways present upstream. The mock does not look at it.
pub(crate) const UPSTREAM_KEY: &str = "sk-upstream-4Hn7Wp2Rk9Vt5Mx8Cq3Zb6";
/// Content chunks in one stream.
pub(crate) const STREAM_CHUNKS: usize = 50;
/// Size of a chat answer of the mock in bytes.
pub(crate) const ANSWER_BYTES: usize = 608;

/// A chat request of exactly 300 bytes.
pub(crate) fn small_chat() -> Bytes {
    padded_chat(300, false)
}

/// The same request as a stream.
pub(crate) fn small_stream() -> Bytes {
    padded_chat(300, true)
}

/// A chat request of about 31 KB in fifteen messages.
pub(crate) fn large_chat() -> Bytes {
    let mut body = format!("{{\"model\":\"{MODEL}\",\"messages\":[");
    for turn in 0..15 {
        if turn > 0 {
            body.push(',');
        }
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        let _ = write!(
            body,
            "{{\"role\":\"{role}\",\"content\":\"{}\"}}",
            prose(2_050 + turn)
        );
    }
    body.push_str("],\"max_tokens\":64}");
    Bytes::from(body)
}

/// An embeddings request with four inputs.
pub(crate) fn embeddings() -> Bytes {
    let inputs: Vec<String> = (0..4).map(|n| format!("\"{}\"", prose(60 + n))).collect();
    Bytes::from(format!(
        "{{\"model\":\"{MODEL}\",\"input\":[{}]}}",
        inputs.join(",")
    ))
}

/// A Messages request of exactly 300 bytes.
pub(crate) fn messages(model: &str) -> Bytes {
    let head = format!(
        "{{\"model\":\"{model}\",\"max_tokens\":64,\"system\":\"You answer in one sentence.\",\
         \"messages\":[{{\"role\":\"user\",\"content\":\""
    );
    let tail = "\"}]}";
    let room = 300_usize.saturating_sub(head.len() + tail.len());
    Bytes::from(format!("{head}{}{tail}", prose(room)))
}

/// The Messages answer of the mock, as long as its chat answer.
pub(crate) fn messages_answer() -> Bytes {
    let head = concat!(
        "{\"id\":\"msg_bench0000000000000000000000\",\"type\":\"message\",\"role\":\"assistant\",",
        "\"model\":\"claude-sonnet-4-5\",\"content\":[{\"type\":\"text\",\"text\":\""
    );
    let tail = concat!(
        "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,",
        "\"usage\":{\"input_tokens\":57,\"output_tokens\":42}}"
    );
    let room = ANSWER_BYTES.saturating_sub(head.len() + tail.len());
    Bytes::from(format!("{head}{}{tail}", prose(room)))
}

/// The chat answer of the mock, with usage.
pub(crate) fn chat_answer() -> Bytes {
    let head = concat!(
        "{\"id\":\"chatcmpl-bench0000000000000000000000\",\"object\":\"chat.completion\",",
        "\"created\":1760000000,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,",
        "\"message\":{\"role\":\"assistant\",\"content\":\""
    );
    let tail = concat!(
        "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{",
        "\"prompt_tokens\":57,\"completion_tokens\":42,\"total_tokens\":99},",
        "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench00000\"}"
    );
    let room = ANSWER_BYTES.saturating_sub(head.len() + tail.len());
    Bytes::from(format!("{head}{}{tail}", prose(room)))
}

/// The embeddings answer of the mock: four vectors of eight numbers.
pub(crate) fn embeddings_answer() -> Bytes {
    let mut body = String::from("{\"object\":\"list\",\"data\":[");
    for index in 0..4 {
        if index > 0 {
            body.push(',');
        }
        let _ = write!(
            body,
            "{{\"object\":\"embedding\",\"index\":{index},\"embedding\":[0.1,-0.2,0.3,-0.4,0.5,-0.6,0.7,-0.8]}}"
        );
    }
    body.push_str(
        "],\"model\":\"text-embedding-3-small\",\"usage\":{\"prompt_tokens\":48,\"total_tokens\":48}}",
    );
    Bytes::from(body)
}

/// One content event. `stamp` (nanoseconds of the monotonic clock) lets the reader compute how long it travelled.
pub(crate) fn stream_event(index: usize, stamp: Option<u64>) -> Bytes {
    let mut content = format!(" tok{index:02}");
    if let Some(nanos) = stamp {
        let _ = write!(content, " t{nanos:019}");
    }
    event(&format!("{{\"content\":\"{content}\"}}"), "null", "")
}

/// First event of a stream: the role.
pub(crate) fn stream_head() -> Bytes {
    event("{\"role\":\"assistant\",\"content\":\"\"}", "null", "")
}

/// What follows the content: finish reason, usage when asked for, end mark.
pub(crate) fn stream_tail(with_usage: bool) -> Bytes {
    let mut tail = event("{}", "\"stop\"", "").to_vec();
    if with_usage {
        tail.extend_from_slice(
            concat!(
                "data: {\"id\":\"chatcmpl-bench0000000000000000000000\",",
                "\"object\":\"chat.completion.chunk\",\"created\":1760000000,",
                "\"model\":\"gpt-4o-2024-08-06\",\"choices\":[],\"usage\":{\"prompt_tokens\":57,",
                "\"completion_tokens\":50,\"total_tokens\":107}}\n\n"
            )
            .as_bytes(),
        );
    }
    tail.extend_from_slice(b"data: [DONE]\n\n");
    Bytes::from(tail)
}

fn event(delta: &str, finish: &str, extra: &str) -> Bytes {
    Bytes::from(format!(
        "data: {{\"id\":\"chatcmpl-bench0000000000000000000000\",\"object\":\"chat.completion.chunk\",\
         \"created\":1760000000,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{{\"index\":0,\
         \"delta\":{delta},\"finish_reason\":{finish}}}]{extra}}}\n\n"
    ))
}

fn padded_chat(size: usize, stream: bool) -> Bytes {
    let head = format!(
        "{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"system\",\"content\":\"You answer in one sentence.\"}},\
         {{\"role\":\"user\",\"content\":\""
    );
    let tail = if stream {
        "\"}],\"max_tokens\":64,\"stream\":true}"
    } else {
        "\"}],\"max_tokens\":64}"
    };
    let room = size.saturating_sub(head.len() + tail.len());
    Bytes::from(format!("{head}{}{tail}", prose(room)))
}

/// `length` bytes of plain English words.
fn prose(length: usize) -> String {
    const WORDS: &str = "please compare the two quarterly reports and name the three largest \
                         differences in plain words for a reader who has not seen either of them ";
    WORDS.chars().cycle().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_the_stated_size() {
        for (body, size) in [
            (small_chat(), 300),
            (small_stream(), 300),
            (messages(MODEL), 300),
            (chat_answer(), ANSWER_BYTES),
            (messages_answer(), ANSWER_BYTES),
        ] {
            assert_eq!(body.len(), size);
            serde_json::from_slice::<serde_json::Value>(&body).unwrap();
        }
        let large = large_chat();
        assert!((31_000..32_000).contains(&large.len()), "{}", large.len());
        for body in [large, embeddings(), embeddings_answer()] {
            serde_json::from_slice::<serde_json::Value>(&body).unwrap();
        }
    }

    #[test]
    fn events_carry_their_number_and_stamp() {
        let text = String::from_utf8(stream_event(7, Some(12)).to_vec()).unwrap();
        let json = text.strip_prefix("data: ").unwrap().trim_end();
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            value["choices"][0]["delta"]["content"],
            " tok07 t0000000000000000012"
        );
    }
}
