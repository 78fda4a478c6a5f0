//! Who serves which model.

use llm::provider::{PROVIDERS, Provider, Route, Unresolved, resolve};

#[test]
fn names_resolve() {
    let table = [
        ("openai/gpt-4o", None, "openai", "gpt-4o"),
        ("gpt-4o", None, "openai", "gpt-4o"),
        ("o3-mini", None, "openai", "o3-mini"),
        (
            "text-embedding-3-small",
            None,
            "openai",
            "text-embedding-3-small",
        ),
        ("groq/llama-3", None, "groq", "llama-3"),
        (
            "openrouter/anthropic/claude",
            None,
            "openrouter",
            "anthropic/claude",
        ),
        ("hosted_vllm/org/model", None, "hosted_vllm", "org/model"),
        ("org/model", Some("openai"), "openai", "org/model"),
        ("openai/org/model", Some("openai"), "openai", "org/model"),
        (
            "claude-3",
            Some("litellm_proxy"),
            "litellm_proxy",
            "claude-3",
        ),
        (
            "mistral-large-latest",
            None,
            "mistral",
            "mistral-large-latest",
        ),
    ];
    for (model, custom, provider, upstream) in table {
        let resolved = resolve(model, custom).expect(model);
        assert_eq!(
            (resolved.provider.name, resolved.upstream_model.as_str()),
            (provider, upstream)
        );
    }
    let not_built = [
        ("azure/gpt-4-deployment", "azure"),
        ("anthropic/claude-3", "anthropic"),
        ("claude-3-opus", "anthropic"),
        ("gemini/gemini-2.0", "gemini"),
        ("gemini-2.0-flash", "vertex_ai"),
        ("bedrock/anthropic.claude-v2", "bedrock"),
        ("vertex_ai/x", "vertex_ai"),
        ("cohere/command-r", "cohere"),
    ];
    for (model, name) in not_built {
        assert_eq!(
            resolve(model, None),
            Err(Unresolved::NotBuilt(name)),
            "{model}"
        );
    }
    for model in ["llama", "nonsense/llama", "", "/x"] {
        let unknown = Err(Unresolved::Unknown(model.to_owned()));
        assert_eq!(resolve(model, None), unknown, "{model}");
    }
    assert!(matches!(
        resolve("gpt-4o", Some("nonsense")),
        Err(Unresolved::Unknown(_))
    ));
}

#[test]
fn the_table_is_sound() {
    for provider in PROVIDERS {
        let same = PROVIDERS.iter().filter(|other| other.name == provider.name);
        assert_eq!(same.count(), 1, "{}", provider.name);
        if let Some(base) = provider.api_base {
            let own = ["http://localhost:", "http://127.0.0.1:"];
            let local = own.iter().any(|prefix| base.starts_with(prefix));
            assert!(base.starts_with("https://") || local, "{base}");
            assert!(!base.ends_with('/'), "{base}");
        }
        assert!(!provider.key_env.is_empty());
        for member in provider.quirks.dropped {
            assert!(!["messages", "model", "tools", "stream", "input"].contains(member));
        }
    }
}

#[test]
fn urls_join() {
    let openai = Provider::named("openai").expect("known");
    let url = |base: &str| openai.url(base, Route::ChatCompletions);
    assert_eq!(
        url("https://a.example/v1"),
        "https://a.example/v1/chat/completions"
    );
    assert_eq!(
        url("https://a.example/v1/"),
        "https://a.example/v1/chat/completions"
    );
    let whole = "https://a.example/v1/chat/completions";
    assert_eq!(url(whole), whole);
    let ollama = Provider::named("ollama").expect("known");
    for base in ["http://h:11434", "http://h:11434/", "http://h:11434/v1"] {
        assert_eq!(
            ollama.url(base, Route::Embeddings),
            "http://h:11434/v1/embeddings"
        );
    }
}
