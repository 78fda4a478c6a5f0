//! Stage 8 for plain answers: read whole, inspect, edit, settle, deliver. Streams go on in [`super::stream`].

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;
use llm::openai::{mock, stream::Head};
use llm::protocol::{self, Family, IdMap, Protocol};
use llm::translate::{self, AnswerError};
use llm::usage::{Usage, UsageError};
use llm::{anthropic, completions, responses};

use super::call::Call;
use super::channels::{Blocked, Channels, Keeps, Stage};
use super::coverage::Delivery;
use super::facts::{AskedTool, End, Facts, UsageSource};
use super::staged::Staged;
use super::{headers, inspect, rates, stored, stream};

use crate::digest::Purpose;
use crate::error::Error;
use crate::guardrails::Selected;
use crate::guardrails::remote::{Notes, Permit};
use crate::server::read::{self, Patience, ReadError};
use crate::server::reply::{self, Reply};
use crate::upstream::forward::{Forwarded, Source, Unanswered};

/// What the answer stage gives.
pub(crate) enum Answered {
    /// The client's answer, an error included; the call is settled or its stream settles it.
    Reply(Reply),
    /// The provider's answer is none, and nothing was delivered: the router decides whether there is another attempt.
    Failed(Box<Unanswered>, Error),
}

/// Turns the provider's answer into the client's.
pub(crate) async fn answer(forwarded: Forwarded) -> Answered {
    if forwarded.request.body.stream() {
        return stream::answer(forwarded).await;
    }
    let Forwarded {
        mut call,
        request,
        edited,
        selected,
        source,
        back,
        deadline,
    } = forwarded;
    let family = request.protocol.family();
    let Some(facts) = call.facts() else {
        return Answered::Reply(reply::error_in(family, &Error::Internal, None));
    };
    let from_provider = matches!(source, Source::Provider(_));
    let (id, snapshot) = (facts.id, facts.snapshot.clone());
    let relayed = match &source {
        Source::Provider(response) => headers::relayed(response.headers()),
        _ => http::HeaderMap::new(),
    };
    let body = match source {
        Source::Failed(error) => Err(error),
        Source::Mock(text) => mocked(&request, facts, &text),
        Source::Estimate => Ok(estimated(&request)),
        Source::Provider(response) => {
            let limits = &snapshot.config.limits;
            let patience = Patience {
                idle: limits.idle_timeout,
                whole: deadline.saturating_duration_since(Instant::now()),
            };
            read::whole(response.into_body(), limits.max_response_bytes, patience)
                .await
                .map_err(|error| read_error(error, patience))
        }
    };
    let body = body.and_then(|body| match &back {
        Some(back) => translate::answer(back, body, &head(&request, facts), &snapshot.scan)
            .map_err(|error| untranslated(&error)),
        None => Ok(body),
    });
    let result = match body {
        Err(error) => Err(Failure::Error(error)),
        Ok(body) => whole(&mut call, &request, &selected, body).await,
    };
    match result {
        Ok(body) => {
            let digest = call.digests().digest("", Purpose::Response, &body);
            let mut response = reply::json(StatusCode::OK, body.clone());
            if let Some(facts) = call.facts_mut() {
                facts.response_digest = Some(digest);
                facts.delivered_bytes = body.len() as u64;
                headers::add(response.headers_mut(), facts);
            }
            headers::checkpoint(response.headers_mut(), call.app());
            rates::add(response.headers_mut(), &call);
            response.headers_mut().extend(relayed);
            let receipt = call.finish(End::Answered, 200);
            if snapshot.config.seal_before_answer
                && let Some(receipt) = receipt
                && let Err(error) = receipt.await
            {
                tracing::error!(%error, %id, "the record was not committed before the answer");
                let id = Some(id.to_string());
                let reply = reply::error_in(family, &Error::AuditUnavailable, id.as_deref());
                return Answered::Reply(reply);
            }
            Answered::Reply(response)
        }
        Err(Failure::Error(error)) if from_provider => {
            let unanswered = Unanswered {
                call,
                request,
                edited,
                selected,
            };
            Answered::Failed(Box::new(unanswered), error)
        }
        Err(failure) => {
            let (error, end) = failure.parts();
            Answered::Reply(refusal(call, family, &error, end))
        }
    }
}

/// Ends a call with an error and says how many attempts it took.
pub(crate) fn refusal(call: Call, family: Family, error: &Error, end: End) -> Reply {
    let id = call.facts().map(|facts| facts.id.to_string());
    let mut reply = reply::error_in(family, error, id.as_deref());
    if let Some(facts) = call.facts() {
        headers::route(reply.headers_mut(), facts);
    }
    drop(call.finish(end, error.public().status.as_u16()));
    reply
}

enum Failure {
    Error(Error),
    Blocked(Blocked),
}

impl Failure {
    fn parts(self) -> (Error, End) {
        match self {
            Self::Error(error) => {
                let code = error.public().code;
                (error, End::Failed(code))
            }
            Self::Blocked(Blocked { check, error }) => (*error, End::Blocked(check)),
        }
    }
}

