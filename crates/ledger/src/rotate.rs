//! `keys rotate`: the old key seals a record that names the new one, and the new one signs that it takes over.

use capsule::{PublicKey, Signer};

use crate::{
    anchor::Anchor,
    audit::rotation_message,
    checkpoint,
    error::LedgerError,
    inspect::{check_anchor, check_genesis, check_head, load_tree},
    journal::Journal,
    options::Options,
    start::{Signers, commit_once, publish_once, row_keys, sequencer},
    system::{Identity, Scribe, fresh},
    work::{Seal, Work},
};

/// A rotation that is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// The key that sealed so far, and sealed the rotation.
    pub old: PublicKey,
    /// The key that seals from the next record on.
    pub new: PublicKey,
    /// Sequence of the rotation record.
    pub sequence: u64,
}

/// Seals the change from the key of `signers` to `heir`, as the last record of a ledger that nobody runs.
///
/// The record names both keys and holds the new key's signature over ledger, keys and sequence, so that a verifier
/// who knows the first key of a ledger can follow it to the last.
///
/// # Errors
/// When the ledger is not whole, or storage, anchor or one of the signers fail.
pub fn rotate(
    mut journal: Box<dyn Journal>,
    signers: &Signers,
    heir: &dyn Signer,
    anchor: &mut dyn Anchor,
    options: &Options,
) -> Result<Rotation, LedgerError> {
    let chain = options.chain.clone();
    let ledger = journal.ledger_id(&chain)?.ok_or(LedgerError::NotCreated)?;
    let keys = row_keys(signers, options);
    check_genesis(journal.as_mut(), &chain, &ledger, &keys)?;
    let anchored = anchor.read().map_err(LedgerError::Anchor)?;
    let head = check_head(journal.as_mut(), &chain, &keys)?;
    let origin = checkpoint::origin(&ledger, &chain);
    let (mut edge, signed) = load_tree(journal.as_mut(), &chain, &origin, signers, &head)?;
    check_anchor(
        journal.as_mut(),
        &chain,
        &origin,
        signers,
        anchored,
        &edge,
        signed,
    )?;
    let identity = Identity {
        ledger,
        boot: fresh(options.clock.as_ref())?,
    };
    let scribe = Scribe::new(identity, options);
    let mut sequencer = sequencer(journal, signers, options, identity.boot, Some(head));
    let now = options.clock.now();
    // Records of other writers first: the signature of the new key names the sequence of the rotation.
    let caught_up = commit_once(&mut sequencer, &mut [], now)?;
    caught_up.adopted.iter().for_each(|leaf| edge.push(*leaf));
    let rotation = Rotation {
        old: signers.records.public_key(),
        new: heir.public_key(),
        sequence: sequencer
            .head
            .map_or(head.sequence, |head| head.sequence)
            .saturating_add(1),
    };
    sequencer.only_at = Some(rotation.sequence);
    let message = rotation_message(
        &ledger.to_string(),
        &rotation.old,
        &rotation.new,
        rotation.sequence,
    );
    let signature = heir
        .sign(&message)
        .map_err(|error| LedgerError::Record(format!("the new key cannot sign: {error}")))?;
    let record = scribe.rotation(&rotation, &signature, now)?;
    let mut works = [Work::Seal(Box::new(Seal::plain(record, None)))];
    let attempt = commit_once(&mut sequencer, &mut works, now)?;
    for sealed in attempt.sealed.iter().flatten() {
        edge.push(crate::tree::leaf_hash(&sealed.record_json()));
    }
    sequencer.only_at = None;
    publish_once(&mut sequencer, edge, &ledger, signers, anchor, now)?;
    sequencer.journal.close()?;
    Ok(rotation)
}
