//! What was scanned is what is sent: fuzzed bodies through the checks of the request side.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use capsule::Timestamp;
use llm::protocol::Protocol;

use super::*;
use crate::config::tests::support::load_text;
use crate::guardrails::{Checks, Selecting};

const CONFIG: &str = r#"
guardrails:
- guardrail_name: pii
  litellm_params: {guardrail: presidio, mode: pre_call, default_on: true}
- guardrail_name: secrets
  litellm_params: {guardrail: hide-secrets, mode: pre_call, default_on: true}
- guardrail_name: words
  litellm_params:
    guardrail: litellm_content_filter
    mode: pre_call
    default_on: true
    blocked_words: [{keyword: bluebird, action: MASK}]
sealgate: {opaque_parts: pass}
"#;

fn snapshot() -> Snapshot {
    let config = load_text(CONFIG).expect("a configuration");
    Snapshot {
        checks: Checks::build(&config).expect("checks"),
        rules: crate::rules::build(&config).expect("rules"),
        scan: llm::scan::Limits::default(),
        config,
        digest_hex: Arc::from(""),
        epoch: Instant::now(),
        prepared: HashMap::new(),
    }
}

/// A repeatable choice.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    /// A string of JSON, quotes included: planted values between odd characters and escapes.
    fn string(&mut self) -> String {
        const PARTS: [&str; 16] = [
            "zora@example.org",
            "blue",
            "bird",
            "BlueBird",
            "\\u0062luebird",
            "\\n",
            "é",
            "\\ud83d\\ude00",
            "\u{200b}",
            "xoxb-123412341234-567856785678-Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8",
            " ",
            "hello ",
            "4111 1111 1111 1111",
            "\\\"",
            "\\\\",
            "<EMAIL_ADDRESS>",
        ];
        let count = self.below(5);
        let parts: String = (0..count).map(|_| self.of(&PARTS)).collect();
        format!("\"{parts}\"")
    }

    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth > 3 { 3 } else { 6 }) {
            0 => self.string(),
            1 => self.of(&["1", "-0.5e3", "true", "null"]).to_owned(),
            2 => self.string(),
            3 => {
                let items: Vec<String> =
                    (0..self.below(3)).map(|_| self.value(depth + 1)).collect();
                format!("[{}]", items.join(","))
            }
            _ => {
                let members: Vec<String> = (0..self.below(3))
                    .map(|at| format!("\"k{at}\":{}", self.value(depth + 1)))
                    .collect();
                format!("{{{}}}", members.join(" , "))
            }
        }
    }

    fn body(&mut self) -> String {
        let role = self
            .of(&["user", "system", "assistant", "tool", "developer", "other"])
            .to_owned();
        let content = match self.below(3) {
            0 => format!("[{{\"type\":\"text\",\"text\":{}}}]", self.string()),
            _ => self.string(),
        };
        let call = match self.below(4) {
            0 => format!(
                ",\"tool_calls\":[{{\"id\":\"c\",\"type\":\"function\",\"function\":{{\"name\":\"f\",\"arguments\":{}}}}}]",
                self.string()
            ),
            _ => String::new(),
        };
        let tool = match self.below(4) {
            0 => format!(
                ",\"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":\"f\",\"description\":{},\"parameters\":{}}}}}]",
                self.string(),
                self.value(0)
            ),
            _ => String::new(),
        };
        let own = format!(",\"x_own\":{}", self.value(0));
        format!(
            "{{\"model\":\"m\",\"messages\":[{{\"role\":\"{role}\",\"tool_call_id\":\"c\",\"content\":{content}{call}}}]{tool}{own}}}"
        )
    }
}

fn request_of(received: Bytes, snapshot: &Snapshot) -> Request {
    let body = llm::protocol::request(Protocol::Chat, received.clone(), &snapshot.scan);
    Request {
        protocol: Protocol::Chat,
        body: body.expect("a body"),
        received,
        model: Some("m".to_owned()),
        stored: None,
        relayed: Vec::new(),
        output_cap: None,
        arrival: Timestamp::new(0),
        started: Instant::now(),
    }
}

#[test]
fn ten_thousand_fuzzed_bodies_are_sent_as_they_were_scanned() {
    let snapshot = snapshot();
    let digests = Arc::new(DigestKey::new(&[3; 32]));
    let by = Selecting {
        named: Vec::new(),
        tags: Vec::new(),
        team: [None, None],
        agents: Vec::new(),
        group: "m",
        fallbacks: Vec::new(),
    };
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut sent, mut edited) = (0, 0);
    for number in 0..10_000 {
        let received = Bytes::from(dice.body());
        let parse =
            |bytes: &Bytes| llm::protocol::request(Protocol::Chat, bytes.clone(), &snapshot.scan);
        if parse(&received).is_err() {
            continue;
        }
        let request = request_of(received.clone(), &snapshot);
        let mut selected = snapshot
            .checks
            .select(&snapshot.config, &by)
            .expect("checks");
        selected.prepare(
            &digests,
            ("", "k"),
            (request.body.doc(), request.body.transcript()),
        );
        let result = check_request(&snapshot, &digests, &request, &selected);
        let Ok(changes) = result.edited else { continue };
        let out = changes.apply(request.body.doc()).expect("edits");
        let again = parse(&out).unwrap_or_else(|error| panic!("{number}: {error}: {out:?}"));
        let texts: Vec<Cow<'_, str>> = again
            .transcript()
            .texts
            .iter()
            .map(|text| text.decode(again.doc()))
            .collect();
        assert_eq!(
            Some(digest_of(&digests, &texts)),
            result.sent_text,
            "{number}: {out:?}"
        );
        // What was sent holds nothing more that the last check would change.
        let second = request_of(out.clone(), &snapshot);
        let words = |entry: &&Entry| &*entry.check == "words";
        let again = check_request(&snapshot, &digests, &second, &selected);
        let outcome = again.coverage.iter().find(words).map(|entry| entry.outcome);
        assert_eq!(outcome, Some(Outcome::Passed), "{number}: {out:?}");
        // The chain of the request.
        let mut before = None;
        for entry in &result.coverage {
            assert!(before.is_none() || before == entry.seen, "{number}");
            before = entry.left;
        }
        assert_eq!(before, result.sent_text);
        sent += 1;
        edited += usize::from(out != received);
    }
    assert!(
        sent > 8_000 && edited > 2_000,
        "{sent} sent, {edited} edited"
    );
}
