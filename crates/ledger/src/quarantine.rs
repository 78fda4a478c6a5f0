//! What becomes of a record that the store does not take: a minimal record stands for it, and its
//! bytes go to a table of their own. Its neighbours are never affected.

use capsule::{Draft, Hash, Id, Timestamp};

use crate::{
    error::LedgerError,
    ids::new_id,
    journal::Quarantined,
    sequencer::Refusal,
    signing::draft_content,
    system::{Event, Scribe, draft},
    work::Seal,
};

/// After this many refusals nothing smaller is left to try.
pub(crate) const MAX_STRIKES: u8 = 3;

/// Replaces what the item wanted to store by something that the store can take.
///
/// First the minimal record keeps the id of the call; if that is refused too (the id is taken) it gets
/// a new one. A call that somebody settled before gets no second record, only the quarantine entry.
pub(crate) fn replace(
    seal: &mut Seal,
    refusal: Refusal,
    scribe: &Scribe,
    at: Timestamp,
) -> Result<(), LedgerError> {
    seal.strikes += 1;
    let reason = match &refusal {
        Refusal::Store(reason) => reason.clone(),
        Refusal::AlreadySettled => "the call had been settled".to_owned(),
    };
    let refused = seal.draft.take();
    let refused_id = refused.as_ref().map(Draft::id);
    let digest = match &seal.quarantine {
        Some(entry) => entry.digest,
        None => {
            let bytes = content(refused, seal.attachment.take());
            let digest = Hash::of(&bytes);
            let intent = seal.subject.map(|subject| (subject.boot, subject.number));
            seal.quarantine = Some(Quarantined {
                record: None,
                intent,
                reason,
                digest,
                bytes,
                at,
            });
            digest
        }
    };
    if matches!(refusal, Refusal::AlreadySettled) {
        return Ok(());
    }
    let wanted = seal.subject.map(|subject| subject.id).or(refused_id);
    if seal.strikes == MAX_STRIKES
        && let Some(entry) = &mut seal.quarantine
    {
        // The bytes themselves may be what the store does not take; their digest stays.
        entry.bytes = Vec::new();
    }
    let id = match wanted {
        Some(id) if seal.strikes == 1 => id,
        _ => new_id(at)?,
    };
    let stand_in = scribe.unknown(
        Event::Quarantined,
        seal.subject.as_ref(),
        id,
        Some(&digest),
        at,
    )?;
    seal.draft = Some(draft(&stand_in)?);
    note_record(seal, id);
    Ok(())
}

fn note_record(seal: &mut Seal, id: Id) {
    if let Some(entry) = &mut seal.quarantine {
        entry.record = Some(id);
    }
}

/// Content of the draft, if it can be had, then the attachment.
///
/// A draft gives its content only when it is linked; place 0 without predecessor is as good as any
/// for bytes that are kept for an operator's eyes.
fn content(draft: Option<Draft>, attachment: Option<Vec<u8>>) -> Vec<u8> {
    let mut bytes = draft.map(draft_content).unwrap_or_default();
    bytes.extend(attachment.unwrap_or_default());
    bytes
}
