//! Known answers: the chain of three records that the reference made and accepts.

use capsule::canonical;
use capsule::chain::{ChainVerifier, Level};
use capsule::json::Value;
use capsule::verify::{Keys, Record, verify};
use capsule::{Capsule, Draft, Hash, PublicKey, Signer, Timestamp};

const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
const MINIMAL_HASH: &str = "8c71e187dfbffca067265f576d9fb72ee8a223c3dff801dd7c5dd8fcb915f2cd";
const MINIMAL_SIGNATURE: &str = "24cd72fceeb3cdda23573676840ea5e3902ea97efbeba86cf05243d60029bb5e\
                                 5376ea6da7dfad351c4e0b2656542d8f2257c6c0fd13cc4d033a60bbb4924508";

#[test]
fn the_key_and_its_fingerprints() {
    let key = crate::key();
    assert_eq!(key.public_key().hex(), KEY);
    assert_eq!(key.fingerprint(), "03a107bff3ce10be");
    assert_eq!(key.public_key().short_fingerprint(), "qp_key_03a1");
    let signature = key.sign(MINIMAL_HASH.as_bytes()).unwrap();
    assert_eq!(crate::hex(&signature), MINIMAL_SIGNATURE);
    let short = crate::key().with_short_fingerprint();
    assert_eq!(short.fingerprint(), "qp_key_03a1");
    assert!(!format!("{key:?}").contains("000102"));
}

#[test]
fn sha3_is_fips_202() {
    let empty = "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a";
    assert_eq!(Hash::of(b"").hex(), empty);
    assert_eq!(Hash::from_hex(empty), Ok(Hash::of(b"")));
    assert!(Hash::from_hex(&empty.to_uppercase()).is_err());
}

#[test]
fn prompt_hashes_use_the_same_canonical_form() {
    let messages = crate::read(r#"[{"role":"user","content":"What is the capital of France?"}]"#);
    assert_eq!(
        Hash::of(&canonical::to_vec(&messages)).hex(),
        "56276ab262cd3291f0044976028fed62c2a8d4511525126a91c9fbf70e57b818"
    );
    assert_eq!(
        Hash::of(b"[]").hex(),
        "ca4510738395af1429224dd785675309c344b2b549632e20275c69b15ed1d210"
    );
}

#[test]
fn the_chain_verifies_at_every_level() {
    let key = PublicKey::from_hex(KEY).unwrap();
    for level in [Level::Structural, Level::Full, Level::Signatures] {
        let mut chain = ChainVerifier::new(level, Keys::explicit(&key));
        for record in crate::known_chain() {
            chain.push(&Record::from_value(record).unwrap()).unwrap();
        }
        assert_eq!(chain.verified(), 3);
    }
}

#[test]
fn the_canonical_bytes_of_the_third_record() {
    let record = Record::from_value(crate::known_chain()[2].clone()).unwrap();
    let expected = include_bytes!("../data/capsule-kat-chain3-capsule2-canonical.txt");
    assert_eq!(&*record.content(), expected.trim_ascii_end());
}

#[test]
fn each_record_is_rebuilt_from_its_typed_form() {
    let keys = Keys::explicit(&crate::public_key());
    let mut previous: Option<Hash> = None;
    for (sequence, value) in crate::known_chain().into_iter().enumerate() {
        let record = Record::from_value(value.clone()).unwrap();
        let model: Capsule = record.model().unwrap();
        let signed_at = record.seal().signed_at.as_deref().unwrap();
        let sealed = Draft::new(&model)
            .unwrap()
            .link(sequence as u64, previous.as_ref())
            .seal(&crate::key(), Timestamp::parse(signed_at).unwrap())
            .unwrap();
        assert_eq!(sealed.record_json(), canonical::to_vec(&value));
        assert_eq!(record.record_json(), canonical::to_vec(&value));
        assert_eq!(sealed.content(), &*record.content());
        let verified = verify(&record, &keys).unwrap();
        assert_eq!(verified.key(), &crate::public_key());
        assert_eq!(verified.record().id(), model.id);
        previous = Some(sealed.hash());
    }
}

#[test]
fn the_minimal_record() {
    let mut capsule = Capsule {
        id: "a1b2c3d4-e5f6-7890-abcd-ef1234567890".parse().unwrap(),
        ..Capsule::default()
    };
    capsule.trigger.timestamp = Timestamp::parse("2026-01-15T12:00:00Z").unwrap();
    let linked = Draft::new(&capsule).unwrap().link(0, None);
    assert_eq!(linked.hash().hex(), MINIMAL_HASH);
    let sealed = linked.seal(&crate::key(), Timestamp::new(0)).unwrap();
    assert_eq!(sealed.signature_hex(), MINIMAL_SIGNATURE);
    assert!(matches!(
        crate::known_chain()[0].get("parent_id"),
        Some(Value::Null)
    ));
}
