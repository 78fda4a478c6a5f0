//! Tests of presets.

use crate::config::tests::support::{load_text, noted};
use crate::config::{
    ContentMode, MasterKeyUse, ProviderRetention, check_json, check_text, start_lines,
};

fn preset(name: &str) -> String {
    format!("sealgate:\n  compliance: {name}\n")
}

#[test]
fn each_preset_starts_sets_its_keys_and_says_what_stays_open() {
    for name in ["hipaa", "gdpr", "dpdp", "soc2"] {
        let config =
            load_text(&preset(name)).unwrap_or_else(|rejected| panic!("{name}: {rejected}"));
        let [one] = config.presets.as_slice() else {
            panic!("{name}");
        };
        assert_eq!(one.name, name);
        assert!(one.kept.is_empty());
        assert!(one.open.len() >= 5 && one.set.len() >= 5, "{name}");
        assert_eq!(config.master_key_on_llm_routes, MasterKeyUse::Deny);
        let secrets = config.guardrail(&format!("{name}-secrets")).unwrap();
        assert!(secrets.default_on && secrets.missing.is_empty());
        assert_eq!(config.always_selected_missing().count(), 0);
        // Nothing of a preset is a key without effect.
        let idle = config
            .notes
            .iter()
            .filter(|note| note.place.file.starts_with("preset "))
            .filter(|note| {
                note.state
                    .is_some_and(|state| state != crate::config::KeyState::Honoured)
            });
        assert_eq!(
            idle.map(ToString::to_string).collect::<Vec<_>>(),
            Vec::<String>::new()
        );
        let lines = start_lines(&config).join("\n");
        for part in [" sets sealgate.content_mode = ", " leaves open: "] {
            assert!(lines.contains(&format!("preset {name}{part}")), "{lines}");
        }
        let result = Ok(config);
        assert!(check_text(&result).contains(&format!("{name} leaves open: ")));
        let json: serde_json::Value = serde_json::from_str(&check_json(&result)).unwrap();
        assert_eq!(json["presets"][0]["name"], name);
        assert!(json["presets"][0]["open"].as_array().unwrap().len() >= 5);
    }
}

#[test]
fn what_the_presets_set_is_what_the_guides_ask_for() {
    let days = |config: &crate::config::Config| {
        config
            .content
            .retention
            .as_ref()
            .map(|run| run.keep.as_secs() / 86_400)
    };
    let rules = |config: &crate::config::Config| -> Vec<String> {
        config.rules.iter().map(|rule| rule.name.clone()).collect()
    };
    let gdpr = load_text(&preset("gdpr")).unwrap();
    assert_eq!(
        (gdpr.content_mode, days(&gdpr)),
        (ContentMode::Masked, Some(90))
    );
    assert_eq!(gdpr.provider_retention, ProviderRetention::None);
    assert_eq!(rules(&gdpr), ["gdpr withdrawal", "gdpr transfer"]);
    let dpdp = load_text(&preset("dpdp")).unwrap();
    assert_eq!(
        (dpdp.content_mode, days(&dpdp)),
        (ContentMode::Masked, Some(30))
    );
    assert!(dpdp.consent.registry_required);
    assert_eq!(
        rules(&dpdp),
        [
            "dpdp purpose",
            "dpdp consent",
            "dpdp notice",
            "dpdp residency"
        ]
    );
    let hipaa = load_text(&preset("hipaa")).unwrap();
    assert_eq!(
        (hipaa.content_mode, days(&hipaa)),
        (ContentMode::Hash, None)
    );
    assert_eq!(hipaa.provider_retention, ProviderRetention::None);
    assert_eq!(rules(&hipaa), ["hipaa baa"]);
    let soc2 = load_text(&preset("soc2")).unwrap();
    assert_eq!(
        (soc2.content_mode, days(&soc2)),
        (ContentMode::Masked, Some(90))
    );
    assert!(
        soc2.callbacks
            .iter()
            .any(|callback| callback.name == "prometheus")
    );
}

#[test]
fn what_the_file_says_wins_and_the_conflict_is_said() {
    let text = "general_settings:\n  log_retention_days: 365\nsealgate:\n  compliance: [gdpr]\n  content_mode: encrypted\n\
                \x20 rules:\n  - {name: gdpr transfer, require: 'true'}\n  - {name: mine, require: 'true'}\n\
                guardrails:\n- guardrail_name: gdpr-secrets\n  litellm_params: {guardrail: hide-secrets, mode: pre_call}\n";
    let config = load_text(text).unwrap();
    assert_eq!(config.content_mode, ContentMode::Encrypted);
    assert_eq!(
        config.content.retention.as_ref().unwrap().keep.as_secs(),
        365 * 86_400
    );
    let names: Vec<&str> = config.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["gdpr transfer", "mine", "gdpr withdrawal"]);
    assert_eq!(config.rules[0].require.as_deref(), Some("true"));
    assert!(!config.guardrail("gdpr-secrets").unwrap().default_on);
    let mut kept = config.presets[0].kept.clone();
    kept.sort();
    assert_eq!(
        kept,
        [
            "general_settings.log_retention_days",
            "guardrails.gdpr-secrets",
            "sealgate.content_mode",
            "sealgate.rules.gdpr transfer",
        ]
    );
    for path in &kept {
        assert!(noted(&config, path, "what the file says wins"), "{path}");
    }
    assert!(
        start_lines(&config)
            .iter()
            .any(|line| line.contains("the file says otherwise and wins"))
    );
    // The other name of the same setting is the file's word too; the same value is no conflict.
    let text = "general_settings:\n  maximum_spend_logs_retention_period: 400d\nsealgate: {compliance: gdpr, content_mode: masked}\n";
    let config = load_text(text).unwrap();
    assert_eq!(
        config.content.retention.as_ref().unwrap().keep.as_secs(),
        400 * 86_400
    );
    assert_eq!(
        config.presets[0].kept,
        ["general_settings.log_retention_days"]
    );
}

#[test]
fn of_two_presets_the_one_that_keeps_less_wins() {
    for order in ["[hipaa, gdpr, dpdp, soc2]", "[soc2, dpdp, gdpr, hipaa]"] {
        let config = load_text(&preset(order)).unwrap();
        assert_eq!(config.content_mode, ContentMode::Hash, "{order}");
        assert_eq!(
            config.content.retention.as_ref().unwrap().keep.as_secs(),
            30 * 86_400
        );
        assert_eq!(config.presets.len(), 4);
        assert!(config.presets.iter().all(|preset| preset.kept.is_empty()));
        assert_eq!(config.rules.len(), 7);
    }
    let twice = load_text(&preset("[gdpr, gdpr]")).unwrap();
    assert_eq!(twice.presets.len(), 1);
}

#[test]
fn an_unknown_preset_stops_the_start() {
    for wrong in ["pci", "{gdpr: true}", "GDPR"] {
        assert!(load_text(&preset(wrong)).is_err(), "{wrong}");
    }
    assert!(
        load_text("sealgate: {compliance: ~}\n")
            .unwrap()
            .presets
            .is_empty()
    );
}

#[test]
fn the_digest_knows_the_presets() {
    let digest = |text: &str| load_text(text).unwrap().digest;
    assert_ne!(digest(&preset("gdpr")), digest(""));
    assert_ne!(digest(&preset("gdpr")), digest(&preset("dpdp")));
}
