//! `pii_operators`: what stands in the place of personal data, by kind: a text, a part of the value, a keyed digest, or the
//! value itself, encrypted.

use std::collections::BTreeMap;

use guard::Replacer;
use policy::Secret;
use store::pseudonym::ValueKey;

use super::registry::Reading;
use crate::config::problems::Place;
use crate::config::reader::Section;
use crate::config::yaml::Value;

/// The key that says it for all kinds that are not named; Presidio's word.
const DEFAULT: &str = "DEFAULT";

const KEY: &str = "pii_operators";
const SECRET: &str = "pii_operator_key";

/// What is done with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    /// `<KIND>`, or this text.
    Replace(Option<String>),
    /// So many characters become another one, from the start or from the end.
    Mask {
        with: char,
        count: usize,
        from_end: bool,
    },
    /// `<KIND#digest>`
    Hash,
    /// `<KIND:ciphertext>`
    Encrypt,
}

/// The operators of one check.
#[derive(Debug)]
pub(crate) struct Operators {
    of: BTreeMap<String, Operator>,
    rest: Operator,
    /// There where some operator needs it.
    key: Option<ValueKey>,
}

impl Replacer for Operators {
    fn replace(&self, kind: &str, value: &str) -> String {
        let plain = || format!("<{kind}>");
        match (self.of.get(kind).unwrap_or(&self.rest), &self.key) {
            (Operator::Replace(text), _) => text.clone().unwrap_or_else(plain),
            (
                Operator::Mask {
                    with,
                    count,
                    from_end,
                },
                _,
            ) => mask(value, *with, *count, *from_end),
            (Operator::Hash, Some(key)) => format!("<{kind}#{}>", key.digest(kind, value)),
            (Operator::Encrypt, Some(key)) => key.encrypt(kind, value).unwrap_or_else(|_| plain()),
            (Operator::Hash | Operator::Encrypt, None) => plain(),
        }
    }
}

/// A value of which a part would be no JSON any more is masked whole.
fn mask(value: &str, with: char, count: usize, from_end: bool) -> String {
    let length = value.chars().count();
    let unsafe_part = value.contains(['\\', '"']) || value.chars().any(char::is_control);
    let count = if unsafe_part {
        length
    } else {
        count.min(length)
    };
    let hidden = |at: usize| match from_end {
        true => at >= length - count,
        false => at < count,
    };
    let letters = value.chars().enumerate();
    letters
        .map(|(at, letter)| if hidden(at) { with } else { letter })
        .collect()
}

/// Reads `pii_operators` and their key; `None` where there are none. `known` says whether a kind can be found at all.
pub(crate) fn read(
    reading: &mut Reading<'_, '_>,
    known: &dyn Fn(&str) -> bool,
) -> Option<Operators> {
    let section = reading.params.section(KEY, reading.report);
    let secret = reading.params.secret(SECRET, reading.report);
    if section.entries().is_empty() {
        if secret.is_some() {
            reading.problem(SECRET, "nothing needs it: there are no pii_operators");
        }
        return None;
    }
    let mut of = BTreeMap::new();
    let mut rest = Operator::Replace(None);
    for entry in section.entries() {
        let operator = one(&section, &entry.key, &entry.value.value, reading);
        if entry.key == DEFAULT {
            rest = operator;
        } else if known(&entry.key) {
            of.insert(entry.key.clone(), operator);
        } else {
            let (place, path) = (entry.place.clone(), section.path_of(&entry.key));
            reading.report.problem(&place, &path, "unknown entity");
        }
    }
    let keyed = |operator: &Operator| matches!(operator, Operator::Hash | Operator::Encrypt);
    let needed = of.values().chain([&rest]).any(keyed);
    let key = match (needed, secret) {
        (true, Some(secret)) => derived(reading, &secret),
        (true, None) => {
            let message =
                "hash and encrypt need pii_operator_key; `openssl rand -hex 32` makes one";
            reading.problem(KEY, message);
            None
        }
        (false, Some(_)) => {
            reading.problem(SECRET, "nothing needs it: no operator is hash or encrypt");
            None
        }
        (false, None) => None,
    };
    if reading.params.flag("output_parse_pii", reading.report) == Some(true) {
        let message = "output_parse_pii puts placeholders of its own; use one or the other";
        reading.problem(KEY, message);
    }
    Some(Operators { of, rest, key })
}

