//! How a state is built among processes: what is handed in, and what is cleaned up.

use std::sync::Arc;
use std::time::Duration;

use policy::budget::Rules;
use store::redis::{Clock, Command, Envelope, Place, RedisError, SharedBook, Team};

use super::server::Server;

async fn team(server: &Server, instance: &str) -> Team {
    let place = Place {
        ledger: "l".to_owned(),
        instance: instance.to_owned(),
        names: [7; 32],
    };
    let book = SharedBook::new(server.link(), place, Rules::default(), Clock::Redis);
    let link = server.link();
    book.link()
        .connected(Duration::from_secs(30))
        .await
        .unwrap();
    link.connected(Duration::from_secs(30)).await.unwrap();
    let envelope = Envelope::new(&[9; 32]).unwrap();
    Team::new(Arc::new(book), link, envelope)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_handed_in_that_nobody_reads() {
    let server = Server::start(&[]);
    let (builder, other) = (team(&server, "a").await, team(&server, "b").await);
    let held = |id: &str| vec![(id.to_owned(), b"packed".to_vec())];
    // Nobody builds.
    assert!(!other.hand_in("n", &held("0")).await.unwrap());
    let marker = builder.lead("n", "").await.unwrap().unwrap();
    assert!(other.hand_in("n", &held("1")).await.unwrap());
    assert!(!other.hand_in("another", &held("1")).await.unwrap());
    let read = builder.handed_in("n").await.unwrap();
    assert_eq!(read, [("1".to_owned(), "b".to_owned(), b"packed".to_vec())]);
    // Read: whoever comes now is told.
    assert!(!other.hand_in("n", &held("2")).await.unwrap());
    assert_eq!(builder.handed_in("n").await.unwrap(), read);
    let ready = marker.replacen("build", "ready", 1);
    assert!(builder.built(&marker, &ready).await.unwrap());
    assert!(!other.hand_in("n", &held("3")).await.unwrap());
}

/// A builder that took too long finds another one at work.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_builder_cleans_nothing_of_the_next_one() {
    let server = Server::start(&[]);
    let (late, next) = (team(&server, "a").await, team(&server, "b").await);
    let old = late.lead("one", "").await.unwrap().unwrap();
    // The place of the builder was kept for as long as it may take.
    let free = Command::new("DEL").arg(late.book().key("lead"));
    late.book().link().one(free).await.unwrap();
    next.lead("two", &old).await.unwrap().unwrap();
    let held = [("1".to_owned(), b"packed".to_vec())];
    assert!(next.hand_in("two", &held).await.unwrap());
    let error = late.clean("one", &old).await.unwrap_err();
    assert_eq!(error, RedisError::Epoch);
    assert!(!late.built(&old, "ready:one:x").await.unwrap());
    assert_eq!(next.handed_in("two").await.unwrap().len(), 1);
}

/// The marker and all numbers are there again, and what happened since they were written is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_restarted_from_a_copy_is_another_one() {
    use policy::budget::{Ask, Caps, Demand, Measure, Object, ObjectKind};
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let team = team(&server, "a").await;
    let book = team.book();
    let building = team.lead("one", "").await.unwrap().unwrap();
    let ready = building.replacen("build", "ready", 1);
    assert!(team.built(&building, &ready).await.unwrap());
    book.enter("one", &ready);
    let caps = Caps::default();
    let demands = [Demand {
        object: Object::new(ObjectKind::Key, "k"),
        shown: "k",
        caps: Some(&caps),
        anchor: 0,
        measure: Measure::Ruled,
    }];
    let ask = Ask::default();
    book.reserve("1", 0, &demands, &ask).await.unwrap();
    server.restart();
    // The state is the one that is known, as far as it tells.
    let link = server.link();
    link.connected(Duration::from_secs(30)).await.unwrap();
    let epoch = Command::new("GET").arg(book.key("epoch"));
    assert_eq!(link.one(epoch).await.unwrap().text(), Some(ready));
    for id in 2..200 {
        let refused = book
            .reserve(&id.to_string(), 0, &demands, &ask)
            .await
            .expect_err("another process of Redis");
        if refused == RedisError::Epoch.into() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the connection was not made again");
}
