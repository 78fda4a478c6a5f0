//! The demo's calls: what each does, and what must be true afterwards.

use anyhow::Result;
use gateway::sandbox::{Journal, Outcome};
use serde_json::{Value, json};

use super::instance::Target;
use super::table::Row;
use crate::client::{self, Answer};

/// The word that the demo's configuration blocks.
pub(super) const BLOCKED_WORD: &str = "swordfish";
/// The word that it masks, and what stands there instead.
pub(super) const MASKED_WORD: &str = "orchid";
pub(super) const MASK: &str = "[CODENAME]";

/// A model group whose deployment fails, and its fallback is `echo`.
pub(super) const FAILING_GROUP: &str = "main";
/// What the sandbox calls the model behind it.
pub(super) const FAILING_MODEL: &str = "fail-503";

pub(super) const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

/// A call that was made: its row so far, the id of its record if the answer told, and the outcome its record must have.
pub(super) struct Made {
    pub(super) row: Row,
    pub(super) id: Option<String>,
    pub(super) outcome: &'static str,
    /// Deployments that its record must name as attempts, in order, with the provider's status; empty when only one was asked.
    pub(super) attempts: &'static [(&'static str, u64)],
    /// Code of the refusal, for a request that never became a call.
    pub(super) refused: Option<&'static str>,
}

/// What is wrong with an answer to a call that tells no id.
pub(super) const NO_RECORD: &str = "the answer names no record";

/// Makes all calls but the one that is killed.
pub(super) fn all(target: &Target, provider: &Journal) -> Result<Vec<Made>> {
    let mut all = vec![
        plain(target)?,
        streamed(target)?,
        translated(target, provider)?,
        fallen_back(target)?,
        blocked(target, provider)?,
        masked(target, provider)?,
        leaving(target)?,
        failing(target)?,
    ];
    all.extend(super::guard::all(target, provider)?);
    Ok(all)
}

fn ask(
    target: &Target,
    model: &str,
    text: &str,
    stream: bool,
    enough: Option<&str>,
) -> Result<Answer> {
    let body = json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": text }] });
    client::post(target.address, CHAT, &target.key, &body, enough)
}

/// A row for `answer`; `wrong` says what is not as promised.
pub(super) fn made(
    what: &str,
    answer: &Answer,
    outcome: &'static str,
    wrong: &[(bool, &str)],
) -> Made {
    let mut wrong: Vec<&str> = wrong
        .iter()
        .filter(|(fine, _)| !fine)
        .map(|(_, text)| *text)
        .collect();
    let id = answer.header("x-litellm-call-id").map(str::to_owned);
    if id.is_none() {
        wrong.push(NO_RECORD);
    }
    let row = Row {
        what: what.to_owned(),
        status: answer.status.to_string(),
        took: Some(answer.took),
        wrong: (!wrong.is_empty()).then(|| wrong.join("; ")),
        ..Row::default()
    };
    Made {
        row,
        id,
        outcome,
        attempts: &[],
        refused: None,
    }
}

