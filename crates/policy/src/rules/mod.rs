//! Rules over facts: expressions in CEL that say whether a call may go on.
//!
//! The engine is pure: it sees the facts of a call and nothing else, no clock, no network, no files. What a rule costs is
//! bounded before the first call: its length, its nodes, and no loop within a loop, over facts that are bounded too. A rule
//! that cannot be evaluated (a fact that is absent, a wrong type, an overflow) refuses the call.

mod facts;

use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr};
use cel::{Context, Env, IdedExpr, Program, Value};

pub use facts::{Facts, NAMES};

/// Longest expression, in bytes.
const LONGEST: usize = 4_096;

/// Most nodes of an expression.
const MOST_NODES: usize = 500;

/// Most nodes under each other.
const MOST_DEPTH: usize = 40;

/// The standard functions, made once.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// What a rule says about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The expression must be true.
    Require,
    /// The expression must be false.
    Deny,
}

/// A rule as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Its name, for records and answers.
    pub name: String,
    /// Where it applies; everywhere without.
    pub when: Option<String>,
    /// What must hold.
    pub require: Option<String>,
    /// What must not hold.
    pub deny: Option<String>,
}

/// An expression or rule that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct RuleError {
    /// `when`, `require` or `deny`.
    pub field: &'static str,
    /// What is wrong, without a dump of the parser.
    pub reason: String,
}

/// A compiled rule.
pub struct Rule {
    name: Arc<str>,
    when: Option<Program>,
    effect: Effect,
    then: Program,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rule({}, {:?})", self.name, self.effect)
    }
}

/// Rules in order.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

/// What the rules decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every rule lets the call go on; the names of those that applied, in order.
    Allowed(Vec<Arc<str>>),
    /// This rule refuses it.
    Refused {
        /// Its name.
        rule: Arc<str>,
        /// It could not be evaluated, which refuses too.
        failed: bool,
    },
}

impl Rule {
    /// Compiles a rule and bounds what it can cost.
    ///
    /// # Errors
    /// When an expression is too long, too large, not CEL, or names a fact that there is not.
    pub fn compile(source: &Source) -> Result<Rule, RuleError> {
        let when = source
            .when
            .as_deref()
            .map(|text| program("when", text))
            .transpose()?;
        let (effect, then) = match (source.require.as_deref(), source.deny.as_deref()) {
            (Some(text), None) => (Effect::Require, program("require", text)?),
            (None, Some(text)) => (Effect::Deny, program("deny", text)?),
            _ => {
                return Err(RuleError {
                    field: "require",
                    reason: "a rule has either require or deny".to_owned(),
                });
            }
        };
        Ok(Rule {
            name: Arc::from(source.name.as_str()),
            when,
            effect,
            then,
        })
    }

    /// `None` when the rule does not apply; else whether the call may go on.
    fn judge(&self, context: &Context<'_, '_>) -> Result<Option<bool>, ()> {
        if let Some(when) = &self.when
            && !truth(when, context)?
        {
            return Ok(None);
        }
        let holds = truth(&self.then, context)?;
        Ok(Some(match self.effect {
            Effect::Require => holds,
            Effect::Deny => !holds,
        }))
    }
}

impl Rules {
    /// Rules in the order in which they are asked.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Rules {
        Rules(rules)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks every rule until one refuses.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Decision {
        let mut applied = Vec::new();
        if self.0.is_empty() {
            return Decision::Allowed(applied);
        }
        let context = facts.values().map(context);
        for rule in &self.0 {
            let judged = match &context {
                Ok(context) => rule.judge(context),
                // Facts beyond their bounds: nobody knows what a rule would say.
                Err(_) => Err(()),
            };
            match judged {
                Ok(None) => {}
                Ok(Some(true)) => applied.push(rule.name.clone()),
                Ok(Some(false)) => {
                    return Decision::Refused {
                        rule: rule.name.clone(),
                        failed: false,
                    };
                }
                Err(()) => {
                    return Decision::Refused {
                        rule: rule.name.clone(),
                        failed: true,
                    };
                }
            }
        }
        Decision::Allowed(applied)
    }
}

