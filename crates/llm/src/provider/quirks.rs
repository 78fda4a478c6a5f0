//! Differences between the providers' bodies, by family.

use super::{Quirks, StreamUsage};

/// OpenAI as documented.
pub(super) const PLAIN: Quirks = Quirks {
    dropped: &[],
    renamed: &[],
    stream_usage: StreamUsage::OnRequest,
};

/// Servers that know only the older name of the output limit.
pub(super) const MAX_TOKENS: Quirks = Quirks {
    renamed: &[("max_completion_tokens", "max_tokens")],
    ..PLAIN
};

/// Members of OpenAI's own platform that other servers refuse.
const PLATFORM: &[&str] = &[
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];

/// Refuses members it does not know, and `stream_options`.
pub(super) const MISTRAL: Quirks = Quirks {
    dropped: &[
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "user",
        "logit_bias",
        "logprobs",
        "top_logprobs",
    ],
    renamed: &[
        ("max_completion_tokens", "max_tokens"),
        ("seed", "random_seed"),
    ],
    stream_usage: StreamUsage::Always,
};

/// Servers that refuse members of OpenAI's platform.
pub(super) const STRICT: Quirks = Quirks {
    dropped: PLATFORM,
    ..PLAIN
};

/// Both.
pub(super) const STRICT_MAX_TOKENS: Quirks = Quirks {
    dropped: PLATFORM,
    ..MAX_TOKENS
};

/// Strict, but with service tiers of its own.
pub(super) const GROQ: Quirks = Quirks {
    dropped: &[
        "store",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "logprobs",
        "top_logprobs",
        "logit_bias",
    ],
    ..PLAIN
};
