//! Telephone numbers. What counts without a word for it nearby follows the numbering plans;
//! looser shapes need one.

use super::entity::Entity;
use super::numbers::{Number, Separator, has_neighbours};
use super::{Found, Sight};
use crate::context::Subjects;
use crate::engine::Window;
use crate::resolve::Rank;

/// Country codes with the shortest and longest national number.
const COUNTRIES: &str = include_str!("../../data/country_codes.txt");

static PLANS: std::sync::LazyLock<Vec<(u32, usize, usize)>> = std::sync::LazyLock::new(|| {
    let mut plans: Vec<_> = COUNTRIES.lines().filter_map(plan).collect();
    plans.sort_unstable();
    plans
});

fn plan(line: &str) -> Option<(u32, usize, usize)> {
    let mut words = line.split('#').next()?.split_whitespace();
    let code = words.next()?.parse().ok()?;
    let shortest = words.next()?.parse().ok()?;
    Some((code, shortest, words.next()?.parse().ok()?))
}

/// Judges a row of groups as a telephone number.
pub(crate) fn look(window: &Window<'_>, number: &Number<'_>, sight: &Sight, out: &mut Found<'_>) {
    if !(7..=15).contains(&number.digits.len())
        || !(sight.wants(Entity::Phone) || sight.wants(Entity::InMobile))
    {
        return;
    }
    let Some(end) = end(window, number.end(), number.digits.len()) else {
        return;
    };
    let slashed = |group: &super::numbers::Group| group.separator == Separator::One(b'/');
    if number.groups.iter().skip(1).any(slashed) || has_date(number) {
        return;
    }
    let (start, plus) = start(window, number);
    let (score, rank, indian) = if plus {
        match international(number.digits) {
            Some(indian) => (90, Rank::Rule, indian),
            None => return,
        }
    } else {
        match national(window, number, sight, start, end) {
            Some(judged) => judged,
            None => return,
        }
    };
    let entity = if indian && sight.wants(Entity::InMobile) {
        Entity::InMobile
    } else {
        Entity::Phone
    };
    out.add_range(entity, start, end, score, rank);
}

/// Where the number begins with its plus or bracket, and whether it has a plus.
fn start(window: &Window<'_>, number: &Number<'_>) -> (usize, bool) {
    let start = number.start();
    if window.before(start) == b'+' {
        let plus = start.saturating_sub(1);
        let free = !window.before(plus).is_ascii_alphanumeric();
        return (plus, free);
    }
    let bracket = window.before(start) == b'(';
    let closed = number
        .groups
        .first()
        .is_some_and(|group| window.at(group.end) == b')');
    let plus_inside = bracket && window.before(start.saturating_sub(1)) == b'+';
    match (bracket && closed, plus_inside) {
        (true, true) => (start.saturating_sub(2), true),
        (true, false) => (start.saturating_sub(1), false),
        _ => (start, false),
    }
}

/// Where the number ends with its extension; `None` if it goes on as something else.
fn end(window: &Window<'_>, end: usize, digits: usize) -> Option<usize> {
    let rest = window.bytes.get(end..window.end).unwrap_or_default();
    for mark in [&b"x"[..], b" x", b" ext. ", b" ext ", b" ext.", b" extn "] {
        let Some(tail) = rest.strip_prefix(mark) else {
            continue;
        };
        let count = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if (1..=6).contains(&count) {
            return Some(end + mark.len() + count);
        }
    }
    let after = window.at(end);
    if after.is_ascii_alphanumeric() || matches!(after, b'_' | b'@' | b'%') {
        return None;
    }
    let next = window.at(end + 1);
    if matches!(after, b'.' | b',' | b'-' | b':' | b'/')
        && next.is_ascii_digit()
        && !super::numbers::field_ends(window, end, digits)
    {
        return None;
    }
    Some(end)
}

/// A date, or a time stamp, written with the same separators.
fn has_date(number: &Number<'_>) -> bool {
    let starts = |lengths: [usize; 3]| number.layout().take(3).eq(lengths);
    let year_first = starts([4, 2, 2]) && matches!(number.digits, [1, 9, ..] | [2, 0, ..]);
    let year_last = starts([2, 2, 4]) && number.digits.len() == 8;
    year_first || year_last
}

/// Whether the digits after a plus are a number of some country; gives whether it is an
/// Indian mobile number.
fn international(digits: &[u8]) -> Option<bool> {
    for length in 1..=3 {
        let code = super::checksum::number(digits.get(..length)?);
        let Ok(place) = PLANS.binary_search_by_key(&code, |plan| plan.0) else {
            continue;
        };
        let (_, shortest, longest) = PLANS.get(place)?;
        let rest = digits.get(length..)?;
        // A trunk zero is written in brackets, and dialled only at home.
        let rest = rest
            .strip_prefix(&[0])
            .filter(|_| code != 39)
            .unwrap_or(rest);
        let fits = (*shortest..=*longest).contains(&rest.len());
        return fits.then_some(code == 91 && matches!(rest, [6..=9, ..]));
    }
    None
}

