//! SSRF family: nothing in a request chooses where the gateway connects to, and no answer does either.

use serde_json::json;

use crate::support::{MASTER, PROVIDER_KEY, Stub, TestApp, load, prompt};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test(flavor = "multi_thread")]
async fn ssrf_01_no_field_of_a_body_is_a_destination() {
    let app = TestApp::start().await;
    let sink = Stub::sink().await;
    for field in [
        "api_base",
        "base_url",
        "api_key",
        "api_version",
        "custom_llm_provider",
        "user_config",
        "model_list",
        "aws_access_key_id",
        "aws_bedrock_runtime_endpoint",
        "vertex_credentials",
        "azure_ad_token",
        "extra_headers",
        "organization",
        "litellm_params",
        "proxy",
        "endpoint",
        "custom_host",
        "mock_response",
        "fallbacks",
        "langfuse_host",
        "callbacks",
        "ssl_verify",
    ] {
        let answer = app.chat("echo", json!({ field: sink.base_url() })).await;
        let forwarded = app
            .sandbox
            .requests()
            .pop()
            .filter(|request| request.json().get(field).is_some());
        // Fields that could choose a destination or a credential are refused; any other is inert data for the provider.
        if answer.status == 200 {
            let inert =
                ["proxy", "endpoint", "custom_host"].contains(&field) && forwarded.is_some();
            assert!(
                inert || forwarded.is_none(),
                "`{field}` reached the provider"
            );
        } else {
            answer.refused(400, "refused_field");
            assert_eq!(answer.error("param"), field);
        }
    }
    for field in [
        "api_base",
        "base_url",
        "api_key",
        "user_config",
        "aws_access_key_id",
        "vertex_credentials",
        "azure_ad_token",
    ] {
        app.chat("echo", json!({ field: sink.base_url() }))
            .await
            .refused(400, "refused_field");
    }
    assert_eq!(sink.connections(), 0, "the sink heard nothing");
    assert!(
        app.sandbox
            .requests()
            .iter()
            .all(|request| request.header("authorization")
                == Some(&format!("Bearer {PROVIDER_KEY}")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ssrf_03_metadata_addresses_stay_closed_even_when_configured() {
    let targets = [
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://100.100.100.200/",
    ];
    for target in targets {
        let started = TestApp::try_with(|config| {
            config["model_list"].as_array_mut().expect("list").push(json!({
                "model_name": "inside", "litellm_params": { "model": "openai/echo", "api_base": target, "api_key": "sk-x-0123456789abcdef" },
            }));
        })
        .await;
        // Either the configuration is refused, or the call is.
        if let Ok(app) = started {
            app.providers_elsewhere();
            app.chat("inside", json!({}))
                .await
                .refused(502, "upstream_unreachable");
        }
    }
}

#[test]
fn ssrf_05_a_name_opens_only_what_the_configuration_named() {
    use gateway::config::Host;
    use std::net::IpAddr;
    let config = load(&json!({
        "model_list": [{ "model_name": "m", "litellm_params": { "model": "openai/m", "api_key": PROVIDER_KEY, "api_base": "https://inside.example:8443/v1" } }],
        "general_settings": { "master_key": MASTER },
    }))
    .expect("a good configuration");
    let allows = |host: &str, port: u16, address: &str| {
        let address: IpAddr = address.parse().expect("an address");
        config
            .egress
            .allows(&Host::Name(host.to_owned()), port, address)
    };
    // The address that a name really has at connect time decides; other names, and other ports of the same name, stay closed.
    let inside = [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
    ];
    for address in inside {
        assert!(!allows("evil.nip.io", 443, address), "{address}");
        assert!(!allows("inside.example", 443, address), "{address}");
        assert!(
            !allows("inside.example.evil.example", 8443, address),
            "{address}"
        );
    }
    assert!(
        allows("inside.example", 8443, "10.0.0.1"),
        "named by the boot configuration"
    );
    for address in [
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "0.0.0.0",
        "::",
        "::ffff:169.254.169.254",
        "100.100.100.200",
        "224.0.0.1",
    ] {
        assert!(
            !allows("inside.example", 8443, address),
            "not even for a named host: {address}"
        );
    }
    assert!(allows("anything.example", 443, "8.8.8.8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ssrf_07_urls_that_two_parsers_split_differently() {
    let sink = Stub::sink().await;
    let evil = sink.address;
    for target in [
        format!("http://api.openai.com@{evil}/v1"),
        format!("http://api.openai.com\\@{evil}/v1"),
        format!("http://api.openai.com#@{evil}/v1"),
        format!("http://{evil}#.openai.azure.com/v1"),
        format!("http://{evil}\t/v1"),
        format!("http://{evil}\n/v1"),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
        "//127.0.0.1/v1".to_owned(),
        "http:///v1".to_owned(),
        "not a url".to_owned(),
    ] {
        let started = TestApp::try_with(|config| {
            config["model_list"][0]["litellm_params"]["api_base"] = json!(target)
        })
        .await;
        let message = match started {
            Err(message) => message,
            Ok(_) => panic!("the configuration accepts {target:?}"),
        };
        assert!(
            message.contains("api_base"),
            "the refusal names the key: {message}"
        );
    }
    assert_eq!(sink.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ssrf_09_redirects_are_not_followed() {
    let app = TestApp::start().await;
    for status in [301, 302, 303, 307, 308] {
        let answer = app.chat(&format!("redirect-{status}"), json!({})).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(answer.header("location").is_none());
    }
    let requests = app.sandbox.requests();
    assert_eq!(requests.len(), 5);
    assert!(
        requests.iter().all(|request| request.target != "/sink"),
        "the key went nowhere else"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ssrf_11_media_addresses_are_never_fetched() {
    let app = TestApp::with(|config| config["sealgate"]["opaque_parts"] = json!("pass")).await;
    let sink = Stub::sink().await;
    let url = sink.base_url();
    let parts = json!([
        { "type": "text", "text": "what is this" },
        { "type": "image_url", "image_url": { "url": url } },
        { "type": "file", "file": { "file_url": url } },
        { "type": "input_audio", "input_audio": { "data": url, "format": "wav" } },
    ]);
    let answer = app
        .chat(
            "echo",
            json!({ "messages": [{ "role": "user", "content": parts }] }),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        app.sandbox.requests()[0].json()["messages"][0]["content"],
        parts,
        "forwarded as they came"
    );
    assert_eq!(sink.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ssrf_15_values_do_not_become_headers() {
    let app = TestApp::start().await;
    let evil = "a\r\nx-injected: yes\r\n\r\nGET /sink HTTP/1.1\u{0}";
    let answers = [
        app.chat("echo", json!({ "metadata": { "session_id": evil, "tags": [evil], "trace_id": evil } })).await,
        app.chat("echo", json!({ "user": evil, "tags": [evil], "litellm_session_id": evil, "litellm_trace_id": evil })).await,
        app.chat("echo", json!({ "guardrails": [evil] })).await,
        app.chat(evil, json!({})).await,
    ];
    for answer in &answers {
        assert!(answer.header("x-injected").is_none());
        assert!(
            answer
                .headers
                .values()
                .all(|value| !value.as_bytes().contains(&b'\r'))
        );
        assert!(
            [200, 400, 404, 422].contains(&answer.status),
            "{}",
            answer.text()
        );
    }
    for request in app.sandbox.requests() {
        assert!(request.header("x-injected").is_none());
        assert_ne!(request.target, "/sink");
    }
    // Folded lines and NUL in the head itself are refused before anything reads them.
    let body = prompt("echo", "hello", json!({})).to_string();
    for field in [
        "x-litellm-tags: a\r\n x-injected: yes",
        "x-litellm-tags: a\0b",
        "x-session-id: a\rb",
    ] {
        let mut raw = app.raw().await;
        let length = body.len();
        raw.send(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {MASTER}\r\n{field}\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
        raw.closed().await;
        assert_eq!(raw.statuses(), [400], "{field:?}: {}", raw.text());
    }
}
