//! The items that a batch consists of.

use capsule::{Draft, Id, Timestamp};
use tokio::sync::oneshot;

use crate::{
    error::{OpenError, SettleError},
    intent::{Call, Committed, Intent, Opened, SettleSlot},
    journal::{Quarantined, TreeWrite},
    shared::AppendPermit,
};

/// One item of a batch.
#[derive(Debug)]
pub(crate) enum Work {
    Open(Box<Open>),
    Seal(Box<Seal>),
    /// An open call that was dropped; becomes a `Seal` before its first attempt.
    Abandon(Box<Call>),
    Tree(TreeWrite),
    Create(Id),
    BeginBoot(Id),
    CloseBoot(Id),
}

/// An intent to commit.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) intent: Intent,
    pub(crate) slot: SettleSlot,
    /// Gone once the caller has been told that it failed.
    pub(crate) reply: Option<oneshot::Sender<Result<Opened, OpenError>>>,
}

/// The call that a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) id: Id,
    pub(crate) boot: Id,
    pub(crate) number: u64,
    pub(crate) opened_at: Timestamp,
}

/// What an item holds until its record is durable; given back by dropping.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what dropping them does")]
pub(crate) enum Hold {
    Slot(SettleSlot),
    Append(AppendPermit),
    Nothing,
}

/// A record to seal.
#[derive(Debug)]
pub(crate) struct Seal {
    /// `None` when only the quarantine entry is left to store.
    pub(crate) draft: Option<Draft>,
    pub(crate) attachment: Option<Vec<u8>>,
    pub(crate) subject: Option<Subject>,
    pub(crate) hold: Hold,
    pub(crate) reply: Option<oneshot::Sender<Result<Committed, SettleError>>>,
    pub(crate) quarantine: Option<Quarantined>,
    /// How often the store has refused it.
    pub(crate) strikes: u8,
}

impl Seal {
    pub(crate) fn call(
        call: Call,
        draft: Draft,
        attachment: Option<Vec<u8>>,
        reply: oneshot::Sender<Result<Committed, SettleError>>,
    ) -> Seal {
        Seal {
            subject: Some(call.subject),
            hold: Hold::Slot(call.slot),
            reply: Some(reply),
            ..Seal::plain(draft, attachment)
        }
    }

    pub(crate) fn plain(draft: Draft, attachment: Option<Vec<u8>>) -> Seal {
        Seal {
            draft: Some(draft),
            attachment,
            subject: None,
            hold: Hold::Nothing,
            reply: None,
            quarantine: None,
            strikes: 0,
        }
    }
}
