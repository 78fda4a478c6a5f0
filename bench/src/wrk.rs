//! Load from the packaged generator wrk: one thread, a closed loop, and a quiet end.
//!
//! wrk abandons the calls that are in flight when its time is over. The script therefore stops sending a little before
//! the end, so that each call sent is a call answered and counts can be compared to the last one.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::payload;

/// One load run.
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'a str,
    /// File with the request body.
    pub(crate) body: &'a Path,
    pub(crate) connections: u32,
    /// Time during which requests are sent.
    pub(crate) active: Duration,
    /// Time after that in which the last answers may arrive.
    pub(crate) drain: Duration,
}

/// What wrk saw. Times are in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) answered: u64,
    pub(crate) non_2xx: u64,
    pub(crate) connect_errors: u64,
    pub(crate) read_errors: u64,
    pub(crate) write_errors: u64,
    pub(crate) timeouts: u64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl Outcome {
    /// Answers with a 2xx status.
    pub(crate) fn good(&self) -> u64 {
        self.answered.saturating_sub(self.non_2xx)
    }

    /// Everything that went wrong on the way.
    pub(crate) fn faults(&self) -> u64 {
        self.non_2xx + self.connect_errors + self.read_errors + self.write_errors + self.timeouts
    }
}

const MARK: &str = "SEALGATE_BENCH ";

/// Runs wrk to its end; `directory` receives the script.
pub(crate) fn run(load: &Load<'_>, directory: &Path) -> Result<Outcome> {
    let script = directory.join("load.lua");
    std::fs::write(&script, SCRIPT)
        .with_context(|| format!("cannot write {}", script.display()))?;
    let whole = (load.active + load.drain).as_secs_f64().ceil();
    let output = Command::new("wrk")
        .args(["-t", "1", "-c", &load.connections.to_string()])
        .args(["-d", &format!("{whole}s"), "--timeout", "60s", "-s"])
        .arg(&script)
        .arg(format!("http://{}{}", load.address, load.path))
        .arg("--")
        .arg(load.body)
        .arg(load.active.as_secs_f64().to_string())
        .arg(load.path)
        .arg(payload::CLIENT_KEY)
        .output()
        .context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(json) = text.lines().find_map(|line| line.strip_prefix(MARK)) else {
        bail!(
            "wrk failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    serde_json::from_str(json).with_context(|| format!("wrk's summary is unreadable: {json}"))
}

const SCRIPT: &str = r#"
local ffi = require("ffi")
ffi.cdef[[
typedef struct { long seconds; long nanos; } bench_time;
int clock_gettime(int clock, bench_time *into);
]]
local time = ffi.new("bench_time")
local function now()
  ffi.C.clock_gettime(1, time)
  return tonumber(time.seconds) + tonumber(time.nanos) * 1e-9
end

local message, active, deadline

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local body = file:read("*a")
  file:close()
  active = tonumber(args[2])
  message = wrk.format("POST", args[3], {
    ["Host"] = wrk.headers["Host"],
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. args[4],
  }, body)
end

-- An empty message leaves the connection idle: the load ends, the answers still arrive.
function request()
  local at = now()
  if not deadline then deadline = at + active end
  if at >= deadline then return "" end
  return message
end

function done(summary, latency, requests)
  io.write(string.format(
    'SEALGATE_BENCH {"answered":%d,"non_2xx":%d,"connect_errors":%d,"read_errors":%d,"write_errors":%d,' ..
    '"timeouts":%d,"p50_us":%.1f,"p90_us":%.1f,"p99_us":%.1f,"p999_us":%.1f,"max_us":%.1f}\n',
    summary.requests, summary.errors.status, summary.errors.connect, summary.errors.read,
    summary.errors.write, summary.errors.timeout, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency:percentile(99.9), latency.max))
end
"#;
