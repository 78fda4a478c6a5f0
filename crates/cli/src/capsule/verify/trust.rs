//! Which keys `verify` trusts, and where they come from. Nothing is ever created.

use std::fs;
use std::io;
use std::path::Path;

use capsule::keyring::Keyring;
use capsule::verify::Keys;
use capsule::{PublicKey, PublicKeyError, SigningKey};
use zeroize::Zeroizing;

/// The keys of one verification.
#[derive(Debug)]
pub enum Trust {
    /// One key for every record.
    Explicit(PublicKey),
    /// A key was named that is none; every signature fails with this reason.
    Unusable(PublicKeyError),
    /// The keys of a data directory.
    Ring {
        /// Present and past keys.
        keyring: Keyring,
        /// The key of the directory, for records whose label no epoch has, as in the reference.
        local: Option<PublicKey>,
    },
}

impl Trust {
    /// The key given as text on the command line or in a file.
    #[must_use]
    pub fn of_text(text: &str) -> Trust {
        match PublicKey::from_hex(text) {
            Ok(key) => Trust::Explicit(key),
            Err(error) => Trust::Unusable(error),
        }
    }

    /// The keys of a data directory; one that does not exist has none.
    ///
    /// # Errors
    /// A sentence, when a file is there and cannot be read or is no keyring or key.
    pub fn of_dir(dir: &Path) -> Result<Trust, String> {
        let local = local_key(dir)?.map(|key| key.public_key());
        Ok(Trust::Ring {
            keyring: keyring(dir)?.unwrap_or_default(),
            local,
        })
    }

    /// Without any key.
    #[must_use]
    pub fn nobody() -> Trust {
        Trust::Ring {
            keyring: Keyring::new(),
            local: None,
        }
    }

    /// The key that must have signed a record with this label.
    #[must_use]
    pub fn key_for(&self, signed_by: &str) -> Option<PublicKey> {
        match self {
            Trust::Explicit(key) => Some(*key),
            Trust::Unusable(_) => None,
            Trust::Ring { keyring, local } => match keyring.lookup(signed_by) {
                Some(epoch) => Some(epoch.public_key),
                None => *local,
            },
        }
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Trust::Ring { keyring, local: None } if keyring.epochs().is_empty())
    }

    /// Whether failures are explained, as the reference does for an explicit key only.
    #[must_use]
    pub fn explains(&self) -> bool {
        !matches!(self, Trust::Ring { .. })
    }

    /// The same keys for the library's own verification.
    #[must_use]
    pub fn keys(&self) -> Keys {
        match self {
            Trust::Explicit(key) => Keys::explicit(key),
            Trust::Unusable(_) => Keys::none(),
            Trust::Ring { keyring, local } => Keys::keyring(keyring, local.as_ref()),
        }
    }
}

/// The secret key of a directory, `None` where there is none.
///
/// # Errors
/// A sentence, when it cannot be read or does not hold 32 bytes.
pub fn local_key(dir: &Path) -> Result<Option<SigningKey>, String> {
    let path = dir.join("key");
    let Some(bytes) = read(&path)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let seed: [u8; 32] = bytes.as_slice().try_into().map_err(|_| {
        format!(
            "{}: a key file holds 32 bytes, this one {}",
            path.display(),
            bytes.len()
        )
    })?;
    Ok(Some(SigningKey::from_seed(seed)))
}

/// The keyring of a directory, `None` where there is none.
///
/// # Errors
/// A sentence, when it cannot be read or is none.
pub fn keyring(dir: &Path) -> Result<Option<Keyring>, String> {
    let path = dir.join("keyring.json");
    let Some(text) = read(&path)? else {
        return Ok(None);
    };
    let parsed = Keyring::parse(&text);
    parsed
        .map(Some)
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
