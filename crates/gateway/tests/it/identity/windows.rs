//! Budgets in time: windows, several at once, velocity, increases that end, soft budgets, clocks that jump.

use serde_json::{Value, json};

use crate::support::{MASTER, TestApp};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// What one call of `echo` with five tokens of answer reserves, in USD.
async fn need(app: &TestApp) -> f64 {
    let probe = app.key(json!({ "max_budget": 0 })).await;
    let refused = app
        .chat_as(&probe, "echo", json!({ "max_tokens": 5 }))
        .await;
    let text = refused.error("message").to_string();
    let rest = text
        .split("Needed by this call: ")
        .nth(1)
        .expect("the need");
    rest.split(' ')
        .next()
        .expect("a number")
        .parse()
        .expect("a number")
}

async fn status(app: &TestApp, key: &str) -> u16 {
    let answer = app.chat_as(key, "echo", json!({ "max_tokens": 5 })).await;
    app.at_rest().await;
    answer.status
}

/// Spends what is left of a budget, to the point where a call is refused.
async fn spent_up(app: &TestApp, key: &str) {
    for _ in 0..100 {
        if status(app, key).await == 422 {
            return;
        }
    }
    panic!("a hundred calls and the budget is not spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_ends_gives_the_budget_back_without_a_job() {
    let app = TestApp::start().await;
    let budget = need(&app).await * 1.5;
    let key = app
        .key(json!({ "max_budget": budget, "budget_duration": "1h" }))
        .await;
    spent_up(&app, &key).await;
    let answer = app.chat_as(&key, "echo", json!({ "max_tokens": 5 })).await;
    let wait: i64 = answer
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("a number");
    assert!((1..=HOUR).contains(&wait), "{wait}");
    assert!(
        answer
            .error("message")
            .to_string()
            .contains("Budget resets at: ")
    );
    // Exactly the time that was said is enough, and a second less is not.
    app.clock().shift(wait - 5);
    assert_eq!(status(&app, &key).await, 422);
    app.clock().shift(6);
    assert_eq!(status(&app, &key).await, 200);
    let info = app
        .with_key(&key, "GET", "/key/info", Value::Null)
        .await
        .json();
    assert!(info["info"]["total_spend"].as_f64() > info["info"]["spend"].as_f64());
    app.clock().shift(-2 * HOUR);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_windows_hold_together() {
    let app = TestApp::start().await;
    let one = need(&app).await;
    let (hour, month) = (one * 2.0, one * 3.0);
    let key = app
        .key(json!({ "budget_limits": [
            { "budget_duration": "1h", "max_budget": hour },
            { "budget_duration": "30d", "max_budget": month },
        ] }))
        .await;
    let mut hours = 0;
    // The wider window ends it, after more than one hour's worth.
    while hours < 20 {
        spent_up(&app, &key).await;
        let text = app
            .chat_as(&key, "echo", json!({ "max_tokens": 5 }))
            .await
            .text();
        let wide = format!("Max budget: {month:.6}");
        if text.contains(&wide) {
            break;
        }
        app.clock().shift(HOUR);
        hours += 1;
    }
    assert!((1..20).contains(&hours), "{hours}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spend_a_minute_stops_a_loop() {
    let app = TestApp::start().await;
    let one = need(&app).await;
    let team = json!({ "team_id": "loops", "max_spend_per_minute": one * 1.5 });
    app.manage("/team/new", team).await;
    let key = app.key(json!({ "team_id": "loops" })).await;
    spent_up(&app, &key).await;
    let refused = app.chat_as(&key, "echo", json!({ "max_tokens": 5 })).await;
    let wait: i64 = refused
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("a number");
    assert!((1..=60).contains(&wait), "{wait}");
    app.clock().shift(61);
    assert_eq!(status(&app, &key).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_increase_ends_when_it_says() {
    let app = TestApp::start().await;
    let one = need(&app).await;
    let key = app.key(json!({ "max_budget": one * 0.5 })).await;
    assert_eq!(status(&app, &key).await, 422);
    let until = ledger::Clock::now(app.clock()).micros() / 1_000_000 + 2 * HOUR;
    let until = jiff::Timestamp::from_second(until).expect("a time");
    app.manage(
        "/key/update",
        json!({ "key": key, "temp_budget_increase": one * 100.0, "temp_budget_expiry": until.to_string() }),
    )
    .await;
    assert_eq!(status(&app, &key).await, 200);
    app.clock().shift(2 * HOUR + 1);
    assert_eq!(status(&app, &key).await, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_budget_is_said_once_and_refuses_nothing() {
    let app = TestApp::start().await;
    let key = app
        .key(json!({ "soft_budget": 0.000001, "key_alias": "soft-one" }))
        .await;
    for _ in 0..3 {
        assert_eq!(status(&app, &key).await, 200);
    }
    let id = app
        .with_key(&key, "GET", "/key/info", Value::Null)
        .await
        .json()["key"]
        .clone();
    let logged = app.logged(id.as_str().expect("an id"), "a soft budget is reached");
    assert_eq!(logged, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bud_13_a_clock_that_jumps_gives_at_most_one_more_window() {
    let app = TestApp::start().await;
    let budget = need(&app).await * 1.5;
    let key = app
        .key(json!({ "max_budget": budget, "budget_duration": "1d" }))
        .await;
    spent_up(&app, &key).await;
    // A day ahead is one more window; back again and ahead again is none.
    app.clock().shift(DAY);
    spent_up(&app, &key).await;
    for jump in [-DAY, DAY, -DAY, DAY] {
        app.clock().shift(jump);
        assert_eq!(status(&app, &key).await, 422, "after {jump}");
    }
    app.clock().shift(-DAY);
    // Whatever the clock says, a rate of a minute does not stay shut.
    let key = app.key(json!({ "rpm_limit": 1 })).await;
    assert_eq!(status(&app, &key).await, 200);
    assert_eq!(status(&app, &key).await, 429);
    app.clock().shift(-DAY);
    assert_eq!(status(&app, &key).await, 200);
    app.clock().shift(DAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn bud_estimate_passes_a_limit_by_one_answer_at_most() {
    let app = TestApp::with(|config| config["sealgate"]["budget_mode"] = json!("estimate")).await;
    let strict = TestApp::start().await;
    let strictly = need(&strict).await;
    let likely = need(&app).await;
    assert!(likely < strictly, "{likely} {strictly}");
    let key = app.key(json!({ "max_budget": likely * 1.2 })).await;
    spent_up(&app, &key).await;
    let info = app
        .with_key(MASTER, "GET", "/global/spend", Value::Null)
        .await
        .json();
    let spent = info["spend"].as_f64().expect("a number");
    // What one call can cost at most above what was reserved for it.
    assert!(spent <= likely * 1.2 + strictly, "{spent}");
}
