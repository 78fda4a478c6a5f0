//! Blocked words over streams: the same as over the whole text, however it is cut.

use crate::words::words;
use guard::{Action, Check, Form, StreamCheck, fuzz};
use proptest::prelude::*;
use std::borrow::Cow;

use Action::{Block, Mask};

#[test]
fn text_leaves_as_early_as_it_can() {
    let check = words(&[("secret", Mask), ("hidden", Block)]);
    let mut stream = check.stream().expect("a stream");
    assert_eq!(stream.push("plain text").text, "plain text");
    assert_eq!(stream.push(" and s").text, " and ");
    assert_eq!(stream.held(), 1);
    assert_eq!(stream.push("ec").text, "");
    assert_eq!(stream.push("ond").text, "second");
    let emit = stream.push(" secret!");
    assert_eq!(
        (emit.text.as_ref(), emit.findings.len()),
        (" [KEYWORD_REDACTED]!", 1)
    );
    assert_eq!(stream.push("ending in hid").text, "ending in ");
    assert_eq!(stream.finish().text, "hid");
}

#[test]
fn unchanged_pieces_are_not_copied() {
    let check = words(&[("secret", Mask)]);
    let mut stream = check.window();
    assert!(matches!(
        stream.push("nothing to see, é").text,
        Cow::Borrowed(_)
    ));
    assert!(matches!(stream.push("s").text, Cow::Owned(_)));
    assert!(matches!(stream.push("o.").text, Cow::Owned(_)));
}

#[test]
fn grd_09_nothing_leaks_before_a_block() {
    let check = words(&[("rm -rf", Block)]);
    let text = "{\"cmd\": \"rm -rf /\"}";
    let mut stream = check.window();
    let (delivered, findings, blocked) = fuzz::streamed(
        &mut stream,
        text.split("").filter(|piece| !piece.is_empty()),
    );
    assert_eq!(delivered, "{\"cmd\": \"");
    let blocked = blocked.expect("blocked");
    assert_eq!(
        (blocked.start, blocked.end, findings),
        (9, 15, vec![blocked])
    );
    // Blocked stays blocked.
    let after = stream.push("more");
    assert_eq!((after.text.as_ref(), after.blocked), ("", Some(blocked)));
    assert_eq!(stream.finish().text, "");
}

#[test]
fn grd_11_long_streams_hold_back_a_bounded_amount() {
    let check = words(&[("abcabcabd", Mask)]);
    let mut stream = check.window();
    let text = "abcabcabcabc\u{200B}\u{200B}é日".repeat(8000);
    let mut delivered = String::new();
    for c in text.chars() {
        delivered.push_str(&stream.push(c.encode_utf8(&mut [0; 4])).text);
        assert!(stream.held() <= 9 * 12 + 256 + 4);
    }
    delivered.push_str(&stream.finish().text);
    assert_eq!(delivered, text);
    // Across the border of a large buffer.
    let text = format!("{}abcabcabd tail", "x".repeat(65_530));
    for cut in 65_525..65_545 {
        assert_eq!(fuzz::window(&check, Form::Plain, &text, &[cut]), Ok(()));
    }
}

/// Few letters, so that almost-matches and overlaps are common; with letters of several
/// bytes, letters that fold across lengths, and invisible ones.
const LETTERS: &str = "[abcAB\u{212A}kKsſSéÉß日ａＡ\u{200B}\u{AD}\u{E0061} ]";

fn letters(count: &str) -> impl Strategy<Value = String> + use<> {
    proptest::string::string_regex(&format!("{LETTERS}{count}")).expect("a pattern")
}

fn any_words() -> impl Strategy<Value = Vec<(String, Action)>> {
    let word = letters("{0,4}[abks]");
    let action = prop_oneof![4 => Just(Mask), 1 => Just(Block)];
    prop::collection::vec((word, action), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn grd_11_streamed_equals_unstreamed(
        list in any_words(),
        text in letters("{0,60}"),
        cuts in prop::collection::vec(0_usize..160, 0..12),
    ) {
        let list: Vec<(&str, Action)> = list.iter().map(|(w, a)| (w.as_str(), *a)).collect();
        let check = words(&list);
        prop_assert_eq!(fuzz::window(&check, Form::Plain, &text, &cuts), Ok(()));
        let every: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(fuzz::window(&check, Form::Plain, &text, &every), Ok(()));
    }

    /// JSON text: escapes of every kind, whole and broken, cut anywhere.
    #[test]
    fn grd_11_escapes_are_cut_anywhere(
        list in any_words(),
        parts in prop::collection::vec(prop_oneof![
            letters("{1,3}"), Just("\\u0061".to_owned()), Just("\\u0041".to_owned()),
            Just("\\u00e9".to_owned()), Just("\\u212A".to_owned()), Just("\\u200b".to_owned()),
            Just("\\ud83d\\ude00".to_owned()), Just("\\udb40\\udc61".to_owned()),
            Just("\\".to_owned()), Just("\\u".to_owned()), Just("\\u00".to_owned()),
            Just("\\ud83d".to_owned()), Just("\\n".to_owned()), Just("\\\"".to_owned()),
            Just("\"".to_owned()), Just("\\x".to_owned()),
        ], 0..14),
        cuts in prop::collection::vec(0_usize..120, 0..12),
    ) {
        let list: Vec<(&str, Action)> = list.iter().map(|(w, a)| (w.as_str(), *a)).collect();
        let check = words(&list);
        let text = parts.concat();
        prop_assert_eq!(fuzz::window(&check, Form::JsonText, &text, &cuts), Ok(()));
        let every: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(fuzz::window(&check, Form::JsonText, &text, &every), Ok(()));
    }

    /// Against a slow, obvious model: every match, by trying every place.
    #[test]
    fn matches_are_those_of_a_plain_search(
        list in any_words(),
        text in "[abcABksKé日 ]{0,40}",
    ) {
        let masks: Vec<(&str, Action)> = list.iter().map(|(w, _)| (w.as_str(), Mask)).collect();
        let check = words(&masks);
        let visible = |word: &str| -> String {
            let invisible = |c: &char| matches!(c, '\u{200B}' | '\u{AD}');
            let narrow = |c: char| match c {
                '\u{212A}' => 'k', 'ſ' => 's', 'ａ' | 'Ａ' | '\u{E0061}' => 'a', 'É' => 'é', c => c,
            };
            word.chars().filter(|c| !invisible(c)).map(narrow).collect::<String>().to_lowercase()
        };
        let lower: Vec<char> = visible(&text).chars().collect();
        let mut hidden = vec![false; lower.len()];
        let mut joined = vec![false; lower.len() + 1];
        for (word, _) in &masks {
            let word: Vec<char> = visible(word).chars().collect();
            for start in 0..lower.len() {
                if lower[start..].starts_with(&word) {
                    for at in start..start + word.len() {
                        hidden[at] = true;
                        joined[at] |= at > start;
                    }
                }
            }
        }
        let mut expected = String::new();
        for (at, c) in text.chars().enumerate() {
            match (hidden[at], joined[at]) {
                (false, _) => expected.push(c),
                (true, false) => expected.push_str(guard::DEFAULT_TAG),
                (true, true) => {}
            }
        }
        let verdict = check.scan(&text);
        prop_assert_eq!(verdict.masked.unwrap_or(text.clone()), expected);
        prop_assert_eq!(verdict.findings.is_empty(), !hidden.contains(&true));
    }
}
