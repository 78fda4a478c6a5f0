//! Scripts: sent by their digest, in full where Redis does not know it yet.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::RedisError;
use super::link::{Link, one};
use super::wire::{Command, Reply};

/// A script of Redis.
#[derive(Debug)]
pub struct Script {
    source: &'static str,
    digest: OnceLock<String>,
}

impl Script {
    /// A script; `source` is Lua.
    #[must_use]
    pub const fn new(source: &'static str) -> Self {
        Self {
            source,
            digest: OnceLock::new(),
        }
    }

    /// The command that runs it. Redis names scripts by SHA-1; nothing depends on that digest being strong.
    fn by_digest(&self, keys: &[&str], args: &[Vec<u8>]) -> Command {
        let digest = self.digest.get_or_init(|| {
            let bytes = digest(&SHA1_FOR_LEGACY_USE_ONLY, self.source.as_bytes());
            bytes.as_ref().iter().map(|b| format!("{b:02x}")).collect()
        });
        with(Command::new("EVALSHA").arg(digest), keys, args)
    }

    /// Runs it: one round trip, a second one when Redis does not know it.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn run(
        &self,
        link: &Link,
        keys: &[&str],
        args: &[Vec<u8>],
    ) -> Result<Reply, RedisError> {
        self.run_at(link, None, keys, args).await
    }

    /// As [`Script::run`], at the Redis process `run` only.
    pub(super) async fn run_at(
        &self,
        link: &Link,
        run: Option<&str>,
        keys: &[&str],
        args: &[Vec<u8>],
    ) -> Result<Reply, RedisError> {
        let send = async |command| match run {
            Some(run) => one(link.send_to(run, vec![command]).await?),
            None => one(link.send(vec![command]).await?),
        };
        let first = send(self.by_digest(keys, args)).await;
        match first {
            Err(RedisError::Fault(text)) if text.starts_with("NOSCRIPT") => {
                let whole = with(Command::new("EVAL").arg(self.source), keys, args);
                send(whole).await
            }
            other => other,
        }
    }
}

fn with(command: Command, keys: &[&str], args: &[Vec<u8>]) -> Command {
    let count = i64::try_from(keys.len()).unwrap_or(0);
    let command = keys.iter().fold(command.number(count), Command::arg);
    args.iter().fold(command, Command::arg)
}
