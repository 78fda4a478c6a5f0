//! The data directory: database, keys and checkpoint of one ledger. Creating is explicit; opening never
//! makes anything.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use capsule::{PublicKey, SignError, Signer as _, Timestamp, keyring::Keyring};
use zeroize::Zeroizing;

use crate::{
    anchor::FileAnchor,
    content::{ContentKeys, KeysError, name_of},
    disk,
    postgres::{PostgresKeyTable, Target},
    reader::{Database, Reader},
    signer::FastSigner,
    sqlite::SqliteKeyTable,
};

/// Names in the directory. The first two are the reference's.
const KEY: &str = "key";
const DATABASE: &str = "capsules.db";
const KEYRING: &str = "keyring.json";
/// The key that a rotation has made and that no record has named yet.
const HEIR: &str = "key.next";
const CHECKPOINT_KEY: &str = "checkpoint.key";
/// Says that the records are not in this directory.
const PLACE: &str = "database";
const DIGEST_KEY: &str = "digest.key";
const CHECKPOINT: &str = "checkpoint";
/// The key that wraps content keys, and the table that holds them.
const CONTENT_KEY: &str = "content.key";
const CONTENT_KEYS: &str = "content-keys";

/// How far from the end of the chain a rotation record is looked for: only other writers come after it.
const RECENT: u64 = 1_024;

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
    /// The keyring is not one.
    #[error("{path}: {reason}")]
    Keyring {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An ML-DSA-65 key is not one, or not the one it should be.
    #[error("{path}: {reason}")]
    PostQuantum {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Instances wrap content keys under different keys.
    #[error("{0} is not the content.key of the other instances of this ledger: copy theirs")]
    OtherContentKey(PathBuf),
    /// Two instances made keys of content for the same person.
    #[error(
        "{0} holds keys of content that differ from those in the database: texts of calls that this instance kept for itself \
         would be lost. Move the file away to lose them"
    )]
    OwnContentKeys(PathBuf),
    /// The table of content keys is not as it must be.
    #[error(transparent)]
    Content(#[from] crate::content::KeysError),
    /// The records could not be read.
    #[error(transparent)]
    Records(#[from] crate::reader::ReadError),
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

    /// Where the records of these keys are, when they are not beside them: host and database, as it was said at creation.
    ///
    /// # Errors
    /// When the note is there and cannot be read.
    pub fn remote_place(&self) -> Result<Option<String>, KeyError> {
        let path = self.root.join(PLACE);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeyError::Io { path, source }),
        }
    }

    /// Notes that the records of these keys are in a database elsewhere, so that nobody starts a second ledger beside the keys.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note_remote(&self, place: &str) -> Result<(), KeyError> {
        let path = self.root.join(PLACE);
        disk::replace(&path, format!("{place}\n").as_bytes(), 0o644)
            .map_err(|source| KeyError::Io { path, source })
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

    /// The keys of content. The table is made with its key when it is first needed; a table without its key file is
    /// refused, since a new key would open nothing in it.
    ///
    /// # Errors
    /// When key or table are not acceptable.
    pub fn content_keys(&self) -> Result<ContentKeys, KeyError> {
        let table = self.root.join(CONTENT_KEYS);
        let key = self.content_key(self.there(&table)?)?;
        Ok(ContentKeys::new(
            Box::new(SqliteKeyTable::open(table)?),
            key,
        ))
    }

    /// The keys of content in the database that several instances share, wrapped under the key file of this directory, of
    /// which every instance has a copy. A table of this directory alone is taken over and removed.
    ///
    /// # Errors
    /// When key or tables are not acceptable; when other instances have another key file.
    pub fn shared_content_keys(&self, target: &Target) -> Result<ContentKeys, KeyError> {
        let own = self.root.join(CONTENT_KEYS);
        let has_own = self.there(&own)?;
        let key = self.content_key(has_own)?;
        let check = name_of(&key).map_err(KeysError::from)?;
        let mut shared = PostgresKeyTable::open(target, &check).map_err(|error| match error {
            KeysError::Foreign => KeyError::OtherContentKey(self.root.join(CONTENT_KEY)),
            error => error.into(),
        })?;
        if has_own {
            let (subjects, hours) = SqliteKeyTable::open(&own)?.all()?;
            let wanted = (subjects.len() + hours.len()) as u64;
            // Where another instance has made a key for the same subject or hour meanwhile, ours would be lost.
            if shared.take_over(&subjects, &hours)? != wanted {
                return Err(KeyError::OwnContentKeys(own));
            }
            for suffix in ["", "-wal", "-shm"] {
                let mut path = own.clone().into_os_string();
                path.push(suffix);
                match std::fs::remove_file(&path) {
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        let path = path.into();
                        return Err(KeyError::Io { path, source });
                    }
                    _ => {}
                }
            }
        }
        Ok(ContentKeys::new(Box::new(shared), key))
    }

    /// Makes the key that wraps keys of content, so that copies of this directory have the same one. One that is there stays.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_content_key(&self) -> Result<(), KeyError> {
        self.content_key(false).map(drop)
    }

    fn there(&self, path: &Path) -> Result<bool, KeyError> {
        path.try_exists().map_err(|source| KeyError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// The key that wraps, made when there is none and none is needed yet.
    fn content_key(&self, needed: bool) -> Result<Secret, KeyError> {
        let path = self.root.join(CONTENT_KEY);
        if !self.there(&path)? {
            if needed {
                return Err(KeyError::Missing(path));
            }
            disk::create_private(&path, random()?.as_slice())
                .map_err(|source| KeyError::Io { path, source })?;
        }
        self.secret(CONTENT_KEY)
    }

    /// The keys that sealed before the present one, by the keyring.
    ///
    /// # Errors
    /// When the keyring or the present key is not acceptable.
    pub fn earlier_keys(&self) -> Result<Vec<PublicKey>, KeyError> {
        let own = self.signer()?.public_key();
        let ring = self.read_keyring()?.unwrap_or_default();
        let keys = ring.epochs().iter().map(|epoch| epoch.public_key);
        Ok(keys.filter(|key| *key != own).collect())
    }

    /// The key that is to seal next, made and written now unless an interrupted rotation left one.
    ///
    /// # Errors
    /// When its file cannot be made or is not acceptable.
    pub fn heir(&self) -> Result<FastSigner, KeyError> {
        let path = self.root.join(HEIR);
        let there = path.try_exists().map_err(|source| KeyError::Io {
            path: path.clone(),
            source,
        })?;
        if !there {
            let secret = random()?;
            disk::create_private(&path, secret.as_slice())
                .map_err(|source| KeyError::Io { path, source })?;
        }
        Ok(FastSigner::from_seed(&*self.secret(HEIR)?)?)
    }

    /// Makes the heir the key of the directory and enters both in the keyring; the old secret is gone afterwards. To be
    /// called once the rotation record is durable; calling it again after an interruption is safe.
    ///
    /// # Errors
    /// When a file cannot be read or replaced.
    pub fn promote_heir(&self, at: Timestamp) -> Result<(), KeyError> {
        let (old, new) = (self.signer()?.public_key(), self.heir()?.public_key());
        let mut ring = self.read_keyring()?.unwrap_or_default();
        if ring.epochs().iter().all(|epoch| epoch.public_key != old) {
            ring.register(&old, at);
        }
        if ring.active().is_none_or(|epoch| epoch.public_key != new) {
            ring.rotate(&new, at);
        }
        // The keyring first: a key that it does not name would seal records that nobody can place.
        let failed = |path: PathBuf| move |source| KeyError::Io { path, source };
        disk::replace(&self.keyring(), ring.to_text().as_bytes(), 0o600)
            .map_err(failed(self.keyring()))?;
        let key = self.root.join(KEY);
        fs::rename(self.root.join(HEIR), &key)
            .and_then(|()| disk::sync_parent(&key))
            .map_err(failed(key))
    }

    /// Ends a rotation whose record is committed and whose key files were not exchanged any more. True when there was
    /// one. Nobody else may have the ledger open.
    ///
    /// # Errors
    /// When keys or records cannot be read, or the files not exchanged.
    pub fn finish_rotation(&self, at: Timestamp) -> Result<bool, KeyError> {
        self.finish_rotation_in(&Database::File(self.database()), at)
    }

    /// The same with the records in another place.
    ///
    /// # Errors
    /// When keys or records cannot be read, or the files not exchanged.
    pub fn finish_rotation_in(&self, database: &Database, at: Timestamp) -> Result<bool, KeyError> {
        let heir = self.root.join(HEIR);
        if !heir.try_exists().unwrap_or(false) || !names(database, &self.heir()?.public_key())? {
            return Ok(false);
        }
        self.promote_heir(at)?;
        Ok(true)
    }

    fn read_keyring(&self) -> Result<Option<Keyring>, KeyError> {
        let path = self.keyring();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyError::Io { path, source }),
        };
        match Keyring::parse(&text) {
            Ok(ring) => Ok(Some(ring)),
            Err(error) => Err(KeyError::Keyring {
                path,
                reason: error.to_string(),
            }),
        }
    }

    fn secret(&self, name: &str) -> Result<Secret, KeyError> {
        read_secret(&self.root.join(name))
    }

    /// The bytes of a file that not every user may read.
    pub(crate) fn private_bytes(&self, name: &str) -> Result<Vec<u8>, KeyError> {
        read_private(&self.root.join(name))
    }
}

