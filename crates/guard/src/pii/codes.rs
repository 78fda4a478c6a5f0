//! Codes of letters and digits: tax numbers, identity cards, plates, bank codes.

use super::checksum::{day_and_month, gstin, luhn, mod97, number};
use super::entity::Entity;
use super::{Found, Sight, crypto};
use crate::context::Subjects;
use crate::engine::Window;
use crate::resolve::Rank;

/// IBAN lengths by country.
const IBANS: &str = include_str!("../../data/iban_lengths.txt");

static IBAN_LENGTHS: std::sync::LazyLock<Vec<([u8; 2], usize)>> = std::sync::LazyLock::new(|| {
    let mut lengths: Vec<_> = IBANS.split_whitespace().filter_map(iban_length).collect();
    lengths.sort_unstable();
    lengths
});

fn iban_length(word: &str) -> Option<([u8; 2], usize)> {
    let (country, length) = word.split_at_checked(2)?;
    Some((country.as_bytes().try_into().ok()?, length.parse().ok()?))
}

/// Codes of India's states and territories on number plates.
const STATES: &[&[u8; 2]] = &[
    b"AN", b"AP", b"AR", b"AS", b"BR", b"CG", b"CH", b"DD", b"DL", b"DN", b"GA", b"GJ", b"HP",
    b"HR", b"JH", b"JK", b"KA", b"KL", b"LA", b"LD", b"MH", b"ML", b"MN", b"MP", b"MZ", b"NL",
    b"OD", b"OR", b"PB", b"PY", b"RJ", b"SK", b"TG", b"TN", b"TR", b"TS", b"UA", b"UK", b"UP",
    b"WB",
];

/// Longest code, separators included.
const LONGEST: usize = 48;

/// Looks at every word of letters and digits in a run.
pub(crate) fn look(window: &Window<'_>, sight: &Sight, out: &mut Found<'_>) {
    let mut place = window.start;
    while place < window.end {
        let rest = window.bytes.get(place..window.end).unwrap_or_default();
        let length = rest
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric())
            .count();
        if length == 0 {
            place += 1;
            continue;
        }
        if starts_free(window, place) {
            word(window, place, place + length, sight, out);
        }
        place += length;
    }
}

/// A code does not begin within a longer word.
fn starts_free(window: &Window<'_>, start: usize) -> bool {
    let before = window.before(start);
    let one_more = window.before(start.saturating_sub(1));
    !(before == b'_' || before >= 0x80 || (before == b'-' && one_more.is_ascii_alphanumeric()))
}

fn ends_free(window: &Window<'_>, end: usize) -> bool {
    let after = window.at(end);
    !(after.is_ascii_alphanumeric() || after == b'_' || after == b'@' || after >= 0x80)
}

fn word(window: &Window<'_>, start: usize, end: usize, sight: &Sight, out: &mut Found<'_>) {
    let text = window.bytes.get(start..end).unwrap_or_default();
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    if let [a, b, c, d, ..] = text
        && a.is_ascii_alphabetic()
        && b.is_ascii_alphabetic()
        && c.is_ascii_digit()
        && d.is_ascii_digit()
    {
        iban(window, start, sight, out);
    }
    vehicle(window, start, end, sight, out);
    nino(window, start, sight, out);
    if digits == 0 {
        return;
    }
    finnish(window, start, sight, out);
    if !ends_free(window, end) {
        return;
    }
    let code = Code {
        window,
        start,
        end,
        text,
    };
    match text.len() {
        7..=9 => short(&code, sight, out),
        10 => ten(&code, sight, out),
        11 => eleven(&code, sight, out),
        15 => goods_tax(&code, sight, out),
        16 => fiscal(&code, sight, out),
        26..=62 => crypto::look(window, start, end, text, sight, out),
        _ => {}
    }
    if (6..=14).contains(&text.len()) && digits >= 4 {
        licence(&code, sight, out);
    }
}

struct Code<'w> {
    window: &'w Window<'w>,
    start: usize,
    end: usize,
    text: &'w [u8],
}

impl Code<'_> {
    fn context(&self, sight: &Sight) -> crate::context::Context {
        sight.context(self.window, self.start, self.end)
    }

    fn add(&self, entity: Entity, score: u8, rank: Rank, out: &mut Found<'_>) {
        out.add_range(entity, self.start, self.end, score, rank);
    }
}

