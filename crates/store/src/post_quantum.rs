//! ML-DSA-65 keys in the data directory, in the reference's files, and a signer that makes both signatures.

use std::{fs, io, path::PathBuf};

use capsule::{
    PublicKey, SignError, Signer,
    pq::{PqKeyError, PqPublicKey, PqSigningKey},
};
use zeroize::Zeroizing;

use crate::{
    disk,
    keys::{DataDir, KeyError},
    signer::FastSigner,
};

/// The secret key in the expanded form of FIPS 204, 4032 bytes, mode 0600.
const SECRET: &str = "key.ml";
/// The public key, 1952 bytes.
const PUBLIC: &str = "key.ml.pub";

/// Signs with Ed25519 and ML-DSA-65.
#[derive(Debug)]
pub struct DoubleSigner {
    classic: FastSigner,
    post_quantum: PqSigningKey,
}

impl Signer for DoubleSigner {
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        self.classic.sign(message)
    }

    fn sign_post_quantum(&self, message: &[u8]) -> Result<Option<Vec<u8>>, SignError> {
        self.post_quantum.sign(message).map(Some)
    }

    fn public_key(&self) -> PublicKey {
        self.classic.public_key()
    }

    fn fingerprint(&self) -> String {
        self.classic.fingerprint()
    }
}

impl DataDir {
    /// Makes a pair of ML-DSA-65 keys. Nothing that is there is replaced.
    ///
    /// # Errors
    /// When there is a key already, or a file cannot be written.
    pub fn create_post_quantum(&self) -> Result<PqPublicKey, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())
            .map_err(|error| KeyError::Random(error.to_string()))?;
        let key = PqSigningKey::from_seed(&seed);
        let public = key.public_key();
        let secret = self.root().join(SECRET);
        disk::create_private(&secret, &key.to_expanded()).map_err(|source| KeyError::Io {
            path: secret,
            source,
        })?;
        let path = self.root().join(PUBLIC);
        disk::replace(&path, &public.to_bytes(), 0o644)
            .map_err(|source| KeyError::Io { path, source })?;
        Ok(public)
    }

    /// The signer that makes both signatures.
    ///
    /// # Errors
    /// When a key is missing or not acceptable, or the ML-DSA-65 files do not belong together.
    pub fn double_signer(&self) -> Result<DoubleSigner, KeyError> {
        let path = self.root().join(SECRET);
        let secret = Zeroizing::new(self.private_bytes(SECRET)?);
        let wrong = |error: PqKeyError| KeyError::PostQuantum {
            path: path.clone(),
            reason: error.to_string(),
        };
        let post_quantum = PqSigningKey::from_expanded(&secret).map_err(wrong)?;
        let public = self.post_quantum_key()?;
        if public.is_some_and(|public| public != post_quantum.public_key()) {
            return Err(KeyError::PostQuantum {
                path,
                reason: format!("is not the secret of {PUBLIC}"),
            });
        }
        Ok(DoubleSigner {
            classic: self.signer()?,
            post_quantum,
        })
    }

    /// The public ML-DSA-65 key of the directory; `None` when it has none.
    ///
    /// # Errors
    /// When the file cannot be read or is no key.
    pub fn post_quantum_key(&self) -> Result<Option<PqPublicKey>, KeyError> {
        read_public(self.root().join(PUBLIC))
    }
}

/// The public ML-DSA-65 key in a file of 1952 bytes or their hex digits; `None` when there is no file.
///
/// # Errors
/// When it cannot be read or is no key.
pub fn read_public(path: PathBuf) -> Result<Option<PqPublicKey>, KeyError> {
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeyError::Io { path, source }),
    };
    let bytes = from_hex(bytes.trim_ascii()).unwrap_or(bytes);
    match PqPublicKey::from_bytes(&bytes) {
        Ok(key) => Ok(Some(key)),
        Err(error) => Err(KeyError::PostQuantum {
            path,
            reason: error.to_string(),
        }),
    }
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != capsule::pq::PUBLIC_KEY_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = pairs.iter().map(|[high, low]| {
        let value = digit(*high)? * 16 + digit(*low)?;
        u8::try_from(value).ok()
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_read_back_with_care() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::create(root.path()).unwrap();
        assert_eq!(dir.post_quantum_key().unwrap(), None);
        assert!(matches!(dir.double_signer(), Err(KeyError::Missing(_))));
        let public = dir.create_post_quantum().unwrap();
        assert!(dir.create_post_quantum().is_err());
        let signer = dir.double_signer().unwrap();
        let signature = signer.sign_post_quantum(b"text").unwrap().unwrap();
        assert!(public.verify(b"text", &signature));
        assert_eq!(dir.post_quantum_key().unwrap(), Some(public.clone()));
        let hex: String = public
            .to_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let path = root.path().join("public.hex");
        fs::write(&path, format!("{hex}\n")).unwrap();
        assert_eq!(read_public(path).unwrap(), Some(public));
        let other = PqSigningKey::from_seed(&[1; 32]).public_key();
        fs::write(root.path().join(PUBLIC), other.to_bytes()).unwrap();
        assert!(matches!(
            dir.double_signer(),
            Err(KeyError::PostQuantum { .. })
        ));
        fs::write(root.path().join(SECRET), b"short").unwrap();
        assert!(dir.double_signer().is_err());
    }
}
