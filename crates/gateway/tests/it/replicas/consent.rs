//! A consent that is withdrawn at one gateway.

use gateway::replicas::WhenLost;
use serde_json::json;

use super::several::Several;
use crate::support::prompt;

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_stops_the_next_call_at_every_gateway() {
    let all = Several::configured(2, WhenLost::Refuse, |config| {
        config["sealgate"]["rules"] = json!([{ "name": "consent", "require": "consented" }]);
    })
    .await;
    let key = all.key(json!({})).await;
    let ask = async |at: usize| {
        let more =
            json!({ "max_tokens": 50, "user": "anna", "metadata": { "purpose": "support" } });
        let body = prompt("echo", "hello", more);
        all.post(at, &key, "/v1/chat/completions", &body)
            .await
            .status
    };
    assert_eq!((ask(0).await, ask(1).await), (403, 403));
    let person = json!({ "subject": "anna", "purpose": "support" });
    all.manage(0, "/consent/grant", person.clone()).await;
    assert_eq!(ask(0).await, 200);
    all.until("the other gateway knows of the consent", async || {
        ask(1).await == 200
    })
    .await;
    // Each has a ledger of its own here, so a row changes where it was made.
    all.manage(0, "/consent/withdraw", person).await;
    assert_eq!(ask(0).await, 403);
    all.until("the other gateway knows of the withdrawal", async || {
        ask(1).await == 403
    })
    .await;
    all.stop().await;
}