/// Whether the text has this shape: `A` capital, `9` digit, `X` either, others themselves.
fn shaped(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, shape)| match shape {
            b'A' => byte.is_ascii_uppercase(),
            b'9' => byte.is_ascii_digit(),
            b'X' => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            other => byte == other,
        })
}

fn values(text: &[u8]) -> Vec<u8> {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    digits.map(|byte| byte - b'0').collect()
}

fn short(code: &Code<'_>, sight: &Sight, out: &mut Found<'_>) {
    let text = code.text;
    if shaped(text, b"A9999999") {
        if sight.wants(Entity::InPassport) && text.get(1) != Some(&b'0') {
            let context = code.context(sight);
            let score = match (context.has(Subjects::PASSPORT), context.denies()) {
                (true, _) => 95,
                (false, true) => 30,
                (false, false) => 60,
            };
            code.add(Entity::InPassport, score, Rank::Shape, out);
        }
        return;
    }
    if shaped(text, b"99999999A") || shaped(text, b"A9999999A") {
        national_letter(code, sight, out);
    }
    if shaped(text, b"AX9999999") || shaped(text, b"A99999999") {
        dea(code, sight, out);
        if sight.wants(Entity::UsPassport)
            && shaped(text, b"A99999999")
            && code.context(sight).has(Subjects::PASSPORT)
        {
            code.add(Entity::UsPassport, 60, Rank::Shape, out);
        }
    }
}

/// Spain's NIF and NIE, Singapore's NRIC and FIN.
fn national_letter(code: &Code<'_>, sight: &Sight, out: &mut Found<'_>) {
    let (Some(first), Some(last)) = (code.text.first(), code.text.last()) else {
        return;
    };
    let digits = values(code.text);
    if sight.wants(Entity::EsNif) {
        let lead = match first {
            b'0'..=b'9' | b'X' => Some(0),
            b'Y' => Some(10_000_000),
            b'Z' => Some(20_000_000),
            _ => None,
        };
        let check = lead.and_then(|lead| {
            let place = (lead + number(&digits)) % 23;
            b"TRWAGMYFPDXBNJZSQVHLCKE".get(place as usize)
        });
        if check == Some(last) {
            let said = code.context(sight).has(Subjects::NIF);
            code.add(
                Entity::EsNif,
                if said { 95 } else { 70 },
                Rank::Checked,
                out,
            );
        }
    }
    if sight.wants(Entity::SgNricFin) && digits.len() == 7 {
        let weights = [2, 7, 6, 5, 4, 3, 2];
        let sum = super::checksum::weighted(&digits, &weights) as usize;
        let letter = match first {
            b'S' => b"JZIHGFEDCBA".get(sum % 11),
            b'T' => b"JZIHGFEDCBA".get((sum + 4) % 11),
            b'F' => b"XWUTRQPNMLK".get(sum % 11),
            b'G' => b"XWUTRQPNMLK".get((sum + 4) % 11),
            b'M' => b"KLJNPQRTUWX".get(10 - (sum + 3) % 11),
            _ => None,
        };
        if letter == Some(last) {
            let said = code.context(sight).has(Subjects::NRIC);
            code.add(
                Entity::SgNricFin,
                if said { 95 } else { 70 },
                Rank::Checked,
                out,
            );
        }
    }
}

fn dea(code: &Code<'_>, sight: &Sight, out: &mut Found<'_>) {
    let digits = values(code.text);
    let [.., a, b, c, d, e, f, check] = digits.as_slice() else {
        return;
    };
    let kind = matches!(
        code.text.first(),
        Some(b'A'..=b'H' | b'J'..=b'M' | b'P' | b'R'..=b'U' | b'X')
    );
    let second = matches!(code.text.get(1), Some(b'A'..=b'Z' | b'9'));
    let holds = (a + c + e + 2 * (b + d + f)) % 10 == *check;
    if sight.wants(Entity::MedicalLicense) && kind && second && holds {
        let context = code.context(sight);
        let said = context.has(Subjects::DEA.and(Subjects::LICENSE));
        let score = if said { 95 } else { 45 };
        code.add(Entity::MedicalLicense, score, Rank::Checked, out);
    }
}

