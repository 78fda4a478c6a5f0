//! The answer per choice and channel: its checks in order, what they saw and left, and what was delivered.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use guard::{Form, Restorer};
use llm::openai::Channel;
use llm::transcript::{OpaqueKind, OpaquePart};

use super::coverage::{Delivery, Entry, Outcome, Side};
use super::facts::Facts;
use crate::config::{ContentMode, OpaqueParts};
use crate::digest::{Digest, DigestKey, Purpose, Running};
use crate::error::Error;
use crate::guardrails::row::{self, Row, Seen};
use crate::guardrails::select::Restoring;
use crate::guardrails::{Check, Local, Place, Refused, Selected, TextKind};

/// Bytes of an answer that are kept for the record; a record holds fewer characters than that.
const MOST_KEPT: usize = 16_384;

/// Which text of an answer is kept for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// None.
    Nothing,
    /// As the checks left it, before masked values came back.
    Masked,
    /// As it was delivered.
    Delivered,
}

impl From<ContentMode> for Keeps {
    fn from(mode: ContentMode) -> Self {
        match mode {
            ContentMode::Hash => Self::Nothing,
            ContentMode::Masked => Self::Masked,
            ContentMode::Encrypted | ContentMode::Full => Self::Delivered,
        }
    }
}

/// A check refused the answer.
#[derive(Debug)]
pub(crate) struct Blocked {
    /// The configured name of the check.
    pub(crate) check: Arc<str>,
    /// What the client is told.
    pub(crate) error: Box<Error>,
}

/// All channels of one answer.
pub(crate) struct Channels {
    digests: Arc<DigestKey>,
    checks: Vec<Arc<Check>>,
    restoring: Option<Restoring>,
    delivery: Delivery,
    channels: Vec<ChannelState>,
    /// Text kept for the record, as far as it is needed.
    text: Kept,
    /// Texts as the checks left them, kept for the services that are asked about the answer; `None` when none is.
    collected: Option<Vec<Collected>>,
    /// Texts that stand for those that come, where a service or a check before it changed them.
    replaced: Replaced,
    /// Whether any check reads the answer.
    checked: bool,
    /// Kinds of parts that no check could read.
    opaque: Vec<&'static str>,
    /// Some of them went on because a setting says so.
    opened: bool,
}

/// Which steps an answer goes through. Where services are asked about it, the local checks come before them and masked
/// values after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// All of them: no service is asked.
    Only,
    /// The local checks; what they leave is kept for the services.
    First,
    /// The local checks that decide, on what a service left.
    Again,
    /// Masked values come back.
    Last,
}

/// One text of the answer as the checks left it.
pub(crate) struct Collected {
    pub(crate) choice: u32,
    pub(crate) channel: Channel,
    pub(crate) text: String,
    /// What came from the provider.
    came: Running,
}

impl Collected {
    /// Whether it is not the provider's text any more.
    pub(crate) fn differs(&self, digests: &DigestKey, text: &str) -> bool {
        self.came.clone().finish() != digests.digest("", Purpose::Text, text.as_bytes())
    }
}

/// Texts by choice and channel; of a channel of several values one for each.
#[derive(Default)]
pub(crate) struct Replaced(pub(crate) Vec<(u32, Channel, VecDeque<String>)>);

impl Replaced {
    /// The text that stands for the next one of a channel; of a text in pieces for the first of them, and nothing for the
    /// rest.
    fn next(&mut self, choice: u32, channel: Channel) -> Option<String> {
        let mut all = self.0.iter_mut();
        let (.., texts) = all.find(|entry| (entry.0, entry.1) == (choice, channel))?;
        Some(texts.pop_front().unwrap_or_default())
    }
}

/// What is kept of the text channels.
struct Kept {
    keeps: Keeps,
    text: String,
}

struct ChannelState {
    choice: u32,
    channel: Channel,
    delivered: Running,
    delivered_bytes: u64,
    links: Vec<Link>,
}

/// One step on one channel.
struct Link {
    work: Work,
    seen: Running,
    left: Running,
    bytes: u64,
    micros: u64,
    found: Seen,
}

