//! The thread that owns the keys of content, and the keys of the present hour in memory.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::content::{ContentKeys, KeyPair, KeysError, SubjectId, hour_of};
use tokio::sync::oneshot;

use crate::digest::DigestKey;

/// Subjects whose keys are in memory at most; above it all are read again. About 2 KB each.
const MOST: usize = 16_384;

/// How long a key is believed to be in force where other processes destroy keys too.
const BELIEVED: Duration = Duration::from_secs(1);

/// Most keys made in one commit of the table.
const BATCH: usize = 256;

/// What a call needs of its subject: the keys of its content, and digests under a key that ends with the subject's.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) pair: KeyPair,
    pub(crate) digests: Arc<DigestKey>,
}

/// Keys cannot be made or read, so content could not be kept. The thread has said why.
#[derive(Debug)]
pub(crate) struct Unavailable;

type Answer<T> = oneshot::Sender<T>;
type Job = Box<dyn FnOnce(&mut ContentKeys, &Cache) + Send>;

enum Ask {
    Obtain {
        subject: SubjectId,
        hour: i64,
        now: i64,
        answer: Answer<Option<Arc<Keys>>>,
    },
    Run(Job),
}

pub(crate) struct Cache {
    known: Mutex<Known>,
    /// How long what was read is believed; for the whole hour when absent.
    believed: Option<Duration>,
}

#[derive(Default)]
struct Known {
    hour: i64,
    keys: HashMap<SubjectId, (Instant, Arc<Keys>)>,
}

impl Cache {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, subject: &SubjectId, hour: i64) -> Option<Arc<Keys>> {
        let known = self.known();
        let (read, keys) = known.keys.get(subject).filter(|_| known.hour == hour)?;
        let stale = self.believed.is_some_and(|most| read.elapsed() > most);
        (!stale).then(|| keys.clone())
    }

    fn put(&self, keys: &Arc<Keys>) {
        let mut known = self.known();
        if known.hour != keys.pair.hour || known.keys.len() >= MOST {
            known.keys.clear();
            known.hour = keys.pair.hour;
        }
        let entry = (Instant::now(), keys.clone());
        known.keys.insert(keys.pair.subject, entry);
    }

    /// Forgets a subject.
    pub(crate) fn forget(&self, subject: &SubjectId) {
        self.known().keys.remove(subject);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.known().keys.clear();
    }
}

/// The handle. The thread ends with it.
pub(crate) struct Keeper {
    cache: Arc<Cache>,
    asks: Sender<Ask>,
}

impl Keeper {
    pub(crate) fn start(keys: ContentKeys) -> std::io::Result<Self> {
        let (asks, queue) = channel();
        let cache = Arc::new(Cache {
            known: Mutex::default(),
            believed: keys.are_shared().then_some(BELIEVED),
        });
        let seen = cache.clone();
        std::thread::Builder::new()
            .name("content-keys".into())
            .spawn(move || serve(keys, &queue, &seen))?;
        Ok(Self { cache, asks })
    }

    /// The keys of a subject at an instant, made and durable if there were none.
    ///
    /// # Errors
    /// When the table of keys fails.
    pub(crate) async fn keys(
        &self,
        subject: SubjectId,
        now: i64,
    ) -> Result<Arc<Keys>, Unavailable> {
        let hour = hour_of(now);
        if let Some(keys) = self.cache.get(&subject, hour) {
            return Ok(keys);
        }
        let (answer, found) = oneshot::channel();
        let ask = Ask::Obtain {
            subject,
            hour,
            now,
            answer,
        };
        self.asks.send(ask).map_err(|_| Unavailable)?;
        found.await.ok().flatten().ok_or(Unavailable)
    }

    /// Runs something on the thread that owns the keys.
    ///
    /// # Errors
    /// When the thread has ended or the table fails.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut ContentKeys, &Cache) -> Result<T, KeysError> + Send + 'static,
    ) -> impl Future<Output = Result<T, Unavailable>> + Send + 'static {
        let (answer, done) = oneshot::channel();
        let job: Job = Box::new(move |keys, cache| {
            // Whoever asked may have gone; what was asked for is done all the same.
            let _gone = answer.send(job(keys, cache));
        });
        let sent = self.asks.send(Ask::Run(job));
        async move {
            sent.map_err(|_| Unavailable)?;
            match done.await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => {
                    tracing::error!(%error, "content keys");
                    Err(Unavailable)
                }
                Err(_) => Err(Unavailable),
            }
        }
    }
}