fn ten(code: &Code<'_>, sight: &Sight, out: &mut Found<'_>) {
    let upper = code.text.to_ascii_uppercase();
    if shaped(&upper, b"AAAAA9999A") && sight.wants(Entity::InPan) {
        let holder = upper
            .get(3)
            .is_some_and(|letter| b"ABCFGHJLPT".contains(letter));
        let context = code.context(sight);
        let capitals = upper == code.text;
        let said = context.has(Subjects::PAN) || context.nearest.has(Subjects::GST);
        let zeros = upper.get(5..9) == Some(b"0000");
        if holder && !zeros && (capitals || said) {
            code.add(Entity::InPan, if said { 100 } else { 85 }, Rank::Rule, out);
        }
    }
    if shaped(code.text, b"AAA9999999") && sight.wants(Entity::InVoter) {
        let context = code.context(sight);
        let score = match (context.has(Subjects::VOTER), context.denies()) {
            (true, _) => 95,
            (false, true) => 35,
            (false, false) => 65,
        };
        code.add(Entity::InVoter, score, Rank::Shape, out);
    }
}

fn eleven(code: &Code<'_>, sight: &Sight, out: &mut Found<'_>) {
    let upper = code.text.to_ascii_uppercase();
    if shaped(&upper, b"AAAA0XXXXXX") && sight.wants(Entity::InIfsc) {
        let context = code.context(sight);
        let said = context.has(Subjects::IFSC) || context.nearest.has(Subjects::BANK);
        let branch = upper.get(5..).unwrap_or_default();
        let digits = branch.iter().filter(|byte| byte.is_ascii_digit()).count();
        let score = match (said, upper == code.text, digits) {
            (true, ..) => 100,
            (false, true, 2..) if context.denies() => 45,
            (false, true, 2..) => 80,
            _ => 20,
        };
        code.add(Entity::InIfsc, score, Rank::Rule, out);
    }
    let shape: [fn(&u8) -> bool; 11] = [
        |b| matches!(b, b'1'..=b'9'),
        is_mbi_letter,
        is_mbi_either,
        u8::is_ascii_digit,
        is_mbi_letter,
        is_mbi_either,
        u8::is_ascii_digit,
        is_mbi_letter,
        is_mbi_letter,
        u8::is_ascii_digit,
        u8::is_ascii_digit,
    ];
    let fits = upper.iter().zip(shape).all(|(byte, fits)| fits(byte));
    if fits && sight.wants(Entity::UsMbi) {
        let said = code.context(sight).has(Subjects::MEDICARE);
        code.add(Entity::UsMbi, if said { 95 } else { 60 }, Rank::Rule, out);
    }
}

/// Medicare leaves out the letters that look like digits.
fn is_mbi_letter(byte: &u8) -> bool {
    byte.is_ascii_uppercase() && !b"SLOIBZ".contains(byte)
}

fn is_mbi_either(byte: &u8) -> bool {
    byte.is_ascii_digit() || is_mbi_letter(byte)
}

fn goods_tax(code: &Code<'_>, sight: &Sight, out: &mut Found<'_>) {
    let upper = code.text.to_ascii_uppercase();
    let state = number(&values(upper.get(..2).unwrap_or_default()));
    let known = matches!(state, 1..=38 | 97 | 99);
    if sight.wants(Entity::InGstin) && shaped(&upper, b"99AAAAA9999AXXX") && known && gstin(&upper)
    {
        let said = code.context(sight).has(Subjects::GST);
        code.add(
            Entity::InGstin,
            if said { 100 } else { 90 },
            Rank::Checked,
            out,
        );
    }
}

