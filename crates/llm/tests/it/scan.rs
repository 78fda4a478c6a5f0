//! The scanner against tables and against an independent reader.

use bytes::Bytes;
use llm::scan::{Doc, Kind, Limits, Node, ScanError, ScanErrorKind};
use proptest::prelude::*;
use serde_json::Value;

pub(crate) fn parse(text: impl AsRef<[u8]>) -> Result<Doc, ScanError> {
    Doc::parse(Bytes::copy_from_slice(text.as_ref()), &Limits::default())
}

fn kind_of(text: impl AsRef<[u8]>) -> ScanErrorKind {
    parse(text).expect_err("refused").kind
}

#[test]
fn grammar_is_strict() {
    use ScanErrorKind as E;
    let table: &[(&str, E)] = &[
        ("", E::Empty),
        (" \n\t", E::Empty),
        ("nul", E::InvalidValue),
        ("nulll", E::TrailingBytes),
        ("True", E::InvalidValue),
        ("'a'", E::InvalidValue),
        ("// c\n1", E::InvalidValue),
        ("[1,]", E::InvalidValue),
        ("[,1]", E::InvalidValue),
        ("[1 2]", E::ExpectedComma),
        ("[1}", E::ExpectedComma),
        ("{\"a\":1]", E::ExpectedComma),
        ("{\"a\":1,}", E::ExpectedKey),
        ("{a:1}", E::ExpectedKey),
        ("{1:1}", E::ExpectedKey),
        ("{\"a\" 1}", E::ExpectedColon),
        ("{\"a\":}", E::InvalidValue),
        ("{\"a\"", E::UnexpectedEnd),
        ("{\"a\":", E::UnexpectedEnd),
        ("{\"a\":1", E::UnexpectedEnd),
        ("[", E::UnexpectedEnd),
        ("]", E::InvalidValue),
        ("1 1", E::TrailingBytes),
        ("{} x", E::TrailingBytes),
        ("{}\u{a0}", E::TrailingBytes),
        ("\"a", E::UnterminatedString),
        ("\"a\\", E::UnterminatedString),
        ("\"a\\\"", E::UnterminatedString),
        ("\"\n\"", E::ControlCharacter),
        ("\"a\u{0}\"", E::ControlCharacter),
        ("\"\u{1f}\"", E::ControlCharacter),
        ("\"\\x41\"", E::InvalidEscape),
        ("\"\\u12\"", E::InvalidEscape),
        ("\"\\u12g4\"", E::InvalidEscape),
        ("\"\\u+123\"", E::InvalidEscape),
        ("\"\\U0041\"", E::InvalidEscape),
        ("01", E::InvalidNumber),
        ("-", E::InvalidNumber),
        ("-01", E::InvalidNumber),
        ("+1", E::InvalidNumber),
        (".5", E::InvalidNumber),
        ("1.", E::InvalidNumber),
        ("1.e3", E::InvalidNumber),
        ("1e", E::InvalidNumber),
        ("1e+", E::InvalidNumber),
        ("0x10", E::TrailingBytes),
        ("1_000", E::TrailingBytes),
        ("NaN", E::InvalidNumber),
        ("Infinity", E::InvalidNumber),
        ("-Infinity", E::InvalidNumber),
    ];
    for (text, expected) in table {
        assert_eq!(kind_of(text), *expected, "{text:?}");
    }
}

