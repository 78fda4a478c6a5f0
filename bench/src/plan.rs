//! The rows of the comparison: which load, at how many connections, on which gateways.

use bytes::Bytes;

use crate::{gateways::Kind, payload};

/// What one call of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Chat, 300 bytes.
    Small,
    /// Chat, 31 KB in fifteen messages.
    Large,
    Embeddings,
    /// Anthropic Messages, 300 bytes, to a provider that speaks them.
    Messages,
    /// The same to a provider that speaks chat completions: translated there and back.
    Translated,
    /// Fifty chunks, each written at once after the other.
    Burst,
    /// Fifty chunks, one every two milliseconds.
    Paced,
}

impl Load {
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Burst | Self::Paced)
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Embeddings => "/v1/embeddings",
            Self::Messages | Self::Translated => "/v1/messages",
            _ => "/v1/chat/completions",
        }
    }

    pub(crate) fn body(self) -> Bytes {
        match self {
            Self::Small => payload::small_chat(),
            Self::Large => payload::large_chat(),
            Self::Embeddings => payload::embeddings(),
            Self::Messages => payload::messages(payload::MESSAGES_MODEL),
            Self::Translated => payload::messages(payload::MODEL),
            Self::Burst | Self::Paced => payload::small_stream(),
        }
    }

    /// Behaviour of the mock for this load, as a query of its `/control`.
    pub(crate) fn mock_settings(self) -> &'static str {
        match self {
            Self::Paced => "latency_ms=0&chunk_ms=2",
            _ => "latency_ms=0&chunk_ms=0",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Small => "chat 300 B",
            Self::Large => "chat 31 KB",
            Self::Embeddings => "embeddings",
            Self::Messages => "messages 300 B",
            Self::Translated => "messages 300 B over chat",
            Self::Burst => "stream of 50, burst",
            Self::Paced => "stream of 50, 2 ms apart",
        }
    }
}

/// One row of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) load: Load,
    pub(crate) connections: u32,
    /// In the order in which one round runs them.
    pub(crate) gateways: Vec<Kind>,
}

impl Scenario {
    pub(crate) fn title(&self) -> String {
        format!("{}, {} conn", self.load.title(), self.connections)
    }
}

/// All rows. `only` keeps the rows whose title contains it.
pub(crate) fn scenarios(with_python: bool, only: Option<&str>) -> Vec<Scenario> {
    let rows = [
        (Load::Small, 1, true),
        (Load::Small, 8, false),
        (Load::Small, 32, true),
        (Load::Small, 128, false),
        (Load::Large, 32, true),
        (Load::Embeddings, 32, false),
        (Load::Messages, 32, false),
        (Load::Translated, 32, false),
        (Load::Burst, 1, false),
        (Load::Burst, 32, true),
        (Load::Paced, 32, false),
    ];
    rows.into_iter()
        // Other gateways are in the rows that say most.
        .map(|(load, connections, python)| {
            let mut gateways = vec![Kind::Nginx, Kind::Sealgate, Kind::NullJournal];
            if (load, connections) == (Load::Small, 32) {
                gateways.extend([
                    Kind::SealgateLogged,
                    Kind::SealgateMasked,
                    Kind::SealgateGuarded,
                ]);
            }
            if python {
                gateways.push(Kind::Crabllm);
            }
            if load == Load::Paced {
                gateways.insert(0, Kind::Direct);
            }
            if python && with_python {
                gateways.extend([Kind::LiteLlm, Kind::LiteLlmSealed]);
            }
            Scenario {
                load,
                connections,
                gateways,
            }
        })
        .filter(|scenario| only.is_none_or(|part| scenario.title().contains(part)))
        .collect()
}
