//! Attack cases whose subject does not exist yet. Each row names what would make it testable; when that appears, this test fails
//! and the case must be written.

use policy::route::ROUTES;

/// What a deferred case waits for.
enum Until {
    /// A route whose path contains this.
    Route(&'static str),
    /// A crate of the workspace that depends on this package.
    Package(&'static str),
    /// A key of the configuration that is honoured.
    Setting(&'static str),
}

struct Deferred {
    id: &'static str,
    what: &'static str,
    until: &'static [Until],
}

const TABLE: [Deferred; 8] = [
    Deferred {
        id: "SSRF-13",
        what: "a stored connection whose base URL changes keeps no secret",
        until: &[
            Until::Route("/model/update"),
            Until::Route("/credentials"),
            Until::Route("/model/new"),
        ],
    },
    Deferred {
        id: "SSRF-17",
        what: "webhook and policy URLs of a tenant",
        until: &[
            Until::Route("webhook"),
            Until::Setting("alerting"),
            Until::Setting("alert_to_webhook_url"),
        ],
    },
    Deferred {
        id: "HTTP-21",
        what: "multipart bodies",
        until: &[
            Until::Route("/audio/"),
            Until::Route("/files"),
            Until::Route("/images/edits"),
            Until::Package("multer"),
        ],
    },
    Deferred {
        id: "LED-15 (policies)",
        what: "policy bundles changed behind our back",
        until: &[Until::Route("/policies"), Until::Route("/policy")],
    },
    Deferred {
        id: "LED-15 (prices)",
        what: "price tables changed behind our back",
        until: &[Until::Route("/model/new"), Until::Route("/price")],
    },
    Deferred {
        id: "DUR-07",
        what: "all sinks hang",
        until: &[Until::Setting("audit_sinks"), Until::Route("/sinks")],
    },
    Deferred {
        id: "DUR-11",
        what: "witness down for a day",
        until: &[Until::Route("witness"), Until::Setting("witnesses")],
    },
    Deferred {
        id: "DUR-13",
        what: "backup and restore drill",
        until: &[Until::Route("/backup"), Until::Setting("backup")],
    },
];

/// INFO-09 waits for an exporter of traces.
const EXPORTERS: Deferred = Deferred {
    id: "INFO-09",
    what: "payloads of trace exporters",
    until: &[
        Until::Package("opentelemetry"),
        Until::Package("sentry"),
        Until::Setting("otel"),
    ],
};

/// Every id that the plan names as deferred.
const IDS: [&str; 8] = [
    "SSRF-13", "SSRF-17", "HTTP-21", "LED-15", "DUR-07", "DUR-11", "DUR-13", "INFO-09",
];

const MANIFESTS: [&str; 8] = [
    include_str!("../../../../Cargo.toml"),
    include_str!("../../Cargo.toml"),
    include_str!("../../../cli/Cargo.toml"),
    include_str!("../../../guard/Cargo.toml"),
    include_str!("../../../ledger/Cargo.toml"),
    include_str!("../../../llm/Cargo.toml"),
    include_str!("../../../policy/Cargo.toml"),
    include_str!("../../../store/Cargo.toml"),
];

const KEYS: &str = include_str!("../../src/config/keys.txt");

/// True when a line of the table of keys says that `key` has its effect.
fn honoured(key: &str) -> bool {
    let lines = KEYS.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|(keys, _)| keys.split_whitespace().any(|known| known == key))
        .any(|(_, state)| state.trim().starts_with("honoured"))
}

fn exists(until: &Until) -> Option<String> {
    match until {
        Until::Route(part) => ROUTES
            .iter()
            .flat_map(|route| route.paths.iter().copied())
            .chain(
                policy::identity::MANAGE_ROUTES
                    .iter()
                    .map(|route| route.path),
            )
            .find(|path| path.contains(part))
            .map(|path| format!("route {path}")),
        Until::Package(name) => MANIFESTS
            .iter()
            .flat_map(|manifest| manifest.lines())
            .find(|line| {
                line.trim_start()
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
            })
            .map(|line| format!("dependency {line}")),
        Until::Setting(key) => honoured(key).then(|| format!("setting {key}")),
    }
}

#[test]
fn deferred_cases_wait_for_things_that_do_not_exist() {
    for case in TABLE.iter().chain([&EXPORTERS]) {
        for until in case.until {
            if let Some(found) = exists(until) {
                panic!(
                    "{} ({}) is deferred, but {found} exists: write the case",
                    case.id, case.what
                );
            }
        }
    }
}

#[test]
fn the_table_is_complete_and_its_probe_can_find() {
    for id in IDS {
        assert!(
            TABLE
                .iter()
                .chain([&EXPORTERS])
                .any(|case| case.id.starts_with(id)),
            "{id}"
        );
    }
    // Each kind of probe finds something that does exist, so that finding nothing means something.
    assert!(exists(&Until::Route("/chat/completions")).is_some());
    assert!(exists(&Until::Package("hyper")).is_some());
    assert!(exists(&Until::Setting("master_key")).is_some());
}
