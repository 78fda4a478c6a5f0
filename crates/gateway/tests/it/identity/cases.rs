//! Which test stands for which case: every id of the families is a test that exists, or waits for something that does not.

use policy::identity::MANAGE_ROUTES;
use policy::route::ROUTES;

const SOURCES: [&str; 16] = [
    include_str!("advisories.rs"),
    include_str!("attacks.rs"),
    include_str!("auth.rs"),
    include_str!("authz.rs"),
    include_str!("behind.rs"),
    include_str!("budgets.rs"),
    include_str!("lifecycle.rs"),
    include_str!("limits.rs"),
    include_str!("windows.rs"),
    include_str!("../info.rs"),
    include_str!("../replicas/outages.rs"),
    include_str!("../ssrf.rs"),
    include_str!("../../../../policy/src/budget/reference_tests.rs"),
    include_str!("../../../../policy/src/master_key_tests.rs"),
    include_str!("../../../../policy/src/identity/matrix_tests.rs"),
    include_str!("../../../../../tests/durability/budget.rs"),
];

const KEYS: &str = include_str!("../../../src/config/keys.txt");

/// What stands for a case.
enum By {
    /// A test of this name.
    Test(&'static str),
    /// Nothing yet: it needs a setting that is honoured, or a route with this in its path.
    Waits(&'static [&'static str], &'static [&'static str]),
}
use By::{Test, Waits};

const CASES: &[(&str, By)] = &[
    ("AUTH-01", Test("auth_01_no_key_is_no_key_in_every_form")),
    ("AUTH-03", Test("auth_03_sql_as_a_key_is_an_unknown_key")),
    ("AUTH-05", Test("auth_05_query_and_body_carry_no_keys")),
    (
        "AUTH-07",
        Test("auth_07_whoever_guesses_keys_is_slowed_down_and_nobody_else_is"),
    ),
    (
        "AUTH-09",
        Waits(&["enable_jwt_auth", "litellm_jwtauth"], &["/jwt"]),
    ),
    (
        "AUTH-11",
        Waits(&["enable_jwt_auth", "litellm_jwtauth"], &["/jwt"]),
    ),
    (
        "AUTH-13",
        Test("auth_13_whatever_the_api_returns_is_no_credential"),
    ),
    (
        "AUTH-15",
        Test("auth_15_forwarded_addresses_count_from_trusted_proxies_only"),
    ),
    (
        "KEY-01",
        Test("key_01_a_block_under_load_admits_no_call_after_its_answer"),
    ),
    (
        "KEY-03",
        Test("key_03_deleting_a_user_or_membership_ends_its_keys"),
    ),
    (
        "KEY-05",
        Test("key_05_a_new_team_of_the_same_id_gets_no_old_keys"),
    ),
    (
        "KEY-07",
        Test("key_07_own_values_are_strong_and_nobody_elses"),
    ),
    (
        "KEY-09",
        Test("key_01_a_blocked_key_is_refused_at_once_and_its_stream_is_cut"),
    ),
    (
        "AUTHZ-01",
        Test("authz_01_every_route_refuses_roles_that_the_table_does_not_grant"),
    ),
    (
        "AUTHZ-03",
        Test("authz_03_what_was_minted_shrinks_with_who_minted_it"),
    ),
    (
        "AUTHZ-05",
        Test("authz_05_fields_that_would_grant_or_limit_are_known_or_refused"),
    ),
    (
        "AUTHZ-07",
        Test("authz_07_nobody_below_an_administrator_configures"),
    ),
    (
        "AUTHZ-09",
        Test("authz_09_an_auditor_writes_nothing_and_nobody_deletes_records"),
    ),
    (
        "TEN-01",
        Test("ten_01_a_tenant_sees_its_own_and_nothing_else"),
    ),
    (
        "TEN-03",
        Test("ten_03_lists_and_filters_show_own_rows_only"),
    ),
    ("TEN-05", Test("ten_05_no_character_of_another_stream")),
    ("TEN-07", Waits(&["cache", "cache_params"], &["/cache"])),
    ("TEN-09", Test("ten_09_a_request_does_not_say_whose_it_is")),
    (
        "BUD-01",
        Test("bud_01_two_hundred_parallel_calls_at_a_budget_for_five"),
    ),
    (
        "BUD-03",
        Test("bud_03_budgets_after_a_kill_are_those_of_the_records"),
    ),
    (
        "BUD-05",
        Test("bud_05_a_redis_that_restarts_empty_gives_nothing_away"),
    ),
    (
        "BUD-07",
        Test("bud_07_an_answer_without_a_bound_is_bounded"),
    ),
    (
        "BUD-09",
        Test("bud_09_a_fallback_to_a_dearer_model_needs_room_too"),
    ),
    (
        "BUD-11",
        Test("bud_11_a_model_without_a_price_is_refused_under_a_budget"),
    ),
    (
        "BUD-13",
        Test("bud_13_a_clock_that_jumps_gives_at_most_one_more_window"),
    ),
    (
        "BUD-15",
        Test("rates_have_litellms_headers_and_a_truthful_retry_after"),
    ),
    (
        "BUD-17",
        Test("bud_17_budgets_are_lowered_raised_and_reset_at_once"),
    ),
    ("INJ-01", Test("inj_01_sql_is_stored_as_it_came")),
    ("INJ-03", Test("inj_03_templates_are_texts")),
    ("INJ-05", Waits(&[], &["export", "csv", "report"])),
    (
        "INJ-07",
        Waits(&["alerting", "alert_to_webhook_url"], &["webhook", "slack"]),
    ),
    (
        "LED-15 (entities)",
        Test("led_15_an_old_row_that_is_put_back_counts_as_blocked_at_every_start"),
    ),
    (
        "INFO-07",
        Test("ghsa_69x8_hrgq_fjj8_a_hash_is_no_key_and_stands_in_no_answer"),
    ),
    // Advisories.
    ("CVE-2024-4890", Test("inj_01_sql_is_stored_as_it_came")),
    (
        "CVE-2024-5225",
        Test("cve_2024_5225_filters_of_spend_and_audit_are_values"),
    ),
    (
        "CVE-2024-5710",
        Test("cve_2024_5710_teams_are_changed_by_those_who_may"),
    ),
    (
        "CVE-2024-6587",
        Test("ssrf_01_no_field_of_a_body_is_a_destination"),
    ),
    (
        "CVE-2025-0628",
        Test("cve_2025_0628_a_viewer_sees_his_own_scope"),
    ),
    (
        "CVE-2025-45809",
        Test("cve_2025_45809_sql_in_block_and_unblock_is_an_unknown_key"),
    ),
    (
        "CVE-2025-11203",
        Test("info_01_with_the_key_no_secret_and_no_address"),
    ),
    ("CVE-2026-35030", Waits(&["enable_jwt_auth"], &["/jwt"])),
    (
        "CVE-2026-35029",
        Test("authz_07_nobody_below_an_administrator_configures"),
    ),
    (
        "GHSA-69x8-hrgq-fjj8",
        Test("ghsa_69x8_hrgq_fjj8_a_hash_is_no_key_and_stands_in_no_answer"),
    ),
    (
        "CVE-2026-42208",
        Test("auth_03_sql_as_a_key_is_an_unknown_key"),
    ),
    (
        "CVE-2026-42271",
        Test("authz_07_nobody_below_an_administrator_configures"),
    ),
    (
        "CVE-2026-47101",
        Test("cve_2026_47101_a_user_mints_no_more_than_it_has"),
    ),
    (
        "CVE-2026-47102",
        Test("cve_2026_47102_nobody_raises_himself"),
    ),
    (
        "CVE-2026-49468",
        Test("cve_2026_49468_a_host_header_opens_nothing"),
    ),
    (
        "CVE-2026-59822",
        Test("cve_2026_59822_a_wrong_key_is_refused_on_every_surface"),
    ),
    (
        "CVE-2026-89032",
        Waits(&["cache", "cache_params"], &["/cache"]),
    ),
    (
        "GHSA-7hp6-4w63-5g45",
        Test("auth_13_whatever_the_api_returns_is_no_credential"),
    ),
    ("CVE-2026-12771", Waits(&["enable_jwt_auth"], &["/jwt"])),
    (
        "litellm issue 35535",
        Test("issue_35535_a_blocked_administrator_is_blocked"),
    ),
    (
        "litellm issue 32779",
        Test("ten_09_a_request_does_not_say_whose_it_is"),
    ),
];

