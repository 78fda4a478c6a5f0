//! The built-in list of prices, for deployments that say none of their own.

use std::sync::OnceLock;

use crate::identity::model_matches;
use crate::money::MoneyError;
use crate::price::{Price, Rate};

/// When the list was read.
pub const AS_OF: &str = "2026-11";

const LIST: &str = include_str!("prices.txt");

/// One row of the list.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    provider: &'static str,
    model: &'static str,
    /// Prices per token.
    pub price: Price,
    /// Most tokens that the model answers with; 0 for models that answer with none.
    pub most_output: u64,
}

/// The row of a provider's model.
#[must_use]
pub fn find(provider: &str, model: &str) -> Option<&'static Listed> {
    static ROWS: OnceLock<Vec<Listed>> = OnceLock::new();
    let rows = ROWS.get_or_init(|| LIST.lines().filter_map(row).collect());
    rows.iter()
        .find(|row| row.provider == provider && model_matches(row.model, model))
}

/// The row of a model that is named apart from its provider's name for it, with or without a provider: `azure/gpt-4o`. The
/// prices of OpenAI's models are the same at Azure.
#[must_use]
pub fn find_base(provider: &str, base: &str) -> Option<&'static Listed> {
    let (named, model) = base.split_once('/').unwrap_or((provider, base));
    find(named, model)
        .or_else(|| find(provider, base))
        .or_else(|| match named {
            "azure" => find("openai", model),
            _ => None,
        })
}

fn row(line: &'static str) -> Option<Listed> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let mut words = line.split_whitespace();
    let (provider, model) = (words.next()?, words.next()?);
    let mut rate = || per_million(words.next().unwrap_or("-")).ok().flatten();
    let (input, output, cached_input, cache_write) = (rate(), rate(), rate(), rate());
    let most_output = words.next()?.parse().ok()?;
    Some(Listed {
        provider,
        model,
        price: Price {
            input,
            output,
            cached_input,
            cache_write,
            reasoning: None,
        },
        most_output,
    })
}

/// USD for a million tokens is micro-dollars for one; a rate counts millionths of those.
fn per_million(text: &str) -> Result<Option<Rate>, MoneyError> {
    if text == "-" {
        return Ok(None);
    }
    let (per_dollar, _) = Rate::parse(text)?;
    Ok(Some(Rate::from_pico(per_dollar.pico() / 1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::{LIST, find, row};
    use crate::price::Rate;

    #[test]
    fn every_row_is_whole_and_reached() {
        let lines = LIST
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let listed = row(line).unwrap_or_else(|| panic!("{line}"));
            assert!(
                listed.price.input.is_some() && listed.price.output.is_some(),
                "{line}"
            );
            let name = listed.model.replace('*', "-20990101");
            let found = find(listed.provider, &name).unwrap();
            let short = find(listed.provider, listed.model.trim_end_matches('*')).unwrap();
            assert!(
                found.model == listed.model || short.model == listed.model,
                "{line} is hidden by {}",
                found.model
            );
        }
    }

    #[test]
    fn prices_are_exact_and_of_the_right_row() {
        let mini = find("openai", "gpt-4o-mini-2024-07-18").unwrap();
        assert_eq!(mini.price.input, Some(Rate::from_pico(150_000)));
        assert_eq!(mini.price.cached_input, Some(Rate::from_pico(75_000)));
        let sonnet = find("anthropic", "claude-sonnet-4-20250514").unwrap();
        assert_eq!(sonnet.price.output, Some(Rate::from_pico(15_000_000)));
        assert!(find("openai", "gpt-4o-audio-preview").is_none());
        assert!(find("openai", "my-own-model").is_none());
        assert!(find("azure", "gpt-4o").is_none());
    }
}
