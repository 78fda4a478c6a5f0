//! Numbers written in groups of digits, and what is known by its digits alone.

use super::checksum::{day_and_month, luhn, mod11_10, number, verhoeff, weighted};
use super::entity::Entity;
use super::phone;
use super::{Found, Sight};
use crate::context::Subjects;
use crate::engine::Window;
use crate::resolve::Rank;

/// Longest number, in digits.
const MAX_DIGITS: usize = 20;

/// Most groups of one number.
const MAX_GROUPS: usize = 8;

/// One group of digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// What parts it from the group before: 0 if it is the first of its row.
    pub(crate) separator: Separator,
}

/// What stands between two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separator {
    /// First of a row.
    First,
    /// One of space, hyphen, dot or slash.
    One(u8),
    /// Brackets and several characters, as in `(0) 69` or `) 555`.
    Mixed,
}

/// A number: some consecutive groups of a row.
pub(crate) struct Number<'g> {
    pub(crate) groups: &'g [Group],
    /// Values of the digits.
    pub(crate) digits: &'g [u8],
}

impl Number<'_> {
    pub(crate) fn start(&self) -> usize {
        self.groups.first().map_or(0, |group| group.start)
    }

    pub(crate) fn end(&self) -> usize {
        self.groups.last().map_or(0, |group| group.end)
    }

    /// Lengths of the groups.
    pub(crate) fn layout(&self) -> impl Iterator<Item = usize> + '_ {
        self.groups.iter().map(|group| group.end - group.start)
    }

    /// Whether the groups have these lengths.
    pub(crate) fn is(&self, lengths: &[usize]) -> bool {
        self.layout().eq(lengths.iter().copied())
    }

    /// The one separator that parts all groups; `None` for different ones or a single group.
    pub(crate) fn separator(&self) -> Option<u8> {
        let mut rest = self.groups.iter().skip(1).map(|group| group.separator);
        let Some(Separator::One(first)) = rest.next() else {
            return None;
        };
        rest.all(|other| other == Separator::One(first))
            .then_some(first)
    }

    /// One group, or groups parted alike by a space, hyphen or dot.
    fn is_even(&self) -> bool {
        self.groups.len() == 1 || matches!(self.separator(), Some(b' ' | b'-' | b'.'))
    }
}

/// Looks at every number of a run.
pub(crate) fn look(window: &Window<'_>, sight: &Sight, out: &mut Found<'_>) {
    let mut row: Vec<Group> = Vec::new();
    let mut place = window.start;
    while place < window.end {
        if !window.at(place).is_ascii_digit() {
            place += 1;
            continue;
        }
        let end = end_of_digits(window, place);
        let separator = row
            .last()
            .map_or(Separator::First, |last| separator(window, last.end, place));
        if separator == Separator::First && !row.is_empty() {
            numbers_of(window, &row, sight, out);
            row.clear();
        }
        row.push(Group {
            start: place,
            end,
            separator,
        });
        place = end;
    }
    if !row.is_empty() {
        numbers_of(window, &row, sight, out);
    }
}

