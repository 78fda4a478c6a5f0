//! Stage 7: the way out. The only function that talks to a provider, and it takes what only a committed intent, held
//! reservations and finished checks can produce.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use llm::translate::{self, Back, Wire};

use crate::config::Deployment;
use crate::digest::Purpose;
use crate::error::Error;
use crate::guardrails::Selected;
use crate::proxy::call::Call;
use crate::proxy::check::Edited;
use crate::proxy::facts::{Attempt, End, Facts, Wasted};
use crate::proxy::inspect;
use crate::proxy::open::Checked;
use crate::proxy::reserve::Unheld;
use crate::routing;
use crate::server::read::{self, Patience};
use crate::upstream::client::SendError;
use crate::upstream::link::RelayBody;
use crate::upstream::render::{self, Outgoing};
use crate::upstream::scrub::scrub;

/// Longest error body of a provider that is read.
const LONGEST_ERROR: usize = 64 * 1024;
/// Time for reading it.
const ERROR_BODY_TIME: Duration = Duration::from_secs(5);
const ERROR_BODY: Patience = Patience {
    idle: ERROR_BODY_TIME,
    whole: ERROR_BODY_TIME,
};
/// How OpenAI and Azure say a wait below a second.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// Longest `retry-after` that is passed on, in seconds.
const LONGEST_RETRY_AFTER: u64 = 3600;

/// A checked call that has no answer yet: what every attempt is made of. A repetition or a fallback sends what the checks
/// left, because nothing else is here.
pub(crate) struct Unanswered {
    pub(crate) call: Call,
    pub(crate) request: inspect::Request,
    pub(crate) edited: Edited,
    pub(crate) selected: Selected,
}

/// A call that has been sent, with the provider's answer so far.
pub(crate) struct Forwarded {
    pub(crate) call: Call,
    pub(crate) request: inspect::Request,
    pub(crate) edited: Edited,
    pub(crate) selected: Selected,
    pub(crate) source: Source,
    /// How the provider's answer becomes the client's; `None` where both speak the same format.
    pub(crate) back: Option<Back>,
    /// When the whole answer must be complete.
    pub(crate) deadline: Instant,
}

/// Where the answer comes from.
pub(crate) enum Source {
    /// A successful response head; the body follows.
    Provider(Response<RelayBody>),
    /// `mock_response` of the deployment: nothing was sent.
    Mock(String),
    /// A count of tokens, made here because the provider has no way to ask: nothing was sent.
    Estimate,
    /// No answer, and no further attempt.
    Failed(Error),
}

/// What an attempt brought.
type Attempted = Result<(Source, Option<Back>, Instant), Error>;

/// Sends the checked body to the call's deployment and waits for the head of the answer; after a failure to the next one
/// that the router names.
pub(crate) async fn forward(checked: Checked) -> Forwarded {
    let (call, request, edited, selected) = checked.into_parts();
    let unanswered = Unanswered {
        call,
        request,
        edited,
        selected,
    };
    attempts(unanswered, Duration::ZERO, None).await
}

/// Goes on after an answer that turned out to be none before anything of it was delivered.
pub(crate) async fn again(mut unanswered: Unanswered, error: Error) -> Forwarded {
    match next(&mut unanswered, &error) {
        Some(wait) => attempts(unanswered, wait, Some(error)).await,
        None => fail(unanswered, error),
    }
}

/// Attempts until one is answered or the router knows no other; `failed` is why there is another one.
async fn attempts(
    mut unanswered: Unanswered,
    mut wait: Duration,
    mut failed: Option<Error>,
) -> Forwarded {
    loop {
        // A client that leaves drops this future, so nothing is sent for it after the wait.
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if let Some(error) = failed {
            let Unanswered { call, request, .. } = &mut unanswered;
            match call.retarget(request).await {
                Ok(()) => {}
                // Without room anywhere it is no other attempt, and the error is the one before.
                Err(Unheld::NoRoom(_)) => return fail(unanswered, error),
                Err(Unheld::Refused(error)) => return fail(unanswered, error),
            }
        }
        match attempt(&mut unanswered, wait).await {
            Ok((source, back, deadline)) => {
                let Unanswered {
                    call,
                    request,
                    edited,
                    selected,
                } = unanswered;
                return Forwarded {
                    call,
                    request,
                    edited,
                    selected,
                    source,
                    back,
                    deadline,
                };
            }
            Err(error) => match next(&mut unanswered, &error) {
                Some(longer) => (wait, failed) = (longer, Some(error)),
                None => return fail(unanswered, error),
            },
        }
    }
}

