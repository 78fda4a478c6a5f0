//! Rows of keys and teams that are changed in the database while nobody looks. What the next start reads is changed here
//! between store and gateway, as an edited file would give it.

use serde_json::{Value, json};
use store::change::EntityRow;

use super::disk::Site;
use crate::support::MASTER;

fn same(row: &EntityRow, kind: &str, id: &str) -> bool {
    row.kind == kind && row.id == id
}

/// Puts the row of `old` in place of the present one.
fn put_back(rows: &mut [EntityRow], old: &[EntityRow], kind: &str, id: &str) {
    let old = old
        .iter()
        .find(|row| same(row, kind, id))
        .expect("an old row");
    let row = rows.iter_mut().find(|row| same(row, kind, id));
    *row.expect("a row") = old.clone();
}

fn without(rows: &mut Vec<EntityRow>, kind: &str, id: &str) {
    let count = rows.len();
    rows.retain(|row| !same(row, kind, id));
    assert_eq!(rows.len(), count - 1);
}

/// A key that is made and then blocked; one with a budget of its own row; a blocked end user. Gives the rows before the
/// blocks.
async fn populated(site: &Site) -> (String, String, String, Vec<EntityRow>) {
    let app = site.start(|_| {}).await;
    assert_eq!(app.damaged(), 0);
    app.manage(
        "/budget/new",
        json!({ "budget_id": "b", "max_budget": 100 }),
    )
    .await;
    app.manage("/customer/new", json!({ "user_id": "c" })).await;
    let first = app.manage("/key/generate", json!({})).await;
    let second = app
        .manage("/key/generate", json!({ "budget_id": "b" }))
        .await;
    let key = |made: &Value| made["key"].as_str().expect("a key").to_owned();
    let early = site.rows();
    app.manage("/key/block", json!({ "key": first["key"] }))
        .await;
    app.manage("/customer/block", json!({ "user_ids": ["c"] }))
        .await;
    assert_eq!(app.call(&key(&first), None).await, 401);
    assert_eq!(app.call(&key(&second), None).await, 200);
    assert_eq!(app.call(&key(&second), Some("c")).await, 403);
    app.stop().await;
    let id = first["token"].as_str().expect("an id").to_owned();
    (key(&first), key(&second), id, early)
}

#[tokio::test(flavor = "multi_thread")]
async fn led_15_rows_that_nobody_touched_are_as_they_were() {
    let site = Site::new();
    let (first, second, _, _) = populated(&site).await;
    for edit in [
        (|_| {}) as fn(&mut Vec<EntityRow>),
        // Without its roll the table is compared with the records, and agrees.
        |rows| rows.retain(|row| row.kind != "roll"),
        |rows| rows.reverse(),
    ] {
        let app = site.start(edit).await;
        assert_eq!(app.damaged(), 0);
        assert_eq!(app.call(&first, None).await, 401);
        assert_eq!(app.call(&second, None).await, 200);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn led_15_an_old_row_that_is_put_back_counts_as_blocked_at_every_start() {
    let site = Site::new();
    let (first, second, id, early) = populated(&site).await;
    for _ in 0..2 {
        let app = site.start(|rows| put_back(rows, &early, "key", &id)).await;
        assert_eq!(app.damaged(), 1);
        assert_eq!(app.call(&first, None).await, 401);
        assert_eq!(app.call(&second, None).await, 200);
        let info = app
            .ask(MASTER, "GET", &format!("/key/info?key={id}"), Value::Null)
            .await;
        assert_eq!(info.json()["info"]["damaged"], true);
        // Nobody makes it good by changing it, and other changes do not either.
        for path in ["/key/unblock", "/key/block", "/key/update"] {
            let answer = app.ask(MASTER, "POST", path, json!({ "key": id })).await;
            assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        }
        app.manage("/key/generate", json!({})).await;
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn led_15_a_row_that_is_gone_still_limits() {
    let site = Site::new();
    let (_, second, _, _) = populated(&site).await;
    // A block that was deleted with its row.
    let app = site.start(|rows| without(rows, "customer", "c")).await;
    assert_eq!(app.damaged(), 1);
    assert_eq!(app.call(&second, Some("c")).await, 403);
    assert_eq!(app.call(&second, None).await, 200);
    app.stop().await;
    // A limit that was deleted with its row: nothing passes.
    let app = site.start(|rows| without(rows, "budget", "b")).await;
    assert_eq!(app.damaged(), 1);
    assert_eq!(app.call(&second, None).await, 422);
    app.stop().await;
    // And a row that is edited, MAC and all but the key to make it.
    let app = site
        .start(|rows| {
            let row = rows
                .iter_mut()
                .find(|row| same(row, "budget", "b"))
                .expect("a row");
            row.doc = row.doc.replace("100000000", "900000000");
        })
        .await;
    assert_eq!(app.damaged(), 1);
    assert_eq!(app.call(&second, None).await, 422);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn led_15_a_table_that_is_put_back_whole_is_behind_its_file() {
    let site = Site::new();
    let (first, second, _, early) = populated(&site).await;
    let app = site.start(|rows| *rows = early.clone()).await;
    // The key and the end user; the budget and the other key did not change since.
    assert_eq!(app.damaged(), 2);
    assert_eq!(app.call(&first, None).await, 401);
    assert_eq!(app.call(&second, Some("c")).await, 403);
    assert_eq!(app.call(&second, None).await, 200);
    app.stop().await;
    let app = site.start(Vec::clear).await;
    assert_eq!(app.damaged(), 4);
    assert_eq!(app.call(&second, None).await, 401);
    app.stop().await;
    // A deleted key that is put back is no key again.
    let app = site.start(|_| {}).await;
    let late = site.rows();
    app.manage("/key/delete", json!({ "keys": [second] })).await;
    app.stop().await;
    let deleted = |row: &EntityRow| row.kind == "key" && !site.rows().contains(row);
    let row = late.into_iter().find(deleted).expect("the deleted row");
    let app = site.start(|rows| rows.push(row)).await;
    assert_eq!(app.damaged(), 1);
    assert_eq!(app.call(&second, None).await, 401);
    app.stop().await;
}
