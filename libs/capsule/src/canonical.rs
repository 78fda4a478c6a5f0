//! Canonical JSON: the bytes that are hashed (Capsule Protocol 1.0, canonical form).
//!
//! UTF-8 without white space, keys in code point order, floats as Python's `repr` writes them. In
//! strings only the quotation mark, the backslash and U+0000 to U+001F are escaped, with the short
//! forms `\b \t \n \f \r` where they exist and lower-case `\u00xx` otherwise.

use std::io::Write;

use crate::json::{Integer, Value};

/// The canonical bytes of a value.
///
/// ```
/// use capsule::json::{Object, Value};
/// let value = Value::from(Object::from([("b", Value::from(1e16)), ("a", Value::from("é\u{1b}"))]));
/// assert_eq!(capsule::canonical::to_vec(&value), "{\"a\":\"é\\u001b\",\"b\":1e+16}".as_bytes());
/// ```
#[must_use]
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_value(value, &mut out);
    out
}

/// Appends the canonical bytes of a value.
///
/// The recursion is as deep as the value; parsed values are at most
/// [`MAX_DEPTH`](crate::json::MAX_DEPTH) deep.
pub fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(integer) => write_integer(integer, out),
        Value::Float(float) => write_f64(*float, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(item, out);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            for (index, (key, member)) in object.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write_value(member, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends a string token, quotation marks included.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, tail) = rest
            .split_at_checked(plain_prefix(rest))
            .unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = tail.split_first() else {
            break;
        };
        write_escaped(byte, out);
        rest = after;
    }
    out.push(b'"');
}

fn write_escaped(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0C => b'f',
        b'\r' => b'r',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&crate::hex::byte(byte));
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Length of the longest prefix without quotation mark, backslash and control character.
pub(crate) fn plain_prefix(bytes: &[u8]) -> usize {
    const BLOCK: usize = 16;
    let mut length = 0;
    let mut blocks = bytes.chunks_exact(BLOCK);
    for block in &mut blocks {
        // Branch-free over the block, so that it compiles to vector instructions.
        let any = block
            .iter()
            .fold(false, |any, &byte| any | is_special(byte));
        if any {
            return length + scalar_prefix(block);
        }
        length += BLOCK;
    }
    length + scalar_prefix(blocks.remainder())
}

fn scalar_prefix(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| is_special(byte))
        .unwrap_or(bytes.len())
}

pub(crate) fn write_integer(integer: &Integer, out: &mut Vec<u8>) {
    match integer.small_or_text() {
        Ok(small) => write_i64(small, out),
        Err(text) => out.extend_from_slice(text.as_bytes()),
    }
}

/// Appends an integer.
pub fn write_i64(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_u64(value.unsigned_abs(), out);
}

/// Appends an integer.
pub fn write_u64(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut rest = value;
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        // The remainder of a division by ten fits any integer type.
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// Appends a float as Python's `repr` writes it: the shortest digits that read back as the same
/// double, in fixed notation when the decimal exponent is from -4 to 15, else with an exponent of a sign
/// and at least two digits.
///
/// A float that is not finite has no JSON form; `null` is written for it. Records never hold one:
/// drafts and parsed documents are refused before.
pub fn write_f64(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    // At most 17 digits, a point, a sign, "e-324": 24 bytes.
    let mut buffer = [0_u8; 32];
    let mut free = buffer.as_mut_slice();
    // Writing to a slice fails only when it is full, which the bound above excludes.
    let written = write!(free, "{value:e}");
    debug_assert!(written.is_ok());
    let left = free.len();
    let token = buffer.get(..buffer.len() - left).unwrap_or_default();
    lay_out(token, out);
}

/// Lays out a token of the form `-d.ddde-x` by the rules of `repr`.
fn lay_out(token: &[u8], out: &mut Vec<u8>) {
    let token = match token.split_first() {
        Some((b'-', rest)) => {
            out.push(b'-');
            rest
        }
        _ => token,
    };
    let split = token.iter().position(|&byte| byte == b'e');
    let (mantissa, exponent) = token
        .split_at_checked(split.unwrap_or(token.len()))
        .unwrap_or((token, &[]));
    let exponent = read_exponent(exponent.get(1..).unwrap_or_default());
    let (first, fraction) = mantissa.split_at_checked(1).unwrap_or((mantissa, &[]));
    let fraction = fraction.get(1..).unwrap_or_default();
    if !(-4..16).contains(&exponent) {
        out.extend_from_slice(mantissa);
        let sign: &[u8] = if exponent < 0 { b"e-" } else { b"e+" };
        out.extend_from_slice(sign);
        if exponent.unsigned_abs() < 10 {
            out.push(b'0');
        }
        write_u64(u64::from(exponent.unsigned_abs()), out);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        let zeros = exponent.unsigned_abs() as usize - 1;
        out.resize(out.len() + zeros, b'0');
        out.extend_from_slice(first);
        out.extend_from_slice(fraction);
    } else {
        let whole = exponent.unsigned_abs() as usize;
        out.extend_from_slice(first);
        let (before, after) = fraction.split_at_checked(whole).unwrap_or((fraction, &[]));
        out.extend_from_slice(before);
        out.resize(out.len() + whole - before.len(), b'0');
        out.push(b'.');
        out.extend_from_slice(if after.is_empty() { b"0" } else { after });
    }
}

fn read_exponent(digits: &[u8]) -> i32 {
    let (sign, digits) = match digits.split_first() {
        Some((b'-', rest)) => (-1, rest),
        _ => (1, digits),
    };
    sign * digits
        .iter()
        .fold(0, |value, &digit| value * 10 + i32::from(digit - b'0'))
}
