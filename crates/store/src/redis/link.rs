//! One connection to Redis that everybody shares: commands go out as they come, replies come back in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};

use super::RedisError;
use super::settings::Settings;
use super::tls;
use super::wire::{self, Command, Reply};

/// How often a connection is looked after.
const TICK: Duration = Duration::from_millis(50);
/// The first and the longest wait between two tries to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Anything that carries bytes both ways.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// Which process answered a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Rises with each connection; 0 before the first.
    pub connection: u64,
    /// Redis' own name of the process; another one after a restart or a failover. Empty while there is no connection.
    pub run: String,
}

type Answer = Result<Vec<Reply>, RedisError>;

struct Job {
    commands: Vec<Command>,
    /// The only process that may see them; any when absent.
    run: Option<String>,
    reply: oneshot::Sender<Answer>,
}

struct Waiting {
    left: usize,
    got: Vec<Reply>,
    since: Instant,
    reply: oneshot::Sender<Answer>,
}

/// A connection that comes back by itself. Clones share it; it ends with the last one.
#[derive(Clone)]
pub struct Link {
    jobs: mpsc::UnboundedSender<Job>,
    seen: watch::Receiver<Seen>,
    trips: Arc<AtomicU64>,
    timeout: Duration,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    /// Starts to connect, on the runtime of the caller. `patience` is how long a command may stay unanswered before the
    /// connection counts as dead.
    #[must_use]
    pub fn start(settings: Arc<Settings>, patience: Duration) -> Self {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (tell, seen) = watch::channel(Seen::default());
        let timeout = settings.timeout;
        let driver = Driver {
            settings,
            queue,
            tell,
            patience,
        };
        tokio::spawn(driver.run());
        Self {
            jobs,
            seen,
            trips: Arc::default(),
            timeout,
        }
    }

    /// The process at the other end.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until there is a connection.
    ///
    /// # Errors
    /// [`RedisError::Slow`] when there is none within `wait`.
    pub async fn connected(&self, wait: Duration) -> Result<Seen, RedisError> {
        let mut seen = self.seen.clone();
        let there = seen.wait_for(|seen| !seen.run.is_empty());
        match tokio::time::timeout(wait, there).await {
            Ok(Ok(seen)) => Ok(seen.clone()),
            Ok(Err(_)) | Err(_) => Err(slow(wait)),
        }
    }

    /// Round trips that were begun since the start.
    #[must_use]
    pub fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    /// Sends commands together and waits for all replies. Refusals of single commands are among the replies.
    ///
    /// # Errors
    /// [`RedisError`] when there is no connection, it ends, or the time of the settings is over. Whether the commands were
    /// done is then unknown.
    pub async fn send(&self, commands: Vec<Command>) -> Result<Vec<Reply>, RedisError> {
        self.send_within(commands, self.timeout).await
    }

    /// As [`Link::send`], with a time of its own.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub async fn send_within(
        &self,
        commands: Vec<Command>,
        within: Duration,
    ) -> Result<Vec<Reply>, RedisError> {
        self.wait(self.post(commands, None), within).await
    }

    /// As [`Link::send`], to the Redis process `run` and to no other one: commands that belong to what that process holds
    /// must not reach one that took its place, however the connection came back.
    ///
    /// # Errors
    /// As [`Link::send`]; [`RedisError::Epoch`] when another process answers there.
    pub async fn send_to(
        &self,
        run: &str,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, RedisError> {
        let answer = self.post(commands, Some(run.to_owned()));
        self.wait(answer, self.timeout).await
    }

    async fn wait(&self, answer: oneshot::Receiver<Answer>, within: Duration) -> Answer {
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(RedisError::Protocol("the connection was given up")),
            Err(_) => Err(slow(within)),
        }
    }

    /// Puts commands on their way; they go out in the order of these calls.
    fn post(&self, commands: Vec<Command>, run: Option<String>) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        self.trips.fetch_add(1, Ordering::Relaxed);
        // A driver that has ended drops the job, and with it the sender of the answer.
        drop(self.jobs.send(Job {
            commands,
            run,
            reply,
        }));
        answer
    }

    /// Sends one command.
    ///
    /// # Errors
    /// As [`Link::send`], and what Redis said against it.
    pub async fn one(&self, command: Command) -> Result<Reply, RedisError> {
        one(self.send(vec![command]).await?)
    }
}

/// The only reply, unless it is a refusal.
pub(super) fn one(replies: Vec<Reply>) -> Result<Reply, RedisError> {
    match replies.into_iter().next() {
        Some(Reply::Fault(text)) => Err(RedisError::of(&text)),
        Some(reply) => Ok(reply),
        None => Err(RedisError::Protocol("no reply")),
    }
}

fn slow(waited: Duration) -> RedisError {
    RedisError::Slow {
        millis: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
    }
}

struct Driver {
    settings: Arc<Settings>,
    queue: mpsc::UnboundedReceiver<Job>,
    tell: watch::Sender<Seen>,
    patience: Duration,
}

