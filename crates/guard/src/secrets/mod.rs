//! Secrets: keys, tokens, private keys, connection strings.

mod entropy;
mod rules;
mod tokens;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use crate::Action;
use crate::engine::{Detector, Window};
use crate::resolve::{Candidate, Rank};
use crate::runs::Marks;
use rules::Issued;

/// What kind of secret was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretKind {
    /// A key or token, by its issuer's prefix or by context and entropy.
    ApiKey,
    /// A JSON Web Token whose header names an algorithm.
    Jwt,
    /// A private key in PEM form.
    PrivateKey,
    /// A connection string with a password in it.
    ConnectionString,
}

impl SecretKind {
    /// All kinds.
    pub const ALL: &'static [SecretKind] = &[
        SecretKind::ApiKey,
        SecretKind::Jwt,
        SecretKind::PrivateKey,
        SecretKind::ConnectionString,
    ];

    /// The name in configurations, findings and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SecretKind::ApiKey => "API_KEY",
            SecretKind::Jwt => "JWT",
            SecretKind::PrivateKey => "PRIVATE_KEY",
            SecretKind::ConnectionString => "CONNECTION_STRING",
        }
    }

    pub(crate) fn index(self) -> u32 {
        self as u32
    }
}

/// The settings of the check for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSettings {
    /// What is done about a secret.
    pub action: Action,
    /// Lowest score that counts, 0 to 100.
    pub threshold: u8,
    /// Whether strings are taken for secrets because they look random next to a word for a
    /// key.
    pub entropy: bool,
    /// Texts that are never reported, exactly as written.
    pub allow: std::collections::HashSet<String>,
}

impl Default for SecretSettings {
    fn default() -> SecretSettings {
        SecretSettings {
            action: Action::Mask,
            threshold: 50,
            entropy: true,
            allow: std::collections::HashSet::new(),
        }
    }
}

/// The detector with its settings.
#[derive(Debug)]
pub(crate) struct SecretDetector {
    settings: SecretSettings,
    /// `None` would find no prefix; a test shows that the table compiles.
    prefixes: Option<AhoCorasick>,
    issued: Vec<Issued>,
}

impl SecretDetector {
    pub(crate) fn new(settings: SecretSettings) -> SecretDetector {
        let issued = rules::table();
        let prefixes = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(aho_corasick::AhoCorasickKind::DFA))
            .build(issued.iter().map(|issued| issued.prefix))
            .ok();
        SecretDetector {
            settings,
            prefixes,
            issued,
        }
    }

    fn issued(&self, window: &Window<'_>, found: &mut Vec<Candidate>) {
        let Some(prefixes) = &self.prefixes else {
            return;
        };
        for hit in prefixes.find_iter(window.text()) {
            if let Some(issued) = self.issued.get(hit.pattern().as_usize()) {
                tokens::issued(window, window.start + hit.start(), issued, found);
            }
        }
    }
}

impl Detector for SecretDetector {
    fn look(&self, window: &Window<'_>, found: &mut Vec<Candidate>) {
        let marks = window.run.marks;
        if marks.has(Marks::PEM) {
            tokens::private_keys(window, found);
        }
        if !marks.has(Marks::LONG) && !marks.has(Marks::PEM) {
            return;
        }
        self.issued(window, found);
        tokens::look(window, found);
        if self.settings.entropy {
            entropy::look(window, found);
        }
    }

    fn threshold(&self, _kind: u32) -> u8 {
        self.settings.threshold
    }

    fn action(&self, _kind: u32) -> Action {
        self.settings.action
    }

    fn name(&self, kind: u32) -> Option<&'static str> {
        SecretKind::ALL.get(kind as usize).map(|kind| kind.name())
    }

    fn allowed(&self, _kind: u32, text: &[u8]) -> bool {
        std::str::from_utf8(text).is_ok_and(|text| self.settings.allow.contains(text))
    }
}

/// Adds a candidate.
fn add(found: &mut Vec<Candidate>, kind: SecretKind, range: (usize, usize), score: u8, rank: Rank) {
    found.push(Candidate {
        start: range.0,
        end: range.1,
        kind: kind.index(),
        score,
        rank,
    });
}