/// What a step does.
enum Work {
    /// A check reads.
    Check {
        check: Arc<Check>,
        place: Place,
        form: Form,
        row: Row,
    },
    /// Masked values come back.
    Restore {
        check: Arc<str>,
        form: Form,
        restoring: Restoring,
        restorer: Restorer,
    },
}

impl ChannelState {
    fn deliver(&mut self, text: &str) {
        self.delivered.update(text.as_bytes());
        self.delivered_bytes += text.len() as u64;
    }
}

impl Channels {
    /// For one answer; `keeps` says which text of the `text` channels is kept for the record.
    pub(crate) fn new(
        digests: Arc<DigestKey>,
        selected: &Selected,
        delivery: Delivery,
        keeps: Keeps,
        stage: Stage,
    ) -> Self {
        let looks = |check: &&Arc<Check>| {
            let wanted = match stage {
                Stage::Only | Stage::First => check.on_answer(),
                Stage::Again => check.modes.post_call,
                Stage::Last => false,
            };
            wanted && check.local().is_some()
        };
        let gives_back = matches!(stage, Stage::Only | Stage::Last);
        // Nothing was masked: nothing can come back.
        let restoring = selected.vault.clone();
        let restoring = restoring.filter(|restoring| gives_back && !restoring.vault.is_empty());
        Self {
            checks: selected.checks.iter().filter(looks).cloned().collect(),
            restoring,
            digests,
            delivery,
            channels: Vec::new(),
            text: Kept {
                keeps,
                text: String::new(),
            },
            collected: match stage {
                Stage::First | Stage::Again => Some(Vec::new()),
                Stage::Only | Stage::Last => None,
            },
            replaced: Replaced::default(),
            checked: selected.checks.iter().any(|check| check.on_answer()),
            opaque: Vec::new(),
            opened: false,
        }
    }

    /// Notes parts of the answer that no check can read. Where checks read answers, such a part refuses the answer, unless
    /// `sealgate.opaque_parts` lets it pass. What a provider has signed or encrypted itself is for the provider: it passes.
    pub(crate) fn opaque(
        &mut self,
        parts: &[OpaquePart],
        policy: OpaqueParts,
    ) -> Result<(), Blocked> {
        for part in parts {
            let kind = part.kind.as_str();
            if !self.opaque.contains(&kind) {
                self.opaque.push(kind);
            }
            if !self.checked || part.kind == OpaqueKind::Reasoning {
                continue;
            }
            if policy != OpaqueParts::Pass {
                let kind = format!("{kind} in the answer");
                return Err(Blocked {
                    check: Arc::from("opaque_parts"),
                    error: Box::new(Error::NotInspectable { kind }),
                });
            }
            self.opened = true;
        }
        Ok(())
    }

    /// From here on these texts stand for those that come.
    pub(crate) fn replace(&mut self, replaced: Replaced) {
        self.replaced = replaced;
    }

    /// True when some check may change or hold back text.
    pub(crate) fn edits(&self) -> bool {
        self.restoring.is_some()
            || !self.replaced.0.is_empty()
            || self.checks.iter().any(|check| check.modes.post_call)
    }