fn read_error(error: ReadError, patience: Patience) -> Error {
    match error {
        ReadError::TooLarge => Error::UpstreamInvalid("it is larger than allowed".to_owned()),
        ReadError::Timeout => Error::UpstreamTimeout {
            seconds: patience.idle.min(patience.whole).as_secs(),
        },
        ReadError::Incomplete => Error::UpstreamCut,
    }
}

fn invalid(error: &llm::scan::ScanError) -> Error {
    Error::UpstreamInvalid(format!("{} at byte {}", error.kind.as_str(), error.offset))
}

/// An answer that is not of the provider's format.
pub(crate) fn untranslated(error: &AnswerError) -> Error {
    Error::UpstreamInvalid(error.to_string())
}

/// Inspects and edits a whole answer; fills in usage, coverage and digests.
async fn whole(
    call: &mut Call,
    request: &inspect::Request,
    selected: &Selected,
    body: Bytes,
) -> Result<Bytes, Failure> {
    let internal = || Failure::Error(Error::Internal);
    let ids = stored::ids(request, call);
    let permit = Permit::of(call).ok_or_else(internal)?;
    let facts = call.facts_mut().ok_or_else(internal)?;
    let keeps: Keeps = facts.mode.into();
    let (protocol, snapshot) = (request.protocol, facts.snapshot.clone());
    let channels = |stage| {
        let digests = permit.digests.clone();
        Channels::new(digests, selected, Delivery::Buffered, keeps, stage)
    };
    let parsed = read_answer(protocol, facts, body.clone(), &snapshot.scan)?;
    if selected.remote(true).next().is_none() {
        return deliver(facts, parsed.as_ref(), channels(Stage::Only), None, ids);
    }
    let mut first = channels(Stage::First);
    let mut notes = Notes::default();
    let mut passed = Ok(());
    for output in parsed.outputs() {
        let text = output.decode(parsed.doc());
        if let Err(blocked) = first.whole(output.choice, output.channel, &text) {
            passed = Err(blocked);
            break;
        }
    }
    // A parsed answer does not wait for anybody: it is read again.
    drop(parsed);
    let staged = Staged::of(&mut first);
    notes.entries.extend(first.entries(passed.is_err()));
    let permit = Arc::new(permit);
    let left = match passed {
        Ok(()) => staged.judged(permit.clone(), selected, &mut notes).await,
        Err(blocked) => Err(blocked),
    };
    notes.report(facts);
    let left = left.map_err(|blocked| {
        facts.asked_tools.clear();
        Failure::Blocked(blocked)
    })?;
    let parsed = protocol::answer(protocol, body, &snapshot.scan).map_err(|_| internal())?;
    let digests = permit.digests.clone();
    let last = Channels::new(digests, selected, Delivery::Buffered, keeps, Stage::Last);
    deliver(facts, parsed.as_ref(), last, Some(left.left), ids)
}

/// Parses a whole answer and takes over what the record needs of it.
fn read_answer(
    protocol: Protocol,
    facts: &mut Facts,
    body: Bytes,
    limits: &llm::scan::Limits,
) -> Result<Box<dyn protocol::Answer>, Failure> {
    let answer = protocol::answer(protocol, body, limits)
        .map_err(|error| Failure::Error(invalid(&error)))?;
    if !answer.is_answer() {
        let what = format!("it has not the shape of a {} answer", protocol.call_type());
        return Err(Failure::Error(Error::UpstreamInvalid(what)));
    }
    note_usage(facts, answer.usage());
    for (_, reason) in answer.finish_reasons() {
        facts
            .finish_reasons
            .extend(reason.map(|reason| finish_word(&reason)));
    }
    for call in answer.tool_calls() {
        facts.asked_tools.push(AskedTool {
            name: call.name.into_owned(),
            arguments: call.arguments.into_owned(),
        });
    }
    Ok(answer)
}

/// The body for the client: the texts of the answer, or those that stand for them, through the channels.
fn deliver(
    facts: &mut Facts,
    answer: &dyn protocol::Answer,
    mut channels: Channels,
    left: Option<Vec<String>>,
    ids: Option<IdMap>,
) -> Result<Bytes, Failure> {
    let mut edits = answer.rename_model(&facts.destination.served_as);
    if let Some(ids) = ids {
        answer.rename_ids(&mut edits, &ids);
    }
    let policy = facts.snapshot.config.opaque_parts;
    if let Err(blocked) = channels.opaque(answer.opaque(), policy) {
        channels.report(facts, true);
        facts.asked_tools.clear();
        return Err(Failure::Blocked(blocked));
    }
    for (at, output) in answer.outputs().iter().enumerate() {
        let text = output.decode(answer.doc());
        let goes_in = match &left {
            None => &*text,
            // One for each output; an output without one would be a text that nobody judged.
            Some(left) => left.get(at).ok_or(Failure::Error(Error::Internal))?,
        };
        match channels.whole(output.choice, output.channel, goes_in) {
            Ok(left) if left == text => {}
            Ok(left) => {
                answer.replace_output(&mut edits, output, &left);
                answer.drop_derived(&mut edits, output.choice);
            }
            Err(blocked) => {
                channels.report(facts, true);
                facts.asked_tools.clear();
                return Err(Failure::Blocked(blocked));
            }
        }
    }
    channels.report(facts, false);
    edits
        .apply(answer.doc())
        .map_err(|_| Failure::Error(Error::Internal))
}

