//! Canonical JSON: numbers, strings, order, depth, and what is refused.

use capsule::canonical;
use capsule::json::{Duplicates, Limits, MAX_DEPTH, ParseErrorKind, Value, parse};

fn canonical(text: &str) -> String {
    String::from_utf8(canonical::to_vec(&crate::read(text))).unwrap()
}

fn refused(text: &[u8]) -> ParseErrorKind {
    parse(text, &Limits::default()).unwrap_err().kind
}

#[test]
fn numbers_are_written_as_python_writes_them() {
    let unchanged = [
        "0",
        "1",
        "-1",
        "9007199254740993",
        "0.30000000000000004",
        "123456789012345678901234567890",
        "-170141183460469231731687303715884105729",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "1234567890123456.0",
        "-0.0",
        "5e-324",
        "1.7976931348623157e+308",
        "2.2250738585072014e-308",
        "0.0001",
        "1e-05",
        "9.999999999999999e-05",
        "9999999999999998.0",
        "1e+16",
        "1.5e-07",
        "1e+22",
        "1e+23",
        "1e+100",
        "-1.5e-100",
    ];
    for token in unchanged {
        assert_eq!(canonical(token), token);
    }
    for (token, expected) in [
        ("-0", "0"),
        ("1e0", "1.0"),
        ("3.0e0", "3.0"),
        ("1E5", "100000.0"),
        ("1e15", "1000000000000000.0"),
        ("1.10", "1.1"),
        ("1e16", "1e+16"),
        ("12345678901234567.0", "1.2345678901234568e+16"),
        ("100000000000000000000.0", "1e+20"),
        ("1e-4", "0.0001"),
        ("0.00001", "1e-05"),
        ("1.5e-7", "1.5e-07"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("1e-400", "0.0"),
        ("-1e-400", "-0.0"),
        ("123456789012345.6", "123456789012345.6"),
        ("1234.5e3", "1234500.0"),
        ("0.1e1", "1.0"),
        ("999999999999999.0", "999999999999999.0"),
        ("-999999999999999e0", "-999999999999999.0"),
        ("1000000000000001e0", "1000000000000001.0"),
        // Half-way between two shortest forms: the even one.
        ("1888555564804979.25", "1888555564804979.2"),
        ("1888555564804979.75", "1888555564804979.8"),
        ("-1125899906842624.25", "-1125899906842624.2"),
        ("9007199254740992.5e0", "9007199254740992.0"),
        ("5e-324", "5e-324"),
        ("9.5367431640625e-7", "9.5367431640625e-07"),
    ] {
        assert_eq!(canonical(token), expected, "{token}");
    }
}

#[test]
fn integers_of_any_length_stay_as_they_are() {
    let digits = "7".repeat(100_000);
    assert_eq!(canonical(&digits), digits);
    assert_eq!(canonical(&format!("-{digits}")), format!("-{digits}"));
}

#[test]
fn strings_escape_only_what_must_be() {
    let all: String = (0..0x20).map(|code| format!("\\u{code:04X}")).collect();
    let expected = "\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\
                    \\u000f\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\
                    \\u001b\\u001c\\u001d\\u001e\\u001f";
    assert_eq!(canonical(&format!("\"{all}\"")), format!("\"{expected}\""));
    for (text, expected) in [
        (r#""\"\\\/""#, r#""\"\\/""#),
        (r#""<>&\u007f""#, "\"<>&\u{7f}\""),
        (r#""\u2028\u2029\ufeff""#, "\"\u{2028}\u{2029}\u{feff}\""),
        (r#""\ud83d\ude00""#, "\"😀\""),
        (r#""e\u0301 \u00e9""#, "\"e\u{301} é\""),
        (r#""\ud7ff\ue000\uffff""#, "\"\u{d7ff}\u{e000}\u{ffff}\""),
        (
            r#""plain text of more than sixteen bytes\u0000""#,
            r#""plain text of more than sixteen bytes\u0000""#,
        ),
    ] {
        assert_eq!(canonical(text), expected);
    }
}

#[test]
fn escapes_are_found_at_every_offset() {
    for length in 0..40 {
        for special in ['"', '\\', '\n', '\0', '\u{1f}'] {
            for tail in 0..10 {
                let text: String = "é".repeat(length / 2)
                    + &"x".repeat(length % 2)
                    + &special.to_string()
                    + &"\u{20}".repeat(tail);
                let mut out = Vec::new();
                canonical::write_string(&text, &mut out);
                assert_eq!(
                    crate::read(std::str::from_utf8(&out).unwrap()),
                    Value::from(text)
                );
            }
        }
    }
}

#[test]
fn keys_are_ordered_by_code_point() {
    let keys = [
        "b", "a", "B", "10", "2", "", "_", "é", "z", "\u{fffd}", "😀", "\u{e000}", "aa", "a.b",
        "a b",
    ];
    let object: capsule::json::Object = keys.into_iter().map(|key| (key, 0)).collect();
    assert_eq!(
        object.keys().collect::<Vec<_>>(),
        [
            "", "10", "2", "B", "_", "a", "a b", "a.b", "aa", "b", "z", "é", "\u{e000}",
            "\u{fffd}", "😀"
        ]
    );
}

#[test]
fn duplicate_keys_by_choice() {
    let text = r#" {"a": 1, "b": { "x": 1, "y": 2, "x": 3}, "a": 2}"#;
    assert_eq!(canonical(text), r#"{"a":2,"b":{"x":3,"y":2}}"#);
    let limits = Limits {
        duplicates: Duplicates::Reject,
        ..Limits::default()
    };
    let error = parse(text.as_bytes(), &limits).unwrap_err();
    assert_eq!(error.kind, ParseErrorKind::DuplicateKey("x".into()));
    assert_eq!(error.offset, text.find("{ \"x\"").unwrap());
    assert!(parse(br#"{"b":1,"a":2}"#, &limits).is_ok());
}

#[test]
fn depth_is_bounded_in_parsing() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(canonical(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
    assert_eq!(
        refused(nested(MAX_DEPTH + 1).as_bytes()),
        ParseErrorKind::TooDeep(MAX_DEPTH)
    );
    let objects = "{\"a\":".repeat(MAX_DEPTH + 1);
    assert_eq!(
        refused(objects.as_bytes()),
        ParseErrorKind::TooDeep(MAX_DEPTH)
    );
    // Far beyond: refused without using the stack.
    assert_eq!(
        refused("[".repeat(10_000_000).as_bytes()),
        ParseErrorKind::TooDeep(MAX_DEPTH)
    );
    let shallow = Limits {
        max_depth: 2,
        ..Limits::default()
    };
    assert!(parse(b"[[1],[2,{}]]", &shallow).is_err());
    assert!(parse(b"[[1],[2]]", &shallow).is_ok());
    let beyond = Limits {
        max_depth: usize::MAX,
        ..Limits::default()
    };
    assert!(parse(nested(MAX_DEPTH + 1).as_bytes(), &beyond).is_err());
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    use ParseErrorKind as Kind;
    for (text, kind) in [
        (&b""[..], Kind::UnexpectedEnd),
        (b" ", Kind::UnexpectedEnd),
        (b"[1", Kind::UnexpectedEnd),
        (b"{\"a\":", Kind::UnexpectedEnd),
        (b"\"abc", Kind::UnexpectedEnd),
        (b"\"\\u12", Kind::UnexpectedEnd),
        (b"[1,]", Kind::Unexpected("a value")),
        (b"{,}", Kind::Unexpected("a key in double quotes")),
        (b"{\"a\":1,}", Kind::Unexpected("a key in double quotes")),
        (b"{\"a\" 1}", Kind::Unexpected("':'")),
        (b"[1 2]", Kind::Unexpected("',' or ']'")),
        (b"nul", Kind::Unexpected("null, true or false")),
        (b"1 2", Kind::TrailingText),
        (b"01", Kind::Number),
        (b"-", Kind::Number),
        (b"1.", Kind::Number),
        (b"1e", Kind::Number),
        (b"1e+", Kind::Number),
        (b"+1", Kind::Unexpected("a value")),
        (b".5", Kind::Unexpected("a value")),
        (b"NaN", Kind::NotFinite),
        (b"[Infinity]", Kind::NotFinite),
        (b"{\"a\":-Infinity}", Kind::NotFinite),
        (b"1e309", Kind::NumberTooLarge),
        (b"-1e999999999999", Kind::NumberTooLarge),
        (b"\"\t\"", Kind::ControlCharacter),
        (b"\"\\x\"", Kind::Escape),
        (b"\"\\u12g4\"", Kind::Escape),
        (b"\"\\u+123\"", Kind::Escape),
        (b"\"\\ud800\"", Kind::LoneSurrogate),
        (b"\"\\udc00\"", Kind::LoneSurrogate),
        (b"\"\\ud800\\u0041\"", Kind::LoneSurrogate),
        (b"\"\\ud800\\ud800\"", Kind::LoneSurrogate),
        (b"\xEF\xBB\xBF1", Kind::ByteOrderMark),
        (b"\"\xFF\"", Kind::Utf8),
        (b"\"\xED\xA0\x80\"", Kind::Utf8),
        (b"\"\xC0\x80\"", Kind::Utf8),
        (b"'a'", Kind::Unexpected("a value")),
        (b"[1]//", Kind::TrailingText),
        (b"\x0B1", Kind::Unexpected("a value")),
    ] {
        assert_eq!(refused(text), kind, "{}", String::from_utf8_lossy(text));
    }
    let error = parse(
        "{\n  \"é\": 1,\n  \"é\": tru\n}".as_bytes(),
        &Limits::default(),
    )
    .unwrap_err();
    assert_eq!((error.offset, error.line, error.column), (21, 3, 8));
    assert_eq!(
        error.to_string(),
        "unexpected character; expected null, true or false at line 3 column 8"
    );
}

#[test]
fn values_convert_without_changing_their_kind() {
    assert_eq!(Value::from(u64::MAX), crate::read("18446744073709551615"));
    assert_eq!(
        Value::from(i128::MIN),
        crate::read("-170141183460469231731687303715884105728")
    );
    assert_eq!(crate::read("18446744073709551615").as_u64(), Some(u64::MAX));
    assert_eq!(crate::read("-1").as_u64(), None);
    assert_eq!(crate::read("1.0").as_i64(), None);
    assert_ne!(crate::read("1.0"), crate::read("1"));
    assert_eq!(Value::from(None::<&str>), Value::Null);
    assert_eq!(Value::from(vec!["a"]), crate::read("[\"a\"]"));
}

#[test]
fn the_deepest_values_fit_a_small_stack() {
    let deep = || {
        let text = "[{\"a\":".repeat(MAX_DEPTH / 2) + "1" + &"}]".repeat(MAX_DEPTH / 2);
        let value = crate::read(&text);
        assert_eq!(canonical::to_vec(&value), text.as_bytes());
        assert_eq!(value.clone(), value);
        let mut document = crate::known_document(0);
        crate::set(
            &mut document,
            "domain",
            Some(value.get("x").cloned().unwrap_or(value)),
        );
        let error = capsule::verify::Record::from_row(
            &canonical::to_vec(&document),
            capsule::verify::Seal::default(),
        );
        assert!(error.is_err(), "one level too deep");
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(deep).unwrap().join().unwrap();
}
