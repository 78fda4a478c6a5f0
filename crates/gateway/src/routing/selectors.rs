//! The few members of a request that say something about its way. None of them names an address or a key; `fallbacks` names
//! model groups, which the caller must be allowed to use, as if it had asked for them itself. `mock_testing_fallbacks` and
//! the like are removed and have no effect.

use std::time::Duration;

use http::HeaderMap;
use llm::scan::{Kind, Node};

use crate::app::Snapshot;
use crate::proxy::inspect::Request;

/// Most tags that are read of one request.
const MOST_TAGS: usize = 32;
/// Most fallbacks that are read of one request; how many of them are tried is a setting.
const MOST_FALLBACKS: usize = 16;

/// What a request asks of the router.
#[derive(Debug, Default)]
pub(crate) struct Selectors {
    tags: Vec<String>,
    /// Model groups to turn to in place of the configured fallbacks.
    pub(crate) fallbacks: Vec<String>,
    /// Most repetitions; lowers the configured number and never raises it.
    pub(super) retries: Option<u32>,
    /// Longest time of the whole call; lowers the configured time and never raises it.
    pub(super) timeout: Option<Duration>,
}

impl Selectors {
    /// Reads them: `num_retries` and `timeout` of the body, or LiteLLM's headers for them; `fallbacks` of the body; tags
    /// where tag filtering is on.
    pub(crate) fn read(snapshot: &Snapshot, request: &Request, headers: &HeaderMap) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<f64>().ok());
        let body = |name: &str| request.body.member(name);
        let asked = |field: &str, name: &str| {
            number(body(field).map(|node| node.raw()).and_then(utf8))
                .or_else(|| number(header(name)))
        };
        let retries = asked("num_retries", "x-litellm-num-retries");
        let timeout = asked("timeout", "x-litellm-timeout");
        Self {
            tags: match snapshot.config.models.settings().tag_filtering {
                true => tags(request, header("x-litellm-tags")),
                false => Vec::new(),
            },
            fallbacks: {
                let mut names = listed(body("fallbacks"));
                names.truncate(MOST_FALLBACKS);
                names
            },
            retries: retries
                .filter(|number| (0.0..=1e6).contains(number))
                .map(|number| number as u32),
            timeout: timeout
                .filter(|seconds| *seconds > 0.0 && *seconds <= 1e6)
                .map(Duration::from_secs_f64),
        }
    }

    pub(super) fn tags(&self) -> Vec<&str> {
        self.tags.iter().map(String::as_str).collect()
    }
}

fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The texts of a list.
fn listed(node: Option<Node<'_>>) -> Vec<String> {
    let Some(node) = node.filter(|node| node.kind() == Kind::Array) else {
        return Vec::new();
    };
    let texts = node.items().filter_map(|item| item.as_str());
    texts.map(std::borrow::Cow::into_owned).collect()
}

/// The tags of a request: `metadata.tags`, `tags`, and LiteLLM's header.
pub(crate) fn request_tags(request: &Request, headers: &HeaderMap) -> Vec<String> {
    let header = headers.get("x-litellm-tags");
    tags(request, header.and_then(|value| value.to_str().ok()))
}

fn tags(request: &Request, header: Option<&str>) -> Vec<String> {
    let metadata = request.body.member("metadata");
    let mut tags = listed(metadata.and_then(|node| node.get("tags")));
    tags.extend(listed(request.body.member("tags")));
    let header = header.unwrap_or_default().split(',').map(str::trim);
    tags.extend(header.filter(|tag| !tag.is_empty()).map(str::to_owned));
    tags.truncate(MOST_TAGS);
    tags
}
