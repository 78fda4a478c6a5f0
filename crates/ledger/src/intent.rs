//! Intents: the durable note that a call is about to leave, and the values that only a commit makes.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use capsule::{Draft, Hash, Id, Timestamp};
use tokio::sync::oneshot;

use crate::{
    error::{OpenError, SettleError},
    shared::Shared,
    work::{Seal, Subject, Work},
};

/// What the caller says about a call that is about to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    /// Id of the call and of the record that will be sealed for it.
    pub id: Id,
    /// Arrival time of the call.
    pub opened_at: Timestamp,
    /// Opaque bytes that recovery gets back, such as the reservation.
    pub payload: Vec<u8>,
}

/// An intent as the store holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenIntent {
    /// Id of the call.
    pub id: Id,
    /// Boot that opened it.
    pub boot: Id,
    /// Its number in that boot, from 1, without gaps.
    pub number: u64,
    /// Arrival time of the call.
    pub opened_at: Timestamp,
    /// The caller's opaque bytes.
    pub payload: Vec<u8>,
}

/// A place in the settle queue, held from before the intent until the record is committed.
///
/// It cannot be copied or made elsewhere:
/// ```compile_fail
/// fn twice(slot: ledger::SettleSlot) -> (ledger::SettleSlot, ledger::SettleSlot) {
///     (slot.clone(), slot)
/// }
/// ```
/// ```compile_fail
/// let slot = ledger::SettleSlot { shared: todo!() };
/// ```
#[must_use = "an unused slot is given back when it is dropped"]
#[derive(Debug)]
pub struct SettleSlot {
    shared: Arc<Shared>,
}

impl SettleSlot {
    /// The only constructor: counts the slot, or gives `None` when all are taken.
    pub(crate) fn take(shared: &Arc<Shared>) -> Option<SettleSlot> {
        let limit = shared.settle_slots;
        shared
            .slots_used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                (used < limit).then_some(used + 1)
            })
            .ok()?;
        Some(SettleSlot {
            shared: Arc::clone(shared),
        })
    }
}

impl Drop for SettleSlot {
    fn drop(&mut self) {
        self.shared.slots_used.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A call whose intent is durable: written and synced before this value exists.
///
/// Exactly one record follows: from [`Opened::settle`], or a minimal `unknown` one when the value is
/// dropped, or one from recovery when the process dies.
///
/// It is settled once:
/// ```
/// fn once(opened: ledger::Opened, draft: capsule::Draft) -> ledger::Receipt {
///     opened.settle(draft, None)
/// }
/// ```
/// It cannot be copied, made elsewhere, or settled twice:
/// ```compile_fail
/// fn twice(opened: ledger::Opened) -> (ledger::Opened, ledger::Opened) {
///     (opened.clone(), opened)
/// }
/// ```
/// ```compile_fail
/// fn twice(opened: ledger::Opened, one: capsule::Draft, two: capsule::Draft) {
///     opened.settle(one, None);
///     opened.settle(two, None);
/// }
/// ```
/// ```compile_fail
/// let opened = ledger::Opened { call: None };
/// ```
#[must_use = "dropping it seals the call as unknown"]
#[derive(Debug)]
pub struct Opened {
    /// Empty once settled.
    call: Option<Call>,
    id: Id,
    boot: Id,
    number: u64,
}

/// What travels with an open call until its record is committed.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) subject: Subject,
    pub(crate) slot: SettleSlot,
}

impl Opened {
    /// The only constructor, called by the committer after the commit that holds the intent.
    pub(crate) fn committed(subject: Subject, slot: SettleSlot) -> Opened {
        slot.shared.open_calls.fetch_add(1, Ordering::AcqRel);
        let (id, boot, number) = (subject.id, subject.boot, subject.number);
        Opened {
            call: Some(Call { subject, slot }),
            id,
            boot,
            number,
        }
    }

    /// Id of the call.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// Boot that opened it.
    #[must_use]
    pub fn boot(&self) -> Id {
        self.boot
    }

