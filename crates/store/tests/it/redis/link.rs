//! A Redis that is gone, slow, full, read-only, or forgets its scripts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::MicroUsd;
use policy::budget::{Ask, Caps, Demand, Measure, Object, ObjectKind, Rules, Used};
use rustix::process::Signal;
use store::redis::{
    Clock, Command, Link, Place, RedisError, Reply, ReserveError, Settings, SharedBook,
};

use super::server::Server;

const NOW: i64 = 1_795_172_400_000_000;

async fn book(server: &Server, instance: &str) -> SharedBook {
    let place = Place {
        ledger: "l".to_owned(),
        instance: instance.to_owned(),
        names: [7; 32],
    };
    let book = SharedBook::new(server.link(), place, Rules::default(), Clock::Redis);
    book.link().connected(Duration::from_secs(5)).await.unwrap();
    let set = Command::new("SET").arg(book.key("epoch")).arg("one");
    book.link().one(set).await.unwrap();
    book.enter("one", "one");
    book
}

fn caps(budget: i64) -> Caps {
    Caps {
        max_budget: Some(MicroUsd::new(budget)),
        max_parallel_requests: Some(3),
        ..Caps::default()
    }
}

async fn take(
    book: &SharedBook,
    id: &str,
    caps: &Caps,
) -> Result<store::redis::Ticket, ReserveError> {
    let demand = Demand {
        object: Object::new(ObjectKind::Key, "k"),
        shown: "k",
        caps: Some(caps),
        anchor: 0,
        measure: Measure::Ruled,
    };
    let ask = Ask {
        money: MicroUsd::new(10),
        input: 1,
        output: 1,
    };
    book.reserve(id, NOW, &[demand], &ask).await
}

