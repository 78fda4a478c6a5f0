//! `sealgate keys`: virtual keys, by the management API of a running gateway; and what kind of key a text is, offline.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use policy::key_text::{self, Form};
use serde_json::{Map, Value, json};
use store::keys::DataDir;

use crate::client::{self, Answer, Server};
use crate::exit::Exit;

/// The variables that hold the key with which the gateway is asked, in this order. A key is no argument: everybody on a
/// machine can see arguments.
const VARIABLES: [&str; 2] = ["SEALGATE_API_KEY", "LITELLM_MASTER_KEY"];

/// The gateway that is asked.
#[derive(clap::Args)]
pub(crate) struct Gateway {
    /// The gateway; plain HTTP, so on this machine or behind a proxy of yours.
    #[arg(
        long,
        value_name = "URL",
        env = "SEALGATE_URL",
        default_value = "http://127.0.0.1:4000"
    )]
    url: String,
    /// The gateway's whole answer.
    #[arg(long)]
    json: bool,
}

/// What to do with keys. The key that is asked with comes from SEALGATE_API_KEY or LITELLM_MASTER_KEY.
#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Make a key and print it: this is the only time that it is shown.
    Create {
        #[command(flatten)]
        gateway: Gateway,
        #[command(flatten)]
        fields: Box<New>,
    },
    /// List keys: id, alias, state, spend, budget.
    List {
        #[command(flatten)]
        gateway: Gateway,
        /// Only those of a team.
        #[arg(long, value_name = "ID")]
        team: Option<String>,
        /// Only those of a user.
        #[arg(long, value_name = "ID")]
        user: Option<String>,
    },
    /// Show one key.
    Info(One),
    /// Refuse a key from now on, and cut its open streams.
    Block(One),
    /// Let a blocked key work again.
    Unblock(One),
    /// End a key for good.
    Delete(One),
    /// Give a key a new value and print it.
    Regenerate {
        #[command(flatten)]
        one: One,
        /// How long the old value works on, such as 24h.
        #[arg(long, value_name = "PERIOD")]
        grace_period: Option<String>,
    },
    /// Say what kind of key a text is and whether its check digits are right, without asking anybody; with --data-dir also
    /// its id, as records, rows of spend and the audit log name it.
    Id {
        /// The key, or its SHA-256; `-` reads one line of standard input, where nobody sees it.
        key: String,
        /// Directory of ledger and keys.
        #[arg(long, value_name = "DIR", env = "SEALGATE_DATA_DIR")]
        data_dir: Option<PathBuf>,
        /// Machine-readable output.
        #[arg(long)]
        json: bool,
    },
}

/// One key.
#[derive(clap::Args)]
pub(crate) struct One {
    #[command(flatten)]
    gateway: Gateway,
    /// Its id, or the key itself; `-` reads one line of standard input.
    key: String,
}

/// What a new key may do.
#[derive(clap::Args)]
pub(crate) struct New {
    /// Name for people; unique.
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    /// Team that it belongs to.
    #[arg(long, value_name = "ID")]
    team: Option<String>,
    /// User that it belongs to.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Model that it may use; may come several times. Without any: all.
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Budget in USD.
    #[arg(long, value_name = "USD")]
    max_budget: Option<f64>,
    /// Window of the budget, such as 30d.
    #[arg(long, value_name = "PERIOD")]
    budget_duration: Option<String>,
    /// Requests a minute.
    #[arg(long, value_name = "N")]
    rpm: Option<u64>,
    /// Tokens a minute.
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// Requests at the same time.
    #[arg(long, value_name = "N")]
    parallel: Option<u32>,
    /// Lifetime, such as 90d.
    #[arg(long, value_name = "PERIOD")]
    duration: Option<String>,
    /// More fields of POST /key/generate, as a JSON object.
    #[arg(long, value_name = "JSON")]
    fields: Option<String>,
}

impl New {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body: Map<String, Value> = match &self.fields {
            None => Map::new(),
            Some(text) => serde_json::from_str(text).context("--fields is no JSON object")?,
        };
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                body.insert(name.to_owned(), value);
            }
        };
        put("key_alias", json!(self.alias));
        put("team_id", json!(self.team));
        put("user_id", json!(self.user));
        if !self.models.is_empty() {
            put("models", json!(self.models));
        }
        put("max_budget", json!(self.max_budget));
        put("budget_duration", json!(self.budget_duration));
        put("rpm_limit", json!(self.rpm));
        put("tpm_limit", json!(self.tpm));
        put("max_parallel_requests", json!(self.parallel));
        put("duration", json!(self.duration));
        Ok(Value::Object(body))
    }
}

