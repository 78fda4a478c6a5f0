//! The documentation names every setting of our own, and every default as it is.

use crate::config::Limits;
use crate::config::states::Table;

const PAGE: &str = include_str!("../../../../../docs/configuration.md");

/// The first and second cell of every table row.
fn rows() -> Vec<(Vec<&'static str>, &'static str)> {
    PAGE.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let keys = cells
                .next()?
                .split(", ")
                .filter_map(|key| key.strip_prefix('`')?.strip_suffix('`'));
            Some((keys.collect(), cells.next()?.trim()))
        })
        .collect()
}

#[test]
fn every_key_of_our_own_sections_is_documented() {
    let rows = rows();
    let documented: Vec<_> = rows
        .iter()
        .flat_map(|(keys, _)| keys.iter().copied())
        .collect();
    let table = Table::new();
    for section in [
        "sealgate",
        "sealgate.egress",
        "sealgate.limits",
        "sealgate.retries",
        "sealgate.redis",
    ] {
        for key in table.keys(section) {
            assert!(documented.contains(&key), "{section}.{key}");
        }
    }
}

#[test]
fn documented_limits_are_the_defaults() {
    let rows = rows();
    let shown = |key: &str| {
        let row = rows.iter().find(|(keys, _)| keys.contains(&key)).unwrap();
        row.1.parse::<u128>().unwrap()
    };
    let limits = Limits::default();
    let mib = |bytes: usize| (bytes >> 20) as u128;
    assert_eq!(shown("max_request_mb"), mib(limits.max_request_bytes));
    assert_eq!(shown("max_response_mb"), mib(limits.max_response_bytes));
    assert_eq!(
        shown("max_header_kb"),
        (limits.max_header_bytes >> 10) as u128
    );
    assert_eq!(
        shown("max_event_kb"),
        (limits.max_event_bytes >> 10) as u128
    );
    assert_eq!(shown("max_json_depth"), limits.max_json_depth as u128);
    assert_eq!(shown("max_connections"), u128::from(limits.max_connections));
    assert_eq!(shown("max_parallel"), u128::from(limits.max_parallel));
    assert_eq!(shown("settle_slots"), u128::from(limits.settle_slots));
    assert_eq!(
        shown("min_free_disk_mb"),
        u128::from(limits.min_free_disk_bytes >> 20)
    );
    let refusals = shown("sealed_refusals_per_minute");
    assert_eq!(refusals, u128::from(limits.sealed_refusals_per_minute));
    for (key, time) in [
        ("header_timeout", limits.header_timeout),
        ("body_timeout", limits.body_idle_timeout),
        ("connect_timeout", limits.connect_timeout),
        ("first_byte_timeout", limits.first_byte_timeout),
        ("idle_timeout", limits.idle_timeout),
        ("total_timeout", limits.total_timeout),
        ("keep_alive_interval", limits.keep_alive_interval),
        ("drain_timeout", limits.drain_timeout),
    ] {
        assert_eq!(shown(key), u128::from(time.as_secs()), "{key}");
    }
}

#[test]
fn the_configuration_of_the_page_loads() {
    let blocks: Vec<&str> = PAGE
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        super::support::load_text(block).unwrap();
    }
}
