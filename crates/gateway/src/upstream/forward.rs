//! Stage 7: the way out. The only function that talks to a provider, and it takes what only a committed intent, held
//! reservations and finished checks can produce.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use llm::translate::Back;

use crate::checks::Selected;
use crate::config::Deployment;
use crate::digest::Purpose;
use crate::error::Error;
use crate::proxy::call::Call;
use crate::proxy::facts::{Attempt, End};
use crate::proxy::inspect;
use crate::proxy::open::Checked;
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
/// Longest `retry-after` that is passed on, in seconds.
const LONGEST_RETRY_AFTER: u64 = 3600;

/// A call that has been sent, with the provider's answer so far.
pub(crate) struct Forwarded {
    pub(crate) call: Call,
    pub(crate) request: inspect::Request,
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
    /// No answer.
    Failed(Error),
}

/// Sends the checked body to the deployment and waits for the head of the answer.
pub(crate) async fn forward(checked: Checked) -> Forwarded {
    let (mut call, request, edited, selected) = checked.into_parts();
    let Some(facts) = call.facts() else {
        return fail(call, request, selected, Error::Internal);
    };
    let deployment = facts.destination.deployment.clone();
    let deadline = facts.started + deployment.timeout;
    if let Some(text) = &deployment.mock_response {
        let source = Source::Mock(text.clone());
        return Forwarded {
            call,
            request,
            selected,
            source,
            back: None,
            deadline,
        };
    }
    if render::is_estimated(request.protocol, &deployment) {
        return Forwarded {
            call,
            request,
            selected,
            source: Source::Estimate,
            back: None,
            deadline,
        };
    }
    let model = facts.destination.upstream_model.clone();
    let rendered = render::render(&facts.snapshot, &request, &edited, &deployment, &model);
    let Outgoing {
        method,
        uri,
        headers,
        body,
        back,
        dropped,
    } = match rendered {
        Ok(outgoing) => outgoing,
        Err(error) => return fail(call, request, selected, error),
    };
    let sent_digest = call.app().digests.digest("", Purpose::Sent, &body);
    if let Some(facts) = call.facts_mut() {
        facts.sent_digest = Some(sent_digest);
        facts.dropped_params = dropped;
    }
    let outgoing = build(method, uri, headers, body);
    let began = Instant::now();
    let first_byte = first_byte_time(&call);
    let wait = if request.body.stream() {
        deployment.stream_timeout
    } else {
        first_byte
    }
    .min(deployment.timeout);
    let upstream = call.app().upstream.clone();
    let result = match tokio::time::timeout(wait, upstream.send(outgoing)).await {
        Err(_) => Err(Error::UpstreamTimeout {
            seconds: wait.as_secs(),
        }),
        Ok(Err(error)) => Err(unreachable(&error)),
        Ok(Ok(response)) => accept(&deployment, request.body.stream(), response).await,
    };
    let (status, code) = match &result {
        Ok(response) => (response.status().as_u16(), None),
        Err(Error::Upstream { status, .. }) => (*status, Some("upstream_error")),
        Err(error) => (0, Some(error.public().code)),
    };
    if let Some(facts) = call.facts_mut() {
        facts.timings.head = facts.elapsed();
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        facts.attempts.push(Attempt {
            deployment: deployment.id.clone(),
            status,
            micros,
            error: code,
        });
    }
    match result {
        Ok(response) => Forwarded {
            call,
            request,
            selected,
            source: Source::Provider(response),
            back,
            deadline,
        },
        Err(error) => fail(call, request, selected, error),
    }
}

/// How long the head of an answer may take.
fn first_byte_time(call: &Call) -> Duration {
    call.facts().map_or(ERROR_BODY_TIME, |facts| {
        facts.snapshot.config.limits.first_byte_timeout
    })
}

fn fail(mut call: Call, request: inspect::Request, selected: Selected, error: Error) -> Forwarded {
    call.if_dropped(End::Failed(error.public().code));
    Forwarded {
        call,
        request,
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
) -> Result<Response<RelayBody>, Error> {
    let status = response.status();
    if status.is_redirection() {
        return Err(Error::UpstreamInvalid(
            "it is a redirect, which is never followed".to_owned(),
        ));
    }
    if !status.is_success() {
        return Err(upstream_error(deployment, response).await);
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

async fn upstream_error(deployment: &Deployment, response: Response<RelayBody>) -> Error {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse::<u64>().ok())
        .map(|seconds| seconds.min(LONGEST_RETRY_AFTER));
    let body = read::whole(response.into_body(), LONGEST_ERROR, ERROR_BODY)
        .await
        .unwrap_or_default();
    let document: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let error = document.as_ref().and_then(|document| document.get("error"));
    let field = |name: &str| {
        error
            .and_then(|error| error.get(name))
            .and_then(serde_json::Value::as_str)
    };
    let message = field("message").or_else(|| error.and_then(serde_json::Value::as_str));
    let secrets = secrets(deployment);
    let clean = |text: &str| scrub(text, &secrets);
    Error::Upstream {
        status,
        provider: "OpenAI",
        message: message.map_or_else(
            || format!("status {status} without a readable error"),
            clean,
        ),
        code: field("code").map(clean),
        param: field("param").map(clean),
        retry_after,
    }
}

/// Every credential of a deployment, for the scrubber.
pub(crate) fn secrets(deployment: &Deployment) -> Vec<&str> {
    let key = deployment.api_key.iter().map(policy::Secret::expose);
    key.chain(
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
