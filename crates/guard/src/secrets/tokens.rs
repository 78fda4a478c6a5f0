//! Credentials of known form.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::rules::Issued;
use super::{SecretKind, add, entropy};
use crate::context::{self, Subjects};
use crate::engine::Window;
use crate::resolve::{Candidate, Rank};

/// Base64 for URLs, with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Longest JWT header that is looked into, encoded.
const HEADER: usize = 1024;

/// Judges what follows a prefix at `start`.
pub(super) fn issued(
    window: &Window<'_>,
    start: usize,
    issued: &Issued,
    found: &mut Vec<Candidate>,
) {
    let before = window.before(start);
    let glued = before.is_ascii_alphanumeric() || before == b'_' || before == b'-';
    // Hosts may stand behind `https://`; short prefixes within words are no prefixes.
    if glued {
        return;
    }
    let from = start + issued.prefix.len();
    let rest = window.bytes.get(from..window.end).unwrap_or_default();
    let mut length = rest
        .iter()
        .take(issued.longest + 1)
        .take_while(|byte| issued.alphabet.has(**byte))
        .count();
    while length > 0 && matches!(rest.get(length - 1), Some(b'.' | b'-' | b'/' | b'+')) {
        length -= 1;
    }
    if length < issued.shortest || length > issued.longest {
        return;
    }
    let body = rest.get(..length).unwrap_or_default();
    if entropy::is_placeholder(body) || !is_mixed(body, issued) {
        return;
    }
    let end = from + length;
    let said = context::around(window, start, end).has(Subjects::KEY);
    if issued.needs_context && !said {
        return;
    }
    let checked = issued.issuer == "github" && issued.prefix.len() == 4 && github(body);
    let score = if checked || said { 100 } else { 90 };
    add(
        found,
        SecretKind::ApiKey,
        (start, end),
        score,
        Rank::Checked,
    );
}

/// Random text of some length has digits or both cases; words and slugs have not.
fn is_mixed(body: &[u8], issued: &Issued) -> bool {
    let digit = body.iter().any(u8::is_ascii_digit);
    let upper = body.iter().any(u8::is_ascii_uppercase);
    let lower = body.iter().any(u8::is_ascii_lowercase);
    let strong = issued.prefix.len() >= 4 || issued.prefix.ends_with('_');
    (strong && (digit || (upper && lower)))
        || (digit && (upper || lower))
        || (strong && upper && body.len() >= 16)
}

/// The last six characters of GitHub's tokens are the CRC-32 of the others, in base 62.
fn github(body: &[u8]) -> bool {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let Some((text, check)) = body.split_last_chunk::<6>() else {
        return false;
    };
    let mut rest = crc32(text);
    let mut expected = [b'0'; 6];
    for place in expected.iter_mut().rev() {
        *place = DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    expected == *check
}

/// CRC-32 (IEEE 802.3).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    };
    !bytes.iter().fold(!0, step)
}

/// JSON Web Tokens, connection strings, tokens without a prefix.
pub(super) fn look(window: &Window<'_>, found: &mut Vec<Candidate>) {
    let text = window.text();
    for place in JWT_START.find_iter(text) {
        jwt(window, window.start + place, found);
    }
    for place in memchr::memchr_iter(b':', text) {
        if text
            .get(place + 1..)
            .is_some_and(|rest| rest.starts_with(b"//"))
        {
            connection(window, window.start + place, found);
        } else {
            telegram(window, window.start + place, found);
        }
    }
    for place in memchr::memchr_iter(b'=', text) {
        let head = text.get(..=place).unwrap_or_default();
        let names: [&[u8]; 4] = [b"AccountKey=", b"SharedAccessKey=", b"?sig=", b"&sig="];
        if names.iter().any(|name| head.ends_with(name)) {
            azure(window, window.start + place + 1, found);
        }
    }
}

/// How the header of a JSON Web Token begins: `{"` in base64.
static JWT_START: LazyLock<memchr::memmem::Finder<'static>> =
    LazyLock::new(|| memchr::memmem::Finder::new(b"eyJ"));

