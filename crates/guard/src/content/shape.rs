//! What can be said of a text without knowing what it says: size, language, gibberish.

use crate::engine::verdict;
use crate::{Action, Check, Finding, Form, Reach, Rule, StreamCheck, Verdict};

/// Sizes that a text may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Most bytes.
    pub bytes: Option<usize>,
    /// Most characters.
    pub characters: Option<usize>,
    /// Most tokens, estimated at four bytes each, never less than the words.
    pub tokens: Option<usize>,
}

/// A language that is told apart: by script, or by the commonest words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    English,
    /// German.
    German,
    /// French.
    French,
    /// Spanish.
    Spanish,
    /// Italian.
    Italian,
    /// Portuguese.
    Portuguese,
    /// Written in Cyrillic letters.
    Cyrillic,
    /// Written in Devanagari.
    Devanagari,
    /// Written in Arabic letters.
    Arabic,
    /// Written in Chinese characters.
    Chinese,
    /// Written with kana.
    Japanese,
    /// Written in Hangul.
    Korean,
}

/// The commonest words of the languages in Latin letters.
const COMMON: &[(Language, &str)] = &[
    (
        Language::English,
        "the and of to is in that it you for was with are this have not what how",
    ),
    (
        Language::German,
        "der die das und ist nicht ich zu den mit ein eine wie auf für sie von sich",
    ),
    (
        Language::French,
        "le la les et est une des que pour dans ce qui sur pas avec vous je du",
    ),
    (
        Language::Spanish,
        "el los las que una por con para es del como pero su se lo qué y en",
    ),
    (
        Language::Italian,
        "il che di per una non con sono gli come della più anche mi ma è lo",
    ),
    (
        Language::Portuguese,
        "que não uma os com para do da em por mais como mas foi ao são você as",
    ),
];

/// The language of a text; `None` if too little tells.
#[must_use]
pub fn language(text: &str) -> Option<Language> {
    let mut scripts = [0_usize; 6];
    let mut latin = 0_usize;
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        let script = match c {
            '\u{400}'..='\u{52F}' => 0,
            '\u{900}'..='\u{97F}' => 1,
            '\u{600}'..='\u{6FF}' => 2,
            '\u{3040}'..='\u{30FF}' => 4,
            '\u{AC00}'..='\u{D7A3}' => 5,
            '\u{4E00}'..='\u{9FFF}' => 3,
            _ => {
                latin += 1;
                continue;
            }
        };
        if let Some(count) = scripts.get_mut(script) {
            *count += 1;
        }
    }
    let [cyrillic, devanagari, arabic, chinese, kana, hangul] = scripts;
    let most = [
        (cyrillic, Language::Cyrillic),
        (devanagari, Language::Devanagari),
        (arabic, Language::Arabic),
        (if kana == 0 { chinese } else { 0 }, Language::Chinese),
        (
            if kana > 0 { kana + chinese } else { 0 },
            Language::Japanese,
        ),
        (hangul, Language::Korean),
    ]
    .into_iter()
    .max_by_key(|(count, _)| *count)?;
    if most.0 > latin {
        return Some(most.1);
    }
    let lower = text.to_lowercase();
    let count = |list: &str| {
        let words = lower.split(|c: char| !c.is_alphabetic());
        words
            .filter(|word| !word.is_empty() && list.split(' ').any(|other| other == *word))
            .count()
    };
    let best = COMMON
        .iter()
        .map(|(language, list)| (count(list), *language));
    let (hits, language) = best.max_by_key(|(count, _)| *count)?;
    (hits >= 2).then_some(language)
}

/// Whether Latin letters of a text make no words: hardly a vowel, or hardly anything else.
#[must_use]
pub fn gibberish(text: &str) -> bool {
    let mut judged = 0_usize;
    let mut odd = 0_usize;
    for word in text.split(|c: char| !c.is_alphabetic()) {
        let length = word.len();
        if !(5..=40).contains(&length) || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
            continue;
        }
        judged += 1;
        let vowels = word.bytes().filter(|byte| b"aeiouy".contains(byte)).count();
        let row = word
            .as_bytes()
            .split(|byte| b"aeiouy".contains(byte))
            .map(<[u8]>::len)
            .max()
            .unwrap_or(0);
        odd += usize::from(vowels * 6 < length || vowels * 4 > length * 3 || row >= 6);
    }
    judged >= 3 && odd * 2 > judged
}

/// The settings of the check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShapeSettings {
    /// Sizes that a text may have.
    pub limits: Limits,
    /// Languages that a text may have; empty for any. A text whose language is not told passes.
    pub languages: Vec<Language>,
    /// Whether gibberish is reported.
    pub gibberish: bool,
}

/// The check over sizes, languages and gibberish. Sees whole texts only; nothing is cut.
#[derive(Debug, Clone)]
pub struct ShapeCheck {
    name: String,
    settings: ShapeSettings,
    action: Action,
}

const KINDS: &[&str] = &["TOO_LONG", "LANGUAGE", "GIBBERISH"];

impl ShapeCheck {
    /// The check. Its findings cover the whole text, so masking makes little sense.
    #[must_use]
    pub fn new(name: &str, settings: ShapeSettings, action: Action) -> ShapeCheck {
        ShapeCheck {
            name: name.to_owned(),
            settings,
            action,
        }
    }

    fn rules(&self, text: &str) -> Vec<u32> {
        let limits = self.settings.limits;
        let over = |limit: Option<usize>, count: usize| limit.is_some_and(|limit| count > limit);
        let tokens = || text.len().div_ceil(4).max(text.split_whitespace().count());
        let long = over(limits.bytes, text.len())
            || limits.characters.is_some() && over(limits.characters, text.chars().count())
            || limits.tokens.is_some() && over(limits.tokens, tokens());
        let foreign = !self.settings.languages.is_empty()
            && language(text).is_some_and(|told| !self.settings.languages.contains(&told));
        let odd = self.settings.gibberish && gibberish(text);
        let all = [(long, 0), (foreign, 1), (odd, 2)];
        all.iter()
            .filter(|(on, _)| *on)
            .map(|(_, rule)| *rule)
            .collect()
    }
}

impl Check for ShapeCheck {
    fn name(&self) -> &str {
        &self.name
    }

    fn reach(&self) -> Reach {
        Reach::Whole
    }

    fn rule(&self, index: u32) -> Option<Rule<'_>> {
        let kind = KINDS.get(index as usize)?;
        Some(Rule {
            kind,
            pattern: kind,
            description: None,
            action: self.action,
        })
    }

    fn scan_as(&self, _form: Form, text: &str) -> Verdict {
        let finding = |rule| Finding {
            start: 0,
            end: text.len(),
            rule,
            action: self.action,
            score: 100,
        };
        let all = self.rules(text).into_iter().map(finding).collect();
        verdict(text, all, |_, _| "[REMOVED]".to_owned())
    }

    fn stream_as(&self, _form: Form) -> Option<Box<dyn StreamCheck>> {
        None
    }
}
