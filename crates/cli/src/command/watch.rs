//! Which files a configuration was read from, and whether they have changed since.
//!
//! By looking every two seconds: that works on every file system, also where a manager of containers swaps links.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gateway::config::{self, Config, Disk, Files, Overrides, ProcessEnv, Rejected};

/// How often the files are looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);

/// What a file looks like from outside; `None` when it is not there.
type Look = Option<(SystemTime, u64, u64)>;

/// The files of one configuration.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    files: BTreeMap<PathBuf, Look>,
    /// A change that was seen at the last look, when it may still have been going on.
    fresh: bool,
}

/// Reads files and remembers which.
struct Recorder(RefCell<BTreeMap<PathBuf, Look>>);

impl Files for Recorder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // The look comes first: a change while the file is read is seen later.
        self.0.borrow_mut().insert(path.to_owned(), look(path));
        Disk.read(path)
    }
}

fn look(path: &Path) -> Look {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Some((changed, metadata.len(), metadata.ino()))
}

impl Watch {
    /// Loads a configuration and begins to watch what it was read from, rejected or not.
    pub(crate) fn load(
        path: &Path,
        overrides: &Overrides,
    ) -> (Result<Config, Box<Rejected>>, Watch) {
        let recorder = Recorder(RefCell::default());
        let loaded = config::load_with(path, overrides, &ProcessEnv, &recorder);
        let mut files = recorder.0.into_inner();
        if let Ok(Some(tls)) = loaded.as_ref().map(|config| &config.tls) {
            for path in [&tls.certificate, &tls.key] {
                files.insert(path.clone(), look(path));
            }
        }
        let watch = Watch {
            files,
            fresh: false,
        };
        (loaded.map_err(Box::new), watch)
    }

    /// Whether a file has changed and rests since the last look.
    pub(crate) fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, before) in &mut self.files {
            let now = look(path);
            changed |= now != std::mem::replace(before, now);
        }
        let rests = self.fresh && !changed;
        self.fresh = changed;
        rests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_it_rests() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, "include: [more.yaml]\n").unwrap();
        std::fs::write(dir.path().join("more.yaml"), "model_list:\n").unwrap();
        let (_, mut watch) = Watch::load(&path, &Overrides::default());
        assert!(!watch.changed() && !watch.changed());
        for (name, text) in [
            ("more.yaml", "model_list: []\n"),
            ("config.yaml", "include:\n"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
            assert!(!watch.changed(), "{name}: it may still be written");
            assert!(watch.changed(), "{name}");
            assert!(!watch.changed(), "{name}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(!watch.changed());
        assert!(watch.changed(), "a file that went away is a change");
    }
}
