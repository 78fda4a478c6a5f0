//! Edits: only what is named changes.

use crate::scan::{any_json, parse};
use llm::edit::{EditError, Edits};
use llm::fuzz::strings;
use llm::scan::Doc;
use proptest::prelude::*;
use serde_json::{Map, Value};

fn apply(doc: &Doc, edits: &Edits) -> String {
    let bytes = edits.apply(doc).expect("applied");
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn no_edit_is_the_same_buffer() {
    let doc = parse(r#" {"a" : 1 } "#).expect("valid");
    let out = Edits::new().apply(&doc).expect("applied");
    assert_eq!(out.as_ptr(), doc.bytes().as_ptr());
}

#[test]
fn members_come_and_go_with_the_right_commas() {
    let removed: &[(&str, &[&str], &str)] = &[
        (r#"{"a":1,"b":2,"c":3}"#, &["a"], r#"{"b":2,"c":3}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &["b"], r#"{"a":1,"c":3}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &["c"], r#"{"a":1,"b":2}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &["a", "b"], r#"{"c":3}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &["b", "c"], r#"{"a":1}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &["a", "c"], r#"{"b":2}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &["a", "b", "c"], r#"{}"#),
        (r#"{ "a" : 1 , "b" : 2 }"#, &["a"], r#"{ "b" : 2 }"#),
        (r#"{ "a" : 1 , "b" : 2 }"#, &["b"], r#"{ "a" : 1 }"#),
        (r#"{"a":1}"#, &["x"], r#"{"a":1}"#),
        (r#"{"\u0061":1,"b":2}"#, &["a"], r#"{"b":2}"#),
    ];
    for (before, keys, after) in removed {
        let doc = parse(before).expect("valid");
        let mut edits = Edits::new();
        for key in *keys {
            edits.remove_member(doc.root(), key).expect("an object");
        }
        assert_eq!(apply(&doc, &edits), *after, "{before} without {keys:?}");
    }
    type Set<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let set: &[Set<'_>] = &[
        (r#"{}"#, &[("a", "1")], r#"{"a":1}"#),
        (r#"{ }"#, &[("a", "1"), ("b", "2")], r#"{"a":1,"b":2 }"#),
        (r#"{"a":1}"#, &[("a", "2")], r#"{"a":2}"#),
        (r#"{"a":1}"#, &[("b", "2"), ("b", "3")], r#"{"a":1,"b":3}"#),
        (
            r#"{"a":{"x":[1]} }"#,
            &[("b", "2")],
            r#"{"a":{"x":[1]},"b":2 }"#,
        ),
    ];
    for (before, members, after) in set {
        let doc = parse(before).expect("valid");
        let mut edits = Edits::new();
        for (key, raw) in *members {
            edits.set_member(doc.root(), key, *raw).expect("an object");
        }
        assert_eq!(apply(&doc, &edits), *after, "{before} with {members:?}");
    }
}

#[test]
fn removed_and_set_again_is_set() {
    let doc = parse(r#"{"a":1,"b":2}"#).expect("valid");
    let mut edits = Edits::new();
    edits.remove_member(doc.root(), "b").expect("an object");
    edits.set_member(doc.root(), "b", "3").expect("an object");
    assert_eq!(apply(&doc, &edits), r#"{"a":1,"b":3}"#);
    edits.remove_member(doc.root(), "b").expect("an object");
    assert_eq!(apply(&doc, &edits), r#"{"a":1}"#);
    edits.remove_member(doc.root(), "a").expect("an object");
    edits.set_member(doc.root(), "c", "4").expect("an object");
    assert_eq!(apply(&doc, &edits), r#"{"c":4}"#);
}

#[test]
fn outer_edits_swallow_inner_ones_and_later_win() {
    let doc = parse(r#"{"a":{"b":"x","c":"y"},"d":"z"}"#).expect("valid");
    let a = doc.root().get("a").expect("a");
    let mut edits = Edits::new();
    edits
        .replace_text(a.get("b").expect("b"), "1")
        .expect("a string");
    edits.set_member(a, "e", "5").expect("an object");
    edits
        .replace_text(doc.root().get("d").expect("d"), "2")
        .expect("a string");
    edits
        .replace_text(doc.root().get("d").expect("d"), "3")
        .expect("a string");
    assert_eq!(
        apply(&doc, &edits),
        r#"{"a":{"b":"1","c":"y","e":5},"d":"3"}"#
    );
    let mut removed = edits.clone();
    removed.remove_member(doc.root(), "a").expect("an object");
    assert_eq!(apply(&doc, &removed), r#"{"d":"3"}"#);
    edits.replace_raw(a, "null");
    assert_eq!(apply(&doc, &edits), r#"{"a":null,"d":"3"}"#);
}

#[test]
fn only_what_fits_can_be_edited() {
    let doc = parse(r#"{"a":[1]}"#).expect("valid");
    let a = doc.root().get("a").expect("a");
    let mut edits = Edits::new();
    assert_eq!(edits.replace_text(a, "x"), Err(EditError::NotAString));
    assert_eq!(edits.set_member(a, "x", "1"), Err(EditError::NotAnObject));
    assert_eq!(edits.remove_member(a, "x"), Err(EditError::NotAnObject));
    assert!(edits.is_empty());
    // Edits of one document do not fit into a shorter one.
    edits.replace_raw(a, "2");
    assert_eq!(
        edits.apply(&parse("1").expect("valid")),
        Err(EditError::OutOfRange)
    );
}

fn any_object() -> impl Strategy<Value = Map<String, Value>> {
    let keys = prop_oneof!["[a-f]", any::<String>()];
    prop::collection::btree_map(keys, any_json(), 0..8).prop_map(|m| m.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Member edits against a model: a plain map.
    #[test]
    fn member_edits_do_what_a_map_does(
        object in any_object(),
        pretty in any::<bool>(),
        ops in prop::collection::vec(("[a-h]", prop::option::of(any_json())), 0..10),
    ) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&object),
            false => serde_json::to_string(&object),
        }.expect("rendered");
        let doc = parse(&text).expect("valid");
        let mut edits = Edits::new();
        let mut model = object;
        for (key, value) in ops {
            match value {
                Some(value) => {
                    let raw = serde_json::to_vec(&value).expect("rendered");
                    edits.set_member(doc.root(), &key, raw).expect("an object");
                    model.insert(key, value);
                }
                None => {
                    edits.remove_member(doc.root(), &key).expect("an object");
                    model.remove(&key);
                }
            }
        }
        let out = edits.apply(&doc).expect("applied");
        parse(&out).expect("still strict JSON");
        let after: Map<String, Value> = serde_json::from_slice(&out).expect("valid");
        prop_assert_eq!(after, model);
    }

    /// Replaced strings: the result re-scans, and all other bytes are the same.
    #[test]
    fn replaced_strings_leave_the_rest_alone(
        original in any_json(),
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<String>()), 1..5),
    ) {
        let text = serde_json::to_string(&original).expect("rendered");
        let doc = parse(&text).expect("valid");
        let mut nodes = Vec::new();
        strings(doc.root(), &mut nodes);
        prop_assume!(!nodes.is_empty());
        let mut edits = Edits::new();
        let mut wanted = std::collections::BTreeMap::new();
        for (pick, with) in &picks {
            let node = nodes[pick.index(nodes.len())];
            edits.replace_text(node, with).expect("a string");
            wanted.insert(node.span().start, (node.span().end, with.clone()));
        }
        let mut expected = Vec::new();
        let mut at = 0;
        for (start, (end, with)) in wanted {
            expected.extend_from_slice(&text.as_bytes()[at..start]);
            expected.extend_from_slice(&llm::json::string(&with));
            at = end;
        }
        expected.extend_from_slice(&text.as_bytes()[at..]);
        prop_assert_eq!(edits.apply(&doc).expect("applied"), expected);
    }
}
