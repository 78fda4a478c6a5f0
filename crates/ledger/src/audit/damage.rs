//! What is wrong with a ledger, by name.

use std::fmt;

/// How many findings are kept with their text; further ones are counted.
pub const KEPT: usize = 1_000;

/// The name of a kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The content or the seal of a record is not what was sealed.
    Edited,
    /// Records that must be there are not.
    Missing,
    /// A call was begun and neither its record nor a recovery record exists.
    MissingIntent,
    /// A record stands in another place than its sequence number says.
    Reordered,
    /// The chain is shorter than a signed checkpoint says.
    Truncated,
    /// A record, an id or an intent number appears twice.
    Duplicate,
    /// Two histories: records of one place differ, a link leads elsewhere, or the tree is not that of the checkpoint.
    Forked,
    /// Signed by a key that is not this ledger's at that place.
    UnknownKey,
    /// A record without hash or without signature.
    SealStripped,
    /// A record, or a checkpoint, of another ledger.
    WrongLedger,
    /// The coverage entries of a record do not chain from the text that was checked to the text that was sent.
    CoverageBroken,
    /// Hash and signature are good, but the document is not written as the protocol writes it.
    NotNormalForm,
    /// The configuration digest changed without a sealed change.
    UnloggedChange,
}

impl Kind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Kind; 13] = [
        Kind::Edited,
        Kind::Missing,
        Kind::MissingIntent,
        Kind::Reordered,
        Kind::Truncated,
        Kind::Duplicate,
        Kind::Forked,
        Kind::UnknownKey,
        Kind::SealStripped,
        Kind::WrongLedger,
        Kind::CoverageBroken,
        Kind::NotNormalForm,
        Kind::UnloggedChange,
    ];

    /// The name as it is printed, in small letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Edited => "edited",
            Kind::Missing => "missing",
            Kind::MissingIntent => "missing intent",
            Kind::Reordered => "reordered",
            Kind::Truncated => "truncated",
            Kind::Duplicate => "duplicate",
            Kind::Forked => "forked",
            Kind::UnknownKey => "unknown key",
            Kind::SealStripped => "seal stripped",
            Kind::WrongLedger => "wrong ledger",
            Kind::CoverageBroken => "coverage broken",
            Kind::NotNormalForm => "not in normal form",
            Kind::UnloggedChange => "unlogged change",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One finding that makes a ledger invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What it is.
    pub kind: Kind,
    /// The sequence number that it is about, where there is one.
    pub sequence: Option<u64>,
    /// The lower-case hyphenated id of the record that it is about, where there is one.
    pub capsule_id: Option<String>,
    /// A sentence for people. Holds nothing of a record's content.
    pub message: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(sequence) = self.sequence {
            write!(f, " at sequence {sequence}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Findings in the order of their discovery: the first [`KEPT`] with their text, all of them counted.
#[derive(Clone, Debug, Default)]
pub struct Damages {
    kept: Vec<Damage>,
    count: u64,
}

impl Damages {
    /// Adds a finding.
    pub fn push(&mut self, damage: Damage) {
        self.count += 1;
        if self.kept.len() < KEPT {
            self.kept.push(damage);
        }
    }

    /// The findings that were kept.
    #[must_use]
    pub fn kept(&self) -> &[Damage] {
        &self.kept
    }

    /// How many findings there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A range of numbers for a sentence: `5` or `5 to 9`.
pub(super) fn span(range: &std::ops::RangeInclusive<u64>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{} to {}", range.start(), range.end())
    }
}
