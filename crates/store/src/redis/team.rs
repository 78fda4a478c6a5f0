//! The processes that share a book: who lives, which state they work in, what changed, and how a new state is built.
//!
//! Keys of a ledger that belong to no state: `epoch` (the marker of the state), `instances` (last sign of life of each),
//! `feed` (a stream of sealed messages), `lead` (who builds). A marker is `ready:NAME:RUN` or `build:NAME:RUN`; RUN is the
//! Redis process that the state was built on, so that another process is never taken for it.

use std::sync::Arc;
use std::time::Duration;

use super::RedisError;
use super::book::SharedBook;
use super::envelope::Envelope;
use super::link::{Link, one};
use super::script::Script;
use super::wire::{Command, Reply};

static BEAT: Script = Script::new(include_str!("scripts/beat.lua"));
static LEAD: Script = Script::new(include_str!("scripts/lead.lua"));
static SWAP: Script = Script::new(include_str!("scripts/swap.lua"));
static HAND_IN: Script = Script::new(include_str!("scripts/hand_in.lua"));
static HANDED_IN: Script = Script::new(include_str!("scripts/handed_in.lua"));
static CLEAN: Script = Script::new(include_str!("scripts/clean.lua"));

/// Messages that the feed keeps; far more than arrive while somebody looks away for a second.
const KEPT: i64 = 10_000;
/// How long a look at the feed waits for something new.
const LOOK: Duration = Duration::from_millis(200);
/// How long somebody may take to build a state before another one tries.
const BUILDING: Duration = Duration::from_secs(30);

/// The state of all processes together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// There is none, or one that belongs to another Redis process.
    None,
    /// Somebody builds the named one.
    Build(String),
    /// The named one is in use.
    Ready(String),
}

/// What a sign of life told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Redis' clock, microseconds since the Unix epoch.
    pub now: i64,
    /// The state.
    pub epoch: Epoch,
    /// The marker as it stands there.
    pub marker: String,
    /// Processes whose lease is over.
    pub dead: Vec<String>,
    /// The connection that this was seen on.
    pub connection: u64,
}

/// This process among those that share a book.
#[derive(Debug)]
pub struct Team {
    book: Arc<SharedBook>,
    /// A connection of its own: it waits for news.
    link: Link,
    envelope: Envelope,
}

impl Team {
    /// `link` is used by nothing else.
    #[must_use]
    pub fn new(book: Arc<SharedBook>, link: Link, envelope: Envelope) -> Self {
        Self {
            book,
            link,
            envelope,
        }
    }

    /// The book.
    #[must_use]
    pub fn book(&self) -> &Arc<SharedBook> {
        &self.book
    }

    fn me(&self) -> &str {
        &self.book.place().instance
    }

