//! Usage blocks, honest and not.

use crate::scan::parse;
use llm::usage::{Usage, UsageError};

fn read(text: &str) -> Result<Option<Usage>, UsageError> {
    Usage::of_answer(parse(text).expect(text).root())
}

#[test]
fn usage_in_every_known_form() {
    assert_eq!(read("{}"), Ok(None));
    assert_eq!(read(r#"{"usage":null}"#), Ok(None));
    let full = read(
        r#"{"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
        "prompt_tokens_details":{"cached_tokens":30,"audio_tokens":5},
        "completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":1,
        "accepted_prediction_tokens":2,"rejected_prediction_tokens":3}}}"#,
    );
    let full = full.expect("true").expect("there");
    assert!(full.total_is_sum());
    let numbers = [
        full.input,
        full.output,
        full.cached_input,
        full.reasoning,
        full.audio_input,
    ];
    assert_eq!(numbers, [100, 50, 30, 20, 5]);
    assert_eq!((full.accepted_prediction, full.rejected_prediction), (2, 3));
    let deepseek = r#"{"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11,
        "prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6}}"#;
    assert_eq!(
        read(deepseek).expect("true").map(|u| u.cached_input),
        Some(4)
    );
    let groq = r#"{"x_groq":{"id":"r","usage":{"prompt_tokens":1,"completion_tokens":2}}}"#;
    assert_eq!(read(groq).expect("true").map(|u| u.total), Some(3));
    let beside = r#"{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":9}}"#;
    assert!(!read(beside).expect("true").expect("there").total_is_sum());
    let embeddings = r#"{"usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    assert_eq!(
        read(embeddings).expect("true").map(|u| (u.input, u.output)),
        Some((8, 0))
    );
}

#[test]
fn lies_are_errors() {
    let table = [
        (r#"{"usage":5}"#, UsageError::NotAnObject),
        (
            r#"{"usage":{"prompt_tokens":-1}}"#,
            UsageError::Impossible("prompt_tokens"),
        ),
        (
            r#"{"usage":{"prompt_tokens":1.5}}"#,
            UsageError::Impossible("prompt_tokens"),
        ),
        (
            r#"{"usage":{"prompt_tokens":"7"}}"#,
            UsageError::Impossible("prompt_tokens"),
        ),
        (
            r#"{"usage":{"completion_tokens":1e3}}"#,
            UsageError::Impossible("completion_tokens"),
        ),
        (
            r#"{"usage":{"completion_tokens":18446744073709551615}}"#,
            UsageError::Impossible("completion_tokens"),
        ),
        (
            r#"{"usage":{"prompt_tokens":99999999999999999999999}}"#,
            UsageError::Impossible("prompt_tokens"),
        ),
        (
            r#"{"usage":{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":6}}}"#,
            UsageError::PartExceedsWhole("cached_tokens"),
        ),
        (
            r#"{"usage":{"prompt_tokens":50,"completion_tokens":1,"total_tokens":2}}"#,
            UsageError::PartExceedsWhole("prompt_tokens"),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(read(text), Err(expected), "{text}");
    }
}
