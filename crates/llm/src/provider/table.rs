//! The providers, one entry each.

use super::quirks::{GROQ, MAX_TOKENS, MISTRAL, PLAIN, STRICT, STRICT_MAX_TOKENS};
use super::route::{ALL, ANTHROPIC, AZURE, CHAT, OLLAMA, OPENAI, OPENROUTER, TEXT, VLLM};
use super::{Auth, KeyRule, Provider, Quirks, Route, StreamUsage, Wire};

/// What the entries below start from: OpenAI's format with a bearer key.
const BASE: Provider = Provider {
    name: "",
    api_base: None,
    key_env: "",
    other_key_env: &[],
    base_env: &[],
    base_path: "",
    key: KeyRule::Required,
    wire: Wire::OpenAi,
    auth: Auth::Bearer,
    headers: &[],
    native: CHAT,
    quirks: PLAIN,
};

/// The entry with other native routes.
const fn serving(native: &'static [Route], provider: Provider) -> Provider {
    Provider { native, ..provider }
}

/// A hosted provider.
const fn hosted(
    name: &'static str,
    api_base: &'static str,
    key_env: &'static str,
    base_env: &'static [&'static str],
    quirks: Quirks,
) -> Provider {
    let api_base = Some(api_base);
    let key = KeyRule::Required;
    Provider {
        name,
        api_base,
        key_env,
        base_env,
        key,
        quirks,
        ..BASE
    }
}

/// A server that the operator runs: no public address.
const fn own(
    name: &'static str,
    key_env: &'static str,
    base_env: &'static [&'static str],
    quirks: Quirks,
) -> Provider {
    let key = KeyRule::Optional;
    Provider {
        name,
        api_base: None,
        key_env,
        base_env,
        key,
        quirks,
        ..BASE
    }
}

/// A server on this machine with a customary port.
const fn local(
    name: &'static str,
    api_base: &'static str,
    key_env: &'static str,
    base_env: &'static [&'static str],
    quirks: Quirks,
) -> Provider {
    let api_base = Some(api_base);
    let key = KeyRule::Optional;
    Provider {
        name,
        api_base,
        key_env,
        base_env,
        key,
        quirks,
        ..BASE
    }
}

