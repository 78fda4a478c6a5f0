//! Texts of our own: grammars of phrases in `training/`, written out.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::Random;

/// Texts that each template gives at most.
const EACH: usize = 24;

/// One text.
pub(crate) struct Own {
    /// 1 is an attack.
    pub(crate) label: f32,
    pub(crate) family: String,
    pub(crate) text: String,
}

/// A grammar: names of choices, and the templates of each family.
#[derive(Default)]
struct Grammar {
    sets: BTreeMap<String, String>,
    /// Family, whether it goes with documents, template.
    templates: Vec<(String, bool, String)>,
}

fn read(name: &str) -> Result<Grammar, Box<dyn std::error::Error>> {
    let path = format!("{}/training/{name}", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let mut grammar = Grammar::default();
    let mut family = (String::new(), false);
    for line in file.lines().filter(|line| !line.starts_with("# ")) {
        let head = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'));
        if let Some(head) = head.filter(|head| !head.contains(' ')) {
            let plain = head.trim_start_matches('+');
            family = (plain.to_owned(), plain != head);
        } else if let Some((name, choices)) = line
            .strip_prefix('@')
            .and_then(|line| line.split_once(": "))
        {
            grammar.sets.insert(name.to_owned(), choices.to_owned());
        } else if !line.is_empty() {
            let (family, documents) = family.clone();
            grammar.templates.push((family, documents, line.to_owned()));
        }
    }
    Ok(grammar)
}

/// Every text of our own, the same at each call.
pub(crate) fn texts() -> Result<Vec<Own>, Box<dyn std::error::Error>> {
    let (attacks, plain) = (read("attacks.txt")?, read("plain.txt")?);
    let mut random = Random(7);
    let mut all = Vec::new();
    write(&plain, &mut random, 0.0, &mut all);
    let documents: Vec<String> = plain.pick(&all, 0.0);
    let ordinary = all.len();
    write(&attacks, &mut random, 1.0, &mut all);
    let short = attacks.pick(&all, 1.0);
    for (place, attack) in short.iter().enumerate() {
        if place % 3 == 0 {
            let family = "in documents".to_owned();
            let text = random.put_into(attack, &documents);
            all.push(Own {
                label: 1.0,
                family,
                text,
            });
        }
    }
    // Long texts in which nothing is an attack.
    for _ in 0..ordinary / 8 {
        let count = 2 + random.below(6);
        let parts: Vec<&str> = (0..count)
            .map(|_| all[random.below(ordinary)].text.as_str())
            .collect();
        let text = parts.join(["\n", " ", "\n\n"][random.below(3)]);
        let family = "joined".to_owned();
        all.push(Own {
            label: 0.0,
            family,
            text,
        });
    }
    Ok(all)
}

fn write(grammar: &Grammar, random: &mut Random, label: f32, all: &mut Vec<Own>) {
    let mut seen = BTreeSet::new();
    for (family, _, template) in &grammar.templates {
        for _ in 0..EACH {
            let text = random.expand(&grammar.sets, template);
            if seen.insert(text.clone()) {
                let family = family.clone();
                all.push(Own {
                    label,
                    family,
                    text,
                });
            }
        }
    }
}

impl Grammar {
    /// The texts of families that go with documents.
    fn pick(&self, all: &[Own], label: f32) -> Vec<String> {
        let marked: BTreeSet<&str> = self
            .templates
            .iter()
            .filter(|(_, documents, _)| *documents)
            .map(|(family, _, _)| family.as_str())
            .collect();
        let of = all
            .iter()
            .filter(|own| own.label == label && marked.contains(own.family.as_str()));
        of.map(|own| own.text.clone()).collect()
    }
}

impl Random {
    /// An attack before, between or after ordinary documents.
    fn put_into(&mut self, attack: &str, documents: &[String]) -> String {
        let mut parts: Vec<&str> = (0..=self.below(3))
            .map(|_| documents[self.below(documents.len())].as_str())
            .collect();
        let place = self.below(parts.len() + 1);
        parts.insert(place, attack);
        parts.join(["\n", " ", "\n\n"][self.below(3)])
    }

    /// One text of a template.
    fn expand(&mut self, sets: &BTreeMap<String, String>, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            let Some(length) = closing(&rest[open..]) else {
                break;
            };
            let inner = &rest[open + 1..open + length];
            let named = inner.strip_prefix('@').and_then(|name| sets.get(name));
            let choices = split(named.map_or(inner, String::as_str));
            let choice = choices[self.below(choices.len())];
            // `@name` alone within choices names others too.
            let again = match choice.strip_prefix('@') {
                Some(name) if sets.contains_key(name) => format!("{{{choice}}}"),
                _ => choice.to_owned(),
            };
            out.push_str(&self.expand(sets, &again));
            rest = &rest[open + length + 1..];
        }
        out.push_str(rest);
        out.replace('⟨', "{").replace('⟩', "}").replace('¦', "|")
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
