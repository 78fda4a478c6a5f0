//! The tables, and how they come to their newest layout while older programs still run.
//!
//! Steps only add (expand); what an older program needs is taken away a version later (contract). `least` of a layout is the
//! oldest program that may still use it: programs N and N+1 work on one database during an upgrade.

use super::{
    error::OpenError,
    link::{Fault, Link},
    url::Target,
};

/// Steps in order, each with the oldest layout whose program works with its result. A step is never changed once it is
/// released: what follows is a step of its own.
const STEPS: [(&str, i32); 5] = [
    (include_str!("migrations/0001_ledger.sql"), 1),
    (include_str!("migrations/0002_identity.sql"), 1),
    (include_str!("migrations/0003_views.sql"), 1),
    (include_str!("migrations/0004_content.sql"), 1),
    (include_str!("migrations/0005_content_keys.sql"), 1),
];
/// The newest layout.
pub(super) const LAYOUT: i32 = STEPS.len() as i32;

/// Making tables waits for whoever uses them, and for a slow disk.
const MINUTES: std::time::Duration = std::time::Duration::from_secs(300);

/// Serialises the steps of programs that start together. Any constant will do.
const STEPPING: i64 = 0x5347_4c32;

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS sealgate_layout (\
                        layout INTEGER NOT NULL PRIMARY KEY, least INTEGER NOT NULL, \
                        applied_at TIMESTAMPTZ NOT NULL DEFAULT now())";

/// The layout that is there and the least that a program must know; `None` when there are no tables of ours.
pub(super) fn found(link: &Link, target: &Target) -> Result<Option<(i32, i32)>, OpenError> {
    let failed = |fault: Fault| OpenError::server(target, "read the layout of", &fault);
    let there: Option<String> = link
        .run(
            link.client()
                .query_one("SELECT to_regclass('sealgate_layout')::text", &[]),
        )
        .and_then(|row| row.try_get(0).map_err(Fault::Server))
        .map_err(failed)?;
    if there.is_none() {
        return Ok(None);
    }
    let sql = "SELECT layout, least FROM sealgate_layout ORDER BY layout DESC LIMIT 1";
    let row = link
        .run(link.client().query_opt(sql, &[]))
        .map_err(failed)?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .transpose()
        .map_err(|error| failed(Fault::Server(error)))
}

/// Refuses a layout that this program does not work with.
pub(super) fn check(found: (i32, i32)) -> Result<(), OpenError> {
    let (layout, least) = found;
    if least > LAYOUT {
        return Err(OpenError::Newer {
            found: layout,
            least,
            known: LAYOUT,
        });
    }
    Ok(())
}

/// Takes the missing steps, each in a transaction of its own; those of a program that came first count.
pub(super) fn migrate(link: &Link, target: &Target) -> Result<(), OpenError> {
    let failed = |fault: Fault| OpenError::server(target, "make the tables in", &fault);
    let client = link.client();
    for (layout, (step, least)) in (1_i32..).zip(STEPS) {
        let taken = link.run_for(MINUTES, async {
            client
                .batch_execute(
                    "BEGIN; SET LOCAL statement_timeout TO 0; SET LOCAL lock_timeout TO '10s'",
                )
                .await?;
            client
                .execute("SELECT pg_advisory_xact_lock($1)", &[&STEPPING])
                .await?;
            client.batch_execute(VERSIONS).await?;
            let sql = "SELECT 1 FROM sealgate_layout WHERE layout >= $1 LIMIT 1";
            if client.query_opt(sql, &[&layout]).await?.is_none() {
                client.batch_execute(step).await?;
                let sql = "INSERT INTO sealgate_layout (layout, least) VALUES ($1, $2)";
                client.execute(sql, &[&layout, &least]).await?;
            }
            client.batch_execute("COMMIT").await
        });
        if let Err(fault) = taken {
            // The connection is given up by the caller, and the transaction with it.
            return Err(failed(fault));
        }
    }
    Ok(())
}
