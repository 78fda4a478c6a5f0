//! The table of content keys on disk: durable, private, shared by processes, and without a trace of what was destroyed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use store::content::{KeyTable as _, SubjectId};
use store::keys::{DataDir, KeyError};
use store::sqlite::SqliteKeyTable;

const ANNA: SubjectId = SubjectId([1; 16]);
const BERT: SubjectId = SubjectId([2; 16]);

fn holding(dir: &Path, bytes: &[u8]) -> Vec<String> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            let content = std::fs::read(entry.path()).unwrap();
            content.windows(bytes.len()).any(|window| window == bytes)
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_destroyed_key_is_in_no_file() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("d");
    let data = DataDir::create(&dir).unwrap();
    let mut keys = data.content_keys().unwrap();
    // Enough neighbours that pages are split and merged.
    for hour in 0..50_i64 {
        let many: Vec<SubjectId> = (0..100)
            .map(|at| SubjectId([u8::try_from(hour * 2 + at % 100).unwrap_or(9); 16]))
            .collect();
        keys.obtain(&many, hour, 0).unwrap();
    }
    let made = keys.obtain(&[ANNA, BERT], 7, 0).unwrap();
    let table_path = dir.join("content-keys");
    let mut table = SqliteKeyTable::open(&table_path).unwrap();
    let stored = table.subject(&ANNA).unwrap().unwrap();
    let hour = table.hour(3).unwrap().unwrap();
    assert!(!holding(&dir, &stored.wrapped).is_empty());
    assert!(!holding(&dir, &hour.wrapped).is_empty());
    assert!(
        holding(&dir, made[0].subject_key.as_slice()).is_empty(),
        "never in clear"
    );
    assert!(keys.destroy_subject(&ANNA, &made[0].id).unwrap());
    assert_eq!(keys.destroy_hours(5).unwrap(), 5);
    assert!(keys.scrub().unwrap());
    for bytes in [&stored.wrapped[..], &stored.id.0[..], &hour.wrapped[..]] {
        assert_eq!(holding(&dir, bytes), Vec::<String>::new());
    }
    assert!(keys.subject(&BERT).unwrap().is_some());
    // The other handle sees it too, and a new one.
    assert!(table.subject(&ANNA).unwrap().is_none());
    let mut again = data.content_keys().unwrap();
    assert!(again.subject(&ANNA).unwrap().is_none());
    assert_eq!(again.oldest_hour().unwrap(), Some(5));
}

#[test]
fn two_processes_agree_on_a_key() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("d");
    let data = DataDir::create(&dir).unwrap();
    let (mut one, mut two) = (data.content_keys().unwrap(), data.content_keys().unwrap());
    let first = one.obtain(&[ANNA], 7, 0).unwrap();
    let second = two.obtain(&[ANNA], 7, 0).unwrap();
    assert_eq!(first[0].subject_key, second[0].subject_key);
    assert_eq!(first[0].hour_key, second[0].hour_key);
}

#[test]
fn the_files_are_private_and_belong_together() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("d");
    let data = DataDir::create(&dir).unwrap();
    drop(data.content_keys().unwrap());
    for name in ["content.key", "content-keys"] {
        let mode = std::fs::metadata(dir.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    std::fs::remove_file(dir.join("content.key")).unwrap();
    assert!(matches!(data.content_keys(), Err(KeyError::Missing(_))));
    // Another database in its place is not taken for a table of keys.
    std::fs::write(dir.join("content.key"), [1; 32]).unwrap();
    std::fs::set_permissions(
        dir.join("content.key"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    std::fs::write(dir.join("content-keys"), b"not a database at all").unwrap();
    assert!(matches!(data.content_keys(), Err(KeyError::Content(_))));
}