type Judged = (u8, Rank, bool);

fn national(
    window: &Window<'_>,
    number: &Number<'_>,
    sight: &Sight,
    start: usize,
    end: usize,
) -> Option<Judged> {
    let context = sight.context(window, start, end);
    let said = context.has(Subjects::PHONE);
    let denied = context.denies() || matches!(window.before(start), b'#' | b'$');
    let other = context
        .nearest
        .has(Subjects::CARD.and(Subjects::AADHAAR).and(Subjects::SSN));
    if let Some((score, indian)) = planned(number, start < number.start()) {
        return match (said, denied || other) {
            (true, false) => Some((95, Rank::Rule, indian)),
            (_, true) if !context.nearest.has(Subjects::PHONE) => None,
            (true, true) => Some((80, Rank::Rule, indian)),
            (false, _) if has_neighbours(window, start, end) => None,
            (false, _) => Some((score, Rank::Rule, indian)),
        };
    }
    let digits = number.digits;
    if matches!(digits, [0, 0, rest @ ..] if international(rest).is_some()) {
        let grouped = number.groups.len() > 1 && !denied;
        return (said || grouped).then_some((70, Rank::Rule, false));
    }
    let nearest = context.nearest.has(Subjects::PHONE) || context.after.has(Subjects::PHONE);
    if !said || !nearest || other || digits.len() > 13 {
        return None;
    }
    if number.groups.len() > 1 {
        // Rows of unrelated numbers have longer or single-digit groups.
        let plausible = number
            .layout()
            .skip(1)
            .all(|length| (2..=7).contains(&length));
        return plausible.then_some((65, Rank::Shape, false));
    }
    let indian = matches!(digits, [9, 1, 6..=9, ..] if digits.len() == 12);
    (!denied).then_some((60, Rank::Shape, indian))
}

/// National forms that stand without a word for them: the score, and whether the number is
/// an Indian mobile number.
fn planned(number: &Number<'_>, bracket: bool) -> Option<(u8, bool)> {
    let digits = number.digits;
    let single = number.groups.len() == 1;
    let indian = |digits: &[u8]| matches!(digits, [6..=9, ..]) && digits.len() == 10;
    let american = |digits: &[u8]| {
        digits.len() == 10 && matches!(digits, [2..=9, a, b, 2..=9, ..] if (*a, *b) != (1, 1))
    };
    let dashed = matches!(number.separator(), Some(b'-' | b'.'));
    let even = matches!(number.separator(), Some(b'-' | b'.' | b' '));
    if number.is(&[3, 3, 4]) && american(digits) && (bracket || dashed) {
        return Some((70, false));
    }
    if number.is(&[1, 3, 3, 4]) && digits.first() == Some(&1) {
        return american(digits.get(1..)?).then_some((65, false));
    }
    if indian(digits) && !all_alike(digits) {
        let shapes: [&[usize]; 4] = [&[10], &[5, 5], &[3, 3, 4], &[4, 3, 3]];
        if shapes.iter().any(|shape| number.is(shape)) && (single || even) {
            return Some((if single { 55 } else { 65 }, true));
        }
    }
    if number.is(&[3, 3, 4]) && american(digits) && even {
        return Some((50, false));
    }
    if number.is(&[2, 5, 4]) && matches!(digits, [1..=9, 1..=9, 9, ..]) {
        return Some((65, false));
    }
    if number.is(&[4, 4]) && matches!(digits, [8 | 9, ..]) && even {
        return Some((50, false));
    }
    trunk(number, even)
}

/// Forms that begin with the trunk zero.
fn trunk(number: &Number<'_>, even: bool) -> Option<(u8, bool)> {
    let digits = number.digits;
    let single = number.groups.len() == 1;
    match digits {
        [0, 6..=9, ..] if digits.len() == 11 => {
            let groups =
                single || number.is(&[6, 5]) || number.is(&[1, 5, 5]) || number.is(&[4, 7]);
            let british = matches!(digits, [0, 7, ..]) && number.groups.len() <= 3;
            let japanese = number.is(&[3, 4, 4]);
            (groups || british || japanese || number.groups.len() == 3)
                .then_some((65, !british && groups))
        }
        [0, 4..=7, ..] if single && digits.len() == 10 => Some((55, false)),
        [0, 1..=9, ..] if !single && (9..=12).contains(&digits.len()) => {
            let groups = number.layout().all(|length| (2..=8).contains(&length));
            let mixed = number
                .groups
                .iter()
                .skip(1)
                .any(|g| g.separator == Separator::Mixed);
            (groups && (even || mixed || number.groups.len() > 2)).then_some((55, false))
        }
        _ => None,
    }
}

fn all_alike(digits: &[u8]) -> bool {
    digits
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a == b))
}