    /// Passes one piece of streamed text through the windows; gives what may be delivered now.
    pub(crate) fn push<'t>(
        &mut self,
        choice: u32,
        channel: Channel,
        piece: &'t str,
    ) -> Result<Cow<'t, str>, Blocked> {
        let at = self.at(choice, channel);
        let Some(state) = self.channels.get_mut(at) else {
            return Ok(Cow::Borrowed(piece));
        };
        let replaced = self.replaced.next(choice, channel);
        let mut text = replaced.map_or(Cow::Borrowed(piece), Cow::Owned);
        for link in &mut state.links {
            self.text.before(link, channel, &text);
            text = link.push(text)?;
        }
        self.text.after(&state.links, channel, &text);
        state.deliver(&text);
        if self.collected.is_some() {
            self.collect((choice, channel), Some(piece), &text, true);
        }
        Ok(text)
    }

    /// Keeps a text for the services: a piece goes to the text that it belongs to.
    fn collect(
        &mut self,
        (choice, channel): (u32, Channel),
        came: Option<&str>,
        left: &str,
        piece: bool,
    ) {
        let Some(collected) = &mut self.collected else {
            return;
        };
        let same = |known: &&mut Collected| (known.choice, known.channel) == (choice, channel);
        let known = collected.iter_mut().find(same).filter(|_| piece);
        let came = came.unwrap_or_default().as_bytes();
        match known {
            Some(known) => {
                known.text.push_str(left);
                known.came.update(came);
            }
            None => {
                let mut running = self.digests.begin("", Purpose::Text);
                running.update(came);
                collected.push(Collected {
                    choice,
                    channel,
                    text: left.to_owned(),
                    came: running,
                });
            }
        }
    }

    /// Ends the channels of one choice (all choices when `None`); gives the held-back texts that may be delivered.
    pub(crate) fn finish(
        &mut self,
        choice: Option<u32>,
    ) -> Result<Vec<(u32, Channel, String)>, Blocked> {
        let mut tails = Vec::new();
        for state in &mut self.channels {
            if choice.is_some_and(|choice| choice != state.choice) {
                continue;
            }
            let mut text = String::new();
            for link in &mut state.links {
                self.text.before(link, state.channel, &text);
                let before = link
                    .push(Cow::Owned(std::mem::take(&mut text)))?
                    .into_owned();
                text = before + &link.finish()?;
            }
            if !text.is_empty() {
                self.text.after(&state.links, state.channel, &text);
                state.deliver(&text);
                tails.push((state.choice, state.channel, text));
            }
        }
        for (choice, channel, text) in &tails {
            self.collect((*choice, *channel), None, text, true);
        }
        Ok(tails)
    }

    /// Passes one whole text through the checks: for answers that are known before anything is delivered.
    pub(crate) fn whole<'t>(
        &mut self,
        choice: u32,
        channel: Channel,
        text: &'t str,
    ) -> Result<Cow<'t, str>, Blocked> {
        let at = self.at(choice, channel);
        let Some(state) = self.channels.get_mut(at) else {
            return Ok(Cow::Borrowed(text));
        };
        let came = text;
        let replaced = self.replaced.next(choice, channel);
        let mut text = replaced.map_or(Cow::Borrowed(text), Cow::Owned);
        for link in &mut state.links {
            self.text.before(link, channel, &text);
            text = link.whole(text)?;
        }
        self.text.after(&state.links, channel, &text);
        state.deliver(&text);
        if self.collected.is_some() {
            self.collect((choice, channel), Some(came), &text, false);
        }
        Ok(text)
    }

    /// What the services are asked about: every text whole, as the checks here left it.
    pub(crate) fn take_collected(&mut self) -> Vec<Collected> {
        self.collected.take().unwrap_or_default()
    }

    /// Digest of a channel as the checks here left it; a channel of several values is digested as one text.
    pub(crate) fn left(&self, choice: u32, channel: Channel) -> Digest {
        let mut states = self.channels.iter();
        let state = states.find(|state| (state.choice, state.channel) == (choice, channel));
        match state {
            Some(state) => state.delivered.clone().finish(),
            None => self.digests.digest("", Purpose::Text, b""),
        }
    }

    /// The coverage alone, where what is delivered is decided later.
    pub(crate) fn entries(self, refused: bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        for state in self.channels {
            for link in state.links {
                let (choice, channel) = (state.choice, state.channel);
                let entry = link.entry(choice, channel, self.delivery, refused);
                let stopped = entry.outcome == Outcome::Blocked && refused;
                entries.push(entry);
                if stopped {
                    break;
                }
            }
        }
        entries
    }

    /// Writes coverage, digests and text into the facts. `nothing_delivered`: a refused answer that was held back whole.
    pub(crate) fn report(self, facts: &mut Facts, nothing_delivered: bool) {
        for kind in &self.opaque {
            let kind = format!("answer:{kind}");
            if !facts.not_inspected.contains(&kind) {
                facts.not_inspected.push(kind);
            }
        }
        if self.opened && !facts.opened_switches.contains(&"opaque_parts") {
            facts.opened_switches.push("opaque_parts");
        }
        for state in self.channels {
            for link in state.links {
                let (choice, channel) = (state.choice, state.channel);
                let entry = link.entry(choice, channel, self.delivery, nothing_delivered);
                let stopped = entry.outcome == Outcome::Blocked && nothing_delivered;
                facts.coverage.push(entry);
                if stopped {
                    // What comes after it got nothing.
                    break;
                }
            }
            if !nothing_delivered {
                facts.delivered_text_bytes += state.delivered_bytes;
                facts
                    .delivered
                    .push((state.choice, name(state.channel), state.delivered.finish()));
            }
        }
        if self.text.keeps != Keeps::Nothing && !nothing_delivered {
            facts.content.answer = self.text.text;
        }
    }

    fn at(&mut self, choice: u32, channel: Channel) -> usize {
        // Streams talk about few channels, mostly the last one.
        if let Some(at) = self
            .channels
            .iter()
            .rposition(|state| state.choice == choice && state.channel == channel)
        {
            return at;
        }
        let begin = || self.digests.begin("", Purpose::Text);
        let link = |work| Link {
            work,
            seen: begin(),
            left: begin(),
            bytes: 0,
            micros: 0,
            found: Seen::default(),
        };
        let (place, form) = (Place::of_answer(channel), form(channel));
        let checks = self.checks.iter().filter_map(|check| {
            let local = check.local()?;
            let mut row = Row::new(local.readers(place), form);
            if local.holds(place) && check.modes.post_call {
                row = row.waiting();
            }
            let check = check.clone();
            Some(link(Work::Check {
                check,
                place,
                form,
                row,
            }))
        });
        let mut links: Vec<Link> = checks.collect();
        let tool = place.kind != TextKind::Text;
        let restoring = self.restoring.as_ref();
        if let Some(restoring) = restoring.filter(|r| !tool || r.how.tool_arguments) {
            links.push(link(Work::Restore {
                check: restoring.check.clone(),
                form,
                restoring: restoring.clone(),
                restorer: restoring.vault.restorer(form),
            }));
        }
        self.channels.push(ChannelState {
            choice,
            channel,
            delivered: begin(),
            delivered_bytes: 0,
            links,
        });
        self.channels.len() - 1
    }
}

