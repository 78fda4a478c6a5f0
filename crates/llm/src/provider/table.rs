//! The providers, one entry each.

use super::quirks::{GROQ, MAX_TOKENS, MISTRAL, PLAIN, STRICT, STRICT_MAX_TOKENS};
use super::{KeyRule, Provider, Quirks, StreamUsage};

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
        base_path: "",
        key,
        quirks,
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
        base_path: "",
        key,
        quirks,
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
        base_path: "",
        key,
        quirks,
    }
}

/// Every provider of the OpenAI format.
pub const PROVIDERS: &[Provider] = &[
    hosted(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        &["OPENAI_BASE_URL", "OPENAI_API_BASE"],
        PLAIN,
    ),
    own(
        "custom_openai",
        "OPENAI_API_KEY",
        &["OPENAI_LIKE_API_BASE"],
        PLAIN,
    ),
    own(
        "openai_like",
        "OPENAI_LIKE_API_KEY",
        &["OPENAI_LIKE_API_BASE"],
        PLAIN,
    ),
    own(
        "litellm_proxy",
        "LITELLM_PROXY_API_KEY",
        &["LITELLM_PROXY_API_BASE"],
        PLAIN,
    ),
    own(
        "hosted_vllm",
        "HOSTED_VLLM_API_KEY",
        &["HOSTED_VLLM_API_BASE"],
        PLAIN,
    ),
    own("vllm", "VLLM_API_KEY", &["VLLM_API_BASE"], PLAIN),
    own(
        "xinference",
        "XINFERENCE_API_KEY",
        &["XINFERENCE_API_BASE"],
        MAX_TOKENS,
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
    local(
        "lm_studio",
        "http://localhost:1234/v1",
        "LM_STUDIO_API_KEY",
        &["LM_STUDIO_API_BASE"],
        MAX_TOKENS,
    ),
    local(
        "llamafile",
        "http://127.0.0.1:8080/v1",
        "LLAMAFILE_API_KEY",
        &["LLAMAFILE_API_BASE"],
        MAX_TOKENS,
    ),
    Provider {
        base_path: "/v1",
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
    hosted(
        "together_ai",
        "https://api.together.xyz/v1",
        "TOGETHERAI_API_KEY",
        &["TOGETHER_AI_API_BASE"],
        STRICT_MAX_TOKENS,
    ),
    hosted(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        &["OPENROUTER_API_BASE"],
        PLAIN,
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
    hosted(
        "fireworks_ai",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        &["FIREWORKS_API_BASE"],
        STRICT_MAX_TOKENS,
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
    hosted(
        "deepinfra",
        "https://api.deepinfra.com/v1/openai",
        "DEEPINFRA_API_KEY",
        &["DEEPINFRA_API_BASE"],
        MAX_TOKENS,
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
];
