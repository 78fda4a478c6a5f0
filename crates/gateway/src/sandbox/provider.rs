//! The routes: from a request to its answer.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::behaviour::{Behaviour, NAMES};
use super::chat::{self, Answer};
use super::formats::{self, Format};
use super::journal::{Journal, Outcome, Recorded, Ticket};
use super::reply::{self, Reply};
use super::script::{Script, Step};
use super::{embeddings, hostile, sse};

/// The caller broke off or the sandbox breaks the connection on purpose: no answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
pub(super) struct NoAnswer;

/// What answers requests, for all connections.
pub(super) struct Provider {
    key: Option<String>,
    journal: Journal,
}

impl Provider {
    pub(super) fn new(key: Option<String>, journal: Journal) -> Self {
        Self { key, journal }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Reply, NoAnswer> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
        let header = |name: &header::HeaderName, value: &HeaderValue| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        let target = head
            .uri
            .path_and_query()
            .map_or_else(|| head.uri.to_string(), ToString::to_string);
        let recorded = Recorded {
            method: head.method.to_string(),
            target: target.clone(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| header(name, value))
                .collect(),
            body: body.clone(),
            outcome: Outcome::Open,
        };
        let bearer = recorded.header("authorization");
        let key = bearer
            .and_then(|value| value.strip_prefix("Bearer "))
            .or_else(|| recorded.header("x-api-key"))
            .or_else(|| recorded.header("api-key"))
            .or_else(|| recorded.header("x-goog-api-key"))
            .map(str::to_owned);
        let mut ticket = self.journal.add(recorded);
        let path = head
            .uri
            .path()
            .strip_prefix("/v1")
            .unwrap_or(head.uri.path());
        let reply = match self.allowed(key.as_deref()) {
            _ if path.ends_with("/oauth2/v2.0/token") => token(&body),
            Some(refused) => refused,
            None => {
                let stored = formats::stored_stream(path, head.uri.query().unwrap_or_default());
                if let ("GET", Some(body)) = (head.method.as_str(), stored) {
                    let reply = formatted(Format::Responses, &body, None, false, "", &mut ticket);
                    return Ok(reply.await?.map(|script| script.recorded_by(ticket)));
                }
                route(
                    &head.method,
                    path,
                    &body,
                    key.as_deref().unwrap_or_default(),
                    &mut ticket,
                )
                .await?
            }
        };
        Ok(reply.map(|script| script.recorded_by(ticket)))
    }

    fn allowed(&self, key: Option<&str>) -> Option<Reply> {
        let invalid = |message: &str| {
            Some(reply::error(
                401,
                "invalid_request_error",
                Some("invalid_api_key"),
                None,
                message,
            ))
        };
        match (key, &self.key) {
            (None, _) => invalid("You didn't provide an API key."),
            (Some(presented), Some(expected)) if presented != expected => {
                invalid("Incorrect API key provided.")
            }
            _ => None,
        }
    }
}

async fn route(
    method: &Method,
    path: &str,
    body: &Bytes,
    key: &str,
    ticket: &mut Ticket,
) -> Result<Reply, NoAnswer> {
    // Azure: its dated form has the deployment in the path.
    let path = match path.strip_prefix("/openai/deployments/") {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(path),
        None => path
            .strip_prefix("/openai/v1")
            .or_else(|| path.strip_prefix("/openai"))
            .unwrap_or(path),
    };
    if let Some((format, model, stream)) = format_of(method, path) {
        return formatted(format, body, model, stream, key, ticket).await;
    }
    let json = || serde_json::from_slice::<Value>(body).unwrap_or_default();
    if let Some(answer) = formats::stored(method.as_str(), path) {
        return Ok(reply::json_reply(200, &answer));
    }
    match (method.as_str(), path) {
        ("POST", "/moderations") => Ok(judged(&json(), Format::Responses, formats::moderation)),
        ("POST", "/messages/count_tokens") => Ok(judged(&json(), Format::Messages, formats::count)),
        ("POST", path) if path.ends_with(":batchEmbedContents") => {
            let model = path
                .strip_prefix("beta/models/")
                .and_then(|rest| rest.split_once(':'));
            let mut body = json();
            chat::set(
                &mut body,
                "model",
                model.map_or("", |(model, _)| model).into(),
            );
            Ok(judged(&body, Format::Gemini, formats::embeddings))
        }
        ("POST", "/chat/completions") => completion(body, key, ticket).await,
        ("POST", "/embeddings") => Ok(embedding(body)),
        ("GET", "/models") => Ok(reply::json_reply(200, &models())),
        ("GET" | "POST", "/sink") => Ok(reply::json_reply(200, &json!({ "sink": true }))),
        _ => Ok(reply::error(
            404,
            "invalid_request_error",
            None,
            None,
            &format!("Invalid URL ({method} {path})"),
        )),
    }
}

