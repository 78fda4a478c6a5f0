//! The stages of one guardrail over one text: whole, or in pieces.

use std::borrow::Cow;
use std::sync::Arc;

use guard::{Action, Check, Finding, Form, StreamCheck, Vault};

/// What was found, without the text: the kind, and for lists of the operator the number of the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Box<str>,
    pub(crate) rule: Option<u32>,
    pub(crate) count: u64,
}

/// Everything that a guardrail saw in the texts of one side or channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) found: Vec<Found>,
    /// Something was replaced.
    pub(crate) masked: bool,
    /// The finding that refuses: its kind and the operator's description.
    pub(crate) blocked: Option<(Box<str>, Option<Box<str>>)>,
    /// Greatest score that a check gave, in thousandths, with its name.
    pub(crate) score: Option<(&'static str, u16)>,
}

impl Seen {
    fn note(&mut self, check: &dyn Check, findings: &[Finding]) {
        for finding in findings {
            self.masked |= finding.action == Action::Mask;
            let rule = check.rule(finding.rule);
            let kind = rule.map_or("UNKNOWN", |rule| rule.kind);
            // The number of a keyword says which one it was; other kinds say it by their name.
            let number = (kind == KEYWORD).then_some(finding.rule);
            let same = |known: &&mut Found| &*known.kind == kind && known.rule == number;
            match self.found.iter_mut().find(same) {
                Some(known) => known.count += 1,
                None => self.found.push(Found {
                    kind: kind.into(),
                    rule: number,
                    count: 1,
                }),
            }
        }
    }

    fn block(&mut self, check: &dyn Check, blocked: Option<Finding>) {
        if let (None, Some(finding)) = (&self.blocked, blocked) {
            let rule = check.rule(finding.rule);
            let kind = rule.map_or("UNKNOWN", |rule| rule.kind);
            let description = rule.and_then(|rule| rule.description);
            self.blocked = Some((kind.into(), description.map(Into::into)));
        }
    }

    fn rate(&mut self, score: Option<(&'static str, f32)>) {
        if let Some((name, score)) = score {
            let thousandths = (score.clamp(0.0, 1.0) * 1000.0).round() as u16;
            let most = self.score.map_or(0, |(_, most)| most);
            self.score = Some((name, thousandths.max(most)));
        }
    }
}

/// The kind of findings of keyword lists.
const KEYWORD: &str = "KEYWORD";

/// Looks at one whole text; gives what is left of it, the text itself where nothing was replaced. A refused text is left
/// as it was when it was refused.
pub(crate) fn whole<'t>(
    readers: &[Arc<dyn Check>],
    form: Form,
    vault: Option<&Arc<Vault>>,
    text: Cow<'t, str>,
    seen: &mut Seen,
) -> Cow<'t, str> {
    let mut text = text;
    for reader in readers {
        let (verdict, score) = match vault {
            Some(vault) => {
                let replacer = vault.replacer(form);
                (reader.scan_with(form, &text, replacer.as_ref()), None)
            }
            None => reader.scan_rated(form, &text),
        };
        seen.rate(score);
        seen.note(reader.as_ref(), &verdict.findings);
        seen.block(reader.as_ref(), verdict.blocked);
        if seen.blocked.is_some() {
            break;
        }
        if let Some(masked) = verdict.masked {
            text = Cow::Owned(masked);
        }
    }
    text
}

/// The same over one text that arrives in pieces.
pub(crate) struct Row {
    stages: Vec<Stage>,
    form: Form,
}

/// One check of the row.
enum Stage {
    /// Works behind a window of bounded length.
    Window(Arc<dyn Check>, Box<dyn StreamCheck>),
    /// Sees the whole text only: holds it back until its end.
    Held(Arc<dyn Check>, String),
    /// Reads nothing; holds the text back until another channel is decided.
    Waiting(String),
}

impl Row {
    pub(crate) fn new(readers: &[Arc<dyn Check>], form: Form) -> Self {
        let stage = |reader: &Arc<dyn Check>| match reader.stream_as(form) {
            Some(window) => Stage::Window(reader.clone(), window),
            None => Stage::Held(reader.clone(), String::new()),
        };
        Self {
            stages: readers.iter().map(stage).collect(),
            form,
        }
    }

    /// Holds the text back until the end, whatever its checks need.
    pub(crate) fn waiting(mut self) -> Self {
        self.stages.push(Stage::Waiting(String::new()));
        self
    }

    /// Whether some text waits for the end.
    pub(crate) fn is_held(&self) -> bool {
        let held = |stage: &Stage| !matches!(stage, Stage::Window(..));
        self.stages.iter().any(held)
    }

    /// Takes the next piece; gives what may go on now. After a refusal nothing more goes on.
    pub(crate) fn push<'t>(&mut self, piece: Cow<'t, str>, seen: &mut Seen) -> Cow<'t, str> {
        let mut text = piece;
        for stage in &mut self.stages {
            match stage {
                Stage::Window(reader, window) => {
                    let emit = window.push(&text);
                    seen.note(reader.as_ref(), &emit.findings);
                    seen.block(reader.as_ref(), emit.blocked);
                    let safe = match emit.text {
                        Cow::Borrowed(safe) if safe.len() == text.len() => None,
                        other => Some(other.into_owned()),
                    };
                    if let Some(safe) = safe {
                        text = Cow::Owned(safe);
                    }
                    if seen.blocked.is_some() {
                        break;
                    }
                }
                Stage::Held(_, held) | Stage::Waiting(held) => {
                    held.push_str(&text);
                    return Cow::Borrowed("");
                }
            }
        }
        text
    }

    /// The end of the text; gives what was held back.
    pub(crate) fn finish(&mut self, seen: &mut Seen) -> String {
        let mut text = String::new();
        for stage in &mut self.stages {
            match stage {
                Stage::Window(reader, window) => {
                    let first = window.push(&text);
                    seen.note(reader.as_ref(), &first.findings);
                    seen.block(reader.as_ref(), first.blocked);
                    let mut safe = first.text.into_owned();
                    if seen.blocked.is_none() {
                        let last = window.finish();
                        seen.note(reader.as_ref(), &last.findings);
                        seen.block(reader.as_ref(), last.blocked);
                        safe.push_str(&last.text);
                    }
                    text = safe;
                }
                Stage::Held(reader, held) => {
                    held.push_str(&text);
                    let whole_text = std::mem::take(held);
                    let reader = std::slice::from_ref(reader);
                    text =
                        whole(reader, self.form, None, Cow::Owned(whole_text), seen).into_owned();
                    if seen.blocked.is_some() {
                        text.clear();
                    }
                }
                Stage::Waiting(held) => {
                    held.push_str(&text);
                    text = std::mem::take(held);
                }
            }
            if seen.blocked.is_some() {
                break;
            }
        }
        text
    }
}