fn context(values: Vec<(&'static str, Value)>) -> Context<'static, 'static> {
    let mut context = Context::with_env(STANDARD.clone());
    for (name, value) in values {
        context.add_variable_from_value(name, value);
    }
    context
}

fn truth(program: &Program, context: &Context<'_, '_>) -> Result<bool, ()> {
    match program.execute(context) {
        Ok(Value::Bool(holds)) => Ok(holds),
        Ok(_) | Err(_) => Err(()),
    }
}

fn program(field: &'static str, text: &str) -> Result<Program, RuleError> {
    let wrong = |reason: String| RuleError { field, reason };
    if text.len() > LONGEST {
        return Err(wrong(format!("longer than {LONGEST} bytes")));
    }
    // The parser recurses; parentheses and brackets bound how deep it can go.
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'!' | b'-' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MOST_NODES / 5 {
            return Err(wrong("nested too deeply".to_owned()));
        }
    }
    let program = Program::compile(text).map_err(|errors| {
        let text = errors.to_string();
        let line = text.lines().next().unwrap_or_default();
        wrong(format!(
            "not a CEL expression: {}",
            line.chars().take(200).collect::<String>()
        ))
    })?;
    let mut size = Size::default();
    size.of(program.expression(), 0, false)
        .map_err(|reason| wrong(reason.to_owned()))?;
    for name in program.references().variables() {
        if !NAMES.contains(&name) && !size.own.iter().any(|own| own == name) {
            return Err(wrong(format!(
                "there is no fact `{name}`; facts are {}",
                NAMES.join(", ")
            )));
        }
    }
    Ok(program)
}

/// What an expression has so far.
#[derive(Default)]
struct Size {
    nodes: usize,
    /// Variables of its own loops.
    own: Vec<String>,
}

impl Size {
    fn of(&mut self, node: &IdedExpr, depth: usize, in_loop: bool) -> Result<(), &'static str> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err("too many parts; split the rule");
        }
        if depth > MOST_DEPTH {
            return Err("nested too deeply");
        }
        let down = depth + 1;
        match &node.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Ok(()),
            Expr::Call(call) => {
                if let Some(target) = &call.target {
                    self.of(target, down, in_loop)?;
                }
                call.args
                    .iter()
                    .try_for_each(|argument| self.of(argument, down, in_loop))
            }
            Expr::Comprehension(each) => {
                if in_loop {
                    return Err("a loop within a loop is not taken");
                }
                self.own.push(each.iter_var.clone());
                self.own.extend(each.iter_var2.clone());
                self.own.push(each.accu_var.clone());
                self.of(&each.iter_range, down, true)?;
                for part in [
                    &each.accu_init,
                    &each.loop_cond,
                    &each.loop_step,
                    &each.result,
                ] {
                    self.of(part, down, true)?;
                }
                Ok(())
            }
            Expr::List(list) => list
                .elements
                .iter()
                .try_for_each(|element| self.of(element, down, in_loop)),
            Expr::Select(select) => self.of(&select.operand, down, in_loop),
            Expr::Map(map) => map
                .entries
                .iter()
                .try_for_each(|entry| self.entry(&entry.expr, down, in_loop)),
            Expr::Struct(_) => Err("structures are not taken"),
        }
    }

    fn entry(
        &mut self,
        entry: &EntryExpr,
        depth: usize,
        in_loop: bool,
    ) -> Result<(), &'static str> {
        match entry {
            EntryExpr::StructField(_) => Err("structures are not taken"),
            EntryExpr::MapEntry(entry) => {
                self.of(&entry.key, depth, in_loop)?;
                self.of(&entry.value, depth, in_loop)
            }
        }
    }
}

#[cfg(test)]
mod tests;