fn content(answer: &Answer) -> String {
    answer
        .json()
        .pointer("/choices/0/message/content")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

pub(super) fn code(answer: &Answer) -> String {
    answer
        .json()
        .pointer("/error/sealgate_code")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// What the call is called that is killed.
pub(super) const KILLED: &str = "a process that is killed";

/// The row of the killed call: no answer, and a record that recovery sealed.
pub(super) fn killed() -> Made {
    let row = Row {
        what: KILLED.to_owned(),
        status: "SIGKILL".to_owned(),
        ..Row::default()
    };
    Made {
        row,
        id: None,
        outcome: "unknown",
        attempts: &[],
        refused: None,
    }
}

/// The call that shows that the restarted gateway serves, and those of a team.
pub(super) fn after_the_restart(target: &Target) -> Result<Vec<Made>> {
    let mut made = plain(target)?;
    made.row.what = "and restarted".to_owned();
    let mut out = vec![made];
    out.extend(super::team::all(target)?);
    Ok(out)
}

/// One plain chat call.
fn plain(target: &Target) -> Result<Made> {
    let text = "Say this back to me.";
    let answer = ask(target, "echo", text, false, None)?;
    Ok(made(
        "plain",
        &answer,
        "success",
        &[
            (answer.status == 200, "status"),
            (content(&answer) == text, "another text came back"),
        ],
    ))
}

fn streamed(target: &Target) -> Result<Made> {
    let answer = ask(target, "story", "Tell me a story.", true, None)?;
    let events = answer.events();
    let done = events.last().is_some_and(|event| event == "[DONE]");
    Ok(made(
        "streamed",
        &answer,
        "success",
        &[
            (answer.status == 200, "status"),
            (events.len() > 40, "chunks are missing"),
            (done, "no [DONE]"),
        ],
    ))
}

/// A call in the form of Anthropic's SDK, streamed, served by a provider that speaks OpenAI's format only.
fn translated(target: &Target, provider: &Journal) -> Result<Made> {
    let before = provider.count();
    let text = "Say this back to me.";
    let body = json!({ "model": "echo", "max_tokens": 64, "stream": true,
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": text }] }] });
    let answer = client::post(target.address, MESSAGES, &target.key, &body, None)?;
    let events: Vec<Value> = answer
        .events()
        .iter()
        .filter_map(|event| serde_json::from_str(event).ok())
        .collect();
    let is = |event: Option<&Value>, kind: &str| {
        event.is_some_and(|event| event.get("type").is_some_and(|found| found == kind))
    };
    let said: String = events
        .iter()
        .filter_map(|event| event.pointer("/delta/text")?.as_str())
        .collect();
    let target = provider
        .requests()
        .get(before)
        .map(|request| request.target.clone());
    Ok(made(
        "Anthropic's SDK, OpenAI's provider",
        &answer,
        "success",
        &[
            (answer.status == 200, "status"),
            (
                is(events.first(), "message_start") && is(events.last(), "message_stop"),
                "not the events of a message",
            ),
            (said == text, "another text came back"),
            (
                target.is_some_and(|target| target.ends_with("/chat/completions")),
                "the provider got another format",
            ),
        ],
    ))
}

/// A call whose deployment fails; the fallback of its group answers, and the record holds both attempts.
fn fallen_back(target: &Target) -> Result<Made> {
    let text = "Say this back to me.";
    let answer = ask(target, FAILING_GROUP, text, false, None)?;
    let mut made = made(
        "a fallback",
        &answer,
        "success",
        &[
            (answer.status == 200, "status"),
            (content(&answer) == text, "another text came back"),
            (
                answer.header("x-litellm-attempted-fallbacks") == Some("1"),
                "the answer does not say that a fallback gave it",
            ),
            (
                answer.header("x-sealgate-attempts") == Some("main=503, echo=200"),
                "the answer does not name the attempts",
            ),
        ],
    );
    made.attempts = &[(FAILING_GROUP, 503), ("echo", 200)];
    Ok(made)
}

fn blocked(target: &Target, provider: &Journal) -> Result<Made> {
    let before = provider.count();
    let answer = ask(
        target,
        "echo",
        &format!("The password is {BLOCKED_WORD}."),
        false,
        None,
    )?;
    let silent = !answer.text().to_lowercase().contains(BLOCKED_WORD);
    Ok(made(
        "a blocked word",
        &answer,
        "blocked",
        &[
            (
                answer.status == 400 && code(&answer) == "blocked",
                "not refused as blocked",
            ),
            (provider.count() == before, "the provider was called"),
            (silent, "the error repeats the word"),
        ],
    ))
}

fn masked(target: &Target, provider: &Journal) -> Result<Made> {
    let before = provider.count();
    let answer = ask(
        target,
        "echo",
        &format!("Project {MASKED_WORD} starts today."),
        false,
        None,
    )?;
    let sent = provider
        .requests()
        .into_iter()
        .skip(before)
        .any(|request| String::from_utf8_lossy(&request.body).contains(MASKED_WORD));
    Ok(made(
        "a masked word",
        &answer,
        "success",
        &[
            (answer.status == 200, "status"),
            (
                content(&answer) == format!("Project {MASK} starts today."),
                "the answer is not the masked text",
            ),
            (!sent, "the provider saw the word"),
        ],
    ))
}

fn leaving(target: &Target) -> Result<Made> {
    let answer = ask(
        target,
        "drip",
        "Tell me slowly.",
        true,
        Some("\"content\":\"A\""),
    )?;
    let mut made = made(
        "a client that leaves",
        &answer,
        "partial",
        &[(answer.status == 200, "status")],
    );
    made.row.status = format!("{} (left)", answer.status);
    Ok(made)
}

fn failing(target: &Target) -> Result<Made> {
    let answer = ask(target, "fail-500", "Hello?", false, None)?;
    Ok(made(
        "an upstream that fails",
        &answer,
        "failure",
        &[
            (answer.status == 500, "status"),
            (code(&answer) == "upstream_error", "another error"),
        ],
    ))
}

/// A call that waits at the provider; the gateway is to be killed meanwhile. The connection must be kept until then.
pub(super) fn waiting(target: &Target, provider: &Journal) -> Result<std::net::TcpStream> {
    let before = provider.count();
    let body = json!({ "model": "hang", "messages": [{ "role": "user", "content": "Are you still there?" }] });
    let connection = client::send_only(target.address, CHAT, &target.key, &body)?;
    super::until("the provider has the call that waits", || {
        provider
            .requests()
            .get(before)
            .is_some_and(|request| request.outcome == Outcome::Open)
    })?;
    Ok(connection)
}
