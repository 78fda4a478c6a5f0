//! Tests of the master key.

use super::{MasterKey, MasterKeyRefusal, estimate};
use proptest::prelude::{prop, prop_assert, proptest};

#[test]
fn generated_keys_of_every_usual_form_are_taken() {
    for key in [
        // openssl rand -hex 16, -hex 32, -base64 32, -base64 24; sk- and url-safe forms; a UUID
        "9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d",
        "f3a91c07e5d24b8896a0bd317c42ef5e08d16fa97b3c45e2d0916ab8537cfe24",
        "uX3v9Qm0bYk+Zr/7TgWn5LcHs8PdJfE2iA1oVxKqRzM=",
        "pWq7/Nd2Vh+9RkJz0LsYtXb4Gm1Fc8Ea",
        "sk-Zq8vN3xR7tLw2KpY9sMd4HbF6jGc1VaE",
        "sk-5wE9Qm0bYkZr7TgWn5LcHs",
        "6f1d3c52-8a47-4e09-b3d5-7c90e2a8f416",
        "correct-battery-anvil-plover-socket-dwindle-mango-trapeze-quartz-lantern",
    ] {
        assert!(MasterKey::parse(key).is_ok(), "{key}: {}", estimate(key));
    }
}

#[test]
fn weak_keys_are_refused() {
    for key in [
        "secret",
        "sk-12345678901234567890",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "sk-abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
        "0123456789012345678901234567890123456789012345678901",
        "deadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
        "sk-this-is-my-super-secret-master-key",
        "ThisIsMySuperSecretMasterKeyForProd",
        "thisismysupersecretmasterkeyforproduction",
        "sk-proj-change-me-please-before-production",
        "Passw0rd!Passw0rd!Passw0rd!Passw0rd!",
    ] {
        assert!(
            matches!(MasterKey::parse(key), Err(MasterKeyRefusal::Weak { .. })),
            "{key}: {}",
            estimate(key)
        );
    }
}

#[test]
fn printed_keys_are_refused_with_and_without_prefix() {
    for key in [
        "sk-1234",
        "1234",
        "sk-master-key",
        "47k9vR+6Xz6Z7m8V9bN2u5K8L1pQ4wE7rT9yU0iO1pA=",
        "sk-47k9vR...",
        "sk-a7f9c8e2d1b4f6a8c9e3d2b5f7a9c1e4d3b6f8a2c5e7d9b4f6a8c1e3d5b7f9a2",
    ] {
        assert_eq!(
            MasterKey::parse(key).err(),
            Some(MasterKeyRefusal::WellKnown),
            "{key}"
        );
    }
}

#[test]
fn what_no_header_carries_is_refused() {
    assert_eq!(MasterKey::parse("").err(), Some(MasterKeyRefusal::Empty));
    for key in [
        " ",
        "key with spaces and much more entropy 9471",
        "schlüssel-9b1deb4d3b7d4bad",
        "a\nb",
    ] {
        assert_eq!(
            MasterKey::parse(key).err(),
            Some(MasterKeyRefusal::NotVisibleAscii)
        );
    }
}

#[test]
fn only_the_same_key_matches() {
    let key = "f3a91c07e5d24b8896a0bd317c42ef5e08d16fa97b3c45e2d0916ab8537cfe24";
    let master = MasterKey::parse(key).unwrap();
    assert!(master.matches(key));
    assert!(!master.matches(&key[1..]));
    assert!(!master.matches(&format!("sk-{key}")));
    assert!(!master.matches(&key.to_uppercase()));
    assert!(!master.matches(""));
}

/// Deterministic pseudo-random bytes: the estimate is judged over many real keys.
fn random_bytes(seed: u64, count: usize) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut out = Vec::new();
    let mut block = 0u64;
    while out.len() < count {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(block.to_le_bytes());
        out.extend_from_slice(&hash.finalize());
        block += 1;
    }
    out.truncate(count);
    out
}

#[test]
fn random_keys_of_128_bits_and_more_are_practically_never_refused() {
    let url_safe = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut refused = [0u32; 3];
    for seed in 0..4_000u64 {
        let bytes = random_bytes(seed, 64);
        let hex: String = bytes[..16].iter().map(|b| format!("{b:02x}")).collect();
        let letters: String = bytes[..24]
            .iter()
            .map(|b| char::from(url_safe[usize::from(b % 64)]))
            .collect();
        let long: String = bytes[..43]
            .iter()
            .map(|b| char::from(url_safe[usize::from(b % 64)]))
            .collect();
        for (count, key) in refused.iter_mut().zip([hex, format!("sk-{letters}"), long]) {
            *count += u32::from(MasterKey::parse(&key).is_err());
        }
    }
    assert!(
        refused[0] <= 4 && refused[1] <= 40 && refused[2] == 0,
        "{refused:?}"
    );
}

proptest! {
    #[test]
    fn any_text_is_judged_without_a_panic(text in "\\PC{0,80}") {
        let _ = MasterKey::parse(&text);
    }

    #[test]
    fn short_texts_are_never_strong(text in prop::string::string_regex("[!-~]{0,19}").unwrap()) {
        prop_assert!(MasterKey::parse(&text).is_err());
    }
}
