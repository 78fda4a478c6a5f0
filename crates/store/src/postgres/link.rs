//! One connection, driven by a runtime of its own, with a limit on how long an answer may take.

use std::{future::Future, thread, time::Duration};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::{Client, NoTls, error::SqlState};

use super::{error::OpenError, tls::Connector, url::Target};

/// Who is at the other end, so that a backend that was left behind can be told from its successors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Backend {
    pid: i32,
    /// Microseconds since the Unix epoch.
    started: i64,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// Commits: the server must be a primary whose commits are durable.
    Write,
    /// Looks: nothing can be changed over it.
    Read,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// None came in time. What the server does with the request is not known.
    Late(Duration),
    /// The server, or the way to it.
    Server(tokio_postgres::Error),
}

/// An open connection.
pub(super) struct Link {
    client: Client,
    runtime: Driver,
    limit: Duration,
    pub(super) backend: Backend,
}

/// Drives the connection. It may be dropped on a thread of another runtime, where nothing may wait for it.
struct Driver(Option<Runtime>);

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A waiting statement gives up on the server's side before the client does, so that its outcome is certain.
fn session(usage: Use, limit: Duration) -> String {
    let statement = limit.as_millis().saturating_mul(4) / 5;
    let mut sql = format!(
        "SET statement_timeout TO {statement}; SET lock_timeout TO {}; \
         SET idle_in_transaction_session_timeout TO {}; SET timezone TO 'UTC'; \
         SET client_min_messages TO warning;",
        statement / 2,
        limit.as_millis(),
    );
    if usage == Use::Read {
        sql.push_str("SET statement_timeout TO 0; SET default_transaction_read_only TO on;");
    }
    sql
}

impl Link {
    pub(super) fn open(target: &Target, usage: Use, limit: Duration) -> Result<Link, OpenError> {
        let failed = |fault: Fault| OpenError::server(target, "connect to", &fault);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| OpenError::Runtime { source })?;
        let connector = Connector::new(&target.tls).map_err(|reason| OpenError::Tls {
            place: target.place().to_owned(),
            reason,
        })?;
        let mut config = target.config.clone();
        if usage == Use::Read {
            config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::Any);
        }
        let connect = async {
            Ok(match connector {
                Some(connector) => {
                    let (client, connection) = config.connect(connector).await?;
                    tokio::spawn(connection);
                    client
                }
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    client
                }
            })
        };
        let client = wait(&runtime, limit, connect).map_err(failed)?;
        let none = Backend { pid: 0, started: 0 };
        let mut link = Link {
            client,
            runtime: Driver(Some(runtime)),
            limit,
            backend: none,
        };
        link.run(link.client.batch_execute(&session(usage, limit)))
            .map_err(failed)?;
        if usage == Use::Write {
            link.durable(target)?;
        }
        let sql = "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::int8 \
                   FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let row = link.run(link.client.query_one(sql, &[])).map_err(failed)?;
        link.backend = Backend {
            pid: row
                .try_get(0)
                .map_err(|error| failed(Fault::Server(error)))?,
            started: row.try_get(1).unwrap_or(0),
        };
        Ok(link)
    }

    /// Runs statements and waits for their answers. Statements whose futures are polled together are sent together.
    pub(super) fn run<T: Send>(
        &self,
        statements: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T, Fault> {
        wait(self.runtime()?, self.limit, statements)
    }

    /// The same with another limit.
    pub(super) fn run_for<T: Send>(
        &self,
        limit: Duration,
        statements: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T, Fault> {
        wait(self.runtime()?, limit, statements)
    }

    fn runtime(&self) -> Result<&Runtime, Fault> {
        self.runtime.0.as_ref().ok_or(Fault::Late(self.limit))
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Refuses a server whose commits could be lost, or that takes none.
    fn durable(&self, target: &Target) -> Result<(), OpenError> {
        let failed = |fault: Fault| OpenError::server(target, "look at the settings of", &fault);
        let sql = "SELECT set_config('synchronous_commit', \
                   CASE WHEN current_setting('synchronous_commit') IN ('remote_apply', 'remote_write') \
                   THEN current_setting('synchronous_commit') ELSE 'on' END, false), \
                   current_setting('fsync'), current_setting('full_page_writes'), \
                   current_setting('data_sync_retry'), current_setting('transaction_read_only'), \
                   pg_is_in_recovery()";
        let row = self.run(self.client.query_one(sql, &[])).map_err(failed)?;
        let text = |column: usize| row.try_get::<_, String>(column).unwrap_or_default();
        if row.try_get(5).unwrap_or(true) || text(4) != "off" {
            return Err(OpenError::ReadOnly {
                place: target.place().to_owned(),
            });
        }
        for (column, setting, wanted) in [
            (0, "synchronous_commit", "on"),
            (1, "fsync", "on"),
            (2, "full_page_writes", "on"),
            (3, "data_sync_retry", "off"),
        ] {
            let found = text(column);
            let stronger = column == 0 && found.starts_with("remote_");
            if found != wanted && !stronger {
                return Err(OpenError::NotDurable {
                    place: target.place().to_owned(),
                    setting,
                    found,
                    wanted,
                });
            }
        }
        Ok(())
    }

    /// Ends a backend of an earlier connection, whose transaction might still be under way. Whoever has gone is fine.
    pub(super) fn end(&self, ghost: Backend) -> Result<(), Fault> {
        let sql = "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity \
                   WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::int8 = $2";
        self.run(self.client.query(sql, &[&ghost.pid, &ghost.started]))
            .map(drop)
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Link({})", self.backend.pid)
    }
}

/// On a thread of an asynchronous runtime nothing may block on another one: a thread of its own waits then.
fn wait<T: Send>(
    runtime: &Runtime,
    limit: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
) -> Result<T, Fault> {
    let limited = async {
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Fault::Server(error)),
            Err(_) => Err(Fault::Late(limit)),
        }
    };
    if Handle::try_current().is_err() {
        return runtime.block_on(limited);
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| runtime.block_on(limited));
        // A panic there is one of the client library; the connection counts as lost.
        waiting.join().unwrap_or(Err(Fault::Late(limit)))
    })
}

impl Fault {
    /// SQLSTATE of the server's answer, if it answered.
    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Fault::Late(_) => None,
            Fault::Server(error) => error.code(),
        }
    }

    /// The server's own words with their code; never its details, which quote rows.
    pub(super) fn words(&self) -> String {
        use std::error::Error as _;
        match self {
            Fault::Late(limit) => format!("no answer within {} s", limit.as_secs_f32()),
            Fault::Server(error) => match (error.as_db_error(), error.source()) {
                (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
                (None, Some(cause)) => format!("{error}: {cause}"),
                (None, None) => error.to_string(),
            },
        }
    }
}
