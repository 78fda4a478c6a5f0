//! Names of models and routes against the patterns that entities hold.

/// Why a caller may not use a model or a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The model is not among those of one object in the chain.
    #[error(
        "The requested model '{model}' is not available for this API key, or the model name is invalid. Refused by: {object}. Call /v1/models to view available models for your key."
    )]
    Model {
        /// LiteLLM's word of the object: `key`, `team`, `user`, `org`, `customer`.
        object: &'static str,
        /// The model as asked for, cut to 100 characters.
        model: String,
    },
    /// The route is not among those of the key.
    #[error(
        "Virtual key is not allowed to call this route. Only allowed to call routes: [{}]. Tried to call route: {route}", allowed.join(", ")
    )]
    Route {
        /// Patterns of the key.
        allowed: Vec<String>,
        /// The route.
        route: String,
    },
}

/// Whether a model's name fits a pattern: the name itself, `*`, or a pattern with one star such as `openai/*`.
#[must_use]
pub fn model_matches(pattern: &str, model: &str) -> bool {
    match pattern {
        "*" | "all-proxy-models" => true,
        _ => match pattern.split_once('*') {
            None => pattern == model,
            Some((head, tail)) => {
                model.len() >= head.len() + tail.len()
                    && model.starts_with(head)
                    && model.ends_with(tail)
            }
        },
    }
}

/// Names of groups of routes, as LiteLLM spells them.
const INFERENCE_GROUPS: [&str; 3] = ["llm_api_routes", "openai_routes", "llm_api"];
const INFO_GROUPS: [&str; 1] = ["info_routes"];
const MANAGEMENT_GROUPS: [&str; 2] = ["management_routes", "management"];

/// What kind of route a path belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteGroup {
    /// Calls of models.
    Inference,
    /// Lists of models, states.
    Info,
    /// Management.
    Management,
}

/// Whether a route with these spellings fits a pattern: a path, a path that ends in `/*`, or the name of a group.
#[must_use]
pub fn route_matches(pattern: &str, paths: &[&str], group: RouteGroup) -> bool {
    let of_group = match group {
        RouteGroup::Inference => INFERENCE_GROUPS.contains(&pattern),
        RouteGroup::Info => INFO_GROUPS.contains(&pattern),
        RouteGroup::Management => MANAGEMENT_GROUPS.contains(&pattern),
    };
    if of_group || pattern == "*" || pattern == "/*" {
        return true;
    }
    paths.iter().any(|path| match pattern.strip_suffix("/*") {
        Some(head) => path
            .strip_prefix(head)
            .is_some_and(|rest| rest.starts_with('/')),
        None => *path == pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::{RouteGroup, model_matches, route_matches};

    #[test]
    fn models_and_wildcards() {
        for (pattern, model, fits) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("*", "anything", true),
            ("openai/*", "openai/gpt-4o", true),
            ("openai/*", "openai", false),
            ("openai/*", "azure/openai/x", false),
            ("gpt-*-mini", "gpt-4-mini", true),
            ("gpt-*-mini", "gpt-mini", false),
            ("", "x", false),
        ] {
            assert_eq!(model_matches(pattern, model), fits, "{pattern} {model}");
        }
    }

    #[test]
    fn routes_and_groups() {
        let chat = ["/v1/chat/completions", "/chat/completions"];
        for (pattern, fits) in [
            ("/chat/completions", true),
            ("/v1/*", true),
            ("/v1/chat/*", true),
            ("/v1/chat/completions/*", false),
            ("/v1", false),
            ("llm_api_routes", true),
            ("management_routes", false),
            ("/*", true),
            ("/key/*", false),
        ] {
            assert_eq!(
                route_matches(pattern, &chat, RouteGroup::Inference),
                fits,
                "{pattern}"
            );
        }
    }
}
