//! Keys of content that several instances share in PostgreSQL.

use std::path::Path;

use store::content::{ContentKeys, SubjectId};
use store::keys::{DataDir, KeyError};
use store::postgres::{PostgresJournal, Settings, Target};

use super::pg_server::Server;

const ANNA: SubjectId = SubjectId([1; 16]);
const BERT: SubjectId = SubjectId([2; 16]);

struct Site {
    server: Server,
    name: String,
    target: Target,
    folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Option<Site> {
        let server = Server::start(&[])?;
        let url = server.database();
        let target = Target::parse(&url).unwrap();
        drop(PostgresJournal::create(&target, Settings::default()).unwrap());
        let name = url.rsplit('/').next().unwrap().to_owned();
        let folder = tempfile::tempdir().unwrap();
        Some(Site {
            server,
            name,
            target,
            folder,
        })
    }

    /// A data directory with the key file of `like`, as an operator copies it.
    fn instance(&self, name: &str, like: Option<&str>) -> DataDir {
        let dir = self.folder.path().join(name);
        let data = DataDir::create(&dir).unwrap();
        if let Some(like) = like {
            let key = Path::new("content.key");
            std::fs::copy(self.folder.path().join(like).join(key), dir.join(key)).unwrap();
        } else {
            data.make_content_key().unwrap();
        }
        data
    }

    fn keys(&self, data: &DataDir) -> ContentKeys {
        data.shared_content_keys(&self.target).unwrap()
    }
}

#[test]
fn what_one_instance_destroys_is_gone_for_all() {
    let Some(site) = Site::start() else { return };
    let (one, two) = (
        site.instance("one", None),
        site.instance("two", Some("one")),
    );
    let (mut one, mut two) = (site.keys(&one), site.keys(&two));
    assert!(one.are_shared());
    let made = one.obtain(&[ANNA, BERT, ANNA], 5, 0).unwrap();
    let seen = two.obtain(&[BERT, ANNA], 5, 0).unwrap();
    assert_eq!(made[0].subject_key, seen[1].subject_key);
    assert_eq!(made[0].subject_key, made[2].subject_key);
    assert_eq!(made[1].subject_key, seen[0].subject_key);
    assert_eq!(made[0].hour_key, seen[0].hour_key);
    two.obtain(&[ANNA], 6, 0).unwrap();
    assert!(two.destroy_subject(&ANNA, &made[0].id).unwrap());
    assert!(one.subject(&ANNA).unwrap().is_none());
    assert!(one.subject(&BERT).unwrap().is_some());
    assert!(!one.destroy_subject(&ANNA, &made[0].id).unwrap());
    assert_eq!(one.destroy_hours(6).unwrap(), 1);
    assert!(two.hour(5).unwrap().is_none());
    assert_eq!(two.oldest_hour().unwrap(), Some(6));
    assert!(two.scrub().unwrap());
    // A subject that comes back has another key, the same one at both.
    let again = one.obtain(&[ANNA], 6, 0).unwrap();
    assert_ne!(again[0].subject_key, made[0].subject_key);
    assert_eq!(two.subject(&ANNA).unwrap().unwrap().id, again[0].id);
}

#[test]
fn many_at_once_make_one_key_each() {
    let Some(site) = Site::start() else { return };
    let data = site.instance("one", None);
    let subjects: Vec<SubjectId> = (0..100).map(|at| SubjectId([at; 16])).collect();
    let found: Vec<_> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|at| {
                let (mut keys, mut subjects) = (site.keys(&data), subjects.clone());
                if at % 2 == 1 {
                    subjects.reverse();
                }
                scope.spawn(move || {
                    let mut made = keys.obtain(&subjects, 5, 0).unwrap();
                    made.sort_by_key(|pair| pair.subject);
                    made.into_iter().map(|pair| pair.id).collect::<Vec<_>>()
                })
            })
            .collect();
        makers
            .into_iter()
            .map(|maker| maker.join().unwrap())
            .collect()
    });
    assert!(found.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn an_instance_with_another_key_file_is_refused() {
    let Some(site) = Site::start() else { return };
    let (one, other) = (site.instance("one", None), site.instance("other", None));
    drop(site.keys(&one));
    let refused = other.shared_content_keys(&site.target).unwrap_err();
    assert!(matches!(refused, KeyError::OtherContentKey(_)), "{refused}");
    drop(site.keys(&one));
}

/// An instance that had its keys in a file of its own.
#[test]
fn keys_of_a_file_move_into_the_database() {
    let Some(site) = Site::start() else { return };
    let data = site.instance("one", None);
    let made = data.content_keys().unwrap().obtain(&[ANNA], 5, 0).unwrap();
    let mut keys = site.keys(&data);
    assert_eq!(
        keys.subject(&ANNA).unwrap().unwrap().secret,
        made[0].subject_key
    );
    assert_eq!(keys.hour(5).unwrap().unwrap(), made[0].hour_key);
    assert!(!site.folder.path().join("one/content-keys").exists());
    drop(site.keys(&data));
    // Another one that made a key for the same person meanwhile must not lose it silently.
    let two = site.instance("two", Some("one"));
    drop(two.content_keys().unwrap().obtain(&[ANNA], 7, 0).unwrap());
    let refused = two.shared_content_keys(&site.target).unwrap_err();
    assert!(matches!(refused, KeyError::OwnContentKeys(_)), "{refused}");
    assert!(site.folder.path().join("two/content-keys").exists());
}

#[test]
fn a_lost_connection_is_made_again() {
    let Some(site) = Site::start() else { return };
    let mut keys = site.keys(&site.instance("one", None));
    let made = keys.obtain(&[ANNA], 5, 0).unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE pid <> pg_backend_pid() AND datname = current_database()";
    site.server.sql(&site.name, end);
    assert_eq!(keys.subject(&ANNA).unwrap().unwrap().id, made[0].id);
}