/// Italy's fiscal code; digits may be letters where two people share a code.
fn fiscal(code: &Code<'_>, sight: &Sight, out: &mut Found<'_>) {
    const ODD: [u8; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let upper = code.text.to_ascii_uppercase();
    let digit = |byte: &u8| byte.is_ascii_digit() || b"LMNPQRSTUV".contains(byte);
    let letters = [0, 1, 2, 3, 4, 5, 8, 11, 15];
    let shape = upper.iter().enumerate().all(|(place, byte)| {
        if letters.contains(&place) {
            byte.is_ascii_uppercase()
        } else {
            digit(byte)
        }
    });
    let month = upper
        .get(8)
        .is_some_and(|byte| b"ABCDEHLMPRST".contains(byte));
    if !shape || !month || !sight.wants(Entity::ItFiscalCode) {
        return;
    }
    let sum: u32 = upper
        .iter()
        .take(15)
        .enumerate()
        .map(|(place, byte)| {
            let value = match byte {
                b'0'..=b'9' => byte - b'0',
                _ => byte - b'A',
            };
            match place % 2 {
                0 => u32::from(ODD.get(usize::from(value)).copied().unwrap_or(0)),
                _ => u32::from(value),
            }
        })
        .sum();
    if upper
        .last()
        .is_some_and(|last| u32::from(last - b'A') == sum % 26)
    {
        code.add(Entity::ItFiscalCode, 95, Rank::Checked, out);
    }
}

/// Bytes of a written code without its separators, up to `most`, and the end of each.
fn compact(window: &Window<'_>, start: usize, most: usize, separators: &[u8]) -> Vec<(u8, usize)> {
    let mut all = Vec::with_capacity(most);
    let mut parted = false;
    let limit = (start + LONGEST).min(window.end);
    for place in start..limit {
        let byte = window.at(place);
        if byte.is_ascii_alphanumeric() {
            all.push((byte.to_ascii_uppercase(), place + 1));
            parted = false;
        } else if separators.contains(&byte) && !parted {
            parted = true;
        } else {
            break;
        }
        if all.len() == most {
            break;
        }
    }
    all
}

fn iban(window: &Window<'_>, start: usize, sight: &Sight, out: &mut Found<'_>) {
    if !sight.wants(Entity::Iban) {
        return;
    }
    let country = [window.at(start), window.at(start + 1)].map(|b| b.to_ascii_uppercase());
    let Ok(place) = IBAN_LENGTHS.binary_search_by_key(&country, |entry| entry.0) else {
        return;
    };
    let length = IBAN_LENGTHS.get(place).map_or(0, |entry| entry.1);
    let written = compact(window, start, length, b" -.");
    let Some((_, end)) = written.last().filter(|_| written.len() == length) else {
        return;
    };
    let code: Vec<u8> = written.iter().map(|(byte, _)| *byte).collect();
    if ends_free(window, *end) && mod97(&code) {
        out.add_range(Entity::Iban, start, *end, 100, Rank::Checked);
    }
}

/// `MH 12 AB 1234`, `DL3CAF0001`, `22 BH 1234 AA`.
fn vehicle(window: &Window<'_>, start: usize, end: usize, sight: &Sight, out: &mut Found<'_>) {
    let state = [window.at(start), window.at(start + 1)];
    let bharat = state.iter().all(u8::is_ascii_digit);
    if !sight.wants(Entity::InVehicle) || end - start > 11 {
        return;
    }
    if !bharat
        && STATES
            .binary_search(&&state.map(|b| b.to_ascii_uppercase()))
            .is_err()
    {
        return;
    }
    // The series of the whole country says so; else a digit stands within four places.
    let near = window.bytes.get(start + 2..start + 5).unwrap_or_default();
    let told = if bharat {
        near.iter().any(|byte| byte.eq_ignore_ascii_case(&b'B'))
    } else {
        near.iter().any(u8::is_ascii_digit)
    };
    if !told {
        return;
    }
    let written = compact(window, start, 12, b" -.");
    let upper: Vec<u8> = written.iter().map(|(byte, _)| *byte).collect();
    let mut lengths = Vec::with_capacity(4);
    for part in upper.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        lengths.push(part.len());
    }
    let (fits, length) = match (bharat, lengths.as_slice()) {
        (true, [2, 2, 4, letters, ..]) => {
            let series = upper.get(2..4) == Some(b"BH");
            // Letters after the space may be the next word.
            (series && *letters >= 1, 8 + (*letters).min(2))
        }
        (false, [2, area @ 1..=2, series @ 1..=3, 4, ..]) => (true, 2 + area + series + 4),
        _ => return,
    };
    let last = written.get(length.saturating_sub(1)).map(|(_, end)| *end);
    let Some(last) = last.filter(|last| fits && ends_free(window, *last)) else {
        return;
    };
    let text = window.bytes.get(start..last).unwrap_or_default();
    let capitals = !text.iter().any(u8::is_ascii_lowercase);
    let context = sight.context(window, start, last);
    let said = context.has(Subjects::VEHICLE);
    let area = upper.get(2..4).is_some_and(|area| area != b"00");
    if area && (capitals || said) {
        let score = if said { 100 } else { 80 };
        out.add_range(Entity::InVehicle, start, last, score, Rank::Rule);
    }
}

