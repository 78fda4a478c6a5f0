//! A team, a key of it with a small budget, the refusal when that is spent, and the block of the key.

use anyhow::Result;
use serde_json::{Value, json};

use super::calls::{CHAT, Made, code, made};
use super::instance::Target;
use crate::client::{self, Answer};

/// Budget of the key in USD: enough for a few calls.
const BUDGET: f64 = 0.001;
/// More calls than that can never pass.
const MOST: usize = 50;

/// Makes team and key, spends the budget, blocks the key.
pub(super) fn all(target: &Target) -> Result<Vec<Made>> {
    let team = manage(target, "/team/new", &json!({ "team_alias": "demo-team" }))?;
    let team_id = team.pointer("/team_id").cloned().unwrap_or_default();
    let key = json!({ "team_id": team_id, "key_alias": "demo-key", "models": ["echo"], "max_budget": BUDGET });
    let key = manage(target, "/key/generate", &key)?;
    let text = key.pointer("/key").and_then(Value::as_str);
    let text = text.unwrap_or_default().to_owned();
    let first = call(target, &text)?;
    let mut out = vec![made(
        "a key of a team",
        &first,
        "success",
        &[
            (text.starts_with("sk-"), "no key was made"),
            (first.status == 200, "status"),
        ],
    )];
    out.push(spent(target, &text)?);
    out.push(blocked(target, &text)?);
    Ok(out)
}

fn manage(target: &Target, path: &str, body: &Value) -> Result<Value> {
    Ok(client::post(target.address, path, &target.key, body, None)?.json())
}

fn call(target: &Target, key: &str) -> Result<Answer> {
    let body = json!({ "model": "echo", "max_tokens": 16,
        "messages": [{ "role": "user", "content": "Spend a little." }] });
    client::post(target.address, CHAT, key, &body, None)
}

/// Calls until the budget refuses one.
fn spent(target: &Target, key: &str) -> Result<Made> {
    let mut answer = call(target, key)?;
    for _ in 0..MOST {
        if answer.status != 200 {
            break;
        }
        answer = call(target, key)?;
    }
    let says = answer.text();
    Ok(refused(
        "its budget is spent",
        &answer,
        "budget_exceeded",
        &[
            (answer.status == 422, "status"),
            (code(&answer) == "budget_exceeded", "another error"),
            (
                says.contains("Max budget: 0.001000"),
                "the error does not name the limit",
            ),
        ],
    ))
}

fn blocked(target: &Target, key: &str) -> Result<Made> {
    let row = manage(target, "/key/block", &json!({ "key": key }))?;
    let answer = call(target, key)?;
    let is_blocked = row.pointer("/blocked").and_then(Value::as_bool) == Some(true);
    Ok(refused(
        "the key is blocked",
        &answer,
        "unauthenticated",
        &[
            (is_blocked, "the key was not blocked"),
            (answer.status == 401, "status"),
            (
                answer.text().contains("Key is blocked"),
                "the error does not say so",
            ),
        ],
    ))
}

/// The row of a request that was refused before it became a call: the answer names no record, the newest refusal with this
/// code is it.
fn refused(
    what: &str,
    answer: &Answer,
    code: &'static str,
    wrong: &[(bool, &'static str)],
) -> Made {
    let mut made = made(what, answer, "blocked", wrong);
    if made.id.is_none() && made.row.wrong.as_deref() == Some(super::calls::NO_RECORD) {
        made.row.wrong = None;
    }
    made.refused = Some(code);
    made
}