fn end_of_digits(window: &Window<'_>, start: usize) -> usize {
    let rest = window.bytes.get(start..window.end).unwrap_or_default();
    start + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// What is between two groups; `First` if they do not belong together.
fn separator(window: &Window<'_>, end: usize, start: usize) -> Separator {
    match window.bytes.get(end..start).unwrap_or_default() {
        [one @ (b' ' | b'-' | b'.' | b'/')] => Separator::One(*one),
        [b')' | b'(']
        | [b')', b' ' | b'-' | b'.']
        | [b' ' | b'-' | b'.', b'(']
        | [b' ', b'-' | b'.', b' '] => Separator::Mixed,
        [b' ', b' '] | [b' ', b' ', b' '] => Separator::One(b' '),
        _ => Separator::First,
    }
}

fn numbers_of(window: &Window<'_>, row: &[Group], sight: &Sight, out: &mut Found<'_>) {
    let mut digits: Vec<u8> = Vec::with_capacity(MAX_DIGITS);
    let mut within_word = false;
    for first in 0..row.len() {
        let Some(group) = row.get(first) else { break };
        let joined = !matches!(group.separator, Separator::First | Separator::One(b' '));
        within_word = (within_word && joined) || !starts_free(window, group.start);
        if within_word {
            continue;
        }
        digits.clear();
        for count in 1..=MAX_GROUPS.min(row.len() - first) {
            let Some(groups) = row.get(first..first + count) else {
                break;
            };
            let Some(last) = groups.last() else { break };
            if digits.len() + (last.end - last.start) > MAX_DIGITS {
                break;
            }
            let added = window.bytes.get(last.start..last.end).unwrap_or_default();
            digits.extend(added.iter().map(|byte| byte - b'0'));
            let number = Number {
                groups,
                digits: &digits,
            };
            if ends_free(window, last.end, digits.len()) {
                judge(window, &number, sight, out);
            }
            phone::look(window, &number, sight, out);
        }
    }
}

/// A number does not begin within a word, a decimal fraction or a longer code.
fn starts_free(window: &Window<'_>, start: usize) -> bool {
    let before = window.before(start);
    if before.is_ascii_alphanumeric() || before == b'_' || before >= 0x80 {
        return false;
    }
    let one_more = window.before(start.saturating_sub(1));
    match before {
        b',' if one_more.is_ascii_digit() => !goes_on(window, start),
        b'-' | b'.' | b'/' => !one_more.is_ascii_alphabetic(),
        _ => true,
    }
}

/// Whether digits after a comma are thousands or a decimal fraction, and no field of a table.
fn goes_on(window: &Window<'_>, start: usize) -> bool {
    let end = end_of_digits(window, start);
    match (end - start, window.at(end)) {
        (3, b'-') => false,
        (0..=3, _) => true,
        (_, b' ' | b'-') => !window.at(end + 1).is_ascii_digit(),
        (_, after) => !matches!(after, b',' | b';' | b'\n' | b'\r' | b'|' | b'\t'),
    }
}

/// Whether a comma after a long number begins the next field of a table.
pub(crate) fn field_ends(window: &Window<'_>, end: usize, digits: usize) -> bool {
    window.at(end) == b',' && digits >= 9
}

/// A number does not end within a word, a fraction or a longer code.
fn ends_free(window: &Window<'_>, end: usize, digits: usize) -> bool {
    let after = window.at(end);
    if after.is_ascii_alphanumeric() || after == b'_' || after == b'@' {
        return false;
    }
    !(matches!(after, b'.' | b',' | b'-') && window.at(end + 1).is_ascii_digit())
        || field_ends(window, end, digits)
}

fn judge(window: &Window<'_>, number: &Number<'_>, sight: &Sight, out: &mut Found<'_>) {
    if !number.is_even() {
        return;
    }
    // Part of a longer even row: the longer one is judged too.
    match number.digits.len() {
        8 | 9 => nine(window, number, sight, out),
        10 => ten(window, number, sight, out),
        11 => eleven(window, number, sight, out),
        13 if number.is(&[6, 7]) => rrn(window, number, sight, out),
        14 => abha(window, number, sight, out),
        _ => {}
    }
    if number.digits.len() == 12 {
        aadhaar(window, number, sight, out);
    }
    if (12..=19).contains(&number.digits.len()) {
        card(window, number, sight, out);
    }
    if number.groups.len() == 1 && (6..=17).contains(&number.digits.len()) {
        bank(window, number, sight, out);
    }
}

fn bank(window: &Window<'_>, number: &Number<'_>, sight: &Sight, out: &mut Found<'_>) {
    if number.digits.len() < 8 || !sight.wants(Entity::UsBankNumber) {
        return;
    }
    let context = sight.context(window, number.start(), number.end());
    if context.before.has(Subjects::BANK)
        && context.nearest.has(Subjects::BANK)
        && !context.has(Subjects::CARD.and(Subjects::PHONE))
    {
        out.add(Entity::UsBankNumber, number, 55, Rank::Shape);
    }
}

/// Issuers by prefix and length; the lengths are those in circulation.
fn is_issued(digits: &[u8]) -> bool {
    let first = |count: usize| number(digits.get(..count).unwrap_or_default());
    let (two, three, four) = (first(2), first(3), first(4));
    match digits.len() {
        13 => digits.first() == Some(&4),
        14 => matches!(three, 300..=305 | 309) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37) || matches!(four, 2131 | 1800),
        16 => {
            digits.first() == Some(&4)
                || matches!(two, 51..=55 | 62 | 65 | 35 | 36 | 38 | 39 | 60 | 81 | 82)
                || (2221..=2720).contains(&four)
                || matches!(three, 644..=649 | 508)
                || matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 | 2200..=2204)
        }
        19 => digits.first() == Some(&4) || matches!(two, 62 | 65) || maestro(four, two),
        17 | 18 => two == 62 || maestro(four, two),
        _ => false,
    }
}

