//! Answers that break the wire format, or use corners of it that clients seldom see.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::behaviour::Hostile;
use super::chat::{self, Answer, Request};
use super::reply::{self, Reply};
use super::script::{Script, Step};
use super::sse::{DONE, event};

const MEBIBYTE: usize = 1 << 20;
/// `{"gzip":true}` in gzip.
const GZIP: [u8; 33] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 175, 202, 44, 80, 178, 42, 41, 42, 77, 173, 5, 0,
    249, 234, 244, 54, 13, 0, 0, 0,
];

/// The answer of `kind`. `key` is the credential that the caller presented.
pub(super) fn answer(kind: Hostile, request: &Request, answer: &Answer, key: &str) -> Reply {
    match kind {
        Hostile::Html => reply::raw(
            200,
            "text/html; charset=utf-8",
            "<html><script>alert(1)</script></html>",
        ),
        Hostile::Empty => reply::raw(200, "application/json", Bytes::new()),
        Hostile::Gzip => {
            let mut reply = reply::raw(200, "application/json", Bytes::from_static(&GZIP));
            reply
                .headers_mut()
                .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            reply
        }
        Hostile::Headers => with_headers(good(request, answer)),
        Hostile::BigHead => {
            let mut reply = good(request, answer);
            let value = HeaderValue::from_bytes(&vec![b'h'; MEBIBYTE]);
            reply.headers_mut().extend(
                value
                    .ok()
                    .map(|value| (HeaderName::from_static("x-big"), value)),
            );
            reply
        }
        Hostile::ErrorWith200 => reply::json_reply(200, &error(key)),
        Hostile::NotAStream => reply::json_reply(200, &answer.whole()),
        Hostile::StreamAnyway => reply::stream(Script::new(good_steps(request, answer))),
        _ if request.stream => reply::stream(Script::new(steps(kind, request, answer, key))),
        _ => reply::raw(200, "application/json", whole(kind, answer)),
    }
}

fn good(request: &Request, answer: &Answer) -> Reply {
    if request.stream {
        reply::stream(Script::new(good_steps(request, answer)))
    } else {
        reply::json_reply(200, &answer.whole())
    }
}

fn good_steps(request: &Request, answer: &Answer) -> Vec<Step> {
    let events = answer
        .chunks(request.include_usage)
        .iter()
        .map(event)
        .collect::<Vec<_>>()
        .into_iter();
    events
        .chain([Bytes::from_static(DONE.as_bytes())])
        .map(Step::Send)
        .collect()
}

fn error(key: &str) -> Value {
    json!({ "error": { "message": format!("engine failed for {key}"), "type": "server_error", "param": null, "code": null } })
}

