//! Trains the injection model: `cargo run --release --example train -- DATA.jsonl [--out WEIGHTS]`.
//!
//! Deterministic: the same data give the same bytes. Trains on the texts of our own in `training/`
//! and on the attacks of the data; the ordinary texts of the data are never trained on, so that
//! false alarms are counted on texts that the model has not seen. Prints figures for our own texts
//! alone, and with each group of sources left out in turn; with `--out` writes the weights.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a tool that prints figures, over vectors of its own"
)]

mod data;
mod figures;
mod own;

use data::Text;
use guard::injection::Weights;

/// Rounds in which the stretch of each text that counts is chosen anew.
const ROUNDS: usize = 3;

/// Passes over the data in one round.
const EPOCHS: usize = 3;

/// Pulls weights to zero.
const L2: f32 = 3e-5;

/// How fast the weights of hashed features move at first.
const RATE: f32 = 0.1;

/// Features that at most so many texts hold are left out.
const FEWEST: u32 = 3;

/// The most that a feature's rarity counts.
const RAREST: f32 = 2.0;

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
    let rare = |count: &u32| {
        let rarity = (all / *count as f32).max(1.0).ln() / 3.0;
        // What only one or two texts hold teaches those texts.
        if *count <= FEWEST {
            0.0
        } else {
            (rarity * rarity).min(RAREST)
        }
    };
    counts.iter().map(rare).collect()
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
    println!(
        "{} texts, of our own {}",
        texts.len(),
        texts.iter().filter(|text| text.is_own()).count()
    );
    let rarity = rarity(&texts);
    let score_all = |weights: &Weights| -> Vec<f32> {
        let score = |text: &Text| {
            if text.is_own() {
                f32::NAN
            } else {
                text.score(weights)
            }
        };
        texts.iter().map(score).collect()
    };
    let weights = train(&texts, &rarity, |i| texts[i].is_own());
    println!("== the data, of which nothing is in training");
    figures::print(&texts, &score_all(&weights));
    if let Some(place) = arguments.iter().position(|argument| argument == "--out") {
        let out = arguments.get(place + 1).ok_or("--out needs a file")?;
        std::fs::write(out, weights.to_bytes())?;
        return Ok(());
    }
    let mut families: Vec<&str> = texts.iter().map(|text| text.group.as_str()).collect();
    families.sort_unstable();
    families.dedup();
    let mut scores = vec![f32::NAN; texts.len()];
    for family in families
        .iter()
        .filter(|family| family.starts_with(data::OWN))
    {
        let weights = train(&texts, &rarity, |i| {
            texts[i].is_own() && texts[i].group != *family
        });
        for (score, text) in scores.iter_mut().zip(&texts) {
            if text.is_own() && text.group == *family {
                *score = text.score(&weights);
            }
        }
    }
    println!("== each family of our own left out in turn");
    figures::own(&texts, &scores);
    Ok(())
}
