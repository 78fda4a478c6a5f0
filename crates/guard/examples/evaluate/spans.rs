//! Spans: precision, recall, F1 by type; what leaks; what is flagged without reason.

use std::collections::BTreeMap;

use guard::{Check as _, PatternCheck, PiiSettings, SecretSettings};

use crate::Row;

/// A labelled stretch, in code points.
#[derive(serde::Deserialize, Clone)]
pub(crate) struct Span {
    #[serde(rename = "type")]
    kind: String,
    start: usize,
    end: usize,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    hit: usize,
    extra: usize,
    missed: usize,
}

impl Counts {
    fn f1(self) -> f64 {
        let errors = (self.extra + self.missed) as f64;
        2.0 * self.hit as f64 / (2.0 * self.hit as f64 + errors).max(1.0)
    }

    fn precision(self) -> f64 {
        self.hit as f64 / ((self.hit + self.extra) as f64).max(1.0)
    }

    fn recall(self) -> f64 {
        self.hit as f64 / ((self.hit + self.missed) as f64).max(1.0)
    }
}

/// What both checks find in a text, the longer one where they overlap.
fn found(checks: &[PatternCheck], text: &str) -> Vec<Span> {
    let mut all: Vec<(usize, usize, String)> = Vec::new();
    for check in checks {
        for finding in check.scan(text).findings {
            let kind = check.rule(finding.rule).map_or("", |rule| rule.kind);
            let kind = if kind == "IN_UPI_ID" { "UPI_ID" } else { kind };
            all.push((finding.start, finding.end, kind.to_owned()));
        }
    }
    all.sort_by_key(|(start, end, _)| std::cmp::Reverse(end - start));
    let mut kept: Vec<Span> = Vec::new();
    let at = |byte: usize| text.get(..byte).map_or(0, |head| head.chars().count());
    for (start, end, kind) in all {
        let span = Span {
            kind,
            start: at(start),
            end: at(end),
        };
        if kept
            .iter()
            .all(|k| k.end <= span.start || span.end <= k.start)
        {
            kept.push(span);
        }
    }
    kept
}

fn overlap(a: &Span, b: &Span) -> usize {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

fn matches(a: &Span, b: &Span) -> bool {
    let union = a.end.max(b.end) - a.start.min(b.start);
    a.kind == b.kind && 2 * overlap(a, b) >= union
}

/// Prints the figures.
pub(crate) fn evaluate(rows: &[Row], misses: bool) {
    let checks = [
        PatternCheck::pii("pii", PiiSettings::default()),
        PatternCheck::secrets("secrets", SecretSettings::default()),
    ];
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    let (mut leaked, mut spans, mut clean, mut flagged) = (0, 0, 0, 0);
    let (mut without_secret, mut secret_flagged) = (0, 0);
    for row in rows {
        let truth = row.spans.clone().unwrap_or_default();
        let found = found(&checks, &row.text);
        let is_secret = |span: &Span| {
            matches!(
                span.kind.as_str(),
                "API_KEY" | "JWT" | "PRIVATE_KEY" | "CONNECTION_STRING"
            )
        };
        if !truth.iter().any(is_secret) {
            without_secret += 1;
            secret_flagged += usize::from(found.iter().any(is_secret));
        }
        if truth.is_empty() {
            clean += 1;
            flagged += usize::from(!found.is_empty());
        }
        let mut used = vec![false; found.len()];
        for span in &truth {
            spans += 1;
            let covered: usize = found.iter().map(|f| overlap(f, span)).sum();
            leaked += usize::from(covered * 10 < (span.end - span.start) * 8);
            let place = (0..found.len()).find(|i| !used[*i] && matches(&found[*i], span));
            let entry = counts.entry(span.kind.clone()).or_default();
            match place {
                Some(place) => {
                    used[place] = true;
                    entry.hit += 1;
                }
                None => {
                    entry.missed += 1;
                    if misses {
                        println!("MISS {} {}", row.id, show(&row.text, span));
                    }
                }
            }
        }
        for (span, _) in found.iter().zip(&used).filter(|(_, used)| !**used) {
            counts.entry(span.kind.clone()).or_default().extra += 1;
            if misses {
                println!("EXTRA {} {}", row.id, show(&row.text, span));
            }
        }
    }
    report(&counts);
    println!(
        "leaked {leaked}/{spans} = {:.4}",
        leaked as f64 / f64::from(spans.max(1))
    );
    println!(
        "clean flagged {flagged}/{clean} = {:.4}",
        flagged as f64 / f64::from(clean.max(1))
    );
    println!("without a secret, flagged as one {secret_flagged}/{without_secret}");
}

fn report(counts: &BTreeMap<String, Counts>) {
    let mut all = Counts::default();
    let (mut sum, mut types) = (0.0, 0);
    for (kind, count) in counts {
        println!(
            "{kind:<26} n {:>4}  P {:.3} R {:.3} F1 {:.3}",
            count.hit + count.missed,
            count.precision(),
            count.recall(),
            count.f1()
        );
        all.hit += count.hit;
        all.extra += count.extra;
        all.missed += count.missed;
        if count.hit + count.missed > 0 {
            sum += count.f1();
            types += 1;
        }
    }
    println!(
        "micro P {:.4} R {:.4} F1 {:.4}; macro F1 {:.4} over {types} types",
        all.precision(),
        all.recall(),
        all.f1(),
        sum / f64::from(types.max(1))
    );
}

/// The stretch with what is around it.
fn show(text: &str, span: &Span) -> String {
    let around: String = text
        .chars()
        .skip(span.start.saturating_sub(40))
        .take(span.end - span.start.saturating_sub(40) + 15)
        .collect();
    let inside: String = text
        .chars()
        .skip(span.start)
        .take(span.end - span.start)
        .collect();
    format!("{} [{inside}] in {around:?}", span.kind)
}
