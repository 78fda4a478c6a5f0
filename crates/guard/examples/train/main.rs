//! Trains the injection model: `cargo run --release --example train -- DATA.jsonl [--out WEIGHTS]`.
//!
//! Deterministic: the same data give the same bytes. Prints figures with each group of sources
//! left out in turn; with `--out` trains on everything and writes the weights.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a tool that prints figures, over vectors of its own"
)]

mod data;
mod figures;

use data::Text;
use guard::injection::Weights;

/// Rounds in which the stretch of each text that counts is chosen anew.
const ROUNDS: usize = 3;

/// Parts of the data of which each is left out once.
const FOLDS: usize = 4;

/// Passes over the data in one round.
const EPOCHS: usize = 6;

/// Pulls weights to zero.
const L2: f32 = 3e-5;

/// How fast the weights of hashed features move at first.
const RATE: f32 = 1.2;

/// Squared inverse document frequencies of the hashed features: rare ones say more.
fn rarity(texts: &[Text]) -> Vec<f32> {
    let mut counts = vec![1_u32; Weights::zero().hashed.len()];
    for text in texts {
        let mut seen: Vec<u32> = text.samples.iter().flat_map(|s| s.hashed.clone()).collect();
        seen.sort_unstable();
        seen.dedup();
        for number in seen {
            counts[number as usize] += 1;
        }
    }
    let all = texts.len() as f32;
    let rare = |count: &u32| (all / *count as f32).max(1.0).ln() / 3.0;
    counts
        .iter()
        .map(|count| rare(count) * rare(count))
        .collect()
}

/// Trains on the texts for which `keep` holds.
fn train(texts: &[Text], rarity: &[f32], keep: impl Fn(usize) -> bool) -> Weights {
    let mut weights = Weights::zero();
    let mut order: Vec<usize> = (0..texts.len()).filter(|i| keep(*i)).collect();
    let mut random = data::Random(42);
    for round in 0..ROUNDS {
        let chosen: Vec<usize> = texts
            .iter()
            .map(|text| text.best(&weights, round == 0))
            .collect();
        for epoch in 0..EPOCHS {
            random.shuffle(&mut order);
            let rate = 1.0 / (1.0 + (round * EPOCHS + epoch) as f32 / 6.0);
            for i in &order {
                let text = &texts[*i];
                let sample = &text.samples[chosen[*i]];
                let margin = sample.margin(&weights);
                let error = 1.0 / (1.0 + (-margin).exp()) - text.label;
                let step = rate * error * text.weight;
                weights.bias -= 0.05 * step;
                let scale = RATE * step * sample.scale();
                for number in &sample.hashed {
                    let at = *number as usize;
                    weights.hashed[at] -= scale * rarity[at] + rate * L2 * weights.hashed[at];
                }
                for number in &sample.dense {
                    let at = *number as usize;
                    weights.dense[at] -= 0.05 * step + 1e-4 * weights.dense[at];
                }
            }
        }
    }
    weights
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments
        .first()
        .ok_or("usage: train DATA.jsonl [--out WEIGHTS]")?;
    let texts = data::read(path)?;
    println!("{} texts", texts.len());
    let rarity = rarity(&texts);
    let mut groups: Vec<&str> = texts.iter().map(|text| text.group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut scores = vec![f32::NAN; texts.len()];
    for group in groups.iter().filter(|group| **group != data::OWN) {
        let weights = train(&texts, &rarity, |i| texts[i].group != *group);
        for (score, text) in scores.iter_mut().zip(&texts) {
            if text.group == *group {
                *score = text.score(&weights);
            }
        }
    }
    println!("== each group of sources left out");
    figures::print(&texts, &scores);
    for fold in 0..FOLDS {
        let weights = train(&texts, &rarity, |i| texts[i].fold(FOLDS) != fold);
        for (score, text) in scores.iter_mut().zip(&texts) {
            if text.group != data::OWN && text.fold(FOLDS) == fold {
                *score = text.score(&weights);
            }
        }
    }
    println!("== folds within the sources, near-duplicates together");
    figures::print(&texts, &scores);
    if let Some(place) = arguments.iter().position(|argument| argument == "--out") {
        let out = arguments.get(place + 1).ok_or("--out needs a file")?;
        let weights = train(&texts, &rarity, |_| true);
        figures::weights(&weights);
        std::fs::write(out, weights.to_bytes())?;
    }
    Ok(())
}
