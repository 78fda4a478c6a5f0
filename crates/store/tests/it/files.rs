//! Which files there are, who may read them, and what refuses to open.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use capsule::Signer;
use ledger::Anchor;
use store::keys::{DataDir, KeyError};
use store::sqlite::{OpenError, SqliteJournal};

use crate::support::{GRACE, World, names, open, settings, settle};

#[test]
fn creating_makes_private_files_and_opening_makes_none() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("data");
    assert!(matches!(DataDir::open(&path), Err(KeyError::Missing(_))));
    assert!(!path.exists());
    let data = DataDir::create(&path).unwrap();
    assert_eq!(names(&path), ["checkpoint.key", "digest.key", "key"]);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
    for name in names(&path) {
        let found = fs::metadata(path.join(&name)).unwrap();
        assert_eq!(
            (found.permissions().mode() & 0o777, found.len()),
            (0o600, 32)
        );
    }
    let key = data.signer().unwrap().public_key();
    assert_ne!(key, data.checkpoint_signer().unwrap().public_key());
    // Again: nothing changes.
    assert_eq!(
        DataDir::create(&path)
            .unwrap()
            .signer()
            .unwrap()
            .public_key(),
        key
    );
    assert_eq!(
        data.digest_key().unwrap(),
        DataDir::open(&path).unwrap().digest_key().unwrap()
    );
}

#[test]
fn keys_that_are_short_or_open_to_all_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let data = DataDir::create(root.path()).unwrap();
    let key = root.path().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
    assert!(matches!(
        data.signer(),
        Err(KeyError::Mode { mode: 0o604, .. })
    ));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, [0; 31]).unwrap();
    assert!(matches!(
        DataDir::open(root.path()),
        Err(KeyError::Length(_))
    ));
}

#[test]
fn a_database_is_created_once_and_opened_only_if_it_exists() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("capsules.db");
    assert!(matches!(
        SqliteJournal::open(&path, settings()),
        Err(OpenError::Missing(_))
    ));
    assert_eq!(names(root.path()), Vec::<String>::new());
    drop(SqliteJournal::create(&path, settings()).unwrap());
    assert!(matches!(
        SqliteJournal::create(&path, settings()),
        Err(OpenError::Exists(_))
    ));
    let other = root.path().join("other.db");
    fs::write(&other, []).unwrap();
    assert!(matches!(
        SqliteJournal::open(&other, settings()),
        Err(OpenError::NotOurs(_))
    ));
    fs::write(&other, b"this is no database, it only lies here").unwrap();
    assert!(SqliteJournal::open(&other, settings()).is_err());
    assert!(SqliteJournal::create(&other, settings()).is_err());
}

#[test]
fn a_second_server_is_refused_until_the_first_has_ended() {
    let world = World::new();
    let ledger = world.start();
    let second = SqliteJournal::open(world.data.database(), settings());
    assert!(matches!(second, Err(OpenError::InUse(_))));
    let message = second.err().unwrap().to_string();
    assert!(message.contains("another process serves"), "{message}");
    ledger.shutdown_blocking(GRACE).unwrap();
    drop(ledger);
    world.start().shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn the_log_is_folded_in_at_the_end_and_one_database_is_left() {
    let world = World::new();
    let ledger = world.start();
    settle(&ledger, open(&ledger)).wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    drop(ledger);
    assert_eq!(
        names(world.data.root()),
        [
            "capsules.db",
            "capsules.db.lock",
            "checkpoint",
            "checkpoint.key",
            "digest.key",
            "key"
        ]
    );
}

#[test]
fn the_anchor_is_replaced_as_a_whole() {
    let root = tempfile::tempdir().unwrap();
    let mut anchor = store::anchor::FileAnchor::new(root.path().join("checkpoint"));
    assert_eq!(anchor.read().unwrap(), None);
    for note in ["first\n", "second, longer\n", "3\n"] {
        anchor.write(note).unwrap();
        assert_eq!(anchor.read().unwrap().as_deref(), Some(note));
        assert_eq!(names(root.path()), ["checkpoint"]);
    }
    let mut nowhere = store::anchor::FileAnchor::new(root.path().join("no/such/checkpoint"));
    assert!(nowhere.write("note").is_err());
}
