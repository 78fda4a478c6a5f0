//! Coverage: what was checked is what was sent.
//!
//! The entries of `authority.chain` that edit or judge a text name a digest of what they saw and of what they left. For
//! each side (the request; the answer per choice and channel) each entry must have seen what the one before it left,
//! and the last one must have left what the record says was sent or delivered. An entry without `left` is outside
//! the chain: it observed, did not run, or ended the text's way. Where a stream ended before its time, a check may have
//! left less than it saw, and says so (`held`).

use std::collections::BTreeMap;

use capsule::json::Value;

/// Which text an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side<'a> {
    Request,
    Answer { choice: u64, channel: &'a str },
}

/// Outcomes after which the text is what it was.
const UNCHANGED: [&str; 2] = ["passed", "alerted"];
/// Outcomes that end the way of a text: nothing is sent or delivered of it.
const STOPPING: [&str; 2] = ["blocked", "failed_closed"];
/// Outcomes that never stand in the chain.
const OUTSIDE: [&str; 3] = ["observed", "not_run", "failed_open"];

/// The first way in which the coverage of a record does not hold, as a sentence.
pub(super) fn fault(document: &Value) -> Option<String> {
    let chain = document.get("authority")?.get("chain")?.as_array()?;
    let environment = document.get("context")?.get("environment")?;
    if chain.is_empty() {
        return None;
    }
    let status = document
        .get("outcome")
        .and_then(|outcome| outcome.get("status"));
    let succeeded = status.and_then(Value::as_str) == Some("success");
    let mut sides: BTreeMap<Side<'_>, Progress<'_>> = BTreeMap::new();
    for (at, entry) in chain.iter().enumerate() {
        let Some(side) = side(entry) else { continue };
        let step = sides.entry(side).or_default().step(entry);
        if let Err(sentence) = step {
            return Some(format!("coverage entry {at} ({}): {sentence}", name(entry)));
        }
    }
    sides
        .iter()
        .find_map(|(side, progress)| progress.end(*side, environment, succeeded))
}

/// How far the chain of one side has come.
#[derive(Debug, Default)]
struct Progress<'a> {
    left: Option<&'a str>,
    stopped: bool,
    /// Some text never went on: only for a stream that ended before its time.
    held: bool,
}

impl<'a> Progress<'a> {
    fn step(&mut self, entry: &'a Value) -> Result<(), &'static str> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let outcome = text("outcome").ok_or("has no outcome")?;
        let (seen, left) = (text("seen"), text("left"));
        if OUTSIDE.contains(&outcome) {
            return match left {
                None => Ok(()),
                Some(_) => Err("did not decide, and yet names what it left"),
            };
        }
        let seen = match (seen, left) {
            (Some(seen), _) => seen,
            (None, None) if STOPPING.contains(&outcome) => {
                self.stopped = true;
                return Ok(());
            }
            (None, _) => return Err("does not name what it saw"),
        };
        if self.left.is_some_and(|before| before != seen) {
            return Err("did not see what the check before it left");
        }
        if STOPPING.contains(&outcome) {
            self.stopped = true;
            // A stream that was stopped names what went on before.
            self.left = left.or(self.left);
            return Ok(());
        }
        let left = left.ok_or("does not name what it left")?;
        let held = entry.get("held").and_then(Value::as_bool) == Some(true);
        self.held |= held;
        if UNCHANGED.contains(&outcome) && seen != left && !held {
            return Err("passed the text and yet left another one");
        }
        self.left = Some(left);
        Ok(())
    }

    /// The last `left` against what was sent or delivered.
    fn end(&self, side: Side<'_>, environment: &Value, succeeded: bool) -> Option<String> {
        if self.held && succeeded {
            return Some("a check held text back, and yet the call succeeded".to_owned());
        }
        let left = self.left?;
        let (what, done, goal) = match side {
            Side::Request => (
                "the request".to_owned(),
                "sent",
                environment.get("sent_text_digest"),
            ),
            Side::Answer { choice, channel } => (
                format!("choice {choice}, channel {channel}"),
                "delivered",
                environment
                    .get("delivered_text_digest")
                    .and_then(|digests| digests.get(&format!("{choice}/{channel}"))),
            ),
        };
        match goal.and_then(Value::as_str) {
            Some(goal) if goal == left => None,
            Some(_) if self.stopped => Some(format!(
                "{what}: a check stopped the text, and yet another text was {done}"
            )),
            Some(_) => Some(format!(
                "{what}: the text that was {done} is not the text that the last check left"
            )),
            // A text that was stopped, or a call that failed before, has nothing that was sent.
            None if self.stopped || !succeeded => None,
            None => Some(format!(
                "{what}: the record does not name the text that was {done}"
            )),
        }
    }
}

