//! Removes credentials from texts of others before anybody sees them.

/// Longest upstream message that is passed on, in bytes.
pub(crate) const LONGEST: usize = 2000;

const REDACTED: &str = "[REDACTED]";
/// Starts of well-known credential forms; what follows up to a delimiter goes.
const PREFIXES: [&str; 12] = [
    "sk-", "sk_", "pk_", "AIza", "gsk_", "xai-", "hf_", "AKIA", "ASIA", "ghp_", "eyJ", "Bearer ",
];
/// Names whose value goes, in URLs and in key=value texts.
const NAMES: [&str; 7] = [
    "key=",
    "api_key=",
    "apikey=",
    "token=",
    "access_token=",
    "password=",
    "secret=",
];

/// `text` without `secrets` and without anything that has the form of a credential; cut to [`LONGEST`] bytes.
pub(crate) fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut out = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        out = out.replace(secret, REDACTED);
        // Providers often echo a shortened key: its first and last characters around stars.
        for length in [12, 8] {
            if let Some(part) = secret.get(..length).filter(|_| secret.len() > length + 4) {
                out = out.replace(part, REDACTED);
            }
            if let Some(part) = secret
                .len()
                .checked_sub(length)
                .and_then(|at| secret.get(at..))
                .filter(|_| secret.len() > length + 4)
            {
                out = out.replace(part, REDACTED);
            }
        }
    }
    for prefix in PREFIXES {
        out = cut_after(&out, prefix, true);
    }
    for name in NAMES {
        out = cut_after(&out, name, false);
    }
    shorten(&out)
}

/// Replaces each run of token characters that follows `start` (and `start` itself when `whole`).
fn cut_after(text: &str, start: &str, whole: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(start) {
        let (before, from) = rest.split_at(at);
        let (head, tail) = from.split_at(start.len());
        let end = tail.find(|c: char| !is_token(c)).unwrap_or(tail.len());
        let (token, after) = tail.split_at(end);
        let at_word_start = before
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_ascii_alphanumeric());
        out.push_str(before);
        if token.len() >= 4 && (at_word_start || !whole) {
            if !whole {
                out.push_str(head);
            }
            out.push_str(REDACTED);
        } else {
            out.push_str(head);
            out.push_str(token);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '+' | '/' | '=' | '%')
}

fn shorten(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let mut end = LONGEST;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} [cut]", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_01_keys_in_upstream_messages_go() {
        let key = "sk-canary-0123456789abcdef";
        let text = format!(
            "Incorrect API key provided: {key}. Also sk-can*******cdef and https://x/?key=AIzaSyA1234567890&x=1 Bearer abcd1234"
        );
        let clean = scrub(&text, &[key]);
        for part in [key, "canary", "9abcdef", "AIzaSy", "abcd1234"] {
            assert!(!clean.contains(part), "{part} in {clean}");
        }
        assert!(
            clean.contains("Incorrect API key provided") && clean.contains("&x=1"),
            "{clean}"
        );
    }

    #[test]
    fn harmless_words_stay() {
        let text = "the task-force asked for risk-free monkey=business at token limits";
        assert_eq!(
            scrub(text, &[]),
            "the task-force asked for risk-free monkey=[REDACTED] at token limits"
        );
        assert_eq!(scrub("desk-top", &[]), "desk-top");
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        assert!(scrub(&"ä".repeat(5000), &[]).len() <= LONGEST + 6);
    }
}
