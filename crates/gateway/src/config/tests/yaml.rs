//! Tests of the tree.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{MAX_DEPTH, Node, Value, parse};

fn file() -> Arc<str> {
    Arc::from("f")
}

/// The tree in one line; texts in quotes, booleans bare.
fn show(text: &str) -> String {
    let mut out = String::new();
    match parse(text.as_bytes(), &file()) {
        Ok(node) => write(&node, &mut out),
        Err(problems) => {
            for problem in problems {
                let (line, column) = (problem.place.line, problem.place.column);
                write!(out, "{line}:{column} {};", problem.message).unwrap();
            }
        }
    }
    out
}

fn write(node: &Node, out: &mut String) {
    match &node.value {
        Value::Null => out.push('~'),
        Value::Bool(flag, _) => write!(out, "{flag}").unwrap(),
        Value::Text(text) => write!(out, "{text:?}").unwrap(),
        Value::List(items) => {
            out.push('[');
            for item in items {
                write(item, out);
                out.push(' ');
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for entry in entries {
                write!(out, "{}:", entry.key).unwrap();
                write(&entry.value, out);
                out.push(' ');
            }
            out.push('}');
        }
    }
}

#[test]
fn scalars_follow_yaml_1_1() {
    for (text, shown) in [
        ("yes", "true"),
        ("On", "true"),
        ("TRUE", "true"),
        ("no", "false"),
        ("OFF", "false"),
        ("False", "false"),
        ("y", "\"y\""),
        ("tRUE", "\"tRUE\""),
        ("'yes'", "\"yes\""),
        ("\"off\"", "\"off\""),
        ("~", "~"),
        ("null", "~"),
        ("", "~"),
        ("'null'", "\"null\""),
        ("2.50", "\"2.50\""),
        ("1e-06", "\"1e-06\""),
        ("0x1F", "\"0x1F\""),
        ("!!str yes", "\"yes\""),
        ("!!bool yes", "true"),
        ("!!null x", "~"),
        ("! yes", "\"yes\""),
        ("a # comment", "\"a\""),
        ("a#b", "\"a#b\""),
    ] {
        assert_eq!(show(text), shown, "{text}");
    }
}

#[test]
fn a_byte_order_mark_is_nothing_and_other_encodings_are_refused() {
    assert_eq!(show("\u{feff}a: b"), "{a:\"b\" }");
    let utf16: Vec<u8> = "a: b".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(parse(b"a: \xff", &file()).is_err());
    assert!(parse(&utf16, &file()).is_err() || show("a: b") != "{a:\"b\" }");
    assert!(parse(&vec![b' '; 5 << 20], &file()).is_err());
}

#[test]
fn every_duplicate_key_is_named_with_both_lines() {
    let text = "a: 1\nb: 2\na: 3\nc: {d: 1, d: 2}\n";
    assert_eq!(
        show(text),
        "3:1 the same key twice, first on line 1;4:11 the same key twice, first on line 4;"
    );
}

#[test]
fn aliases_and_merge_keys_are_followed() {
    let text = "base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nall: [*b, *b]\n";
    assert_eq!(
        show(text),
        "{base:{x:\"1\" y:\"2\" } use:{x:\"1\" y:\"3\" } all:[{x:\"1\" y:\"2\" } {x:\"1\" y:\"2\" } ] }"
    );
    assert_eq!(
        show("a: &a {x: 1}\nb: &b {x: 2, z: 3}\nc: {<<: [*a, *b]}"),
        "{a:{x:\"1\" } b:{x:\"2\" z:\"3\" } c:{x:\"1\" z:\"3\" } }"
    );
    assert_eq!(
        show("c: {<<: 1}"),
        "1:5 `<<` takes a mapping or a list of mappings;"
    );
}

#[test]
fn aliases_do_not_blow_up() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        let list = below.trim_end_matches(", ");
        writeln!(text, "a{level}: &a{level} [{list}]").unwrap();
    }
    assert!(show(&text).contains("more than 100,000 values"));
    assert!(show("a: &a [*a]").contains("alias"));
    assert!(show("a: *nowhere").contains("not YAML"));
}

#[test]
fn nesting_has_a_limit() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(!show(&deep(MAX_DEPTH)).contains("nested"));
    assert!(show(&deep(MAX_DEPTH + 1)).contains("nested deeper"));
    assert!(parse("[".repeat(200_000).as_bytes(), &file()).is_err());
    assert!(show(&"- ".repeat(50_000)).contains("nested deeper"));
}

#[test]
fn what_means_nothing_here_is_refused() {
    for (text, words) in [
        ("a: 1\n---\nb: 2\n", "second YAML document"),
        ("!!python/object:x {}", "tag"),
        ("!custom a", "tag"),
        ("{[a]: b}", "a key must be a text"),
        ("a: [", "not YAML"),
        ("a: 'b", "not YAML"),
        ("a: b: c", "not YAML"),
        ("@", "not YAML"),
    ] {
        assert!(show(text).contains(words), "{text}: {}", show(text));
    }
}

#[test]
fn places_are_those_of_the_file() {
    let node = parse(b"a:\n  b:\n    - x\n    - y: z\n", &file()).unwrap();
    let list = node.get("a").unwrap().get("b").unwrap();
    let Value::List(items) = &list.value else {
        panic!("a list");
    };
    let at = |node: &Node| (node.place.line, node.place.column);
    assert_eq!(at(&items[0]), (3, 7));
    assert_eq!(at(items[1].get("y").unwrap()), (4, 10));
}
