//! Addresses of Bitcoin and Ethereum.

use sha2::{Digest as _, Sha256};

use super::entity::Entity;
use super::{Found, Sight};
use crate::context::Subjects;
use crate::engine::Window;
use crate::resolve::Rank;

const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Judges a word of letters and digits.
pub(crate) fn look(
    window: &Window<'_>,
    start: usize,
    end: usize,
    text: &[u8],
    sight: &Sight,
    out: &mut Found<'_>,
) {
    if !sight.wants(Entity::Crypto) {
        return;
    }
    let rank = match text {
        [b'1' | b'3', ..] if text.len() <= 35 && base58check(text) => Rank::Checked,
        [b'b', b'c', b'1', data @ ..] if bech32(data) => Rank::Checked,
        [b'0', b'x', hex @ ..] if hex.len() == 40 && hex.iter().all(u8::is_ascii_hexdigit) => {
            Rank::Rule
        }
        _ => return,
    };
    let said = sight.context(window, start, end).has(Subjects::CRYPTO);
    out.add_range(
        Entity::Crypto,
        start,
        end,
        if said { 100 } else { 80 },
        rank,
    );
}

/// Base58 of 25 bytes, the last four the start of a double SHA-256 of the others.
fn base58check(text: &[u8]) -> bool {
    let mut bytes = [0_u8; 25];
    for letter in text {
        let Some(value) = BASE58.iter().position(|other| other == letter) else {
            return false;
        };
        let mut carry = value as u32;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xFF) as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return false;
        }
    }
    let (body, check) = bytes.split_at(21);
    let digest = Sha256::digest(Sha256::digest(body));
    digest.as_slice().starts_with(check)
}

/// BIP 173 and BIP 350 for the prefix `bc`.
fn bech32(data: &[u8]) -> bool {
    let step = |sum: u32, value: u32| {
        const POLY: [u32; 5] = [
            0x3b6a_57b2,
            0x2650_8e6d,
            0x1ea1_19fa,
            0x3d42_33dd,
            0x2a14_62b3,
        ];
        let top = sum >> 25;
        let next = ((sum & 0x01ff_ffff) << 5) ^ value;
        let bits = POLY.iter().enumerate();
        bits.fold(next, |next, (bit, poly)| {
            next ^ if top >> bit & 1 == 1 { *poly } else { 0 }
        })
    };
    // The prefix: high bits, zero, low bits.
    let prefix = [3, 3, 0, 2, 3]
        .iter()
        .fold(1, |sum, value| step(sum, *value));
    let mut sum = prefix;
    for letter in data {
        let Some(value) = BECH32.iter().position(|other| other == letter) else {
            return false;
        };
        sum = step(sum, value as u32);
    }
    matches!(sum, 1 | 0x2bc8_30a3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_addresses_hold_and_a_changed_letter_breaks_them() {
        // The genesis block's address; the example of BIP 173; the example of BIP 350.
        assert!(base58check(b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"));
        assert!(!base58check(b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"));
        assert!(bech32(b"qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"));
        assert!(!bech32(b"qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"));
        assert!(bech32(
            b"p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"
        ));
    }
}