fn maestro(four: u32, two: u32) -> bool {
    matches!(
        four,
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 | 604 | 6390
    ) || matches!(two, 56..=58)
}

fn card(window: &Window<'_>, number: &Number<'_>, sight: &Sight, out: &mut Found<'_>) {
    if !sight.wants(Entity::CreditCard) || !luhn(number.digits) || all_alike(number.digits) {
        return;
    }
    let grouped = number.groups.len() == 1
        || number.is(&[4, 4, 4, 4])
        || number.is(&[4, 6, 5])
        || number.is(&[4, 6, 4])
        || number.is(&[4, 4, 4, 4, 3])
        || number.is(&[4, 4, 4, 3]);
    let issued = is_issued(number.digits);
    let context = sight.context(window, number.start(), number.end());
    let said = context.has(Subjects::CARD);
    let score = match (grouped, issued, said) {
        (true, true, true) => 100,
        (true, true, false) if number.groups.len() > 1 => 95,
        (true, true, false) if context.denies() => 40,
        (true, true, false) => 85,
        (false, true, true) => 70,
        (true, false, true) if number.groups.len() == 1 && !context.denies() => 60,
        _ => return,
    };
    out.add(Entity::CreditCard, number, score, Rank::Checked);
}

fn all_alike(digits: &[u8]) -> bool {
    digits
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a == b))
}

fn aadhaar(window: &Window<'_>, number: &Number<'_>, sight: &Sight, out: &mut Found<'_>) {
    let grouped = number.groups.len() == 1 || number.is(&[4, 4, 4]);
    let begins = number.digits.first().is_some_and(|digit| *digit >= 2);
    if !sight.wants(Entity::InAadhaar) || !grouped || !begins || !verhoeff(number.digits) {
        return;
    }
    if all_alike(number.digits)
        || part_of_more(window, number)
        || window.before(number.start()) == b'+'
    {
        return;
    }
    let context = sight.context(window, number.start(), number.end());
    let score = match (context.has(Subjects::AADHAAR), number.groups.len() > 1) {
        (true, _) => 100,
        (false, true) if context.denies() => 40,
        (false, true) => 85,
        (false, false) if context.denies() || context.nearest.has(Subjects::CARD) => 40,
        (false, false) => 75,
    };
    out.add(Entity::InAadhaar, number, score, Rank::Checked);
}

/// Whether more digits stand beside a number, parted alike.
pub(crate) fn has_neighbours(window: &Window<'_>, start: usize, end: usize) -> bool {
    let parts = |byte: u8| matches!(byte, b' ' | b'-' | b'.');
    let before =
        parts(window.before(start)) && window.before(start.saturating_sub(1)).is_ascii_digit();
    before || (parts(window.at(end)) && window.at(end + 1).is_ascii_digit())
}