/// Serves in order; what waits together is made in one commit.
fn serve(mut keys: ContentKeys, queue: &Receiver<Ask>, cache: &Cache) {
    let mut next = queue.recv().ok();
    while let Some(ask) = next.take() {
        match ask {
            Ask::Run(job) => {
                job(&mut keys, cache);
                next = queue.recv().ok();
            }
            Ask::Obtain {
                subject,
                hour,
                now,
                answer,
            } => {
                let mut wanted = vec![(subject, answer)];
                let mut ended = false;
                while wanted.len() < BATCH && next.is_none() {
                    match queue.try_recv() {
                        Ok(Ask::Obtain {
                            subject,
                            hour: same,
                            answer,
                            ..
                        }) if same == hour => wanted.push((subject, answer)),
                        Ok(other) => next = Some(other),
                        Err(error) => {
                            ended = error == std::sync::mpsc::TryRecvError::Disconnected;
                            break;
                        }
                    }
                }
                obtain(&mut keys, cache, wanted, hour, now);
                if next.is_none() && !ended {
                    next = queue.recv().ok();
                }
            }
        }
    }
}

fn obtain(
    keys: &mut ContentKeys,
    cache: &Cache,
    wanted: Vec<(SubjectId, Answer<Option<Arc<Keys>>>)>,
    hour: i64,
    now: i64,
) {
    let mut subjects: Vec<SubjectId> = wanted.iter().map(|(subject, _)| *subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    let found = match keys.obtain(&subjects, hour, now) {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(%error, "content keys");
            Vec::new()
        }
    };
    let made: HashMap<SubjectId, Arc<Keys>> = found
        .into_iter()
        .filter_map(|pair| {
            let secret = pair.derive(b"sealgate digests 1").ok()?;
            let keys = Arc::new(Keys {
                digests: Arc::new(DigestKey::new(&secret)),
                pair,
            });
            cache.put(&keys);
            Some((keys.pair.subject, keys))
        })
        .collect();
    for (subject, answer) in wanted {
        // A call that was given up needs no keys any more.
        let _gone = answer.send(made.get(&subject).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Seed;

    const HOUR: i64 = 3_600_000_000;

    #[tokio::test]
    async fn keys_are_the_same_until_they_are_destroyed() {
        let keeper = Keeper::start(Seed::default().keys).unwrap();
        let anna = SubjectId([1; 16]);
        let first = keeper.keys(anna, 0).await.unwrap();
        let again = keeper.keys(anna, HOUR - 1).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let later = keeper.keys(anna, HOUR).await.unwrap();
        assert_eq!(later.pair.subject_key, first.pair.subject_key);
        assert_ne!(later.pair.hour_key, first.pair.hour_key);
        let id = first.pair.id;
        let gone = keeper.run(move |keys, cache| {
            let gone = keys.destroy_subject(&anna, &id)?;
            cache.forget(&anna);
            Ok(gone)
        });
        assert!(gone.await.unwrap());
        let new = keeper.keys(anna, HOUR).await.unwrap();
        assert_ne!(new.pair.subject_key, first.pair.subject_key);
        assert_ne!(new.digests.id(), first.digests.id());
    }

    #[tokio::test]
    async fn many_at_once_get_one_key_each() {
        let keeper = Arc::new(Keeper::start(Seed::default().keys).unwrap());
        let mut tasks = Vec::new();
        for at in 0..600_u16 {
            let keeper = keeper.clone();
            tasks.push(tokio::spawn(async move {
                let mut id = [0; 16];
                id[0] = u8::try_from(at % 7).unwrap();
                let keys = keeper.keys(SubjectId(id), 0).await.unwrap();
                (id[0], keys.pair.id)
            }));
        }
        let mut seen = HashMap::new();
        for task in tasks {
            let (subject, id) = task.await.unwrap();
            assert_eq!(*seen.entry(subject).or_insert(id), id);
        }
        assert_eq!(seen.len(), 7);
    }
}
