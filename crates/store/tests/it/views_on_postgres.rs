//! What dashboards and runbooks ask LiteLLM's tables, asked of the views: each statement runs and finds what its title says, in
//! whatever time zone the server has.

use capsule::{Capsule, CapsuleType, Draft};
use ledger::{Clock, Intent, Ledger, SystemClock};
use store::change::{AuditRow, Change, EntityRow};
use store::spend::{CostSource, Spend, Status};

use crate::ledger_on_postgres::{World, alone};
use crate::support::{GRACE, id, record};

const ZONES: [&str; 5] = [
    "UTC",
    "Asia/Kolkata",
    "America/Los_Angeles",
    "Pacific/Auckland",
    "Asia/Kathmandu",
];
const MINUTE: i64 = 60_000_000;

fn call(ledger: &Ledger, spend: Spend) -> String {
    let id = id();
    let intent = Intent {
        id,
        opened_at: SystemClock.now(),
        payload: Vec::new(),
    };
    let opened = ledger.open(ledger.slot().unwrap(), intent).wait().unwrap();
    let mut capsule = Capsule {
        id,
        capsule_type: CapsuleType::Chat,
        ..Capsule::default()
    };
    capsule.trigger.request = "what is kept of it".to_owned();
    capsule.context.agent_id = "agent-7".to_owned();
    let draft = Draft::new(&capsule).unwrap();
    opened.settle(draft, Some(spend.encode())).wait().unwrap();
    id.to_string()
}

fn spend(key: &str, dollars: i64, minutes_ago: i64) -> Spend {
    Spend {
        at: SystemClock.now().micros() - minutes_ago * MINUTE,
        status: Status::Success,
        call_type: "acompletion".to_owned(),
        model: "gpt-4o".to_owned(),
        deployment: "d1".to_owned(),
        provider: "openai".to_owned(),
        key: key.to_owned(),
        team: "t1".to_owned(),
        user: "u1".to_owned(),
        end_user: "e1".to_owned(),
        tags: "blue\u{1f}green".to_owned(),
        address: "192.0.2.7".to_owned(),
        tokens_in: 10,
        tokens_out: 5,
        duration_ms: 1500,
        cost_micro_usd: Some(dollars * 1_000_000),
        cost_source: CostSource::Table,
        ..Spend::default()
    }
}

fn entity(kind: &str, id: &str, doc: &str) -> EntityRow {
    EntityRow {
        kind: kind.to_owned(),
        tenant: String::new(),
        id: id.to_owned(),
        version: 1,
        doc: doc.to_owned(),
        mac: "0".repeat(64),
        deleted: false,
    }
}

fn audit(action: &str, table: &str, object: &str, after: &str) -> AuditRow {
    AuditRow {
        at: SystemClock.now().micros(),
        changed_by: "admin".to_owned(),
        changed_by_key: "k0".to_owned(),
        action: action.to_owned(),
        table_name: table.to_owned(),
        object_id: object.to_owned(),
        updated_values: Some(after.to_owned()),
        ..AuditRow::default()
    }
}

/// A day of a small company: two keys that spend, one of them from two addresses, a key that somebody guesses, changes.
fn lived(world: &World) -> String {
    let ledger = world.start(alone());
    let key = r#"{"kind":"key","id":"k1","version":1,"alias":"web","team":"t1","user":"u1","models":["gpt-4o"],
        "caps":{"max_budget":250000000,"budget_duration":"30d","rpm_limit":100,"max_parallel_requests":4},
        "spend":{"amount":1000000,"since":0},"metadata":"{\"app\":\"shop\"}","blocked":true,
        "key":{"digest":"00","name":"sk-...aaaa","expires":4102444800000000,"allowed_routes":["/v1/models"],"agents":["agent-7"]},
        "created_at":1700000000000000,"created_by":"admin","updated_at":1700000001000000,"updated_by":"admin"}"#;
    let team = r#"{"kind":"team","id":"t1","version":1,"alias":"engineering","models":["gpt-4o"],
        "caps":{"max_budget":1000000000,"tpm_limit":500000},"group":{"members":[{"user":"u1","role":"admin"},{"user":"u2"}]},
        "created_at":1700000000000000,"created_by":"admin","updated_at":1700000000000000,"updated_by":"admin"}"#;
    let user = r#"{"kind":"user","id":"u1","version":1,"person":{"role":"internal_user","email":"u1@example.com"},
        "created_at":1700000000000000,"created_by":"admin","updated_at":1700000000000000,"updated_by":"admin"}"#;
    let change = Change {
        rows: vec![
            entity("key", "k1", key),
            entity("team", "t1", team),
            entity("user", "u1", user),
        ],
        audit: vec![
            audit("created", "LiteLLM_VerificationToken", "k1", key),
            audit(
                "blocked",
                "LiteLLM_VerificationToken",
                "k1",
                r#"{"blocked":true}"#,
            ),
        ],
    };
    let sealed = ledger.append(record(id(), None), Some(change.encode().unwrap()));
    sealed.wait().unwrap();
    let mut traced = String::new();
    for minutes in [5, 20, 40] {
        traced = call(&ledger, spend("k1", 60, minutes));
    }
    let elsewhere = Spend {
        address: "198.51.100.9".to_owned(),
        ..spend("k1", 0, 3)
    };
    call(&ledger, elsewhere);
    call(&ledger, spend("k2", 1, 10));
    // Longer ago than an hour, and than a month.
    call(&ledger, spend("k2", 500, 90));
    call(&ledger, spend("k2", 7, 60 * 24 * 40));
    for _ in 0..12 {
        let refused = Spend {
            status: Status::Refused,
            key: "0123456789abcdef0123456789abcdef".to_owned(),
            cost_micro_usd: None,
            ..spend("", 0, 1)
        };
        call(&ledger, refused);
    }
    let failed = Spend {
        status: Status::Failure,
        cost_micro_usd: None,
        ..spend("k2", 0, 2)
    };
    call(&ledger, failed);
    ledger.shutdown_blocking(GRACE).unwrap();
    traced
}

