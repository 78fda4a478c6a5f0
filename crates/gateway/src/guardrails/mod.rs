//! Guardrails: what a check is, which of them a call selects, and how they run.
//!
//! There are two kinds. A [`Local`] check runs here, on the texts of a call, as a row of [`guard::Check`]s: it finds, edits
//! and blocks, over whole texts and over streams. A [`Remote`] check asks a service and waits at most until its deadline; it
//! sees what the local checks left. A new kind is one file in this folder and one row in [`registry`].

pub(crate) mod content_filter;
mod injection;
mod operators;
pub(crate) mod pii;
mod plain;
mod prompt_leak;
pub(crate) mod registry;
pub(crate) mod remote;
pub(crate) mod routes;
pub(crate) mod row;
mod secrets;
pub(crate) mod select;
mod shape;
mod tools;
mod words_file;

use std::fmt;
use std::sync::Arc;

pub(crate) use remote::Remote;
pub(crate) use select::{BuildError, Check, Checks, Selected, Selecting};

/// What a configured guardrail became.
#[derive(Clone)]
pub enum Engine {
    /// Runs here.
    Local(LocalEngine),
    /// Asks a service.
    Remote(RemoteEngine),
}

/// A check that runs here.
#[derive(Clone)]
pub struct LocalEngine(pub(crate) Arc<dyn Local>);

/// A check that asks a service.
#[derive(Clone)]
pub struct RemoteEngine(pub(crate) Arc<dyn Remote>);

impl Engine {
    pub(crate) fn local(check: impl Local + 'static) -> Self {
        Self::Local(LocalEngine(Arc::new(check)))
    }

    pub(crate) fn remote(check: impl Remote + 'static) -> Self {
        Self::Remote(RemoteEngine(Arc::new(check)))
    }

    /// The checks that read a user's text, for looking at texts outside of a call; none for a check that asks a service.
    #[must_use]
    pub fn readers(&self) -> Option<Vec<Arc<dyn guard::Check>>> {
        match self {
            Self::Local(local) => Some(local.0.readers(Place::user()).to_vec()),
            Self::Remote(_) => None,
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local(_) => "Engine::Local",
            Self::Remote(_) => "Engine::Remote",
        })
    }
}

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// In the answer, not the request.
    pub(crate) answer: bool,
    pub(crate) origin: guard::Origin,
    pub(crate) kind: TextKind,
}

/// What a text is within a request or an answer, as far as a check can care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextKind {
    /// Anything that is read as text.
    Text,
    /// The name of a tool that is offered or called.
    ToolName,
    /// Arguments of a call, as JSON or as text.
    ToolArguments,
}

impl Place {
    /// A user's text.
    pub(crate) const fn user() -> Self {
        Self {
            answer: false,
            origin: guard::Origin::User,
            kind: TextKind::Text,
        }
    }

    /// Arguments are JSON written as text: escapes in it are read as what they stand for.
    pub(crate) fn of_request(origin: llm::transcript::Origin) -> Self {
        use llm::transcript::{Part, Role};
        let from = match origin.role {
            Role::Tool | Role::Function => guard::Origin::Tool,
            _ => guard::Origin::User,
        };
        let kind = match origin.part {
            Part::ToolName => TextKind::ToolName,
            Part::ToolArguments | Part::ToolInput => TextKind::ToolArguments,
            _ => TextKind::Text,
        };
        Self {
            answer: false,
            origin: from,
            kind,
        }
    }

    pub(crate) fn of_answer(channel: llm::openai::Channel) -> Self {
        use llm::openai::Channel;
        let kind = match channel {
            Channel::ToolName(_) | Channel::CalledName(_) => TextKind::ToolName,
            Channel::ToolArguments(_) | Channel::ToolInput(_) | Channel::InputValue(_) => {
                TextKind::ToolArguments
            }
            _ => TextKind::Text,
        };
        Self {
            answer: true,
            origin: guard::Origin::User,
            kind,
        }
    }
}

/// A check that runs here, on the thread of the call.
pub(crate) trait Local: Send + Sync {
    /// The checks that read texts at this place, in order, each on what the one before it left. None: the guardrail does not
    /// look there, and its coverage says where it did.
    fn readers(&self, place: Place) -> &[Arc<dyn guard::Check>];

    /// Whether texts at this place wait until those that it reads are decided.
    fn holds(&self, _place: Place) -> bool {
        false
    }

    /// The places that it reads, where these are not all.
    fn scope(&self) -> Option<&'static str> {
        None
    }

    /// The same guardrail for one call, where it depends on the call's own texts; `None` where it does not.
    fn for_call(&self, _own: &Own<'_>) -> Option<Arc<dyn Local>> {
        None
    }

    /// What the client is told when the guardrail refuses.
    fn refusal(&self, refused: &Refused<'_>) -> Refusal;

    /// Whether what it masks in a request comes back in the answer.
    fn restores(&self) -> Option<Restore> {
        None
    }
}

/// Texts of the call that a check may depend on.
pub(crate) struct Own<'c> {
    /// What the system and the developer said.
    pub(crate) instructions: &'c [std::borrow::Cow<'c, str>],
}

/// How masked values come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restore {
    /// Into the arguments of tools too: what a tool gets leaves the conversation.
    pub(crate) tool_arguments: bool,
}

/// A finding that refuses a text, without the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused<'a> {
    /// Name of the guardrail.
    pub(crate) guardrail: &'a str,
    /// The mode in which it ran, in LiteLLM's words.
    pub(crate) mode: &'static str,
    /// What was found: `EMAIL_ADDRESS`, `KEYWORD`, ...
    pub(crate) kind: &'a str,
    /// The operator's description of the rule.
    pub(crate) description: Option<&'a str>,
    /// In the answer, not the request.
    pub(crate) answer: bool,
}

impl Refused<'_> {
    /// The body that says which guardrail refused and nothing else.
    pub(crate) fn plain(&self, reason: &str) -> Refusal {
        Refusal {
            message: format!(
                "Content blocked by guardrail '{}': {reason}",
                self.guardrail
            ),
            fields: Vec::new(),
        }
    }

    /// Adds LiteLLM's `provider_specific_fields`.
    pub(crate) fn with_fields(&self, message: String, more: &[(&'static str, &str)]) -> Refusal {
        let mut fields = vec![("error", message.clone())];
        fields.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        fields.push(("guardrail_name", self.guardrail.to_owned()));
        fields.push(("guardrail_mode", self.mode.to_owned()));
        Refusal { message, fields }
    }
}

/// What a client is told about a refusal. Never the matched text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The message.
    pub message: String,
    /// `provider_specific_fields` of the error, in LiteLLM's words; may be empty.
    pub fields: Vec<(&'static str, String)>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Two guardrails are the same if they were built from the same settings; those are compared beside them.
impl PartialEq for Engine {
    fn eq(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Local(_), Self::Local(_)) | (Self::Remote(_), Self::Remote(_))
        )
    }
}

impl Eq for Engine {}