fn is_url_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn jwt(window: &Window<'_>, start: usize, found: &mut Vec<Candidate>) {
    if is_url_byte(&window.before(start)) || window.before(start) == b'.' {
        return;
    }
    let rest = window.bytes.get(start..window.end).unwrap_or_default();
    let part = |from: usize| {
        let rest = rest.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| is_url_byte(byte)).count()
    };
    let header = part(0);
    if !(12..=HEADER).contains(&header) || rest.get(header) != Some(&b'.') {
        return;
    }
    let payload = part(header + 1);
    if payload < 4 {
        return;
    }
    let mut end = header + 1 + payload;
    let mut parts = 2;
    while parts < 5 && rest.get(end) == Some(&b'.') {
        let next = part(end + 1);
        if next == 0 && parts > 2 {
            break;
        }
        end += 1 + next;
        parts += 1;
    }
    let Ok(json) = LENIENT.decode(rest.get(..header).unwrap_or_default()) else {
        return;
    };
    let names_one = memchr::memmem::find(&json, b"\"alg\"").is_some();
    if names_one && json.first() == Some(&b'{') {
        add(
            found,
            SecretKind::Jwt,
            (start, start + end),
            100,
            Rank::Checked,
        );
    }
}

/// `scheme://user:password@host...`
fn connection(window: &Window<'_>, place: usize, found: &mut Vec<Candidate>) {
    let head = window.bytes.get(window.start..place).unwrap_or_default();
    let scheme = head
        .iter()
        .rev()
        .take(24)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        .count();
    if scheme < 2 {
        return;
    }
    let from = place + 3;
    let rest = window.bytes.get(from..window.end).unwrap_or_default();
    let body = rest
        .iter()
        .take_while(|b| !b"\"'<>`,;) ".contains(b))
        .count();
    let body = rest.get(..body).unwrap_or_default();
    let authority = body
        .split(|b| matches!(b, b'/' | b'?' | b'#'))
        .next()
        .unwrap_or_default();
    // A password may hold `@` and slashes; the host begins after the last `@`.
    let Some(at) = memchr::memrchr(
        b'@',
        if authority.contains(&b'@') {
            authority
        } else {
            body
        },
    ) else {
        return;
    };
    let login = body.get(..at).unwrap_or_default();
    let Some(colon) = memchr::memchr(b':', login) else {
        return;
    };
    let password = login.get(colon + 1..).unwrap_or_default();
    if password.len() < 3 || entropy::is_placeholder(password) || entropy::is_example(password) {
        return;
    }
    let mut end = from + body.len();
    while matches!(window.before(end), b'.' | b'?' | b'!' | b':') {
        end -= 1;
    }
    add(
        found,
        SecretKind::ConnectionString,
        (place - scheme, end),
        90,
        Rank::Checked,
    );
}

/// `digits:35 characters`: bots of Telegram.
fn telegram(window: &Window<'_>, colon: usize, found: &mut Vec<Candidate>) {
    let head = window.bytes.get(window.start..colon).unwrap_or_default();
    let digits = head.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let tail = window.bytes.get(colon + 1..window.end).unwrap_or_default();
    let length = tail.iter().take(41).take_while(|b| is_url_byte(b)).count();
    if (8..=10).contains(&digits) && length == 35 {
        let token = (colon - digits, colon + 1 + length);
        if !entropy::is_placeholder(tail.get(..length).unwrap_or_default()) {
            add(found, SecretKind::ApiKey, token, 90, Rank::Checked);
        }
    }
}

/// Keys in Azure's connection strings and signed addresses.
fn azure(window: &Window<'_>, start: usize, found: &mut Vec<Candidate>) {
    let rest = window.bytes.get(start..window.end).unwrap_or_default();
    let part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=%".contains(byte);
    let length = rest.iter().take_while(part).count();
    let body = rest.get(..length).unwrap_or_default();
    if (40..=140).contains(&length) && !entropy::is_placeholder(body) {
        add(
            found,
            SecretKind::ApiKey,
            (start, start + length),
            95,
            Rank::Checked,
        );
    }
}

/// Private keys in PEM form, whole or cut off.
pub(super) fn private_keys(window: &Window<'_>, found: &mut Vec<Candidate>) {
    let text = window.text();
    let mut from = 0;
    while let Some(place) =
        memchr::memmem::find(text.get(from..).unwrap_or_default(), b"-----BEGIN")
    {
        let start = from + place;
        let rest = text.get(start..).unwrap_or_default();
        let title = rest.get(..64.min(rest.len())).unwrap_or_default();
        let footer = memchr::memmem::find(rest, b"-----END");
        let end = footer.map_or(rest.len(), |footer| {
            let tail = rest.get(footer + 8..).unwrap_or_default();
            let dashes = memchr::memmem::find(tail, b"-----").map_or(tail.len(), |d| d + 5);
            footer + 8 + dashes
        });
        if memchr::memmem::find(title, b"PRIVATE KEY").is_some() && end > 80 {
            let range = (window.start + start, window.start + start + end);
            add(found, SecretKind::PrivateKey, range, 100, Rank::Checked);
        }
        from = start + end.max(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