/// One attempt at the deployment that the facts name.
async fn attempt(unanswered: &mut Unanswered, waited: Duration) -> Attempted {
    let Unanswered {
        call,
        request,
        edited,
        ..
    } = unanswered;
    let upstream = call.app().upstream.clone();
    let digests = call.digests().clone();
    let facts = call.facts_mut().ok_or(Error::Internal)?;
    let deployment = facts.destination.deployment.clone();
    let deadline = deadline(facts, &deployment);
    let elapsed = facts.elapsed();
    if let Some(way) = &mut facts.destination.way {
        way.attempt_begins(elapsed);
    }
    if let Some(text) = &deployment.mock_response {
        return Ok((Source::Mock(text.clone()), None, deadline));
    }
    if render::is_estimated(request.protocol, &deployment) {
        return Ok((Source::Estimate, None, deadline));
    }
    let model = facts.destination.upstream_model.clone();
    let Outgoing {
        method,
        uri,
        mut headers,
        body,
        entra,
        back,
        dropped,
    } = render::render(&facts.snapshot, request, edited, &deployment, &model)?;
    if let Some(entra) = entra {
        entra.authorize(&upstream, &mut headers).await?;
    }
    let sent = digests.digest("", Purpose::Sent, &body);
    facts.sent_digest = Some(sent);
    facts.dropped_params = dropped;
    let began = Instant::now();
    let wait = match request.body.stream() {
        true => deployment.stream_timeout,
        false => facts.snapshot.config.limits.first_byte_timeout,
    }
    .min(deadline.saturating_duration_since(began));
    // From here on the record counts an attempt, whatever becomes of this future.
    facts.attempts.push(Attempt {
        deployment: deployment.id.clone(),
        group: facts.destination.group.clone(),
        sent,
        waited: micros(waited),
        wasted: None,
        status: 0,
        micros: 0,
        error: Some("no_answer"),
    });
    let outgoing = build(method, uri, headers, body);
    let mut status = 0;
    let result = match tokio::time::timeout(wait, upstream.send(outgoing)).await {
        Err(_) => Err(Error::UpstreamTimeout {
            seconds: wait.as_secs(),
        }),
        Ok(Err(error)) => Err(unreachable(&error)),
        Ok(Ok(response)) => {
            status = response.status().as_u16();
            let now = call.app().clock.now().micros();
            accept(&deployment, request.body.stream(), response, now).await
        }
    };
    let facts = call.facts_mut().ok_or(Error::Internal)?;
    facts.timings.head = facts.elapsed();
    if let Some(last) = facts.attempts.last_mut() {
        last.status = status;
        last.micros = micros(began.elapsed());
        last.error = result.as_ref().err().map(code_of);
    }
    result.map(|response| (Source::Provider(response), back, deadline))
}

/// When the whole answer of an attempt must be complete.
fn deadline(facts: &Facts, deployment: &Deployment) -> Instant {
    let most = facts.snapshot.config.limits.total_timeout;
    let asked = facts
        .destination
        .way
        .as_ref()
        .and_then(|way| way.time_asked());
    let call = most.max(deployment.timeout);
    let call = facts.started + asked.map_or(call, |asked| asked.min(call));
    call.min(Instant::now() + deployment.timeout)
}

/// Asks the router what comes after a failed attempt; the facts then name the next destination.
fn next(unanswered: &mut Unanswered, error: &Error) -> Option<Duration> {
    let app = unanswered.call.app().clone();
    let facts = unanswered.call.facts_mut()?;
    let deployment = facts.destination.deployment.clone();
    waste(facts, error, &deployment);
    // Who shuts down repeats nothing.
    let remaining = match app.is_draining() {
        true => Duration::ZERO,
        false => deadline(facts, &deployment).saturating_duration_since(Instant::now()),
    };
    routing::after(&app, facts, error, remaining)
}

/// A provider that took the prompt and then gave no usable answer may charge for it: the prompt is counted, by its length.
fn waste(facts: &mut Facts, error: &Error, deployment: &Deployment) {
    let tokens = facts.sent_text_bytes.div_ceil(4);
    let Some(last) = facts.attempts.last_mut() else {
        return;
    };
    last.error = Some(code_of(error));
    let taken = (200..300).contains(&last.status);
    if taken || matches!(error, Error::UpstreamTimeout { .. }) {
        let billed = policy::Billed {
            input: tokens,
            ..policy::Billed::default()
        };
        let cost = deployment.price.cost(&billed).ok();
        last.wasted = Some(Wasted {
            tokens,
            micro_usd: cost
                .and_then(|cost| cost.amount)
                .map(policy::MicroUsd::micro),
        });
    }
}

/// The stable code of a failed attempt.
fn code_of(error: &Error) -> &'static str {
    match error {
        Error::Upstream { .. } => "upstream_error",
        error => error.public().code,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn fail(unanswered: Unanswered, error: Error) -> Forwarded {
    let Unanswered {
        mut call,
        request,
        edited,
        selected,
    } = unanswered;
    call.if_dropped(End::Failed(error.public().code));
    Forwarded {
        call,
        request,
        edited,
        selected,
        source: Source::Failed(error),
        back: None,
        deadline: Instant::now(),
    }
}

fn build(method: Method, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(bytes));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// A success head of the right type goes on; everything else is an error, read and scrubbed.
async fn accept(
    deployment: &Deployment,
    stream: bool,
    response: Response<RelayBody>,
    now: i64,
) -> Result<Response<RelayBody>, Error> {
    let status = response.status();
    if status.is_redirection() {
        return Err(Error::UpstreamInvalid(
            "it is a redirect, which is never followed".to_owned(),
        ));
    }
    if !status.is_success() {
        return Err(upstream_error(deployment, response, now).await);
    }
    let text = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
            .unwrap_or_default()
    };
    let encoding = text(header::CONTENT_ENCODING);
    if !(encoding.is_empty() || encoding.eq_ignore_ascii_case("identity")) {
        return Err(Error::UpstreamInvalid(
            "it is compressed although identity was asked for".to_owned(),
        ));
    }
    let wanted = if stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let content_type = text(header::CONTENT_TYPE);
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case(wanted) {
        return Err(Error::UpstreamInvalid(format!(
            "its content type is not {wanted}"
        )));
    }
    Ok(response)
}

