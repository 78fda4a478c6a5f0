//! From the server's codes to what the sequencer must know.

use ledger::journal::{Class, JournalError};

use super::{link::Fault, url::Target};

/// A database that cannot be used as a ledger's store. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No thread of execution for the connection.
    #[error("starting the database client: {source}")]
    Runtime {
        /// Why.
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error("{place}: {reason}")]
    Tls {
        /// Host and database.
        place: String,
        /// Why.
        reason: String,
    },
    /// The server failed or cannot be reached.
    #[error("{place}: cannot {operation} the database: {message}")]
    Server {
        /// Host and database.
        place: String,
        /// What was tried.
        operation: &'static str,
        /// The server's words and code.
        message: String,
    },
    /// The server takes no writes.
    #[error("{place} is read-only or a standby: connect to the primary")]
    ReadOnly {
        /// Host and database.
        place: String,
    },
    /// A commit would not be durable.
    #[error("{place}: {setting} is {found} and must be {wanted}: commits would not be durable")]
    NotDurable {
        /// Host and database.
        place: String,
        /// The server's setting.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// There are no tables of ours.
    #[error("{0} holds no Sealgate ledger: create it first (sealgate init)")]
    Missing(String),
    /// There is a ledger already.
    #[error("{0} holds a Sealgate ledger already")]
    Exists(String),
    /// The tables were made by a newer version that this one cannot work with.
    #[error(
        "the database has layout {found}, which needs a program that knows layout {least}; this one knows {known}: use a newer version"
    )]
    Newer {
        /// Layout in the database.
        found: i32,
        /// The oldest layout that a program must know to use it.
        least: i32,
        /// What this program knows.
        known: i32,
    },
    /// Another process serves from it and limits are not shared.
    #[error(
        "another instance (boot {boot} on {host}) serves from {place}: without Redis budgets and rate limits are counted in each \
         process, so a second instance does not start; configure Redis, or stop the other one first"
    )]
    InUse {
        /// Host and database.
        place: String,
        /// Boot of the other instance.
        boot: String,
        /// Address from which it is connected.
        host: String,
    },
}

impl OpenError {
    pub(super) fn server(target: &Target, operation: &'static str, fault: &Fault) -> OpenError {
        let (place, message) = (target.place().to_owned(), fault.words());
        // The client's own words, when every host of the URL is asked for writes and none takes them.
        if message.contains("does not allow writes") {
            return OpenError::ReadOnly { place };
        }
        OpenError::Server {
            place,
            operation,
            message,
        }
    }
}

/// Translates a failed statement.
pub(super) fn journal(operation: &'static str, fault: &Fault) -> JournalError {
    JournalError {
        class: class(fault),
        operation,
        message: fault.words(),
    }
}

pub(super) fn with_class(
    class: Class,
    operation: &'static str,
    message: impl Into<String>,
) -> JournalError {
    JournalError {
        class,
        operation,
        message: message.into(),
    }
}

pub(super) fn fatal(operation: &'static str, message: impl Into<String>) -> JournalError {
    with_class(Class::Fatal, operation, message)
}

pub(super) fn item(operation: &'static str, message: impl Into<String>) -> JournalError {
    with_class(Class::Item, operation, message)
}

/// What a server that answers with an error says about the transaction: it is aborted, nothing of it is stored. Only an answer
/// that is lost, or that comes from a server that is going down, leaves that open.
///
/// * A constraint or a value that does not fit (22, 23): the item. A taken sequence means that somebody appended although the
///   head was locked; no item is to blame for that.
/// * Another server, a lost connection, one that takes no writes any more (08, 25006, 57P, 58, XX): look again over a new one.
/// * Locks, time-outs, no room, no memory, no rights: nothing was written, try later.
fn class(fault: &Fault) -> Class {
    let Some(code) = fault.code() else {
        return match fault {
            // A value that cannot be sent never reached the server.
            Fault::Server(error) if is_conversion(error) => Class::Item,
            _ => Class::Fatal,
        };
    };
    let code = code.code();
    if matches!(fault, Fault::Server(error) if constraint(error).is_some_and(|name| name.contains("sequence")))
    {
        return Class::Fatal;
    }
    match code.get(..2).unwrap_or_default() {
        "22" | "23" | "54" if code != "22012" => Class::Item,
        "08" | "58" | "XX" => Class::Fatal,
        "57" if code != "57014" => Class::Fatal,
        _ if code == "25006" || code == "25P03" => Class::Fatal,
        _ => Class::Batch,
    }
}

fn constraint(error: &tokio_postgres::Error) -> Option<&str> {
    error.as_db_error().and_then(|said| said.constraint())
}

fn is_conversion(error: &tokio_postgres::Error) -> bool {
    error.to_string().starts_with("error serializing parameter")
}