/// Does it. Exit 1 when the gateway refuses, or the text is no key.
pub(crate) fn run(action: &Action) -> anyhow::Result<Exit> {
    match action {
        Action::Create { gateway, fields } => {
            let asked = Asked::new(gateway)?;
            let made = asked.post("/key/generate", &fields.body()?)?;
            asked.told(&made, |made| once(made, "made"))
        }
        Action::List {
            gateway,
            team,
            user,
        } => list(gateway, team.as_deref(), user.as_deref()),
        Action::Info(one) => {
            let asked = Asked::new(&one.gateway)?;
            // A key itself goes in a body: the paths of requests are logged in many places.
            let info = asked.post("/v2/key/info", &json!({ "keys": [one.key()?] }))?;
            let rows = info.get("info").and_then(Value::as_array);
            let Some(row) = rows.and_then(|rows| rows.first()) else {
                bail!("there is no such key");
            };
            asked.told(row, |row| format!("{}\n", line(row)))
        }
        Action::Block(one) => change(one, "/key/block"),
        Action::Unblock(one) => change(one, "/key/unblock"),
        Action::Delete(one) => {
            let asked = Asked::new(&one.gateway)?;
            let gone = asked.post("/key/delete", &json!({ "keys": [one.key()?] }))?;
            asked.told(&gone, |_| "deleted\n".to_owned())
        }
        Action::Regenerate { one, grace_period } => {
            let asked = Asked::new(&one.gateway)?;
            let mut body = json!({ "key": one.key()? });
            if let (Some(grace), Some(body)) = (grace_period, body.as_object_mut()) {
                body.insert("grace_period".to_owned(), json!(grace));
            }
            let made = asked.post("/key/regenerate", &body)?;
            asked.told(&made, |made| once(made, "renewed"))
        }
        Action::Id {
            key,
            data_dir,
            json,
        } => id(&given(key)?, data_dir.as_deref(), *json),
    }
}

impl One {
    fn key(&self) -> anyhow::Result<String> {
        given(&self.key)
    }
}

/// An argument, or the line of standard input that it stands for.
fn given(text: &str) -> anyhow::Result<String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("reading a key from standard input")?;
    Ok(line.trim().to_owned())
}

/// A gateway with the key to ask it with.
pub(super) struct Asked<'a> {
    server: Server,
    key: String,
    gateway: &'a Gateway,
}

impl<'a> Asked<'a> {
    pub(super) fn new(gateway: &'a Gateway) -> anyhow::Result<Self> {
        let key = VARIABLES
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .map(|value| value.trim().to_owned())
            .find(|value| !value.is_empty());
        let Some(key) = key else {
            bail!("no key to ask with: set {}", VARIABLES.join(" or "));
        };
        if key.bytes().any(|byte| !byte.is_ascii_graphic()) {
            bail!("the key to ask with holds spaces or control characters");
        }
        let server = Server::of_url(&gateway.url)?;
        Ok(Self {
            server,
            key,
            gateway,
        })
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = client::post(self.server.address, path, &self.key, body, None);
        self.fine(answer)
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.fine(client::get(self.server.address, path, &self.key))
    }

    fn fine(&self, answer: anyhow::Result<Answer>) -> anyhow::Result<Value> {
        let answer = answer.with_context(|| format!("asking {}", self.gateway.url))?;
        let body = answer.json();
        if answer.status == 200 {
            return Ok(body);
        }
        let said = body
            .pointer("/error/message")
            .or_else(|| body.pointer("/detail/0/msg"))
            .and_then(Value::as_str);
        let field = body
            .pointer("/detail/0/loc/1")
            .and_then(Value::as_str)
            .map(|field| format!("{field}: "))
            .unwrap_or_default();
        bail!(
            "{} answers {}: {field}{}",
            self.gateway.url,
            answer.status,
            said.unwrap_or("no message")
        );
    }

    pub(super) fn told(
        &self,
        value: &Value,
        short: impl FnOnce(&Value) -> String,
    ) -> anyhow::Result<Exit> {
        if self.gateway.json {
            say(&format!("{value:#}\n"))?;
        } else {
            say(&short(value))?;
        }
        Ok(Exit::Ok)
    }
}

fn change(one: &One, path: &str) -> anyhow::Result<Exit> {
    let asked = Asked::new(&one.gateway)?;
    let row = asked.post(path, &json!({ "key": one.key()? }))?;
    asked.told(&row, |row| format!("{}\n", line(row)))
}

