//! A writer beside a ledger whose key changes.

use std::sync::Arc;

use ledger::{Clock, Ledger, Options, Signers, SystemClock};
use store::shared::{SharedChain, SharedError};
use store::sqlite::SharedFile;

use crate::support::{GRACE, World, id, options, record};

#[test]
fn the_old_key_is_refused_once_the_rotation_is_sealed() {
    let world = World::new();
    let mut file = SharedFile::new(world.data.database());
    let (old, now) = (world.data.signer().unwrap(), SystemClock.now());
    file.check(&old).unwrap();
    file.append(vec![record(id(), None)], &old, now, false)
        .unwrap();
    let heir = world.data.heir().unwrap();
    // Not before its time either.
    let early = file.append(vec![record(id(), None)], &heir, now, false);
    assert!(
        matches!(early, Err(SharedError::OtherKey { .. })),
        "{early:?}"
    );
    ledger::rotate(
        Box::new(world.journal()),
        &world.signers,
        &heir,
        &mut world.data.anchor(),
        &options(),
    )
    .unwrap();
    // The key file is replaced later than the record is sealed.
    let late = file.append(vec![record(id(), None)], &old, now, false);
    assert!(
        matches!(late, Err(SharedError::OtherKey { .. })),
        "{late:?}"
    );
    world.data.promote_heir(now).unwrap();
    let new = world.data.signer().unwrap();
    file.append(vec![record(id(), None)], &new, now, true)
        .unwrap();
    file.append(vec![record(id(), None)], &new, now, false)
        .unwrap();
    file.close();
    // The ledger goes on from there.
    let signers = Signers {
        records: Arc::new(new),
        ..world.signers.clone()
    };
    let options = Options {
        earlier_keys: world.data.earlier_keys().unwrap(),
        ..options()
    };
    let anchor = Box::new(world.data.anchor());
    let (ledger, _) = Ledger::start(Box::new(world.journal()), &signers, anchor, options).unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    // Around the rotation, which is record 2.
    assert_eq!(world.reader().adopted().unwrap(), [(1, 1), (3, 4)]);
}
