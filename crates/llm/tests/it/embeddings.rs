//! Embeddings both ways.

use bytes::Bytes;
use llm::openai::{Target, embeddings, mock};
use llm::provider::Provider;
use llm::scan::Limits;
use llm::transcript::{OpaqueKind, Part};

fn parse(body: &str) -> Result<embeddings::Request, llm::openai::RequestError> {
    embeddings::Request::parse(Bytes::copy_from_slice(body.as_bytes()), &Limits::default())
}

#[test]
fn inputs_are_texts_or_tokens() {
    let texts = |body: &str| -> Vec<String> {
        let request = parse(body).expect(body);
        let texts = request.transcript().decoded(request.doc());
        texts
            .inspect(|(text, _)| assert_eq!(text.origin.part, Part::Input))
            .map(|(_, text)| text.into_owned())
            .collect()
    };
    assert_eq!(texts(r#"{"input":"a"}"#), ["a"]);
    assert_eq!(texts(r#"{"input":["a","b"]}"#), ["a", "b"]);
    assert_eq!(texts(r#"{"input":[]}"#), [""; 0]);
    for (body, count) in [(r#"{"input":[1,2]}"#, 1), (r#"{"input":[[1,2],[3]]}"#, 2)] {
        let request = parse(body).expect(body);
        let opaque = &request.transcript().opaque;
        assert_eq!(opaque.len(), count, "{body}");
        assert!(opaque.iter().all(|part| part.kind == OpaqueKind::Tokens));
        assert!(request.transcript().texts.is_empty());
    }
    // A word among the tokens is still seen.
    let request = parse(r#"{"input":[1,"word"]}"#).expect("accepted");
    assert_eq!(request.transcript().texts.len(), 1);
}

#[test]
fn wrong_inputs_are_refused() {
    let table = [
        ("{}", 400, "input"),
        (r#"{"input":null}"#, 400, "input"),
        (r#"{"input":5}"#, 422, "input"),
        (r#"{"input":[null]}"#, 422, "input[0]"),
        (r#"{"input":[["a"]]}"#, 422, "input[0]"),
        (r#"{"input":"a","dimensions":0}"#, 422, "dimensions"),
        (r#"{"input":"a","api_base":"x"}"#, 400, "api_base"),
    ];
    for (body, status, param) in table {
        let error = parse(body).expect_err(body);
        assert_eq!(
            (error.status(), error.param.as_deref()),
            (status, Some(param)),
            "{body}"
        );
    }
}

#[test]
fn sent_and_answered() {
    let request = parse(r#"{"model":"g","input":["a"],"metadata":{}}"#).expect("accepted");
    let provider = Provider::named("openai").expect("known");
    let edits = request.upstream_edits(&Target {
        model: "up",
        provider,
        forward_metadata: false,
        allowed: &[],
    });
    assert_eq!(
        edits.apply(request.doc()).expect("applied"),
        r#"{"model":"up","input":["a"]}"#
    );

    let body = mock::embeddings("up", 2, 3, &mock::USAGE);
    let answer = embeddings::Response::parse(body, &Limits::default()).expect("valid");
    assert!(answer.is_answer());
    assert_eq!(answer.vectors(), 2);
    assert_eq!(
        answer.usage().expect("true").map(|usage| usage.input),
        Some(10)
    );
    let renamed = answer
        .rename_model("g")
        .apply(answer.doc())
        .expect("applied");
    assert!(renamed.starts_with(b"{\"object\":\"list\",\"model\":\"g\""));
}
