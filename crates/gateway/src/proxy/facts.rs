//! Everything that is known about a governed call: collected stage by stage, read once by [`super::record`].

use std::sync::Arc;
use std::time::Instant;

use capsule::{Id, Timestamp};
use llm::usage::Usage;

use super::coverage::Entry;
use super::reserve::Billing;
use crate::app::Snapshot;
use crate::config::{ContentMode, Deployment};
use crate::content::Keys;
use crate::digest::{Digest, DigestKey};
use crate::routing::Way;

/// Where a call goes, decided at admission and again after each failed attempt.
pub(crate) struct Destination {
    /// Model name as the client wrote it.
    pub(crate) requested: Arc<str>,
    /// Model name in the answer: the one asked for, after a fallback the provider's.
    pub(crate) served_as: Arc<str>,
    /// The group's name is a pattern, so `requested` and `upstream_model` are partly the client's free text.
    pub(crate) wildcard: bool,
    /// The model group that serves.
    pub(crate) group: Arc<str>,
    /// The chosen deployment.
    pub(crate) deployment: Arc<Deployment>,
    /// Model name at the provider.
    pub(crate) upstream_model: String,
    /// Deployments looked at.
    pub(crate) considered: Vec<Considered>,
    /// The call's way through the deployments and its place at the present one.
    pub(crate) way: Option<Box<Way>>,
}

/// One deployment that was looked at.
pub(crate) struct Considered {
    pub(crate) id: String,
    /// Its model group.
    pub(crate) group: String,
    /// Why it does not serve; nothing for the one that does.
    pub(crate) rejected: Option<&'static str>,
}

/// Labels a client chose, already digested.
#[derive(Default)]
pub(crate) struct Labels {
    pub(crate) user: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) trace: Option<String>,
}

/// One tool call that the model asked for.
pub(crate) struct AskedTool {
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// One attempt at a provider.
pub(crate) struct Attempt {
    pub(crate) deployment: String,
    /// Its model group.
    pub(crate) group: Arc<str>,
    /// Digest of the bytes that were sent to it.
    pub(crate) sent: Digest,
    /// Microseconds waited before it.
    pub(crate) waited: u64,
    /// What it used although it failed, estimated: tokens of the prompt and their cost.
    pub(crate) wasted: Option<Wasted>,
    /// Status of the provider, 0 when there was none.
    pub(crate) status: u16,
    pub(crate) micros: u64,
    /// Stable code of the failure.
    pub(crate) error: Option<&'static str>,
}

/// What a failed attempt used: the provider had taken the prompt, and may charge for it.
#[derive(Clone, Copy)]
pub(crate) struct Wasted {
    /// Tokens of the prompt, estimated.
    pub(crate) tokens: u64,
    /// Their cost in micro-USD, where the price is known.
    pub(crate) micro_usd: Option<i64>,
}

impl Attempt {
    /// Tokens that a failed attempt used.
    pub(crate) fn tokens(&self) -> u64 {
        self.wasted.map_or(0, |wasted| wasted.tokens)
    }
}

/// Microseconds from arrival to the end of each stage; 0 when a stage was not reached.
#[derive(Default, Clone, Copy)]
pub(crate) struct Timings {
    pub(crate) inspected: u64,
    pub(crate) opened: u64,
    pub(crate) checked: u64,
    pub(crate) head: u64,
    pub(crate) first_byte: u64,
}

/// Text kept by the content mode; empty in mode `hash`.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) request: String,
    pub(crate) answer: String,
    /// User, session and trace as the client named them, in the sealed modes.
    pub(crate) labels: [Option<String>; 3],
}

/// What a call used and where the numbers come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UsageSource {
    /// The provider's own numbers.
    Provider,
    /// Counted from the bytes sent and delivered, because the provider gave none.
    Estimated,
    /// Nothing was sent.
    None,
}

/// The facts of one call.
pub(crate) struct Facts {
    pub(crate) id: Id,
    /// The call for whose sake this one is made.
    pub(crate) parent: Option<Id>,
    pub(crate) arrival: Timestamp,
    pub(crate) started: Instant,
    pub(crate) route: &'static str,
    pub(crate) call_type: &'static str,
    pub(crate) stream: bool,
    /// False for calls that providers do not charge tokens for: nothing is estimated.
    pub(crate) billed: bool,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) key_id: Arc<str>,
    /// The agent of the call, where one is known.
    pub(crate) agent: Option<Box<str>>,
    /// Whether only the request says so; the key may name agents.
    pub(crate) agent_claimed: bool,
    pub(crate) tenant: String,
    /// Who the call counts against.
    pub(crate) billing: Billing,
    pub(crate) destination: Destination,
    pub(crate) labels: Labels,
    pub(crate) request_digest: Digest,
    pub(crate) request_bytes: u64,
    pub(crate) prompt_hash: Option<String>,
    pub(crate) sent_digest: Option<Digest>,
    pub(crate) sent_text_digest: Option<Digest>,
    pub(crate) response_digest: Option<Digest>,
    /// Per choice and channel.
    pub(crate) delivered: Vec<(u32, String, Digest)>,
    pub(crate) delivered_bytes: u64,
    /// Bytes of decoded text sent and delivered: what an estimate of tokens counts.
    pub(crate) sent_text_bytes: u64,
    pub(crate) delivered_text_bytes: u64,
    pub(crate) coverage: Vec<Entry>,
    /// Kinds of parts that no check could read and that were passed by setting.
    pub(crate) not_inspected: Vec<String>,
    pub(crate) usage: Usage,
    pub(crate) usage_source: UsageSource,
    pub(crate) asked_tools: Vec<AskedTool>,
    pub(crate) finish_reasons: Vec<String>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) timings: Timings,
    pub(crate) content: Content,
    /// What is kept of this call: the configured mode, or less where the call asks for it.
    pub(crate) mode: ContentMode,
    /// The rules that applied, or the one that refused.
    pub(crate) rules: Vec<Arc<str>>,
    /// What rules see of the call; absent without rules.
    pub(crate) rule_facts: Option<Box<policy::rules::Facts>>,
    /// What the registry of consents has of the call's person.
    pub(crate) consent: Option<Arc<policy::identity::Entity>>,
    /// What the call wishes of analytics.
    pub(crate) analytics: Option<bool>,
    /// Keys of its content, in the sealed modes.
    pub(crate) keys: Option<Arc<Keys>>,
    /// The digests of its texts: under the subject's key where there is one, so that they end with it.
    pub(crate) digests: Arc<DigestKey>,
    /// Members that were left out because the provider does not know them.
    pub(crate) dropped_params: Vec<String>,
    /// Names of settings that let something pass for this call.
    pub(crate) opened_switches: Vec<&'static str>,
}

impl Facts {
    /// Microseconds since the request arrived.
    pub(crate) fn elapsed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client got the whole answer.
    Answered,
    /// A check refused it; nothing of the blocked text was delivered. The name of the check.
    Blocked(Arc<str>),
    /// An error before the first byte of an answer. Stable code.
    Failed(&'static str),
    /// Cut after the first byte. Stable code: `client_gone`, `upstream_cut`, `upstream_timeout`, …
    Cut(&'static str),
}

impl End {
    /// `outcome.status`.
    pub(crate) fn status(&self) -> &'static str {
        match self {
            Self::Answered => "success",
            Self::Blocked(_) => "blocked",
            Self::Failed(_) => "failure",
            Self::Cut(_) => "partial",
        }
    }

    /// Stable code, `None` for answered calls.
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Answered => None,
            Self::Blocked(_) => Some("blocked"),
            Self::Failed(code) | Self::Cut(code) => Some(code),
        }
    }
}
