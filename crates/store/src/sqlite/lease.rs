//! The lease on SQLite: a lock on a file beside the database, which the kernel frees when the process
//! dies. It keeps a second server out; it does not keep other writers of the database out.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::connection::OpenError;

/// Held as long as the journal lives.
#[derive(Debug)]
pub(super) struct Lease {
    file: File,
}

impl Lease {
    /// Takes the lease of a database, without waiting.
    pub(super) fn take(database: &Path) -> Result<Lease, OpenError> {
        let path = lock_path(database);
        let failed = |source| OpenError::Io {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(database.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // For whoever looks: the lock itself is what counts, not the number.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Lease { file })
    }
}

impl Drop for Lease {
    /// Gives the lock back by name. Closing alone is not enough: a child that this process is just starting holds a copy of
    /// the file until it becomes its own program.
    fn drop(&mut self) {
        // A lock that cannot be given back ends with the process.
        let _kept = self.file.unlock();
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_os_string();
    name.push(".lock");
    database.with_file_name(name)
}