#[test]
fn values_are_read() {
    let doc = parse(r#" {"a":[1,-2,3.5,1e3,true,false,null,"x\n\u00e9\ud83d\ude00\/"],"b":{}} "#);
    let doc = doc.expect("accepted");
    let list: Vec<Node<'_>> = doc.root().get("a").expect("a").items().collect();
    assert_eq!(list[0].as_u64(), Some(1));
    assert_eq!((list[1].as_u64(), list[1].as_i64()), (None, Some(-2)));
    assert_eq!((list[2].as_u64(), list[2].as_f64()), (None, Some(3.5)));
    assert_eq!((list[3].as_u64(), list[3].as_f64()), (None, Some(1000.0)));
    assert_eq!(
        (list[4].as_bool(), list[5].as_bool()),
        (Some(true), Some(false))
    );
    assert!(list[6].is_null());
    assert_eq!(list[7].as_str().as_deref(), Some("x\né😀/"));
    assert_eq!(doc.root().get("b").map(|b| b.kind()), Some(Kind::Object));
    assert_eq!(doc.root().get("c").map(|c| c.kind()), None);
    assert_eq!(doc.path(list[7].id()), "a[7]");
}

#[test]
fn numbers_that_no_integer_type_holds_are_not_integers() {
    for text in ["18446744073709551616", "-1", "1.0", "1e2", "-0.0"] {
        assert_eq!(parse(text).expect(text).root().as_u64(), None, "{text}");
    }
    let largest = parse("18446744073709551615").expect("accepted");
    assert_eq!(largest.root().as_u64(), Some(u64::MAX));
}

#[test]
fn limits_hold() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let limits = Limits {
        max_depth: 4,
        max_bytes: 64,
        max_tokens: 8,
        elide_numbers: false,
    };
    let scan = |text: String| Doc::parse(Bytes::from(text), &limits).map_err(|e| e.kind);
    assert!(scan(deep(4)).is_ok());
    assert_eq!(scan(deep(5)).err(), Some(ScanErrorKind::TooDeep));
    assert_eq!(scan(" ".repeat(65)).err(), Some(ScanErrorKind::TooLarge));
    assert!(scan("[1,2,3,4,5,6,7]".into()).is_ok());
    assert_eq!(
        scan("[1,2,3,4,5,6,7,8]".into()).err(),
        Some(ScanErrorKind::TooManyTokens)
    );
    // A depth bomb costs nothing: no recursion, refused at the limit.
    assert_eq!(kind_of("[".repeat(1_000_000)), ScanErrorKind::TooDeep);
    assert_eq!(kind_of("{\"a\":".repeat(200_000)), ScanErrorKind::TooDeep);
}

