//! Attacks on the instructions of a model: phrases, and a linear model over the text.

mod check;
pub(crate) mod decode;
mod features;
pub mod model;
mod normal;
mod rules;

pub use check::{Injection, InjectionCheck, InjectionSettings, Origin, inspect};
pub use model::{Sample, Weights};
pub(crate) use rules::words;

/// What the trainer needs: the samples of every reading of a text.
#[must_use]
pub fn samples(text: &str) -> Vec<Sample> {
    let normal = normal::normalise(text);
    let mut all = model::samples(&normal, &rules::PHRASES.find(&normal.text));
    for (_, reading) in normal::readings(text, &normal) {
        let hits = rules::PHRASES.find(&reading);
        let normal = normal::Normal {
            text: reading,
            tricks: normal.tricks,
        };
        all.extend(model::samples(&normal, &hits));
    }
    all
}

/// Whether a phrase that is a hit by itself stands in some reading of a text.
#[must_use]
pub fn phrase(text: &str) -> Option<&'static str> {
    let normal = normal::normalise(text);
    let readings = normal::readings(text, &normal)
        .into_iter()
        .map(|(_, reading)| reading);
    let all = std::iter::once(normal.text.clone()).chain(readings);
    all.flat_map(|reading| rules::PHRASES.find(&reading))
        .filter_map(|hit| rules::PHRASES.all.get(hit.phrase))
        .find(|phrase| phrase.strong)
        .map(|phrase| phrase.name)
}

/// Names of the dense features.
#[must_use]
pub fn dense_names() -> Vec<String> {
    let names = rules::PHRASES
        .all
        .iter()
        .map(|phrase| phrase.name.to_owned());
    names
        .chain((0..model::TRICKS).map(|trick| format!("trick-{trick}")))
        .collect()
}
