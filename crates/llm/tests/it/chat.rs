//! Chat bodies both ways: what is refused, what is sent, what comes back.

use crate::json::request;
use bytes::Bytes;
use llm::edit::Edits;
use llm::openai::{Channel, RequestErrorKind, Target, chat, error, fields, mock, models, stream};
use llm::provider::Provider;
use llm::scan::Limits;

fn sent(body: &str, provider: &str) -> String {
    let provider = Provider::named(provider).expect("known");
    let request = request(body).expect(body);
    let edits = request.upstream_edits(&Target {
        model: "up",
        provider,
        forward_metadata: false,
        allowed: &[],
    });
    let out = edits.apply(request.doc()).expect("applied");
    String::from_utf8(out.to_vec()).expect("UTF-8")
}

#[test]
fn ssrf_01_refused_members() {
    let names = [
        "api_base",
        "base_url",
        "api_key",
        "user_config",
        "model_list",
        "custom_host",
        "aws_access_key_id",
        "aws_role_name",
        "vertex_credentials",
        "vertex_project",
        "azure_ad_token",
        "azure_endpoint",
        "custom_llm_provider",
        "litellm_params",
        "extra_headers",
        "extra_body",
        "headers",
        "proxy",
        "endpoint",
        "organization",
        "callbacks",
        "success_callback",
        "input_cost_per_token",
        "litellm_credential_name",
        "langfuse_host",
        "s3_bucket_name",
        "model_info",
        "deployment_id",
        "region_name",
        "configurable_clientside_auth_params",
    ];
    for name in names {
        for value in ["\"https://evil.example\"", "{}", "null", "[1]"] {
            let error = request(format!(r#"{{"messages":[],"{name}":{value}}}"#)).expect_err(name);
            assert_eq!(error.kind, RequestErrorKind::Refused, "{name}");
            assert_eq!((error.status(), error.param.as_deref()), (400, Some(name)));
        }
    }
    assert!(fields::refused_names().all(fields::refused_field));
    assert!(!fields::refused_names().any(fields::known_field));
}

#[test]
fn ssrf_01_refused_at_any_depth_of_gateway_members() {
    let refused = [
        r#""metadata":{"a":{"api_base":"x"}}"#,
        r#""metadata":{"a":[{"user_config":{}}]}"#,
        r#""litellm_metadata":{"model_list":[]}"#,
        r#""guardrails":[{"g":{"extra_body":{"api_key":"x"}}}]"#,
        r#""fallbacks":[{"model":"x"}]"#,
        r#""fallbacks":[{"api_base":"x"}]"#,
        r#""cache":{"aws_region_name":"x"}"#,
        r#""brand_new":[[{"base_url":"x"}]]"#,
    ];
    for member in refused {
        let error = request(format!(r#"{{"messages":[],{member}}}"#)).expect_err(member);
        assert_eq!(error.kind, RequestErrorKind::Refused, "{member}");
    }
    // The sender's own text and schemas may name anything.
    let fine = [
        r#""tools":[{"function":{"name":"f","parameters":{"properties":{"api_key":{}}}}}]"#,
        r#""response_format":{"type":"json_schema","json_schema":{"schema":{"base_url":1}}}"#,
        r#""metadata":{"endpoint":"/billing","project":"x"}"#,
        r#""fallbacks":["other-group"]"#,
    ];
    for member in fine {
        request(format!(r#"{{"messages":[],{member}}}"#)).expect(member);
    }
}

#[test]
fn missing_and_wrong_members_have_their_messages() {
    let table = [
        (
            "[]",
            400,
            "request_body",
            "Invalid JSON payload: the body must be an object.",
        ),
        (
            "{}",
            400,
            "messages",
            "Missing required parameter: 'messages'.",
        ),
        (
            r#"{"messages":null}"#,
            400,
            "messages",
            "Missing required parameter: 'messages'.",
        ),
        (
            r#"{"messages":[],"model":5}"#,
            400,
            "model",
            "'model' must be a string.",
        ),
        (
            r#"{"messages":[],"n":0}"#,
            422,
            "n",
            "'n' must be an integer between 1 and 128.",
        ),
    ];
    for (body, status, param, message) in table {
        let error = request(body).expect_err(body);
        let found = (
            error.status(),
            error.param.as_deref(),
            error.message.as_str(),
        );
        assert_eq!(found, (status, Some(param), message), "{body}");
    }
    let limits = Limits {
        max_bytes: 10,
        ..Limits::default()
    };
    let error = chat::Request::parse(Bytes::from_static(b"{\"messages\":[]}"), &limits);
    assert_eq!(error.expect_err("too large").status(), 413);
}

#[test]
fn sent_bodies_differ_only_where_they_must() {
    let plain =
        r#"{ "model" : "up", "messages":[ {"role":"user","content":"h\u00e9"} ] ,"x":1e1 }"#;
    let body = request(plain).expect("accepted");
    let provider = Provider::named("openai").expect("known");
    let edits = body.upstream_edits(&Target {
        model: "up",
        provider,
        forward_metadata: false,
        allowed: &[],
    });
    assert!(edits.is_empty());
    let out = edits.apply(body.doc()).expect("applied");
    assert_eq!(out.as_ptr(), body.doc().bytes().as_ptr());
    let table = [
        (
            r#"{"model":"g","messages":[],"metadata":{"a":1},"x":[1 , 2]}"#,
            r#"{"model":"up","messages":[],"x":[1 , 2]}"#,
        ),
        (r#"{"messages":[]}"#, r#"{"messages":[],"model":"up"}"#),
        (
            r#"{"guardrails":["a"],"model":"g","cache":{},"messages":[],"num_retries":2,"tags":[]}"#,
            r#"{"model":"up","messages":[]}"#,
        ),
        (
            r#"{"model":"g","messages":[],"stream":true}"#,
            r#"{"model":"up","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"g","messages":[],"stream":true,"stream_options":{"a":1}}"#,
            r#"{"model":"up","messages":[],"stream":true,"stream_options":{"a":1,"include_usage":true}}"#,
        ),
        (
            r#"{"model":"g","messages":[],"stream":true,"stream_options":{"include_usage":false}}"#,
            r#"{"model":"up","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"g","messages":[],"stream":true,"stream_options":null}"#,
            r#"{"model":"up","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"user_api_key_hash":"x","litellm_trace_id":"y","mock_response":"z","model":"g","messages":[]}"#,
            r#"{"model":"up","messages":[]}"#,
        ),
    ];
    for (body, expected) in table {
        assert_eq!(sent(body, "openai"), expected);
    }
}

#[test]
fn quirks_drop_and_rename() {
    let body = r#"{"model":"g","messages":[],"max_completion_tokens":5,"seed":1,"user":"u","stream":true,"stream_options":{"include_usage":true}}"#;
    assert_eq!(
        sent(body, "mistral"),
        r#"{"model":"up","messages":[],"max_tokens":5,"random_seed":1,"stream":true}"#
    );
    let both = r#"{"model":"g","messages":[],"max_completion_tokens":5,"max_tokens":7}"#;
    assert_eq!(
        sent(both, "together_ai"),
        r#"{"model":"up","messages":[],"max_tokens":7}"#
    );
    assert_eq!(sent(both, "openai"), both.replace("\"g\"", "\"up\""));
    // Servers of one's own: the older name of the limit where only that is known, members of their own as they are.
    let own = r#"{"model":"g","messages":[],"max_completion_tokens":5,"guided_json":{"type": "object"},"chat_template_kwargs":{"enable_thinking":false}}"#;
    let kept = own.replace("\"g\"", "\"up\"");
    for provider in ["hosted_vllm", "vllm"] {
        assert_eq!(sent(own, provider), kept);
    }
    for provider in ["ollama", "ollama_chat"] {
        let older = kept.replace("max_completion_tokens", "max_tokens");
        assert_eq!(sent(own, provider), older);
    }
}

#[test]
fn a_gateway_behind_this_one_gets_nothing_that_was_for_this_one() {
    let extras = r#"{"model":"g","messages":[],"temperature":0.5,"metadata":{"tags":["a"]},"tags":["a"],"guardrails":["x"],"cache":{"no-cache":true},"fallbacks":["h"],"num_retries":3,"timeout":9,"litellm_session_id":"s","user_api_key_hash":"k","mock_response":"m","drop_params":true,"allowed_openai_params":["a"],"user":"u","brand_new":1}"#;
    assert_eq!(
        sent(extras, "litellm_proxy"),
        r#"{"model":"up","messages":[],"temperature":0.5,"user":"u","brand_new":1}"#
    );
}

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"gpt-x-2024",
"choices":[{"index":0,"message":{"role":"assistant","content":"top secret","refusal":null,
"reasoning_content":"hmm"},"logprobs":{"content":[{"token":"top"}]},"finish_reason":"stop"},
{"index":1,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function",
"function":{"name":"f","arguments":"{\"a\":1}"}}],"annotations":[{"url":"https://a"}]},
"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;

#[test]
fn answers_are_read_and_edited() {
    let body = Bytes::from_static(ANSWER.as_bytes());
    let answer = chat::Response::parse(body, &Limits::default()).expect("valid");
    assert!(answer.is_answer());
    let found: Vec<_> = answer.outputs().iter().collect();
    let texts: Vec<(u32, &str, String)> = found
        .iter()
        .map(|o| {
            (
                o.choice,
                o.channel.as_str(),
                o.decode(answer.doc()).into_owned(),
            )
        })
        .collect();
    let expected = [
        (0, "text", "top secret"),
        (0, "reasoning", "hmm"),
        (1, "tool_name", "f"),
        (1, "tool_arguments", "{\"a\":1}"),
        (1, "other", "https://a"),
    ];
    assert_eq!(
        texts,
        expected.map(|(choice, channel, text)| (choice, channel, text.to_owned()))
    );
    assert_eq!(answer.usage().expect("true").expect("there").total, 7);
    let calls = answer.tool_calls();
    assert_eq!(
        (calls[0].choice, &*calls[0].name, &*calls[0].arguments),
        (1, "f", "{\"a\":1}")
    );
    let reasons = answer.finish_reasons();
    assert_eq!(reasons[1], (1, Some("tool_calls".into())));

    let mut edits = answer.rename_model("group");
    answer.replace_output(&mut edits, found[0], "[X]");
    answer.drop_logprobs(&mut edits, 0);
    let out = edits.apply(answer.doc()).expect("applied");
    let expected = ANSWER
        .replace("gpt-x-2024", "group")
        .replace("top secret", "[X]")
        .replace(r#"{"content":[{"token":"top"}]}"#, "null");
    assert_eq!(out, expected.as_bytes());
    // An answer that is fine as it is stays the same buffer.
    let same = answer
        .rename_model("gpt-x-2024")
        .apply(answer.doc())
        .expect("applied");
    assert_eq!(same.as_ptr(), answer.doc().bytes().as_ptr());
    assert!(Edits::new().is_empty());
}

#[test]
fn mock_answers_read_like_real_ones() {
    let head = stream::Head {
        id: "chatcmpl-1".into(),
        created: 5,
        model: "g".into(),
    };
    let text = "Hello, \"wörld\" and more";
    let body = mock::chat(&head, text, 2, &mock::USAGE);
    let answer = chat::Response::parse(body, &Limits::default()).expect("valid");
    let texts: Vec<_> = answer
        .outputs()
        .iter()
        .map(|o| o.decode(answer.doc()))
        .collect();
    assert_eq!(texts, [text, text]);
    assert_eq!(answer.usage().expect("true"), Some(mock::USAGE));

    let mut streamed = [String::new(), String::new()];
    let mut usage = None;
    let frames = mock::stream(&head, text, 2, &mock::USAGE);
    let all: Vec<u8> = frames.iter().flat_map(|frame| frame.to_vec()).collect();
    let frames = llm::fuzz::frames(&all, &[]).expect("framed");
    for frame in &frames {
        let data = frame.data.clone().expect("data");
        match stream::Event::parse(data, &Limits::default()).expect("valid") {
            stream::Event::Chunk(chunk) => {
                usage = chunk.usage().expect("true").or(usage);
                for output in chunk.outputs() {
                    assert_eq!(output.channel, Channel::Text);
                    streamed[output.choice as usize].push_str(&output.decode(chunk.doc()));
                }
            }
            stream::Event::Done => assert_eq!(Some(frame), frames.last()),
            stream::Event::Error(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(streamed, [text, text]);
    assert_eq!(usage, Some(mock::USAGE));
}

#[test]
fn envelopes_and_lists() {
    let envelope = error::Envelope {
        message: "say \"no\"\n",
        kind: Some("invalid_request_error"),
        param: error::Param::Name("model"),
        code: "400",
        provider_specific_fields: None,
    };
    assert_eq!(
        String::from_utf8(envelope.render()).expect("UTF-8"),
        r#"{"error":{"message":"say \"no\"\n","type":"invalid_request_error","param":"model","code":"400"}}"#
    );
    let auth = error::Envelope {
        kind: None,
        param: error::Param::NoneText,
        provider_specific_fields: Some(b"{\"error\":1}"),
        ..envelope
    };
    assert_eq!(
        auth.frame(),
        "data: {\"error\":{\"message\":\"say \\\"no\\\"\\n\",\"type\":null,\"param\":\"None\",\
         \"code\":\"400\",\"provider_specific_fields\":{\"error\":1}}}\n\n"
    );
    let mut one = models::Model::named("a\"b");
    one.mode = Some("chat");
    one.max_input_tokens = Some(5);
    let list = models::list([one, models::Model::named("c")]);
    assert_eq!(
        String::from_utf8(list).expect("UTF-8"),
        r#"{"object":"list","data":[{"id":"a\"b","object":"model","created":1677610602,"owned_by":"openai","mode":"chat","max_input_tokens":5},{"id":"c","object":"model","created":1677610602,"owned_by":"openai"}]}"#
    );
}

#[test]
fn metadata_goes_on_only_where_the_deployment_asks_for_it() {
    let body = r#"{"model":"m","messages":[],"metadata":{"a":"b"},"tags":["x"]}"#;
    for (forward_metadata, expected) in [
        (false, r#"{"model":"up","messages":[]}"#),
        (true, r#"{"model":"up","messages":[],"metadata":{"a":"b"}}"#),
    ] {
        let request = request(body).expect("a body");
        let edits = request.upstream_edits(&Target {
            model: "up",
            provider: Provider::named("openai").expect("known"),
            forward_metadata,
            allowed: &[],
        });
        let out = edits.apply(request.doc()).expect("applied");
        assert_eq!(out, expected);
    }
}
