//! Lower-case hexadecimal text.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The two digits of a byte.
pub(crate) fn byte(value: u8) -> [u8; 2] {
    [digit(value >> 4), digit(value & 15)]
}

fn digit(nibble: u8) -> u8 {
    // A nibble is below 16, so the lookup always succeeds.
    DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0')
}

/// Writes the digits of `bytes` into `out`, which is twice as long.
pub(crate) fn write(bytes: &[u8], out: &mut [u8]) {
    debug_assert_eq!(out.len(), bytes.len() * 2);
    for (pair, &value) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&byte(value));
    }
}

/// The digits of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|&value| byte(value))
        .map(char::from)
        .collect()
}

/// Reads exactly `N` bytes of lower-case digits.
pub(crate) fn decode_lower<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    decode(text.as_bytes())
}

/// Reads exactly `N` bytes of digits of either case.
pub(crate) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (slot, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *slot = value(*high)? << 4 | value(*low)?;
    }
    Some(bytes)
}

/// Reads digits as Python's `bytes.fromhex` does: either case, ASCII white space between bytes.
pub(crate) fn decode_python(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        // Python counts the vertical tab as white space too.
        if first.is_ascii_whitespace() || first == 0x0B {
            rest = after;
            continue;
        }
        let (&second, after) = after.split_first()?;
        bytes.push(value(first)? << 4 | value(second)?);
        rest = after;
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
