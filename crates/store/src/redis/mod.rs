//! Redis: the book of budgets and limits that several processes share, and the feed of changes among them.
//!
//! The client is our own, because what is needed of the protocol is small (see the decision in `docs/adr`). One connection
//! carries all calls, pipelined; each call is one script, so that it happens as one step. Redis is never the truth: every
//! number here can be computed again from rows of spend and open intents.

mod book;
mod demand;
mod envelope;
mod link;
mod script;
mod settings;
mod team;
mod tls;
mod wire;

pub use book::{Balance, Clock, Place, ReserveError, SharedBook, Ticket};
pub use envelope::Envelope;
pub use link::{Link, Seen};
pub use script::Script;
pub use settings::{Settings, UrlError};
pub use team::{Beat, Epoch, Team};
pub use wire::{Command, Reply};

/// Redis did not do what was asked. The text never holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// There is no connection, or it ended before the reply.
    #[error("Redis at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// Why.
        reason: String,
    },
    /// No reply in time.
    #[error("Redis did not answer within {millis} ms")]
    Slow {
        /// How long was waited, milliseconds.
        millis: u64,
    },
    /// It is a replica, or was made one.
    #[error("this Redis takes no writes: it is a replica")]
    ReadOnly,
    /// It has no memory left.
    #[error("Redis refuses writes: it is out of memory")]
    OutOfMemory,
    /// The state that the numbers belong to was replaced, is being built, or is gone.
    #[error("the shared limits are being built again")]
    Epoch,
    /// The state is older than what this process has seen.
    #[error("this Redis holds an older state than the one that was here before")]
    Stale,
    /// Redis said something else.
    #[error("Redis refused: {0}")]
    Fault(String),
    /// Not a Redis, or not one that is understood.
    #[error("not a reply of Redis: {0}")]
    Protocol(&'static str),
}

impl RedisError {
    /// From Redis' own words.
    pub(crate) fn of(fault: &str) -> Self {
        let code = fault.split(' ').next().unwrap_or_default();
        match code {
            "READONLY" | "NOREPLICAS" => Self::ReadOnly,
            "OOM" => Self::OutOfMemory,
            "SGEPOCH" => Self::Epoch,
            "SGSTALE" => Self::Stale,
            // Errors of scripts wrap what the command said.
            _ if fault.contains("-READONLY") => Self::ReadOnly,
            _ if fault.contains("-OOM") || fault.contains("OOM command not allowed") => {
                Self::OutOfMemory
            }
            _ => Self::Fault(fault.chars().take(200).collect()),
        }
    }
}
