//! The texts to learn from.

use guard::injection::{Sample, Weights, samples};

/// How the groups of our own texts begin; they are in every training.
pub(crate) const OWN: &str = "own";

/// One text to learn from.
pub(crate) struct Text {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) tier: String,
    pub(crate) variant: String,
    pub(crate) label: f32,
    pub(crate) weight: f32,
    pub(crate) text: String,
    pub(crate) samples: Vec<Sample>,
    pub(crate) phrase: bool,
}

impl Text {
    /// Whether it is one of our own.
    pub(crate) fn is_own(&self) -> bool {
        self.group.starts_with(OWN) && self.tier == "own"
    }

    /// The stretch that counts: the worst one.
    pub(crate) fn best(&self, weights: &Weights, first: bool) -> usize {
        if first || self.samples.len() == 1 {
            return 0;
        }
        let margins: Vec<f32> = self.samples.iter().map(|s| s.margin(weights)).collect();
        let mut best = 0;
        for (place, margin) in margins.iter().enumerate() {
            if *margin > margins[best] {
                best = place;
            }
        }
        best
    }

    /// Whether its words hold an attack at all: most of one source are ordinary questions.
    pub(crate) fn decidable(&self) -> bool {
        self.group != "PurpleLlama" || self.phrase
    }

    pub(crate) fn score(&self, weights: &Weights) -> f32 {
        self.samples[self.best(weights, false)].margin(weights)
    }
}

#[derive(serde::Deserialize)]
struct Row {
    text: String,
    label: u8,
    source: String,
    kind: String,
    tier: String,
    #[serde(default)]
    variant: String,
}

/// Sources that share their texts or authors are one group.
fn group(source: &str) -> &str {
    let families = [
        ("prompt_injection", "PurpleLlama"),
        ("mitre", "mitre"),
        ("TaskTracker", "TaskTracker"),
        ("garak", "jailbreaks"),
        ("GPTFuzz", "GPTFuzz"),
        ("Giskard", "Giskard"),
        ("BIPIA", "BIPIA"),
        ("Codegen", "codegen"),
        ("self-instruct", "self-instruct"),
    ];
    let found = families.iter().find(|(part, _)| source.contains(part));
    found.map_or(source, |(_, family)| family)
}

/// How much a text counts. Of one source most attacks are questions that nobody could tell from
/// others; those teach languages and topics instead of attacks.
fn weight(row: &Row, phrase: bool) -> f32 {
    match (row.label, row.tier.as_str()) {
        // False alarms are counted on these.
        (0, _) => 0.0,
        (1, "stretch") => 0.03,
        (1, _) if group(&row.source) == "PurpleLlama" && !phrase => 0.04,
        (1, "evasion") => 0.5,
        _ => 1.0,
    }
}

/// The rows of a file and our own texts.
pub(crate) fn read(path: &str) -> Result<Vec<Text>, Box<dyn std::error::Error>> {
    let mut texts = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let row: Row = serde_json::from_str(line)?;
        let phrase = guard::injection::phrase(&row.text).is_some();
        texts.push(Text {
            group: group(&row.source).to_owned(),
            label: f32::from(row.label),
            weight: weight(&row, phrase),
            samples: samples(&row.text),
            phrase,
            kind: row.kind,
            tier: row.tier,
            variant: row.variant,
            text: row.text,
        });
    }
    for own in crate::own::texts()? {
        texts.push(Text {
            group: format!("{OWN} {}", own.family),
            kind: own.family,
            tier: "own".to_owned(),
            variant: String::new(),
            label: own.label,
            weight: 1.0,
            samples: samples(&own.text),
            phrase: guard::injection::phrase(&own.text).is_some(),
            text: own.text,
        });
    }
    Ok(texts)
}

/// A generator that gives the same everywhere (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        value as usize % limit.max(1)
    }

    pub(crate) fn shuffle(&mut self, items: &mut [usize]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
