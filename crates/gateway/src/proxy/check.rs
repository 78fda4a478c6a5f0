//! Stage 6: the request's checks, on the texts the model would see, and the body that results.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use guard::{Form, Vault};
use llm::edit::{EditError, Edits};
use llm::protocol::Protocol;
use llm::scan::{Doc, NodeId};
use llm::transcript::{OpaqueKind, Part, Text};

use super::coverage::{Entry, Outcome, Side};
use super::inspect::Request;
use crate::app::Snapshot;
use crate::config::OpaqueParts;
use crate::digest::{Digest, DigestKey, Purpose};
use crate::error::Error;
use crate::guardrails::remote::Asked;
use crate::guardrails::row::{self, Seen};
use crate::guardrails::select::Restoring;
use crate::guardrails::{Check, Place, Refused, Selected};

/// What the request side of the checks decided.
pub(crate) struct RequestChecks {
    /// What the checks changed; `Err` when one refused the call.
    pub(crate) edited: Result<Edited, Error>,
    pub(crate) coverage: Vec<Entry>,
    /// Digest of the texts that go out; `None` when nothing does.
    pub(crate) sent_text: Option<Digest>,
    /// Bytes of those texts.
    pub(crate) text_bytes: u64,
    /// Kinds of parts that no check read.
    pub(crate) not_inspected: Vec<String>,
    pub(crate) opened_switches: Vec<&'static str>,
    /// Configured name of the check that blocked.
    pub(crate) blocked_by: Option<Arc<str>>,
    /// The texts as these checks left them, where services are asked about them.
    pub(crate) texts: Option<Arc<Vec<Asked>>>,
}