fn nino(window: &Window<'_>, start: usize, sight: &Sight, out: &mut Found<'_>) {
    let letters =
        window.at(start).is_ascii_uppercase() && window.at(start + 1).is_ascii_uppercase();
    let third = window.at(start + 2);
    let digit = third.is_ascii_digit() || window.at(start + 3).is_ascii_digit();
    if !sight.wants(Entity::UkNino) || !letters || !digit {
        return;
    }
    let written = compact(window, start, 9, b" -");
    let upper: Vec<u8> = written.iter().map(|(byte, _)| *byte).collect();
    let [a, b, .., last] = upper.as_slice() else {
        return;
    };
    let refused = [b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"];
    let prefix = !b"DFIQUV".contains(a) && !b"DFIOQUV".contains(b) && !refused.contains(&&[*a, *b]);
    let end = written.last().map_or(start, |(_, end)| *end);
    if shaped(&upper, b"AA999999A")
        && prefix
        && (b'A'..=b'D').contains(last)
        && ends_free(window, end)
    {
        let said = sight.context(window, start, end).has(Subjects::NINO);
        out.add_range(
            Entity::UkNino,
            start,
            end,
            if said { 95 } else { 60 },
            Rank::Rule,
        );
    }
}

fn finnish(window: &Window<'_>, start: usize, sight: &Sight, out: &mut Found<'_>) {
    if !window.at(start).is_ascii_digit() || !window.at(start + 9).is_ascii_digit() {
        return;
    }
    let text = window.bytes.get(start..start + 11).unwrap_or_default();
    let [day @ .., century, a, b, c, check] = text else {
        return;
    };
    let all_digits = day.iter().chain([a, b, c]).all(u8::is_ascii_digit);
    let sign = matches!(century, b'+' | b'-' | b'A'..=b'F' | b'U'..=b'Y');
    if !sight.wants(Entity::FiPersonalIdentityCode) || !all_digits || !sign {
        return;
    }
    let digits = values(day);
    let date = day_and_month(
        number(digits.get(..2).unwrap_or_default()),
        number(digits.get(2..4).unwrap_or_default()),
    );
    let whole: Vec<u8> = day
        .iter()
        .chain([a, b, c])
        .map(|byte| byte - b'0')
        .collect();
    let rest = whole
        .iter()
        .fold(0_u32, |rest, digit| (rest * 10 + u32::from(*digit)) % 31);
    let holds = b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(rest as usize) == Some(check);
    if date && holds && ends_free(window, start + 11) {
        out.add_range(
            Entity::FiPersonalIdentityCode,
            start,
            start + 11,
            90,
            Rank::Checked,
        );
    }
}

/// Driving licences of the states of the US have many shapes; only with words for them.
fn licence(code: &Code<'_>, sight: &Sight, out: &mut Found<'_>) {
    let letters = code
        .text
        .iter()
        .take_while(|b| b.is_ascii_uppercase())
        .count();
    let rest = code.text.get(letters..).unwrap_or_default();
    let shape = letters <= 2 && rest.iter().all(u8::is_ascii_digit);
    if !shape || !sight.wants(Entity::UsDriverLicense) {
        return;
    }
    let context = code.context(sight);
    if context.before.has(Subjects::DRIVING)
        && context.nearest.has(Subjects::DRIVING)
        && !luhn_card(rest)
    {
        code.add(Entity::UsDriverLicense, 70, Rank::Shape, out);
    }
}

fn luhn_card(text: &[u8]) -> bool {
    text.len() >= 13 && luhn(&values(text))
}
