//! Blocked words over whole texts. Attack family GRD.

use guard::{Action, BlockedWords, BuildError, Check, Form, Reach, Verdict, Word};

pub(crate) fn words(list: &[(&str, Action)]) -> BlockedWords {
    let word = |(keyword, action): &(&str, Action)| Word {
        keyword: (*keyword).to_owned(),
        action: *action,
        description: None,
    };
    BlockedWords::new("words", list.iter().map(word).collect(), None).expect("compiles")
}

fn masked(check: &BlockedWords, text: &str) -> Option<String> {
    let verdict = check.scan(text);
    assert_eq!(verdict.blocked, None, "{text}");
    verdict.masked
}

use Action::{Block, Mask};

#[test]
fn grd_01_a_word_is_found_anywhere_in_any_case() {
    let check = words(&[("TopSecret", Block)]);
    for text in [
        "topsecret",
        "TOPSECRET",
        "a topSecret b",
        "xxtopsecretxx",
        "é topsecret é",
    ] {
        let verdict = check.scan(text);
        let found = verdict.blocked.expect(text);
        assert_eq!(text[found.start..found.end].to_lowercase(), "topsecret");
        assert_eq!((found.rule, found.action, verdict.masked), (0, Block, None));
    }
    for text in ["", "top secret", "topsecre", "opsecret", "top\nsecret"] {
        assert_eq!(check.scan(text), Verdict::default(), "{text}");
    }
}

#[test]
fn masking_leaves_the_rest_alone() {
    let check = words(&[("secret", Mask), ("пароль", Mask)]);
    assert_eq!(
        masked(&check, "a SECRET, a secretary"),
        Some("a [KEYWORD_REDACTED], a [KEYWORD_REDACTED]ary".to_owned())
    );
    assert_eq!(
        masked(&check, "мой ПАРОЛЬ é"),
        Some("мой [KEYWORD_REDACTED] é".to_owned())
    );
    assert_eq!(masked(&check, "nothing here é"), None);
    let word = Word {
        keyword: "x".into(),
        action: Mask,
        description: Some("d".into()),
    };
    let check = BlockedWords::new("w", vec![word], Some("")).expect("compiles");
    assert_eq!(masked(&check, "axbx"), Some("ab".to_owned()));
    let rule = check.rule(0).expect("a rule");
    assert_eq!(
        (rule.pattern, rule.description, rule.action),
        ("x", Some("d"), Mask)
    );
    assert_eq!((check.rule(1), check.name()), (None, "w"));
}

#[test]
fn overlaps_are_decided() {
    const TAG: &str = guard::DEFAULT_TAG;
    // Matches that share characters become one tag, those that touch one each.
    let check = words(&[("abc", Mask), ("bcd", Mask), ("b", Mask)]);
    assert_eq!(masked(&check, "xabcdx"), Some(format!("x{TAG}x")));
    assert_eq!(masked(&check, "abcabc"), Some(format!("{TAG}{TAG}")));
    assert_eq!(masked(&check, "bb"), Some(format!("{TAG}{TAG}")));
    let runs = words(&[("aa", Mask)]);
    assert_eq!(masked(&runs, "baaaaaab"), Some(format!("b{TAG}b")));
    // A long match that starts before others have ended takes them in.
    let nested = words(&[("b", Mask), ("d", Mask), ("abcde", Mask)]);
    assert_eq!(masked(&nested, "abcde"), Some(TAG.to_owned()));
    assert_eq!(masked(&nested, "abcdx"), Some(format!("a{TAG}c{TAG}x")));
    // Blocking wins, also over a longer mask and when listed later.
    for list in [
        [("secret", Mask), ("ecre", Block)],
        [("ecre", Block), ("secret", Mask)],
    ] {
        let verdict = words(&list).scan("a secret");
        assert_eq!(
            verdict.blocked.map(|f| (f.start, f.end, f.action)),
            Some((3, 7, Block))
        );
        assert_eq!(verdict.masked, None);
    }
    let same = words(&[("x", Mask), ("X", Block), ("x", Block)]);
    assert_eq!(same.scan("x").blocked.map(|finding| finding.rule), Some(1));
}

#[test]
fn findings_never_hold_text() {
    let verdict = words(&[("hunter2", Mask)]).scan("my hunter2 is Hunter2");
    assert!(
        !format!("{:?}", verdict.findings)
            .to_lowercase()
            .contains("hunter2")
    );
    let places: Vec<_> = verdict.findings.iter().map(|f| (f.start, f.end)).collect();
    assert_eq!(places, [(3, 10), (14, 21)]);
}

