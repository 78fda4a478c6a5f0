//! Which store, and which key.

use std::path::PathBuf;

use store::{
    postgres::SharedTable,
    shared::{SharedChain, SharedError},
    sqlite::SharedFile,
};

/// A store that can be opened any number of times.
#[derive(Clone)]
pub(crate) enum Place {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL URL, password included.
    Table(String),
}

impl Place {
    /// `sqlite` and a path, or `postgresql` and a URL.
    pub(crate) fn named(kind: &str, target: &str) -> Result<Place, String> {
        match kind {
            "sqlite" => Ok(Place::File(PathBuf::from(target))),
            "postgresql" => Ok(Place::Table(target.to_owned())),
            other => Err(format!("no such kind of store: {other}")),
        }
    }

    pub(crate) fn chain(&self) -> Result<Box<dyn SharedChain>, SharedError> {
        Ok(match self {
            Place::File(path) => Box::new(SharedFile::new(path)),
            Place::Table(url) => Box::new(SharedTable::new(url)?),
        })
    }
}