fn derived(reading: &mut Reading<'_, '_>, secret: &Secret) -> Option<ValueKey> {
    match ValueKey::new(secret.expose()) {
        Ok(key) => {
            // Another key is another configuration: its digest knows, and nobody reads the key from it.
            let mark =
                blake3::derive_key("sealgate pii_operator_key 1", secret.expose().as_bytes());
            reading.read.push((SECRET.to_owned(), mark));
            Some(key)
        }
        Err(error) => {
            reading.problem(SECRET, error.to_string());
            None
        }
    }
}

/// `hash`, or `{type: hash, ...}` as Presidio's anonymizer takes it.
fn one(
    section: &Section<'_>,
    name: &str,
    value: &Value,
    reading: &mut Reading<'_, '_>,
) -> Operator {
    const WORDS: [(&str, u8); 5] = [
        ("replace", 0),
        ("mask", 1),
        ("hash", 2),
        ("encrypt", 3),
        ("redact", 4),
    ];
    let inner = match value {
        Value::Map(_) => section.section(name, reading.report),
        _ => {
            let word = section.choice(name, &WORDS, reading.report);
            return of_word(word.unwrap_or(0));
        }
    };
    for other in inner.entries() {
        let known = [
            "type",
            "new_value",
            "masking_char",
            "chars_to_mask",
            "from_end",
        ];
        if !known.contains(&other.key.as_str()) {
            let path = inner.path_of(&other.key);
            let message = match other.key.as_str() {
                "hash_type" | "salt" | "key" => {
                    "digests and ciphers are fixed; the key is pii_operator_key"
                }
                _ => "unknown key",
            };
            reading.report.problem(&other.place, &path, message);
        }
    }
    let word = inner.choice("type", &WORDS, reading.report);
    if inner.get("type").is_none() {
        let (place, path) = (inner.place.clone(), inner.path_of("type"));
        reading.report.problem(&place, &path, "missing");
    }
    match word {
        Some(0) => {
            let text = inner.text("new_value", reading.report);
            if let Some(text) = text {
                plain(
                    text,
                    &inner.place_of("new_value"),
                    &inner.path_of("new_value"),
                    reading,
                );
            }
            Operator::Replace(text.map(str::to_owned))
        }
        Some(1) => masking(&inner, reading),
        Some(word) => of_word(word),
        None => Operator::Replace(None),
    }
}

fn masking(inner: &Section<'_>, reading: &mut Reading<'_, '_>) -> Operator {
    let with = inner.text("masking_char", reading.report).unwrap_or("*");
    plain(
        with,
        &inner.place_of("masking_char"),
        &inner.path_of("masking_char"),
        reading,
    );
    let mut letters = with.chars();
    let (first, more) = (letters.next().unwrap_or('*'), letters.next());
    if more.is_some() {
        let (place, path) = (
            inner.place_of("masking_char"),
            inner.path_of("masking_char"),
        );
        reading
            .report
            .problem(&place, &path, "expected one character");
    }
    let count = inner.whole("chars_to_mask", 1, reading.report);
    Operator::Mask {
        with: first,
        count: count.map_or(usize::MAX, |count| {
            usize::try_from(count).unwrap_or(usize::MAX)
        }),
        from_end: inner.flag("from_end", reading.report).unwrap_or(false),
    }
}

fn of_word(word: u8) -> Operator {
    match word {
        1 => Operator::Mask {
            with: '*',
            count: usize::MAX,
            from_end: false,
        },
        2 => Operator::Hash,
        3 => Operator::Encrypt,
        4 => Operator::Replace(Some(String::new())),
        _ => Operator::Replace(None),
    }
}

/// What may stand in JSON.
fn plain(text: &str, place: &Place, path: &str, reading: &mut Reading<'_, '_>) {
    if text.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
        let message = "quotes, backslashes and control characters are not possible";
        reading.report.problem(place, path, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_masked_from_either_end() {
        assert_eq!(mask("4111 1111", '*', 4, false), "**** 1111");
        assert_eq!(mask("4111 1111", '*', 4, true), "4111 ****");
        assert_eq!(mask("äöü", '#', 2, false), "##ü");
        assert_eq!(mask("ab", '*', 9, true), "**");
    }

    #[test]
    fn a_part_of_an_escape_never_stays() {
        assert_eq!(mask(r"bo\u0040ex.org", '*', 4, false), "*".repeat(14));
    }
}
