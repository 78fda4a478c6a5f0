//! The answer per choice and channel: its checks in order, what they saw and left, and what was delivered.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use guard::{Action, Check as _, Emit, Form, StreamCheck, Verdict};
use llm::openai::Channel;

use super::coverage::{Delivery, Entry, Outcome, Side, count_finding};
use super::facts::Facts;
use crate::checks::{Check, Selected};
use crate::digest::{DigestKey, Purpose, Running};

/// A check refused the answer. The configured name of the check.
#[derive(Debug)]
pub(crate) struct Blocked(pub(crate) Arc<str>);

/// All channels of one answer.
pub(crate) struct Channels {
    digests: Arc<DigestKey>,
    checks: Vec<Arc<Check>>,
    delivery: Delivery,
    channels: Vec<ChannelState>,
    /// Text kept for the record in content mode `full`; `None` in the other modes.
    text: Option<String>,
}

struct ChannelState {
    choice: u32,
    channel: Channel,
    delivered: Running,
    delivered_bytes: u64,
    links: Vec<Link>,
}

/// One check on one channel.
struct Link {
    check: Arc<Check>,
    window: Box<dyn StreamCheck>,
    form: Form,
    seen: Running,
    left: Running,
    bytes: u64,
    micros: u64,
    findings: Vec<(u32, u64)>,
    edited: bool,
    blocked: bool,
}

impl ChannelState {
    fn deliver(&mut self, text: &str) {
        self.delivered.update(text.as_bytes());
        self.delivered_bytes += text.len() as u64;
    }
}

impl Channels {
    /// `full`: keep the text of the `text` channels for the record.
    pub(crate) fn new(
        digests: Arc<DigestKey>,
        selected: &Selected,
        delivery: Delivery,
        full: bool,
    ) -> Self {
        let looks = |check: &&Arc<Check>| check.post_call || check.logging_only;
        Self {
            checks: selected.checks.iter().filter(looks).cloned().collect(),
            digests,
            delivery,
            channels: Vec::new(),
            text: full.then(String::new),
        }
    }

    /// True when some check may change or hold back text.
    pub(crate) fn edits(&self) -> bool {
        self.checks.iter().any(|check| check.post_call)
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
        let mut text = Cow::Borrowed(piece);
        for link in &mut state.links {
            text = link.push(text)?;
        }
        state.deliver(&text);
        Self::keep(&mut self.text, channel, &text);
        Ok(text)
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
                let before = link
                    .push(Cow::Owned(std::mem::take(&mut text)))?
                    .into_owned();
                text = before + &link.finish()?;
            }
            if !text.is_empty() {
                state.deliver(&text);
                Self::keep(&mut self.text, state.channel, &text);
                tails.push((state.choice, state.channel, text));
            }
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
        let mut text = Cow::Borrowed(text);
        for link in &mut state.links {
            text = link.whole(text)?;
        }
        state.deliver(&text);
        Self::keep(&mut self.text, channel, &text);
        Ok(text)
    }

    /// Writes coverage, digests and text into the facts. `nothing_delivered`: a refused answer that was held back whole.
    pub(crate) fn report(self, facts: &mut Facts, nothing_delivered: bool) {
        for state in self.channels {
            for link in state.links {
                facts.coverage.push(link.entry(
                    state.choice,
                    state.channel,
                    self.delivery,
                    nothing_delivered,
                ));
            }
            if !nothing_delivered {
                facts.delivered_text_bytes += state.delivered_bytes;
                facts
                    .delivered
                    .push((state.choice, name(state.channel), state.delivered.finish()));
            }
        }
        if let (Some(text), false) = (self.text, nothing_delivered) {
            facts.content.answer = text;
        }
    }

    fn keep(kept: &mut Option<String>, channel: Channel, text: &str) {
        if let (Some(kept), Channel::Text) = (kept, channel) {
            kept.push_str(text);
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
        let links = self.checks.iter().map(|check| Link {
            check: check.clone(),
            window: Box::new(check.words.window_as(form(channel))),
            form: form(channel),
            seen: begin(),
            left: begin(),
            bytes: 0,
            micros: 0,
            findings: Vec::new(),
            edited: false,
            blocked: false,
        });
        self.channels.push(ChannelState {
            choice,
            channel,
            delivered: begin(),
            delivered_bytes: 0,
            links: links.collect(),
        });
        self.channels.len() - 1
    }
}

impl Link {
    /// A check that only looks is outside the chain and changes nothing.
    fn only_looks(&self) -> bool {
        !self.check.post_call
    }

    fn push<'t>(&mut self, text: Cow<'t, str>) -> Result<Cow<'t, str>, Blocked> {
        if text.is_empty() {
            return Ok(text);
        }
        let began = Instant::now();
        self.seen.update(text.as_bytes());
        self.bytes += text.len() as u64;
        let Emit {
            text: safe,
            findings,
            blocked,
        } = self.window.push(&text);
        let safe = safe.into_owned();
        self.note(&findings, blocked.is_some());
        self.micros += micros(began);
        self.leave(text, safe)
    }

    fn finish(&mut self) -> Result<String, Blocked> {
        let began = Instant::now();
        let Emit {
            text: safe,
            findings,
            blocked,
        } = self.window.finish();
        self.note(&findings, blocked.is_some());
        self.micros += micros(began);
        self.leave(Cow::Borrowed(""), safe.into_owned())
            .map(Cow::into_owned)
    }

    fn whole<'t>(&mut self, text: Cow<'t, str>) -> Result<Cow<'t, str>, Blocked> {
        let began = Instant::now();
        self.seen.update(text.as_bytes());
        self.bytes += text.len() as u64;
        let Verdict {
            findings,
            blocked,
            masked,
        } = self.check.words.scan_as(self.form, &text);
        self.note(&findings, blocked.is_some());
        self.micros += micros(began);
        match masked {
            Some(masked) => self.leave(text, masked),
            None if self.blocked => Err(Blocked(self.check.name.clone())),
            None => {
                self.left.update(text.as_bytes());
                Ok(text)
            }
        }
    }

    fn note(&mut self, findings: &[guard::Finding], blocked: bool) {
        for finding in findings {
            count_finding(&mut self.findings, finding.rule);
            self.edited |= finding.action == Action::Mask;
        }
        self.blocked |= blocked && !self.only_looks();
    }

    /// What goes on: the check's text, or the original past a check that only looks.
    fn leave<'t>(&mut self, original: Cow<'t, str>, safe: String) -> Result<Cow<'t, str>, Blocked> {
        if self.only_looks() {
            return Ok(original);
        }
        self.left.update(safe.as_bytes());
        if self.blocked {
            return Err(Blocked(self.check.name.clone()));
        }
        Ok(Cow::Owned(safe))
    }

    fn entry(
        self,
        choice: u32,
        channel: Channel,
        delivery: Delivery,
        nothing_delivered: bool,
    ) -> Entry {
        let observed = !self.check.post_call;
        let outcome = match (observed, self.blocked, self.edited) {
            (true, ..) => Outcome::Observed,
            (false, true, _) => Outcome::Blocked,
            (false, false, true) => Outcome::Edited,
            (false, false, false) => Outcome::Passed,
        };
        Entry {
            check: self.check.name.clone(),
            side: Side::Answer {
                choice,
                channel: name(channel),
            },
            outcome,
            seen: Some(self.seen.finish()),
            left: (!observed && !nothing_delivered).then(|| self.left.finish()),
            bytes: self.bytes,
            micros: self.micros,
            findings: self.findings,
            delivery: Some(delivery),
            reason: None,
        }
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
