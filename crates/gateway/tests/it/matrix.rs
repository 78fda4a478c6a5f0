//! Every route with every provider, as a stream and whole, in every situation: what the provider saw, what the client saw, what
//! the record says. The cells are generated from the table of routes, so that a new route cannot be left out.

mod shapes;

use gateway::sandbox::Recorded;
use llm::protocol::Protocol;
use llm::provider::{Provider, Route as Native};
use policy::route::{ROUTES, RouteId};
use serde_json::{Value, json};

use crate::support::{Answer, PROVIDER_KEY, Record, TestApp};
use shapes::{reasons, text, tools};

/// The kinds of providers: each format, each kind of address and key, with and without the newer routes, servers of one's own,
/// another gateway.
const PROVIDERS: [&str; 8] = [
    "openai",
    "groq",
    "azure",
    "anthropic",
    "gemini",
    "hosted_vllm",
    "ollama",
    "litellm_proxy",
];

/// What happens in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Plain,
    Tools,
    Image,
    ErrorBefore,
    ErrorAfter,
    ClientGone,
    BlockedRequest,
    BlockedAnswer,
    MaskedRequest,
    MaskedAnswer,
}

const CASES: [Case; 10] = [
    Case::Plain,
    Case::Tools,
    Case::Image,
    Case::ErrorBefore,
    Case::ErrorAfter,
    Case::ClientGone,
    Case::BlockedRequest,
    Case::BlockedAnswer,
    Case::MaskedRequest,
    Case::MaskedAnswer,
];

/// The protocol of a governed route; `None` for calls about stored answers, which have a test of their own.
fn protocol(route: RouteId) -> Option<Protocol> {
    match route {
        RouteId::ChatCompletions => Some(Protocol::Chat),
        RouteId::Completions => Some(Protocol::Completions),
        RouteId::Embeddings => Some(Protocol::Embeddings),
        RouteId::Moderations => Some(Protocol::Moderations),
        RouteId::Messages => Some(Protocol::Messages),
        RouteId::CountTokens => Some(Protocol::CountTokens),
        RouteId::Responses => Some(Protocol::Responses),
        RouteId::ResponseGet
        | RouteId::ResponseDelete
        | RouteId::ResponseCancel
        | RouteId::ResponseInputItems => None,
        other => panic!("the matrix does not know the governed route {other:?}"),
    }
}

fn native(protocol: Protocol) -> Native {
    match protocol {
        Protocol::Chat => Native::ChatCompletions,
        Protocol::Completions => Native::Completions,
        Protocol::Embeddings => Native::Embeddings,
        Protocol::Moderations => Native::Moderations,
        Protocol::Messages => Native::Messages,
        Protocol::CountTokens => Native::CountTokens,
        _ => Native::Responses,
    }
}

/// One cell.
#[derive(Clone, Copy, Debug)]
struct Cell {
    path: &'static str,
    protocol: Protocol,
    provider: &'static str,
    stream: bool,
    case: Case,
}

impl Cell {
    fn profile(&self) -> &'static Provider {
        Provider::named(self.provider).expect("a provider")
    }

    fn is_native(&self) -> bool {
        self.profile().speaks(native(self.protocol))
    }

    /// Whether an answer is generated: the other protocols know neither streams nor tools.
    fn generates(&self) -> bool {
        self.protocol.streams()
    }

    /// Whether the provider can answer at all: itself, by translation, or by an estimate of the gateway.
    fn served(&self) -> bool {
        let translated = self.protocol == Protocol::Embeddings && self.provider == "gemini";
        self.is_native() || self.generates() || translated || self.protocol == Protocol::CountTokens
    }

    /// Cells that cannot exist.
    fn exists(&self) -> bool {
        let generated_only = matches!(
            self.case,
            Case::Tools
                | Case::Image
                | Case::ErrorAfter
                | Case::ClientGone
                | Case::BlockedAnswer
                | Case::MaskedAnswer
        );
        let of_messages = matches!(self.case, Case::Tools | Case::Image);
        (self.generates() || !(self.stream || generated_only))
            && !(of_messages && self.protocol == Protocol::Completions)
            && (self.stream || self.case != Case::ClientGone)
    }

    /// The model name, which tells the provider what to do.
    fn model(&self) -> String {
        let behaviour = match (self.case, self.stream) {
            (Case::Tools, _) => "tools",
            (Case::ErrorBefore, _) => "fail-500",
            (Case::ErrorAfter, true) => "error-in-stream",
            (Case::ErrorAfter, false) => "cut-after-2",
            (Case::ClientGone, _) => "hang-after-1",
            (Case::BlockedAnswer | Case::MaskedAnswer, _) => "story",
            _ => "echo",
        };
        format!("{}:{behaviour}", self.provider)
    }

    fn prompt(&self) -> &'static str {
        match self.case {
            Case::BlockedRequest => "say the forbidden thing now",
            Case::MaskedRequest => "say the zzz-masked thing now",
            _ => "hello sealed world again",
        }
    }

    fn body(&self) -> Value {
        shapes::body(
            self.protocol,
            &self.model(),
            self.prompt(),
            self.stream,
            self.case,
        )
    }
}

