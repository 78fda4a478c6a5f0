//! The configuration of the demo's gateway: what a user would write, with the sandbox in the provider's place.

use std::path::Path;

use super::calls::{BLOCKED_WORD, FAILING_GROUP, FAILING_MODEL, MASK, MASKED_WORD};

/// Environment variables that the configuration refers to.
pub(super) const MASTER_KEY: &str = "SEALGATE_DEMO_MASTER_KEY";
pub(super) const PROVIDER_KEY: &str = "SEALGATE_DEMO_PROVIDER_KEY";

/// Model groups, each with the sandbox's model behind it.
const MODELS: [(&str, &str); 7] = [
    ("echo", "echo"),
    ("story", "story"),
    ("drip", "drip"),
    ("fail-500", "fail-500"),
    ("hang", "hang"),
    ("embed", "embed"),
    (FAILING_GROUP, FAILING_MODEL),
];

/// The text of `config.yaml`.
pub(super) fn yaml(provider: &str, data_dir: &Path) -> String {
    let mut out = String::from("model_list:\n");
    for (group, model) in MODELS {
        out.push_str(&format!(
            "  - model_name: {group}\n    litellm_params:\n      model: openai/{model}\n      api_base: {provider}\n      \
             api_key: os.environ/{PROVIDER_KEY}\n      input_cost_per_token: 0.0000025\n      output_cost_per_token: 0.00001\n    \
             model_info:\n      id: {group}\n"
        ));
    }
    out.push_str(&format!(
        "router_settings:\n  num_retries: 0\n  fallbacks:\n    - {FAILING_GROUP}: [echo]\n"
    ));
    out.push_str(&format!(
        "guardrails:\n  - guardrail_name: house-words\n    litellm_params:\n      guardrail: litellm_content_filter\n      \
         mode: [pre_call, post_call]\n      default_on: true\n      blocked_words:\n        \
         - {{ keyword: {BLOCKED_WORD}, action: BLOCK }}\n        - {{ keyword: {MASKED_WORD}, action: MASK }}\n      \
         keyword_redaction_tag: \"{MASK}\"\n"
    ));
    out.push_str(super::guard::YAML);
    out.push_str(&format!(
        "general_settings:\n  master_key: os.environ/{MASTER_KEY}\n"
    ));
    // A JSON string is a YAML string, whatever the path holds.
    let directory = serde_json::Value::from(data_dir.to_string_lossy());
    out.push_str(&format!(
        "sealgate:\n  data_dir: {directory}\n  domain: demo\n"
    ));
    out
}
