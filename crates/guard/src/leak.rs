//! Answers that give the system prompt away: long common runs of words, or a canary.

use std::collections::HashSet;

use crate::engine::verdict;
use crate::injection::words;
use crate::{Action, Check, Finding, Form, Reach, Rule, StreamCheck, Verdict};

/// Words in a row that count as a leak unless configured otherwise.
const RUN: usize = 12;

/// The check of one call's answer against its own system prompt.
#[derive(Clone)]
pub struct PromptLeak {
    name: String,
    runs: HashSet<u64>,
    run: usize,
    canary: Option<String>,
    action: Action,
}

impl std::fmt::Debug for PromptLeak {
    /// Without the prompt.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PromptLeak({} runs of {} words)",
            self.runs.len(),
            self.run
        )
    }
}

impl PromptLeak {
    /// The check against `prompt`: `run` words in a row (12 if `None`) are a leak, and so is the
    /// canary, a text that stands in the prompt and nowhere else.
    #[must_use]
    pub fn new(
        name: &str,
        prompt: &str,
        run: Option<usize>,
        canary: Option<&str>,
        action: Action,
    ) -> PromptLeak {
        let run = run.unwrap_or(RUN).max(3);
        PromptLeak {
            name: name.to_owned(),
            runs: hashes(prompt, run).map(|(hash, ..)| hash).collect(),
            run,
            canary: canary
                .filter(|canary| !canary.is_empty())
                .map(str::to_owned),
            action,
        }
    }

    fn findings(&self, text: &str) -> Vec<Finding> {
        let mut all: Vec<Finding> = Vec::new();
        let finding = |start, end, rule| Finding {
            start,
            end,
            rule,
            action: self.action,
            score: 100,
        };
        for (hash, start, end) in hashes(text, self.run) {
            if !self.runs.contains(&hash) {
                continue;
            }
            match all.last_mut().filter(|last| last.end >= start) {
                Some(last) => last.end = end,
                None => all.push(finding(start, end, 0)),
            }
        }
        if let Some(canary) = &self.canary {
            let found = memchr::memmem::find_iter(text.as_bytes(), canary.as_bytes());
            all.extend(found.map(|start| finding(start, start + canary.len(), 1)));
            all.sort_unstable();
        }
        all
    }
}

/// A hash of every `run` words in a row, with the bytes they span.
fn hashes(text: &str, run: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let all: Vec<(u64, usize, usize)> = words(text)
        .map(|(start, word)| {
            let letters = word.chars().flat_map(char::to_lowercase);
            let hash = letters.fold(0xcbf2_9ce4_8422_2325_u64, |hash, c| {
                (hash ^ u64::from(c as u32)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            (hash, start, start + word.len())
        })
        .collect();
    let joined = |window: &[(u64, usize, usize)]| {
        let hash = window.iter().fold(7_u64, |hash, (word, ..)| {
            (hash.rotate_left(9) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        let start = window.first().map_or(0, |word| word.1);
        (hash, start, window.last().map_or(0, |word| word.2))
    };
    let runs: Vec<_> = all.windows(run).map(joined).collect();
    runs.into_iter()
}

impl Check for PromptLeak {
    fn name(&self) -> &str {
        &self.name
    }

    fn reach(&self) -> Reach {
        Reach::Whole
    }

    fn rule(&self, index: u32) -> Option<Rule<'_>> {
        Some(Rule {
            kind: "PROMPT_LEAK",
            pattern: if index == 0 { "run" } else { "canary" },
            description: None,
            action: self.action,
        })
    }

    fn scan_as(&self, _form: Form, text: &str) -> Verdict {
        verdict(text, self.findings(text), |_, _| {
            "[SYSTEM_PROMPT]".to_owned()
        })
    }

    fn stream_as(&self, _form: Form) -> Option<Box<dyn StreamCheck>> {
        None
    }
}
