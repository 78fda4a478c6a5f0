//! Stage 8 for streams: events pass through the output checks as they come.
//!
//! The body is polled by the connection that writes it, so a client that leaves drops it at once: the provider's connection
//! closes and the call's guard settles what was delivered.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body as _;
use llm::protocol::{self, Failure, Family, StreamOptions};
use llm::sse::{Frame, Framer, SseLimits};
use llm::translate::StreamTranslator;
use tokio::time::{Instant as TokioInstant, Sleep};

use super::answer::{Answered, applied, head, mocked_stream, note_usage, refusal, untranslated};
use super::channels::{Blocked, Channels, Stage};
use super::coverage::{Delivery, Entry, Side};
use super::events::{Events, Step};
use super::facts::End;
use super::held::{self, Held, Holding, Stopped};
use super::{headers, rates, stored};

use crate::error::Error;
use crate::guardrails::remote::Permit;
use crate::guardrails::{Check, Selected};
use crate::proxy::call::Call;
use crate::server::body::Body;
use crate::server::reply;
use crate::upstream::forward::{Forwarded, Source, Unanswered, secrets};
use crate::upstream::link::RelayBody;

/// Largest piece handed to the client at once; more waits for the next write.
const LARGEST_WRITE: usize = 64 * 1024;

/// Answers a streaming call. Before the first event an error still has a status of its own.
pub(crate) async fn answer(forwarded: Forwarded) -> Answered {
    let Forwarded {
        call,
        request,
        edited,
        selected,
        source,
        back,
        deadline,
    } = forwarded;
    let family = request.protocol.family();
    let Some(facts) = call.facts() else {
        return Answered::Reply(reply::error_in(family, &Error::Internal, None));
    };
    let (id, snapshot) = (facts.id, facts.snapshot.clone());
    let limits = &snapshot.config.limits;
    let (source, relayed) = match source {
        Source::Failed(error) => return failed(call, family, &error),
        Source::Mock(text) => match mocked_stream(&request, facts, &text) {
            Ok(frames) => (Input::Ready(frames.into()), http::HeaderMap::new()),
            Err(error) => return failed(call, family, &error),
        },
        Source::Estimate => return failed(call, family, &Error::Internal),
        Source::Provider(response) => {
            let relayed = headers::relayed(response.headers());
            (Input::Provider(response.into_body()), relayed)
        }
    };
    let keeps = facts.mode.into();
    let judged = |check: &Arc<Check>| check.modes.post_call;
    let hold = selected.remote(true).any(judged);
    let channels = |stage, delivery| {
        let digests = call.digests().clone();
        Channels::new(digests, &selected, delivery, keeps, stage)
    };
    let (first, channels) = match hold {
        true => (
            Some(channels(Stage::First, Delivery::Buffered)),
            channels(Stage::Last, Delivery::Buffered),
        ),
        false => (None, channels(Stage::Only, Delivery::Windowed)),
    };
    let protocol = |edits| {
        protocol::stream(
            request.protocol,
            StreamOptions {
                model: &facts.destination.served_as,
                include_usage: request.body.include_usage(),
                edits,
                limits: snapshot.scan,
                ids: stored::ids(&request, &call),
            },
        )
    };
    let translator = back.map(|back| {
        let head = head(&request, facts);
        let translator = StreamTranslator::new(&back, &head, &snapshot.scan);
        Box::new((translator, Framer::new(sse_limits(limits.max_event_bytes))))
    });
    let framer = Framer::new(sse_limits(limits.max_event_bytes));
    let (source, translator) = match first {
        None => (source, translator),
        Some(channels) => {
            let Some(permit) = Permit::of(&call) else {
                return Answered::Reply(reply::error_in(family, &Error::Internal, None));
            };
            let from = match source {
                Input::Provider(body) => held::From::Provider(body),
                Input::Ready(frames) => held::From::Ready(frames),
                Input::Held(_) | Input::Over => held::From::Ready(VecDeque::new()),
            };
            let holding = Holding {
                from,
                framer: Framer::new(sse_limits(limits.max_event_bytes)),
                translator,
                protocol: protocol(true),
                channels,
                selected: selected.clone(),
                permit,
                idle: limits.idle_timeout,
                deadline,
                most: limits.max_response_bytes,
            };
            (Input::Held(Box::pin(holding.run())), None)
        }
    };
    let protocol = protocol(hold || channels.edits());
    let secrets = facts.destination.deployment.clone();
    let secrets: Vec<String> = self::secrets(&secrets)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut response = Response::new(());
    headers::add(response.headers_mut(), facts);
    headers::checkpoint(response.headers_mut(), call.app());
    rates::add(response.headers_mut(), &call);
    let events = Events::new(&call, channels, protocol, secrets);
    let cut = Box::pin(call.when_ended());
    let mut stream = StreamBody {
        events: Some(events),
        call: Some(call),
        input: source,
        framer,
        translator,
        family,
        out: Vec::new(),
        last_input: Instant::now(),
        last_output: Instant::now(),
        deadline,
        idle: limits.idle_timeout,
        keep_alive: limits.keep_alive_interval,
        timer: Box::pin(tokio::time::sleep(
            limits.keep_alive_interval.min(limits.idle_timeout),
        )),
        cut,
        taken: (0, limits.max_response_bytes),
        begun: false,
        failed_early: None,
        applied: None,
    };
    if let Some(call) = stream.call.as_mut().filter(|_| !hold) {
        not_shown(call, &selected);
    }
    if let Some((error, call)) = stream.begin().await {
        return match call {
            Some(call) => {
                let unanswered = Unanswered {
                    call,
                    request,
                    edited,
                    selected,
                };
                Answered::Failed(Box::new(unanswered), error)
            }
            None => Answered::Reply(reply::error_in(family, &error, Some(&id.to_string()))),
        };
    }
    let (mut head, ()) = response.into_parts();
    head.status = StatusCode::OK;
    head.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    head.headers
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    head.headers
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    reply::security(&mut head.headers);
    head.headers.extend(relayed);
    if let Some(names) = stream.applied.take() {
        head.headers.insert(headers::GUARDRAILS, names);
    }
    Answered::Reply(Response::from_parts(head, Body::Stream(Box::new(stream))))
}

