//! Sealing that can be taken back: a failed signer or a failed commit never costs a record.

use capsule::{Capsule, Draft, Hash, PublicKey, Sealed, SignError, Signer, Timestamp, json};

/// A signer that has already signed the one message it will be asked for. When the real signer failed
/// it gives a signature of zeroes, which is never stored: it only lets the draft be recovered.
pub(crate) struct Presigned<'a> {
    signer: &'a dyn Signer,
    signature: Result<[u8; 64], SignError>,
}

impl<'a> Presigned<'a> {
    pub(crate) fn of(signer: &'a dyn Signer, hash: &Hash) -> Presigned<'a> {
        Presigned {
            signer,
            signature: signer.sign(&hash.to_ascii()),
        }
    }

    pub(crate) fn error(&self) -> Option<SignError> {
        self.signature.as_ref().err().cloned()
    }
}

impl Signer for Presigned<'_> {
    fn sign(&self, _message: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(self.signature.clone().unwrap_or([0; 64]))
    }

    fn public_key(&self) -> PublicKey {
        self.signer.public_key()
    }

    fn fingerprint(&self) -> String {
        self.signer.fingerprint()
    }
}

/// The draft that a record was made from: its content, without place and seal.
pub(crate) fn redraft(sealed: &Sealed) -> Option<Draft> {
    let document = json::parse(sealed.content(), &json::Limits::default()).ok()?;
    Draft::new(&Capsule::from_document(&document).ok()?).ok()
}

/// The content of a draft as it would be at place 0, unsigned.
pub(crate) fn draft_content(draft: Draft) -> Vec<u8> {
    struct Nobody;
    impl Signer for Nobody {
        fn sign(&self, _message: &[u8]) -> Result<[u8; 64], SignError> {
            Ok([0; 64])
        }
        fn public_key(&self) -> PublicKey {
            PublicKey::from_bytes([0; 32])
        }
    }
    let sealed = draft.link(0, None).seal(&Nobody, Timestamp::default());
    sealed
        .map(|sealed| sealed.content().to_vec())
        .unwrap_or_default()
}
