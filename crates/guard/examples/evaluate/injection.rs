//! Injection: the curve, recall at the fixed threshold, false alarms, by tier and kind.

use std::collections::BTreeMap;

use guard::injection::inspect;

use crate::Row;

/// Prints the figures. Over texts the model was trained on they flatter.
pub(crate) fn evaluate(rows: &[Row], misses: bool) {
    let mut scored = Vec::with_capacity(rows.len());
    for row in rows {
        scored.push((row, inspect(&row.text).score));
    }
    let of = |label: u8, tier: &str| -> Vec<f32> {
        let all = scored
            .iter()
            .filter(|(row, _)| row.label == Some(label) && row.tier == tier);
        all.map(|(_, score)| *score).collect()
    };
    let (attacks, plain) = (of(1, "core"), of(0, "core"));
    let mut sorted = plain.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let below: f64 = attacks
        .iter()
        .map(|score| {
            let less = sorted.partition_point(|other| other < score);
            let equal = sorted.partition_point(|other| other <= score) - less;
            less as f64 + equal as f64 / 2.0
        })
        .sum();
    let pairs = (attacks.len() * plain.len()).max(1) as f64;
    println!("core AUC {:.4}", below / pairs);
    let mut kinds: BTreeMap<(u8, &str, &str), (usize, usize)> = BTreeMap::new();
    for (row, score) in &scored {
        let entry = kinds
            .entry((row.label.unwrap_or(0), &row.tier, &row.kind))
            .or_default();
        entry.0 += usize::from(*score >= 0.5);
        entry.1 += 1;
        if misses && row.label == Some(0) && *score >= 0.5 {
            let short: String = row.text.chars().take(120).collect();
            println!("FALSE {score:.2} {short:?}");
        }
    }
    for tier in ["core", "evasion", "stretch"] {
        let share = |scores: &[f32]| {
            let over = scores.iter().filter(|score| **score >= 0.5).count();
            over as f64 / scores.len().max(1) as f64
        };
        println!(
            "{tier}: recall {:.4}, false alarms {:.4}",
            share(&of(1, tier)),
            share(&of(0, tier))
        );
    }
    for ((label, tier, kind), (over, all)) in &kinds {
        println!(
            "{label} {tier:<8} {kind:<24} {over:>4}/{all:<4} {:.3}",
            *over as f64 / *all as f64
        );
    }
}