/// Whether a recent record says that this key seals from now on.
fn names(database: &Database, key: &PublicKey) -> Result<bool, KeyError> {
    let reader = Reader::at(database)?;
    let (needle, mut found) = (format!("\"new_public_key\":\"{}\"", key.hex()), false);
    let from = reader.count()?.saturating_sub(RECENT);
    reader.for_each(from, |row| {
        found |= memchr::memmem::find(&row.data, needle.as_bytes()).is_some();
        !found
    })?;
    Ok(found)
}

/// The signing key in a file of the reference's form, 32 bytes. A missing one is made, with its
/// directory; of several processes that make it at once, all get the same key.
///
/// # Errors
/// When the file cannot be read or made, has another length, or may be read by every user.
pub fn shared_seed(path: &Path) -> Result<Secret, KeyError> {
    let failed = |source: io::Error| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    if !path.try_exists().map_err(failed)? {
        let parent = path.parent().unwrap_or(path);
        if !parent.as_os_str().is_empty() {
            let mut directory = fs::DirBuilder::new();
            directory.recursive(true).mode(0o700);
            directory.create(parent).map_err(failed)?;
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.new", std::process::id()));
        let temporary = path.with_file_name(name);
        let made = disk::create_private(&temporary, random()?.as_slice());
        // A link never replaces: the first one stays.
        let linked = made.and_then(|()| match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
        // Only the name that was made here; the key has another one by now.
        let removed = fs::remove_file(&temporary);
        linked.map_err(failed)?;
        removed.map_err(failed)?;
        disk::sync_parent(path).map_err(failed)?;
    }
    read_secret(path)
}

fn read_secret(path: &Path) -> Result<Secret, KeyError> {
    let bytes = Zeroizing::new(read_private(path)?);
    let secret = <[u8; KEY_BYTES]>::try_from(bytes.as_slice())
        .map_err(|_| KeyError::Length(path.to_owned()))?;
    Ok(Zeroizing::new(secret))
}

fn read_private(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
        _ => KeyError::Io {
            path: path.to_owned(),
            source,
        },
    };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let path = path.to_owned();
        return Err(KeyError::Mode { path, mode });
    }
    fs::read(path).map_err(failed)
}

fn random() -> Result<Secret, KeyError> {
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(secret.as_mut_slice()).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(secret)
}
