//! `sealgate consent`: who agreed to what, by the API of a running gateway.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::keys::{Asked, Gateway};
use crate::exit::Exit;

/// What to do. The key that is asked with comes from SEALGATE_API_KEY or LITELLM_MASTER_KEY.
#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Write down that a person agreed to something. It counts from now on.
    Grant {
        #[command(flatten)]
        person: Person,
        /// What for; may come several times.
        #[arg(long = "purpose", value_name = "NAME", required = true)]
        purposes: Vec<String>,
        /// Version of the notice that was shown.
        #[arg(long, value_name = "VERSION")]
        notice_version: Option<String>,
        /// Language of the notice that was shown.
        #[arg(long, value_name = "LANGUAGE")]
        notice_language: Option<String>,
    },
    /// Write down that a person withdrew. It counts from the next call on.
    Withdraw {
        #[command(flatten)]
        person: Person,
        /// What for; may come several times.
        #[arg(long = "purpose", value_name = "NAME", conflicts_with = "all")]
        purposes: Vec<String>,
        /// Everything, also what nobody has named yet.
        #[arg(long, required_unless_present = "purposes")]
        all: bool,
    },
    /// Show what is known of a person.
    Info(Person),
}

/// Who is meant, and the gateway that is asked.
#[derive(clap::Args)]
pub(crate) struct Person {
    #[command(flatten)]
    gateway: Gateway,
    /// Who: as requests name the person. Only a keyed digest of it is stored.
    #[arg(long, value_name = "ID")]
    subject: String,
    /// Kind of subject: end_user (the default), user, key or metadata.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Tenant of the person; with the master key only.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
}

impl Person {
    fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("subject".to_owned(), json!(self.subject));
        for (name, value) in [("kind", &self.kind), ("tenant_id", &self.tenant)] {
            if let Some(value) = value {
                body.insert(name.to_owned(), json!(value));
            }
        }
        body
    }

    fn query(&self) -> String {
        let parts = self.body();
        let parts = parts.iter().map(|(name, value)| {
            let text = value.as_str().unwrap_or_default();
            format!("{name}={}", encoded(text))
        });
        parts.collect::<Vec<_>>().join("&")
    }
}

/// Percent-encodes everything but what never needs it.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Does it. Exit 1 when the gateway refuses.
pub(crate) fn run(action: &Action) -> anyhow::Result<Exit> {
    match action {
        Action::Grant {
            person,
            purposes,
            notice_version,
            notice_language,
        } => {
            let mut body = person.body();
            body.insert("purposes".to_owned(), json!(purposes));
            for (name, value) in [
                ("notice_version", notice_version),
                ("notice_language", notice_language),
            ] {
                if let Some(value) = value {
                    body.insert(name.to_owned(), json!(value));
                }
            }
            told(person, "/consent/grant", body)
        }
        Action::Withdraw {
            person,
            purposes,
            all,
        } => {
            let mut body = person.body();
            if *all {
                body.insert("all".to_owned(), json!(true));
            } else {
                body.insert("purposes".to_owned(), json!(purposes));
            }
            told(person, "/consent/withdraw", body)
        }
        Action::Info(person) => {
            let asked = Asked::new(&person.gateway)?;
            let answer = asked.get(&format!("/consent/info?{}", person.query()))?;
            asked.told(&answer, shown)
        }
    }
}

fn told(person: &Person, path: &str, body: Map<String, Value>) -> anyhow::Result<Exit> {
    let asked = Asked::new(&person.gateway)?;
    let answer = asked.post(path, &Value::Object(body))?;
    asked.told(&answer, shown)
}

/// One line for each purpose.
fn shown(answer: &Value) -> String {
    let text = |value: &Value, name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.unwrap_or("-").to_owned()
    };
    let mut out = format!("{} {}\n", text(answer, "kind"), text(answer, "subject"));
    let purposes = answer.get("purposes").and_then(Value::as_object);
    for (purpose, grant) in purposes.into_iter().flatten() {
        let purpose = match purpose.as_str() {
            "*" => "everything else",
            purpose => purpose,
        };
        out.push_str(&format!(
            "  {purpose}: {} {}, notice {} {}\n",
            text(grant, "state"),
            text(grant, "at"),
            text(grant, "notice_version"),
            text(grant, "notice_language"),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_travel_unharmed() {
        assert_eq!(
            encoded("anna@example.org&x=1"),
            "anna%40example.org%26x%3D1"
        );
        assert_eq!(encoded("ä b"), "%C3%A4%20b");
    }

    #[test]
    fn what_is_known_is_shown_by_purpose() {
        let answer = json!({ "kind": "end_user", "subject": "p", "purposes": {
            "*": { "state": "withdrawn", "at": "T", "notice_version": null },
            "support": { "state": "granted", "at": "T", "notice_version": "2", "notice_language": "en" },
        } });
        assert_eq!(
            shown(&answer),
            "end_user p\n  everything else: withdrawn T, notice - -\n  support: granted T, notice 2 en\n"
        );
    }
}
