//! A response body as a list of steps: bytes, pauses, repetition, a break.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use super::journal::{Outcome, Ticket};

/// One step of a body.
#[derive(Debug)]
pub(super) enum Step {
    /// Sends bytes as one frame.
    Send(Bytes),
    /// Sends the same bytes so many times.
    Repeat(Bytes, u32),
    /// Waits.
    Pause(Duration),
    /// Breaks the connection.
    Cut,
    /// Sends nothing more and keeps the connection open.
    Hang,
}

/// Body that runs steps. Knows whether the reader stayed to the end.
pub(super) struct Script {
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
    exact: Option<u64>,
    ticket: Option<Ticket>,
}

impl Script {
    pub(super) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            pause: None,
            exact: None,
            ticket: None,
        }
    }

    /// A body of known length.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let exact = Some(bytes.len() as u64);
        let steps = if bytes.is_empty() {
            VecDeque::new()
        } else {
            VecDeque::from([Step::Send(bytes)])
        };
        Self {
            steps,
            pause: None,
            exact,
            ticket: None,
        }
    }

    /// Announces `length` bytes whatever the steps send.
    pub(super) fn announcing(mut self, length: u64) -> Self {
        self.exact = Some(length);
        self
    }

    pub(super) fn recorded_by(mut self, mut ticket: Ticket) -> Self {
        if self.steps.is_empty() {
            ticket.end(Outcome::Finished);
        }
        self.ticket = Some(ticket);
        self
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(mut ticket) = self.ticket.take() {
            ticket.end(outcome);
        }
    }
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = this.pause.as_mut() {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.pause = None;
            }
            match this.steps.pop_front() {
                None => {
                    this.end(Outcome::Finished);
                    return Poll::Ready(None);
                }
                Some(Step::Send(bytes)) => {
                    // With a known length the connection does not ask again after the last byte.
                    if this.steps.is_empty() {
                        this.end(Outcome::Finished);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Repeat(bytes, times)) => {
                    if times > 1 {
                        this.steps
                            .push_front(Step::Repeat(bytes.clone(), times - 1));
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Pause(time)) => this.pause = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Cut) => {
                    this.end(Outcome::Cut);
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
                }
                Some(Step::Hang) => {
                    this.steps.push_front(Step::Hang);
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.pause.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.exact
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