async fn upstream_error(deployment: &Deployment, response: Response<RelayBody>, now: i64) -> Error {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers(), now);
    let body = read::whole(response.into_body(), LONGEST_ERROR, ERROR_BODY)
        .await
        .unwrap_or_default();
    let wire = deployment
        .profile
        .map_or(Wire::OpenAi, |profile| profile.wire);
    let said = translate::error(wire, body);
    let refusal = said.refusal().map(|refusal| refusal.code().to_owned());
    // Google's code is the status once more; its word says what happened.
    let code = match wire {
        Wire::Gemini => said.kind.as_deref(),
        Wire::OpenAi | Wire::Anthropic => said.code.as_deref(),
    };
    let secrets = secrets(deployment);
    let clean = |text: &str| scrub(text, &secrets);
    Error::Upstream {
        status,
        provider: spoken_name(&deployment.provider),
        message: said.message.as_deref().map_or_else(
            || format!("status {status} without a readable error"),
            clean,
        ),
        code: refusal.or_else(|| code.map(clean)),
        param: said.param.as_deref().map(clean),
        retry_after,
    }
}

/// The seconds that a provider asks to wait: OpenAI's `retry-after-ms`, else `retry-after` as seconds or as a date. `now` is in
/// microseconds since the Unix epoch.
fn retry_after(headers: &HeaderMap, now: i64) -> Option<u64> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = || text(RETRY_AFTER_MS)?.parse::<u64>().ok();
    let seconds = || text(header::RETRY_AFTER)?.parse::<u64>().ok();
    let date = || {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        let at = parser.parse_timestamp(text(header::RETRY_AFTER)?).ok()?;
        let left = at.as_microsecond().saturating_sub(now).max(0);
        Some(left.unsigned_abs().div_ceil(1_000_000))
    };
    millis()
        .map(|millis| millis.div_ceil(1_000))
        .or_else(seconds)
        .or_else(date)
        .map(|seconds| seconds.min(LONGEST_RETRY_AFTER))
}

/// How LiteLLM's error texts name a provider; those of OpenAI's format are all called by its name.
pub(crate) fn spoken_name(provider: &str) -> &'static str {
    match provider {
        "anthropic" => "Anthropic",
        "azure" => "Azure",
        "gemini" => "Gemini",
        _ => "OpenAI",
    }
}

/// Every credential of a deployment, for the scrubber.
pub(crate) fn secrets(deployment: &Deployment) -> Vec<&str> {
    let keys = deployment.api_key.iter().chain(&deployment.token);
    keys.map(policy::Secret::expose)
        .chain(
            deployment
                .extra_headers
                .iter()
                .map(|(_, value)| value.expose()),
        )
        .collect()
}

fn unreachable(error: &SendError) -> Error {
    // The innermost cause is ours (egress) or the system's (refused, reset); none of them names a credential.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    tracing::warn!(cause = %cause, "a provider could not be reached");
    let public = if error.is_connect() {
        "connecting failed"
    } else {
        "the connection ended without an answer"
    };
    Error::UpstreamUnreachable(public.to_owned())
}

#[cfg(test)]
mod tests {
    use http::header::HeaderMap;

    use super::retry_after;

    #[test]
    fn a_wait_is_seconds_milliseconds_or_a_date() {
        // 2026-11-20T11:00:00Z
        let now = 1_795_172_400_000_000;
        for (name, value, expected) in [
            ("retry-after", "7", Some(7)),
            ("retry-after", " 7 ", Some(7)),
            ("retry-after-ms", "1500", Some(2)),
            ("retry-after", "Fri, 20 Nov 2026 11:00:30 GMT", Some(30)),
            ("retry-after", "Fri, 20 Nov 2026 10:00:00 GMT", Some(0)),
            ("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT", Some(3600)),
            ("retry-after", "99999999999", Some(3600)),
            ("retry-after", "-5", None),
            ("retry-after", "NaN", None),
            ("retry-after", "Fri, 99 Nov 2026 10:00:00 GMT", None),
            ("retry-after", "", None),
        ] {
            let headers = HeaderMap::from_iter([(
                name.parse().expect("a name"),
                value.parse().expect("a value"),
            )]);
            assert_eq!(retry_after(&headers, now), expected, "{name}: {value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