/// Whether more groups of four stand beside a number of such groups.
fn part_of_more(window: &Window<'_>, number: &Number<'_>) -> bool {
    let Some(separator) = number.separator() else {
        return false;
    };
    let before = window.before(number.start()) == separator
        && window
            .before(number.start().saturating_sub(1))
            .is_ascii_digit();
    let after =
        window.at(number.end()) == separator && window.at(number.end() + 1).is_ascii_digit();
    let four_more = |from: usize| (from..from + 4).all(|place| window.at(place).is_ascii_digit());
    before || (after && four_more(number.end() + 1))
}

fn nine(window: &Window<'_>, number: &Number<'_>, sight: &Sight, out: &mut Found<'_>) {
    let context = || sight.context(window, number.start(), number.end());
    let digits = number.digits;
    if digits.len() == 9 {
        ssn(number, &context(), sight, out);
        let said = context();
        if number.groups.len() == 1
            && said.has(Subjects::PASSPORT)
            && sight.wants(Entity::UsPassport)
        {
            out.add(Entity::UsPassport, number, 60, Rank::Shape);
        }
    }
    if sight.wants(Entity::AuTfn) && context().has(Subjects::TFN) {
        let weights: &[u32] = match digits.len() {
            9 => &[1, 4, 3, 7, 5, 8, 6, 9, 10],
            _ => &[10, 7, 8, 4, 6, 3, 5, 1],
        };
        if weighted(digits, weights).is_multiple_of(11) && number.groups.len() != 2 {
            out.add(Entity::AuTfn, number, 85, Rank::Checked);
        }
    }
}

fn ssn(number: &Number<'_>, context: &crate::context::Context, sight: &Sight, out: &mut Found<'_>) {
    let area = self::number(number.digits.get(..3).unwrap_or_default());
    let group = self::number(number.digits.get(3..5).unwrap_or_default());
    let serial = self::number(number.digits.get(5..).unwrap_or_default());
    let written = number.is(&[3, 2, 4]);
    if !written && number.groups.len() != 1 {
        return;
    }
    let itin = area >= 900 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99);
    if itin && sight.wants(Entity::UsItin) {
        let said = context.has(Subjects::ITIN.and(Subjects::SSN).and(Subjects::TFN));
        let dashed = written && number.separator() == Some(b'-');
        match (written, said) {
            (true, true) => out.add(Entity::UsItin, number, 90, Rank::Rule),
            (true, false) if dashed && !context.denies() => {
                out.add(Entity::UsItin, number, 40, Rank::Rule);
            }
            (false, true) => out.add(Entity::UsItin, number, 60, Rank::Rule),
            _ => {}
        }
    }
    let known = [
        (987, 65, 4320..=4329),
        (78, 5, 1120..=1120),
        (219, 9, 9999..=9999),
    ]
    .iter()
    .any(|(a, g, s)| *a == area && *g == group && s.contains(&serial));
    if matches!(area, 0 | 666 | 900..) || group == 0 || serial == 0 || known {
        return;
    }
    if !sight.wants(Entity::UsSsn) {
        return;
    }
    let said = context.has(Subjects::SSN);
    let score = match (written, number.separator(), said) {
        (true, _, true) => 95,
        (true, Some(b'-'), false) => 80,
        (true, Some(_), false) if !context.denies() => 50,
        (false, _, true) if context.nearest.has(Subjects::SSN) => 60,
        _ => return,
    };
    out.add(Entity::UsSsn, number, score, Rank::Rule);
}

