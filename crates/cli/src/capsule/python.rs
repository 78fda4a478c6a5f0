//! Values as Python prints them, for the places where the reference shows a value that is not a string.

use capsule::canonical;
use capsule::json::Value;

/// `str(value)`.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        _ => repr(value),
    }
}

/// `str(value)`, or `otherwise` where Python counts the value as false.
#[must_use]
pub fn text_or(value: Option<&Value>, otherwise: &str) -> String {
    match value {
        Some(value) if is_true(value) => text(value),
        _ => otherwise.to_owned(),
    }
}

/// Whether Python counts the value as true.
#[must_use]
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Int(number) => number.as_i64() != Some(0),
        Value::Float(number) => *number != 0.0,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// `repr(value)`.
fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{}: {}", quoted(key), repr(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Int(_) | Value::Float(_) => {
            String::from_utf8_lossy(&canonical::to_vec(value)).into_owned()
        }
    }
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use capsule::json::{Limits, parse};

    use super::*;

    #[test]
    fn values_print_as_python_prints_them() {
        for (json, expected) in [
            ("\"x'y\"", "x'y"),
            ("null", "None"),
            ("true", "True"),
            ("1e22", "1e+22"),
            ("-0", "0"),
            (
                "[\"x\", 1.0, null, {\"a\": \"it's\"}]",
                "['x', 1.0, None, {'a': \"it's\"}]",
            ),
            ("[\"'\\\"\\n\\u0001\"]", "['\\'\"\\n\\x01']"),
            ("{}", "{}"),
        ] {
            let value = parse(json.as_bytes(), &Limits::default()).unwrap();
            assert_eq!(text(&value), expected);
        }
        assert_eq!(text_or(Some(&Value::from("")), "n/a"), "n/a");
        assert_eq!(text_or(None, "n/a"), "n/a");
        assert_eq!(text_or(Some(&Value::from(7_i64)), "n/a"), "7");
    }
}
