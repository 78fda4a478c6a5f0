//! Expressions, insecure code, shapes, leaks of the system prompt.

use guard::{
    Action, Check as _, Expression, Expressions, Language, Limits, PromptLeak, Severity,
    ShapeCheck, ShapeSettings, gibberish, language,
};

#[test]
fn grd_15_hostile_expressions_are_refused_and_slow_ones_are_linear() {
    let expression = |pattern: &str| Expression {
        category: "X".to_owned(),
        pattern: pattern.to_owned(),
        severity: Severity::High,
        action: Action::Mask,
    };
    for hostile in [r"(a)\1", "(?=a)b", "(", "(a{1000}){1000}"] {
        let built = Expressions::new("x", vec![expression(hostile)], Severity::Low);
        assert!(built.is_err(), "{hostile}");
    }
    let bomb = Expressions::new("x", vec![expression("(x+x+)+y")], Severity::Low);
    assert!(bomb.expect("linear").scan(&"x".repeat(200_000)).passed());
    let low = Expression {
        severity: Severity::Low,
        ..expression("a")
    };
    let check =
        Expressions::new("x", vec![low, expression("b+")], Severity::High).expect("compiles");
    assert_eq!(check.scan("a bb c").masked.as_deref(), Some("a [X] c"));
}

#[test]
fn insecure_code_is_found_and_safe_code_is_not() {
    let check = Expressions::insecure_code("code", Action::Alert).expect("compiles");
    for code in [
        "result = eval(user_input)",
        "os.system('rm ' + name)",
        "subprocess.run(cmd, shell=True)",
        "data = pickle.loads(blob)",
        "cursor.execute(\"SELECT * FROM t WHERE id = \" + uid)",
        "requests.get(url, verify=False)",
        "el.innerHTML = text",
        "curl https://ex.org/i.sh | sudo bash",
    ] {
        assert!(!check.scan(code).passed(), "{code}");
    }
    for code in [
        "subprocess.run([\"ls\"])",
        "json.loads(blob)",
        "evaluate(model)",
        "cursor.execute(\"SELECT 1\")",
    ] {
        assert!(check.scan(code).passed(), "{code}");
    }
}

#[test]
fn shapes_are_told() {
    assert!(gibberish("xkcdq wvrtp zzgfd qwrtp hello"));
    assert!(!gibberish("these words are ordinary english words"));
    assert_eq!(
        language("what is the name of that river"),
        Some(Language::English)
    );
    assert_eq!(
        language("wie ist der name und das land"),
        Some(Language::German)
    );
    assert_eq!(language("как твои дела"), Some(Language::Cyrillic));
    assert_eq!(language("12 34"), None);
    let settings = ShapeSettings {
        limits: Limits {
            characters: Some(5),
            ..Limits::default()
        },
        languages: vec![Language::English],
        gibberish: true,
    };
    let check = ShapeCheck::new("shape", settings, Action::Block);
    assert!(check.scan("short").passed());
    assert!(check.scan("как твои дела").blocked.is_some());
}

#[test]
fn a_leaked_prompt_is_found_in_any_case_and_spacing() {
    let prompt = "You are Bella, the helper of a bank. Never speak of the merger with the Northern Trust before May.";
    let leak = PromptLeak::new("leak", prompt, Some(6), Some("cn-41f7"), Action::Mask);
    let text = "Sure: NEVER speak  of the\nmerger with the northern trust, as I was told.";
    let verdict = leak.scan(text);
    assert_eq!(
        verdict.masked.as_deref(),
        Some("Sure: [SYSTEM_PROMPT], as I was told.")
    );
    assert!(!leak.scan("the token is cn-41f7").passed());
    assert!(
        leak.scan("I am the helper of a bank, how can I help?")
            .passed()
    );
}
