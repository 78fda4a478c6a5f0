//! E-mail, UPI, IP, hardware and web addresses.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::entity::Entity;
use super::{Found, Sight};
use crate::context::Subjects;
use crate::engine::Window;
use crate::resolve::Rank;

/// UPI handles: what stands after the `@`.
const HANDLES: &str = include_str!("../../data/upi_handles.txt");

static KNOWN_HANDLES: std::sync::LazyLock<Vec<&'static str>> = std::sync::LazyLock::new(|| {
    let lines = HANDLES.lines().filter(|line| !line.starts_with('#'));
    let mut handles: Vec<_> = lines.flat_map(str::split_whitespace).collect();
    handles.sort_unstable();
    handles
});

/// Longest local part (RFC 5321), and longest domain.
const LOCAL: usize = 64;
const DOMAIN: usize = 255;

/// E-mail and UPI addresses.
pub(crate) fn addresses(window: &Window<'_>, sight: &Sight, out: &mut Found<'_>) {
    for at in memchr::memchr_iter(b'@', window.text()) {
        let at = window.start + at;
        let start = local_start(window, at);
        if start == at {
            continue;
        }
        let end = domain_end(window, at + 1);
        let domain = window.bytes.get(at + 1..end).unwrap_or_default();
        if domain.contains(&b'.') {
            if sight.wants(Entity::Email) && is_domain(domain) {
                out.add_range(Entity::Email, start, end, 100, Rank::Checked);
            }
        } else if sight.wants(Entity::InUpi) {
            upi(window, (start, at, end), sight, out);
        }
    }
}

fn local_start(window: &Window<'_>, at: usize) -> usize {
    let from = at.saturating_sub(LOCAL).max(window.start);
    let local = window.bytes.get(from..at).unwrap_or_default();
    let part = |byte: &&u8| {
        byte.is_ascii_alphanumeric() || b"._%+-'!#$&*/=?^`{|}~".contains(byte) || **byte >= 0x80
    };
    let length = local.iter().rev().take_while(part).count();
    let mut local = local.get(local.len() - length..).unwrap_or_default();
    // What also writes lists, links and code does not begin an address.
    let lead = |byte: &&u8| !(byte.is_ascii_alphanumeric() || **byte == b'_' || **byte >= 0x80);
    let skipped = local.iter().take_while(lead).count();
    local = local.get(skipped..).unwrap_or_default();
    // `user=`, `mailto/`, `'`: the address begins after the last of these.
    let inner = local
        .iter()
        .rposition(|byte| b"='/|{}#&?*!$^`~".contains(byte));
    if let Some(place) = inner {
        local = local.get(place + 1..).unwrap_or_default();
    }
    at - local.len()
}

fn domain_end(window: &Window<'_>, start: usize) -> usize {
    let to = (start + DOMAIN).min(window.end);
    let rest = window.bytes.get(start..to).unwrap_or_default();
    let part =
        |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || **byte >= 0x80;
    let length = rest.iter().take_while(part).count();
    let mut domain = rest.get(..length).unwrap_or_default();
    while let [head @ .., b'.' | b'-'] = domain {
        domain = head;
    }
    start + domain.len()
}

fn is_domain(domain: &[u8]) -> bool {
    let mut labels = domain.rsplit(|byte| *byte == b'.');
    let top = labels.next().unwrap_or_default();
    let alphabetic = top
        .iter()
        .all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
    let top = (2..=24).contains(&top.len()) && alphabetic || top.starts_with(b"xn--");
    top && labels.all(|label| {
        !label.is_empty() && label.len() <= 63 && !label.starts_with(b"-") && !label.ends_with(b"-")
    })
}

fn upi(
    window: &Window<'_>,
    (start, at, end): (usize, usize, usize),
    sight: &Sight,
    out: &mut Found<'_>,
) {
    let name = window.bytes.get(start..at).unwrap_or_default();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let handle = window.bytes.get(at + 1..end).unwrap_or_default();
    let shape = handle.first().is_some_and(u8::is_ascii_alphabetic)
        && (2..=20).contains(&handle.len())
        && handle.iter().all(u8::is_ascii_alphanumeric);
    if name.len() < 2 || !name.iter().all(plain) || !shape {
        return;
    }
    if matches!(window.at(end), b'@' | b':' | b'/' | b'_') {
        return;
    }
    let handle = handle.to_ascii_lowercase();
    let known = std::str::from_utf8(&handle)
        .is_ok_and(|handle| KNOWN_HANDLES.binary_search(&handle).is_ok());
    let said = sight.context(window, start, end).has(Subjects::UPI);
    let number = name.len() == 10 && name.iter().all(u8::is_ascii_digit);
    let score = match (known, said || number) {
        (true, true) => 100,
        (true, false) => 90,
        (false, true) => 75,
        (false, false) => 30,
    };
    out.add_range(Entity::InUpi, start, end, score, Rank::Rule);
}

/// IP, hardware and web addresses.
pub(crate) fn look(window: &Window<'_>, sight: &Sight, out: &mut Found<'_>) {
    let mut place = window.start;
    while place < window.end {
        let byte = window.at(place);
        let before = window.before(place);
        let starts = !(before.is_ascii_alphanumeric() || matches!(before, b'.' | b':' | b'_'))
            || matches!(before, b':') && !is_hex_or_colon(window.before(place.saturating_sub(1)));
        if starts && (byte.is_ascii_hexdigit() || byte == b':') {
            let end = address(window, place, sight, out);
            place = end.max(place + 1);
            continue;
        }
        place += 1;
    }
    if sight.wants(Entity::Url) {
        urls(window, out);
    }
}

