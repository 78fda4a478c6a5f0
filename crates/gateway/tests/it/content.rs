//! Content of calls on a real data directory: what is kept, who can read it, and that it is gone when it is erased.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use capsule::chain::{ChainVerifier, Level};
use capsule::verify::{Keys, Record as Verifiable, Seal};
use capsule::{Signer as _, Timestamp};
use gateway::sandbox::Sandbox;
use gateway::serve::{self, Running, Setup, data};
use ledger::{Clock, SystemClock};
use serde_json::{Value, json};
use store::content::{KeyTable as _, StoredKey};
use store::keys::DataDir;
use store::reader::Reader;
use store::sqlite::SqliteKeyTable;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{MASTER, PROVIDER_KEY, TestApp, load, prompt};

const DAY: i64 = 86_400_000_000;
const MAIL: &str = "anna.schmidt@example.com";

/// The machine's clock and an offset.
struct Shifted(AtomicI64);

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now().micros();
        Timestamp::new(now + self.0.load(Ordering::SeqCst))
    }
}

/// A gateway over files.
pub(crate) struct Site {
    dir: PathBuf,
    _sandbox: Sandbox,
    running: Option<Running>,
    clock: Arc<Shifted>,
    config: Value,
}

impl Site {
    pub(crate) async fn start(dir: &Path, change: impl FnOnce(&mut Value)) -> Self {
        Self::start_at(dir, 0, change).await
    }

    async fn start_at(dir: &Path, offset: i64, change: impl FnOnce(&mut Value)) -> Self {
        let sandbox = Sandbox::start().await.expect("a sandbox");
        let mut config = json!({
            "model_list": [{ "model_name": "*", "litellm_params": {
                "model": "openai/*", "api_base": sandbox.base_url(), "api_key": PROVIDER_KEY,
            } }],
            "general_settings": { "master_key": MASTER },
            "sealgate": { "limits": { "drain_timeout": 2 } },
        });
        change(&mut config);
        let clock = Arc::new(Shifted(AtomicI64::new(offset)));
        if !data::exists(dir, None).expect("a directory") {
            data::create(dir, None, "chat", false, clock.clone()).expect("a new ledger");
        }
        let mut site = Self {
            dir: dir.to_owned(),
            _sandbox: sandbox,
            running: None,
            clock,
            config,
        };
        site.open().await;
        site
    }