/// Every id of the families. A family is complete when each of its odd numbers up to the last is here.
const FAMILIES: [(&str, u32); 6] = [
    ("AUTH", 15),
    ("KEY", 9),
    ("AUTHZ", 9),
    ("TEN", 9),
    ("BUD", 17),
    ("INJ", 7),
];

fn honoured(key: &str) -> bool {
    let lines = KEYS.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|(keys, _)| keys.split_whitespace().any(|known| known == key))
        .any(|(_, state)| state.trim().starts_with("honoured"))
}

fn routes() -> impl Iterator<Item = &'static str> {
    let calls = ROUTES.iter().flat_map(|route| route.paths.iter().copied());
    calls.chain(MANAGE_ROUTES.iter().map(|route| route.path))
}

#[test]
fn every_case_is_a_test_or_waits_for_what_does_not_exist() {
    for (id, by) in CASES {
        match by {
            Test(name) => {
                let begins = format!("fn {name}(");
                assert!(
                    SOURCES.iter().any(|source| source.contains(&begins)),
                    "{id}: no test {name}"
                );
            }
            Waits(settings, parts) => {
                let setting = settings.iter().find(|key| honoured(key));
                assert_eq!(
                    setting, None,
                    "{id} waits for a setting that is honoured: write the case"
                );
                let route = routes().find(|path| parts.iter().any(|part| path.contains(part)));
                assert_eq!(
                    route, None,
                    "{id} waits for a route that exists: write the case"
                );
            }
        }
    }
    // The probe can find what exists.
    assert!(honoured("master_key") && routes().any(|path| path.contains("/key/")));
}

#[test]
fn the_families_are_complete() {
    for (family, last) in FAMILIES {
        for number in (1..=last).step_by(2) {
            let id = format!("{family}-{number:02}");
            assert!(CASES.iter().any(|(case, _)| *case == id), "{id} is missing");
        }
    }
}
