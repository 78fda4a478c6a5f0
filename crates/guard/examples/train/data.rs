//! The texts, and those of our own that templates give.

use guard::injection::{Sample, Weights, samples};

/// The group of our own texts, which is in every training.
pub(crate) const OWN: &str = "own";

/// Texts that each template gives.
const EACH: usize = 14;

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

    /// The part of the data it belongs to. Texts that begin alike, or share a template of their
    /// source, go together.
    pub(crate) fn fold(&self, folds: usize) -> usize {
        let words = self.text.split_whitespace().take(6).map(str::to_lowercase);
        let start = words.collect::<Vec<_>>().join(" ");
        let hash = start.bytes().fold(7_u64, |hash, byte| {
            hash.wrapping_mul(1_099_511_628_211) ^ u64::from(byte)
        });
        (hash >> 20) as usize % folds
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
    let mut random = Random(7);
    for line in include_str!("../../training/own_templates.txt").lines() {
        let Some((label, template)) = line.split_once(' ').filter(|(l, _)| *l != "#") else {
            continue;
        };
        for _ in 0..EACH {
            let text = random.expand(template);
            texts.push(Text {
                group: OWN.to_owned(),
                kind: "own".to_owned(),
                tier: "own".to_owned(),
                variant: String::new(),
                label: label.parse()?,
                weight: 0.6,
                samples: samples(&text),
                phrase: guard::injection::phrase(&text).is_some(),
                text,
            });
        }
    }
    Ok(texts)
}

/// A generator that gives the same everywhere (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
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

    /// One text of a template.
    fn expand(&mut self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            let Some(length) = closing(&rest[open..]) else {
                out.push_str(&rest[open..]);
                return out;
            };
            let choices = split(&rest[open + 1..open + length]);
            let choice = choices[self.below(choices.len())].to_owned();
            out.push_str(&self.expand(&choice));
            rest = &rest[open + length + 1..];
        }
        out.push_str(rest);
        out
    }
}

/// Where the bracket closes that a text begins with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The choices of a bracket.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut all) = (0, 0, Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b'|' if depth == 0 => {
                all.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(&text[start..]);
    all
}