    pub(crate) async fn open(&mut self) {
        let config = load(&self.config).expect("a configuration");
        let opened = data::open(&self.dir, &config, self.clock.clone()).expect("a ledger");
        let setup = Setup {
            config,
            ledger: opened.ledger,
            digest_key: opened.digest_key,
            access_log: None,
            clock: self.clock.clone(),
            identity: opened.identity,
            content: opened.content,
            sharing: None,
        };
        self.running = Some(serve::start(setup).await.expect("a start"));
    }

    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().expect("it runs");
        running
            .shutdown(Duration::from_secs(10))
            .await
            .expect("an end in order");
    }

    /// Status, id of the call, and body.
    pub(crate) async fn send(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> (u16, String, Value) {
        let address = self.running.as_ref().expect("it runs").address();
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let id = head
            .lines()
            .find_map(|line| line.strip_prefix("x-litellm-call-id: "))
            .unwrap_or_default();
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        (status.expect("a status"), id.trim().to_owned(), body)
    }

    pub(crate) async fn say(&self, text: &str, more: Value) -> String {
        let body = prompt("echo", text, more);
        let (status, id, body) = self
            .send(MASTER, "POST", "/v1/chat/completions", body)
            .await;
        assert_eq!(status, 200, "{body}");
        // The record is committed after the answer.
        for _ in 0..500 {
            if self.reader().row_by_id(&id).expect("readable").is_some() {
                return id;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no record of {id}");
    }

    pub(crate) async fn manage(&self, path: &str, body: Value) -> Value {
        let method = if body.is_null() { "GET" } else { "POST" };
        let (status, _, answer) = self.send(MASTER, method, path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub(crate) async fn shown(&self, id: &str) -> Value {
        self.manage(&format!("/content/{id}"), Value::Null).await
    }

    fn reader(&self) -> Reader {
        Reader::open(self.dir.join("capsules.db")).expect("a database")
    }

    pub(crate) fn record(&self, id: &str) -> Value {
        let row = self
            .reader()
            .row_by_id(id)
            .expect("readable")
            .expect("a record");
        serde_json::from_slice(&row.data).expect("a document")
    }

    pub(crate) fn events(&self, event: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let each = |row: ledger::journal::Row| {
            let document: Value = serde_json::from_slice(&row.data).expect("a document");
            if document["context"]["environment"]["event"] == event {
                found.push(document);
            }
            true
        };
        self.reader().for_each(0, each).expect("readable");
        found
    }

    /// Every file of the directory.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        std::fs::read_dir(&self.dir)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .map(|path| (path.clone(), std::fs::read(path).expect("a file")))
            .collect()
    }

    /// Names of files that hold these bytes.
    pub(crate) fn holding(&self, bytes: &[u8]) -> Vec<PathBuf> {
        self.files()
            .into_iter()
            .filter(|(_, content)| content.windows(bytes.len()).any(|at| at == bytes))
            .map(|(path, _)| path)
            .collect()
    }

    /// The stored key that the content of a record needs, as its table holds it.
    fn stored_key(&self, id: &str) -> Option<StoredKey> {
        let reader = self.reader();
        let sequence = reader
            .row_by_id(id)
            .expect("readable")
            .expect("a record")
            .sequence;
        let content = reader
            .content(sequence)
            .expect("readable")
            .expect("content");
        let mut table = SqliteKeyTable::open(self.dir.join("content-keys")).expect("a table");
        table.subject(&content.subject).expect("readable")
    }

    /// The chain verifies with signatures, and every row of content has the commitment of its record.
    pub(crate) fn verify(&self) {
        let data = DataDir::open(&self.dir).expect("keys");
        let key = data.signer().expect("a key").public_key();
        let mut chain = ChainVerifier::new(Level::Signatures, Keys::explicit(&key));
        let reader = self.reader();
        for row in reader.rows(0) {
            let row = row.expect("a row");
            let seal = Seal {
                hash: row.hash.clone(),
                signature: row.signature.clone(),
                signature_pq: row.signature_pq.clone(),
                signed_at: row.signed_at.clone(),
                signed_by: row.signed_by.clone().unwrap_or_default(),
            };
            let record = Verifiable::from_row(&row.data, seal).expect("a readable record");
            assert!(record.not_normal_form().is_none());
            chain
                .push(&record)
                .unwrap_or_else(|failure| panic!("the chain breaks: {failure:?}"));
            let document: Value = serde_json::from_slice(&row.data).expect("a document");
            let content = reader.content(row.sequence).expect("readable");
            assert_eq!(
                document["context"]["environment"]["content"]["digest"].as_str(),
                content.map(|content| content.commitment().hex()).as_deref(),
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_keeps_masked_text_for_the_subject_and_no_file_holds_any() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut site = Site::start(&dir.path().join("d"), |_| {}).await;
    let text = format!("please write to {MAIL} about the merger-canary");
    let id = site.say(&text, json!({ "user": "customer-7" })).await;
    let document = site.record(&id);
    let environment = &document["context"]["environment"];
    assert_eq!(environment["content"]["mode"], "masked");
    assert_eq!(document["trigger"]["request"], "");
    let shown = site.shown(&id).await;
    assert_eq!(shown["state"], "present", "{shown}");
    let request = shown["content"]["request"].as_str().expect("a request");
    assert_eq!(
        request,
        "please write to <EMAIL_ADDRESS> about the merger-canary"
    );
    assert!(shown["content"]["answer"].is_string());
    assert_eq!(shown["content"]["user"], "customer-7");
    assert!(!shown.to_string().contains(MAIL));
    site.stop().await;
    for text in ["merger-canary", MAIL, "customer-7"] {
        assert_eq!(
            site.holding(text.as_bytes()),
            Vec::<PathBuf>::new(),
            "{text}"
        );
    }
    site.verify();
    let reads = site.events("content_read");
    assert_eq!(reads.len(), 1);
    assert_eq!(reads[0]["context"]["environment"]["record"], id.as_str());
    assert_eq!(reads[0]["type"], "auth");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_check_masked_is_kept_masked_and_what_it_refused_is_not_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::start(&dir.path().join("d"), |config| {
        config["guardrails"] = json!([
            crate::support::words("pre_call", "bluebird", "MASK")[0],
            crate::support::words("pre_call", "redbird", "BLOCK")[0],
        ]);
        config["guardrails"][1]["guardrail_name"] = json!("second");
    })
    .await;
    let id = site.say("project BLUEBIRD starts", json!({})).await;
    let shown = site.shown(&id).await;
    let request = shown["content"]["request"].as_str().expect("a request");
    assert!(!request.to_lowercase().contains("bluebird"), "{request}");
    assert!(request.starts_with("project "), "{request}");
    let body = prompt("echo", "project redbird", json!({}));
    let (status, _, answer) = site
        .send(MASTER, "POST", "/v1/chat/completions", body)
        .await;
    assert_eq!(status, 400, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_gone_from_every_file_and_the_chain_still_verifies() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut site = Site::start(&dir.path().join("d"), |config| {
        config["sealgate"]["content_mode"] = json!("encrypted");
    })
    .await;
    let anna = site
        .say("anna says canary-one", json!({ "user": "anna" }))
        .await;
    let again = site
        .say("anna says canary-two", json!({ "user": "anna" }))
        .await;
    let bert = site
        .say("bert says canary-three", json!({ "user": "bert" }))
        .await;
    assert_eq!(
        site.shown(&anna).await["content"]["request"],
        "anna says canary-one"
    );
    let key = site.stored_key(&anna).expect("a key");
    assert!(!site.holding(&key.wrapped).is_empty());
    site.verify();
    let before = site.record(&anna);

    let done = site
        .manage("/content/erase", json!({ "subject": "anna" }))
        .await;
    assert_eq!(done["erased"][0]["records"], 2, "{done}");
    assert_eq!(done["erased"][0]["kind"], "end_user");
    assert_eq!(done["spend_rows_anonymised"], 2);
    assert_eq!(done["files_scrubbed"], true);
    assert_eq!(site.holding(&key.wrapped), Vec::<PathBuf>::new());
    assert_eq!(
        site.holding(&key.id.0).len(),
        1,
        "only the note of the erasure in the ledger"
    );
    assert!(site.stored_key(&anna).is_none());
    for id in [&anna, &again] {
        let shown = site.shown(id).await;
        assert_eq!(
            (&shown["state"], &shown["content"]),
            (&json!("erased"), &Value::Null)
        );
    }
    assert_eq!(site.shown(&bert).await["state"], "present");
    assert_eq!(site.record(&anna), before, "the record is as it was");
    site.verify();

    // Doing it again does nothing and seals nothing.
    let again = site
        .manage("/content/erase", json!({ "subject": "anna" }))
        .await;
    assert_eq!(
        (&again["erased"], &again["record"]),
        (&json!([]), &Value::Null)
    );
    let sealed = site.events("erasure");
    assert_eq!(sealed.len(), 1);
    let said = &sealed[0]["context"]["environment"]["subjects"][0];
    assert_eq!(said["subject"], done["erased"][0]["subject"]);
    assert!(!sealed[0].to_string().contains("anna"));

    // Who comes back gets a key of his own; the old content stays gone, also after a restart.
    let new = site.say("anna is back", json!({ "user": "anna" })).await;
    assert_eq!(site.shown(&new).await["state"], "present");
    site.stop().await;
    site.open().await;
    assert_eq!(site.shown(&anna).await["state"], "erased");
    assert_eq!(site.shown(&new).await["state"], "present");
    site.stop().await;
    site.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_loses_content_names_and_archive() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut site = Site::start(&dir.path().join("d"), |_| {}).await;
    let user = json!({ "user_id": "u-erika", "user_email": "erika@example.org", "auto_create_key": false });
    site.manage("/user/new", user).await;
    let made = site
        .manage("/key/generate", json!({ "user_id": "u-erika" }))
        .await;
    let key = made["key"].as_str().expect("a key");
    let body = prompt("echo", "hello", json!({}));
    let (status, id, _) = site.send(key, "POST", "/v1/chat/completions", body).await;
    assert_eq!(status, 200);
    for _ in 0..500 {
        if site.reader().row_by_id(&id).expect("readable").is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(site.shown(&id).await["state"], "present");
    let (status, _, answer) = site
        .send(
            MASTER,
            "DELETE",
            "/user/delete",
            json!({ "user_id": "u-erika" }),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer[0]["erasure"]["erased"][0]["kind"], "user",
        "{answer}"
    );
    assert_eq!(answer[0]["erasure"]["spend_rows_anonymised"], 1);
    assert_eq!(site.shown(&id).await["state"], "erased");
    let spend = site.reader().spend().expect("rows");
    assert!(spend.iter().all(|(_, row)| row.user != "u-erika"));
    let audit = site.manage("/audit?page_size=100", Value::Null).await;
    assert!(!audit.to_string().contains("erika@example.org"), "{audit}");
    site.stop().await;
    assert_eq!(site.holding(b"erika@example.org"), Vec::<PathBuf>::new());
    site.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_can_ask_to_be_kept_less_and_never_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::start(&dir.path().join("d"), |_| {}).await;
    let wish = json!({ "metadata": { "user_consent": "analytics:false,storage:false" } });
    let id = site.say("not to be kept", wish).await;
    let document = site.record(&id);
    let environment = &document["context"]["environment"];
    assert_eq!(environment["analytics"], false);
    assert_eq!(environment["content"], Value::Null);
    assert_eq!(site.shown(&id).await["state"], "none");
    let site = Site::start(&dir.path().join("e"), |config| {
        config["litellm_settings"] = json!({ "turn_off_message_logging": true });
    })
    .await;
    let id = site
        .say(
            "not to be kept",
            json!({ "metadata": { "user_consent": "storage:true" } }),
        )
        .await;
    assert_eq!(site.shown(&id).await["state"], "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_ends_and_a_clock_that_jumps_ends_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().join("d");
    let retention = |config: &mut Value| {
        config["general_settings"]["maximum_spend_logs_retention_period"] = json!("3d");
    };
    let mut site = Site::start_at(&dir, -5 * DAY, retention).await;
    let old = site.say("said five days ago", json!({})).await;
    // The clock jumps ten years while the gateway runs.
    site.clock.0.store(3650 * DAY, Ordering::SeqCst);
    let run = site.manage("/content/retention", json!({})).await;
    assert_eq!(
        (&run["hours_destroyed"], &run["clock_not_believed"]),
        (&json!(0), &json!(true))
    );
    site.clock.0.store(-5 * DAY, Ordering::SeqCst);
    assert_eq!(site.shown(&old).await["state"], "present");
    site.stop().await;

    // A restart within a week is believed.
    let mut site = Site::start_at(&dir, 0, retention).await;
    let new = site.say("said now", json!({})).await;
    site.manage("/content/retention", json!({})).await;
    assert_eq!(site.shown(&old).await["state"], "expired");
    assert_eq!(site.shown(&new).await["state"], "present");
    let runs = site.events("retention");
    assert!(
        runs.iter()
            .any(|run| run["context"]["environment"]["held_back"] == true)
    );
    assert!(
        runs.iter()
            .any(|run| run["context"]["environment"]["from_hour"].is_i64())
    );
    site.stop().await;
    site.verify();

    // A restart into the far future is not, until somebody says so.
    let mut site = Site::start_at(&dir, 4000 * DAY, retention).await;
    assert_eq!(site.shown(&new).await["state"], "present");
    let run = site
        .manage("/content/retention", json!({ "accept_clock": true }))
        .await;
    assert_eq!(run["clock_not_believed"], false);
    assert_eq!(site.shown(&new).await["state"], "expired");
    site.stop().await;
    site.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_read_and_erase() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::start(&dir.path().join("d"), |_| {}).await;
    let id = site.say("hello", json!({})).await;
    for role in [
        "internal_user",
        "internal_user_viewer",
        "proxy_admin_viewer",
    ] {
        let user = json!({ "user_id": role, "user_role": role, "auto_create_key": false });
        site.manage("/user/new", user).await;
        let made = site
            .manage("/key/generate", json!({ "user_id": role }))
            .await;
        let key = made["key"].as_str().expect("a key");
        for (method, path, body) in [
            ("GET", format!("/content/{id}"), Value::Null),
            ("POST", "/content/read".to_owned(), json!({ "ids": [id] })),
            (
                "POST",
                "/content/erase".to_owned(),
                json!({ "subject": "x" }),
            ),
            ("POST", "/content/retention".to_owned(), json!({})),
        ] {
            let (status, _, answer) = site.send(key, method, &path, body).await;
            assert!(
                matches!(status, 401 | 403),
                "{role} {path}: {status} {answer}"
            );
        }
    }
    assert_eq!(site.events("content_read").len(), 0);
    // Many records are read under one record of the reading.
    let other = site.say("hello", json!({})).await;
    let read = site
        .manage("/content/read", json!({ "ids": [id, other, "nonsense"] }))
        .await;
    let states: Vec<&Value> = read["records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(states, ["present", "present", "unknown"]);
    let reads = site.events("content_read");
    assert_eq!(reads.len(), 1);
    assert_eq!(reads[0]["context"]["environment"]["count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_decide_before_anything_leaves_and_the_record_names_them() {
    let app = TestApp::with(|config| {
        config["model_list"][0]["model_info"] = json!({ "region": "us-east-1" });
        config["sealgate"]["rules"] = json!([
            { "name": "consent", "require": "has(consent.analytics) && consent.analytics && consent_age_days < 400" },
            { "name": "residency", "when": "metadata['purpose'] == 'health'", "require": "region.startsWith('eu-') && baa" },
        ]);
    })
    .await;
    let consent = |purpose: &str, date: &str| json!({ "metadata": { "user_consent": "analytics:true", "consent_date": date, "purpose": purpose } });
    let today = SystemClock.now().to_string();
    let fine = app.chat("echo", consent("support", &today)).await;
    assert_eq!(fine.status, 200, "{}", fine.text());
    let record = app.record_of(&fine).await;
    assert_eq!(record.environment("rules"), &json!(["consent"]));
    assert_eq!(
        record.document["authority"]["policy_reference"],
        "rule:consent"
    );
    assert_eq!(record.document["authority"]["type"], "policy");
    let sent = app.sandbox.requests().len();
    for (more, rule) in [
        (json!({}), "consent"),
        (consent("support", "2001-01-01"), "consent"),
        (consent("support", "nonsense"), "consent"),
        (consent("health", &today), "residency"),
        // A fact that is not there refuses: the condition cannot be evaluated.
        (
            json!({ "metadata": { "user_consent": "analytics:true", "consent_date": today } }),
            "residency",
        ),
    ] {
        let answer = app.chat("echo", more).await;
        answer.refused(403, "rule_refused");
        let record = app.record_of(&answer).await;
        assert_eq!(record.outcome(), "blocked");
        let named = format!("rule:{rule}");
        assert_eq!(
            record.document["authority"]["policy_reference"],
            named.as_str()
        );
    }
    assert_eq!(app.sandbox.requests().len(), sent, "nothing left");
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_of_one_text_differ_between_subjects() {
    let app = TestApp::start().await;
    let one = app.chat("echo", json!({ "user": "a" })).await;
    let same = app.chat("echo", json!({ "user": "a" })).await;
    let other = app.chat("echo", json!({ "user": "b" })).await;
    let mut seen = Vec::new();
    for answer in [&one, &same, &other] {
        let record = app.record_of(answer).await;
        seen.push((
            record.document["reasoning"]["prompt_hash"].clone(),
            record.environment("digest_key").clone(),
        ));
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0].0, seen[2].0);
    assert_ne!(seen[0].1, seen[2].1);
}

/// What a guardrail masked and gave back to its caller is kept as it was masked: under the name that the provider read, not as
/// a value that the built-in recognisers may or may not know.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_came_back_to_the_caller_are_not_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::start(&dir.path().join("d"), |config| {
        config["guardrails"] = json!([{ "guardrail_name": "pii", "litellm_params": {
            "guardrail": "presidio", "mode": ["pre_call", "post_call"], "default_on": true, "output_parse_pii": true,
        } }]);
    })
    .await;
    for stream in [false, true] {
        let more = json!({ "stream": stream });
        let id = site.say(&format!("write to {MAIL} now"), more).await;
        let shown = site.shown(&id).await;
        let answer = shown["content"]["answer"].as_str().expect("an answer");
        assert!(answer.starts_with("write to <EMAIL_ADDRESS_"), "{answer}");
        assert!(answer.ends_with(" now"), "{answer}");
    }
}
