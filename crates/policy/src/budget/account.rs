//! What one object has used.

use super::span::{Calendar, Period, Span};

/// Money of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purse {
    pub(super) period: Option<Period>,
    pub(super) span: Span,
    pub(super) settled: i64,
    pub(super) reserved: i64,
}

/// Calls and tokens of one window that began with a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meter {
    pub(super) start: i64,
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

impl Meter {
    /// Starts over when the window is past, or when the clock went back behind it.
    pub(super) fn roll(&mut self, now: i64, length: i64) {
        let end = self.start.saturating_add(length);
        if now >= end || now < self.start || self.requests == 0 {
            *self = Self {
                start: now,
                requests: 0,
                tokens: 0,
            };
        }
    }
}

/// Everything counted for one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Settled since the object exists, or since its spend was last set.
    pub(super) total: i64,
    /// Calls before this instant count no more: the spend was set then.
    pub(super) since: i64,
    /// Money by period; a lifetime budget is the one without.
    pub(super) purses: Vec<Purse>,
    pub(super) minute: Meter,
    pub(super) day: Meter,
    pub(super) parallel: u32,
    /// Start of the window in which the soft budget was said to be reached.
    pub(super) soft_said: Option<i64>,
}

impl Account {
    /// A call ends here without having used anything: its place and its tokens, where their windows are the ones of then.
    pub(super) fn give_back(&mut self, minute: Option<i64>, day: Option<i64>, tokens: u64) {
        self.parallel = self.parallel.saturating_sub(1);
        for (meter, start) in [(&mut self.minute, minute), (&mut self.day, day)] {
            if start == Some(meter.start) {
                meter.tokens = meter.tokens.saturating_sub(tokens);
            }
        }
    }

    /// The purse of a period at `now`. A window that is past is replaced; a clock that went back does not reopen an older
    /// one, except for periods below a day, which would otherwise block for as long as the clock is behind.
    pub(super) fn purse(
        &mut self,
        calendar: &Calendar,
        period: Option<Period>,
        anchor: i64,
        now: i64,
    ) -> &mut Purse {
        let at = self.purses.iter().position(|purse| purse.period == period);
        let at = at.unwrap_or_else(|| {
            let span = match period {
                None => Span::LIFETIME,
                Some(period) => calendar.window(period, anchor, now),
            };
            self.purses.push(Purse {
                period,
                span,
                // What was spent before a lifetime budget was set counts against it.
                settled: if period.is_none() { self.total } else { 0 },
                reserved: 0,
            });
            self.purses.len() - 1
        });
        #[expect(
            clippy::indexing_slicing,
            reason = "the position was found or pushed just above"
        )]
        let purse = &mut self.purses[at];
        if let Some(period) = period {
            let went_back = now < purse.span.start && matches!(period, Period::Seconds(_));
            if now >= purse.span.end || went_back {
                *purse = Purse {
                    period: Some(period),
                    span: calendar.window(period, anchor, now),
                    settled: 0,
                    reserved: 0,
                };
            }
        }
        purse
    }
}
