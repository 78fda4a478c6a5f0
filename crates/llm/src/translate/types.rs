//! What the translations share.

use crate::protocol::Protocol;
use crate::provider::Wire;
use crate::scan::ScanError;

/// A name of the format for messages.
fn name(wire: Wire) -> &'static str {
    match wire {
        Wire::OpenAi => "OpenAI",
        Wire::Anthropic => "Anthropic",
        Wire::Gemini => "Gemini",
    }
}

/// What the target decides about a translation.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The model name of the provider.
    pub model: &'a str,
    /// Leave out what the target cannot say (listed in [`Rendered::dropped`]) instead of
    /// refusing it.
    pub drop_params: bool,
    /// Top-level members to leave out whatever the target can say; listed too.
    pub additional_drop_params: &'a [String],
    /// Top-level members that are sent as they are where the target's format does not know them.
    pub allowed_params: &'a [String],
    /// Top-level members that the deployment added: left out and listed where the target cannot say them.
    pub optional_params: &'a [&'a str],
    /// `max_tokens` where the target demands one and the client gave none.
    pub default_max_tokens: u64,
}

/// A translated request.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The body to send: one JSON object.
    pub body: Vec<u8>,
    /// Dotted names of members that were left out, in document order.
    pub dropped: Vec<String>,
    /// What the way back must know.
    pub back: Back,
}

impl std::fmt::Debug for Rendered {
    /// Sizes only: the body is content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bytes, dropped) = (self.body.len(), self.dropped.len());
        write!(f, "Rendered({bytes} bytes, {dropped} dropped)")
    }
}

/// What the way back must know of the request.
#[derive(Clone, PartialEq, Eq)]
pub struct Back {
    /// The client's format.
    pub client: Protocol,
    /// The provider's format.
    pub wire: Wire,
    /// Whether the answer comes as a stream.
    pub stream: bool,
    /// Tool names that had to be changed: (name sent, name of the client).
    pub(crate) tool_names: Vec<(String, String)>,
    /// The answer to a wanted output format comes as a call of [`JSON_TOOL`].
    pub(crate) json_tool: bool,
    /// Free-form tools, which are called as functions of one text.
    pub(crate) custom_tools: Vec<String>,
    /// The client asked for reasoning that it can send back.
    pub(crate) encrypted: bool,
    /// The client asked for vectors in base64.
    pub(crate) base64: bool,
    /// JSON members, without braces, which the client's answer repeats from the request.
    pub(crate) echo: Vec<u8>,
    /// Tokens of the input, estimated, for formats whose streams begin with a count.
    pub(crate) input_estimate: u64,
}

impl std::fmt::Debug for Back {
    /// Without names: they are content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (client, wire) = (self.client.call_type(), name(self.wire));
        write!(f, "Back({client} from {wire}, stream: {})", self.stream)
    }
}

/// The tool that stands for a wanted output format where the target has none.
pub(crate) const JSON_TOOL: &str = "json_tool_call";

impl Back {
    /// Nothing but the two formats.
    pub(crate) fn new(client: Protocol, wire: Wire) -> Back {
        Back {
            client,
            wire,
            stream: false,
            tool_names: Vec::new(),
            json_tool: false,
            custom_tools: Vec::new(),
            encrypted: false,
            base64: false,
            echo: Vec::new(),
            input_estimate: 0,
        }
    }

    /// The client's name of a tool that the provider calls by `sent`.
    pub(crate) fn tool_name<'a>(&'a self, sent: &'a str) -> &'a str {
        let renamed = self.tool_names.iter().find(|(name, _)| name == sent);
        renamed.map_or(sent, |(_, own)| own)
    }
}

/// A request that cannot be said in the target's format.
///
/// The message is for the sender; it names members of the body, so it is content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TranslateError {
    /// Dotted path of the member, for example `messages[2].content[0]`.
    pub field: String,
    /// What is wrong and what would help.
    pub message: String,
}

impl TranslateError {
    /// An error about `field`.
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> TranslateError {
        TranslateError {
            field: field.into(),
            message: message.into(),
        }
    }

    /// A member that the target has no equivalent of.
    pub(crate) fn unsupported(field: impl Into<String>, target: &str) -> TranslateError {
        let field = field.into();
        let message = format!(
            "'{field}' cannot be translated for {target}; remove it, or set drop_params to leave it out."
        );
        TranslateError { field, message }
    }

    /// A pair of formats that no translation exists for.
    pub(crate) fn not_built(from: Protocol, to: Wire) -> TranslateError {
        let (from, to) = (from.call_type(), name(to));
        let message = format!("{from} calls cannot be sent to a {to} deployment.");
        TranslateError::new("model", message)
    }
}

/// An answer of the provider that is not in its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not strict JSON.
    #[error("{} at byte {}", .0.kind.as_str(), .0.offset)]
    Json(ScanError),
    /// JSON of another shape than the format says; what is wrong.
    #[error("{0}")]
    Shape(&'static str),
    /// No translation exists for this pair of formats.
    #[error("answers of this provider cannot be translated for this route")]
    NotBuilt,
}

impl From<ScanError> for AnswerError {
    fn from(error: ScanError) -> AnswerError {
        AnswerError::Json(error)
    }
}

/// The translation of one request.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) options: &'a Options<'a>,
    pub(crate) dropped: Vec<String>,
    /// Top-level members that the target's format does not know and that are sent as they are.
    pub(crate) passed: Vec<String>,
    pub(crate) back: Back,
}

impl<'a> Job<'a> {
    pub(crate) fn new(from: Protocol, to: Wire, options: &'a Options<'a>) -> Job<'a> {
        Job {
            options,
            dropped: Vec::new(),
            passed: Vec::new(),
            back: Back::new(from, to),
        }
    }

    /// Notes a member that the target cannot say, or refuses it.
    pub(crate) fn cannot(&mut self, field: impl Into<String>) -> Result<(), TranslateError> {
        let field = field.into();
        if self.options.allowed_params.contains(&field) {
            self.passed.push(field);
            return Ok(());
        }
        let optional = self.options.optional_params.contains(&field.as_str());
        if !self.options.drop_params && !optional {
            return Err(TranslateError::unsupported(field, name(self.back.wire)));
        }
        self.dropped.push(field);
        Ok(())
    }

    /// Whether the top-level member is to be left out whatever the target can say; notes
    /// it then.
    pub(crate) fn left_out(&mut self, name: &str) -> bool {
        let named = self.options.additional_drop_params.iter();
        let found = named.clone().any(|other| other == name);
        if found {
            self.dropped.push(name.to_owned());
        }
        found
    }

    pub(crate) fn rendered(self, body: Vec<u8>) -> Rendered {
        Rendered {
            body,
            dropped: self.dropped,
            back: self.back,
        }
    }
}
