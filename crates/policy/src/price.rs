//! What a call costs: prices per token, kept exact, and the cost of one call.

use crate::money::{Decimal, MicroUsd, MoneyError};

/// A price of one token in whole pico-dollars (10^-12 USD).
///
/// Published prices have at most ten decimals of a dollar per token, so they
/// are exact here. A rate that is written finer is rounded up to the next
/// pico-dollar, and [`Rate::parse`] says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// A rate of whole pico-dollars per token.
    #[must_use]
    pub const fn from_pico(pico: u64) -> Self {
        Self(pico)
    }

    /// The rate in whole pico-dollars per token.
    #[must_use]
    pub const fn pico(self) -> u64 {
        self.0
    }

    /// The rate in dollars per token, for displays: not exact.
    #[must_use]
    pub fn usd_per_token(self) -> f64 {
        self.0 as f64 / 1e12
    }

    /// Reads dollars per token from decimal text, such as `0.0000025` or
    /// `2.5e-06`. The flag is `true` when the text was finer than a pico-dollar
    /// and the rate was rounded up.
    ///
    /// # Errors
    /// [`MoneyError`] for text that is no number, is negative, or does not fit.
    pub fn parse(text: &str) -> Result<(Self, bool), MoneyError> {
        let scaled = Decimal::parse(text)?.scaled(12)?;
        let pico = u64::try_from(scaled.rounded_up()?).map_err(|_| MoneyError::OutOfRange)?;
        Ok((Self(pico), scaled.rest))
    }
}

/// The prices of a deployment. A kind of token without a rate of its own
/// falls back as each field says; without a fallback its cost is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Prompt tokens.
    pub input: Option<Rate>,
    /// Answer tokens.
    pub output: Option<Rate>,
    /// Prompt tokens read from the provider's cache; falls back to `input`.
    pub cached_input: Option<Rate>,
    /// Prompt tokens written to the provider's cache; falls back to `input`.
    pub cache_write: Option<Rate>,
    /// Reasoning tokens; falls back to `output`.
    pub reasoning: Option<Rate>,
}

/// The tokens of one call by how they are billed. The kinds do not overlap:
/// `input` does not contain `cached_input`, `output` does not contain `reasoning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Billed {
    /// Prompt tokens billed at the full rate.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_input: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// Answer tokens.
    pub output: u64,
    /// Reasoning tokens.
    pub reasoning: u64,
}

/// Where the cost of a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostSource {
    /// No price is known; the cost is absent, never zero.
    None,
    /// The prices written in the configuration of the deployment.
    Deployment,
    /// The built-in list of prices.
    Table,
    /// The configured ceiling for models without a price.
    Ceiling,
}

impl CostSource {
    /// The name as it stands in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Deployment => "deployment",
            Self::Table => "table",
            Self::Ceiling => "ceiling",
        }
    }
}

/// The cost of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The amount, absent when a kind of token that was used has no price.
    pub amount: Option<MicroUsd>,
    /// Where the amount comes from.
    pub source: CostSource,
}

impl Price {
    /// Whether any rate is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// The cost of a call.
    ///
    /// Every part is summed exactly in pico-dollars; the sum is rounded **up**
    /// to the next micro-dollar, once per call. So a priced call that used a
    /// token never costs nothing, and the error is below one micro-dollar.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] when the amount does not fit.
    pub fn cost(&self, billed: &Billed) -> Result<Cost, MoneyError> {
        let parts = [
            (billed.input, self.input),
            (billed.cached_input, self.cached_input.or(self.input)),
            (billed.cache_write, self.cache_write.or(self.input)),
            (billed.output, self.output),
            (billed.reasoning, self.reasoning.or(self.output)),
        ];
        let mut pico: u128 = 0;
        for (tokens, rate) in parts {
            let Some(rate) = rate else {
                if tokens == 0 {
                    continue;
                }
                return Ok(Self::unknown());
            };
            let part = u128::from(tokens)
                .checked_mul(u128::from(rate.pico()))
                .ok_or(MoneyError::OutOfRange)?;
            pico = pico.checked_add(part).ok_or(MoneyError::OutOfRange)?;
        }
        if !self.is_known() {
            return Ok(Self::unknown());
        }
        let micro = i64::try_from(pico.div_ceil(1_000_000)).map_err(|_| MoneyError::OutOfRange)?;
        Ok(Cost {
            amount: Some(MicroUsd::new(micro)),
            source: CostSource::Deployment,
        })
    }

