//! The place outside the store that remembers the newest checkpoint.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// Holds one signed checkpoint, replaced as a whole. `DIR/checkpoint` is one; a write-once bucket or a
/// witness may be another.
pub trait Anchor: Send {
    /// The newest checkpoint that was written, or `None` when there never was one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&mut self) -> io::Result<Option<String>>;

    /// Replaces the checkpoint; after `Ok` the new one survives power loss, and at no time is there a
    /// torn one.
    ///
    /// # Errors
    /// When it could not be made durable; the old one may or may not stand.
    fn write(&mut self, note: &str) -> io::Result<()>;
}

/// An anchor in memory, shared between its clones.
#[derive(Clone, Debug, Default)]
pub struct MemoryAnchor {
    note: Arc<Mutex<Option<String>>>,
    broken: Arc<Mutex<bool>>,
}

impl MemoryAnchor {
    /// Replaces what the anchor holds.
    pub fn set(&self, note: Option<String>) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    /// What the anchor holds.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.note
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on writes fail (true) or work (false).
    pub fn break_writes(&self, broken: bool) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = broken;
    }
}

impl Anchor for MemoryAnchor {
    fn read(&mut self) -> io::Result<Option<String>> {
        Ok(self.get())
    }

    fn write(&mut self, note: &str) -> io::Result<()> {
        if *self.broken.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(io::Error::other("anchor told to fail"));
        }
        self.set(Some(note.to_owned()));
        Ok(())
    }
}