fn is_hex_or_colon(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':'
}

/// Judges what begins at `start`; gives where to go on.
fn address(window: &Window<'_>, start: usize, sight: &Sight, out: &mut Found<'_>) -> usize {
    let rest = window.bytes.get(start..window.end).unwrap_or_default();
    let hex = rest
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    match rest.get(hex) {
        Some(b'.') if hex <= 3 => ipv4(window, start, sight, out),
        Some(b':') => {
            let end = hardware(window, start, b':', sight, out);
            end.max(ipv6(window, start, sight, out))
        }
        Some(b'-') if hex == 2 => hardware(window, start, b'-', sight, out),
        _ => start + hex,
    }
}

fn ipv4(window: &Window<'_>, start: usize, sight: &Sight, out: &mut Found<'_>) -> usize {
    let rest = window.bytes.get(start..window.end).unwrap_or_default();
    let part = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let length = rest.iter().take_while(part).count();
    let mut text = rest.get(..length).unwrap_or_default();
    if let [head @ .., b'.'] = text {
        text = head;
    }
    let end = start + text.len();
    let whole = std::str::from_utf8(text).ok();
    let Some(ip) = whole.and_then(|text| text.parse::<Ipv4Addr>().ok()) else {
        return start + length;
    };
    let after = window.at(end);
    let free = !(after.is_ascii_alphanumeric() || after == b'_');
    let context = sight.context(window, start, end);
    let version = context.nearest.has(Subjects::VERSION) && !context.has(Subjects::IP)
        || window.before(start) == b'v';
    // `chapter 7.5.5.0`: small numbers right after a word for something else.
    let section =
        context.denies() && !context.has(Subjects::IP) && ip.octets().iter().all(|part| *part < 32);
    if free && !version && !section && sight.wants(Entity::Ip) && !ip.is_unspecified() {
        out.add_range(Entity::Ip, start, end, 95, Rank::Checked);
    }
    end.max(start + 1)
}

fn ipv6(window: &Window<'_>, start: usize, sight: &Sight, out: &mut Found<'_>) -> usize {
    let to = (start + 46).min(window.end);
    let rest = window.bytes.get(start..to).unwrap_or_default();
    let part = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let length = rest.iter().take_while(part).count();
    let mut text = rest.get(..length).unwrap_or_default();
    while let [head @ .., b'.'] = text {
        text = head;
    }
    if let [head @ .., b':'] = text
        && !head.ends_with(b":")
    {
        text = head;
    }
    let end = start + text.len();
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<Ipv6Addr>().ok());
    let colons = memchr::memchr_iter(b':', text).count();
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    // `a::b` is as likely a path in a program.
    let clear = colons >= 3 || (colons == 2 && digits >= 2 && text.len() >= 6);
    let free = !window.at(end).is_ascii_alphanumeric() && window.at(end) != b'_';
    if parsed.is_some() && clear && free && sight.wants(Entity::Ip) {
        out.add_range(Entity::Ip, start, end, 95, Rank::Checked);
    }
    start + length
}

fn hardware(
    window: &Window<'_>,
    start: usize,
    separator: u8,
    sight: &Sight,
    out: &mut Found<'_>,
) -> usize {
    let text = window.bytes.get(start..start + 17).unwrap_or_default();
    let fits = text.len() == 17
        && text
            .iter()
            .enumerate()
            .all(|(place, byte)| match place % 3 {
                2 => *byte == separator,
                _ => byte.is_ascii_hexdigit(),
            });
    let after = window.at(start + 17);
    let free = !(after.is_ascii_alphanumeric() || after == separator);
    if !fits || !free || start + 17 > window.end || !sight.wants(Entity::Mac) {
        return start + 2;
    }
    let said = sight.context(window, start, start + 17).has(Subjects::MAC);
    let letters = text.iter().any(u8::is_ascii_alphabetic);
    if letters || said {
        out.add_range(Entity::Mac, start, start + 17, 90, Rank::Rule);
    }
    start + 17
}

fn urls(window: &Window<'_>, out: &mut Found<'_>) {
    let text = window.text();
    for place in memchr::memmem::find_iter(text, b"://") {
        let head = text.get(..place).unwrap_or_default();
        let letters = head
            .iter()
            .rev()
            .take(10)
            .take_while(|b| b.is_ascii_alphabetic())
            .count();
        let scheme = head.get(place - letters..).unwrap_or_default();
        if !matches!(scheme, b"http" | b"https" | b"ftp" | b"HTTP" | b"HTTPS") {
            continue;
        }
        let rest = text.get(place + 3..).unwrap_or_default();
        let part = |byte: &&u8| !byte.is_ascii_whitespace() && !b"\"'<>`\\)]}".contains(byte);
        let mut tail = rest
            .get(..rest.iter().take_while(part).count())
            .unwrap_or_default();
        while let [head @ .., b'.' | b',' | b';' | b':' | b'!' | b'?'] = tail {
            tail = head;
        }
        if tail.len() >= 3 {
            let start = window.start + place - letters;
            let end = window.start + place + 3 + tail.len();
            out.add_range(Entity::Url, start, end, 90, Rank::Shape);
        }
    }
}