/// The format of a path beside chat completions, the model it names, and whether it asks for a stream.
fn format_of<'p>(method: &Method, path: &'p str) -> Option<(Format, Option<&'p str>, bool)> {
    if method != Method::POST {
        return None;
    }
    match path {
        "/completions" => Some((Format::Completions, None, false)),
        "/messages" => Some((Format::Messages, None, false)),
        "/responses" => Some((Format::Responses, None, false)),
        _ => {
            let (model, call) = path.strip_prefix("beta/models/")?.split_once(':')?;
            let stream = call == "streamGenerateContent";
            (stream || call == "generateContent").then_some((Format::Gemini, Some(model), stream))
        }
    }
}

/// The identity provider of Azure's deployments: a token for every secret but `wrong`.
fn token(form: &Bytes) -> Reply {
    let form = String::from_utf8_lossy(form);
    let has = |pair: &str| form.split('&').any(|found| found == pair);
    if !has("grant_type=client_credentials") || has("client_secret=wrong") {
        return reply::json_reply(401, &json!({ "error": "invalid_client" }));
    }
    let token =
        json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": "entra-token" });
    reply::json_reply(200, &token)
}

/// An answer without choices, or the failure that the model's name asks for.
fn judged(body: &Value, format: Format, answer: fn(&Value) -> Value) -> Reply {
    let model = body
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match Behaviour::of(model) {
        Some(Behaviour::Fail(status)) => failed(format, status),
        _ => reply::json_reply(200, &answer(body)),
    }
}

fn failed(format: Format, status: u16) -> Reply {
    let mut reply = reply::failure(status);
    let error =
        json!({ "error": { "message": "The sandbox failed as asked.", "type": "server_error" } });
    *reply.body_mut() = Script::whole(formats::failure(format, status, &error).to_string());
    reply
}

/// As [`completion`], in another format.
async fn formatted(
    format: Format,
    body: &Bytes,
    model: Option<&str>,
    stream: bool,
    key: &str,
    ticket: &mut Ticket,
) -> Result<Reply, NoAnswer> {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = format!("cmpl-sandbox{:016x}", fnv(body, 0));
    let Some(request) = formats::read(format, &json, model, stream, id) else {
        return Ok(failed(format, 400));
    };
    let Some(behaviour) = Behaviour::of(&request.model) else {
        return Ok(failed(format, 404));
    };
    match behaviour {
        Behaviour::Fail(status) => return Ok(failed(format, status)),
        Behaviour::FailEchoingKey => return Ok(echoing(key)),
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Slow(time) => tokio::time::sleep(time).await,
        Behaviour::CutBeforeHead => {
            ticket.end(Outcome::Cut);
            return Err(NoAnswer);
        }
        _ => {}
    }
    let answer = Answer::compose(&request, behaviour);
    if request.stream {
        return Ok(reply::stream(Script::new(formats::steps(
            format, behaviour, &answer,
        ))));
    }
    let whole = formats::whole(format, &answer);
    Ok(match behaviour {
        Behaviour::CutAfter(_) => cut(&whole),
        _ => reply::json_reply(200, &whole),
    })
}

fn models() -> Value {
    let data: Vec<Value> = NAMES
        .iter()
        .map(|name| json!({ "id": name, "object": "model", "created": chat::CREATED, "owned_by": "sandbox" }))
        .collect();
    json!({ "object": "list", "data": data })
}

