//! What a Claude model can do, by its name.

/// The version in a model name; `(0, 0)` if it has none that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u32, u32);

impl Generation {
    /// Reads `claude-sonnet-4-5-20250929`, `claude-3-7-sonnet-latest`, `anthropic.claude-opus-4-1-...`.
    pub(super) fn of(model: &str) -> Generation {
        let Some((_, name)) = model.split_once("claude-") else {
            return Generation(0, 0);
        };
        // Dates are numbers too, but longer.
        let mut numbers = name
            .split(['-', '.', '@', ':', '_'])
            .filter(|word| word.len() <= 2)
            .filter_map(|word| word.parse::<u32>().ok());
        let major = numbers.next().unwrap_or(0);
        Generation(major, numbers.next().unwrap_or(0))
    }

    /// Whether the model decides itself how much to think.
    pub(super) fn adaptive_thinking(self) -> bool {
        self >= Generation(4, 6)
    }

    /// Whether the model can think at all. Models without a known version are new or
    /// somebody's own: the provider judges.
    pub(super) fn thinks(self) -> bool {
        self >= Generation(3, 7) || self == Generation(0, 0)
    }

    /// Whether the model can be held to a schema without a tool.
    pub(super) fn output_format(self) -> bool {
        self >= Generation(4, 5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_version() {
        for (name, expected) in [
            ("claude-sonnet-4-5-20250929", (4, 5)),
            ("claude-3-7-sonnet-latest", (3, 7)),
            ("claude-3-haiku-20240307", (3, 0)),
            ("claude-opus-4-20250514", (4, 0)),
            ("us.anthropic.claude-opus-4-6-v1:0", (4, 6)),
            ("claude-opus-4.1", (4, 1)),
            ("my-model", (0, 0)),
        ] {
            let Generation(major, minor) = Generation::of(name);
            assert_eq!((major, minor), expected, "{name}");
        }
    }
}