impl Driver {
    async fn run(mut self) {
        let (mut wait, mut connection) = (BACKOFF.0, 0);
        loop {
            let opened = tokio::time::timeout(self.settings.connect_timeout, open(&self.settings));
            let error = match opened.await {
                Ok(Ok((pipe, run))) => {
                    wait = BACKOFF.0;
                    connection += 1;
                    let seen = Seen { connection, run };
                    self.tell.send_replace(seen.clone());
                    match self.converse(pipe, &seen.run).await {
                        Some(error) => error,
                        None => return,
                    }
                }
                Ok(Err(error)) => error,
                Err(_) => slow(self.settings.connect_timeout),
            };
            self.tell.send_if_modified(|seen| {
                let had = !seen.run.is_empty();
                seen.run.clear();
                had
            });
            tracing::debug!(%error, "no connection to Redis");
            if !self.refuse(wait, &error).await {
                return;
            }
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    /// Answers what comes in with the error until the time is over. False when nobody can send any more.
    async fn refuse(&mut self, wait: Duration, error: &RedisError) -> bool {
        let until = tokio::time::Instant::now() + wait;
        loop {
            match tokio::time::timeout_at(until, self.queue.recv()).await {
                Ok(Some(job)) => drop(job.reply.send(Err(error.clone()))),
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Carries commands and replies until the connection ends; `None` when nobody can send any more.
    async fn converse(&mut self, mut pipe: Box<dyn Pipe>, run: &str) -> Option<RedisError> {
        let mut waiting: VecDeque<Waiting> = VecDeque::new();
        let (mut input, mut output) = (Vec::with_capacity(16 * 1024), Vec::new());
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let error = loop {
            tokio::select! {
                job = self.queue.recv() => {
                    let job = job?;
                    output.clear();
                    enqueue(job, run, &mut output, &mut waiting);
                    while let Ok(job) = self.queue.try_recv() {
                        enqueue(job, run, &mut output, &mut waiting);
                    }
                    if output.is_empty() {
                        continue;
                    }
                    match tokio::time::timeout(self.patience, pipe.write_all(&output)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => break self.unreachable(&error.to_string()),
                        Err(_) => break slow(self.patience),
                    }
                }
                read = pipe.read_buf(&mut input) => match read {
                    Ok(0) => break self.unreachable("the connection was closed"),
                    Ok(_) => if let Err(error) = deliver(&mut input, &mut waiting) { break error },
                    Err(error) => break self.unreachable(&error.to_string()),
                },
                _ = tick.tick() => {
                    let oldest = waiting.front().map(|first| first.since.elapsed());
                    if oldest.is_some_and(|age| age > self.patience) {
                        break slow(self.patience);
                    }
                }
            }
        };
        for left in waiting {
            drop(left.reply.send(Err(error.clone())));
        }
        Some(error)
    }

    fn unreachable(&self, reason: &str) -> RedisError {
        unreachable(&self.settings, reason)
    }
}

fn unreachable(settings: &Settings, reason: &str) -> RedisError {
    RedisError::Unreachable {
        address: settings.address(),
        reason: reason.to_owned(),
    }
}

fn enqueue(job: Job, run: &str, output: &mut Vec<u8>, waiting: &mut VecDeque<Waiting>) {
    if job.run.is_some_and(|only| only != run) {
        drop(job.reply.send(Err(RedisError::Epoch)));
        return;
    }
    for command in &job.commands {
        command.write(output);
    }
    waiting.push_back(Waiting {
        left: job.commands.len(),
        got: Vec::with_capacity(job.commands.len()),
        since: Instant::now(),
        reply: job.reply,
    });
}

/// Gives every whole reply of the input to the one who waits for it.
fn deliver(input: &mut Vec<u8>, waiting: &mut VecDeque<Waiting>) -> Result<(), RedisError> {
    let mut used = 0;
    while let Some((reply, length)) = wire::read(input.get(used..).unwrap_or_default())? {
        used += length;
        let first = waiting
            .front_mut()
            .ok_or(RedisError::Protocol("a reply nobody asked for"))?;
        first.got.push(reply);
        first.left = first.left.saturating_sub(1);
        if first.left == 0
            && let Some(done) = waiting.pop_front()
        {
            // Who no longer waits has lost interest, not the reply its place.
            drop(done.reply.send(Ok(done.got)));
        }
    }
    input.drain(..used);
    Ok(())
}

/// Connects and introduces itself. Gives the name of the process at the other end.
async fn open(settings: &Settings) -> Result<(Box<dyn Pipe>, String), RedisError> {
    let failed = |error: std::io::Error| unreachable(settings, &error.to_string());
    let stream = TcpStream::connect((settings.host.as_str(), settings.port))
        .await
        .map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let mut pipe: Box<dyn Pipe> = match &settings.tls {
        None => Box::new(stream),
        Some(roots) => Box::new(
            tls::wrap(stream, &settings.host, roots)
                .await
                .map_err(failed)?,
        ),
    };
    let mut hello = Vec::new();
    if let Some(password) = &settings.password {
        let auth = Command::new("AUTH");
        hello.push(match &settings.user {
            Some(user) => auth.arg(user).arg(&**password),
            None => auth.arg(&**password),
        });
    }
    if settings.database > 0 {
        hello.push(Command::new("SELECT").number(i64::from(settings.database)));
    }
    let greeting = hello.len();
    hello.push(Command::new("INFO").arg("server"));
    hello.push(Command::new("INFO").arg("replication"));
    let mut output = Vec::new();
    for command in &hello {
        command.write(&mut output);
    }
    pipe.write_all(&output).await.map_err(failed)?;
    let mut replies = Vec::new();
    let mut input = Vec::new();
    while replies.len() < hello.len() {
        if pipe.read_buf(&mut input).await.map_err(failed)? == 0 {
            return Err(unreachable(settings, "the connection was closed"));
        }
        while let Some((reply, used)) = wire::read(&input)? {
            input.drain(..used);
            replies.push(reply);
        }
    }
    for reply in &replies {
        if let Reply::Fault(text) = reply {
            return Err(RedisError::of(text));
        }
    }
    let mut info = String::new();
    for reply in replies.iter().skip(greeting) {
        info.push_str(&reply.text().unwrap_or_default());
    }
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    };
    if field("role").is_some_and(|role| role != "master") {
        return Err(RedisError::ReadOnly);
    }
    let run = field("run_id").ok_or(RedisError::Protocol("no run_id"))?;
    Ok((pipe, run))
}
