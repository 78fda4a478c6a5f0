//! Sizes, times and counts that bound what the gateway takes in.

use std::time::Duration;

use super::problems::{Report, Severity};
use super::reader::Section;
use super::states::Table;

/// The bounds of everything a peer can make large, slow or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub max_request_bytes: usize,
    /// Bytes of an upstream's answer, a whole stream included.
    pub max_response_bytes: usize,
    /// Bytes of a request's head.
    pub max_header_bytes: usize,
    /// Bytes of one event of a stream.
    pub max_event_bytes: usize,
    /// Nesting of JSON.
    pub max_json_depth: usize,
    /// Open client connections.
    pub max_connections: u32,
    /// Open client connections of one address; `None` for no such limit. Trusted proxies are not counted.
    pub connections_per_address: Option<u32>,
    /// Requests a second of one address; `None` for no such limit.
    pub requests_per_address: Option<u32>,
    /// Requests of one address at once, above which the rate holds.
    pub burst_per_address: u32,
    /// Wrong keys a minute of one address; above it 429 in place of 401. Right keys are not touched.
    pub wrong_keys_per_address: u32,
    /// Calls at the same time.
    pub max_parallel: u32,
    /// Calls whose record is not committed yet.
    pub settle_slots: u32,
    /// The longest a client takes to send the head of a request.
    pub header_timeout: Duration,
    /// The longest a client is silent inside a body, or does not read an answer.
    pub body_idle_timeout: Duration,
    /// The longest a connection to an upstream takes to open.
    pub connect_timeout: Duration,
    /// The longest an upstream takes to begin its answer.
    pub first_byte_timeout: Duration,
    /// The longest an upstream is silent inside its answer.
    pub idle_timeout: Duration,
    /// The longest a whole call takes.
    pub total_timeout: Duration,
    /// Silence after which a stream sends a comment.
    pub keep_alive_interval: Duration,
    /// The longest a shutdown waits for calls in flight.
    pub drain_timeout: Duration,
    /// Refused requests that are sealed one by one each minute; beyond it they
    /// are counted exactly and sealed as summaries.
    pub sealed_refusals_per_minute: u32,
    /// Free bytes on the data directory's disk below which no call is admitted.
    pub min_free_disk_bytes: u64,
}

const MIB: usize = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_bytes: 32 * MIB,
            max_response_bytes: 64 * MIB,
            max_header_bytes: 64 * 1024,
            max_event_bytes: 4 * MIB,
            max_json_depth: 128,
            max_connections: 10_000,
            connections_per_address: None,
            requests_per_address: None,
            burst_per_address: 20,
            wrong_keys_per_address: 600,
            max_parallel: 1_024,
            settle_slots: 4_096,
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(600),
            total_timeout: Duration::from_secs(6_000),
            keep_alive_interval: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(60),
            sealed_refusals_per_minute: 60,
            min_free_disk_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Reads `sealgate.limits`, and what LiteLLM's sections say about the same things.
pub(super) fn read(root: &Section<'_>, table: &Table, report: &mut Report) -> Limits {
    let general = root.section("general_settings", report);
    let litellm = root.section("litellm_settings", report);
    let router = root.section("router_settings", report);
    let own = root.section("sealgate", report).section("limits", report);
    own.judge_strictly(table, "sealgate.limits", report);
    let mut limits = Limits::default();

    let mut bytes = |target: &mut usize, section: &Section<'_>, key: &str, unit: usize| {
        let most = u64::try_from(usize::MAX / (1 << 20))
            .unwrap_or(u64::MAX)
            .min(1 << 20);
        let Some(number) = section.whole(key, 1, report) else {
            return;
        };
        if number > most {
            report.problem(
                &section.place_of(key),
                &section.path_of(key),
                "number too large",
            );
            return;
        }
        *target = usize::try_from(number).unwrap_or(1).saturating_mul(unit);
    };
    bytes(
        &mut limits.max_request_bytes,
        &general,
        "max_request_size_mb",
        MIB,
    );
    bytes(
        &mut limits.max_response_bytes,
        &general,
        "max_response_size_mb",
        MIB,
    );
    bytes(&mut limits.max_request_bytes, &own, "max_request_mb", MIB);
    bytes(&mut limits.max_response_bytes, &own, "max_response_mb", MIB);
    bytes(&mut limits.max_header_bytes, &own, "max_header_kb", 1024);
    bytes(&mut limits.max_event_bytes, &own, "max_event_kb", 1024);
    let mut free = 0;
    bytes(&mut free, &own, "min_free_disk_mb", MIB);
    if free > 0 {
        limits.min_free_disk_bytes = u64::try_from(free).unwrap_or(u64::MAX);
    }

    let mut count = |target: &mut u32, section: &Section<'_>, key: &str| {
        if let Some(number) = section.count(key, 1, report) {
            *target = number;
        }
    };
    count(
        &mut limits.max_parallel,
        &general,
        "global_max_parallel_requests",
    );
    count(&mut limits.max_parallel, &own, "max_parallel");
    count(&mut limits.max_connections, &own, "max_connections");
    count(&mut limits.settle_slots, &own, "settle_slots");
    count(
        &mut limits.sealed_refusals_per_minute,
        &own,
        "sealed_refusals_per_minute",
    );
    count(
        &mut limits.wrong_keys_per_address,
        &own,
        "wrong_keys_per_address",
    );
    count(&mut limits.burst_per_address, &own, "burst_per_address");
    limits.connections_per_address = own.count("connections_per_address", 1, report);
    limits.requests_per_address = own.count("requests_per_address", 1, report);
    let mut count = |target: &mut u32, section: &Section<'_>, key: &str| {
        if let Some(number) = section.count(key, 1, report) {
            *target = number;
        }
    };
    let mut depth = 0;
    count(&mut depth, &own, "max_json_depth");
    if depth > 0 {
        limits.max_json_depth = usize::try_from(depth)
            .unwrap_or(limits.max_json_depth)
            .min(512);
    }

    let mut time = |target: &mut Duration, section: &Section<'_>, key: &str| {
        if let Some(time) = section.seconds(key, report) {
            *target = time;
        }
    };
    time(&mut limits.total_timeout, &litellm, "request_timeout");
    time(&mut limits.total_timeout, &router, "timeout");
    time(&mut limits.total_timeout, &own, "total_timeout");
    time(&mut limits.idle_timeout, &router, "stream_timeout");
    time(&mut limits.idle_timeout, &own, "idle_timeout");
    time(&mut limits.first_byte_timeout, &own, "first_byte_timeout");
    time(&mut limits.connect_timeout, &own, "connect_timeout");
    time(&mut limits.header_timeout, &own, "header_timeout");
    time(&mut limits.body_idle_timeout, &own, "body_timeout");
    time(&mut limits.keep_alive_interval, &own, "keep_alive_interval");
    time(&mut limits.drain_timeout, &own, "drain_timeout");
    limits.first_byte_timeout = limits.first_byte_timeout.min(limits.total_timeout);
    limits.idle_timeout = limits.idle_timeout.min(limits.total_timeout);
    if limits.settle_slots < limits.max_parallel {
        let message =
            "fewer settle slots than parallel calls: calls are refused while records wait";
        let path = own.path_of("settle_slots");
        report.note(
            Severity::Warning,
            &own.place_of("settle_slots"),
            &path,
            message,
        );
    }
    limits
}
