//! The table that the demo prints.

use std::time::Duration;

/// One line: a call and what came of it.
#[derive(Default)]
pub(super) struct Row {
    /// What was tried, in a few words.
    pub(super) what: String,
    /// HTTP status, or what happened in place of an answer.
    pub(super) status: String,
    /// From the request to the end of the answer.
    pub(super) took: Option<Duration>,
    /// Input and output tokens as the record has them.
    pub(super) tokens: Option<(u64, u64)>,
    /// Outcome and coverage of the record.
    pub(super) verdict: String,
    /// Sequence number and id of the record.
    pub(super) record: String,
    /// Why this is not as promised; empty when it is.
    pub(super) wrong: Option<String>,
}

const TITLES: [&str; 6] = ["call", "status", "latency", "tokens", "verdict", "record"];

/// The rows with aligned columns; a row that is not as promised is marked and explained below.
pub(super) fn render(rows: &[Row]) -> String {
    let cells: Vec<[String; 6]> = rows.iter().map(cells).collect();
    let titles = TITLES.map(str::to_owned);
    let lines = || std::iter::once(&titles).chain(&cells);
    let width = |column: usize| {
        lines()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let mut out = String::new();
    for line in lines() {
        let padded = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    for row in rows {
        if let Some(wrong) = &row.wrong {
            out.push_str(&format!("NOT AS PROMISED  {}: {wrong}\n", row.what));
        }
    }
    out
}

fn cells(row: &Row) -> [String; 6] {
    [
        format!(
            "{}{}",
            if row.wrong.is_some() { "! " } else { "" },
            row.what
        ),
        row.status.clone(),
        row.took.map_or_else(
            || "-".to_owned(),
            |took| format!("{:.1} ms", took.as_secs_f64() * 1000.0),
        ),
        row.tokens.map_or_else(
            || "-".to_owned(),
            |(input, output)| format!("{input} + {output}"),
        ),
        row.verdict.clone(),
        row.record.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_failures_are_named() {
        let good = Row {
            what: "plain".into(),
            status: "200".into(),
            tokens: Some((3, 4)),
            ..Row::default()
        };
        let bad = Row {
            what: "streamed".into(),
            status: "500".into(),
            wrong: Some("status 500".into()),
            ..Row::default()
        };
        let text = render(&[good, bad]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("status"), lines[1].find("200"));
        assert_eq!(lines[0].find("status"), lines[2].find("500"));
        assert!(lines[1].contains("3 + 4"));
        assert_eq!(lines[3], "NOT AS PROMISED  streamed: status 500");
    }
}