/// Services that only log are not shown streams, which would have to wait for them; the record says so.
fn not_shown(call: &mut Call, selected: &Selected) {
    let Some(facts) = call.facts_mut() else {
        return;
    };
    for check in selected.remote(true) {
        let side = Side::Answer {
            choice: 0,
            channel: "text".to_owned(),
        };
        let reason = "a stream is not held for a service that only logs";
        let entry = Entry::not_run(check.name.clone(), side, reason);
        facts.coverage.push(entry);
    }
}

/// Nothing was delivered: the error has a status of its own.
fn failed(call: Call, family: Family, error: &Error) -> Answered {
    let end = End::Failed(error.public().code);
    Answered::Reply(refusal(call, family, error, end))
}

fn sse_limits(max_event: usize) -> SseLimits {
    SseLimits {
        max_event,
        ..SseLimits::default()
    }
}

/// Where the bytes come from.
enum Input {
    Provider(RelayBody),
    Ready(VecDeque<Bytes>),
    /// Everything is read and judged before any of it is delivered.
    Held(Pin<Box<dyn Future<Output = Held> + Send>>),
    /// The provider's connection is closed or no longer wanted.
    Over,
}

/// A streamed answer.
pub(crate) struct StreamBody {
    /// `None` once the call is settled.
    call: Option<Call>,
    events: Option<Events>,
    input: Input,
    framer: Framer,
    /// Where the provider speaks another format: its frames become the client's, which are cut into frames again.
    translator: Option<Box<(StreamTranslator, Framer)>>,
    family: Family,
    out: Vec<u8>,
    last_input: Instant,
    last_output: Instant,
    deadline: Instant,
    idle: Duration,
    keep_alive: Duration,
    /// One timer for silence and idleness, moved only when it fires: a busy stream never touches it.
    timer: Pin<Box<Sleep>>,
    /// Resolves when the process ends before the stream does.
    cut: Pin<Box<dyn Future<Output = (Error, &'static str)> + Send>>,
    /// Bytes taken from the provider, and how many there may be.
    taken: (usize, usize),
    /// The head has gone out, or is about to: from here on there is no other attempt.
    begun: bool,
    /// Set when the call failed before anything was delivered; with the call where another attempt is possible.
    failed_early: Option<(Error, Option<Call>)>,
    /// The checks that ran, where that is known only after the stream was judged.
    applied: Option<HeaderValue>,
}

impl StreamBody {
    /// Waits for the first event, an error, or one keep-alive interval. An error before the first event is returned.
    async fn begin(&mut self) -> Option<(Error, Option<Call>)> {
        let limit = self.keep_alive;
        let first = poll_fn(|cx| {
            loop {
                if !self.out.is_empty() || self.call.is_none() {
                    return Poll::Ready(());
                }
                if self.advance(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        });
        // Silence is no failure: after the interval the head goes out and comments keep the connection alive.
        let waited = tokio::time::timeout(limit, first).await;
        if waited.is_err() {
            tracing::debug!("no event within the keep-alive interval; sending the head");
        }
        self.begun = true;
        self.failed_early.take()
    }

    /// Next bytes for the client: everything that is ready, in one piece, and no wait for more. Reading drives the
    /// provider's connection, so what its socket holds is found in one go.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while self.call.is_some() && self.out.len() < LARGEST_WRITE {
            if self.advance(cx).is_pending() {
                if self.out.is_empty() {
                    return Poll::Pending;
                }
                break;
            }
        }
        Poll::Ready(self.take_output())
    }

