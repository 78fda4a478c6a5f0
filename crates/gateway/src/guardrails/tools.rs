//! `tool_permission`: which tools may be offered and called, by name.

use std::sync::Arc;

use guard::{Action, Check, Names};

use super::registry::Reading;
use super::{Engine, Local, Place, Refusal, Refused, TextKind};
use crate::config::problems::Report;
use crate::config::reader::Section;

/// The rules, read on names; arguments wait until the name of their tool is decided.
struct Tools {
    names: [Arc<dyn Check>; 1],
}

/// Reads the parameters: `rules` of `{tool_name, decision}` in order, the first that matches decides; `default_action` for
/// the rest. `allowed_tools` and `denied_tools` are lists of names in short.
pub(crate) fn build(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    let decisions = [("allow", true), ("deny", false)];
    let params = reading.params;
    let mut rules = Vec::new();
    for (index, node) in params.list("rules", reading.report).iter().enumerate() {
        let path = format!("{}[{index}]", params.path_of("rules"));
        let rule = Section::of(Some(node), path, &params.place, reading.report);
        for other in rule.entries() {
            if !["id", "tool_name", "decision"].contains(&other.key.as_str()) {
                let path = rule.path_of(&other.key);
                reading.report.problem(
                    &other.place,
                    &path,
                    "not built: rules are about names of tools",
                );
            }
        }
        let allow = rule.choice("decision", &decisions, reading.report);
        if rule.get("decision").is_none() {
            missing(&rule, "decision", reading.report);
        }
        match (rule.text("tool_name", reading.report), allow) {
            (Some(name), Some(allow)) => rules.push((name.to_owned(), allow)),
            (None, _) => missing(&rule, "tool_name", reading.report),
            _ => {}
        }
    }
    for (key, allow) in [("denied_tools", false), ("allowed_tools", true)] {
        let names = params.texts(key, reading.report);
        rules.extend(names.into_iter().map(|(name, _)| (name.to_owned(), allow)));
    }
    // A list of what is allowed refuses the rest.
    let listed = params.get("allowed_tools").is_none();
    let default = params.choice("default_action", &decisions, reading.report);
    let actions = [("block", Action::Block), ("alert", Action::Alert)];
    let action = params.choice("on_disallowed_action", &actions, reading.report);
    let default = default.unwrap_or(listed && !rules.is_empty());
    match Names::new(
        reading.name,
        &rules,
        default,
        action.unwrap_or(Action::Block),
    ) {
        Ok(names) => Some(Engine::local(Tools {
            names: [Arc::new(names)],
        })),
        Err(error) => {
            reading.problem("rules", error.to_string());
            None
        }
    }
}

fn missing(rule: &Section<'_>, key: &str, report: &mut Report) {
    report.problem(&rule.place, &rule.path_of(key), "missing");
}

impl Local for Tools {
    fn readers(&self, place: Place) -> &[Arc<dyn Check>] {
        match place.kind {
            TextKind::ToolName => &self.names,
            TextKind::ToolArguments | TextKind::Text => &[],
        }
    }

    fn holds(&self, place: Place) -> bool {
        place.kind == TextKind::ToolArguments
    }

    fn scope(&self) -> Option<&'static str> {
        Some("tool_name")
    }

    fn refusal(&self, refused: &Refused<'_>) -> Refusal {
        let message = match refused.answer {
            true => "the model called a tool that is not allowed",
            false => "the request offers a tool that is not allowed",
        };
        refused.plain(message)
    }
}
