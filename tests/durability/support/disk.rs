//! A small file system of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted tmpfs; unmounted when dropped.
pub(crate) struct SmallDisk {
    folder: TempDir,
    ballast: PathBuf,
}

impl SmallDisk {
    /// `None`, with the reason printed, where mounting is not allowed. A limit on the size of files would be no
    /// replacement: it fails other calls with another error and spares files that are there already.
    pub(crate) fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m,mode=700");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        match done {
            Ok(done) if done.status.success() => Some(Self {
                ballast: folder.path().join("ballast"),
                folder,
            }),
            Ok(done) => {
                let why = String::from_utf8_lossy(&done.stderr).into_owned();
                eprintln!("not run: a small file system cannot be mounted here: {why}");
                None
            }
            Err(error) => {
                eprintln!("not run: mount: {error}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes until there is not one free byte.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.ballast)
            .unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Leaves about so many bytes free.
    pub(crate) fn fill_but(&self, free: u64) {
        self.fill();
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&self.ballast)
            .unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(free)).unwrap();
    }

    /// Gives the space back.
    pub(crate) fn clear(&self) {
        std::fs::remove_file(&self.ballast).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whatever still has a file open there ends soon.
        drop(
            Command::new("umount")
                .arg("-l")
                .arg(self.folder.path())
                .output(),
        );
    }
}