    /// Gives a sign of life and looks at the state.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn beat(&self, lease: Duration) -> Result<Beat, RedisError> {
        let seen = self.link.seen();
        let keys = [self.book.key("instances"), self.book.key("epoch")];
        let micros = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        let args = [
            self.me().as_bytes().to_vec(),
            micros.to_string().into_bytes(),
        ];
        let reply = BEAT.run(&self.link, &[&keys[0], &keys[1]], &args).await?;
        // The book's connection and this one may end at different processes while a failover is under way.
        let same = self.book.link().seen().run == seen.run && self.link.seen() == seen;
        if !same {
            return Err(RedisError::Protocol(
                "the two connections end at different processes",
            ));
        }
        let reply = reply.list();
        let marker = reply.get(1).and_then(Reply::text).unwrap_or_default();
        let mut parts = marker.split(':');
        let (word, name, run) = (parts.next(), parts.next(), parts.next());
        let name = name.unwrap_or_default().to_owned();
        let epoch = match (word, run) {
            (Some("ready"), Some(run)) if run == seen.run => Epoch::Ready(name),
            (Some("build"), Some(run)) if run == seen.run => Epoch::Build(name),
            _ => Epoch::None,
        };
        let dead = reply.get(2).map(Reply::list).unwrap_or_default();
        Ok(Beat {
            now: reply.first().and_then(Reply::whole).unwrap_or(0),
            epoch,
            marker,
            dead: dead.iter().filter_map(Reply::text).collect(),
            connection: seen.connection,
        })
    }

    /// Where the feed ends now.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn end_of_feed(&self) -> Result<String, RedisError> {
        let last = Command::new("XREVRANGE")
            .arg(self.book.key("feed"))
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg("1");
        let reply = self.link.one(last).await?;
        let id = reply
            .list()
            .first()
            .and_then(|entry| entry.list().first()?.text());
        Ok(id.unwrap_or_else(|| "0-0".to_owned()))
    }

    /// Waits a moment for messages after `last`, which moves on. What is no message of ours is left out and counted.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn news(&self, last: &mut String) -> Result<(Vec<Vec<u8>>, usize), RedisError> {
        let feed = self.book.key("feed");
        let read = Command::new("XREAD")
            .arg("COUNT")
            .arg("500")
            .arg("BLOCK")
            .number(i64::try_from(LOOK.as_millis()).unwrap_or(200))
            .arg("STREAMS")
            .arg(&feed)
            .arg(&*last);
        let within = LOOK + Duration::from_millis(500);
        let reply = one(self.link.send_within(vec![read], within).await?)?;
        let (mut messages, mut foreign) = (Vec::new(), 0);
        for stream in reply.list() {
            for entry in stream.list().get(1).map(Reply::list).unwrap_or_default() {
                if let Some(id) = entry.list().first().and_then(Reply::text) {
                    *last = id;
                }
                let fields = entry.list().get(1).map(Reply::list).unwrap_or_default();
                let sealed = fields.get(1).and_then(Reply::bytes);
                match sealed.and_then(|sealed| self.envelope.open(&feed, sealed)) {
                    Some(message) => messages.push(message),
                    None => foreign += 1,
                }
            }
        }
        Ok((messages, foreign))
    }

    /// Sends a message to everybody, this process included.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn tell(&self, message: &[u8]) -> Result<(), RedisError> {
        let feed = self.book.key("feed");
        let sealed = self
            .envelope
            .seal(&feed, message)
            .ok_or(RedisError::Protocol("a message could not be sealed"))?;
        let add = Command::new("XADD")
            .arg(&feed)
            .arg("MAXLEN")
            .arg("~")
            .number(KEPT)
            .arg("*")
            .arg("m")
            .arg(sealed);
        self.book.link().one(add).await.map(drop)
    }

    /// Tries to become the one who builds a state, in place of the one with the marker `seen`; gives the marker while it is
    /// built. Nothing when somebody else builds, or has built meanwhile.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn lead(&self, name: &str, seen: &str) -> Result<Option<String>, RedisError> {
        let run = self.book.link().seen().run;
        let marker = format!("build:{name}:{run}");
        let (lead, epoch) = (self.book.key("lead"), self.book.key("epoch"));
        let args = [
            self.me().as_bytes().to_vec(),
            BUILDING.as_millis().to_string().into_bytes(),
            seen.as_bytes().to_vec(),
            marker.clone().into_bytes(),
        ];
        let leads = LEAD.run(self.book.link(), &[&lead, &epoch], &args).await?;
        Ok((leads.whole() == Some(1)).then_some(marker))
    }

    /// Ends to be the one who builds. `from` becomes `to` unless somebody else has changed it; true when it has.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn built(&self, from: &str, to: &str) -> Result<bool, RedisError> {
        let (epoch, lead) = (self.book.key("epoch"), self.book.key("lead"));
        let args = [from.as_bytes().to_vec(), to.as_bytes().to_vec()];
        let done = SWAP.run(self.book.link(), &[&epoch], &args).await?;
        let args = [self.me().as_bytes().to_vec(), Vec::new()];
        SWAP.run(self.book.link(), &[&lead], &args).await?;
        Ok(done.whole() == Some(1))
    }

    /// Hands in what this process holds, for the state that is built. False when it comes too late: what was handed in is
    /// read already, or another state is built by now.
    ///
    /// # Errors
    /// [`RedisError`]; nobody knows then what of it was taken.
    pub async fn hand_in(
        &self,
        name: &str,
        held: &[(String, Vec<u8>)],
    ) -> Result<bool, RedisError> {
        let (epoch, key) = (self.book.key("epoch"), self.book.key(&format!("{name}:in")));
        for piece in held.chunks(500) {
            let mut args = vec![format!("build:{name}:").into_bytes()];
            for (id, packed) in piece {
                args.push(format!("{id} {}", self.me()).into_bytes());
                args.push(packed.clone());
            }
            let taken = HAND_IN
                .run(self.book.link(), &[&epoch, &key], &args)
                .await?;
            if taken.whole() != Some(1) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What was handed in for a state: id, instance, what is held. Nothing is taken any more afterwards.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn handed_in(
        &self,
        name: &str,
    ) -> Result<Vec<(String, String, Vec<u8>)>, RedisError> {
        let key = self.book.key(&format!("{name}:in"));
        let all = HANDED_IN.run(self.book.link(), &[&key], &[]).await?;
        let held = all
            .list()
            .as_chunks::<2>()
            .0
            .iter()
            .filter_map(|[field, packed]| {
                let field = field.text()?;
                let (id, instance) = field.split_once(' ')?;
                Some((id.to_owned(), instance.to_owned(), packed.bytes()?.to_vec()))
            });
        Ok(held.collect())
    }

    /// Ids that are held for an instance.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn held(&self, name: &str, instance: &str) -> Result<Vec<String>, RedisError> {
        let key = self.book.key(&format!("{name}:r:{instance}"));
        let ids = self.book.link().one(Command::new("HKEYS").arg(key)).await?;
        Ok(ids.list().iter().filter_map(Reply::text).collect())
    }

    /// Forgets an instance that holds nothing any more.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn forget(&self, instance: &str) -> Result<(), RedisError> {
        let rem = Command::new("ZREM")
            .arg(self.book.key("instances"))
            .arg(instance);
        self.book.link().one(rem).await.map(drop)
    }

    /// How many processes live.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn count(&self) -> Result<i64, RedisError> {
        let card = Command::new("ZCARD").arg(self.book.key("instances"));
        Ok(self.book.link().one(card).await?.whole().unwrap_or(0))
    }

    /// Removes what is left of other states than the named one, while `marker` stands: a state that somebody else has begun
    /// to build meanwhile is left alone.
    ///
    /// # Errors
    /// [`RedisError`]; [`RedisError::Epoch`] when the marker is another one.
    pub async fn clean(&self, name: &str, marker: &str) -> Result<(), RedisError> {
        let epoch = self.book.key("epoch");
        let keep = self.book.key(&format!("{name}:"));
        let fixed = ["epoch", "instances", "feed", "lead"].map(|name| self.book.key(name));
        let mut cursor = "0".to_owned();
        loop {
            let scan = Command::new("SCAN")
                .arg(&cursor)
                .arg("MATCH")
                .arg(format!("{}*", self.book.key("")))
                .arg("COUNT")
                .arg("1000");
            let reply = self.book.link().one(scan).await?;
            let keys = reply.list().get(1).map(Reply::list).unwrap_or_default();
            let old = keys
                .iter()
                .filter_map(Reply::text)
                .filter(|key| !key.starts_with(&keep) && !fixed.contains(key));
            let mut doomed = vec![epoch.clone()];
            doomed.extend(old);
            if doomed.len() > 1 {
                let doomed: Vec<&str> = doomed.iter().map(String::as_str).collect();
                let marker = [marker.as_bytes().to_vec()];
                let done = CLEAN.run(self.book.link(), &doomed, &marker).await?;
                if done.whole() != Some(1) {
                    return Err(RedisError::Epoch);
                }
            }
            cursor = reply
                .list()
                .first()
                .and_then(Reply::text)
                .unwrap_or_default();
            if cursor == "0" || cursor.is_empty() {
                return Ok(());
            }
        }
    }
}
