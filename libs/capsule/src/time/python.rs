//! The timestamps that Python 3.11's `datetime.fromisoformat` reads, and the form in which
//! `isoformat` writes them: the protocol's records pass through both.

use super::civil;

/// A date and time as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DateTime {
    /// Microseconds from 1970-01-01T00:00:00 of the written clock.
    local_micros: i64,
    /// Offset of the written clock from UTC; `None` when none is written.
    offset_micros: Option<i64>,
}

impl DateTime {
    /// Microseconds since the Unix epoch, when an offset was written.
    pub(crate) fn utc_micros(&self) -> Option<i64> {
        self.offset_micros.map(|offset| self.local_micros - offset)
    }

    /// Whether an offset was written.
    pub(crate) fn has_offset(&self) -> bool {
        self.offset_micros.is_some()
    }
}

const SECOND: i64 = 1_000_000;

/// Reads an ISO 8601 date, or date and time, in any of the forms that Python accepts.
pub(crate) fn from_isoformat(text: &str) -> Option<DateTime> {
    let bytes = text.as_bytes();
    if bytes.len() < 7 {
        return None;
    }
    let date_length = date_length(bytes)?;
    let (date, rest) = bytes.split_at_checked(date_length)?;
    let days = read_date(date)?;
    // Any one character separates date and time; the text splits at characters, not at bytes.
    let mut after = std::str::from_utf8(rest).ok()?.chars();
    let (time, offset_micros) = match after.next() {
        None => (0, None),
        Some(_) if after.as_str().is_empty() => return None,
        Some(_) => read_time(after.as_str().as_bytes())?,
    };
    Some(DateTime {
        local_micros: days * 86_400 * SECOND + time,
        offset_micros,
    })
}

/// Whether the text is exactly what `isoformat` writes for the moment that it names.
pub(crate) fn is_isoformat(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((clock, rest)) = bytes.split_at_checked(19) else {
        return false;
    };
    let (fraction, offset) = match rest.first() {
        Some(b'.') => rest.split_at_checked(7).unwrap_or((rest, &[])),
        _ => (&b""[..], rest),
    };
    matches_pattern(clock, b"0000-00-00T00:00:00")
        && (fraction.is_empty() || matches_pattern(fraction, b".000000") && fraction != b".000000")
        && is_normal_offset(offset)
        && from_isoformat(text).is_some()
}

fn is_normal_offset(offset: &[u8]) -> bool {
    if offset.is_empty() {
        return true;
    }
    let signed = |pattern: &[u8]| {
        let (sign, digits) = offset.split_at_checked(1).unwrap_or((offset, &[]));
        matches!(sign, b"+" | b"-") && matches_pattern(digits, pattern)
    };
    let zero = |digits: &[u8]| digits.iter().all(|byte| matches!(byte, b'0' | b':' | b'.'));
    let tail = |from: usize| offset.get(from..).unwrap_or_default();
    let head = |to: usize| offset.get(1..to).unwrap_or_default();
    let shape = match offset.len() {
        6 => signed(b"00:00"),
        9 => signed(b"00:00:00") && !zero(tail(6)),
        // Below one second an offset is taken for none.
        16 => signed(b"00:00:00.000000") && !zero(tail(9)) && !zero(head(9)),
        _ => false,
    };
    // An offset of nothing is written as plus.
    shape && !(offset.first() == Some(&b'-') && zero(tail(1)))
}

/// Whether each byte is a digit where the pattern says `0`, else the pattern's byte.
fn matches_pattern(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.len() == pattern.len()
        && bytes.iter().zip(pattern).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            like => byte == like,
        })
}

