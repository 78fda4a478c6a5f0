//! Cutting streams into frames. Attack UP-03.

use bytes::Bytes;
use llm::fuzz::frames;
use llm::sse::{Framer, SseError, SseLimits, comment_frame, data_frame};
use proptest::prelude::*;

fn data(input: &[u8]) -> Vec<Option<String>> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let all = frames(input, &[]).expect("framed");
    all.into_iter().map(|frame| frame.data.map(text)).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn lines_end_in_three_ways() {
    for end in ["\n", "\r", "\r\n"] {
        let input =
            format!("data: a{end}data:b{end}{end}: note{end}{end}event: e{end}data{end}{end}");
        assert_eq!(
            data(input.as_bytes()),
            [some("a\nb"), None, some("")],
            "{end:?}"
        );
        let all = frames(input.as_bytes(), &[]).expect("framed");
        assert_eq!(all[2].event.as_deref(), Some(&b"e"[..]));
    }
}

#[test]
fn up_03_hostile_streams() {
    // No terminator, half an event: told apart from a whole one.
    let all = frames(b"data: {\"a\":1}\n\ndata: {\"b\"", &[]).expect("framed");
    assert_eq!(
        all.iter().map(|frame| frame.complete).collect::<Vec<_>>(),
        [true, false]
    );
    // The end of the stream without a blank line.
    let all = frames(b"data: [DONE]", &[]).expect("framed");
    assert_eq!(
        (all[0].data.as_deref(), all[0].complete),
        (Some(&b"[DONE]"[..]), false)
    );
    // CR only.
    assert_eq!(data(b"data: a\r\rdata: b\r\r"), [some("a"), some("b")]);
    // Blank lines, a byte-order mark, fields without data, a NUL.
    assert_eq!(data(b"\n\n\r\r\ndata: a\n\n\n\n"), [some("a")]);
    assert_eq!(data(b"\xef\xbb\xbfdata: a\n\n"), [some("a")]);
    assert_eq!(
        data(b"id: 1\nretry: 5\n\ndata:  a\0\n\n"),
        [None, some(" a\0")]
    );
    // Events after [DONE] and two of them are the caller's: all are framed.
    assert_eq!(
        data(b"data: [DONE]\n\ndata: x\n\n"),
        [some("[DONE]"), some("x")]
    );
    assert_eq!(frames(b"", &[]), Ok(vec![]));
}

#[test]
fn up_03_bounded() {
    let limits = SseLimits {
        max_event: 100,
        max_silence: 50,
    };
    let mut framer = Framer::new(limits);
    let mut pushed = 0;
    let error = loop {
        match framer.push(Bytes::from_static(b"data: 0123456789")) {
            Ok(()) => pushed += 1,
            Err(error) => break error,
        }
        assert!(framer.pending() <= 100);
    };
    assert_eq!((error, pushed), (SseError::EventTooLarge, 6));
    assert_eq!(framer.push(Bytes::new()), Err(SseError::EventTooLarge));
    assert_eq!(framer.finish(), None);
    // One large event in one buffer is no way around it.
    let mut framer = Framer::new(limits);
    let large = Bytes::from(format!("data: {}\n\n", "x".repeat(100)));
    assert_eq!(framer.push(large), Err(SseError::EventTooLarge));
    // A flood of comments; data in between resets the count.
    let mut framer = Framer::new(limits);
    assert_eq!(
        framer.push(Bytes::from(": 0123456789\n\n".repeat(3))),
        Ok(())
    );
    assert_eq!(framer.push(Bytes::from_static(b"data: x\n\n")), Ok(()));
    assert_eq!(
        framer.push(Bytes::from(": 0123456789\n\n".repeat(3))),
        Ok(())
    );
    let flood = framer.push(Bytes::from(": 0123456789\n\n".repeat(3)));
    assert_eq!(flood, Err(SseError::TooMuchSilence));
}

#[test]
fn whole_frames_are_not_copied() {
    let input = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut framer = Framer::new(SseLimits::default());
    framer.push(input.clone()).expect("framed");
    let first = framer.next_frame().expect("a frame");
    assert_eq!(first.raw.as_ptr(), input.as_ptr());
    assert_eq!(first.data.expect("data").as_ptr(), input[6..].as_ptr());
    assert_eq!(
        framer.next_frame().expect("a frame").raw.as_ptr(),
        input[9..].as_ptr()
    );
}

#[test]
fn frames_are_written() {
    assert_eq!(data_frame(b"{}"), "data: {}\n\n");
    assert_eq!(comment_frame("a\r\nb"), ": a  b\n\n");
    assert_eq!(data(&comment_frame("capsule://x\n\ndata: y")), [None]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn cuts_do_not_matter(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("data: "), Just("data:"), Just("\n"), Just("\r"), Just("\r\n"), Just("\n\n"),
                Just("event: x"), Just(": c"), Just("é"), Just("{\"a\":1}"), Just("[DONE]"),
                Just("\u{feff}"), Just(":"),
            ], 0..16),
    ) {
        let input = pieces.concat();
        prop_assert_eq!(llm::fuzz::sse(input.as_bytes()), Ok(()));
    }
}