fn ten(window: &Window<'_>, number: &Number<'_>, sight: &Sight, out: &mut Found<'_>) {
    let context = sight.context(window, number.start(), number.end());
    let digits = number.digits;
    let single = number.groups.len() == 1;
    if sight.wants(Entity::UkNhs) && (single || number.is(&[3, 3, 4])) && context.has(Subjects::NHS)
    {
        let sum = weighted(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
        if sum.is_multiple_of(11) {
            out.add(Entity::UkNhs, number, 90, Rank::Checked);
        }
    }
    if sight.wants(Entity::UsNpi)
        && single
        && matches!(digits.first(), Some(1 | 2))
        && context.has(Subjects::NPI)
    {
        let mut long = vec![8, 0, 8, 4, 0];
        long.extend_from_slice(digits);
        if luhn(&long) {
            out.add(Entity::UsNpi, number, 85, Rank::Checked);
        }
    }
    if sight.wants(Entity::AuMedicare)
        && (single || number.is(&[4, 5, 1]))
        && matches!(digits.first(), Some(2..=6))
        && (context.has(Subjects::MEDICARE) || number.is(&[4, 5, 1]))
    {
        let sum = weighted(
            digits.get(..8).unwrap_or_default(),
            &[1, 3, 7, 9, 1, 3, 7, 9],
        );
        if digits
            .get(8)
            .is_some_and(|check| u32::from(*check) == sum % 10)
        {
            out.add(Entity::AuMedicare, number, 85, Rank::Checked);
        }
    }
}

fn eleven(window: &Window<'_>, number: &Number<'_>, sight: &Sight, out: &mut Found<'_>) {
    let context = sight.context(window, number.start(), number.end());
    let digits = number.digits;
    let single = number.groups.len() == 1;
    if sight.wants(Entity::AuAbn) && (single || number.is(&[2, 3, 3, 3])) {
        let mut shifted = digits.to_vec();
        if let Some(first) = shifted.first_mut() {
            *first = first.wrapping_sub(1);
        }
        let weights = [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19];
        let said = context.has(Subjects::ABN);
        if digits.first() != Some(&0)
            && weighted(&shifted, &weights).is_multiple_of(89)
            && (said || !single)
        {
            out.add(
                Entity::AuAbn,
                number,
                if said { 90 } else { 60 },
                Rank::Checked,
            );
        }
    }
    if single && sight.wants(Entity::PlPesel) && context.has(Subjects::PESEL) {
        let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
        let month = self::number(digits.get(2..4).unwrap_or_default()) % 20;
        let day = self::number(digits.get(4..6).unwrap_or_default());
        if sum.is_multiple_of(10) && day_and_month(day, month) {
            out.add(Entity::PlPesel, number, 90, Rank::Checked);
        }
    }
    let written = single || number.is(&[2, 3, 3, 3]);
    if sight.wants(Entity::DeTaxId)
        && written
        && digits.first() != Some(&0)
        && context.has(Subjects::STEUER.and(Subjects::TFN))
        && mod11_10(digits)
    {
        out.add(Entity::DeTaxId, number, 85, Rank::Checked);
    }
}

fn rrn(window: &Window<'_>, number: &Number<'_>, sight: &Sight, out: &mut Found<'_>) {
    let digits = number.digits;
    let month = self::number(digits.get(2..4).unwrap_or_default());
    let day = self::number(digits.get(4..6).unwrap_or_default());
    let sexed = matches!(digits.get(6), Some(1..=8));
    if !sight.wants(Entity::KrRrn) || !sexed || !day_and_month(day, month) {
        return;
    }
    let weights = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5];
    let check = (11 - weighted(digits.get(..12).unwrap_or_default(), &weights) % 11) % 10;
    let holds = digits.last().is_some_and(|last| u32::from(*last) == check);
    let context = sight.context(window, number.start(), number.end());
    if holds {
        out.add(Entity::KrRrn, number, 85, Rank::Checked);
    } else if context.has(Subjects::RRN) {
        // Numbers given since October 2020 have no check digit.
        out.add(Entity::KrRrn, number, 60, Rank::Rule);
    }
}

fn abha(window: &Window<'_>, number: &Number<'_>, sight: &Sight, out: &mut Found<'_>) {
    let written = number.is(&[2, 4, 4, 4]);
    if !sight.wants(Entity::InAbha) || (!written && number.groups.len() != 1) {
        return;
    }
    let said = sight
        .context(window, number.start(), number.end())
        .has(Subjects::ABHA);
    let score = match (written, said, verhoeff(number.digits)) {
        (true, true, _) | (false, true, true) => 90,
        (true, false, true) => 75,
        (false, true, false) => 55,
        _ => return,
    };
    out.add(Entity::InAbha, number, score, Rank::Rule);
}