/// Where the date ends, by the rules with which Python finds the separator.
fn date_length(bytes: &[u8]) -> Option<usize> {
    let at = |index: usize| bytes.get(index).copied();
    if bytes.len() == 7 {
        return Some(7);
    }
    let digits_from = |start: usize| {
        let rest = bytes.get(start..).unwrap_or_default();
        start + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    if at(4) == Some(b'-') {
        if at(5) == Some(b'W') {
            if bytes.len() < 8 {
                return None;
            }
            return match at(8) {
                // YYYY-Www-D, unless the hyphen separates a time from YYYY-Www.
                Some(b'-') if bytes.len() == 9 => None,
                Some(b'-') if bytes.len() > 10 && at(10).is_some_and(|b| b.is_ascii_digit()) => {
                    Some(8)
                }
                Some(b'-') => Some(10),
                _ => Some(8),
            };
        }
        return Some(10);
    }
    if at(4) == Some(b'W') {
        let end = digits_from(7);
        if end < 9 {
            return Some(end);
        }
        // YYYYWww then an even number of digits is a time; one more digit is the weekday.
        return Some(if end % 2 == 0 { 7 } else { 8 });
    }
    Some(8)
}

fn read_date(bytes: &[u8]) -> Option<i64> {
    let (year, rest) = number(bytes, 4)?;
    let dashed = rest.first() == Some(&b'-');
    let rest = if dashed { rest.get(1..)? } else { rest };
    if let Some(week) = rest.strip_prefix(b"W") {
        let (week, rest) = number(week, 2)?;
        let day = match rest {
            [] => 1,
            rest => {
                let digit = if dashed {
                    rest.strip_prefix(b"-")?
                } else {
                    rest
                };
                let (day, end) = number(digit, 1)?;
                end.is_empty().then_some(day)?
            }
        };
        return week_date(year, week, day);
    }
    let (month, rest) = number(rest, 2)?;
    let rest = if dashed {
        rest.strip_prefix(b"-")?
    } else {
        rest
    };
    let (day, end) = number(rest, 2)?;
    let valid = end.is_empty()
        && (1..=9999).contains(&year)
        && (1..=civil::days_in_month(year, month)).contains(&day);
    valid.then(|| civil::to_days(year, month, day))
}

fn week_date(year: i64, week: i64, day: i64) -> Option<i64> {
    if !(1..=9999).contains(&year) || !(1..=7).contains(&day) {
        return None;
    }
    let first = civil::to_days(year, 1, 1);
    let leap = civil::days_in_month(year, 2) == 29;
    let long = match civil::weekday(first) {
        4 => true,
        3 => leap,
        _ => false,
    };
    if !(1..=52 + i64::from(long)).contains(&week) {
        return None;
    }
    // Week 1 is the one that holds the year's first Thursday.
    let weekday = civil::weekday(first);
    let monday = first - (weekday - 1) + if weekday > 4 { 7 } else { 0 };
    let days = monday + (week - 1) * 7 + day - 1;
    (civil::to_days(1, 1, 1)..=civil::to_days(9999, 12, 31))
        .contains(&days)
        .then_some(days)
}

/// Microseconds of the day and of the offset.
fn read_time(bytes: &[u8]) -> Option<(i64, Option<i64>)> {
    let zone = bytes
        .iter()
        .position(|byte| matches!(byte, b'+' | b'-' | b'Z'));
    let clock = read_clock(bytes, zone.unwrap_or(bytes.len()))?;
    let in_range = clock.hour <= 23 && clock.minute <= 59 && clock.second <= 59;
    if !in_range || (zone.is_none() && clock.leftover) {
        return None;
    }
    let offset = match bytes.get(zone.unwrap_or(bytes.len())..)?.split_first() {
        None => None,
        Some((b'Z', after)) => after.is_empty().then_some(Some(0))?,
        Some((sign, digits)) => {
            let offset = read_clock(digits, digits.len())?;
            let size = offset.micros();
            if offset.leftover || size >= 86_400 * SECOND {
                return None;
            }
            // An offset below one second is taken for none.
            let size = if size < SECOND { 0 } else { size };
            Some(if *sign == b'-' { -size } else { size })
        }
    };
    Some((clock.micros(), offset))
}

struct Clock {
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    /// Something follows what was read; Python minds only where no offset does.
    leftover: bool,
}

impl Clock {
    fn micros(&self) -> i64 {
        ((self.hour * 60 + self.minute) * 60 + self.second) * SECOND + self.micros
    }
}

/// `HH[:MM[:SS[(.|,)f+]]]` with the colons all there or all missing, before `end`.
///
/// Python tolerates some spellings that this pattern does not show, such as a stray character before the
/// offset, or a colon before the fraction; so does this function, step by step.
fn read_clock(bytes: &[u8], end: usize) -> Option<Clock> {
    let digits = |from: usize, count: usize| number(bytes.get(from..)?, count).map(|read| read.0);
    let mut fields = [0; 3];
    let mut at = 0;
    let mut colons = false;
    for (index, field) in fields.iter_mut().enumerate() {
        *field = digits(at, 2)?;
        let next = bytes.get(at + 2).copied();
        at += 3;
        if index == 0 {
            colons = next == Some(b':');
        }
        if at >= end {
            return Some(clock(fields, 0, next.is_some()));
        }
        match next {
            Some(b':') if colons => {}
            Some(b'.' | b',') => break,
            _ if !colons => at -= 1,
            _ => return None,
        }
    }
    let width = (end - at).min(6);
    let scale: i64 = std::iter::repeat_n(10, 6 - width).product();
    let micros = digits(at, width)? * scale;
    let rest = bytes.get(at + width..).unwrap_or_default();
    let leftover = rest.iter().any(|byte| !byte.is_ascii_digit());
    Some(clock(fields, micros, leftover))
}

fn clock([hour, minute, second]: [i64; 3], micros: i64, leftover: bool) -> Clock {
    Clock {
        hour,
        minute,
        second,
        micros,
        leftover,
    }
}

/// The number of the first `width` bytes, which must be digits, and what follows them.
fn number(bytes: &[u8], width: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(width)?;
    let value = digits.iter().try_fold(0, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + i64::from(digit - b'0'))
    })?;
    Some((value, rest))
}
