//! The short run for continuous integration: a few seconds of load, then only counts.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

use crate::{
    accounting::{self, Equality},
    client,
    compare::Upstream,
    gateways::{self, Kind},
    mock,
    plan::Load,
    records,
};

/// Loads Sealgate with each kind of call, then ends it with SIGTERM at full load; gives the counts of each run.
pub(crate) fn run(program: &Path, work: &Path, seconds: Duration) -> Result<Vec<Equality>> {
    fs::create_dir_all(work)?;
    let upstream = Upstream::start(work)?;
    let mut equality = Vec::new();
    {
        let directory = work.join("load");
        fs::create_dir_all(&directory)?;
        let gateway = gateways::sealgate(Kind::Sealgate, program, upstream.address, &directory)?;
        let data = gateway.data.clone().context("the gateway has no ledger")?;
        for load in [Load::Small, Load::Burst] {
            equality.push(one_load(&gateway, &upstream, &data, load, seconds)?);
        }
    }
    equality.push(accounting::sigterm_at_full_load(
        program,
        upstream.address,
        &work.join("sigterm"),
        32,
        seconds,
    )?);
    Ok(equality)
}

fn one_load(
    gateway: &gateways::Gateway,
    upstream: &Upstream,
    data: &Path,
    load: Load,
    seconds: Duration,
) -> Result<Equality> {
    mock::set(upstream.address, load.mock_settings())?;
    let before = mock::counts(upstream.address)?;
    let after = records::head(data)?;
    let answered = if load.is_stream() {
        client::run_streams(gateway.stream, &load.body(), 32, seconds)?.complete
    } else {
        let stop = std::sync::Arc::default();
        client::run_calls(gateway.plain, &load.body(), 32, &stop, seconds)?.answered
    };
    let got = mock::counts(upstream.address)?.total() - before.total();
    accounting::after_load(format!("{load:?}, 32 conn"), data, after, answered, got)
}
