//! Tests of the checklist.

use super::{Verdict, checklist, checklist_text};
use crate::config::tests::support::{environment, load_in, load_text};

fn verdict(text: &str, name: &str) -> (Verdict, String) {
    let config = load_text(text).unwrap();
    let points = checklist(&config);
    let point = points.into_iter().find(|point| point.name == name).unwrap();
    (point.verdict, point.detail)
}

#[test]
fn there_are_twenty_points_in_five_groups() {
    let config = load_text("model_list:\n").unwrap();
    let points = checklist(&config);
    let count = |group| points.iter().filter(|point| point.group == group).count();
    for group in [
        "authentication",
        "network",
        "data",
        "compliance",
        "monitoring",
    ] {
        assert_eq!(count(group), 4, "{group}");
    }
    let text = checklist_text(&config);
    for line in [
        "pass           strong master key",
        "warn           retention",
        "not applicable",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let tail = text.lines().last().unwrap();
    let numbers: usize = tail
        .split(' ')
        .filter_map(|word| word.parse::<usize>().ok())
        .sum();
    assert_eq!(numbers, 20);
}

#[test]
fn what_the_configuration_says_decides() {
    use Verdict::{NotApplicable, Pass, Warn};
    let tls = "sealgate:\n  tls:\n    cert_file: c.pem\n    key_file: k.pem\n";
    let words = "guardrails:\n  - guardrail_name: words\n    litellm_params:\n      guardrail: litellm_content_filter\n      mode: pre_call\n      default_on: true\n      blocked_words:\n        - keyword: x\n          action: BLOCK\n";
    let literal = "model_list:\n  - model_name: a\n    litellm_params:\n      model: openai/a\n      api_key: sk-literal-canary-123\n";
    for (text, name, expected) in [
        ("", "virtual keys with limits", Warn),
        (
            "sealgate:\n  master_key_on_llm_routes: deny\n",
            "virtual keys with limits",
            Pass,
        ),
        (tls, "TLS", Pass),
        ("", "TLS", Pass),
        ("", "database encryption", Pass),
        (
            "sealgate:\n  content_mode: hash\n",
            "database encryption",
            NotApplicable,
        ),
        (
            "sealgate:\n  content_mode: full\n",
            "database encryption",
            Warn,
        ),
        ("", "checks of content", Warn),
        (words, "checks of content", Pass),
        ("", "secrets outside of the file", Pass),
        (literal, "secrets outside of the file", Warn),
    ] {
        let text = match text {
            "" => "model_list:\n",
            text => text,
        };
        let (found, detail) = verdict(text, name);
        assert_eq!(found, expected, "{name}: {detail}\n{text}");
        assert!(!detail.contains("canary"), "{detail}");
    }
    let open = load_in("model_list:\n", &environment(&[("HOST", "0.0.0.0")])).unwrap();
    let points = checklist(&open);
    let of = |name| {
        points
            .iter()
            .find(|point| point.name == name)
            .unwrap()
            .verdict
    };
    assert_eq!((of("TLS"), of("firewall rules")), (Warn, NotApplicable));
}

#[test]
fn tls_is_named_by_the_file_or_as_litellm_does() {
    use crate::config::tests::support::load_files;
    use crate::config::{Overrides, TlsFiles};
    let own =
        "sealgate:\n  tls:\n    cert_file: own.pem\n    key_file: /k/own.key\n    http2: false\n";
    let empty = "model_list:\n";
    let pair = [
        ("SSL_CERTFILE_PATH", "/e/c.pem"),
        ("SSL_KEYFILE_PATH", "/e/k.pem"),
    ];
    let flags = Overrides {
        ssl_certfile: Some("/f/c.pem".into()),
        ssl_keyfile: Some("/f/k.pem".into()),
        ..Overrides::default()
    };
    let files = |certificate: &str, key: &str, http2| {
        Some(TlsFiles {
            certificate: certificate.into(),
            key: key.into(),
            http2,
        })
    };
    let none = Overrides::default();
    for (text, overrides, variables, expected) in [
        (empty, &none, &[][..], None),
        (empty, &none, &pair[..], files("/e/c.pem", "/e/k.pem", true)),
        (
            empty,
            &flags,
            &pair[..],
            files("/f/c.pem", "/f/k.pem", true),
        ),
        (
            own,
            &flags,
            &pair[..],
            files("own.pem", "/k/own.key", false),
        ),
    ] {
        let config = load_files(&[("config.yaml", text)], overrides, &environment(variables));
        assert_eq!(config.unwrap().tls, expected);
    }
    let off_this_machine = [("HOST", "0.0.0.0")];
    let config = load_in(own, &environment(&off_this_machine)).unwrap();
    assert!(!config.notes.iter().any(|note| note.path == "host"));
    for half in [
        "sealgate:\n  tls:\n    cert_file: own.pem\n",
        "sealgate:\n  tls:\n    key_file: own.key\n",
        "sealgate:\n  tls:\n    cert: own.pem\n",
    ] {
        assert!(load_text(half).is_err(), "{half}");
    }
}
