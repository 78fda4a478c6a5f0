//! Records of other writers, and gaps that an operator accepts.

use std::time::Duration;

use capsule::{Sealed, Signer, SigningKey, Timestamp};
use ledger::journal::{Head, Row};
use ledger::memory::Contents;
use ledger::{Damage, GapKind, LedgerError};

use crate::support::{World, id, open, plain, settle, until};

const GRACE: Duration = Duration::from_secs(10);

/// Appends a record as the reference tool does: to the table of records and to nothing else.
fn append_foreign(contents: &mut Contents, key: &SigningKey) {
    let last = contents.last().unwrap();
    let linked = plain(id()).link(last.sequence + 1, Some(&last.hash));
    let sealed = linked.seal(key, Timestamp::new(0)).unwrap();
    contents.rows.insert(sealed.sequence(), row(&sealed));
}

fn row(sealed: &Sealed) -> Row {
    Row {
        sequence: sealed.sequence(),
        id: sealed.id().to_string(),
        capsule_type: sealed.capsule_type().as_str().to_owned(),
        previous_hash: sealed.previous_hash().map(|hash| hash.hex()),
        data: sealed.content().to_vec(),
        hash: sealed.hash().hex(),
        signature: sealed.signature_hex().to_owned(),
        signature_pq: String::new(),
        signed_at: Some(sealed.signed_at().to_string()),
        signed_by: Some(sealed.signed_by().to_owned()),
        session_id: None,
    }
}

fn own_key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

#[test]
fn records_by_this_ledgers_key_are_adopted_while_it_runs() {
    let world = World::new();
    let ledger = world.start();
    for _ in 0..3 {
        world
            .memory
            .tamper(|contents| append_foreign(contents, &own_key()));
        settle(&ledger, open(&ledger)).wait().unwrap();
    }
    assert_eq!(ledger.status().adopted, 3);
    ledger.shutdown_blocking(GRACE).unwrap();
    let facts = world.check();
    assert_eq!(facts.records, 1 + 1 + 3 + 3 + 1);
    assert_eq!(world.memory.contents().adopted.len(), 3);
    // The tree holds them too.
    world.start().shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn records_by_this_ledgers_key_are_adopted_at_start() {
    let world = World::new();
    world.start().shutdown_blocking(GRACE).unwrap();
    world.memory.tamper(|contents| {
        for _ in 0..600 {
            append_foreign(contents, &own_key());
        }
    });
    let (ledger, recovery) = world.try_start_with(world.options()).unwrap();
    assert_eq!(recovery.adopted, 600);
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
    assert_eq!(world.memory.contents().adopted, [(3, 602)]);
}

#[test]
fn records_by_another_key_stop_the_ledger() {
    let world = World::new();
    let ledger = world.start();
    let opened = open(&ledger);
    let before = world.memory.contents();
    let stranger = SigningKey::from_seed([66; 32]);
    world
        .memory
        .tamper(|contents| append_foreign(contents, &stranger));
    assert!(settle(&ledger, opened).wait().is_err());
    until("it stopped", || !ledger.admitting());
    assert!(ledger.status().last_error.unwrap().contains("unknown key"));
    let result = ledger.shutdown_blocking(GRACE);
    assert!(matches!(
        result,
        Err(LedgerError::Stopped(_) | LedgerError::Damage(_))
    ));
    drop(ledger);
    let again = world.try_start_with(world.options());
    assert!(matches!(
        again,
        Err(LedgerError::Damage(Damage::UnknownKey { sequence: 2, .. }))
    ));
    // Without the stranger's record the call that was open is recovered.
    world.memory.tamper(|contents| *contents = before);
    world.start().shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn the_label_of_a_key_does_not_make_it_ours() {
    struct Labelled(SigningKey);
    impl Signer for Labelled {
        fn sign(&self, message: &[u8]) -> Result<[u8; 64], capsule::SignError> {
            self.0.sign(message)
        }
        fn public_key(&self) -> capsule::PublicKey {
            SigningKey::public_key(&self.0)
        }
        fn fingerprint(&self) -> String {
            Signer::fingerprint(&own_key())
        }
    }
    let world = World::new();
    world.start().shutdown_blocking(GRACE).unwrap();
    world.memory.tamper(|contents| {
        let last = contents.last().unwrap();
        let linked = plain(id()).link(last.sequence + 1, Some(&last.hash));
        let stranger = Labelled(SigningKey::from_seed([66; 32]));
        let sealed = linked.seal(&stranger, Timestamp::new(0)).unwrap();
        contents.rows.insert(sealed.sequence(), row(&sealed));
    });
    let again = world.try_start_with(world.options());
    assert!(matches!(
        again,
        Err(LedgerError::Damage(Damage::UnknownKey { .. }))
    ));
}

fn adopt(world: &World, reason: &str) -> Result<ledger::Gap, LedgerError> {
    let (journal, mut anchor) = (Box::new(world.memory.clone()), world.anchor.clone());
    ledger::adopt(
        journal,
        &world.signers,
        &mut anchor,
        &world.options(),
        reason,
    )
}

#[test]
fn a_rolled_back_ledger_is_adopted_by_a_record() {
    let world = World::new();
    let old = world.memory.contents();
    let ledger = world.start();
    settle(&ledger, open(&ledger)).wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    world.memory.tamper(|contents| *contents = old);
    assert!(world.try_start_with(world.options()).is_err());
    let gap = adopt(&world, "restored from the backup of Monday").unwrap();
    assert_eq!((gap.kind, gap.records), (GapKind::Behind, 1));
    assert_eq!(gap.checkpoint.unwrap().0, 4);
    world.start().shutdown_blocking(GRACE).unwrap();
    let facts = world.check();
    assert_eq!(facts.events, ["genesis", "adopt", "boot", "shutdown"]);
    // Once is enough.
    assert_eq!(adopt(&world, "again").unwrap().kind, GapKind::None);
    world.check();
}

#[test]
fn a_cut_tail_and_a_missing_checkpoint_are_adopted_an_edit_never() {
    let world = World::new();
    let ledger = world.start();
    for _ in 0..5 {
        settle(&ledger, open(&ledger)).wait().unwrap();
    }
    ledger.shutdown_blocking(GRACE).unwrap();
    world.memory.tamper(|contents| {
        contents.rows.pop_last();
        contents.rows.pop_last();
    });
    assert_eq!(adopt(&world, "cut").unwrap().kind, GapKind::Behind);
    assert!(
        world
            .memory
            .contents()
            .attachments
            .keys()
            .all(|at| *at <= 5)
    );
    world.start().shutdown_blocking(GRACE).unwrap();
    world.anchor.set(None);
    assert_eq!(adopt(&world, "lost").unwrap().kind, GapKind::Missing);
    world.start().shutdown_blocking(GRACE).unwrap();
    let head: Option<Head> = world.memory.contents().head;
    world.memory.tamper(|contents| {
        if let Some(row) = contents.rows.get_mut(&2) {
            row.data = String::from_utf8_lossy(&row.data)
                .replace("agents", "agentz")
                .into_bytes();
        }
    });
    assert!(matches!(
        adopt(&world, "edited"),
        Err(LedgerError::Damage(Damage::Record { sequence: 2, .. }))
    ));
    assert_eq!(world.memory.contents().head, head);
}