    const fn unknown() -> Cost {
        Cost {
            amount: None,
            source: CostSource::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Billed, CostSource, Price, Rate};
    use crate::money::{MicroUsd, MoneyError};

    fn rate(text: &str) -> Option<Rate> {
        Some(Rate::parse(text).unwrap().0)
    }

    #[test]
    fn published_prices_are_exact() {
        for (text, pico) in [
            ("0.0000025", 2_500_000),
            ("2.5e-06", 2_500_000),
            ("2e-8", 20_000),
            ("1.25E-07", 125_000),
            ("0", 0),
        ] {
            assert_eq!(
                Rate::parse(text),
                Ok((Rate::from_pico(pico), false)),
                "{text}"
            );
        }
        assert_eq!(
            Rate::parse("3.9999999999999996e-07"),
            Ok((Rate::from_pico(400_000), true))
        );
        assert_eq!(Rate::parse("-1e-6"), Err(MoneyError::Negative));
    }

    #[test]
    fn the_sum_is_rounded_up_once() {
        let price = Price {
            input: rate("1.5e-07"),
            output: rate("6e-07"),
            ..Price::default()
        };
        let billed = Billed {
            input: 3,
            output: 1,
            ..Billed::default()
        };
        // 0.45 + 0.6 micro-dollars: 2, where rounding each part would give 2 and cutting 1.
        let cost = price.cost(&billed).unwrap();
        assert_eq!(cost.amount, Some(MicroUsd::new(2)));
        assert_eq!(cost.source, CostSource::Deployment);
        let many = Billed {
            input: 1_000_000,
            ..Billed::default()
        };
        assert_eq!(
            price.cost(&many).unwrap().amount,
            Some(MicroUsd::new(150_000))
        );
    }

    #[test]
    fn an_unknown_price_is_absent_and_not_zero() {
        let only_input = Price {
            input: rate("1e-6"),
            ..Price::default()
        };
        let chat = Billed {
            input: 10,
            output: 10,
            ..Billed::default()
        };
        assert_eq!(only_input.cost(&chat).unwrap().amount, None);
        assert_eq!(only_input.cost(&chat).unwrap().source, CostSource::None);
        let embedding = Billed {
            input: 10,
            ..Billed::default()
        };
        assert_eq!(
            only_input.cost(&embedding).unwrap().amount,
            Some(MicroUsd::new(10))
        );
        let nothing = Price::default();
        assert_eq!(nothing.cost(&Billed::default()).unwrap().amount, None);
    }

    #[test]
    fn cached_and_reasoning_tokens_fall_back() {
        let price = Price {
            input: rate("1e-6"),
            output: rate("2e-6"),
            ..Price::default()
        };
        let billed = Billed {
            cached_input: 5,
            reasoning: 5,
            ..Billed::default()
        };
        assert_eq!(price.cost(&billed).unwrap().amount, Some(MicroUsd::new(15)));
        let cheaper = Price {
            cached_input: rate("1e-7"),
            ..price
        };
        assert_eq!(
            cheaper.cost(&billed).unwrap().amount,
            Some(MicroUsd::new(11))
        );
    }

    #[test]
    fn a_cost_that_does_not_fit_is_an_error() {
        let price = Price {
            input: Some(Rate::from_pico(u64::MAX)),
            ..Price::default()
        };
        let billed = Billed {
            input: u64::MAX,
            ..Billed::default()
        };
        assert_eq!(price.cost(&billed), Err(MoneyError::OutOfRange));
    }
}
