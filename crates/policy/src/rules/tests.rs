//! Rules decide as they are written, cost little, and refuse when they cannot be evaluated.

use super::*;

fn rule(name: &str, when: &str, require: &str, deny: &str) -> Result<Rule, RuleError> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Rule::compile(&Source {
        name: name.to_owned(),
        when: some(when),
        require: some(require),
        deny: some(deny),
    })
}

fn decide(rules: &[(&str, &str, &str, &str)], facts: &Facts) -> Decision {
    let rules = rules
        .iter()
        .map(|(name, when, require, deny)| rule(name, when, require, deny).unwrap());
    Rules::new(rules.collect()).decide(facts)
}

fn refused(rule: &str, failed: bool) -> Decision {
    Decision::Refused {
        rule: Arc::from(rule),
        failed,
    }
}

fn call() -> Facts {
    Facts {
        consent: vec![
            ("analytics".to_owned(), true),
            ("storage".to_owned(), false),
        ],
        consent_age_days: 10,
        purpose: "support".to_owned(),
        allowed_purposes: vec!["support".to_owned(), "billing".to_owned()],
        region: "eu-west-1".to_owned(),
        baa: true,
        hour: 14,
        weekday: 3,
        data: vec!["EMAIL_ADDRESS".to_owned()],
        tools: vec!["search".to_owned()],
        agent: "billing-bot".to_owned(),
        ..Facts::default()
    }
}

#[test]
fn the_rules_of_the_guides() {
    let rules = [
        (
            "consent",
            "",
            "has(consent.analytics) && consent.analytics && consent_age_days <= 365",
            "",
        ),
        ("purpose", "", "purpose in allowed_purposes", ""),
        ("residency", "", "region.startsWith('eu-')", ""),
        (
            "health data",
            "data.exists(kind, kind.startsWith('US_'))",
            "baa",
            "",
        ),
        ("office hours", "", "", "hour < 6 || hour >= 22"),
        (
            "tools",
            "agent == 'billing-bot'",
            "tools.all(tool, tool in ['search', 'invoice'])",
            "",
        ),
    ];
    let applied: Vec<Arc<str>> = ["consent", "purpose", "residency", "office hours", "tools"]
        .map(Arc::from)
        .to_vec();
    assert_eq!(decide(&rules, &call()), Decision::Allowed(applied));
    for (name, facts) in [
        (
            "consent",
            Facts {
                consent_age_days: 400,
                ..call()
            },
        ),
        (
            "consent",
            Facts {
                consent: vec![("analytics".to_owned(), false)],
                ..call()
            },
        ),
        (
            "consent",
            Facts {
                consent: Vec::new(),
                ..call()
            },
        ),
        (
            "purpose",
            Facts {
                purpose: "marketing".to_owned(),
                ..call()
            },
        ),
        (
            "purpose",
            Facts {
                purpose: String::new(),
                ..call()
            },
        ),
        (
            "residency",
            Facts {
                region: String::new(),
                ..call()
            },
        ),
        (
            "health data",
            Facts {
                data: vec!["US_SSN".to_owned()],
                baa: false,
                ..call()
            },
        ),
        ("office hours", Facts { hour: 23, ..call() }),
        (
            "tools",
            Facts {
                tools: vec!["shell".to_owned()],
                ..call()
            },
        ),
    ] {
        assert_eq!(decide(&rules, &facts), refused(name, false), "{facts:?}");
    }
}

#[test]
fn what_cannot_be_evaluated_refuses() {
    for expression in [
        "consent.newsletter",
        "purpose",
        "hour",
        "1 / (hour - hour) == 1",
        "purpose > 3",
        "tools[7] == 'x'",
        "metadata['nothing'] == 'x'",
    ] {
        assert_eq!(
            decide(&[("r", "", expression, "")], &call()),
            refused("r", true),
            "{expression}"
        );
        assert_eq!(
            decide(&[("r", "", "", expression)], &call()),
            refused("r", true),
            "{expression}"
        );
        // A condition that cannot be evaluated does not make the rule disappear.
        assert_eq!(
            decide(&[("r", expression, "true", "")], &call()),
            refused("r", true),
            "{expression}"
        );
    }
    let large = Facts {
        purpose: "x".repeat(5_000),
        ..call()
    };
    assert_eq!(decide(&[("r", "", "true", "")], &large), refused("r", true));
    let many = Facts {
        tools: vec!["t".to_owned(); 5_000],
        ..call()
    };
    assert_eq!(decide(&[("r", "", "true", "")], &many), refused("r", true));
}

#[test]
fn a_rule_that_could_be_costly_is_not_taken() {
    let deep = format!("{}true{}", "(".repeat(3_000), ")".repeat(1_000));
    let long = format!("hour == 1{}", " || hour == 1".repeat(290));
    for (expression, why) in [
        ("tools.all(a, tools.all(b, a == b))", "loop within a loop"),
        (deep.as_str(), "nested"),
        (long.as_str(), "too many"),
        ("hours < 3", "there is no fact"),
        ("hour <", "not a CEL"),
        ("", "either require or deny"),
    ] {
        let error = rule("r", "", expression, "").unwrap_err();
        assert!(error.reason.contains(why), "{why}: {error}");
    }
    assert!(rule("r", "", &"a".repeat(5_000), "").is_err());
    assert!(rule("r", "", "true", "false").is_err());
}

#[test]
fn without_rules_everything_is_allowed() {
    assert_eq!(
        Rules::default().decide(&call()),
        Decision::Allowed(Vec::new())
    );
}