#[test]
fn grd_07_disguises_are_seen_through() {
    let check = words(&[("secret", Block)]);
    let disguises = [
        "s\u{200B}e\u{200C}c\u{200D}r\u{2060}e\u{FEFF}t",
        "se\u{AD}cret",
        "\u{202E}secret\u{202C}",
        "s\u{E0065}cret",
        "\u{E0073}\u{E0065}\u{E0063}\u{E0072}\u{E0065}\u{E0074}",
        "ｓｅｃｒｅｔ",
        "ＳＥＣＲＥＴ",
        "\u{17F}ecret",
        "secre\u{FE0F}t",
    ];
    for text in disguises {
        assert!(check.scan(text).blocked.is_some(), "{text:?}");
    }
    // What stays is what came: only the match is replaced, marks included.
    let check = words(&[("secret", Mask)]);
    let text = "\u{200B}a s\u{AD}ecret\u{200B} é";
    assert_eq!(
        masked(&check, text).as_deref(),
        Some("\u{200B}a [KEYWORD_REDACTED]\u{200B} é")
    );
}

#[test]
fn grd_07_a_flood_of_invisible_characters_counts_as_a_match() {
    let flood = "\u{200B}".repeat(10_000);
    let text = format!("to{flood}psecret");
    let block = words(&[("topsecret", Block)]);
    let found = block.scan(&text).blocked.expect("blocked");
    let Reach::Window(window) = block.reach() else {
        panic!("a window");
    };
    assert_eq!(found.start, 0);
    assert!(found.end <= window + 4, "{found:?}");
    let mask = words(&[("topsecret", Mask)]);
    assert!(
        masked(&mask, &text)
            .expect("masked")
            .starts_with(guard::DEFAULT_TAG)
    );
    for cut in [0, 1, 2, 5, 250, 290, 296, 298, 299, 300, 301, 30_000] {
        assert_eq!(
            guard::fuzz::window(&block, Form::Plain, &text, &[cut, cut + 3]),
            Ok(())
        );
        assert_eq!(
            guard::fuzz::window(&mask, Form::Plain, &text, &[cut, cut + 3]),
            Ok(())
        );
    }
    // A flood without a candidate before it is nobody's match.
    assert!(block.scan(&format!("x{flood}x")).passed());
}

#[test]
fn grd_13_tags_that_would_break_json_are_refused() {
    for tag in ["a\"b", "a\\b", "a\nb", "\u{0}"] {
        assert_eq!(
            BlockedWords::new("w", vec![], Some(tag)).err(),
            Some(BuildError::UnsafeTag)
        );
    }
}

#[test]
fn grd_09_escapes_of_json_text_are_read() {
    let check = words(&[("пароль", Mask), ("rm -rf", Block)]);
    let json = |text: &str| check.scan_as(Form::JsonText, text);
    // What a client writes that escapes everything beyond ASCII.
    let escaped = "{\"q\": \"x\\u043f\\u0410\\u0440\\u043e\\u043b\\u044c\\n\"}";
    let masked = "{\"q\": \"x[KEYWORD_REDACTED]\\n\"}";
    assert_eq!(json(escaped).masked.as_deref(), Some(masked));
    assert!(check.scan(escaped).passed());
    let found = json("{\"c\":\"rm\\u0020-\\u0072f /\"}")
        .blocked
        .expect("blocked");
    assert_eq!((found.start, found.end), (6, 22));
    // What is no escape stands for itself; two backslashes are one.
    for text in [
        "rm \\\\u002drf",
        "rm \\u002",
        "rm \\x2drf",
        "\\ud83d rm",
        "\\",
    ] {
        assert_eq!(json(text), Verdict::default(), "{text}");
    }
    assert!(json("\\ud83drm -rf").blocked.is_some());
    assert!(json("rm -r\\u0066").blocked.is_some());
}

#[test]
fn lists_that_cannot_work_are_refused() {
    let build = |keyword: &str| {
        let word = |keyword: &str| Word {
            keyword: keyword.to_owned(),
            action: Mask,
            description: None,
        };
        BlockedWords::new("w", vec![word("fine"), word(keyword)], None).err()
    };
    for keyword in ["", "  ", "\u{200B}"] {
        assert_eq!(
            build(keyword),
            Some(BuildError::EmptyKeyword(1)),
            "{keyword:?}"
        );
    }
    assert_eq!(
        build(&"x".repeat(1025)),
        Some(BuildError::KeywordTooLong(1))
    );
    assert_eq!(build(&"é".repeat(1024)), None);
    assert!(words(&[]).scan("anything").passed());
}

#[test]
fn grd_15_time_is_linear_in_the_text() {
    // Many long patterns that share beginnings, and a text of almost-matches.
    let list: Vec<String> = (0..500)
        .map(|n| format!("{}{n}b", "a".repeat(200)))
        .collect();
    let list: Vec<(&str, Action)> = list.iter().map(|word| (word.as_str(), Block)).collect();
    let check = words(&list);
    let text = "é".to_owned() + &"a".repeat(1 << 20);
    assert!(check.scan(&text).passed());
    // Findings are at most one for each character.
    let list: Vec<String> = (1..200).map(|n| "a".repeat(n)).collect();
    let list: Vec<(&str, Action)> = list.iter().map(|word| (word.as_str(), Mask)).collect();
    let verdict = words(&list).scan(&"a".repeat(10_000));
    assert_eq!(verdict.findings.len(), 10_000);
    assert_eq!(verdict.masked.as_deref(), Some(guard::DEFAULT_TAG));
}