fn embedding(body: &Bytes) -> Reply {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let model = body
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match (Behaviour::of(model), embeddings::answer(&body)) {
        (Some(Behaviour::Fail(status)), _) => reply::failure(status),
        (_, Some(answer)) => reply::json_reply(200, &answer),
        (_, None) => bad_request("input"),
    }
}

fn bad_request(field: &str) -> Reply {
    let message = format!("Missing required parameter: '{field}'.");
    reply::error(
        400,
        "invalid_request_error",
        Some("missing_required_parameter"),
        Some(field),
        &message,
    )
}

async fn completion(body: &Bytes, key: &str, ticket: &mut Ticket) -> Result<Reply, NoAnswer> {
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return Ok(reply::error(
            400,
            "invalid_request_error",
            None,
            None,
            "We could not parse the JSON body of your request.",
        ));
    };
    let id = format!("chatcmpl-sandbox{:016x}", fnv(body, 0));
    let Some(request) = chat::Request::read(&json, id) else {
        return Ok(bad_request("messages"));
    };
    let Some(behaviour) = Behaviour::of(&request.model) else {
        let message = format!(
            "The model `{}` does not exist or you do not have access to it.",
            request.model
        );
        return Ok(reply::error(
            404,
            "invalid_request_error",
            Some("model_not_found"),
            None,
            &message,
        ));
    };
    let answer = Answer::compose(&request, behaviour);
    match behaviour {
        Behaviour::Fail(status) => return Ok(reply::failure(status)),
        Behaviour::FailEchoingKey => return Ok(echoing(key)),
        Behaviour::Redirect(status) => return Ok(redirect(status)),
        Behaviour::Hostile(kind) => return Ok(hostile::answer(kind, &request, &answer, key)),
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Slow(time) => tokio::time::sleep(time).await,
        Behaviour::CutBeforeHead => {
            ticket.end(Outcome::Cut);
            return Err(NoAnswer);
        }
        _ => {}
    }
    if request.stream {
        return Ok(reply::stream(Script::new(sse::steps(
            &request, behaviour, &answer,
        ))));
    }
    Ok(match behaviour {
        Behaviour::CutAfter(_) => cut(&answer.whole()),
        Behaviour::HangAfterFirst => {
            let text = answer.whole().to_string();
            let length = text.len() as u64;
            let half: Bytes = text.bytes().take(text.len() / 2).collect();
            reply::with_script(
                200,
                "application/json",
                Script::new([Step::Send(half), Step::Hang]).announcing(length),
            )
        }
        _ => reply::json_reply(200, &answer.whole()),
    })
}

/// Half of the announced body, then a broken connection.
fn cut(answer: &Value) -> Reply {
    let text = answer.to_string();
    let length = text.len() as u64;
    let half: Bytes = text.bytes().take(text.len() / 2).collect();
    let pause = Step::Pause(std::time::Duration::from_millis(5));
    reply::with_script(
        200,
        "application/json",
        Script::new([Step::Send(half), pause, Step::Cut]).announcing(length),
    )
}

fn echoing(key: &str) -> Reply {
    let message = format!(
        "Incorrect API key provided: {key}. See https://user:{key}@provider.example/v1?key={key}&x=1 or send Authorization: Bearer {key}."
    );
    let mut reply = reply::error(
        401,
        "invalid_request_error",
        Some("invalid_api_key"),
        None,
        &message,
    );
    if let Ok(value) = HeaderValue::from_str(&format!("Bearer {key}")) {
        reply.headers_mut().insert("x-echo-authorization", value);
    }
    reply
}

fn redirect(status: u16) -> Reply {
    let mut reply = reply::raw(status, "application/json", "{}");
    reply
        .headers_mut()
        .insert(header::LOCATION, HeaderValue::from_static("/sink"));
    reply
}

/// FNV-1a over `bytes`, started differently for each `seed`: for ids and vectors that follow the request.
pub(super) fn fnv(bytes: &[u8], seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
