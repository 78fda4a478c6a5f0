//! The typed record: six sections and their defaults (Capsule Protocol 1.0, data model).

mod read;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::id::Id;
use crate::json::{Object, Value};
use crate::time::Timestamp;

pub use read::ModelError;

/// Text that is usually one of the protocol's own words, which then costs no copy.
pub type Text = Cow<'static, str>;

/// The kind of a record (top-level field `type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CapsuleType {
    /// `agent`, the default.
    #[default]
    Agent,
    /// `tool`
    Tool,
    /// `system`
    System,
    /// `kill`
    Kill,
    /// `workflow`
    Workflow,
    /// `chat`
    Chat,
    /// `vault`
    Vault,
    /// `auth`
    Auth,
}

impl CapsuleType {
    /// All kinds, in the order in which the protocol lists them.
    pub const ALL: [CapsuleType; 8] = [
        CapsuleType::Agent,
        CapsuleType::Tool,
        CapsuleType::System,
        CapsuleType::Kill,
        CapsuleType::Workflow,
        CapsuleType::Chat,
        CapsuleType::Vault,
        CapsuleType::Auth,
    ];

    /// The word that records carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            CapsuleType::Agent => "agent",
            CapsuleType::Tool => "tool",
            CapsuleType::System => "system",
            CapsuleType::Kill => "kill",
            CapsuleType::Workflow => "workflow",
            CapsuleType::Chat => "chat",
            CapsuleType::Vault => "vault",
            CapsuleType::Auth => "auth",
        }
    }
}

impl fmt::Display for CapsuleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no capsule type; the case counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a capsule type (agent, tool, system, kill, workflow, chat, vault or auth)")]
pub struct CapsuleTypeError;

impl FromStr for CapsuleType {
    type Err = CapsuleTypeError;

    fn from_str(text: &str) -> Result<CapsuleType, CapsuleTypeError> {
        CapsuleType::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(CapsuleTypeError)
    }
}

/// What a record says, before it has a place in a chain.
///
/// Sequence, link and seal are not part of it: they come from
/// [`Draft::link`](crate::Draft::link) and [`Linked::seal`](crate::Linked::seal).
#[derive(Debug, Clone, PartialEq)]
pub struct Capsule {
    /// Identifier; the caller chooses it and answers for it being new.
    pub id: Id,
    /// Kind of record (`type`).
    pub capsule_type: CapsuleType,
    /// Business area, at most [`MAX_DOMAIN_CHARS`](crate::MAX_DOMAIN_CHARS) characters.
    pub domain: String,
    /// The record that caused this one. No check that it exists.
    pub parent_id: Option<Id>,
    /// What set it off.
    pub trigger: Trigger,
    /// Where it ran.
    pub context: Context,
    /// Why this was done.
    pub reasoning: Reasoning,
    /// Who allowed it.
    pub authority: Authority,
    /// What was done.
    pub execution: Execution,
    /// What came of it.
    pub outcome: Outcome,
}

impl Default for Capsule {
    fn default() -> Self {
        Capsule {
            id: Id::default(),
            capsule_type: CapsuleType::Agent,
            domain: String::from("agents"),
            parent_id: None,
            trigger: Trigger::default(),
            context: Context::default(),
            reasoning: Reasoning::default(),
            authority: Authority::default(),
            execution: Execution::default(),
            outcome: Outcome::default(),
        }
    }
}

/// What set the action off (section `trigger`).
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// `user_request`, `scheduled`, `system` or `agent`; free text is allowed (`type`).
    pub trigger_type: Text,
    /// Where it came from.
    pub source: String,
    /// When.
    pub timestamp: Timestamp,
    /// The request in the words of the requester.
    pub request: String,
    /// Identifier that ties records of one transaction together.
    pub correlation_id: Option<String>,
    /// The user on whose behalf.
    pub user_id: Option<String>,
}

