//! `sealgate erase` and `sealgate content`: a person's data is erased, texts of calls are read, by the API of a running gateway.

use anyhow::bail;
use serde_json::{Value, json};

use super::keys::{Asked, Gateway};
use crate::exit::Exit;

/// Arguments of `erase`.
#[derive(clap::Args)]
pub(crate) struct Erase {
    #[command(flatten)]
    gateway: Gateway,
    /// Who: the id of an end user, a user, a key, or the value of the metadata member that names subjects.
    #[arg(long, value_name = "ID")]
    subject: String,
    /// Only this kind of subject: end_user, user, key or metadata.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Tenant of the subject; with the master key only.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
}

/// Arguments of `content`.
#[derive(clap::Args)]
pub(crate) struct Read {
    #[command(flatten)]
    gateway: Gateway,
    /// Ids of records (of calls).
    #[arg(required = true, value_name = "ID")]
    records: Vec<String>,
}

/// Erases. Exit 0 also when there was nothing to erase: the person is as gone as asked.
pub(crate) fn erase(args: &Erase) -> anyhow::Result<Exit> {
    let asked = Asked::new(&args.gateway)?;
    let mut body = json!({ "subject": args.subject });
    if let Some(members) = body.as_object_mut() {
        for (name, value) in [("kind", &args.kind), ("tenant_id", &args.tenant)] {
            if let Some(value) = value {
                members.insert(name.to_owned(), json!(value));
            }
        }
    }
    let done = asked.post("/content/erase", &body)?;
    if done.get("files_scrubbed") == Some(&Value::Bool(false)) {
        super::serve::say(
            "the key is destroyed; a reader of the table of keys kept its log from being emptied: run this again",
        );
    }
    asked.told(&done, told)
}

fn told(done: &Value) -> String {
    let erased = done.get("erased").and_then(Value::as_array);
    let mut out = String::new();
    for one in erased.into_iter().flatten() {
        let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or("-");
        let records = one.get("records").and_then(Value::as_u64).unwrap_or(0);
        out.push_str(&format!(
            "erased {} {}: {records} records lose their content\n",
            text("kind"),
            text("subject")
        ));
    }
    if let Some(record) = done.get("record").and_then(Value::as_str) {
        let rows = done.get("spend_rows_anonymised").and_then(Value::as_u64);
        out.push_str(&format!(
            "{} rows of spend made anonymous; sealed as {record}\n",
            rows.unwrap_or(0)
        ));
    }
    if out.is_empty() {
        out.push_str("nothing to erase: no key, no name\n");
    }
    out
}

/// Reads, under one sealed record of the reading. Exit 1 when the content of a record is not there any more or was never kept.
pub(crate) fn read(args: &Read) -> anyhow::Result<Exit> {
    let asked = Asked::new(&args.gateway)?;
    let answer = asked.post("/content/read", &json!({ "ids": args.records }))?;
    let Some(records) = answer.get("records").and_then(Value::as_array) else {
        bail!("the gateway answers without records");
    };
    let all = records
        .iter()
        .all(|one| one.get("state").and_then(Value::as_str) == Some("present"));
    asked.told(&answer, |_| {
        records
            .iter()
            .map(|one| {
                let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or("-");
                match one.get("content").filter(|content| !content.is_null()) {
                    Some(content) => format!("{} {}\n{content:#}\n", text("id"), text("state")),
                    None => format!("{} {}\n", text("id"), text("state")),
                }
            })
            .collect()
    })?;
    Ok(if all { Exit::Ok } else { Exit::Failed })
}
