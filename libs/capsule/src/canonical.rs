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
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    if plain_prefix(rest) == rest.len() {
        out.extend_from_slice(rest);
        out.push(b'"');
        return;
    }
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

/// Length of the longest prefix without quotation mark, backslash and control character.
pub(crate) fn plain_prefix(bytes: &[u8]) -> usize {
    let mut length = 0;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let special = special_bytes(load(word));
        if special != 0 {
            return length + first_marked(special);
        }
        length += 8;
    }
    let rest = words.remainder();
    if rest.is_empty() {
        return length;
    }
    // Filled up with a byte that stops the search at the end of the text.
    let mut word = [b'"'; 8];
    if let Some(start) = word.get_mut(..rest.len()) {
        start.copy_from_slice(rest);
    }
    length + first_marked(special_bytes(u64::from_le_bytes(word)))
}

fn load(word: &[u8]) -> u64 {
    // The slice has eight bytes; the fallback would mark its first.
    word.try_into().map_or(0, u64::from_le_bytes)
}

/// Sets the high bit of each byte of the word that must be escaped. A borrow may mark bytes after a
/// marked one too, so only the first mark counts.
const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES * 0x80;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & HIGH
}

const fn first_marked(special: u64) -> usize {
    (special.trailing_zeros() / 8) as usize
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
    // Whole numbers that have at most 15 digits are their own shortest form.
    let whole = value as i64;
    if whole.unsigned_abs() < 1_000_000_000_000_000 && whole as f64 == value {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        write_u64(whole.unsigned_abs(), out);
        out.extend_from_slice(b".0");
        return;
    }
    let mut shortest = Token::default();
    shortest.print(format_args!("{value:e}"));
    // Where two shortest forms are equally near, Python takes the even one, which is what rounding to
    // that many digits gives. Doubles with fewer than 16 digits cannot lie half-way.
    let digits = shortest.digits();
    if digits >= 16 {
        let mut rounded = Token::default();
        rounded.print(format_args!("{value:.*e}", digits - 1));
        if rounded.reads_as(value) && rounded.digits() == digits {
            shortest = rounded;
        }
    }
    lay_out(shortest.bytes(), out);
}

/// A float in the form `-d.ddde-x`, of at most 24 bytes: 17 digits, a point, a sign, `e-324`.
#[derive(Default)]
struct Token {
    buffer: [u8; 32],
    length: usize,
}

impl Token {
    fn print(&mut self, text: std::fmt::Arguments<'_>) {
        let mut free = self.buffer.as_mut_slice();
        // Writing to a slice fails only when it is full, which the bound above excludes.
        let written = free.write_fmt(text);
        debug_assert!(written.is_ok());
        self.length = 32 - free.len();
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    fn digits(&self) -> usize {
        let mantissa = self.bytes().split(|&byte| byte == b'e').next();
        let mantissa = mantissa.unwrap_or_default();
        mantissa.iter().filter(|byte| byte.is_ascii_digit()).count()
    }

    fn reads_as(&self, value: f64) -> bool {
        let text = std::str::from_utf8(self.bytes()).unwrap_or_default();
        text.parse() == Ok(value)
    }
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
