//! The demo's own directories: a temporary one that goes away, and the ledger's, which may stay.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Marks a data directory as made by the demo.
const MARK: &str = "sealgate-demo";
const MARK_TEXT: &str =
    "This ledger was made by `sealgate demo`; its calls went to a sandbox. Safe to delete.\n";

/// A private directory under the system's temporary one; removed when dropped.
#[derive(Debug)]
pub(super) struct Work(PathBuf);

impl Work {
    pub(super) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("sealgate-demo-{}", random_hex(8)?));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "a temporary directory of the demo stays behind");
        }
    }
}

/// `bytes` random bytes as hexadecimal text.
pub(super) fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer)
        .map_err(|error| anyhow::anyhow!("no randomness from the system: {error}"))?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Says whether `dir` is new to the demo: absent or empty. An earlier demo's is used again; anything else is refused, so that
/// the demo never writes into a ledger that somebody needs.
pub(super) fn is_new(dir: &Path) -> Result<bool> {
    if dir.join(MARK).is_file() {
        return Ok(false);
    }
    let is_empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", dir.display())),
    };
    if !is_empty {
        bail!(
            "{} is not empty and not an earlier demo's; give an empty or new directory",
            dir.display()
        );
    }
    Ok(true)
}

/// Marks `dir` as the demo's.
pub(super) fn mark(dir: &Path) -> Result<()> {
    fs::write(dir.join(MARK), MARK_TEXT)
        .with_context(|| format!("cannot write into {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_and_earlier_directories_are_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger");
        assert!(is_new(&path).expect("absent"));
        fs::create_dir(&path).expect("created");
        assert!(is_new(&path).expect("empty"));
        fs::write(path.join("capsules.db"), "x").expect("written");
        assert!(is_new(&path).is_err(), "somebody's ledger");
        mark(&path).expect("marked");
        assert!(!is_new(&path).expect("an earlier demo's"));
    }

    #[test]
    fn the_work_directory_goes_away() {
        let work = Work::new().expect("a directory");
        let path = work.path().to_owned();
        fs::write(path.join("file"), "x").expect("written");
        drop(work);
        assert!(!path.exists());
    }
}
