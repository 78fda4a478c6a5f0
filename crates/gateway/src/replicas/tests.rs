//! What a call holds while the state that it was reserved in is replaced, in the orders that clocks rarely give.

#[expect(dead_code, reason = "other tests restart it")]
#[path = "../../../store/tests/it/redis/server.rs"]
mod server;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use policy::MicroUsd;
use policy::budget::{Ask, Caps, Demand, Measure, Object, ObjectKind, Rules};
use rustix::process::Signal;
use store::redis::Command;

use self::server::Server;
use super::{Refused, Replicas, SharedHold, Sharing, WhenLost};

const ID: &str = "01990000-0000-7000-8000-000000000001";

struct Site {
    redis: Server,
    replicas: Arc<Replicas>,
    caps: Caps,
}

impl Site {
    /// A process that works in the state `one`.
    async fn start() -> Self {
        let redis = Server::start(&[]);
        let sharing = Sharing {
            settings: redis.settings(),
            ledger: "l".to_owned(),
            instance: "me".to_owned(),
            truth: Arc::new(std::path::PathBuf::new()),
            when_lost: WhenLost::Refuse,
            lease: Duration::from_secs(10),
        };
        let clock = Arc::new(ledger::SystemClock);
        let replicas = Replicas::start(sharing, &[7; 32], Rules::default(), clock)
            .expect("a key for messages");
        let link = replicas.book().link();
        link.connected(Duration::from_secs(30))
            .await
            .expect("connected");
        let site = Self {
            redis,
            replicas,
            caps: Caps {
                max_budget: Some(MicroUsd::new(100)),
                ..Caps::default()
            },
        };
        site.ready("one").await;
        site
    }

    async fn mark(&self, word: &str, name: &str) -> String {
        let book = self.replicas.book();
        let marker = format!("{word}:{name}:{}", book.link().seen().run);
        let set = Command::new("SET").arg(book.key("epoch")).arg(&marker);
        book.link().one(set).await.expect("written");
        marker
    }

    /// Somebody else says that the state is built; this process hears it.
    async fn ready(&self, name: &str) {
        let marker = self.mark("ready", name).await;
        self.replicas.join(name, &marker);
        self.replicas.hear(Instant::now());
        self.replicas.ready.send_replace(true);
    }

    /// Somebody else begins to build the state; this process hears it.
    async fn build(&self, name: &str) {
        self.mark("build", name).await;
        self.replicas.leave();
    }

    fn demand(&self) -> Demand<'_> {
        Demand {
            object: Object::new(ObjectKind::Key, "k"),
            shown: "k",
            caps: Some(&self.caps),
            anchor: 0,
            measure: Measure::Ruled,
        }
    }

    async fn reserve(&self) -> SharedHold {
        let demand = self.demand();
        let ask = Ask {
            money: MicroUsd::new(60),
            ..Ask::default()
        };
        let now = self.replicas.now();
        match self
            .replicas
            .reserve(ID.to_owned(), now, &[demand], &ask)
            .await
        {
            Ok(hold) => hold,
            Err(Refused::Lost) => panic!("Redis did not answer"),
            Err(Refused::Exceeded(exceeded)) => panic!("{exceeded}"),
        }
    }
}

#[tokio::test]
async fn what_is_handed_in_in_time_is_held_in_the_next_state() {
    let site = Site::start().await;
    let hold = site.reserve().await;
    assert!(hold.is_held());
    site.build("two").await;
    assert!(!hold.is_held(), "sent while the state is built");
    assert!(site.replicas.hand_in("two").await.expect("an answer"));
    let handed_in = site.replicas.team.handed_in("two").await.expect("read");
    assert_eq!(handed_in.len(), 1);
    site.ready("two").await;
    assert!(hold.is_held());
}

/// The builder has read what was handed in before this process came: the new state does not know the reservation, so that
/// the call must not be sent.
#[tokio::test]
async fn what_is_handed_in_too_late_is_held_no_longer() {
    let site = Site::start().await;
    let hold = site.reserve().await;
    site.build("two").await;
    let handed_in = site.replicas.team.handed_in("two").await.expect("read");
    assert!(handed_in.is_empty());
    assert!(!site.replicas.hand_in("two").await.expect("an answer"));
    site.ready("two").await;
    assert!(!hold.is_held(), "a free ride");
}

/// The state was built before this process even saw that it is: what it tries to hand in is not taken.
#[tokio::test]
async fn what_is_handed_in_after_the_end_is_held_no_longer() {
    let site = Site::start().await;
    let hold = site.reserve().await;
    site.build("two").await;
    site.mark("ready", "two").await;
    assert!(!site.replicas.hand_in("two").await.expect("an answer"));
    site.ready("two").await;
    assert!(!hold.is_held(), "a free ride");
}

/// Nobody knows whether Redis took it.
#[tokio::test]
async fn what_was_handed_in_without_an_answer_is_held_no_longer() {
    let site = Site::start().await;
    let hold = site.reserve().await;
    site.build("two").await;
    site.redis.signal(Signal::STOP);
    site.replicas
        .hand_in("two")
        .await
        .expect_err("no answer of a stopped process");
    site.redis.signal(Signal::CONT);
    let link = site.replicas.book().link();
    loop {
        // The connection is made again when the answer is too late.
        let ping = link.one(Command::new("PING")).await;
        if ping.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    site.ready("two").await;
    assert!(!hold.is_held(), "a free ride");
}

/// The old amount was handed in while the answer about the new one was on its way.
#[tokio::test]
async fn an_amount_that_the_next_state_does_not_know_is_not_held() {
    let site = Site::start().await;
    let mut hold = site.reserve().await;
    let now = site.replicas.now();
    let handed_in = async {
        // What `hand_in` does first; the reply to the change comes after it.
        site.replicas.lock().state = Some(Arc::from("two"));
    };
    let demands = [site.demand()];
    let more = hold.exchange(now, &demands, MicroUsd::new(90));
    let (changed, ()) = tokio::join!(more, handed_in);
    assert!(matches!(changed, Err(Refused::Lost)));
}

/// An id whose reply is on its way while the state is replaced.
#[tokio::test]
async fn a_reservation_of_a_state_that_has_ended_is_none() {
    let site = Site::start().await;
    let (now, ask) = (site.replicas.now(), Ask::default());
    let demands = [site.demand()];
    let reserve = site.replicas.reserve(ID.to_owned(), now, &demands, &ask);
    let ended = async {
        site.replicas.lock().state = Some(Arc::from("two"));
    };
    let (reserved, ()) = tokio::join!(reserve, ended);
    assert!(matches!(reserved, Err(Refused::Lost)));
    assert!(site.replicas.lock().held.is_empty());
    assert_eq!(site.replicas.alone.load(Ordering::Relaxed), 0);
}