fn cells(case: Case) -> Vec<Cell> {
    let mut cells = Vec::new();
    for route in ROUTES.iter().filter(|route| route.governed) {
        let Some(protocol) = protocol(route.id) else {
            continue;
        };
        let path = route.paths.first().expect("a path");
        for provider in PROVIDERS {
            for stream in [false, true] {
                cells.push(Cell {
                    path,
                    protocol,
                    provider,
                    stream,
                    case,
                });
            }
        }
    }
    cells.retain(Cell::exists);
    cells
}

async fn app(case: Case) -> TestApp {
    TestApp::with(|config| {
        let base = config["model_list"][0]["litellm_params"]["api_base"].clone();
        let root = base.as_str().and_then(|base| base.strip_suffix("/v1")).expect("a base").to_owned();
        let price = config["model_list"][0]["litellm_params"].clone();
        let deployment = |provider: &str| {
            let base = match provider {
                "openai" | "groq" | "hosted_vllm" | "litellm_proxy" => format!("{root}/v1"),
                _ => root.clone(),
            };
            json!({ "model_name": format!("{provider}:*"), "litellm_params": {
                "model": format!("{provider}/*"), "api_base": base, "api_key": PROVIDER_KEY,
                "input_cost_per_token": price["input_cost_per_token"], "output_cost_per_token": price["output_cost_per_token"] } })
        };
        config["model_list"] = PROVIDERS.iter().map(|provider| deployment(provider)).collect();
        config["sealgate"]["opaque_parts"] = json!("pass");
        let word = |keyword: &str, action: &str| json!({ "keyword": keyword, "action": action });
        let check = |name: &str, mode: &str, words: Value| json!({ "guardrail_name": name, "litellm_params": {
            "guardrail": "litellm_content_filter", "mode": mode, "default_on": true, "blocked_words": words,
            "keyword_redaction_tag": "[GONE]" } });
        let answer = match case {
            Case::BlockedAnswer => word("visitor", "BLOCK"),
            Case::ClientGone => word("never said", "MASK"),
            _ => word("clerk", "MASK"),
        };
        config["guardrails"] = json!([
            check("ask", "pre_call", json!([word("forbidden", "BLOCK"), word("zzz-masked", "MASK")])),
            check("reply", "post_call", json!([answer])),
        ]);
    })
    .await
}

/// The call's record, whether the client knows its id or has left. `None` for a request that was refused before its intent.
async fn record(app: &TestApp, answer: Option<&Answer>, calls: usize) -> Option<Record> {
    match answer {
        Some(answer) => Some(app.record(answer.header("x-litellm-call-id")?).await),
        None => app
            .calls(calls + 1)
            .await
            .into_iter()
            .max_by_key(|record| record.sequence),
    }
}

fn calls(app: &TestApp) -> usize {
    app.all_records()
        .iter()
        .filter(|record| record.is_call())
        .count()
}