/// Every provider.
pub const PROVIDERS: &[Provider] = &[
    serving(
        OPENAI,
        hosted(
            "openai",
            "https://api.openai.com/v1",
            "OPENAI_API_KEY",
            &["OPENAI_BASE_URL", "OPENAI_API_BASE"],
            PLAIN,
        ),
    ),
    serving(
        TEXT,
        own(
            "custom_openai",
            "OPENAI_API_KEY",
            &["OPENAI_LIKE_API_BASE"],
            PLAIN,
        ),
    ),
    serving(
        TEXT,
        own(
            "openai_like",
            "OPENAI_LIKE_API_KEY",
            &["OPENAI_LIKE_API_BASE"],
            PLAIN,
        ),
    ),
    serving(
        ALL,
        own(
            "litellm_proxy",
            "LITELLM_PROXY_API_KEY",
            &["LITELLM_PROXY_API_BASE"],
            PLAIN,
        ),
    ),
    serving(
        VLLM,
        own(
            "hosted_vllm",
            "HOSTED_VLLM_API_KEY",
            &["HOSTED_VLLM_API_BASE"],
            PLAIN,
        ),
    ),
    serving(VLLM, own("vllm", "VLLM_API_KEY", &["VLLM_API_BASE"], PLAIN)),
    serving(
        TEXT,
        own(
            "xinference",
            "XINFERENCE_API_KEY",
            &["XINFERENCE_API_BASE"],
            MAX_TOKENS,
        ),
    ),
    own(
        "infinity",
        "INFINITY_API_KEY",
        &["INFINITY_API_BASE"],
        PLAIN,
    ),
    own(
        "databricks",
        "DATABRICKS_API_KEY",
        &["DATABRICKS_API_BASE"],
        STRICT_MAX_TOKENS,
    ),
    serving(
        TEXT,
        local(
            "lm_studio",
            "http://localhost:1234/v1",
            "LM_STUDIO_API_KEY",
            &["LM_STUDIO_API_BASE"],
            MAX_TOKENS,
        ),
    ),
    serving(
        TEXT,
        local(
            "llamafile",
            "http://127.0.0.1:8080/v1",
            "LLAMAFILE_API_KEY",
            &["LLAMAFILE_API_BASE"],
            MAX_TOKENS,
        ),
    ),
    Provider {
        base_path: "/v1",
        native: OLLAMA,
        ..local(
            "ollama",
            "http://localhost:11434/v1",
            "OLLAMA_API_KEY",
            &["OLLAMA_API_BASE"],
            MAX_TOKENS,
        )
    },
    Provider {
        base_path: "/v1",
        native: OLLAMA,
        ..local(
            "ollama_chat",
            "http://localhost:11434/v1",
            "OLLAMA_API_KEY",
            &["OLLAMA_API_BASE"],
            MAX_TOKENS,
        )
    },
    hosted(
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        &["GROQ_API_BASE"],
        GROQ,
    ),
    hosted(
        "deepseek",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        &["DEEPSEEK_API_BASE"],
        MAX_TOKENS,
    ),
    hosted(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        &["MISTRAL_API_BASE"],
        MISTRAL,
    ),
    hosted(
        "codestral",
        "https://codestral.mistral.ai/v1",
        "CODESTRAL_API_KEY",
        &[],
        MISTRAL,
    ),
    hosted(
        "xai",
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        &["XAI_API_BASE"],
        STRICT,
    ),
    serving(
        TEXT,
        hosted(
            "together_ai",
            "https://api.together.xyz/v1",
            "TOGETHERAI_API_KEY",
            &["TOGETHER_AI_API_BASE"],
            STRICT_MAX_TOKENS,
        ),
    ),
    serving(
        OPENROUTER,
        hosted(
            "openrouter",
            "https://openrouter.ai/api/v1",
            "OPENROUTER_API_KEY",
            &["OPENROUTER_API_BASE"],
            PLAIN,
        ),
    ),
    hosted(
        "perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITYAI_API_KEY",
        &["PERPLEXITY_API_BASE"],
        Quirks {
            stream_usage: StreamUsage::Always,
            ..STRICT_MAX_TOKENS
        },
    ),
    serving(
        TEXT,
        hosted(
            "fireworks_ai",
            "https://api.fireworks.ai/inference/v1",
            "FIREWORKS_API_KEY",
            &["FIREWORKS_API_BASE"],
            STRICT_MAX_TOKENS,
        ),
    ),
    hosted(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        &["CEREBRAS_API_BASE"],
        STRICT,
    ),
    hosted(
        "sambanova",
        "https://api.sambanova.ai/v1",
        "SAMBANOVA_API_KEY",
        &["SAMBANOVA_API_BASE"],
        STRICT_MAX_TOKENS,
    ),
    serving(
        TEXT,
        hosted(
            "deepinfra",
            "https://api.deepinfra.com/v1/openai",
            "DEEPINFRA_API_KEY",
            &["DEEPINFRA_API_BASE"],
            MAX_TOKENS,
        ),
    ),
    hosted(
        "nvidia_nim",
        "https://integrate.api.nvidia.com/v1",
        "NVIDIA_NIM_API_KEY",
        &["NVIDIA_NIM_API_BASE"],
        STRICT_MAX_TOKENS,
    ),
    hosted(
        "github",
        "https://models.github.ai/inference",
        "GITHUB_API_KEY",
        &["GITHUB_API_BASE"],
        STRICT,
    ),
    hosted(
        "moonshot",
        "https://api.moonshot.ai/v1",
        "MOONSHOT_API_KEY",
        &["MOONSHOT_API_BASE"],
        STRICT_MAX_TOKENS,
    ),
    hosted(
        "dashscope",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        &["DASHSCOPE_API_BASE"],
        STRICT_MAX_TOKENS,
    ),
    hosted(
        "volcengine",
        "https://ark.cn-beijing.volces.com/api/v3",
        "VOLCENGINE_API_KEY",
        &["VOLCENGINE_API_BASE"],
        STRICT_MAX_TOKENS,
    ),
    hosted(
        "friendliai",
        "https://api.friendli.ai/serverless/v1",
        "FRIENDLI_TOKEN",
        &["FRIENDLI_API_BASE"],
        MAX_TOKENS,
    ),
    hosted(
        "voyage",
        "https://api.voyageai.com/v1",
        "VOYAGE_API_KEY",
        &["VOYAGE_API_BASE"],
        Quirks {
            dropped: &["user"],
            renamed: &[("dimensions", "output_dimension")],
            ..PLAIN
        },
    ),
    hosted(
        "jina_ai",
        "https://api.jina.ai/v1",
        "JINA_AI_API_KEY",
        &["JINA_AI_API_BASE"],
        PLAIN,
    ),
    hosted(
        "huggingface",
        "https://router.huggingface.co/v1",
        "HUGGINGFACE_API_KEY",
        &["HF_API_BASE"],
        STRICT_MAX_TOKENS,
    ),
    hosted(
        "ai21",
        "https://api.ai21.com/studio/v1",
        "AI21_API_KEY",
        &["AI21_API_BASE"],
        STRICT_MAX_TOKENS,
    ),
    hosted(
        "hyperbolic",
        "https://api.hyperbolic.xyz/v1",
        "HYPERBOLIC_API_KEY",
        &["HYPERBOLIC_API_BASE"],
        MAX_TOKENS,
    ),
    hosted(
        "novita",
        "https://api.novita.ai/v3/openai",
        "NOVITA_API_KEY",
        &["NOVITA_API_BASE"],
        MAX_TOKENS,
    ),
    hosted(
        "nebius",
        "https://api.studio.nebius.ai/v1",
        "NEBIUS_API_KEY",
        &["NEBIUS_API_BASE"],
        MAX_TOKENS,
    ),
    hosted(
        "meta_llama",
        "https://api.llama.com/compat/v1",
        "LLAMA_API_KEY",
        &["LLAMA_API_BASE"],
        STRICT,
    ),
    Provider {
        name: "anthropic",
        api_base: Some("https://api.anthropic.com"),
        key_env: "ANTHROPIC_API_KEY",
        base_env: &["ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"],
        wire: Wire::Anthropic,
        auth: Auth::XApiKey,
        headers: &[("anthropic-version", "2023-06-01")],
        native: ANTHROPIC,
        ..BASE
    },
    Provider {
        name: "azure",
        key_env: "AZURE_API_KEY",
        other_key_env: &["AZURE_OPENAI_API_KEY"],
        base_env: &["AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"],
        auth: Auth::ApiKey,
        native: AZURE,
        ..BASE
    },
    Provider {
        name: "gemini",
        api_base: Some("https://generativelanguage.googleapis.com/v1beta"),
        key_env: "GEMINI_API_KEY",
        other_key_env: &["GOOGLE_API_KEY"],
        base_env: &["GEMINI_API_BASE"],
        base_path: "/v1beta",
        wire: Wire::Gemini,
        auth: Auth::XGoogApiKey,
        native: &[Route::Models],
        ..BASE
    },
];
