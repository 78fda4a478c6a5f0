//! Tests of typed reading.

use std::sync::Arc;
use std::time::Duration;

use super::{Section, join};
use crate::config::problems::Report;
use crate::config::yaml::parse;

/// Reads one key of a mapping; gives the value or the problem's text.
fn read<T>(value: &str, get: impl Fn(&Section<'_>, &mut Report) -> T) -> (T, Vec<String>) {
    let text = format!("key: {value}\n");
    let node = parse(text.as_bytes(), &Arc::from("f")).unwrap();
    let mut report = Report::default();
    let section = Section::of(Some(&node), "s".to_owned(), &node.place, &mut report);
    let value = get(&section, &mut report);
    let said = report.problems.iter().map(ToString::to_string).collect();
    (value, said)
}

#[test]
fn flags() {
    let flag = |text: &str| read(text, |section, report| section.flag("key", report));
    for (text, value) in [
        ("yes", true),
        ("'true'", true),
        ("\"0\"", false),
        ("off", false),
        ("1", true),
    ] {
        assert_eq!(flag(text), (Some(value), vec![]), "{text}");
    }
    assert_eq!(flag("~"), (None, vec![]));
    for text in ["perhaps", "[]", "{}", "2"] {
        let (value, said) = flag(text);
        assert_eq!((value, said.len()), (None, 1), "{text}");
        assert!(
            said[0].starts_with("f:1:6: s.key: expected true or false"),
            "{said:?}"
        );
    }
}

#[test]
fn whole_numbers() {
    let whole = |text: &str| read(text, |section, report| section.whole("key", 1, report));
    for (text, value) in [("1", 1), ("1_000", 1_000), ("'42'", 42), (" 7 ", 7)] {
        assert_eq!(whole(text), (Some(value), vec![]), "{text}");
    }
    for text in [
        "0",
        "-1",
        "1.5",
        "many",
        "yes",
        "[1]",
        "18446744073709551616",
        "0x10",
    ] {
        let (value, said) = whole(text);
        assert_eq!((value, said.len()), (None, 1), "{text}");
    }
    let (value, said) = read("4294967296", |s, report| s.count("key", 0, report));
    assert_eq!((value, said.len()), (None, 1));
}

#[test]
fn times() {
    let seconds = |text: &str| read(text, |section, report| section.seconds("key", report)).0;
    assert_eq!(seconds("600"), Some(Duration::from_secs(600)));
    assert_eq!(seconds("0.5"), Some(Duration::from_millis(500)));
    assert_eq!(seconds("'30'"), Some(Duration::from_secs(30)));
    for text in ["0", "-1", "1e300", "NaN", "inf", "soon", "604801", "yes"] {
        assert_eq!(seconds(text), None, "{text}");
    }
}

#[test]
fn texts_and_choices() {
    let text = |value: &str| read(value, |s, report| s.text("key", report).map(str::to_owned));
    assert_eq!(text("word").0.as_deref(), Some("word"));
    assert_eq!(text("12").0.as_deref(), Some("12"));
    assert!(text("yes").1[0].contains("write it in quotes"));
    assert!(text("{}").1[0].contains("expected a text, found a mapping"));
    let words = [("on", 1), ("half", 2)];
    let choice = |value: &str| read(value, |s, report| s.choice("key", &words, report));
    assert_eq!(choice("on").0, Some(1));
    assert_eq!(choice("HALF").0, Some(2));
    assert_eq!(choice("~").0, None);
    assert!(choice("full").1[0].contains("one of on, half"));
}

#[test]
fn lists() {
    let texts = |value: &str| {
        read(value, |s, report| {
            s.texts("key", report)
                .into_iter()
                .map(|(t, _)| t.to_owned())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(texts("one").0, ["one"]);
    assert_eq!(texts("[one, two, ~]").0, ["one", "two"]);
    assert_eq!(texts("[one, {}]").1.len(), 1);
    assert!(texts("~").0.is_empty());
    let list = |value: &str| read(value, |s, report| s.list("key", report).len());
    assert_eq!(list("[1, 2]").0, 2);
    assert_eq!(list("x").1.len(), 1);
}

#[test]
fn a_key_that_could_be_a_value_is_not_shown() {
    assert_eq!(join("a", "b_c"), "a.b_c");
    assert_eq!(join("", "openai/*"), "openai/*");
    for key in ["sk-abc", "a:b", "x=y", &"k".repeat(65)] {
        assert_eq!(join("a", key), "a.<key>");
    }
}