fn of_redis(error: ReserveError) -> RedisError {
    match error {
        ReserveError::Redis(error) => error,
        ReserveError::Exceeded(exceeded) => panic!("{exceeded}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_round_trip_before_and_one_after() {
    let server = Server::start(&[]);
    let book = book(&server, "a").await;
    let caps = caps(1_000);
    // The scripts are known afterwards.
    let first = take(&book, "1", &caps).await.unwrap();
    book.settle(&first, NOW, &Used::default()).await.unwrap();
    let before = book.link().trips();
    let ticket = take(&book, "2", &caps).await.unwrap();
    assert_eq!(book.link().trips() - before, 1);
    book.settle(&ticket, NOW, &Used::default()).await.unwrap();
    assert_eq!(book.link().trips() - before, 2);
    // Forgotten scripts are sent again.
    book.link()
        .one(Command::new("SCRIPT").arg("FLUSH"))
        .await
        .unwrap();
    take(&book, "3", &caps).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_twice_counts_once() {
    let server = Server::start(&[]);
    let book = book(&server, "a").await;
    let ticket = take(&book, "1", &caps(1_000)).await.unwrap();
    let used = Used {
        money: MicroUsd::new(4),
        ..Used::default()
    };
    for _ in 0..3 {
        book.settle(&ticket, NOW, &used).await.unwrap();
    }
    let usage = book
        .usage(&[Object::new(ObjectKind::Key, "k")], NOW)
        .await
        .unwrap();
    assert_eq!((usage[0].total.micro(), usage[0].parallel), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_never_pass_the_limit() {
    let server = Server::start(&[]);
    let books = [
        book(&server, "a").await,
        book(&server, "b").await,
        book(&server, "c").await,
    ];
    let books: Vec<_> = books.into_iter().map(Arc::new).collect();
    let caps = Caps {
        max_budget: Some(MicroUsd::new(50)),
        ..Caps::default()
    };
    let calls: Vec<_> = (0..200)
        .map(|call| {
            let (book, caps) = (books[call % 3].clone(), caps.clone());
            tokio::spawn(async move { take(&book, &call.to_string(), &caps).await.is_ok() })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        admitted += usize::from(call.await.unwrap());
    }
    assert_eq!(admitted, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_gone_or_stopped_answers_in_time() {
    let mut server = Server::start(&[]);
    let book = book(&server, "a").await;
    let caps = caps(1_000);
    take(&book, "1", &caps).await.unwrap();
    server.signal(Signal::STOP);
    let began = Instant::now();
    let error = of_redis(take(&book, "2", &caps).await.unwrap_err());
    assert!(matches!(error, RedisError::Slow { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(1));
    server.signal(Signal::CONT);
    book.link().connected(Duration::from_secs(5)).await.unwrap();
    let run = book.link().seen().run;
    server.restart();
    // Another process with another state: refused by the marker, and told apart by its name.
    let began = Instant::now();
    loop {
        let error = of_redis(take(&book, "3", &caps).await.unwrap_err());
        if error == RedisError::Epoch {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_ne!(book.link().seen().run, run);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_is_noticed() {
    let server = Server::start(&[]);
    let book = book(&server, "a").await;
    let caps = caps(1_000);
    for id in 0..3 {
        take(&book, &id.to_string(), &caps).await.unwrap();
    }
    // What a failover to a replica that lags behind looks like.
    let sequence = Command::new("SET").arg(book.key("one:seq")).number(1);
    book.link().one(sequence).await.unwrap();
    let error = of_redis(take(&book, "9", &caps).await.unwrap_err());
    assert_eq!(error, RedisError::Stale);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_and_read_only_are_said() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let book = book(&server, "a").await;
    let caps = caps(1_000);
    take(&book, "1", &caps).await.unwrap();
    let limit = |bytes: &str| {
        Command::new("CONFIG")
            .arg("SET")
            .arg("maxmemory")
            .arg(bytes)
    };
    book.link().one(limit("1")).await.unwrap();
    let error = of_redis(take(&book, "2", &caps).await.unwrap_err());
    assert_eq!(error, RedisError::OutOfMemory);
    book.link().one(limit("0")).await.unwrap();
    let replica = Command::new("REPLICAOF").arg("127.0.0.1").arg("1");
    book.link().one(replica).await.unwrap();
    let error = of_redis(take(&book, "3", &caps).await.unwrap_err());
    assert_eq!(error, RedisError::ReadOnly);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_and_not_repeated() {
    let server = Server::start(&["--requirepass", "right-canary"]);
    let settings = Settings {
        password: Some("wrong-canary".to_owned().into()),
        ..(*server.settings()).clone()
    };
    let link = Link::start(Arc::new(settings), Duration::from_secs(1));
    let mut said = String::new();
    for _ in 0..50 {
        said = link
            .one(Command::new("PING"))
            .await
            .unwrap_err()
            .to_string();
        if said.contains("WRONGPASS") {
            break;
        }
    }
    assert!(
        said.contains("WRONGPASS") && !said.contains("canary"),
        "{said}"
    );
    let settings = Settings {
        password: Some("right-canary".to_owned().into()),
        ..(*server.settings()).clone()
    };
    let link = Link::start(Arc::new(settings), Duration::from_secs(1));
    link.connected(Duration::from_secs(5)).await.unwrap();
    let pong = link.one(Command::new("PING")).await.unwrap();
    assert_eq!(pong, Reply::Text(b"PONG".to_vec()));
}

/// A connection whose answers come late.
async fn late(server: &Server, late: Arc<std::sync::atomic::AtomicU64>) -> Settings {
    use std::sync::atomic::Ordering;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let target = server.settings();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let redis = tokio::net::TcpStream::connect(("127.0.0.1", target.port));
            let (mut from, mut to) = redis.await.unwrap().into_split();
            let (mut asked, mut answered) = client.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut asked, &mut to).await });
            let late = late.clone();
            tokio::spawn(async move {
                let mut bytes = vec![0; 65_536];
                while let Ok(count @ 1..) = from.read(&mut bytes).await {
                    tokio::time::sleep(Duration::from_millis(late.load(Ordering::Relaxed))).await;
                    if answered.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Settings {
        port,
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_waited_for_and_a_too_late_one_leaves_nothing_behind() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let server = Server::start(&[]);
    let near = book(&server, "a").await;
    let delay = Arc::new(AtomicU64::new(100));
    let settings = Arc::new(late(&server, delay.clone()).await);
    let link = Link::start(settings, Duration::from_secs(3));
    let far = SharedBook::new(link, near.place().clone(), Rules::default(), Clock::Redis);
    far.link().connected(Duration::from_secs(5)).await.unwrap();
    far.enter("one", "one");
    let caps = caps(25);
    let ticket = take(&far, "1", &caps).await.unwrap();
    delay.store(700, Ordering::Relaxed);
    let error = of_redis(take(&far, "2", &caps).await.unwrap_err());
    assert!(matches!(error, RedisError::Slow { .. }), "{error}");
    // It was held all the same; giving it back follows on the same connection.
    assert!(matches!(
        take(&near, "3", &caps).await,
        Err(ReserveError::Exceeded(_))
    ));
    delay.store(0, Ordering::Relaxed);
    far.settle_of("a", "2", NOW, &Used::default())
        .await
        .unwrap();
    far.settle(&ticket, NOW, &Used::default()).await.unwrap();
    let usage = near
        .usage(&[Object::new(ObjectKind::Key, "k")], NOW)
        .await
        .unwrap();
    assert_eq!(
        (usage[0].parallel, usage[0].windows[0].3),
        (0, MicroUsd::ZERO)
    );
}
