//! Names that may or may not be: tools that are offered or called.

use regex::{Regex, RegexBuilder};

use crate::engine::verdict;
use crate::{Action, Check, Finding, Form, Reach, Rule, StreamCheck, Verdict};

/// Memory that one expression may take once compiled.
const SIZE_LIMIT: usize = 1 << 18;

/// A rule that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {index}: {reason}")]
pub struct NameError {
    /// Its place in the list.
    index: usize,
    /// What is wrong.
    reason: String,
}

/// The check. Each text is one whole name.
#[derive(Debug, Clone)]
pub struct Names {
    name: String,
    rules: Vec<(Regex, bool)>,
    /// What happens to a name that no rule matches.
    allow: bool,
    action: Action,
}

impl Names {
    /// `rules`: expressions for whole names and whether such a name is allowed; the first that matches decides. `allow`:
    /// whether other names are.
    ///
    /// # Errors
    /// A [`NameError`] that names the rule. Look-around and references back are not part of the syntax.
    pub fn new(
        name: &str,
        rules: &[(String, bool)],
        allow: bool,
        action: Action,
    ) -> Result<Names, NameError> {
        let compile = |(index, (pattern, allow)): (usize, &(String, bool))| {
            RegexBuilder::new(&format!("^(?:{pattern})$"))
                .size_limit(SIZE_LIMIT)
                .dfa_size_limit(SIZE_LIMIT)
                .build()
                .map(|regex| (regex, *allow))
                .map_err(|error| NameError {
                    index,
                    reason: error.to_string(),
                })
        };
        Ok(Names {
            name: name.to_owned(),
            rules: rules
                .iter()
                .enumerate()
                .map(compile)
                .collect::<Result<_, _>>()?,
            allow,
            action,
        })
    }

    fn allowed(&self, name: &str) -> bool {
        let decides = self.rules.iter().find(|(regex, _)| regex.is_match(name));
        decides.map_or(self.allow, |(_, allow)| *allow)
    }
}

impl Check for Names {
    fn name(&self) -> &str {
        &self.name
    }

    fn reach(&self) -> Reach {
        Reach::Whole
    }

    fn rule(&self, _index: u32) -> Option<Rule<'_>> {
        Some(Rule {
            kind: "TOOL_NOT_ALLOWED",
            pattern: "name",
            description: None,
            action: self.action,
        })
    }

    fn scan_as(&self, _form: Form, text: &str) -> Verdict {
        let finding = (!self.allowed(text)).then_some(Finding {
            start: 0,
            end: text.len(),
            rule: 0,
            action: self.action,
            score: 100,
        });
        verdict(text, finding.into_iter().collect(), |_, _| {
            "not_allowed".to_owned()
        })
    }

    fn stream_as(&self, _form: Form) -> Option<Box<dyn StreamCheck>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_the_whole_name_decides() {
        let rules = [
            ("get_.*".to_owned(), true),
            ("get_secret".to_owned(), false),
            ("drop.*".to_owned(), false),
        ];
        for (allow, expected) in [
            (true, [true, true, false, true]),
            (false, [true, true, false, false]),
        ] {
            let names = Names::new("tools", &rules, allow, Action::Block).unwrap();
            let seen = ["get_x", "get_secret", "drop_table", "forget_x"];
            assert_eq!(seen.map(|name| names.scan(name).passed()), expected);
        }
        assert!(Names::new("tools", &[("(".to_owned(), true)], true, Action::Block).is_err());
        assert!(Names::new("tools", &[("(?=a)".to_owned(), true)], true, Action::Block).is_err());
    }
}