/// The texts that the checks changed. Only this stage makes one, so what goes out is what they left.
#[derive(Debug, Default)]
pub(crate) struct Edited(Vec<(NodeId, String)>, Option<(&'static str, u64)>);

impl Edited {
    /// Adds the changes to edits of the request's document.
    pub(crate) fn add_to(&self, doc: &Doc, edits: &mut Edits) -> Result<(), EditError> {
        if let Some((member, cap)) = self.1 {
            edits.set_member(doc.root(), member, cap.to_string().into_bytes())?;
        }
        self.0
            .iter()
            .try_for_each(|(node, text)| edits.replace_text(doc.node(*node), text))
    }

    /// The request as the checks left it, in the client's own format.
    pub(crate) fn apply(&self, doc: &Doc) -> Result<Bytes, EditError> {
        let mut edits = Edits::new();
        self.add_to(doc, &mut edits)?;
        edits.apply(doc)
    }

    /// True when a check changed a text.
    pub(crate) fn has_texts(&self) -> bool {
        !self.0.is_empty()
    }

    /// True when nothing was changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty() && self.1.is_none()
    }
}

/// Runs every selected check of the request side, in order.
pub(crate) fn check_request(
    snapshot: &Snapshot,
    digests: &DigestKey,
    request: &Request,
    selected: &Selected,
) -> RequestChecks {
    let doc = request.body.doc();
    let originals = &request.body.transcript().texts;
    let texts: Vec<Cow<'_, str>> = originals.iter().map(|text| text.decode(doc)).collect();
    let changed = vec![false; texts.len()];
    run(snapshot, digests, (request, selected), texts, changed, true)
}

/// The same for texts that a service has replaced: one for each text of the transcript.
pub(crate) fn check_again(
    snapshot: &Snapshot,
    digests: &DigestKey,
    request: &Request,
    selected: &Selected,
    replaced: &[String],
) -> RequestChecks {
    let doc = request.body.doc();
    let originals = &request.body.transcript().texts;
    let changed = originals
        .iter()
        .zip(replaced)
        .map(|(original, text)| original.decode(doc) != text.as_str())
        .collect();
    let texts = replaced.iter().map(|text| Cow::Borrowed(text.as_str()));
    let texts = texts.collect();
    run(
        snapshot,
        digests,
        (request, selected),
        texts,
        changed,
        false,
    )
}

/// Texts through the checks that decide; those that only look, and what is done once, the first time only.
fn run(
    snapshot: &Snapshot,
    digests: &DigestKey,
    (request, selected): (&Request, &Selected),
    mut texts: Vec<Cow<'_, str>>,
    mut changed: Vec<bool>,
    first: bool,
) -> RequestChecks {
    let transcript = request.body.transcript();
    let mut run = Run {
        digests,
        seen: digest_of(digests, &texts),
        coverage: Vec::new(),
        blocked: None,
        blocked_by: None,
    };
    let mut opened_switches = Vec::new();
    for (name, reason) in selected.not_run.iter().filter(|_| first) {
        run.coverage
            .push(Entry::not_run(name.clone(), Side::Request, reason));
        opened_switches.push("inactive_checks");
    }
    if let Some(restoring) = selected.vault.as_ref().filter(|_| first) {
        run.escape(restoring, &mut texts, &mut changed);
    }
    let vault = selected.vault.as_ref().map(|restoring| &restoring.vault);
    let decides = |check: &Check| check.modes.pre_call || check.modes.during_call;
    let checks = selected.checks.iter();
    for check in checks.filter(|check| first || decides(check)) {
        let place = (transcript.texts.as_slice(), vault);
        run.request_side(check, &mut texts, &mut changed, place);
        if run.blocked.is_some() {
            break;
        }
    }
    let not_inspected = opaque_kinds(transcript);
    let blocked_by = run.blocked_by.take();
    let passes = |kind: &&String| match snapshot.config.opaque_parts {
        OpaqueParts::Block => false,
        OpaqueParts::PassReasoning => kind.as_str() == OpaqueKind::Reasoning.as_str(),
        OpaqueParts::Pass => true,
    };
    let refused = match (
        run.blocked.take(),
        not_inspected.iter().find(|kind| !passes(kind)),
    ) {
        (Some(error), _) => Some(error),
        (None, Some(kind)) if !selected.checks.is_empty() => {
            Some(Error::NotInspectable { kind: kind.clone() })
        }
        _ => None,
    };
    if refused.is_none() && !not_inspected.is_empty() && !selected.checks.is_empty() && first {
        opened_switches.push("opaque_parts");
    }
    let sent_text = refused.is_none().then_some(run.seen);
    let text_bytes = texts.iter().map(|text| text.len() as u64).sum();
    let asked = match refused.is_none() && selected.remote(false).next().is_some() {
        true => Some(Arc::new(asked(&transcript.texts, &texts, run.seen))),
        false => None,
    };
    let edited = match refused {
        Some(error) => Err(error),
        None => edited(snapshot, request, texts, &changed),
    };
    RequestChecks {
        edited,
        coverage: run.coverage,
        sent_text,
        text_bytes,
        not_inspected,
        opened_switches,
        blocked_by,
        texts: asked,
    }
}

fn asked(originals: &[Text], texts: &[Cow<'_, str>], seen: Digest) -> Vec<Asked> {
    let one = |(original, text): (&Text, &Cow<'_, str>)| Asked {
        side: Side::Request,
        role: original.origin.role.as_str(),
        text: text.clone().into_owned(),
        seen,
    };
    originals.iter().zip(texts).map(one).collect()
}

struct Run<'a> {
    digests: &'a DigestKey,
    /// Digest of the texts as the last check left them.
    seen: Digest,
    coverage: Vec<Entry>,
    blocked: Option<Error>,
    blocked_by: Option<Arc<str>>,
}

impl Run<'_> {
    /// Text that looks like a placeholder gets one of its own, so that nobody can write a name and have another's value
    /// put there.
    fn escape(&mut self, restoring: &Restoring, texts: &mut [Cow<'_, str>], changed: &mut [bool]) {
        let began = Instant::now();
        let mut escaped = 0;
        let mut bytes = 0;
        for (text, changed) in texts.iter_mut().zip(changed.iter_mut()) {
            bytes += text.len() as u64;
            if let Cow::Owned(other) = restoring.vault.admit(text) {
                *text = Cow::Owned(other);
                *changed = true;
                escaped += 1;
            }
        }
        let seen = self.seen;
        if escaped > 0 {
            self.seen = digest_of(self.digests, texts);
        }
        let mut entry = Entry::not_run(restoring.check.clone(), Side::Request, "");
        entry.reason = None;
        entry.step = Some("escape");
        entry.outcome = if escaped > 0 {
            Outcome::Edited
        } else {
            Outcome::Passed
        };
        entry.seen = Some(seen);
        entry.left = Some(self.seen);
        entry.bytes = bytes;
        entry.micros = micros(began);
        self.coverage.push(entry);
    }

    fn request_side(
        &mut self,
        check: &Arc<Check>,
        texts: &mut [Cow<'_, str>],
        changed: &mut [bool],
        (originals, vault): (&[Text], Option<&Arc<Vault>>),
    ) {
        let Some(local) = check.local().filter(|_| check.on_request()) else {
            return;
        };
        let began = Instant::now();
        let may_edit = check.modes.pre_call;
        let decides = may_edit || check.modes.during_call;
        let vault = vault.filter(|_| may_edit && local.restores().is_some());
        let mut seen = Seen::default();
        let (mut edited, mut bytes) = (false, 0_u64);
        for ((text, changed), original) in texts.iter_mut().zip(changed.iter_mut()).zip(originals) {
            let readers = local.readers(Place::of_request(original.origin));
            if readers.is_empty() {
                continue;
            }
            bytes += text.len() as u64;
            let form = match original.origin.part.is_json_text() {
                true => Form::JsonText,
                false => Form::Plain,
            };
            let left = row::whole(readers, form, vault, Cow::Borrowed(text), &mut seen);
            if let (true, None, Cow::Owned(masked)) = (may_edit, &seen.blocked, left) {
                *text = Cow::Owned(masked);
                *changed = true;
                edited = true;
            }
            if decides && seen.blocked.is_some() {
                break;
            }
        }
        let before = self.seen;
        let blocked = seen.blocked.clone().filter(|_| decides);
        if edited && blocked.is_none() {
            self.seen = digest_of(self.digests, texts);
        }
        let mut entry = Entry::not_run(check.name.clone(), Side::Request, "");
        entry.reason = None;
        entry.outcome = match (decides, &blocked, edited) {
            (false, ..) => Outcome::Observed,
            (true, Some(_), _) => Outcome::Blocked,
            (true, None, true) => Outcome::Edited,
            (true, None, false) if seen.found.is_empty() => Outcome::Passed,
            (true, None, false) => Outcome::Alerted,
        };
        entry.seen = Some(before);
        // Nothing is left of a text that was refused.
        entry.left = (decides && blocked.is_none()).then_some(self.seen);
        entry.bytes = bytes;
        entry.micros = micros(began);
        entry.scope = local.scope();
        entry.take(seen);
        self.coverage.push(entry);
        if let Some((kind, description)) = blocked {
            let refusal = local.refusal(&Refused {
                guardrail: &check.name,
                mode: check.mode(false),
                kind: &kind,
                description: description.as_deref(),
                answer: false,
            });
            self.blocked_by = Some(check.name.clone());
            self.blocked = Some(Error::Blocked {
                check: check.name.to_string(),
                refusal: Box::new(refusal),
            });
        }
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Digest over a list of texts: each with its length before it.
pub(crate) fn digest_of(digests: &DigestKey, texts: &[Cow<'_, str>]) -> Digest {
    let mut running = digests.begin("", Purpose::Text);
    for text in texts {
        running.update_item(text);
    }
    running.finish()
}

fn opaque_kinds(transcript: &llm::transcript::Transcript) -> Vec<String> {
    let mut kinds: Vec<String> = transcript
        .opaque
        .iter()
        .map(|part| part.kind.as_str().to_owned())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The member that bounds the output where the request does not, in the words of its protocol.
fn output_cap(request: &Request) -> Option<(&'static str, u64)> {
    let member = match request.protocol {
        Protocol::Responses => "max_output_tokens",
        _ => "max_tokens",
    };
    request.output_cap.map(|cap| (member, cap))
}

/// The changed texts, each with its token.
fn edited(
    snapshot: &Snapshot,
    request: &Request,
    texts: Vec<Cow<'_, str>>,
    changed: &[bool],
) -> Result<Edited, Error> {
    let doc = request.body.doc();
    let originals = &request.body.transcript().texts;
    let mut renamed = false;
    let mut edits = Vec::new();
    for ((original, text), changed) in originals.iter().zip(texts).zip(changed) {
        if *changed {
            renamed |= original.origin.part == Part::Key;
            edits.push((original.node, text.into_owned()));
        }
    }
    let edited = Edited(edits, output_cap(request));
    // Two masked member names of one object may have become equal, which no receiver reads the same way.
    if renamed {
        let body = edited.apply(doc).map_err(|_| Error::Internal)?;
        Doc::parse(body, &snapshot.scan).map_err(|_| Error::NotInspectable {
            kind: "member names that collide when masked".to_owned(),
        })?;
    }
    Ok(edited)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