fn list(gateway: &Gateway, team: Option<&str>, user: Option<&str>) -> anyhow::Result<Exit> {
    let asked = Asked::new(gateway)?;
    let mut filter = String::new();
    for (name, value) in [("team_id", team), ("user_id", user)] {
        if let Some(value) = value {
            filter.push_str(&format!("&{name}={}", escaped(value)));
        }
    }
    let mut all = Vec::new();
    for page in 1_u64.. {
        let path = format!("/key/list?return_full_object=true&size=100&page={page}{filter}");
        let answer = asked.get(&path)?;
        let rows = answer.get("keys").and_then(Value::as_array);
        all.extend(rows.into_iter().flatten().cloned());
        let pages = answer.get("total_pages").and_then(Value::as_u64);
        if pages.unwrap_or(0) <= page {
            break;
        }
    }
    asked.told(&Value::Array(all), |all| {
        let rows = all.as_array().into_iter().flatten();
        rows.map(|row| format!("{}\n", line(row))).collect()
    })
}

/// One key in one line.
fn line(row: &Value) -> String {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or("-");
    let id = row.get("token").or_else(|| row.get("token_id"));
    let blocked = row.get("blocked").and_then(Value::as_bool) == Some(true);
    let state = if blocked { "blocked" } else { "active" };
    let number = |name: &str| row.get(name).and_then(Value::as_f64);
    let budget = number("max_budget").map_or_else(|| "-".to_owned(), |usd| format!("{usd:.6}"));
    format!(
        "{}  {:<12}  {:<20}  {:<20}  {:<8}  spent {:.6} of {budget} USD  expires {}",
        id.and_then(Value::as_str).unwrap_or("-"),
        text("key_name"),
        text("key_alias"),
        text("team_id"),
        row.get("status").and_then(Value::as_str).unwrap_or(state),
        number("spend").unwrap_or(0.0),
        text("expires"),
    )
}

/// A key that is shown once: alone on standard output, so that it can be piped; the rest on standard error.
fn once(made: &Value, word: &str) -> String {
    let text = |name: &str| made.get(name).and_then(Value::as_str).unwrap_or_default();
    let note = match made.get("warning").and_then(Value::as_str) {
        Some(warning) => format!("; {warning}"),
        None => String::new(),
    };
    super::serve::say(&format!(
        "{word}: {} (shown only now){note}",
        text("token_id")
    ));
    format!("{}\n", text("key"))
}

/// Everything but unreserved characters as `%XX`.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| match plain(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

fn id(text: &str, data_dir: Option<&Path>, as_json: bool) -> anyhow::Result<Exit> {
    let form = key_text::form(text);
    let (kind, says) = described(form);
    let is_key = !matches!(form, Form::ScannableDamaged | Form::Other);
    let id = match (form, data_dir) {
        (Form::PublicId, _) => Some(text.to_owned()),
        (_, Some(dir)) if is_key => {
            let data = DataDir::open(dir).with_context(|| format!("opening {}", dir.display()))?;
            Some(gateway::identity::public_id(&*data.digest_key()?, text))
        }
        _ => None,
    };
    let (environment, label) = match form {
        Form::Scannable { environment, label } => (Some(environment), Some(label)),
        _ => (None, None),
    };
    if as_json {
        let shown = json!({ "kind": kind, "is_key": is_key, "environment": environment, "label": label, "id": id });
        say(&format!("{shown:#}\n"))?;
    } else {
        let mut out = format!("{says}\n");
        if let (Some(environment), Some(label)) = (environment, label) {
            out.push_str(&format!("environment {environment}, label {label}\n"));
        }
        match (&id, is_key) {
            (Some(id), _) => out.push_str(&format!("id {id}\n")),
            (None, true) => out.push_str("its id is keyed by the ledger: give --data-dir\n"),
            (None, false) => {}
        }
        say(&out)?;
    }
    Ok(if is_key { Exit::Ok } else { Exit::Failed })
}

fn described(form: Form<'_>) -> (&'static str, &'static str) {
    match form {
        Form::Scannable { .. } => (
            "scannable",
            "a key of this gateway in the form for scanners; its check digits are right",
        ),
        Form::ScannableDamaged => (
            "scannable_damaged",
            "begins like a key of this gateway, but its check digits are wrong: cut, mistyped or invented",
        ),
        Form::Plain => (
            "plain",
            "looks like a key of this gateway: sk- and 256 bits",
        ),
        Form::LiteLlm => ("litellm", "looks like a key of LiteLLM: sk- and 128 bits"),
        Form::Chosen => (
            "chosen",
            "begins with sk-: a key that somebody chose, a master key, or a provider's",
        ),
        Form::Hash => (
            "hash",
            "looks like the SHA-256 of a key, as LiteLLM stores it",
        ),
        Form::PublicId => ("id", "looks like the id of a key"),
        Form::Other => ("other", "no key that this gateway accepts"),
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    // A reader that went away (`| head`) has seen what it wanted.
    let _unread = out.write_all(text.as_bytes());
    Ok(())
}
