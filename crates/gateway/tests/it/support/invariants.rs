//! What must hold after every case.

use std::collections::BTreeSet;

use capsule::PublicKey;
use capsule::chain::{ChainVerifier, Level};
use capsule::verify::{Keys, Record as Verifiable, Seal};
use ledger::Checkpoint;
use ledger::memory::Contents;
use ledger::tree::{Edge, leaf_hash};
use store::change::Change;
use store::content::{Erasure, Retention};
use store::spend::{Spend, Status};

use super::evidence::{Record, records};

/// Micro-USD per token of every deployment that the tests configure.
pub(crate) const PRICE_IN: u64 = 2;
pub(crate) const PRICE_OUT: u64 = 10;

/// The chain verifies with signatures; the anchored checkpoint covers every record and has the root of the tree over them; the
/// stored one belongs to the same tree.
pub(crate) fn chain_and_tree(
    contents: &Contents,
    anchored: &str,
    key: &PublicKey,
    checkpoint_key: &PublicKey,
) {
    let mut chain = ChainVerifier::new(Level::Signatures, Keys::explicit(key));
    let mut tree = Edge::new();
    let mut roots = Vec::new();
    for row in contents.rows.values() {
        let seal = Seal {
            hash: row.hash.clone(),
            signature: row.signature.clone(),
            signature_pq: row.signature_pq.clone(),
            signed_at: row.signed_at.clone(),
            signed_by: row.signed_by.clone().unwrap_or_default(),
        };
        let record = Verifiable::from_row(&row.data, seal).expect("a readable record");
        assert!(
            record.not_normal_form().is_none(),
            "record {} is in normal form",
            row.sequence
        );
        chain
            .push(&record)
            .unwrap_or_else(|failure| panic!("the chain breaks: {failure:?}"));
        tree.push(leaf_hash(&record.record_json()));
        roots.push(tree.root());
    }
    let (_, stored) = contents.checkpoint.as_ref().expect("a stored checkpoint");
    for note in [anchored, stored] {
        let origin = Checkpoint::parse(note).expect("a checkpoint").origin;
        let checkpoint =
            Checkpoint::verify(note, &origin, checkpoint_key).expect("a signed checkpoint");
        let covered = usize::try_from(checkpoint.size).expect("a size");
        assert!(
            covered == roots.len() || note != anchored,
            "the anchored checkpoint covers {covered} of {} records",
            roots.len()
        );
        assert_eq!(
            Some(&checkpoint.root),
            covered.checked_sub(1).and_then(|last| roots.get(last))
        );
    }
}

/// No intent is open, every boot is closed, nothing was quarantined, and each intent number has exactly one record.
pub(crate) fn intents_closed(contents: &Contents) {
    assert!(
        contents.intents.is_empty(),
        "open intents: {:?}",
        contents.intents.keys()
    );
    assert!(
        contents.boots.iter().all(|boot| boot.closed),
        "{:?}",
        contents.boots
    );
    assert!(contents.quarantine.is_empty(), "{:?}", contents.quarantine);
    let records = records(contents);
    for boot in &contents.boots {
        let id = boot.id.to_string();
        let of_boot = records
            .iter()
            .filter(|record| record.is_call() && record.environment("boot") == id.as_str());
        let mut numbers: Vec<u64> = of_boot
            .filter_map(|record| record.environment("intent").as_u64())
            .collect();
        numbers.sort_unstable();
        assert_eq!(
            numbers,
            (1..=boot.last_intent).collect::<Vec<_>>(),
            "one record per intent, no gap"
        );
    }
}

