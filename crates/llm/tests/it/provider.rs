//! Who serves which model.

use llm::provider::{
    Credential, EndpointError, PROVIDERS, Place, Provider, Route, Unresolved, Wire, resolve,
};

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
        ("azure/gpt-4-deployment", None, "azure", "gpt-4-deployment"),
        ("anthropic/claude-3", None, "anthropic", "claude-3"),
        ("claude-3-opus", None, "anthropic", "claude-3-opus"),
        ("gemini/gemini-2.0", None, "gemini", "gemini-2.0"),
    ];
    for (model, custom, provider, upstream) in table {
        let resolved = resolve(model, custom).expect(model);
        assert_eq!(
            (resolved.provider.name, resolved.upstream_model.as_str()),
            (provider, upstream)
        );
    }
    let not_built = [
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

fn place<'a>(api_base: &'a str, model: &'a str, route: Route) -> Place<'a> {
    Place {
        api_base,
        api_version: None,
        model,
        route,
        stream: false,
    }
}

fn endpoint(name: &str, place: &Place<'_>) -> Result<String, EndpointError> {
    Provider::named(name).expect("known").endpoint(place)
}

#[test]
fn azure_has_two_forms() {
    let base = "https://res.openai.azure.com/";
    let version = "?api-version=2024-06-01";
    let table = [
        (
            base,
            Some("2024-06-01"),
            Route::ChatCompletions,
            "/openai/deployments/dep/chat/completions?api-version=2024-06-01",
        ),
        (
            base,
            None,
            Route::Embeddings,
            "/openai/deployments/dep/embeddings?api-version=2025-02-01-preview",
        ),
        (
            base,
            Some("2025-04-01-preview"),
            Route::Responses,
            "/openai/responses?api-version=2025-04-01-preview",
        ),
        // Too old for responses: the undated form has them.
        (
            base,
            Some("2024-06-01"),
            Route::Responses,
            "/openai/v1/responses",
        ),
        (
            base,
            Some("v1"),
            Route::ChatCompletions,
            "/openai/v1/chat/completions",
        ),
        (
            base,
            Some("preview"),
            Route::Responses,
            "/openai/v1/responses?api-version=preview",
        ),
        (
            "https://res.openai.azure.com/openai/v1/",
            None,
            Route::ChatCompletions,
            "/openai/v1/chat/completions",
        ),
        (
            "https://res.openai.azure.com/openai/v1",
            Some("2024-06-01"),
            Route::Responses,
            "/openai/v1/responses",
        ),
        (
            "https://res.openai.azure.com/openai/deployments/other",
            Some("2024-06-01"),
            Route::ChatCompletions,
            "/openai/deployments/other/chat/completions?api-version=2024-06-01",
        ),
    ];
    for (api_base, api_version, route, path) in table {
        let at = Place {
            api_version,
            ..place(api_base, "dep", route)
        };
        let url = endpoint("azure", &at).expect("a URL");
        assert_eq!(url, format!("https://res.openai.azure.com{path}"));
    }
    let whole = format!("https://h.example/openai/deployments/d/chat/completions{version}");
    let at = place(&whole, "dep", Route::ChatCompletions);
    assert_eq!(endpoint("azure", &at).as_deref(), Ok(whole.as_str()));
    let at = place(base, "dep", Route::Moderations);
    assert_eq!(endpoint("azure", &at), Err(EndpointError::Route));
}

#[test]
fn a_model_name_stays_one_segment() {
    for (name, base) in [
        ("azure", "https://h.example"),
        ("gemini", "https://h.example/v1beta"),
    ] {
        for evil in ["..", ".", ""] {
            let at = place(base, evil, Route::ChatCompletions);
            assert_eq!(
                endpoint(name, &at),
                Err(EndpointError::Model),
                "{name} {evil}"
            );
        }
        for evil in [
            "a/../../b",
            "a?x=1",
            "a#b",
            "a%2fb",
            "a b",
            "a:delete",
            "\u{fc}",
        ] {
            let url = endpoint(name, &place(base, evil, Route::ChatCompletions)).expect("escaped");
            assert!(!url.contains(evil), "{url}");
            let slashes = |text: &str| text.matches('/').count();
            let plain = endpoint(name, &place(base, "m", Route::ChatCompletions)).expect("plain");
            assert_eq!(slashes(&url), slashes(&plain), "{url}");
        }
    }
}

#[test]
fn anthropic_and_gemini_have_their_own_paths() {
    for base in [
        "https://api.anthropic.com",
        "https://api.anthropic.com/v1/",
        "https://api.anthropic.com/v1/messages",
    ] {
        let url = |route| endpoint("anthropic", &place(base, "m", route));
        assert_eq!(
            url(Route::Messages).as_deref(),
            Ok("https://api.anthropic.com/v1/messages")
        );
        assert_eq!(
            url(Route::CountTokens).as_deref(),
            Ok("https://api.anthropic.com/v1/messages/count_tokens")
        );
        assert_eq!(url(Route::Responses), Err(EndpointError::Route));
    }
    for base in ["https://g.example", "https://g.example/v1beta"] {
        let plain = place(base, "models/gemini-x", Route::ChatCompletions);
        let stream = Place {
            stream: true,
            ..plain
        };
        assert_eq!(
            endpoint("gemini", &plain).as_deref(),
            Ok("https://g.example/v1beta/models/gemini-x:generateContent")
        );
        assert_eq!(
            endpoint("gemini", &stream).as_deref(),
            Ok("https://g.example/v1beta/models/gemini-x:streamGenerateContent?alt=sse")
        );
    }
}

#[test]
fn keys_travel_in_headers() {
    let table = [
        ("openai", Credential::Key, "authorization", "Bearer "),
        ("litellm_proxy", Credential::Key, "authorization", "Bearer "),
        ("azure", Credential::Key, "api-key", ""),
        ("azure", Credential::Token, "authorization", "Bearer "),
        ("anthropic", Credential::Key, "x-api-key", ""),
        ("gemini", Credential::Key, "x-goog-api-key", ""),
    ];
    for (name, credential, header, prefix) in table {
        let provider = Provider::named(name).expect("known");
        assert_eq!(provider.auth.header(credential), (header, prefix), "{name}");
    }
    let anthropic = Provider::named("anthropic").expect("known");
    assert_eq!(anthropic.headers, [("anthropic-version", "2023-06-01")]);
}

#[test]
fn native_routes_fit_the_format() {
    for provider in PROVIDERS {
        let main = provider.wire.main_route();
        // Gemini's own format is nobody's client format.
        let native = provider.speaks(main) || provider.wire == Wire::Gemini;
        assert!(native, "{}", provider.name);
        let at = |route| place("https://h.example/v1", "m", route);
        for route in provider.native {
            assert!(
                provider.endpoint(&at(*route)).is_ok(),
                "{} {route:?}",
                provider.name
            );
        }
    }
}
