//! Sealing that can be taken back: a failed signer or a failed commit never costs a record.

use capsule::{Capsule, Draft, Hash, PublicKey, Sealed, SignError, Signer, Timestamp, json};

/// A signer that has already signed the one message it will be asked for. When the real signer failed
/// it gives a signature of zeroes, which is never stored: it only lets the draft be recovered.
struct Presigned<'a> {
    signer: &'a dyn Signer,
    signature: Result<[u8; 64], SignError>,
    post_quantum: Result<Option<Vec<u8>>, SignError>,
}

impl<'a> Presigned<'a> {
    fn of(signer: &'a dyn Signer, hash: &Hash) -> Presigned<'a> {
        let message = hash.to_ascii();
        Presigned {
            signer,
            signature: signer.sign(&message),
            post_quantum: signer.sign_post_quantum(&message),
        }
    }

    fn error(&self) -> Option<SignError> {
        let failed = self.signature.as_ref().err();
        failed.or(self.post_quantum.as_ref().err()).cloned()
    }
}

impl Signer for Presigned<'_> {
    fn sign(&self, _message: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(self.signature.clone().unwrap_or([0; 64]))
    }

    fn sign_post_quantum(&self, _message: &[u8]) -> Result<Option<Vec<u8>>, SignError> {
        Ok(self.post_quantum.clone().unwrap_or(None))
    }

    fn public_key(&self) -> PublicKey {
        self.signer.public_key()
    }

    fn fingerprint(&self) -> String {
        self.signer.fingerprint()
    }
}

/// A record that was not signed, and its draft if that could be read back.
pub(crate) struct Unsigned {
    pub(crate) draft: Option<Draft>,
    pub(crate) error: SignError,
}

/// Links and signs. When the signer fails the draft comes back, unlinked.
pub(crate) fn sign(
    draft: Draft,
    sequence: u64,
    previous: Option<&Hash>,
    signer: &dyn Signer,
    now: Timestamp,
) -> Result<Sealed, Box<Unsigned>> {
    let linked = draft.link(sequence, previous);
    let signed = Presigned::of(signer, &linked.hash());
    let failed = signed.error();
    match (linked.seal(&signed, now), failed) {
        (Ok(sealed), None) => Ok(sealed),
        (Ok(sealed), Some(error)) => Err(Box::new(Unsigned {
            draft: redraft(&sealed),
            error,
        })),
        (Err(error), _) => Err(Box::new(Unsigned {
            draft: None,
            error: SignError {
                reason: error.to_string(),
            },
        })),
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