/// Which text an entry is about; `None` for entries that are not about a text.
fn side(entry: &Value) -> Option<Side<'_>> {
    match entry.get("side")?.as_str()? {
        "request" => Some(Side::Request),
        "answer" => Some(Side::Answer {
            choice: entry.get("choice")?.as_u64()?,
            channel: entry.get("channel")?.as_str()?,
        }),
        _ => None,
    }
}

fn name(entry: &Value) -> &str {
    entry
        .get("check")
        .and_then(Value::as_str)
        .unwrap_or("unnamed")
}

#[cfg(test)]
mod tests {
    use capsule::json::{Limits, parse};

    use super::*;

    /// The fault of a record with these coverage entries, digests and outcome.
    fn of(chain: &str, environment: &str, status: &str) -> Option<String> {
        let text = format!(
            r#"{{"authority":{{"chain":[{chain}]}},"context":{{"environment":{{{environment}}}}},"outcome":{{"status":"{status}"}}}}"#
        );
        fault(&parse(text.as_bytes(), &Limits::default()).unwrap())
    }

    fn entry(side: &str, outcome: &str, seen: &str, left: &str) -> String {
        let left = if left.is_empty() {
            String::new()
        } else {
            format!(r#","left":"{left}""#)
        };
        let seen = if seen.is_empty() {
            String::new()
        } else {
            format!(r#","seen":"{seen}""#)
        };
        format!(r#"{{"check":"c","side":{side},"outcome":"{outcome}"{seen}{left}}}"#)
    }

    const REQUEST: &str = r#""request""#;
    const ANSWER: &str = r#""answer","choice":0,"channel":"text""#;

    #[test]
    fn coverage_that_chains_holds() {
        let chain = [
            entry(REQUEST, "edited", "a", "b"),
            entry(REQUEST, "not_run", "", ""),
            entry(REQUEST, "observed", "zz", ""),
            entry(REQUEST, "passed", "b", "b"),
            entry(ANSWER, "edited", "m", "n"),
        ]
        .join(",");
        let digests = r#""sent_text_digest":"b","delivered_text_digest":{"0/text":"n"}"#;
        assert_eq!(of(&chain, digests, "success"), None);
        assert_eq!(of("", digests, "success"), None);
        let blocked = [
            entry(REQUEST, "passed", "a", "a"),
            entry(REQUEST, "blocked", "a", ""),
        ]
        .join(",");
        assert_eq!(of(&blocked, r#""sent_text_digest":null"#, "blocked"), None);
    }

    #[test]
    fn every_break_is_found() {
        let sent = r#""sent_text_digest":"b""#;
        for (chain, environment, expected) in [
            (
                [
                    entry(REQUEST, "passed", "a", "a"),
                    entry(REQUEST, "edited", "x", "b"),
                ]
                .join(","),
                sent,
                "did not see what the check before it left",
            ),
            (
                entry(REQUEST, "passed", "a", "b"),
                sent,
                "passed the text and yet left another",
            ),
            (
                entry(REQUEST, "edited", "a", "c"),
                sent,
                "that was sent is not the text",
            ),
            (
                entry(REQUEST, "edited", "", "b"),
                sent,
                "does not name what it saw",
            ),
            (
                entry(REQUEST, "passed", "b", ""),
                sent,
                "does not name what it left",
            ),
            (entry(REQUEST, "observed", "a", "b"), sent, "did not decide"),
            (
                entry(REQUEST, "passed", "b", "b"),
                "",
                "does not name the text that was sent",
            ),
            (
                [
                    entry(REQUEST, "passed", "a", "a"),
                    entry(REQUEST, "blocked", "a", ""),
                ]
                .join(","),
                sent,
                "a check stopped the text, and yet another",
            ),
            (
                entry(ANSWER, "passed", "m", "m"),
                r#""delivered_text_digest":{"0/text":"n"}"#,
                "choice 0, channel text",
            ),
            (
                entry(ANSWER, "passed", "m", "m"),
                r#""delivered_text_digest":{"1/text":"m"}"#,
                "does not name the text that was delivered",
            ),
        ] {
            let found = of(&chain, environment, "success").unwrap_or_default();
            assert!(
                found.contains(expected),
                "{chain}: {found:?}, not {expected:?}"
            );
        }
    }
}