    /// Intent number in that boot, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Hands the record of the call to the committer. Never blocks and is never refused; the receipt
    /// resolves when the record is durable and may be ignored.
    ///
    /// A draft with another id than the call's, or larger than the limit, is quarantined: the call is
    /// then sealed as a minimal `unknown` record that holds the digest of the draft.
    pub fn settle(mut self, draft: Draft, attachment: Option<Vec<u8>>) -> Receipt {
        let (reply, receipt) = oneshot::channel();
        if let Some(call) = self.call.take() {
            let shared = Arc::clone(&call.slot.shared);
            #[cfg(feature = "bench-null-journal")]
            return forget(&shared, receipt);
            #[cfg(not(feature = "bench-null-journal"))]
            shared.queue.push(Work::Seal(Box::new(Seal::call(
                call, draft, attachment, reply,
            ))));
        }
        Receipt { receiver: receipt }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            let shared = Arc::clone(&call.slot.shared);
            shared.queue.push(Work::Abandon(Box::new(call)));
        }
    }
}

/// A record that is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Record id. Differs from the draft's only when that id was taken and the draft quarantined.
    pub id: Id,
    /// Its place in the chain.
    pub sequence: u64,
    /// Its SHA3-256.
    pub hash: Hash,
    /// True when the draft could not be stored and a minimal record stands for it.
    pub quarantined: bool,
}

/// Resolves when a record is durable. Dropping it changes nothing.
#[derive(Debug)]
pub struct Receipt {
    pub(crate) receiver: oneshot::Receiver<Result<Committed, SettleError>>,
}

impl Receipt {
    /// A receipt for somebody who waits for another one too, and what tells it.
    #[must_use]
    pub fn relayed() -> (oneshot::Sender<Result<Committed, SettleError>>, Receipt) {
        let (tell, receiver) = oneshot::channel();
        (tell, Receipt { receiver })
    }

    /// Waits on a thread that runs no async tasks.
    ///
    /// # Errors
    /// [`SettleError`] when the record will not be committed by this process.
    pub fn wait(self) -> Result<Committed, SettleError> {
        self.receiver
            .blocking_recv()
            .unwrap_or(Err(SettleError::Stopped))
    }
}

impl Future for Receipt {
    type Output = Result<Committed, SettleError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver)
            .poll(context)
            .map(|received| received.unwrap_or(Err(SettleError::Stopped)))
    }
}

/// Resolves when an intent is durable. Dropping it does not take the intent back: if it was committed,
/// the call is sealed as `unknown`.
#[derive(Debug)]
#[must_use = "the call is open only once this has resolved"]
pub struct Opening {
    pub(crate) receiver: oneshot::Receiver<Result<Opened, OpenError>>,
}

impl Opening {
    /// Waits on a thread that runs no async tasks.
    ///
    /// # Errors
    /// [`OpenError`] when the intent is not durable; nothing may be sent then.
    pub fn wait(self) -> Result<Opened, OpenError> {
        self.receiver
            .blocking_recv()
            .unwrap_or_else(|_| Err(OpenError::stopped()))
    }
}

impl Future for Opening {
    type Output = Result<Opened, OpenError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver)
            .poll(context)
            .map(|received| received.unwrap_or_else(|_| Err(OpenError::stopped())))
    }
}

/// A call that nothing remembers: only for measuring what the rest of a gateway costs. No release has the feature.
#[cfg(feature = "bench-null-journal")]
pub(crate) fn unrecorded(
    identity: &crate::system::Identity,
    intent: &Intent,
    slot: SettleSlot,
) -> Opened {
    let subject = Subject {
        id: intent.id,
        boot: identity.boot,
        number: 0,
        opened_at: intent.opened_at,
    };
    Opened::committed(subject, slot)
}

#[cfg(feature = "bench-null-journal")]
fn forget(shared: &Shared, receiver: oneshot::Receiver<Result<Committed, SettleError>>) -> Receipt {
    shared.open_calls.fetch_sub(1, Ordering::AcqRel);
    Receipt { receiver }
}