/// Each call's record has its spend row, with the price of its tokens; nothing else has one.
pub(crate) fn spend_is_the_sum_of_the_records(contents: &Contents) {
    for record in records(contents) {
        let attachment = contents.attachments.get(&record.sequence);
        if record.environment("event") == "identity_change" {
            let change = Change::decode(attachment.expect("a change")).expect("a change");
            let sealed = record.environment("changes").as_array().expect("a list");
            assert_eq!(sealed.len(), change.rows.len());
            for (entry, row) in sealed.iter().zip(&change.rows) {
                assert_eq!(
                    entry["mac"],
                    row.mac.as_str(),
                    "the record holds the MAC of the row"
                );
            }
            continue;
        }
        if attachment
            .is_some_and(|bytes| Erasure::is_erasure(bytes) || Retention::is_retention(bytes))
        {
            assert!(
                ["erasure", "retention"]
                    .contains(&record.environment("event").as_str().unwrap_or_default())
            );
            continue;
        }
        let spend = attachment.map(|bytes| {
            let (content, spend) = store::content::split(bytes).expect("an attachment");
            let said = &record.document["context"]["environment"]["content"]["digest"];
            let commitment = content.map(|content| content.commitment().hex());
            assert_eq!(
                said.as_str(),
                commitment.as_deref(),
                "the record commits to its content"
            );
            Spend::decode(spend).expect("a spend row")
        });
        // Whoever could not be authenticated has a row that costs nothing.
        if let Some(row) = spend.as_ref().filter(|row| row.status == Status::Refused) {
            assert_eq!(
                (record.environment("event").as_str(), row.cost_micro_usd),
                (Some("refusal"), None)
            );
            continue;
        }
        assert_eq!(
            spend.is_some(),
            record.is_call(),
            "spend rows belong to calls: {}",
            record.document
        );
        let Some(spend) = spend else { continue };
        let used = &record.document["execution"]["resources_used"];
        assert_eq!(
            used["cost_micro_usd"].as_i64(),
            spend.cost_micro_usd,
            "{used}"
        );
        assert_eq!(
            (used["tokens_in"].as_u64(), used["tokens_out"].as_u64()),
            (Some(spend.tokens_in), Some(spend.tokens_out))
        );
        let configured = record.environment("cost_source") == "config";
        if let Some(cost) = spend.cost_micro_usd.filter(|_| configured) {
            let price = spend.tokens_in * PRICE_IN + spend.tokens_out * PRICE_OUT;
            assert_eq!(u64::try_from(cost).ok(), Some(price), "{used}");
        }
        assert_eq!(record.outcome(), spend.status.as_str());
    }
}

/// Each request that a provider saw is an attempt in exactly one record, and no record claims one that none saw.
pub(crate) fn providers_agree(records: &[Record], seen: usize) {
    let attempts = records.iter().flat_map(Record::attempts);
    // An attempt that ended without an answer may or may not have arrived.
    let unsure = |error: &Option<&str>| {
        matches!(
            error,
            Some("upstream_unreachable" | "upstream_timeout" | "no_answer")
        )
    };
    let unsure = attempts.clone().filter(unsure).count();
    let sent = attempts.count();
    assert!(
        (sent - unsure..=sent).contains(&seen),
        "providers saw {seen} requests, the ledger has {sent} (unsure: {unsure})"
    );
    for record in records {
        let attempted = !record.attempts().is_empty();
        assert_eq!(attempted, !record.environment("sent_digest").is_null());
    }
}

/// The entries of a side chain, and the last one is what was sent.
pub(crate) fn coverage_chains(records: &[Record]) {
    for record in records {
        let chain = record.document["authority"]["chain"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let sides: BTreeSet<String> = chain.iter().map(side).collect();
        for name in sides {
            let entries: Vec<_> = chain
                .iter()
                .filter(|entry| side(entry) == name && entry.get("left").is_some())
                .collect();
            for pair in entries.windows(2) {
                assert_eq!(
                    pair[0]["left"], pair[1]["seen"],
                    "{name} of {}",
                    record.document
                );
            }
            let Some(last) = entries.last() else { continue };
            let digest = match name.strip_prefix("answer ") {
                Some(channel) => record
                    .environment("delivered_text_digest")
                    .get(channel)
                    .cloned()
                    .unwrap_or_default(),
                None => record.environment("sent_text_digest").clone(),
            };
            let went_on = !matches!(record.outcome(), "blocked" | "failure");
            assert!(
                !went_on || digest == last["left"],
                "{name}: what was left is what went on: {}",
                record.document
            );
        }
    }
}

fn side(entry: &serde_json::Value) -> String {
    match entry["side"].as_str() {
        Some("answer") => format!(
            "answer {}/{}",
            entry["choice"],
            entry["channel"].as_str().unwrap_or_default()
        ),
        other => other.unwrap_or_default().to_owned(),
    }
}

/// None of `canaries` is in `bytes`.
#[track_caller]
pub(crate) fn without(what: &str, bytes: &[u8], canaries: &[&str]) {
    for canary in canaries {
        let found = bytes
            .windows(canary.len())
            .position(|window| window == canary.as_bytes());
        if let Some(at) = found {
            let around = bytes
                .get(at.saturating_sub(200)..(at + 200).min(bytes.len()))
                .unwrap_or_default();
            panic!(
                "`{canary}` is in {what}: …{}…",
                String::from_utf8_lossy(around)
            );
        }
    }
}
