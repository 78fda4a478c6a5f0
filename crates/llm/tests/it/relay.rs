//! The fast way through a stream gives what the slow way gives.

use bytes::Bytes;
use llm::openai::Channel;
use llm::openai::relay::{Read, Relay};
use llm::openai::stream::Event;
use llm::scan::Limits;
use proptest::prelude::*;

/// The client's frames of a stream the fast way, with every text in upper case, and how
/// many chunks took the fast way.
fn fast(stream: &[String], group: &str, keep: bool) -> (Vec<Vec<u8>>, usize) {
    let mut relay = Relay::new(group, keep, Limits::default());
    let mut pieces = 0;
    let mut frames = Vec::new();
    for data in stream {
        let mut out = Vec::new();
        match relay.read(Bytes::copy_from_slice(data.as_bytes())) {
            Ok(Read::Piece(piece)) => {
                pieces += 1;
                assert!(piece.channel.is_incremental());
                piece.write(Some(&piece.text().to_uppercase()), &mut out);
            }
            Ok(Read::Chunk(chunk)) => {
                let mut edits = relay.edits(&chunk);
                for output in chunk.outputs() {
                    let text = output.decode(chunk.doc()).to_uppercase();
                    chunk.replace_output(&mut edits, output, &text);
                }
                relay
                    .write_chunk(&chunk, &edits, &mut out)
                    .expect("rendered");
            }
            Ok(Read::Done) => out.extend_from_slice(b"done"),
            Ok(Read::Error(_)) => out.extend_from_slice(b"error"),
            Err(error) => out.extend_from_slice(error.to_string().as_bytes()),
        }
        frames.push(out);
    }
    (frames, pieces)
}

fn slow(stream: &[String], group: &str, keep: bool) -> Vec<Vec<u8>> {
    let frames = stream.iter().map(|data| {
        let data = Bytes::copy_from_slice(data.as_bytes());
        match Event::parse(data, &Limits::default()) {
            Ok(Event::Chunk(chunk)) => {
                let mut edits = chunk.client_edits(group, keep);
                for output in chunk.outputs() {
                    let text = output.decode(chunk.doc()).to_uppercase();
                    chunk.replace_output(&mut edits, output, &text);
                }
                chunk.render(&edits).expect("rendered").to_vec()
            }
            Ok(Event::Done) => b"done".to_vec(),
            Ok(Event::Error(_)) => b"error".to_vec(),
            Err(error) => error.to_string().into_bytes(),
        }
    });
    frames.collect()
}

fn chunk(choice: u32, member: &str, raw: &str, tail: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":[{{"index":{choice},"delta":{{{member}:{raw}}},"logprobs":null,"finish_reason":null}}]{tail}}}"#
    )
}

#[test]
fn most_chunks_take_the_fast_way() {
    let mut stream = vec![chunk(0, "\"role\":\"assistant\",\"content\"", "\"\"", "")];
    let words = ["a", " b", "\\n\\u00e9", "\\\"", "日本", ""];
    stream.extend(words.map(|word| chunk(0, "\"content\"", &format!("\"{word}\""), "")));
    stream.extend(words.map(|word| chunk(1, "\"content\"", &format!("\"{word}\""), "")));
    stream.extend(words.map(|word| chunk(0, "\"content\"", &format!("\"{word}\""), "")));
    let padded = |word: &str| format!(",\"usage\":null,\"obfuscation\":\"{word}\"");
    stream.extend(words.map(|word| chunk(0, "\"content\"", "\"x\"", &padded(word))));
    stream.push("[DONE]".to_owned());
    let (frames, pieces) = fast(&stream, "group", false);
    assert_eq!(frames, slow(&stream, "group", false));
    assert_eq!(pieces, stream.len() - 5);
    let mut plain = Vec::new();
    let mut relay = Relay::new("group", false, Limits::default());
    for data in &stream[1..3] {
        match relay
            .read(Bytes::copy_from_slice(data.as_bytes()))
            .expect("valid")
        {
            Read::Piece(piece) => {
                assert_eq!((piece.choice, piece.channel), (0, Channel::Text));
                piece.write(None, &mut plain);
            }
            other => assert!(matches!(other, Read::Chunk(_))),
        }
    }
    let expected = stream[2].replace("gpt-x", "group");
    assert_eq!(plain, format!("data: {expected}\n\n").into_bytes());
}

#[test]
fn ends_usage_and_damage_never_take_the_fast_way() {
    let start = chunk(0, "\"content\"", "\"a\"", "");
    let odd = [
        start.replace("\"finish_reason\":null", "\"finish_reason\":\"stop\""),
        chunk(
            0,
            "\"content\"",
            "\"a\"",
            ",\"usage\":{\"prompt_tokens\":1}",
        ),
        start.replace("\"logprobs\":null", "\"logprobs\":{\"content\":[]}"),
        start.replace("\"a\"", "\"a\u{1}\""),
        start.replace("\"a\"", "\"\\ud800\""),
        start.replace("\"a\"", "\"a"),
        start.replace("\"a\"", "null"),
        start.replace("\"a\"", "\"a\",\"content\":\"b\""),
        start.replace("\"a\"", "\"a\",\"refusal\":\"b\""),
        format!("{start} x"),
        start.trim_end_matches('}').to_owned(),
    ];
    for data in odd {
        let stream = [start.clone(), start.clone(), data.clone(), start.clone()];
        let (frames, pieces) = fast(&stream, "group", true);
        assert_eq!(frames, slow(&stream, "group", true), "{data}");
        assert_eq!(pieces, 2, "{data}");
    }
    let mut relay = Relay::new("g", true, Limits::default());
    relay.read(Bytes::from(start.clone())).expect("valid");
    let invalid = [start.as_bytes()[..100].to_vec(), b"\xff".to_vec()].concat();
    assert!(relay.read(Bytes::from(invalid)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn fast_is_slow(
        parts in prop::collection::vec(
            (0_u32..6, prop_oneof![
                Just("\"content\""), Just("\"content\":\"x\",\"refusal\""),
                Just("\"reasoning_content\""), Just("\"role\":\"assistant\",\"content\""),
            ], any::<String>(), prop_oneof![
                Just(String::new()), Just(",\"usage\":null".to_owned()),
                "[a-z]{0,9}".prop_map(|pad| format!(",\"obfuscation\":\"{pad}\"")),
                "[0-9]{1,3}".prop_map(|n| format!(",\"x\":{n}")),
            ], any::<bool>()),
            0..24),
        keep in any::<bool>(),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        let mut stream: Vec<String> = parts.iter().map(|(choice, member, text, tail, spaced)| {
            let raw = serde_json::to_string(text).expect("rendered");
            let chunk = chunk(*choice, member, &raw, tail);
            if *spaced { chunk.replace(",\"created\"", ", \"created\"") } else { chunk }
        }).collect();
        if let (Some((which, place)), false) = (damage, stream.is_empty()) {
            let which = which.index(stream.len());
            let chunk = &mut stream[which];
            let at = place.index(chunk.len());
            if chunk.is_char_boundary(at) {
                chunk.insert(at, '"');
            }
        }
        prop_assert_eq!(fast(&stream, "gr\"oup", keep).0, slow(&stream, "gr\"oup", keep));
    }
}
