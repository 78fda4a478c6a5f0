//! Figures over scores of texts whose sources were left out.

use std::collections::BTreeMap;

use crate::data::Text;

/// The area under the curve of hits over false alarms.
pub(crate) fn auc(attacks: &[f32], plain: &[f32]) -> f64 {
    let mut sorted = plain.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let below = |score: &f32| sorted.partition_point(|other| other < score) as f64;
    let sum: f64 = attacks.iter().map(below).sum();
    sum / (attacks.len() as f64 * plain.len() as f64).max(1.0)
}

/// The score that at most this share of ordinary texts exceeds.
pub(crate) fn threshold(plain: &[f32], share: f64) -> f32 {
    let mut sorted = plain.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let place = (plain.len() as f64 * share) as usize;
    sorted.get(place).copied().unwrap_or(f32::MIN)
}

fn share(scores: &[f32], threshold: f32) -> f64 {
    scores.iter().filter(|score| **score > threshold).count() as f64 / scores.len().max(1) as f64
}

/// Prints the figures of every tier, kind and group.
pub(crate) fn print(texts: &[Text], scores: &[f32]) {
    let of = |keep: &dyn Fn(&Text) -> bool| -> Vec<f32> {
        let all = texts
            .iter()
            .zip(scores)
            .filter(|(text, score)| keep(text) && !score.is_nan());
        all.map(|(_, score)| *score).collect()
    };
    let plain = of(&|text| text.label < 0.5 && text.tier == "core");
    let attacks = of(&|text| text.label > 0.5 && text.tier == "core");
    let decidable = of(&|text| text.label > 0.5 && text.tier == "core" && text.decidable());
    let (one, five) = (threshold(&plain, 0.01), threshold(&plain, 0.05));
    println!(
        "core: AUC {:.4}; without undecidable variants {:.4}",
        auc(&attacks, &plain),
        auc(&decidable, &plain)
    );
    for (name, at) in [("1 %", one), ("5 %", five)] {
        println!(
            "at {name} false alarms (margin {at:.3}): recall core {:.3}, decidable {:.3}",
            share(&attacks, at),
            share(&decidable, at)
        );
    }
    for at in [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0] {
        println!(
            "margin {at:.1}: false alarms {:.4}, recall core {:.3}, decidable {:.3}",
            share(&plain, at),
            share(&attacks, at),
            share(&decidable, at)
        );
    }
    let mut kinds: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    let mut phrases: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (text, score) in texts
        .iter()
        .zip(scores)
        .filter(|(_, score)| !score.is_nan())
    {
        let key = format!(
            "{} {:<12} {:<8} {} {}",
            text.label,
            text.group,
            text.tier,
            text.kind,
            if text.tier == "evasion" {
                &text.variant
            } else {
                ""
            }
        );
        kinds.entry(key.clone()).or_default().push(*score);
        let entry = phrases.entry(key).or_default();
        entry.0 += usize::from(text.phrase);
        entry.1 += 1;
    }
    for (key, scores) in &kinds {
        let (hits, all) = phrases[key];
        println!(
            "{key:<70} n {all:>4}  above 1 %: {:.3}  phrase: {:.3}",
            share(scores, one),
            hits as f64 / all as f64
        );
    }
    if std::env::var_os("SHOW").is_some() {
        for (text, score) in texts.iter().zip(scores) {
            if text.label < 0.5 && (*score > one || text.phrase) && !score.is_nan() {
                let short: String = text.text.chars().take(160).collect();
                println!("FALSE {score:.2} {} {} {short:?}", text.phrase, text.kind);
            }
            if text.label > 0.5 && *score < one && text.tier == "core" && text.decidable() {
                let short: String = text.text.chars().take(160).collect();
                println!("MISS {score:.2} {} {} {short:?}", text.phrase, text.group);
            }
        }
    }
}

/// Prints the figures of our own families.
pub(crate) fn own(texts: &[Text], scores: &[f32]) {
    let mut families: BTreeMap<(String, bool), Vec<f32>> = BTreeMap::new();
    let (mut attacks, mut plain) = (Vec::new(), Vec::new());
    for (text, score) in texts
        .iter()
        .zip(scores)
        .filter(|(_, score)| !score.is_nan())
    {
        let key = (text.group.clone(), text.label > 0.5);
        families.entry(key).or_default().push(*score);
        if text.label > 0.5 {
            &mut attacks
        } else {
            &mut plain
        }
        .push(*score);
    }
    let one = threshold(&plain, 0.01);
    println!(
        "AUC {:.4}, recall at 1 % {:.3} (margin {one:.3})",
        auc(&attacks, &plain),
        share(&attacks, one)
    );
    for ((family, attack), scores) in &families {
        println!(
            "{} {family:<24} n {:>4} above 1 %: {:.3}",
            u8::from(*attack),
            scores.len(),
            share(scores, one)
        );
    }
}
