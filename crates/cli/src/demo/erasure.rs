//! A person's data in the demo: kept masked and encrypted, read, erased, and gone, while the record stays as it was sealed.

use anyhow::Result;
use serde_json::{Value, json};

use super::calls::{self, CHAT, Made};
use super::instance::Target;
use crate::client;

const PERSON: &str = "customer-7";
const MAIL: &str = "anna@example.com";

/// A call of a person who is erased afterwards.
pub(super) fn erased(target: &Target) -> Result<Made> {
    let text = format!("Write to {MAIL} about my order.");
    let body = json!({ "model": "echo", "user": PERSON, "messages": [{ "role": "user", "content": text }] });
    let answer = client::post(target.address, CHAT, &target.key, &body, None)?;
    let id = answer.header("x-litellm-call-id").unwrap_or_default();
    let before = shown(target, id)?;
    let kept = before
        .pointer("/content/request")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let body = json!({ "subject": PERSON, "kind": "end_user" });
    let erasure = client::post(target.address, "/content/erase", &target.key, &body, None)?;
    let after = shown(target, id)?;
    let again = client::post(target.address, "/content/erase", &target.key, &body, None)?;
    let mut made = calls::made(
        "a person who is erased",
        &answer,
        "success",
        &[
            (answer.status == 200, "status"),
            (
                kept == "Write to <EMAIL_ADDRESS> about my order.",
                "what is kept is not the masked text",
            ),
            (
                erasure.status == 200
                    && erasure.json().get("files_scrubbed") == Some(&Value::Bool(true)),
                "the erasure was not done",
            ),
            (
                after.get("state") == Some(&json!("erased"))
                    && after.get("content") == Some(&Value::Null),
                "the content can still be read",
            ),
            (
                again.json().get("record") == Some(&Value::Null),
                "a second erasure did something",
            ),
        ],
    );
    made.row.status = format!("{}, erased", answer.status);
    Ok(made)
}

/// What is kept of a call; its record is committed after the answer.
fn shown(target: &Target, id: &str) -> Result<Value> {
    let path = format!("/content/{id}");
    super::until("the record of the person's call is committed", || {
        client::get(target.address, &path, &target.key).is_ok_and(|answer| answer.status == 200)
    })?;
    Ok(client::get(target.address, &path, &target.key)?.json())
}
