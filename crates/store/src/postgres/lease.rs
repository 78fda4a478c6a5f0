//! Leases by time: who lives, who is dead, and who settles what the dead left open.
//!
//! A lease is a time on the server's clock that its owner moves on. Once it has passed, another instance may claim the boot;
//! from then on its owner cannot commit, because each of its transactions locks the boot's row and finds the claim. An owner
//! that comes back late and finds no claim goes on: a long pause or an outage of the database alone kills nobody. After a start
//! of the server every lease is honoured once more, since nobody could renew his meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use capsule::Id;
use ledger::journal::{Class, Result, UnclosedBoot};

use super::{
    PostgresJournal,
    error::{self, OpenError},
    link::Fault,
};

/// The lease has passed; `$2` is its length in seconds.
const LAPSED: &str = "lease_until < clock_timestamp() \
                      AND clock_timestamp() > pg_postmaster_start_time() + make_interval(secs => $2)";
/// How often a start looks whether a lease is renewed.
const LOOK: Duration = Duration::from_millis(250);

impl PostgresJournal {
    /// Claims the boots whose leases have passed. A claim holds for two leases; if its maker dies, another one takes it.
    pub(super) fn claim(&mut self) -> Result<Vec<UnclosedBoot>> {
        let own = self
            .boot
            .as_ref()
            .map(|boot| boot.id.to_string())
            .unwrap_or_default();
        let (chain, lease) = (
            self.chain.tenant().to_owned(),
            self.settings.lease.as_secs_f64(),
        );
        let token = self.token.clone();
        let sql = format!(
            "WITH claimed AS (UPDATE sealgate_boots SET claimed_by = $3, \
             claimed_until = clock_timestamp() + 2 * make_interval(secs => $2) \
             WHERE chain = $1 AND closed_at IS NULL AND id <> $4 AND {LAPSED} \
             AND (claimed_until IS NULL OR claimed_until < clock_timestamp()) \
             RETURNING number, id, last_intent) SELECT id, last_intent FROM claimed ORDER BY number"
        );
        let (link, _) = self.connection()?;
        let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[&chain, &lease, &token, &own];
        let rows = link
            .run(link.client().query(&sql, params))
            .map_err(|fault| error::journal("claim boots", &fault))?;
        let boot = |row: &tokio_postgres::Row| {
            let last: i64 = row.try_get(1).map_err(|error| error.to_string())?;
            Ok(UnclosedBoot {
                id: super::rows::id(row, 0)?,
                last_intent: u64::try_from(last).unwrap_or(0),
            })
        };
        let boots = rows
            .iter()
            .map(boot)
            .collect::<std::result::Result<_, String>>();
        boots.map_err(|message| error::fatal("claim boots", message))
    }

    /// Moves the lease on. It is lost for good once another instance has claimed or closed the boot. A connection that broke
    /// while nothing was under way is made anew and asked once more: moving a lease twice is harmless.
    pub(super) fn renew(&mut self, boot: &Id) -> Result<()> {
        match self.extend(boot) {
            Err(error) if error.class == Class::Batch && self.link.is_none() => self.extend(boot),
            done => done,
        }
    }

    /// One try, on a new connection when there is none.
    fn extend(&mut self, boot: &Id) -> Result<()> {
        if self.link.is_none() {
            self.connect().map_err(|error| {
                error::with_class(Class::Batch, "renew lease", error.to_string())
            })?;
        }
        let sql = "UPDATE sealgate_boots SET lease_until = clock_timestamp() + make_interval(secs => $2) \
                   WHERE id = $1 AND closed_at IS NULL AND claimed_by IS NULL";
        let lease = self.settings.lease.as_secs_f64();
        let (link, _) = self.connection()?;
        match link.run(link.client().execute(sql, &[&boot.to_string(), &lease])) {
            Ok(1) => Ok(()),
            Ok(_) => Err(error::fatal(
                "renew lease",
                "another instance has taken over",
            )),
            Err(fault) => {
                let error = error::journal("renew lease", &fault);
                if error.class == Class::Fatal {
                    self.lose();
                }
                // Only the answer above says that the lease is lost.
                Err(ledger::journal::JournalError {
                    class: Class::Batch,
                    ..error
                })
            }
        }
    }

    /// Within the transaction that begins a boot: nobody else may live when limits are not shared.
    pub(super) fn refuse_company(&mut self) -> Result<()> {
        if self.settings.shared {
            return Ok(());
        }
        let living = self.living();
        let living = living.map_err(|fault| error::journal("begin boot", &fault))?;
        match living.first() {
            None => Ok(()),
            Some((boot, host, _)) => {
                let in_use = OpenError::InUse {
                    place: self.target.place().to_owned(),
                    boot: boot.clone(),
                    host: host.clone(),
                };
                Err(error::with_class(
                    Class::Batch,
                    "begin boot",
                    in_use.to_string(),
                ))
            }
        }
    }

    /// Waits until no other instance holds a lease, so that what a killed one left open is settled at once. One that renews its
    /// lease lives, and this process does not start.
    pub(super) fn wait_for_others(&mut self) -> std::result::Result<(), OpenError> {
        // A lease that was not renewed ends; only a clock that jumps keeps it longer.
        let end = Instant::now() + self.settings.lease * 2 + Duration::from_secs(60);
        let mut before: Vec<(String, String, i64)> = Vec::new();
        loop {
            let living = self.living();
            let living = living
                .map_err(|fault| OpenError::server(&self.target, "read leases of", &fault))?;
            if living.is_empty() {
                return Ok(());
            }
            let renewed = living.iter().find(|(boot, _, until)| {
                let known = before.iter().find(|(other, _, _)| other == boot);
                known.is_some_and(|(_, _, old)| old != until)
            });
            let late = Instant::now() >= end;
            if let Some((boot, host, _)) = renewed.or(living.first().filter(|_| late)) {
                return Err(OpenError::InUse {
                    place: self.target.place().to_owned(),
                    boot: boot.clone(),
                    host: host.clone(),
                });
            }
            if before.is_empty() {
                tracing::info!(target: "sealgate::store", "waiting for the lease of an instance that may have died");
            }
            before = living;
            thread::sleep(LOOK);
        }
    }

    /// Boots that hold a lease: id, address, end of the lease in microseconds.
    fn living(&self) -> std::result::Result<Vec<(String, String, i64)>, Fault> {
        let Some((link, _)) = &self.link else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT id, address, (extract(epoch FROM lease_until) * 1000000)::int8 FROM sealgate_boots \
             WHERE chain = $1 AND closed_at IS NULL AND claimed_by IS NULL AND NOT ({LAPSED}) ORDER BY number"
        );
        let (chain, lease) = (self.chain.tenant(), self.settings.lease.as_secs_f64());
        let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[&chain, &lease];
        let rows = link.run(link.client().query(&sql, params))?;
        let read =
            |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        rows.iter()
            .map(read)
            .collect::<std::result::Result<_, _>>()
            .map_err(Fault::Server)
    }
}