async fn run(case: Case) {
    let app = app(case).await;
    let cells = cells(case);
    assert!(cells.len() >= 10, "{case:?}");
    let mut failures = Vec::new();
    for cell in &cells {
        let (before, calls) = (app.sandbox.requests().len(), calls(&app));
        let answer = call(&app, cell).await;
        let record = record(&app, answer.as_ref(), calls).await;
        let sent = app.sandbox.requests().split_off(before);
        let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            judge(cell, answer.as_ref(), &sent, record.as_ref());
        }));
        if let Err(panic) = verdict {
            let what = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            let got = answer.as_ref().map_or_else(String::new, Answer::text);
            let got: String = got.chars().take(1500).collect();
            failures.push(format!("{cell:?}: {what}\n   client: {got}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cells: {}",
        failures.len(),
        cells.len(),
        failures.join("\n\n")
    );
}

/// Sends the cell's request; `None` when the client leaves in the middle.
async fn call(app: &TestApp, cell: &Cell) -> Option<Answer> {
    let body = cell.body().to_string();
    if cell.case != Case::ClientGone {
        return Some(app.post(cell.path, &body).await);
    }
    let mut open = app.open_on(cell.path, body).await;
    if !open.until(|seen| seen.contains("\"A\"")).await {
        return Some(open.rest().await);
    }
    open.leave().await;
    None
}

fn judge(cell: &Cell, answer: Option<&Answer>, sent: &[Recorded], record: Option<&Record>) {
    if !cell.served() {
        assert!(sent.is_empty() && record.is_none());
        return refused(cell, answer.expect("an answer"), 400, "not_served");
    }
    let record = record.expect("a record");
    assert_eq!(record.environment("call_type"), cell.protocol.call_type());
    assert_eq!(record.environment("provider"), cell.provider);
    assert_eq!(record.environment("stream"), cell.stream);
    if cell.case == Case::BlockedRequest {
        assert!(sent.is_empty(), "a blocked request was sent");
        assert_eq!((record.outcome(), record.code()), ("blocked", "blocked"));
        return refused(cell, answer.expect("an answer"), 400, "blocked");
    }
    saw(cell, sent);
    match cell.case {
        Case::ErrorBefore if !sent.is_empty() => {
            assert_eq!(
                (record.outcome(), record.code()),
                ("failure", "upstream_error")
            );
            refused(cell, answer.expect("an answer"), 500, "upstream_error");
        }
        Case::ErrorAfter => failed_later(cell, answer.expect("an answer"), record),
        Case::ClientGone => {
            assert_eq!(
                (record.outcome(), record.code()),
                ("partial", "client_gone")
            );
        }
        Case::BlockedAnswer => blocked(cell, answer.expect("an answer"), record),
        _ => answered(cell, answer.expect("an answer"), record),
    }
}

/// What the provider got: its own format at its own address, with the text that the checks left.
fn saw(cell: &Cell, sent: &[Recorded]) {
    if cell.protocol == Protocol::CountTokens && !cell.is_native() {
        return assert!(sent.is_empty(), "an estimate asks nobody");
    }
    let [request] = sent else {
        panic!("{} requests", sent.len())
    };
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let path = match (cell.is_native(), cell.provider, cell.stream) {
        (true, ..) => native(cell.protocol).path(),
        (false, "anthropic", _) => "/v1/messages",
        (false, "gemini", _) if cell.protocol == Protocol::Embeddings => ":batchEmbedContents",
        (false, "gemini", false) => ":generateContent",
        (false, "gemini", true) => ":streamGenerateContent?alt=sse",
        _ => "/chat/completions",
    };
    assert!(request.target.contains(path), "sent to {}", request.target);
    let (header, value) = match cell.provider {
        "anthropic" => ("x-api-key", PROVIDER_KEY.to_owned()),
        "gemini" => ("x-goog-api-key", PROVIDER_KEY.to_owned()),
        "azure" => ("api-key", PROVIDER_KEY.to_owned()),
        _ => ("authorization", format!("Bearer {PROVIDER_KEY}")),
    };
    assert_eq!(request.header(header), Some(value.as_str()));
    assert!(!request.target.contains(PROVIDER_KEY));
    assert_eq!(
        request.header("anthropic-version").is_some(),
        cell.provider == "anthropic"
    );
    match cell.case {
        Case::MaskedRequest => {
            assert!(
                body.contains("say the [GONE] thing now") && !body.contains("zzz-masked"),
                "{body}"
            );
        }
        _ => assert!(body.contains(cell.prompt()), "{body}"),
    }
    if cell.case == Case::Image {
        assert!(body.contains(shapes::PIXEL), "the image went on: {body}");
    }
    if cell.case == Case::Tools {
        assert!(body.contains("lookup"), "{body}");
    }
}

/// The client got the whole answer in its own format.
fn answered(cell: &Cell, answer: &Answer, record: &Record) {
    assert_eq!(answer.status, 200);
    assert_eq!((record.outcome(), record.code()), ("success", ""));
    let model = cell.model();
    let said = text(cell.protocol, cell.stream, answer);
    match cell.case {
        _ if !cell.generates() => return shapes::simple(cell.protocol, cell.is_native(), answer),
        Case::Tools => {
            let (name, arguments) = tools(cell.protocol, cell.stream, answer);
            let arguments: Value = serde_json::from_str(&arguments).expect("arguments are JSON");
            assert_eq!(
                (name.as_str(), &arguments["about"]),
                ("lookup", &json!(cell.prompt()))
            );
        }
        Case::MaskedRequest => assert_eq!(said, "say the [GONE] thing now"),
        Case::MaskedAnswer => {
            assert!(
                said.contains("A [GONE] kept a book") && !answer.text().contains("clerk"),
                "{said}"
            );
            let chain = record.document["authority"]["chain"].to_string();
            assert!(chain.contains("\"edited\""), "{chain}");
        }
        _ => assert_eq!(said, cell.prompt()),
    }
    assert!(
        answer.text().contains(&model),
        "the client's model name stands in the answer"
    );
    assert!(
        !answer.text().contains("2026-01-01"),
        "the provider's model name does not"
    );
    let expected = reasons(cell.protocol, cell.case == Case::Tools);
    let reasons = &record.document["execution"]["tool_calls"][0]["result"]["finish_reasons"];
    assert_eq!(reasons, &json!([expected]));
    let used = &record.document["execution"]["resources_used"];
    assert!(
        used["tokens_in"].as_u64() > Some(0) && used["tokens_out"].as_u64() > Some(0),
        "{used}"
    );
    assert_ne!(used["usage_estimated"], true, "{used}");
    shapes::order(cell.protocol, cell.stream, answer);
}

/// The provider failed after the first byte.
fn failed_later(cell: &Cell, answer: &Answer, record: &Record) {
    if !cell.stream {
        assert_eq!(record.outcome(), "failure");
        return refused(cell, answer, 502, "upstream_cut");
    }
    assert_eq!(
        (answer.status, record.outcome(), record.code()),
        (200, "partial", "upstream_error")
    );
    assert!(
        text(cell.protocol, true, answer).starts_with("hello"),
        "what came before the error was delivered"
    );
    shapes::error_event(cell.protocol, answer);
    assert!(
        !answer.text().contains("sk-provider-0123456789"),
        "credentials in an error are removed"
    );
}

/// A check refused the answer.
fn blocked(cell: &Cell, answer: &Answer, record: &Record) {
    assert_eq!((record.outcome(), record.code()), ("blocked", "blocked"));
    assert!(!answer.text().contains("visitor"));
    if !cell.stream {
        return refused(cell, answer, 400, "blocked");
    }
    assert_eq!(answer.status, 200);
    shapes::error_event(cell.protocol, answer);
    assert!(text(cell.protocol, true, answer).starts_with("A clerk"));
}

/// An error with a status of its own, in the envelope of the client's protocol.
fn refused(cell: &Cell, answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code.to_owned()));
    let anthropic = matches!(cell.protocol, Protocol::Messages | Protocol::CountTokens);
    assert_eq!(answer.json()["type"] == "error", anthropic);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