fn with_headers(mut reply: Reply) -> Reply {
    let planted = [
        ("set-cookie", "session=upstream; Path=/"),
        ("location", "http://169.254.169.254/latest/meta-data"),
        ("access-control-allow-origin", "https://evil.example"),
        ("access-control-allow-credentials", "true"),
        ("content-security-policy", "default-src *"),
        ("server", "sandbox-internal/1.2.3"),
        ("x-powered-by", "sandbox"),
        (
            "x-upstream-secret",
            "sk-upstream-header-canary-000111222333",
        ),
        ("www-authenticate", "Basic realm=upstream"),
        ("alt-svc", "h3=\":443\""),
        ("refresh", "0; url=http://evil.example"),
    ];
    for (name, value) in planted {
        reply.headers_mut().insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    reply
}

/// The same object with usage that no meter can hold.
fn lying() -> Value {
    json!({ "prompt_tokens": -5, "completion_tokens": 18_446_744_073_709_551_615_u64, "total_tokens": 1e300 })
}

fn broken(kind: Hostile) -> Option<Bytes> {
    let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    match kind {
        Hostile::BadJson => text("{\"id\":\"x\",\"choices\":[{\"index\":0,"),
        Hostile::DupKeys => text(
            "{\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[],\"choices\":[{\"index\":0,\
             \"message\":{\"role\":\"assistant\",\"content\":\"second\"},\"delta\":{\"content\":\"second\"},\"finish_reason\":\"stop\"}]}",
        ),
        Hostile::BadUtf8 => Some(Bytes::from_static(
            b"{\"id\":\"x\",\"choices\":[{\"index\":0,\"message\":{\"content\":\"\xff\xfe\"},\"delta\":{\"content\":\"\xff\xfe\"}}]}",
        )),
        Hostile::Deep => Some(Bytes::from(["{\"choices\":", &"[".repeat(100_000), &"]".repeat(100_000), "}"].concat())),
        _ => None,
    }
}

fn whole(kind: Hostile, answer: &Answer) -> Bytes {
    if let Some(bytes) = broken(kind) {
        return bytes;
    }
    let mut object = answer.whole();
    match kind {
        Hostile::LyingUsage => chat::set(&mut object, "usage", lying()),
        Hostile::NoUsage => {
            object.as_object_mut().map(|map| map.remove("usage"));
        }
        Hostile::HugeEvent => chat::set(&mut object, "padding", "x".repeat(11 * MEBIBYTE).into()),
        _ => {}
    }
    object.to_string().into()
}

fn steps(kind: Hostile, request: &Request, answer: &Answer, key: &str) -> Vec<Step> {
    let send = |text: &str| Step::Send(Bytes::copy_from_slice(text.as_bytes()));
    let mut steps = good_steps(request, answer);
    if let Some(bytes) = broken(kind) {
        steps.truncate(2);
        steps.push(Step::Send(
            [b"data: ", bytes.as_ref(), b"\n\n"].concat().into(),
        ));
        steps.push(send(DONE));
        return steps;
    }
    match kind {
        Hostile::NoDone => drop(steps.pop()),
        Hostile::TwoDone => steps.push(send(DONE)),
        Hostile::AfterDone => {
            steps.push(send("data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"AFTER-DONE\"},\"finish_reason\":null}]}\n\n"));
        }
        Hostile::HalfEvent => {
            steps.truncate(2);
            steps.push(send(
                "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"con",
            ));
        }
        Hostile::CrOnly => {
            steps = steps
                .into_iter()
                .map(|step| rewritten(step, |text| text.replace('\n', "\r")))
                .collect()
        }
        Hostile::Crlf => {
            let crlf = |text: &str| text.replace('\n', "\r\n").replacen("data: ", "data:", 1);
            steps = steps
                .into_iter()
                .map(|step| rewritten(step, crlf))
                .collect();
        }
        Hostile::CommentFlood => {
            steps.truncate(1);
            steps.push(Step::Repeat(
                [b": ".as_slice(), &vec![b'c'; 8190], b"\n"].concat().into(),
                u32::MAX,
            ));
        }
        Hostile::Comments => {
            steps = steps
                .into_iter()
                .flat_map(|step| {
                    [
                        send(": OPENROUTER PROCESSING\n\n"),
                        send("id: 7\nretry: 5\n"),
                        step,
                    ]
                })
                .collect();
        }
        Hostile::HugeEvent => {
            steps.truncate(1);
            steps.push(send("data: {\"padding\":\""));
            steps.push(Step::Repeat(vec![b'x'; MEBIBYTE / 4].into(), 45));
            steps.push(send("\"}\n\n"));
            steps.push(send(DONE));
        }
        Hostile::ErrorInStream => {
            steps.truncate(3);
            steps.push(Step::Send(event(&error(key))));
        }
        Hostile::LyingUsage | Hostile::NoUsage | Hostile::UsageInEveryChunk => {
            return with_usage(kind, request, answer);
        }
        _ => {}
    }
    steps
}

fn rewritten(step: Step, change: impl Fn(&str) -> String) -> Step {
    match step {
        Step::Send(bytes) => Step::Send(change(&String::from_utf8_lossy(&bytes)).into()),
        other => other,
    }
}

fn with_usage(kind: Hostile, request: &Request, answer: &Answer) -> Vec<Step> {
    let mut chunks = answer.chunks(request.include_usage && kind != Hostile::NoUsage);
    let count = chunks.len() as u64;
    for (done, chunk) in chunks.iter_mut().enumerate() {
        match kind {
            Hostile::UsageInEveryChunk => {
                chat::set(chunk, "usage", chat::usage(count, done as u64, 0))
            }
            Hostile::LyingUsage if done as u64 + 1 == count => chat::set(chunk, "usage", lying()),
            _ => {}
        }
    }
    let events = chunks.iter().map(event).collect::<Vec<_>>().into_iter();
    events
        .chain([Bytes::from_static(DONE.as_bytes())])
        .map(Step::Send)
        .collect()
}
