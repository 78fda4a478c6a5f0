//! Routes of the providers' APIs.

/// A route of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/chat/completions`
    ChatCompletions,
    /// `/completions`, the older text completions
    Completions,
    /// `/embeddings`
    Embeddings,
    /// `/moderations`
    Moderations,
    /// `/responses`
    Responses,
    /// `/messages` of Anthropic's format
    Messages,
    /// `/messages/count_tokens` of Anthropic's format
    CountTokens,
    /// `/models`
    Models,
}

impl Route {
    /// The path below a base URL that ends with the version (`/v1`).
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Route::ChatCompletions => "/chat/completions",
            Route::Completions => "/completions",
            Route::Embeddings => "/embeddings",
            Route::Moderations => "/moderations",
            Route::Responses => "/responses",
            Route::Messages => "/messages",
            Route::CountTokens => "/messages/count_tokens",
            Route::Models => "/models",
        }
    }
}

/// OpenAI's own set.
pub(super) const OPENAI: &[Route] = &[
    Route::ChatCompletions,
    Route::Completions,
    Route::Embeddings,
    Route::Moderations,
    Route::Responses,
    Route::Models,
];

/// A gateway or server that serves every format.
pub(super) const ALL: &[Route] = &[
    Route::ChatCompletions,
    Route::Completions,
    Route::Embeddings,
    Route::Moderations,
    Route::Responses,
    Route::Messages,
    Route::CountTokens,
    Route::Models,
];

/// Azure: OpenAI without moderations.
pub(super) const AZURE: &[Route] = &[
    Route::ChatCompletions,
    Route::Completions,
    Route::Embeddings,
    Route::Responses,
    Route::Models,
];

/// vLLM: text, embeddings and both newer formats.
pub(super) const VLLM: &[Route] = &[
    Route::ChatCompletions,
    Route::Completions,
    Route::Embeddings,
    Route::Responses,
    Route::Messages,
    Route::Models,
];

/// Ollama.
pub(super) const OLLAMA: &[Route] = &[
    Route::ChatCompletions,
    Route::Completions,
    Route::Embeddings,
    Route::Responses,
    Route::Models,
];

/// OpenRouter.
pub(super) const OPENROUTER: &[Route] = &[
    Route::ChatCompletions,
    Route::Completions,
    Route::Embeddings,
    Route::Responses,
    Route::Messages,
    Route::Models,
];

/// Servers that also keep the older text completions.
pub(super) const TEXT: &[Route] = &[
    Route::ChatCompletions,
    Route::Completions,
    Route::Embeddings,
    Route::Models,
];

/// What every server of the format has.
pub(super) const CHAT: &[Route] = &[Route::ChatCompletions, Route::Embeddings, Route::Models];

/// Anthropic.
pub(super) const ANTHROPIC: &[Route] = &[Route::Messages, Route::CountTokens, Route::Models];