#[test]
fn elided_numbers_are_checked_and_not_kept() {
    let limits = Limits {
        elide_numbers: true,
        ..Limits::default()
    };
    let scan = |text: &str| Doc::parse(Bytes::copy_from_slice(text.as_bytes()), &limits);
    let doc = scan(r#"{"v":[0.1,-2e-3,3],"n":5,"e":[],"m":[1,"a",2]}"#).expect("accepted");
    let get = |name: &str| doc.root().get(name).expect(name);
    assert!(get("v").has_elided() && get("v").items().next().is_none());
    assert_eq!(get("n").as_u64(), Some(5));
    assert!(!get("e").has_elided());
    assert!(get("m").has_elided() && get("m").items().count() == 1);
    assert_eq!(
        scan("[1,2.]").map_err(|e| e.kind).err(),
        Some(ScanErrorKind::InvalidNumber)
    );
    assert_eq!(
        scan("[1,1e999]").map_err(|e| e.kind).err(),
        Some(ScanErrorKind::NumberOutOfRange)
    );
}

#[test]
fn errors_say_where() {
    let error = parse("{\n  \"a\": [1, {\"b\": tru}]\n}").expect_err("refused");
    let place = (error.offset, error.line, error.column, error.path.as_str());
    assert_eq!(place, (19, 2, 18, "a[1].b"));
    assert_eq!(
        error.to_string(),
        "expected a value: line 2 column 18 (at a[1].b)"
    );
    let error = parse("{\"a\":[1,x]}").expect_err("refused");
    assert_eq!(error.path, "a[1]");
    let error = parse("{\"m\":[{\"r\":1},{\"r\":1,\"\\u0072\":2}]}").expect_err("refused");
    assert_eq!((error.offset, error.path.as_str()), (21, "m[1].r"));
    let error = parse(b"{\"a\":\"\xff\"}").expect_err("refused");
    assert_eq!(error.offset, 6);
}

#[test]
fn many_keys_cost_no_more_than_sorting() {
    // Keys with long common beginnings, the last two equal after unescaping.
    let mut body = String::from("{");
    for at in 0..50_000 {
        body.push_str(&format!("\"{}{at}\":0,", "k".repeat(30)));
    }
    let closed = format!("{body}\"z\":1}}");
    assert!(parse(&closed).is_ok());
    body.push_str("\"z\":1,\"\\u007a\":2}");
    assert_eq!(kind_of(&body), ScanErrorKind::DuplicateKey);
}

#[test]
fn keys_that_begin_alike_are_told_apart() {
    let keys = [
        "",
        "a",
        "ab",
        "abcdefg",
        "abcdefgh",
        "abcdefghi",
        "abcdefghj",
        "abcdefghij",
        "b",
    ];
    let members: Vec<String> = keys.iter().map(|key| format!("\"{key}\":0")).collect();
    assert!(parse(format!("{{{}}}", members.join(","))).is_ok());
    for key in keys {
        let again = format!("{{{},\"{key}\":1}}", members.join(","));
        assert_eq!(kind_of(&again), ScanErrorKind::DuplicateKey, "{key:?}");
        let pair = format!("{{\"{key}\":1,\"{key}\":1}}");
        assert_eq!(kind_of(&pair), ScanErrorKind::DuplicateKey, "{key:?}");
    }
}

/// Our tape as the independent reader's value, or `None` where the two may differ.
fn value(node: Node<'_>) -> Value {
    match node.kind() {
        Kind::Null => Value::Null,
        Kind::True => Value::Bool(true),
        Kind::False => Value::Bool(false),
        Kind::Number => serde_json::from_slice(node.raw()).expect("a number"),
        Kind::String => Value::String(node.as_str().expect("a string").into_owned()),
        Kind::Array => Value::Array(node.items().map(value).collect()),
        Kind::Object => {
            let members = node.entries();
            let members = members.map(|(k, v)| (k.as_str().expect("key").into_owned(), value(v)));
            Value::Object(members.collect())
        }
    }
}

/// JSON-like text: tokens thrown together, so that many are almost right.
fn almost_json() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just("\"a\":".to_owned()),
        Just("\"b\":".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("\"\\u0061\"".to_owned()),
        Just("\"\\ud83d\\ude00\"".to_owned()),
        "-?[0-9]{1,3}(\\.[0-9]{1,2})?([eE][+-]?[0-9]{1,2})?",
        "\"[ -~é日]{0,40}\"",
        " {0,2}",
    ];
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|half| Value::from(f64::from(half) / 2.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_we_accept_reads_the_same_elsewhere(text in almost_json()) {
        if let Ok(doc) = parse(&text) {
            let theirs: Value = serde_json::from_str(&text).expect("accepted by both");
            prop_assert_eq!(value(doc.root()), theirs);
        }
    }

    /// Duplicates against a set, for any number of keys, plain and escaped.
    #[test]
    fn duplicates_are_those_of_a_set(
        keys in prop::collection::vec(("[ab]{0,4}|abcdefgh[ab]{0,9}", any::<bool>()), 0..24),
        numbered in any::<bool>(),
    ) {
        let mut set = std::collections::BTreeSet::new();
        let mut members = Vec::new();
        for (number, (key, escaped)) in keys.iter().enumerate() {
            let key = match numbered && number % 7 != 0 {
                true => format!("{key}{number}"),
                false => key.clone(),
            };
            let written = match escaped {
                true => key.replacen('a', "\\u0061", 1),
                false => key.clone(),
            };
            members.push(format!("\"{written}\":1"));
            set.insert(key);
        }
        let result = parse(format!("{{{}}}", members.join(",")));
        prop_assert_eq!(result.is_ok(), set.len() == keys.len());
    }

    #[test]
    fn what_is_valid_is_accepted(original in any_json(), pretty in any::<bool>()) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&original),
            false => serde_json::to_string(&original),
        }.expect("rendered");
        let doc = parse(&text).expect("accepted");
        prop_assert_eq!(value(doc.root()), original);
    }

    #[test]
    fn written_strings_read_back(text in any::<String>()) {
        let raw = llm::json::string(&text);
        prop_assert_eq!(serde_json::from_slice::<String>(&raw).expect("valid"), text.clone());
        let doc = parse(&raw).expect("valid");
        prop_assert_eq!(doc.root().as_str().expect("string"), text);
    }

    #[test]
    fn the_fast_way_through_strings_finds_every_special_byte(
        plain in "[a-zé]{0,90}", special in "[\"\\\\\u{1}-\u{1f}]", tail in "[ -~]{0,40}",
    ) {
        let raw = format!("\"{plain}{special}{tail}");
        let result = parse(&raw);
        let at = plain.len() + 1;
        match special.as_str() {
            "\"" if tail.trim().is_empty() => prop_assert!(result.is_ok()),
            "\"" => prop_assert!(result.expect_err("refused").offset > at),
            "\\" => {}
            _ => prop_assert_eq!(result.expect_err("refused").offset, at),
        }
    }
}
