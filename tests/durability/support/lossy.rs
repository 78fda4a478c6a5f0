//! Files as power loss leaves them: what was synced is there; of what was not, any part may be there, in any order.

use std::collections::BTreeMap;
use std::path::Path;

use super::random::Random;
use super::strace::Event;

/// A change of a file that no sync has covered yet.
#[derive(Clone)]
struct Change {
    end: usize,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Write { offset: usize, data: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Where `write` goes on.
    position: usize,
    /// The name may be gone: the directory was not synced since the file was made.
    unnamed: bool,
    /// The name may still be there: it was removed and the directory was not synced since.
    removed: bool,
}

/// What happens to changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    /// All are lost.
    Everything,
    /// None is: as after SIGKILL.
    Nothing,
    /// Each write as a whole is there or not, in any order.
    Writes,
    /// Each piece of so many bytes is there or not.
    Torn(usize),
    /// As torn, and what is not there is garbage instead of what was there before.
    Garbage(usize),
}

impl Loss {
    pub(crate) const ALL: [Loss; 7] = [
        Loss::Everything,
        Loss::Nothing,
        Loss::Writes,
        Loss::Torn(512),
        Loss::Torn(4096),
        Loss::Garbage(512),
        Loss::Garbage(4096),
    ];
}

/// The files of a data directory while a trace is replayed.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    files: BTreeMap<String, File>,
    /// Names that a `rename` gave to new content, before the directory was synced.
    renamed: Vec<(usize, String, Vec<u8>)>,
}

impl Disk {
    /// Everything in `folder` is durable.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut disk = Self::default();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let durable = std::fs::read(&path).unwrap();
            let file = File {
                durable,
                ..File::default()
            };
            disk.files.insert(path.to_str().unwrap().to_owned(), file);
        }
        disk
    }

    /// Applies one call on a file of `folder`; others are passed over. `until` is the crash: what has not ended by then is
    /// only pending.
    pub(crate) fn apply(&mut self, event: &Event, folder: &str, until: usize) {
        if event.failed || !event.target.starts_with(folder) || event.target.ends_with("-shm") {
            return;
        }
        let name = event.target.as_str();
        match event.name.as_str() {
            "fsync" | "fdatasync" if event.end >= until => {}
            "fsync" | "fdatasync" if name.trim_end_matches('/') == folder => self.sync_names(event),
            "fsync" | "fdatasync" => {
                if let Some(file) = self.files.get_mut(name) {
                    file.sync(event.begin);
                }
            }
            "openat" => self.open(event),
            "rename" => {
                let to = String::from_utf8(event.data.clone()).unwrap();
                let file = self.files.remove(name).unwrap_or_default();
                assert!(
                    file.pending.is_empty(),
                    "{name} was renamed before it was synced"
                );
                self.renamed.push((event.end, to, file.durable));
            }
            "unlink" | "unlinkat" => {
                if let Some(file) = self.files.get_mut(name) {
                    file.removed = true;
                }
            }
            "ftruncate" => {
                let length = event.number as usize;
                self.change(name, event.end, Kind::Truncate(length));
            }
            "pwrite64" => {
                let (offset, data) = (event.number as usize, event.data.clone());
                self.change(name, event.end, Kind::Write { offset, data });
            }
            _ => {
                let file = self.files.entry(name.to_owned()).or_default();
                let (offset, data) = (file.position, event.data.clone());
                file.position += data.len();
                self.change(name, event.end, Kind::Write { offset, data });
            }
        }
    }

    fn open(&mut self, event: &Event) {
        let known = self
            .files
            .get(&event.target)
            .is_some_and(|file| !file.removed);
        if !known && event.flags.contains("O_CREAT") {
            let file = File {
                unnamed: true,
                ..File::default()
            };
            self.files.insert(event.target.clone(), file);
        }
        if let Some(file) = self.files.get_mut(&event.target) {
            file.position = 0;
        }
        if event.flags.contains("O_TRUNC") {
            self.change(&event.target, event.end, Kind::Truncate(0));
        }
    }

    fn change(&mut self, name: &str, end: usize, kind: Kind) {
        let file = self.files.entry(name.to_owned()).or_default();
        file.pending.push(Change { end, kind });
    }

    fn sync_names(&mut self, event: &Event) {
        self.files.retain(|_, file| !file.removed);
        for file in self.files.values_mut() {
            file.unnamed = false;
        }
        let renamed = std::mem::take(&mut self.renamed);
        for (end, to, durable) in renamed {
            if end < event.begin {
                let file = File {
                    durable,
                    ..File::default()
                };
                self.files.insert(to, file);
            } else {
                self.renamed.push((end, to, durable));
            }
        }
    }

    /// Writes into `folder` what a crash leaves now.
    pub(crate) fn crash(&self, folder: &Path, loss: Loss, random: &mut Random) {
        std::fs::create_dir_all(folder).unwrap();
        let keep = |random: &mut Random| match loss {
            Loss::Everything => false,
            Loss::Nothing => true,
            _ => random.coin(),
        };
        let mut files = BTreeMap::new();
        for (name, file) in &self.files {
            let named = !(file.unnamed || file.removed) || file.removed != keep(random);
            if named {
                files.insert(name.clone(), file.after(loss, random));
            }
        }
        for (_, to, durable) in &self.renamed {
            if !keep(random) {
                break;
            }
            files.insert(to.clone(), durable.clone());
        }
        for (name, bytes) in files {
            let name = Path::new(&name).file_name().unwrap();
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

impl File {
    /// Everything that had ended when the sync began is durable.
    fn sync(&mut self, began: usize) {
        let pending = std::mem::take(&mut self.pending);
        for change in pending {
            if change.end < began {
                change.kind.apply(&mut self.durable);
            } else {
                self.pending.push(change);
            }
        }
    }

    fn after(&self, loss: Loss, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut pending = self.pending.clone();
        match loss {
            Loss::Everything => return bytes,
            Loss::Nothing => {}
            Loss::Writes => {
                pending.retain(|_| random.coin());
                for at in (1..pending.len()).rev() {
                    pending.swap(at, random.below(at as u64 + 1) as usize);
                }
            }
            Loss::Torn(size) | Loss::Garbage(size) => {
                let garbage = matches!(loss, Loss::Garbage(_));
                let torn = pending.into_iter().flat_map(|change| change.torn(size));
                pending = torn.collect();
                pending.retain_mut(|change| {
                    let lost = random.coin();
                    if lost
                        && garbage
                        && let Kind::Write { data, .. } = &mut change.kind
                    {
                        data.fill_with(|| random.next() as u8);
                        return true;
                    }
                    !lost
                });
            }
        }
        for change in pending {
            change.kind.apply(&mut bytes);
        }
        bytes
    }
}

impl Change {
    /// The pieces of a write that a disk writes as wholes: aligned in the file.
    fn torn(self, size: usize) -> Vec<Change> {
        let Kind::Write { offset, data } = &self.kind else {
            return vec![self];
        };
        let mut pieces = Vec::new();
        let (mut at, mut rest) = (*offset, data.as_slice());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((size - at % size).min(rest.len()));
            let data = piece.to_vec();
            pieces.push(Change {
                end: self.end,
                kind: Kind::Write { offset: at, data },
            });
            at += piece.len();
            rest = more;
        }
        pieces
    }
}

impl Kind {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Kind::Truncate(length) => bytes.resize(length, 0),
            Kind::Write { offset, data } => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[offset..end].copy_from_slice(&data);
            }
        }
    }
}
