//! Check digits. Digits are values 0 to 9.

/// ISO/IEC 7812 (Luhn).
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The multiplication of the dihedral group of order ten.
fn dihedral(left: u8, right: u8) -> u8 {
    match (left < 5, right < 5) {
        (true, true) => (left + right) % 5,
        (true, false) => (left + right - 5) % 5 + 5,
        (false, true) => (left + 10 - 5 - right) % 5 + 5,
        (false, false) => (left + 5 - right) % 5,
    }
}

/// The permutation of Verhoeff's scheme, applied `times` times.
fn permuted(digit: u8, times: usize) -> u8 {
    const STEP: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    (0..times % 8).fold(digit, |digit, _| {
        STEP.get(usize::from(digit)).copied().unwrap_or(0)
    })
}

/// Verhoeff.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    let rest = digits
        .iter()
        .rev()
        .enumerate()
        .fold(0, |sum, (place, digit)| {
            dihedral(sum, permuted(*digit, place))
        });
    rest == 0
}

/// Sum of digits times weights.
pub(crate) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    let products = digits.iter().zip(weights);
    products
        .map(|(digit, weight)| u32::from(*digit) * weight)
        .sum()
}

/// ISO/IEC 7064 mod 97,10 over letters and digits, the first four moved to the end.
pub(crate) fn mod97(code: &[u8]) -> bool {
    let (head, tail) = code.split_at(code.len().min(4));
    let mut rest = 0_u32;
    for byte in tail.iter().chain(head) {
        let Some(value) = (*byte as char).to_digit(36) else {
            return false;
        };
        rest = match value {
            0..=9 => (rest * 10 + value) % 97,
            _ => (rest * 100 + value) % 97,
        };
    }
    rest == 1
}

/// The check character of India's GSTIN over the first fourteen.
pub(crate) fn gstin(code: &[u8]) -> bool {
    let Some((last, body)) = code.split_last() else {
        return false;
    };
    let mut sum = 0_u32;
    for (place, byte) in body.iter().enumerate() {
        let Some(value) = (*byte as char).to_digit(36) else {
            return false;
        };
        let product = value * if place % 2 == 0 { 1 } else { 2 };
        sum += product / 36 + product % 36;
    }
    (*last as char).to_digit(36) == Some((36 - sum % 36) % 36)
}

/// ISO/IEC 7064 mod 11,10: Germany's tax number.
pub(crate) fn mod11_10(digits: &[u8]) -> bool {
    let Some((last, body)) = digits.split_last() else {
        return false;
    };
    let product = body.iter().fold(10_u32, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(*last)
}

/// Whether `day`, `month` can be a date.
pub(crate) fn day_and_month(day: u32, month: u32) -> bool {
    (1..=31).contains(&day) && (1..=12).contains(&month)
}

/// The number that digits spell.
pub(crate) fn number(digits: &[u8]) -> u32 {
    digits
        .iter()
        .take(9)
        .fold(0, |number, digit| number * 10 + u32::from(*digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check = fn(&[u8]) -> bool;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().map(|byte| byte - b'0').collect()
    }

    #[test]
    fn published_examples_hold_and_one_changed_digit_breaks_them() {
        // Luhn: test card of the networks; Verhoeff: 236 with check digit 3.
        let table: [(Check, &str); 4] = [
            (luhn, "4111111111111111"),
            (luhn, "378282246310005"),
            (verhoeff, "2363"),
            (mod11_10, "86095742719"),
        ];
        for (check, text) in table {
            let mut number = digits(text);
            assert!(check(&number), "{text}");
            number[1] = (number[1] + 1) % 10;
            assert!(!check(&number), "{text}");
        }
        assert!(mod97(b"GB82WEST12345698765432"));
        assert!(!mod97(b"GB82WEST12345698765433"));
        assert!(gstin(b"27AAPFU0939F1ZV"));
        assert!(!gstin(b"27AAPFU0939F1ZW"));
    }
}
