//! `DIR/checkpoint`: the newest signed checkpoint, outside the database.

use std::{fs, io, path::PathBuf};

use ledger::Anchor;

use crate::disk;

/// Largest checkpoint file that is read: a note with many witness signatures stays far below.
const MAX_BYTES: u64 = 64 * 1024;

/// Keeps the checkpoint in a file that is replaced atomically.
#[derive(Clone, Debug)]
pub struct FileAnchor {
    path: PathBuf,
}

impl FileAnchor {
    /// An anchor at `path`, which need not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> FileAnchor {
        FileAnchor { path: path.into() }
    }
}

impl Anchor for FileAnchor {
    fn read(&mut self) -> io::Result<Option<String>> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(found) if found.len() > MAX_BYTES => {
                Err(io::Error::other("checkpoint file is too large"))
            }
            Ok(_) => fs::read_to_string(&self.path).map(Some),
        }
    }

    /// Write to a temporary file, fsync, rename, fsync of the directory.
    fn write(&mut self, note: &str) -> io::Result<()> {
        disk::replace(&self.path, note.as_bytes(), 0o644)
    }
}
