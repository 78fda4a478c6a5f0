//! From SQLite's codes to what the sequencer must know.

use ledger::journal::{Class, JournalError};
use rusqlite::ffi;

/// Translates an error of an ordinary statement.
pub(super) fn journal(operation: &'static str, error: &rusqlite::Error) -> JournalError {
    JournalError {
        class: class(error),
        operation,
        message: error.to_string(),
    }
}

/// Translates an error of an insertion into the chain: a taken sequence means that somebody appended
/// under our lock, and no item is to blame for that.
pub(super) fn record(error: &rusqlite::Error) -> JournalError {
    let taken = matches!(
        extended(error),
        Some(ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID)
    );
    let class = if taken { Class::Fatal } else { class(error) };
    JournalError {
        class,
        operation: "insert record",
        message: error.to_string(),
    }
}

pub(super) fn fatal(operation: &'static str, message: impl Into<String>) -> JournalError {
    JournalError {
        class: Class::Fatal,
        operation,
        message: message.into(),
    }
}

pub(super) fn item(operation: &'static str, message: impl Into<String>) -> JournalError {
    JournalError {
        class: Class::Item,
        operation,
        message: message.into(),
    }
}

fn extended(error: &rusqlite::Error) -> Option<std::ffi::c_int> {
    error.sqlite_error().map(|error| error.extended_code)
}

/// * A full disk, a lock that others hold, no memory: nothing was written, try later. SQLite reports a
///   full disk only from writes, before the commit frame is complete; a failed sync is an I/O error.
/// * A constraint or a value that is too large: the item.
/// * Everything else (I/O, corruption, read-only, misuse): unknown.
fn class(error: &rusqlite::Error) -> Class {
    let Some(code) = extended(error) else {
        // A value that cannot be bound or read back.
        return Class::Item;
    };
    match code & 0xff {
        ffi::SQLITE_FULL | ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_NOMEM => {
            Class::Batch
        }
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_TOOBIG | ffi::SQLITE_MISMATCH | ffi::SQLITE_RANGE => {
            Class::Item
        }
        _ => Class::Fatal,
    }
}
