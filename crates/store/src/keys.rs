//! The data directory: database, keys and checkpoint of one ledger. Creating is explicit; opening never
//! makes anything.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use capsule::SignError;
use zeroize::Zeroizing;

use crate::{anchor::FileAnchor, disk, signer::FastSigner};

/// Names in the directory. The first two are the reference's.
const KEY: &str = "key";
const DATABASE: &str = "capsules.db";
const KEYRING: &str = "keyring.json";
const CHECKPOINT_KEY: &str = "checkpoint.key";
const DIGEST_KEY: &str = "digest.key";
const CHECKPOINT: &str = "checkpoint";

/// Bytes of every key file.
const KEY_BYTES: usize = 32;

/// A data directory that is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key is not there.
    #[error("{0} is missing: create the ledger first (sealgate init), or put the key back")]
    Missing(PathBuf),
    /// Not 32 bytes.
    #[error("{0} does not hold exactly 32 bytes")]
    Length(PathBuf),
    /// Others may read or write it.
    #[error("{path} has mode {mode:03o}, which lets every user in; use 600")]
    Mode {
        /// Which.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes for a new key: {0}")]
    Random(String),
    /// The signing library refuses the key.
    #[error(transparent)]
    Signer(#[from] SignError),
}

/// A secret of 32 bytes, wiped when dropped.
pub type Secret = Zeroizing<[u8; KEY_BYTES]>;

/// The files of one ledger.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Makes the directory (0700) and the keys (0600) that are missing; what is there stays as it is, a
    /// signing key of the reference tool included.
    ///
    /// # Errors
    /// When a file cannot be made, or an existing key is not acceptable.
    pub fn create(root: impl Into<PathBuf>) -> Result<DataDir, KeyError> {
        let dir = DataDir { root: root.into() };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir.root)
            .map_err(|source| KeyError::Io {
                path: dir.root.clone(),
                source,
            })?;
        for name in [KEY, CHECKPOINT_KEY, DIGEST_KEY] {
            let path = dir.root.join(name);
            if !path.try_exists().map_err(|source| KeyError::Io {
                path: path.clone(),
                source,
            })? {
                let secret = random()?;
                disk::create_private(&path, secret.as_slice()).map_err(|source| KeyError::Io {
                    path: path.clone(),
                    source,
                })?;
            }
        }
        dir.check()?;
        Ok(dir)
    }

    /// A directory with all its keys.
    ///
    /// # Errors
    /// When a key is missing, has another length, or may be read by every user.
    pub fn open(root: impl Into<PathBuf>) -> Result<DataDir, KeyError> {
        let dir = DataDir { root: root.into() };
        dir.check()?;
        Ok(dir)
    }

    fn check(&self) -> Result<(), KeyError> {
        for name in [KEY, CHECKPOINT_KEY, DIGEST_KEY] {
            self.secret(name)?;
        }
        Ok(())
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of the database; the only `*.db` file in the directory.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join(DATABASE)
    }

    /// Path of the keyring, which need not exist.
    #[must_use]
    pub fn keyring(&self) -> PathBuf {
        self.root.join(KEYRING)
    }

    /// Path of the newest checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> PathBuf {
        self.root.join(CHECKPOINT)
    }

    /// The anchor at [`DataDir::checkpoint`].
    #[must_use]
    pub fn anchor(&self) -> FileAnchor {
        FileAnchor::new(self.checkpoint())
    }

    /// The signing key for records.
    ///
    /// # Errors
    /// When its file is not acceptable.
    pub fn signer(&self) -> Result<FastSigner, KeyError> {
        Ok(FastSigner::from_seed(&*self.secret(KEY)?)?)
    }

    /// The signing key for checkpoints.
    ///
    /// # Errors
    /// When its file is not acceptable.
    pub fn checkpoint_signer(&self) -> Result<FastSigner, KeyError> {
        Ok(FastSigner::from_seed(&*self.secret(CHECKPOINT_KEY)?)?)
    }

    /// The key of keyed digests.
    ///
    /// # Errors
    /// When its file is not acceptable.
    pub fn digest_key(&self) -> Result<Secret, KeyError> {
        self.secret(DIGEST_KEY)
    }

    fn secret(&self, name: &str) -> Result<Secret, KeyError> {
        let path = self.root.join(name);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing(path.clone()),
            _ => KeyError::Io {
                path: path.clone(),
                source,
            },
        };
        let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(KeyError::Mode { path, mode });
        }
        let bytes = Zeroizing::new(fs::read(&path).map_err(failed)?);
        let secret =
            <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Length(path))?;
        Ok(Zeroizing::new(secret))
    }
}

fn random() -> Result<Secret, KeyError> {
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(secret.as_mut_slice()).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(secret)
}
