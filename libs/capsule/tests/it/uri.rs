//! `capsule://` URIs.

use capsule::json::Value;
use capsule::uri::{CapsuleUri, Reference, UriError};

const HASH: &str = "8c71e187dfbffca067265f576d9fb72ee8a223c3dff801dd7c5dd8fcb915f2cd";
const ID: &str = "a1b2c3d4-e5f6-7890-abcd-ef1234567890";

#[test]
fn every_form_is_read_and_written_back() {
    for (text, kind, chain, fragment) in [
        (format!("capsule://sha3_{HASH}"), "hash", None, None),
        (
            format!("capsule://sha3_{HASH}#trigger"),
            "hash",
            None,
            Some("trigger"),
        ),
        (
            format!("capsule://sha3_{HASH}#reasoning/confidence"),
            "hash",
            None,
            Some("reasoning/confidence"),
        ),
        (
            format!("capsule://sha3_{HASH}#execution/tool_calls/0"),
            "hash",
            None,
            Some("execution/tool_calls/0"),
        ),
        ("capsule://main/42".into(), "sequence", Some("main"), None),
        ("capsule://main/0".into(), "sequence", Some("main"), None),
        (
            format!("capsule://main/sha3_{HASH}"),
            "hash",
            Some("main"),
            None,
        ),
        (
            "capsule://my.chain_name-2/18446744073709551615".into(),
            "sequence",
            Some("my.chain_name-2"),
            None,
        ),
        (format!("capsule://{ID}"), "id", None, None),
        (
            format!("capsule://{ID}#outcome/metrics/tokens_in"),
            "id",
            None,
            Some("outcome/metrics/tokens_in"),
        ),
    ] {
        let uri = CapsuleUri::parse(&text).unwrap();
        assert_eq!(uri.to_string(), text);
        let object = uri.to_object();
        assert_eq!(
            object.keys().collect::<Vec<_>>(),
            [
                "chain",
                "fragment",
                "hash_algorithm",
                "hash_value",
                "id",
                "reference_type",
                "scheme",
                "sequence"
            ]
        );
        let get = |key: &str| object.get(key).unwrap().clone();
        assert_eq!(get("scheme"), Value::from("capsule"));
        assert_eq!(get("reference_type"), Value::from(kind));
        assert_eq!(get("chain"), Value::from(chain));
        assert_eq!(get("fragment"), Value::from(fragment));
        let is = |key: &str, there: bool, value: Value| {
            assert_eq!(get(key), if there { value } else { Value::Null });
        };
        is("hash_algorithm", kind == "hash", "sha3".into());
        is("hash_value", kind == "hash", HASH.into());
        is("id", kind == "id", ID.into());
        assert_eq!(get("sequence").is_null(), kind != "sequence");
    }
    let id = ID.parse().unwrap();
    assert_eq!(CapsuleUri::of_id(id).to_string(), format!("capsule://{ID}"));
    assert_eq!(CapsuleUri::of_id(id).reference, Reference::Id(id));
}

#[test]
fn everything_else_is_refused() {
    let short = &HASH[1..];
    let upper = HASH.to_uppercase();
    for (text, error) in [
        ("", UriError::Scheme),
        ("http://main/1", UriError::Scheme),
        ("capsule:/main/1", UriError::Scheme),
        ("CAPSULE://main/1", UriError::Scheme),
        ("capsule://", UriError::Empty),
        ("capsule://#trigger", UriError::Empty),
        (&format!("capsule://sha3_{short}"), UriError::Hash),
        (&format!("capsule://sha3_{HASH}0"), UriError::Hash),
        (&format!("capsule://sha3_{upper}"), UriError::Hash),
        (&format!("capsule://sha3_g{short}"), UriError::Hash),
        (&format!("capsule://sha256_{HASH}"), UriError::Reference),
        (&format!("capsule://{HASH}"), UriError::Reference),
        (&format!("capsule://main/sha3_{short}"), UriError::Hash),
        (&format!("capsule://main/sha256_{HASH}"), UriError::Sequence),
        ("capsule://42", UriError::Reference),
        (
            "capsule://a1b2c3d4-e5f6-7890-abcd-ef123456789",
            UriError::Reference,
        ),
        (
            "capsule://A1b2c3d4-e5f6-7890-abcd-ef1234567890",
            UriError::Reference,
        ),
        (&format!("capsule://main/{ID}"), UriError::Sequence),
        ("capsule://main/-1", UriError::Sequence),
        ("capsule://main/+1", UriError::Sequence),
        ("capsule://main/01", UriError::Sequence),
        ("capsule://main/1.0", UriError::Sequence),
        ("capsule://main/", UriError::Sequence),
        ("capsule://main/18446744073709551616", UriError::Sequence),
        ("capsule://main/1/2", UriError::Sequence),
        ("capsule://main/1 ", UriError::Sequence),
        ("capsule:///1", UriError::Chain),
        ("capsule://../1", UriError::Chain),
        ("capsule://ma in/1", UriError::Chain),
        ("capsule://größe/1", UriError::Chain),
        ("capsule://main%2f/1", UriError::Chain),
        (&format!("capsule://sha3_{HASH}/1"), UriError::Chain),
        ("capsule://main/1?x=1", UriError::Sequence),
        ("capsule://main/1#", UriError::Fragment),
        ("capsule://main/1#/trigger", UriError::Fragment),
        ("capsule://main/1#hash", UriError::Fragment),
        ("capsule://main/1#trigger/", UriError::Fragment),
        ("capsule://main/1#trigger//x", UriError::Fragment),
        ("capsule://main/1#trigger/../outcome", UriError::Fragment),
        ("capsule://main/1#trigger/.", UriError::Fragment),
        ("capsule://main/1#trigger/%2e%2e", UriError::Fragment),
        ("capsule://main/1#trigger\\x", UriError::Fragment),
        ("capsule://main/1#trigger#context", UriError::Fragment),
        ("capsule://main/1#../../etc/passwd", UriError::Fragment),
    ] {
        assert_eq!(text.parse::<CapsuleUri>(), Err(error), "{text}");
    }
}
