//! Accuracy of the checks over a labelled file: `cargo run --release --example evaluate -- FILE`.
//!
//! One JSON object per line. Personal data and secrets: `text`, `spans` of `type`, `start`,
//! `end` in code points. Injection: `text`, `label` (1 is an attack), `tier`, `source`, `kind`.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a tool that prints figures, over vectors of its own"
)]

mod injection;
mod spans;

use std::io::{BufRead as _, BufReader};

/// One line.
#[derive(serde::Deserialize)]
struct Row {
    #[serde(default)]
    id: String,
    text: String,
    spans: Option<Vec<spans::Span>>,
    label: Option<u8>,
    #[serde(default)]
    tier: String,
    #[serde(default)]
    kind: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: evaluate FILE [--misses]")?;
    let misses = arguments.next().is_some();
    let mut rows = Vec::new();
    for line in BufReader::new(std::fs::File::open(path)?).lines() {
        rows.push(serde_json::from_str::<Row>(&line?)?);
    }
    if rows.iter().any(|row| row.spans.is_some()) {
        spans::evaluate(&rows, misses);
    }
    if rows.iter().any(|row| row.label.is_some()) {
        injection::evaluate(&rows, misses);
    }
    Ok(())
}
