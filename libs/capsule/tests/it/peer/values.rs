//! Canonical bytes and digests of any value.

use capsule::Hash;
use capsule::canonical;
use capsule::json::{Limits, ParseErrorKind, Value, parse};
use proptest::prelude::*;

use super::spelling::{Choices, spell};
use super::{Peer, samples};
use crate::properties;

#[test]
fn canonical_bytes_are_equal() {
    let Some(mut peer) = Peer::start("canonical") else {
        return;
    };
    for (seed, value) in samples(properties::value(), 3000).enumerate() {
        let text = spell(&value, &mut Choices(seed as u64));
        let ours = canonical::to_vec(&parse(text.as_bytes(), &Limits::default()).unwrap());
        let theirs = peer.ask("canonical", [("text", Value::from(&text))]);
        assert_eq!(theirs.text("canonical").as_bytes(), ours, "{text}");
        assert_eq!(theirs.text("hash"), Hash::of(&ours).hex());
    }
}

#[test]
fn numbers_are_read_and_written_alike() {
    let Some(mut peer) = Peer::start("numbers") else {
        return;
    };
    let token = "-?(0|[1-9][0-9]{0,25})([.][0-9]{1,25})?([eE][+-]?[0-9]{1,3})?";
    let near = properties::float().prop_map(|float| format!("{float:e}"));
    let tokens = samples(token, 4000).chain(samples(near, 4000));
    for token in tokens {
        let theirs = peer.ask("canonical", [("text", Value::from(&token))]);
        match parse(token.as_bytes(), &Limits::default()) {
            Ok(value) => assert_eq!(
                theirs.text("canonical").as_bytes(),
                canonical::to_vec(&value)
            ),
            // Python reads infinity, which is refused here on purpose.
            Err(error) => {
                assert_eq!(error.kind, ParseErrorKind::NumberTooLarge);
                assert!(theirs.text("canonical").ends_with("Infinity"), "{token}");
            }
        }
    }
}

#[test]
fn texts_are_accepted_and_refused_alike() {
    let Some(mut peer) = Peer::start("texts") else {
        return;
    };
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"a\"",
        "\"\"",
        "\"",
        "\\",
        "1",
        "-",
        "0",
        ".5",
        "e3",
        "true",
        "null",
        " ",
        "\n",
        "\t",
        "\u{b}",
        "\\u0041",
        "\\ud83d\\ude00",
        "\\x",
        "é",
        "\u{feff}",
        "//",
        "+1",
    ]);
    let text = prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat());
    let nested = "[\\[\\]1, ]{0,12}";
    let mut refused = 0;
    for text in samples(text, 3000).chain(samples(nested, 2000)) {
        let theirs = peer.ask("canonical", [("text", Value::from(&text))]);
        match parse(text.as_bytes(), &Limits::default()) {
            Ok(value) => assert_eq!(
                theirs.text("canonical").as_bytes(),
                canonical::to_vec(&value)
            ),
            Err(error) => {
                refused += 1;
                assert_eq!(theirs.error(), Some("JSONDecodeError"), "{text:?}: {error}");
            }
        }
    }
    assert!((1000..4900).contains(&refused), "{refused}");
}