impl Default for Trigger {
    fn default() -> Self {
        Trigger {
            trigger_type: Cow::Borrowed("user_request"),
            source: String::new(),
            timestamp: Timestamp::default(),
            request: String::new(),
            correlation_id: None,
            user_id: None,
        }
    }
}

/// Where the action ran (section `context`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Context {
    /// The agent that acted.
    pub agent_id: String,
    /// The session, at most [`MAX_SESSION_ID_CHARS`](crate::MAX_SESSION_ID_CHARS) characters.
    pub session_id: Option<String>,
    /// Free map.
    pub environment: Object,
}

/// Why this was done (section `reasoning`).
///
/// The field `options_considered` is always the list of the options' descriptions, so it is not held
/// here: a record in which the two differ can never be verified by the reference.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reasoning {
    /// Analysis of the situation.
    pub analysis: String,
    /// The options that were weighed.
    pub options: Vec<DecisionOption>,
    /// The option that was taken.
    pub selected_option: String,
    /// Why it was taken.
    pub reasoning: String,
    /// Confidence from 0 to 1.
    pub confidence: f64,
    /// Name of the model.
    pub model: Option<String>,
    /// Digest of the prompt.
    pub prompt_hash: Option<String>,
}

/// One option that was weighed (item of `reasoning.options`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecisionOption {
    /// Identifier within the record, such as `opt_0`.
    pub id: String,
    /// The option in words; also its entry in `options_considered`.
    pub description: String,
    /// What spoke for it.
    pub pros: Vec<String>,
    /// What spoke against it.
    pub cons: Vec<String>,
    /// Free map.
    pub estimated_impact: Object,
    /// How feasible, from 0 to 1.
    pub feasibility: f64,
    /// Risks.
    pub risks: Vec<String>,
    /// Whether it was taken.
    pub selected: bool,
    /// Why it was not taken.
    pub rejection_reason: String,
}

/// Who allowed the action (section `authority`).
#[derive(Debug, Clone, PartialEq)]
pub struct Authority {
    /// `autonomous`, `human_approved`, `policy` or `escalated`; free text is allowed (`type`).
    pub authority_type: Text,
    /// Who approved.
    pub approver: Option<String>,
    /// The rule that decided.
    pub policy_reference: Option<String>,
    /// Steps of the approval, free maps in order.
    pub chain: Vec<Object>,
    /// Why it was escalated.
    pub escalation_reason: Option<String>,
}

impl Default for Authority {
    fn default() -> Self {
        Authority {
            authority_type: Cow::Borrowed("autonomous"),
            approver: None,
            policy_reference: None,
            chain: Vec::new(),
            escalation_reason: None,
        }
    }
}

/// What was done (section `execution`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Execution {
    /// Tool calls in order.
    pub tool_calls: Vec<ToolCall>,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Free map; recommended keys `tokens_in`, `tokens_out`, `cost_usd`, `latency_ms`.
    pub resources_used: Object,
}

/// One call of a tool (item of `execution.tool_calls`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolCall {
    /// Name of the tool.
    pub tool: String,
    /// Free map.
    pub arguments: Object,
    /// Any value.
    pub result: Value,
    /// Whether it succeeded.
    pub success: bool,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// What went wrong.
    pub error: Option<String>,
}

/// What came of it (section `outcome`).
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// `pending`, `success`, `failure`, `partial` or `blocked`; free text is allowed.
    pub status: Text,
    /// Any value.
    pub result: Value,
    /// One line.
    pub summary: String,
    /// What went wrong.
    pub error: Option<String>,
    /// What else changed.
    pub side_effects: Vec<Value>,
    /// Free map; recommended keys `tokens_in`, `tokens_out`, `latency_ms`, `cost_usd`.
    pub metrics: Object,
}

impl Default for Outcome {
    fn default() -> Self {
        Outcome {
            status: Cow::Borrowed("pending"),
            result: Value::Null,
            summary: String::new(),
            error: None,
            side_effects: Vec::new(),
            metrics: Object::new(),
        }
    }
}
