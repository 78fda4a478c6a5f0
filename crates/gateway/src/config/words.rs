//! The words of a content filter.

use super::guardrails::needed;
use super::problems::Report;
use super::reader::Section;

/// Words to block or to mask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The words, in the order of the file.
    pub entries: Vec<BlockedWord>,
    /// What a masked word is replaced by.
    pub tag: String,
}

impl Words {
    /// The check over these words.
    ///
    /// # Errors
    /// When a word or the tag cannot work; a loaded configuration has none such.
    pub fn build(&self, name: &str) -> Result<guard::BlockedWords, guard::BuildError> {
        let word = |word: &BlockedWord| guard::Word {
            keyword: word.keyword.clone(),
            action: match word.action {
                WordAction::Block => guard::Action::Block,
                WordAction::Mask => guard::Action::Mask,
            },
            description: word.description.clone(),
        };
        let words = self.entries.iter().map(word).collect();
        guard::BlockedWords::new(name, words, Some(&self.tag))
    }
}

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedWord {
    /// The word or phrase; found in any case.
    pub keyword: String,
    /// What happens when it is found.
    pub action: WordAction,
    /// What it stands for; shown to the operator only.
    pub description: Option<String>,
}

/// What happens when a word is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WordAction {
    /// The call is refused.
    Block,
    /// The word is replaced by the tag.
    Mask,
}

/// Reads `blocked_words` and `keyword_redaction_tag`.
pub(crate) fn read(name: &str, params: &Section<'_>, report: &mut Report) -> Words {
    let tag = params
        .text("keyword_redaction_tag", report)
        .unwrap_or(guard::DEFAULT_TAG);
    let mut entries = Vec::new();
    let list = params.list("blocked_words", report);
    for (index, node) in list.iter().enumerate() {
        let path = format!("{}[{index}]", params.path_of("blocked_words"));
        let entry = Section::of(Some(node), path, &params.place, report);
        for other in entry.entries() {
            if !["keyword", "action", "description"].contains(&other.key.as_str()) {
                let path = entry.path_of(&other.key);
                report.problem(&other.place, &path, "unknown key");
            }
        }
        let keyword = needed(&entry, "keyword", report);
        let actions = [("BLOCK", WordAction::Block), ("MASK", WordAction::Mask)];
        let action = entry.choice("action", &actions, report);
        if entry.get("action").is_none() {
            let path = entry.path_of("action");
            report.problem(&entry.place, &path, "missing; write BLOCK or MASK");
        }
        let description = entry.text("description", report).map(str::to_owned);
        if let (Some(keyword), Some(action)) = (keyword, action) {
            entries.push(BlockedWord {
                keyword: keyword.to_owned(),
                action,
                description,
            });
        }
    }
    let words = Words {
        entries,
        tag: tag.to_owned(),
    };
    // Built once here, so that a list that cannot work stops the start.
    if words.entries.len() == list.len()
        && let Err(error) = words.build(name)
    {
        report.problem(
            &params.place_of("blocked_words"),
            &params.path,
            error.to_string(),
        );
    }
    words
}
