//! Whatever the file holds, loading ends with an answer.

use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};

use super::support::{environment, load_text};
use crate::config::{MapFiles, Overrides, check_json, check_text, load_with};

/// Bytes that look a little like YAML.
fn yaml_like() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "model_list",
        "litellm_params",
        "general_settings",
        "sealgate",
        "limits",
        "guardrails",
        "model",
        "api_base",
        "include",
        "environment_variables",
        "os.environ/HOME",
        "<<",
        "*a",
        "&a",
        "!!str",
        "!x",
        "yes",
        "~",
        "1e999999999",
        "-1",
        "0x1f",
        "''",
        "\"\\u12\"",
        "https://[::1]:99999/..",
        "|",
        ">",
        "? a",
        "---",
        "...",
        "%YAML 1.1",
    ]);
    let word = prop_oneof![known.prop_map(str::to_owned), "[ -~]{0,6}"];
    let joint = prop::sample::select(vec![
        ": ", ":\n  ", "\n- ", ", ", " [", "] ", " {", "} ", "\n", "\n    ", " # ", "\t", "\r\n",
        "\u{feff}",
    ]);
    prop::collection::vec((word, joint), 0..40).prop_map(|parts| {
        parts
            .into_iter()
            .map(|(word, joint)| format!("{word}{joint}"))
            .collect()
    })
}

proptest! {
    #[test]
    fn any_bytes_end_with_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        struct One(Vec<u8>);
        impl crate::config::Files for One {
            fn read(&self, path: &std::path::Path) -> std::io::Result<Vec<u8>> {
                if path.ends_with("config.yaml") { return Ok(self.0.clone()); }
                MapFiles::default().read(path)
            }
        }
        let path = std::path::Path::new("config.yaml");
        let result = load_with(path, &Overrides::default(), &environment(&[]), &One(bytes));
        let _ = check_text(&result);
        let _ = check_json(&result);
    }

    #[test]
    fn anything_like_yaml_ends_with_an_answer(text in yaml_like()) {
        let result = load_text(&text);
        let _ = check_text(&result);
        let json = check_json(&result);
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
    }

    #[test]
    fn a_broken_good_file_ends_with_an_answer(at in 0usize..4_000, byte in any::<char>()) {
        let mut text: Vec<char> =
            include_str!("../../../tests/fixtures/config/whole.yaml").chars().collect();
        let at = at % text.len();
        text[at] = byte;
        let text: String = text.into_iter().collect();
        let _ = check_text(&load_text(&text));
    }
}