    fn take_output(&mut self) -> Option<Bytes> {
        if self.out.is_empty() {
            return None;
        }
        self.last_output = Instant::now();
        Some(Bytes::from(std::mem::take(&mut self.out)))
    }

    /// One step: input, end of input, or a timer. `Ready` means something changed.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let next = match &mut self.input {
            Input::Held(held) => match held.as_mut().poll(cx) {
                Poll::Pending => return self.poll_timer(cx),
                Poll::Ready(held) => {
                    self.judged(held);
                    return Poll::Ready(());
                }
            },
            Input::Ready(frames) => Poll::Ready(frames.pop_front().map(Ok)),
            Input::Over => Poll::Ready(None),
            Input::Provider(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|_| ())))
                .map(
                    // Trailers carry nothing for us.
                    |frame| {
                        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
                    },
                ),
        };
        match next {
            Poll::Ready(Some(Ok(bytes))) => self.take(bytes),
            Poll::Ready(Some(Err(()))) => self.fail(Error::UpstreamCut, "upstream_cut"),
            Poll::Ready(None) => self.end_of_input(),
            Poll::Pending => return self.poll_timer(cx),
        }
        Poll::Ready(())
    }

    /// A held stream has been judged: it is delivered now, or not at all.
    fn judged(&mut self, held: Held) {
        let Held {
            frames,
            notes,
            usage,
            result,
        } = held;
        self.input = Input::Over;
        let (Some(events), Some(call)) = (&mut self.events, &mut self.call) else {
            return;
        };
        // Of a stream that broke off nothing was judged, and another deployment may answer.
        let decided = matches!(result, Ok(_) | Err(Stopped::Blocked(_)));
        if let Some(facts) = call.facts_mut().filter(|_| decided) {
            notes.report(facts);
            self.applied = applied(facts);
            if result.is_err() && facts.billed {
                note_usage(facts, usage);
            }
        }
        match result {
            Ok(replaced) => {
                events.replace(replaced);
                // What was kept was within the limits.
                self.taken = (0, usize::MAX);
                self.input = Input::Ready(frames);
            }
            Err(Stopped::Blocked(blocked)) => self.blocked(blocked),
            Err(Stopped::Failed(error, code)) => self.fail(*error, code),
            Err(Stopped::Reported(reported)) => {
                if let Step::Failed(error, code) = events.upstream_error(&reported) {
                    self.fail(error, code);
                }
            }
        }
    }

    fn take(&mut self, bytes: Bytes) {
        self.last_input = Instant::now();
        self.taken.0 = self.taken.0.saturating_add(bytes.len());
        if self.taken.0 > self.taken.1 {
            let what = "the stream is longer than allowed".to_owned();
            return self.fail(Error::UpstreamInvalid(what), "upstream_invalid");
        }
        if let Err(error) = self.framer.push(bytes) {
            return self.fail(
                Error::UpstreamInvalid(error.to_string()),
                "upstream_invalid",
            );
        }
        self.drain_frames();
    }

    fn drain_frames(&mut self) {
        while let Some(frame) = self.framer.next_frame() {
            if self.events.is_none() {
                return;
            }
            match &mut self.translator {
                None => self.event(frame),
                Some(translator) => {
                    let mut translated = Vec::new();
                    let result = translator.0.push(&frame, &mut translated);
                    self.translated(translated);
                    if let Err(error) = result {
                        return self.fail(untranslated(&error), "upstream_invalid");
                    }
                }
            }
        }
    }

    /// Takes frames in the client's format that the translator wrote.
    fn translated(&mut self, bytes: Vec<u8>) {
        let pushed = match &mut self.translator {
            Some(translator) if !bytes.is_empty() => translator.1.push(Bytes::from(bytes)),
            _ => return,
        };
        while let Some(frame) = self
            .translator
            .as_mut()
            .and_then(|translator| translator.1.next_frame())
        {
            self.event(frame);
        }
        if let Err(error) = pushed {
            let error = Error::UpstreamInvalid(error.to_string());
            self.fail(error, "upstream_invalid");
        }
    }

    /// One frame in the client's format. Nothing happens once the call is settled.
    fn event(&mut self, frame: Frame) {
        let (Some(events), Some(call)) = (&mut self.events, &mut self.call) else {
            return;
        };
        match events.frame(frame, call, &mut self.out) {
            Step::More => {}
            Step::Done => self.done(),
            Step::Failed(error, code) => self.fail(error, code),
            Step::Blocked(blocked) => self.blocked(*blocked),
        }
    }

    fn end_of_input(&mut self) {
        if let Some(last) = self.framer.finish() {
            let data = last.data.as_deref().unwrap_or_default();
            if self.translator.is_none() && data.trim_ascii() == b"[DONE]" {
                return self.done();
            }
        }
        if let Some(translator) = &mut self.translator {
            let mut translated = Vec::new();
            // Whether the answer is complete is judged below, by what came out.
            let result = translator.0.finish(&mut translated);
            self.translated(translated);
            if let Err(error) = result {
                return self.fail(untranslated(&error), "upstream_invalid");
            }
            if self.events.is_none() {
                return;
            }
        }
        match self.events.as_ref().is_some_and(Events::is_complete) {
            true => self.done(),
            false => self.fail(Error::UpstreamCut, "upstream_cut"),
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready((error, code)) = self.cut.as_mut().poll(cx) {
            self.fail(error, code);
            return Poll::Ready(());
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let now = Instant::now();
        if matches!(self.input, Input::Held(_)) {
            // Whoever holds the stream looks after the provider's silence.
            self.last_input = now;
        }
        if now >= self.deadline || now.duration_since(self.last_input) >= self.idle {
            let seconds = self.idle.as_secs();
            self.fail(Error::UpstreamTimeout { seconds }, "upstream_timeout");
            return Poll::Ready(());
        }
        if now.duration_since(self.last_output) >= self.keep_alive {
            match &mut self.events {
                Some(events) => events.ping(&mut self.out),
                None => return Poll::Ready(()),
            }
        }
        let next = (self.last_input + self.idle)
            .min(self.deadline)
            .min(now + self.keep_alive);
        self.timer.as_mut().reset(TokioInstant::from_std(next));
        // The timer must be polled again to be armed.
        cx.waker().wake_by_ref();
        if self.out.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// The provider's answer is complete: flush what checks held, say where the record is, end.
    fn done(&mut self) {
        if let Input::Provider(body) = std::mem::replace(&mut self.input, Input::Over) {
            body.release();
        }
        let (Some(mut events), Some(mut call)) = (self.events.take(), self.call.take()) else {
            return;
        };
        if let Err(blocked) = events.flush(&mut self.out) {
            (self.events, self.call) = (Some(events), Some(call));
            return self.blocked(*blocked);
        }
        events.end(&call, &mut self.out);
        events.report(&mut call);
        drop(call.finish(End::Answered, 200));
    }

    fn blocked(&mut self, blocked: Blocked) {
        self.finish_with(&blocked.error, End::Blocked(blocked.check));
    }

    fn fail(&mut self, error: Error, code: &'static str) {
        let delivered = self.events.as_ref().is_some_and(Events::has_delivered);
        let end = if delivered {
            End::Cut(code)
        } else {
            End::Failed(code)
        };
        self.finish_with(&error, end);
    }

    /// Ends with an error: as an answer of its own before the first event, as one last event after it.
    fn finish_with(&mut self, error: &Error, end: End) {
        self.input = Input::Over;
        let (Some(mut events), Some(mut call)) = (self.events.take(), self.call.take()) else {
            return;
        };
        if !self.begun && !events.has_delivered() && matches!(end, End::Failed(_)) {
            // Nothing of it was shown: what was learned of the answer goes with it.
            self.failed_early = Some((error.clone(), Some(call)));
            return;
        }
        let id = call.facts().map(|facts| facts.id.to_string());
        let public = error.public();
        let mut status = public.status.as_u16();
        if events.has_delivered() || self.begun {
            status = 200;
            let failure = Failure {
                envelope: &error.body_in(self.family, id.as_deref()),
                message: &error.to_string(),
                code: public.code,
            };
            events.failure(&failure, &mut self.out);
        } else {
            self.out.clear();
            // Not empty, so that the waiting head sees that something happened.
            self.out.push(b'\n');
            self.failed_early = Some((error.clone(), None));
        }
        events.report(&mut call);
        drop(call.finish(end, status));
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        // The client left: what was delivered so far goes into the facts before the guard settles the call.
        if let (Some(events), Some(mut call)) = (self.events.take(), self.call.take()) {
            let end = if events.has_delivered() {
                End::Cut("client_gone")
            } else {
                End::Failed("client_gone")
            };
            events.report(&mut call);
            call.if_dropped(end);
        }
    }
}
