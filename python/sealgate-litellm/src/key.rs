//! The key that seals, and the file that it is read from: a file that is replaced is read again.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use capsule::Signer;
use store::{keys::shared_seed, signer::FastSigner};

use crate::record::DigestKey;

/// What changes when a file is replaced or written anew.
type Stamp = (u64, u64, i64, i64, u64);

/// The newest key of a file.
#[derive(Clone)]
pub(crate) struct KeyFile {
    path: PathBuf,
    stamp: Stamp,
    signer: Arc<FastSigner>,
    /// The file could not be read the last time; that was reported.
    failing: bool,
}

impl KeyFile {
    /// Reads the key, which is made when it is missing, and derives the key of content digests from it.
    pub(crate) fn open(path: &Path) -> Result<(KeyFile, DigestKey), String> {
        let seed = shared_seed(path).map_err(|error| error.to_string())?;
        // The stamp may be of a later file than the key only if that file came in between: it is read again at once.
        let (stamp, signer) = read(path)?;
        let key = KeyFile {
            path: path.to_owned(),
            stamp,
            signer: Arc::new(signer),
            failing: false,
        };
        Ok((key, DigestKey::derive(&seed)))
    }

    /// The key.
    pub(crate) fn signer(&self) -> &FastSigner {
        &self.signer
    }

    /// Takes up the key of a replaced file. Gives what there is to tell, and whether it is an error: a file that cannot
    /// be read now leaves the key as it was, and is looked at again the next time.
    pub(crate) fn refresh(&mut self) -> Option<(String, bool)> {
        let found = match stamp(&self.path) {
            Ok(stamp) if stamp == self.stamp && !self.failing => return None,
            Ok(_) => read(&self.path),
            Err(error) => Err(format!("{}: {error}", self.path.display())),
        };
        match found {
            Ok((stamp, signer)) => {
                self.stamp = stamp;
                self.failing = false;
                let changed = signer.fingerprint() != self.signer.fingerprint();
                self.signer = Arc::new(signer);
                changed.then(|| {
                    let (path, key) = (self.path.display(), self.signer.fingerprint());
                    (
                        format!("{path} holds another key: {key} seals from now on"),
                        false,
                    )
                })
            }
            Err(error) => {
                let first = !std::mem::replace(&mut self.failing, true);
                let key = self.signer.fingerprint();
                first.then(|| (format!("{error}; {key} goes on sealing"), true))
            }
        }
    }
}

/// The stamp is taken first: a file that is replaced in between is found the next time.
fn read(path: &Path) -> Result<(Stamp, FastSigner), String> {
    let stamp = stamp(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let seed = shared_seed(path).map_err(|error| error.to_string())?;
    let signer = FastSigner::from_seed(&seed).map_err(|error| error.to_string())?;
    Ok((stamp, signer))
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let found = fs::metadata(path)?;
    Ok((
        found.dev(),
        found.ino(),
        found.mtime(),
        found.mtime_nsec(),
        found.size(),
    ))
}