impl Kept {
    /// Text on its way into a step.
    fn before(&mut self, link: &Link, channel: Channel, text: &str) {
        if self.keeps == Keeps::Masked && link.restores() {
            self.keep(channel, text);
        }
    }

    /// Text that all steps let through.
    fn after(&mut self, links: &[Link], channel: Channel, text: &str) {
        let kept_before = self.keeps == Keeps::Masked && links.iter().any(Link::restores);
        if self.keeps != Keeps::Nothing && !kept_before {
            self.keep(channel, text);
        }
    }

    fn keep(&mut self, channel: Channel, text: &str) {
        if channel == Channel::Text && self.text.len() < MOST_KEPT {
            self.text.push_str(text);
        }
    }
}

impl Link {
    /// Whether masked values come back here.
    fn restores(&self) -> bool {
        matches!(self.work, Work::Restore { .. })
    }

    /// A check that only looks is outside the chain and changes nothing.
    fn only_looks(&self) -> bool {
        matches!(&self.work, Work::Check { check, .. } if !check.modes.post_call)
    }

    fn push<'t>(&mut self, text: Cow<'t, str>) -> Result<Cow<'t, str>, Blocked> {
        if text.is_empty() {
            return Ok(text);
        }
        let began = Instant::now();
        self.seen.update(text.as_bytes());
        self.bytes += text.len() as u64;
        let original = self.only_looks().then(|| text.clone());
        let safe = match &mut self.work {
            Work::Check { row, .. } => row.push(text, &mut self.found),
            Work::Restore { restorer, .. } => Cow::Owned(restorer.push(&text)),
        };
        self.micros += micros(began);
        self.leave(original, safe)
    }

    fn finish(&mut self) -> Result<String, Blocked> {
        let began = Instant::now();
        let safe = match &mut self.work {
            Work::Check { row, .. } => row.finish(&mut self.found),
            Work::Restore { restorer, .. } => restorer.finish(),
        };
        self.micros += micros(began);
        let original = self.only_looks().then_some(Cow::Borrowed(""));
        self.leave(original, Cow::Owned(safe)).map(Cow::into_owned)
    }

    fn whole<'t>(&mut self, text: Cow<'t, str>) -> Result<Cow<'t, str>, Blocked> {
        let began = Instant::now();
        self.seen.update(text.as_bytes());
        self.bytes += text.len() as u64;
        let original = self.only_looks().then(|| text.clone());
        let safe = match &self.work {
            Work::Check {
                check, place, form, ..
            } => match check.local() {
                Some(local) => {
                    row::whole(local.readers(*place), *form, None, text, &mut self.found)
                }
                None => text,
            },
            Work::Restore {
                form, restoring, ..
            } => match restoring.vault.restore(*form, &text) {
                Cow::Borrowed(_) => text,
                Cow::Owned(restored) => Cow::Owned(restored),
            },
        };
        self.micros += micros(began);
        self.leave(original, safe)
    }

    /// What goes on: the step's text, or the original past a check that only looks.
    fn leave<'t>(
        &mut self,
        original: Option<Cow<'t, str>>,
        safe: Cow<'t, str>,
    ) -> Result<Cow<'t, str>, Blocked> {
        if let Some(original) = original {
            return Ok(original);
        }
        if let (Work::Check { check, .. }, Some((kind, description))) =
            (&self.work, &self.found.blocked)
        {
            return Err(refused(check, kind, description.as_deref()));
        }
        self.left.update(safe.as_bytes());
        Ok(safe)
    }

    fn entry(
        self,
        choice: u32,
        channel: Channel,
        delivery: Delivery,
        nothing_delivered: bool,
    ) -> Entry {
        let side = Side::Answer {
            choice,
            channel: name(channel),
        };
        let observed = self.only_looks();
        let (seen, left) = (self.seen.finish(), self.left.finish());
        let (check, delivery, scope, step) = match self.work {
            Work::Check { check, row, .. } => {
                let delivery = match (delivery, row.is_held()) {
                    (Delivery::Windowed, true) if observed => Delivery::Late,
                    (Delivery::Windowed, true) => Delivery::Buffered,
                    (delivery, _) => delivery,
                };
                let scope = check.local().and_then(Local::scope);
                (check.name.clone(), delivery, scope, None)
            }
            Work::Restore { check, .. } => (check, delivery, None, Some("restore")),
        };
        let mut entry = Entry::not_run(check, side, "");
        entry.reason = None;
        entry.outcome = match (observed, &self.found.blocked) {
            (true, _) => Outcome::Observed,
            (false, Some(_)) => Outcome::Blocked,
            (false, None) if self.found.masked => Outcome::Edited,
            (false, None) if step.is_some() && seen != left => Outcome::Edited,
            (false, None) if self.found.found.is_empty() => Outcome::Passed,
            (false, None) => Outcome::Alerted,
        };
        entry.seen = Some(seen);
        let blocked = entry.outcome == Outcome::Blocked;
        // What a refused answer let through before it was refused went on; of one that was held back nothing did.
        entry.left = (!(observed || blocked && nothing_delivered)).then_some(left);
        let unchanged = matches!(entry.outcome, Outcome::Passed | Outcome::Alerted);
        entry.held = unchanged && seen != left;
        entry.bytes = self.bytes;
        entry.micros = self.micros;
        entry.delivery = Some(delivery);
        entry.scope = scope;
        entry.step = step;
        entry.take(self.found);
        entry
    }
}

fn refused(check: &Arc<Check>, kind: &str, description: Option<&str>) -> Blocked {
    let refused = Refused {
        guardrail: &check.name,
        mode: "post_call",
        kind,
        description,
        answer: true,
    };
    let refusal = match check.local() {
        Some(local) => local.refusal(&refused),
        None => refused.plain("it was found in the answer"),
    };
    Blocked {
        check: check.name.clone(),
        error: Box::new(Error::Blocked {
            check: check.name.to_string(),
            refusal: Box::new(refusal),
        }),
    }
}

/// Arguments of tools are JSON written as text: escapes in it are read as what they stand for.
fn form(channel: Channel) -> Form {
    match channel.is_json_text() {
        true => Form::JsonText,
        false => Form::Plain,
    }
}

/// Name of a channel in records; tool channels carry the index of the call.
pub(crate) fn name(channel: Channel) -> String {
    match channel {
        Channel::ToolName(index) | Channel::ToolArguments(index) | Channel::Other(index) => {
            format!("{}.{index}", channel.as_str())
        }
        _ => channel.as_str().to_owned(),
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
