//! Requests to the gateway under test. Everything that comes back is kept, so that no secret is in it.

use std::net::SocketAddr;

use bytes::Bytes;
use gateway::serve::Running;
use http_body_util::Full;
use serde_json::{Value, json};

use super::super::client::{self, Answer, Open, Raw};
use super::super::{MASTER, prompt};
use super::TestApp;

const CHAT: &str = "/v1/chat/completions";

impl TestApp {
    /// A chat call with the master key.
    pub(crate) async fn chat(&self, model: &str, more: Value) -> Answer {
        self.post(CHAT, &prompt(model, "hello sealed world", more).to_string())
            .await
    }

    /// A chat call that says `text`.
    pub(crate) async fn say(&self, model: &str, text: &str) -> Answer {
        self.post(CHAT, &prompt(model, text, json!({})).to_string())
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body, &[]).await
    }

    pub(crate) async fn post_bytes(&self, path: &str, body: Vec<u8>) -> Answer {
        let bearer = format!("Bearer {MASTER}");
        self.request(
            "POST",
            path,
            body.into(),
            &[
                ("authorization", &bearer),
                ("content-type", "application/json"),
            ],
        )
        .await
    }

    /// A request with the master key and more headers.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let bearer = format!("Bearer {MASTER}");
        let own = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        self.request(
            method,
            path,
            Bytes::copy_from_slice(body.as_bytes()),
            &[&own[..], headers].concat(),
        )
        .await
    }

    /// A request with a key and a JSON body.
    pub(crate) async fn with_key(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Answer {
        let bearer = format!("Bearer {key}");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        self.request(method, path, body.into(), &headers).await
    }

    /// A management request with the master key that must succeed.
    pub(crate) async fn manage(&self, path: &str, body: Value) -> Value {
        let method = if body.is_null() { "GET" } else { "POST" };
        let answer = self.with_key(MASTER, method, path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// A new key.
    pub(crate) async fn key(&self, fields: Value) -> String {
        let made = self.manage("/key/generate", fields).await;
        made["key"].as_str().expect("a key").to_owned()
    }

    /// A chat call with a key.
    pub(crate) async fn chat_as(&self, key: &str, model: &str, more: Value) -> Answer {
        let body = prompt(model, "hello sealed world", more);
        self.with_key(key, "POST", CHAT, body).await
    }

    /// A chat call with a key whose answer is read by the test.
    pub(crate) async fn open_as(&self, key: &str, model: &str, more: Value) -> Open {
        let body = prompt(model, "hello sealed world", more).to_string();
        let bearer = format!("Bearer {key}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        self.open_request("POST", CHAT, body.into(), &headers).await
    }

    /// A request with exactly these headers.
    pub(crate) async fn keyless(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.request(method, path, Bytes::new(), headers).await
    }

    /// Address of the health listener, if there is one.
    pub(crate) fn health_address(&self) -> Option<SocketAddr> {
        self.running
            .lock()
            .expect("not poisoned")
            .as_ref()
            .and_then(Running::health_address)
    }

    /// A request without headers to another listener.
    pub(crate) async fn at(&self, address: SocketAddr, method: &str, path: &str) -> Answer {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", address.to_string());
        let request = request.body(Full::new(Bytes::new())).expect("a request");
        let answer = client::open(address, request)
            .await
            .expect("an answer")
            .rest()
            .await;
        self.sent.add(&answer.body);
        answer
    }

    pub(crate) async fn anonymous(&self, method: &str, path: &str) -> Answer {
        self.keyless(method, path, &[]).await
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Answer {
        let open = self.open_request(method, path, body, headers).await;
        let answer = open.rest().await;
        self.sent.add(format!("{:?}", answer.headers).as_bytes());
        self.sent.add(&answer.body);
        answer
    }

    async fn open_request(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Open {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a request");
        client::open(self.address, request)
            .await
            .unwrap_or_else(|error| panic!("no answer to {method} {path}: {error}"))
    }

    /// A chat call whose answer is read by the test.
    pub(crate) async fn open(&self, model: &str, more: Value) -> Open {
        let body = prompt(model, "hello sealed world", more).to_string();
        self.open_on(CHAT, body).await
    }

    /// An answer on any route, to be read piece by piece.
    pub(crate) async fn open_on(&self, path: &str, body: String) -> Open {
        let bearer = format!("Bearer {MASTER}");
        self.open_request(
            "POST",
            path,
            body.into(),
            &[
                ("authorization", &bearer),
                ("content-type", "application/json"),
            ],
        )
        .await
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.address, self.sent.clone()).await
    }

    /// The bytes of a whole chat request.
    pub(crate) fn raw_chat(&self, model: &str, more: Value) -> String {
        let body = prompt(model, "hello sealed world", more).to_string();
        let length = body.len();
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {MASTER}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }
}