/// A route is the same under each of its paths: checked, recorded, sent to the same place.
#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_a_route_is_the_same_route() {
    let app = app(Case::Plain).await;
    let mut paths = 0;
    for route in ROUTES.iter().filter(|route| route.governed) {
        let Some(protocol) = protocol(route.id) else {
            continue;
        };
        let messages = matches!(protocol, Protocol::Messages | Protocol::CountTokens);
        for path in route.paths {
            for case in [Case::BlockedRequest, Case::MaskedRequest] {
                let cell = Cell {
                    path,
                    protocol,
                    provider: if messages { "anthropic" } else { "openai" },
                    stream: false,
                    case,
                };
                let (mut body, model) = (cell.body(), cell.model());
                if path.contains("{model}") {
                    // The name stands in the path alone.
                    body["model"].take();
                }
                let before = app.sandbox.requests().len();
                let path = path.replace("{model}", &model);
                let answer = app.post(&path, &body.to_string()).await;
                let id = answer.header("x-litellm-call-id");
                let record = app.record(id.unwrap_or_else(|| panic!("{path}"))).await;
                let sent = app.sandbox.requests().split_off(before);
                judge(&cell, Some(&answer), &sent, Some(&record));
                paths += 1;
            }
        }
    }
    assert!(paths > 60, "{paths}");
}

macro_rules! cells {
    ($($name:ident $case:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            run(Case::$case).await;
        })*

        #[test]
        fn every_case_is_run() {
            assert_eq!(CASES, [$(Case::$case),*]);
        }
    };
}

cells! {
    plain_calls Plain
    tool_calls Tools
    images Image
    errors_before_the_first_byte ErrorBefore
    errors_after_the_first_byte ErrorAfter
    clients_that_leave ClientGone
    blocked_requests BlockedRequest
    blocked_answers BlockedAnswer
    masked_requests MaskedRequest
    masked_answers MaskedAnswer
}
