//! The number of one text of a response.

/// Parts of an item that have a number of their own.
const PARTS: u32 = 256;
/// Where the numbers of reasoning text begin; below are those of the summary.
const REASONING: u32 = 128;

/// One text of a response: an item of `output`, and a part of the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit {
    /// Place of the item in `output`.
    pub item: u32,
    /// Number of the part: `content_index` of a message, `summary_index` of a reasoning
    /// item, 128 and above for `content_index` of a reasoning item, else 0.
    pub part: u32,
}

impl Unit {
    /// The only text of an item.
    #[must_use]
    pub fn item(item: u32) -> Unit {
        Unit { item, part: 0 }
    }

    /// The text of reasoning in `content`.
    #[must_use]
    pub fn reasoning(item: u32, part: u32) -> Unit {
        let part = part.saturating_add(REASONING);
        Unit { item, part }
    }

    /// The one number that stands for it as the choice of an output.
    #[must_use]
    pub fn choice(self) -> u32 {
        let part = self.part.min(PARTS.saturating_sub(1));
        self.item.saturating_mul(PARTS).saturating_add(part)
    }

    /// Whether a choice belongs to the item.
    #[must_use]
    pub fn is_of(choice: u32, item: u32) -> bool {
        choice / PARTS == item
    }
}