/// The words that the protocols document; anything else is the provider's free text and recorded as `other`.
pub(crate) fn finish_word(reason: &str) -> String {
    const KNOWN: [&str; 18] = [
        "stop",
        "length",
        "tool_calls",
        "content_filter",
        "function_call",
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
        "completed",
        "incomplete",
        "failed",
        "cancelled",
        "max_output_tokens",
        "queued",
    ];
    KNOWN
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("other")
        .to_owned()
}

/// Takes the provider's usage over; a usage that cannot be true is not used and the settle stage estimates.
pub(crate) fn note_usage(facts: &mut Facts, usage: Result<Option<Usage>, UsageError>) {
    match usage {
        Ok(Some(usage)) => {
            facts.usage = usage;
            facts.usage_source = UsageSource::Provider;
        }
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%error, id = %facts.id, "usage of the provider is not plausible; it is estimated")
        }
    }
}

/// What an answer that the gateway writes itself says about where it comes from.
pub(crate) fn head(request: &inspect::Request, facts: &Facts) -> Head {
    let prefix = match request.protocol {
        Protocol::Messages | Protocol::CountTokens => "msg_",
        Protocol::Responses => "resp_",
        Protocol::Completions => "cmpl-",
        _ => "chatcmpl-",
    };
    Head {
        id: format!("{prefix}{}", facts.id),
        created: u64::try_from(facts.arrival.micros() / 1_000_000).unwrap_or(0),
        model: facts.destination.served_as.to_string(),
    }
}

/// The answer of a deployment that calls no provider.
///
/// # Errors
/// A judgement cannot be made up.
fn mocked(request: &inspect::Request, facts: &Facts, text: &str) -> Result<Bytes, Error> {
    let (head, n) = (head(request, facts), request.body.choices());
    Ok(match request.protocol {
        Protocol::Chat => mock::chat(&head, text, n, &mock::USAGE),
        Protocol::Completions => completions::mock::answer(&head, text, n, &mock::USAGE),
        Protocol::Messages => anthropic::mock::message(&head, text, &mock::USAGE),
        Protocol::Responses => responses::mock::answer(&head, text, &mock::USAGE),
        Protocol::Embeddings => {
            let input = request.body.member("input");
            let count = input.map_or(1, |input| input.items().count().max(1));
            mock::embeddings(&facts.destination.requested, count, 8, &mock::USAGE)
        }
        Protocol::CountTokens => estimated(request),
        Protocol::Moderations
        | Protocol::ResponseGet
        | Protocol::ResponseDelete
        | Protocol::ResponseCancel
        | Protocol::ResponseInputItems => return Err(not_served("mock", request.protocol)),
    })
}

/// The frames of a streamed answer of such a deployment.
///
/// # Errors
/// For protocols without streams.
pub(crate) fn mocked_stream(
    request: &inspect::Request,
    facts: &Facts,
    text: &str,
) -> Result<Vec<Bytes>, Error> {
    let (head, n) = (head(request, facts), request.body.choices());
    Ok(match request.protocol {
        Protocol::Chat => mock::stream(&head, text, n, &mock::USAGE),
        Protocol::Completions => completions::mock::stream(&head, text, n, &mock::USAGE),
        Protocol::Messages => anthropic::mock::stream(&head, text, &mock::USAGE),
        Protocol::Responses => responses::mock::stream(&head, text, &mock::USAGE),
        other => return Err(not_served("mock", other)),
    })
}

fn estimated(request: &inspect::Request) -> Bytes {
    let tokens = crate::model_info::estimate(request.body.as_ref());
    anthropic::count::estimate(tokens).into()
}

/// A kind of call that a deployment's provider has nothing for.
pub(crate) fn not_served(provider: &str, protocol: Protocol) -> Error {
    Error::NotServed {
        provider: provider.to_owned(),
        what: protocol.call_type(),
    }
}

/// The answer's check headers.
pub(crate) fn applied(facts: &Facts) -> Option<HeaderValue> {
    let mut names: Vec<&str> = Vec::new();
    for entry in &facts.coverage {
        if entry.outcome.ran() && !names.contains(&entry.check.as_ref()) {
            names.push(&entry.check);
        }
    }
    (!names.is_empty())
        .then(|| HeaderValue::from_str(&names.join(",")).ok())
        .flatten()
}