#[test]
fn every_published_statement_finds_what_it_looks_for_in_every_time_zone() {
    let Some(world) = World::new() else { return };
    let traced = lived(&world);
    let database = world.url.rsplit('/').next().unwrap().to_owned();
    for zone in ZONES {
        world.sql(&format!(
            "ALTER DATABASE {database} SET timezone TO '{zone}'"
        ));
        assert_eq!(world.sql("SHOW timezone"), [zone]);
        // Keys that spent more than 100 dollars in the last hour.
        let spenders = world.sql(
            r#"SELECT api_key, COUNT(*) AS calls, SUM(spend) AS dollars FROM "LiteLLM_SpendLogs"
               WHERE "startTime" >= NOW() - INTERVAL '1 hour' GROUP BY api_key HAVING SUM(spend) > 100 ORDER BY dollars DESC"#,
        );
        assert_eq!(spenders, ["k1|4|180"], "{zone}");
        // Keys that were refused more than ten times in the last hour.
        let refused = world.sql(
            r#"SELECT api_key, COUNT(*) AS n FROM "LiteLLM_SpendLogs" WHERE status = 'error'
               AND "startTime" >= NOW() - INTERVAL '1 hour' GROUP BY api_key HAVING COUNT(*) > 10"#,
        );
        assert_eq!(refused, ["0123456789abcdef0123456789abcdef|12"], "{zone}");
        // Every call of a leaked key, newest first.
        let calls = world.sql(
            r#"SELECT request_id, model, "user", spend, "startTime", messages FROM "LiteLLM_SpendLogs"
               WHERE api_key = 'k1' ORDER BY "startTime" DESC"#,
        );
        assert_eq!(calls.len(), 4, "{zone}");
        let last = calls.last().unwrap();
        assert!(
            last.starts_with(&format!("{traced}|gpt-4o|u1|60|")),
            "{last}"
        );
        assert!(
            last.ends_with(r#"[{"role": "user", "content": "what is kept of it"}]"#),
            "{last}"
        );
        // Keys that were used from several addresses in the last hour.
        let travelling = world.sql(
            "SELECT key_id, COUNT(DISTINCT ip_address) FROM litellm_usage WHERE start_time > NOW() - INTERVAL '1 hour' \
             GROUP BY key_id HAVING COUNT(DISTINCT ip_address) > 1",
        );
        assert_eq!(travelling, ["k1|2"], "{zone}");
        // The audit trail, newest first.
        let trail = world.sql(
            r#"SELECT updated_at, changed_by, action, table_name, object_id, before_value, updated_values
               FROM "LiteLLM_AuditLog" ORDER BY updated_at DESC, id DESC"#,
        );
        assert_eq!(trail.len(), 2, "{zone}");
        assert!(
            trail[0].contains("|admin|blocked|LiteLLM_VerificationToken|k1||"),
            "{}",
            trail[0]
        );
        let recent = r#"SELECT count(*) FROM "LiteLLM_AuditLog" WHERE updated_at >= NOW() - INTERVAL '10 minutes'"#;
        assert_eq!(world.sql(recent), ["2"], "{zone}");
    }
}

#[test]
fn the_wide_tables_and_views_show_keys_teams_and_days() {
    let Some(world) = World::new() else { return };
    lived(&world);
    let one = |sql: &str| world.sql(sql).join(";");
    assert_eq!(
        one(
            r#"SELECT token, key_name, key_alias, spend, total_spend, models, user_id, team_id, rpm_limit, max_budget,
               budget_duration, blocked, metadata ->> 'app', allowed_routes, agent_id FROM "LiteLLM_VerificationToken""#
        ),
        "k1|sk-...aaaa|web|181|180|{gpt-4o}|u1|t1|100|250|30d|t|shop|{/v1/models}|agent-7"
    );
    assert_eq!(
        one(
            r#"SELECT team_id, team_alias, admins, members, max_budget, tpm_limit, blocked, spend > 180 FROM "LiteLLM_TeamTable""#
        ),
        "t1|engineering|{u1}|{u1,u2}|1000|500000|f|t"
    );
    assert_eq!(
        one(r#"SELECT user_id, user_role, user_email, teams FROM "LiteLLM_UserTable""#),
        "u1|internal_user|u1@example.com|{t1}"
    );
    assert_eq!(
        one(r#"SELECT user_id, role FROM "LiteLLM_TeamMembership" ORDER BY 1"#),
        "u1|admin;u2|user"
    );
    assert_eq!(
        one(r#"SELECT k.team_alias, k.team_max_budget FROM "LiteLLM_VerificationTokenView" k"#),
        "engineering|1000"
    );
    assert_eq!(
        one(
            r#"SELECT api_key, key_alias, total_spend FROM "Last30dKeysBySpend" WHERE total_spend > 0"#
        ),
        "k2||501;k1|web|180"
    );
    assert_eq!(one(r#"SELECT * FROM "Last30dModelsBySpend""#), "gpt-4o|681");
    assert_eq!(
        one(r#"SELECT end_user, total_spend FROM "Last30dTopEndUsersSpend""#),
        "e1|681"
    );
    assert_eq!(one(r#"SELECT sum(spend) FROM "MonthlyGlobalSpend""#), "681");
    assert_eq!(
        one(r#"SELECT sum(spend) FROM "MonthlyGlobalSpendPerKey" WHERE api_key = 'k1'"#),
        "180"
    );
    assert_eq!(
        one(r#"SELECT sum(spend) FROM "MonthlyGlobalSpendPerUserPerKey" WHERE "user" = 'u1'"#),
        "681"
    );
    assert_eq!(
        one(
            r#"SELECT individual_request_tag, sum(total_spend) FROM "DailyTagSpend" GROUP BY 1 ORDER BY 1"#
        ),
        "blue|688;green|688"
    );
    for (view, what) in [
        ("LiteLLM_DailyUserSpend", "user_id = 'u1'"),
        ("LiteLLM_DailyTeamSpend", "team_id = 't1'"),
        ("LiteLLM_DailyEndUserSpend", "end_user_id = 'e1'"),
        ("LiteLLM_DailyTagSpend", "tag = 'blue'"),
        ("LiteLLM_DailyAgentSpend", "agent_id = 'agent-7'"),
        ("LiteLLM_DailyGlobalSpend", "true"),
    ] {
        let sums = format!(
            r#"SELECT sum(spend), sum(api_requests), sum(successful_requests), sum(failed_requests), sum(prompt_tokens)
               FROM "{view}" WHERE {what}"#
        );
        assert_eq!(one(&sums), "688|20|7|13|200", "{view}");
    }
    assert_eq!(one(r#"SELECT count(*) FROM "LiteLLM_ErrorLogs""#), "13");
    assert_eq!(
        one(
            r#"SELECT total_tokens, prompt_tokens, completion_tokens, custom_llm_provider, request_tags, metadata ->> 'user_api_key',
               request_duration_ms, "endTime" - "startTime" FROM "LiteLLM_SpendLogs" WHERE api_key = 'k1' LIMIT 1"#
        ),
        r#"15|10|5|openai|["blue", "green"]|k1|1500|00:00:01.5"#
    );
    // The rest of the names answer too, although nothing is in them.
    for empty in [
        "LiteLLM_BudgetTable",
        "LiteLLM_EndUserTable",
        "LiteLLM_OrganizationTable",
        "LiteLLM_OrganizationMembership",
        "LiteLLM_TagTable",
        "LiteLLM_DeletedVerificationToken",
        "LiteLLM_DeletedTeamTable",
        "LiteLLM_DailyOrganizationSpend",
    ] {
        assert_eq!(
            one(&format!(r#"SELECT count(*) FROM "{empty}""#)),
            "0",
            "{empty}"
        );
    }
}

#[test]
fn tables_of_a_litellm_that_was_here_before_are_left_alone() {
    let Some(server) = crate::pg_shared::server() else {
        return;
    };
    let url = server.database();
    let programs = crate::pg_server::programs().unwrap();
    crate::pg_server::sql(
        &programs,
        &url,
        r#"CREATE TABLE "LiteLLM_SpendLogs" (request_id text PRIMARY KEY, spend float8);
           INSERT INTO "LiteLLM_SpendLogs" VALUES ('old', 1)"#,
    );
    let world = World::at(url);
    lived(&world);
    assert_eq!(
        world.sql(r#"SELECT request_id FROM "LiteLLM_SpendLogs""#),
        ["old"]
    );
    assert_eq!(
        world.sql(r#"SELECT sum(spend) FROM "LiteLLM_DailyGlobalSpend""#),
        ["688"]
    );
}
