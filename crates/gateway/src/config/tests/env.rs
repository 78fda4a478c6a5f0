//! Tests of environment values.

use std::collections::BTreeMap;

use super::{MapEnv, Variables, boolean, meaning, parse_file};

#[test]
fn values_are_trimmed_and_comments_are_cut() {
    for (raw, value) in [
        ("plain", Some("plain")),
        ("  padded\t", Some("padded")),
        ("true   # block", Some("true")),
        ("a#b", Some("a#b")),
        ("a\t# b", Some("a")),
        ("é # ü", Some("é")),
        ("# only a comment", None),
        ("   # only a comment", None),
        ("", None),
        ("   ", None),
        ("a b", Some("a b")),
    ] {
        assert_eq!(meaning(raw).as_deref(), value, "{raw:?}");
    }
}

#[test]
fn booleans_are_read_or_refused() {
    for word in ["true", "TRUE", "1", "yes", "On"] {
        assert_eq!(boolean(word), Some(true));
    }
    for word in ["false", "False", "0", "no", "OFF"] {
        assert_eq!(boolean(word), Some(false));
    }
    for word in ["", "2", "y", "truee", "enabled"] {
        assert_eq!(boolean(word), None);
    }
}

#[test]
fn the_section_wins_then_the_environment_then_files() {
    let process = MapEnv(BTreeMap::from([
        ("A".to_owned(), "process".to_owned()),
        ("B".to_owned(), "process".to_owned()),
        ("EMPTY".to_owned(), "  # nothing".to_owned()),
        ("FLAG".to_owned(), "perhaps".to_owned()),
    ]));
    let mut variables = Variables::new(&process);
    variables
        .section
        .insert("A".to_owned(), "section".to_owned());
    for name in ["A", "B", "C", "EMPTY"] {
        variables.files.insert(name.to_owned(), "file".to_owned());
    }
    let get = |name| variables.get(name);
    assert_eq!(get("A").as_deref(), Some("section"));
    assert_eq!(get("B").as_deref(), Some("process"));
    assert_eq!(get("C").as_deref(), Some("file"));
    assert_eq!(get("EMPTY").as_deref(), Some("file"));
    assert_eq!(get("NOWHERE"), None);
    assert!(variables.flag("FLAG").is_err());
    assert_eq!(variables.flag("NOWHERE"), Ok(None));
}

#[test]
fn environment_files_are_read_line_by_line() {
    let text = "# comment\n\nA=1\nexport B = two # comment\nC='a # b'\nD=\"x\\ny\\\"z\"  # c\nE=\nF=a=b\nG='open\n";
    let pairs = parse_file(text).unwrap();
    let expected = [
        ("A", "1"),
        ("B", "two"),
        ("C", "a # b"),
        ("D", "x\ny\"z"),
        ("F", "a=b"),
        ("G", "'open"),
    ];
    assert_eq!(pairs.len(), expected.len());
    for (name, value) in expected {
        assert_eq!(pairs[name], value, "{name}");
    }
    assert_eq!(parse_file("A=1\nnonsense\n"), Err(2));
    assert_eq!(parse_file("=1"), Err(1));
    assert_eq!(parse_file("a b=1"), Err(1));
}
