//! What a call costs, and what it may cost at most.

use policy::budget::Ask;
use policy::price_table;
use policy::{Billed, Cost, CostSource, MicroUsd, Price};

use super::facts::Destination;
use super::inspect::Request;
use crate::config::{Budgets, Deployment};

/// The prices that hold for a destination, and where they come from.
pub(crate) struct Quote {
    pub(crate) price: Price,
    pub(crate) source: CostSource,
    /// Most output tokens of the model, where that is known.
    pub(crate) most_output: Option<u64>,
}

/// Bytes of text that make a token, for estimates: the usual ratio for English.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens of one part that is no text (a picture, a sound) at most; a part whose bytes are in the request counts those if
/// they are more.
const OPAQUE_TOKENS: u64 = 20_000;
/// Tokens of a conversation that the provider stored at most: the longest context on offer.
const STORED_TOKENS: u64 = 1_000_000;
/// Tokens that a provider adds around messages and tools.
const FRAME_TOKENS: u64 = 64;

/// The prices of a destination: its own, else the built-in list's, else the configured ceiling.
pub(crate) fn quote(destination: &Destination, settings: &Budgets) -> Quote {
    quote_of(
        &destination.deployment,
        &destination.upstream_model,
        settings,
    )
}

/// As [`quote`], for a deployment that may be chosen.
pub(crate) fn quote_of(deployment: &Deployment, model: &str, settings: &Budgets) -> Quote {
    let listed = match deployment.base_model.as_deref() {
        Some(base) => price_table::find_base(&deployment.provider, base),
        None => price_table::find(&deployment.provider, model),
    };
    let most_output = deployment
        .max_output
        .or_else(|| listed.map(|row| row.most_output));
    let (price, source) = if deployment.price.is_known() {
        (deployment.price, CostSource::Deployment)
    } else if let Some(row) = listed {
        (row.price, CostSource::Table)
    } else if let Some(rate) = settings.unpriced {
        let price = Price {
            input: Some(rate),
            output: Some(rate),
            ..Price::default()
        };
        (price, CostSource::Ceiling)
    } else {
        (Price::default(), CostSource::None)
    };
    Quote {
        price,
        source,
        most_output,
    }
}

impl Quote {
    /// The cost of what was used.
    pub(crate) fn cost(&self, billed: &Billed) -> Cost {
        let unknown = Cost {
            amount: None,
            source: CostSource::None,
        };
        match self.price.cost(billed) {
            Ok(Cost {
                amount: Some(amount),
                ..
            }) => Cost {
                amount: Some(amount),
                source: self.source,
            },
            Ok(_) => unknown,
            Err(error) => {
                tracing::error!(%error, "cost could not be computed");
                unknown
            }
        }
    }

    /// The dearest that so many tokens can be.
    fn most(&self, input: u64, output: u64) -> Option<MicroUsd> {
        let dearest = |rates: [Option<policy::Rate>; 3]| rates.into_iter().flatten().max();
        let price = Price {
            input: dearest([
                self.price.input,
                self.price.cache_write,
                self.price.cached_input,
            ]),
            output: dearest([self.price.output, self.price.reasoning, None]),
            ..Price::default()
        };
        let billed = Billed {
            input,
            output,
            ..Billed::default()
        };
        price.cost(&billed).ok()?.amount
    }
}

/// What a call is reserved for, and the most that it can be charged.
pub(crate) struct Expected {
    pub(crate) ask: Ask,
    /// No honest answer costs more; `None` without a price.
    pub(crate) ceiling: Option<MicroUsd>,
    /// Output tokens to ask the provider for at most, where nothing else bounds them.
    pub(crate) cap: Option<u64>,
}

/// What the cost of a call depends on besides prices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    bytes: u64,
    /// Parts that are no text.
    opaque: u64,
    /// Whether the provider reads again what it stored.
    continues: bool,
    choices: u64,
    /// Most output tokens that the request allows.
    said: Option<u64>,
    /// Whether the answer has output tokens: embeddings and moderations answer without.
    speaks: bool,
}

impl Weight {
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            bytes: request.received.len() as u64,
            opaque: request.body.transcript().opaque.len() as u64,
            continues: request.stored.is_some(),
            choices: request.body.choices(),
            said: request.body.max_output_tokens(),
            speaks: request.protocol.streams(),
        }
    }
}

/// Weighs a request.
pub(crate) fn expect(request: &Request, quote: &Quote, settings: &Budgets) -> Expected {
    Weight::of(request).expect(quote, settings)
}

impl Weight {
    /// The ceiling counts each byte as a token and each part that is no text as [`OPAQUE_TOKENS`]; output is bounded by what the
    /// request says, by the model, or by a number that is then sent along. An estimate counts [`BYTES_PER_TOKEN`] bytes a token.
    pub(crate) fn expect(&self, quote: &Quote, settings: &Budgets) -> Expected {
        let Self {
            bytes,
            opaque,
            choices,
            said,
            speaks,
            ..
        } = *self;
        // A conversation that the provider keeps is read again, and nobody here knows how long it is.
        let kept = if self.continues { STORED_TOKENS } else { 0 };
        let parts = opaque.saturating_mul(OPAQUE_TOKENS).saturating_add(kept);
        let known = said.or(quote.most_output);
        let output = match (speaks, known) {
            (false, _) => 0,
            (true, Some(most)) => most,
            (true, None) => settings.default_output,
        };
        let output = output.saturating_mul(choices);
        let input = bytes.saturating_add(parts).saturating_add(FRAME_TOKENS);
        let ceiling = quote.most(input, output);
        let likely_in = (bytes / BYTES_PER_TOKEN).saturating_add(opaque.saturating_mul(1_000));
        let likely_out = match (speaks, said) {
            (false, _) => 0,
            (true, Some(most)) => most.saturating_mul(choices),
            (true, None) => settings.default_output.min(output),
        };
        let (input, output) = if settings.strict {
            (input, output)
        } else {
            (likely_in, likely_out)
        };
        let money = if settings.strict {
            ceiling
        } else {
            quote.most(input, output)
        };
        Expected {
            ask: Ask {
                money: money.unwrap_or(MicroUsd::ZERO),
                // Limits of tokens are about what is likely: a byte is rarely a token.
                input: likely_in,
                output: likely_out,
            },
            ceiling,
            cap: (settings.strict && speaks && known.is_none()).then_some(settings.default_output),
        }
    }
}
