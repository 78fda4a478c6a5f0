//! Periods of budgets, and the windows that a calendar cuts them into.

use std::fmt;

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};

/// Length of a budget's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// Whole seconds, aligned to multiples since the Unix epoch.
    Seconds(u32),
    /// Whole days. One day begins at the reset time, seven on Monday, thirty on the first of the month; others count from
    /// the day on which the budget began.
    Days(u32),
    /// Whole calendar months.
    Months(u32),
}

/// A text that is no period or zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Not a number and a unit.
    #[error("expected a number and a unit, such as 30s, 15m, 12h, 30d, 1w or 1mo")]
    Period,
    /// Zero, or too long.
    #[error("a period is at least one second and at most ten years")]
    Range,
    /// No such zone.
    #[error("unknown time zone; expected a name such as UTC or Asia/Kolkata")]
    Zone,
    /// Not a time of day.
    #[error("expected a time of day such as 00:00")]
    Time,
}

/// The most days of a period.
const MOST_DAYS: u32 = 3_660;

impl Period {
    /// Reads `30s`, `15m`, `12h`, `30d`, `1w`, `1mo`, and the words `hourly`, `daily`, `weekly`, `monthly`.
    ///
    /// # Errors
    /// [`SpanError::Period`] or [`SpanError::Range`].
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        let text = text.trim();
        match text {
            "hourly" => return Ok(Self::Seconds(3_600)),
            "daily" => return Ok(Self::Days(1)),
            "weekly" => return Ok(Self::Days(7)),
            "monthly" => return Ok(Self::Months(1)),
            _ => {}
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or(SpanError::Period)?;
        let number: u32 = number.parse().map_err(|_| SpanError::Period)?;
        let seconds = |each: u32| {
            number
                .checked_mul(each)
                .filter(|total| *total > 0 && *total <= MOST_DAYS * 86_400)
                .ok_or(SpanError::Range)
        };
        let days = |each: u32| {
            number
                .checked_mul(each)
                .filter(|total| *total > 0 && *total <= MOST_DAYS)
                .ok_or(SpanError::Range)
        };
        match unit {
            "s" => seconds(1).map(Self::Seconds),
            "m" => seconds(60).map(Self::Seconds),
            "h" => {
                let total = seconds(3_600)?;
                Ok(match total % 86_400 {
                    0 => Self::Days(total / 86_400),
                    _ => Self::Seconds(total),
                })
            }
            "d" => days(1).map(Self::Days),
            "w" => days(7).map(Self::Days),
            "mo" if (1..=120).contains(&number) => Ok(Self::Months(number)),
            "mo" => Err(SpanError::Range),
            _ => Err(SpanError::Period),
        }
    }

    /// Seconds, for a lifetime such as `duration` of a key: days of 24 hours, months of 30 days.
    #[must_use]
    pub fn as_seconds(self) -> i64 {
        match self {
            Self::Seconds(seconds) => i64::from(seconds),
            Self::Days(days) => i64::from(days) * 86_400,
            Self::Months(months) => i64::from(months) * 30 * 86_400,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Seconds(seconds) if seconds % 3_600 == 0 => write!(f, "{}h", seconds / 3_600),
            Self::Seconds(seconds) if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            Self::Seconds(seconds) => write!(f, "{seconds}s"),
            Self::Days(days) => write!(f, "{days}d"),
            Self::Months(months) => write!(f, "{months}mo"),
        }
    }
}

impl serde::Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Period {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(input)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// One window: from `start` to before `end`, microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First microsecond.
    pub start: i64,
    /// First microsecond after it; `i64::MAX` for a window that never ends.
    pub end: i64,
}

impl Span {
    /// The window of a budget without period.
    pub const LIFETIME: Self = Self {
        start: i64::MIN,
        end: i64::MAX,
    };

    /// Whether an instant lies in it.
    #[must_use]
    pub const fn contains(&self, at: i64) -> bool {
        self.start <= at && at < self.end
    }
}

/// Where days begin: a time zone with its daylight saving, and a time of day.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    reset: Time,
}

impl Default for Calendar {
    /// UTC, midnight.
    fn default() -> Self {
        Self {
            zone: TimeZone::UTC,
            reset: Time::midnight(),
        }
    }
}

impl Calendar {
    /// A calendar of an IANA zone (`UTC`, `Europe/Berlin`) and a time of day (`HH:MM`).
    ///
    /// # Errors
    /// [`SpanError::Zone`] or [`SpanError::Time`].
    pub fn new(zone: &str, reset: &str) -> Result<Self, SpanError> {
        let zone = if zone.eq_ignore_ascii_case("utc") {
            TimeZone::UTC
        } else {
            TimeZoneDatabase::bundled()
                .get(zone)
                .map_err(|_| SpanError::Zone)?
        };
        let (hour, minute) = reset.split_once(':').ok_or(SpanError::Time)?;
        let hour = hour.parse().map_err(|_| SpanError::Time)?;
        let minute = minute.parse().map_err(|_| SpanError::Time)?;
        let reset = Time::new(hour, minute, 0, 0).map_err(|_| SpanError::Time)?;
        Ok(Self { zone, reset })
    }

    /// The window of `period` that contains `now`. `anchor` is when the budget began; it decides only periods of days that
    /// no calendar knows. Both are microseconds since the Unix epoch.
    #[must_use]
    pub fn window(&self, period: Period, anchor: i64, now: i64) -> Span {
        match period {
            Period::Seconds(seconds) => {
                let length = i64::from(seconds).saturating_mul(1_000_000).max(1);
                let start = now.div_euclid(length).saturating_mul(length);
                Span {
                    start,
                    end: start.saturating_add(length),
                }
            }
            Period::Days(_) | Period::Months(_) => self
                .civil(period, anchor, now)
                // Outside the calendar's years; nothing is counted twice there.
                .unwrap_or(Span::LIFETIME),
        }
    }

    fn civil(&self, period: Period, anchor: i64, now: i64) -> Option<Span> {
        let today = self.day(now)?;
        let (start, step) = match period {
            Period::Days(1) => (today, 1.days()),
            Period::Days(7) => {
                let back = i64::from(today.weekday().to_monday_zero_offset());
                (today.checked_sub(back.days()).ok()?, 7.days())
            }
            Period::Days(30) | Period::Months(1) => (today.first_of_month(), 1.months()),
            Period::Days(days) => {
                let began = self.day(anchor)?;
                let since = i64::from((today - began).get_days());
                let back = since.rem_euclid(i64::from(days));
                (today.checked_sub(back.days()).ok()?, i64::from(days).days())
            }
            Period::Months(months) => {
                let began = self.day(anchor)?.first_of_month();
                let index = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
                let since = index(today) - index(began);
                let back = since.rem_euclid(i64::from(months));
                let first = today.first_of_month();
                (
                    first.checked_sub(back.months()).ok()?,
                    i64::from(months).months(),
                )
            }
            Period::Seconds(_) => return None,
        };
        Some(Span {
            start: self.instant(start)?,
            end: self.instant(start.checked_add(step).ok()?)?,
        })
    }

    /// The day that an instant belongs to; before the reset time it is the day before.
    fn day(&self, at: i64) -> Option<Date> {
        let local = Timestamp::from_microsecond(at)
            .ok()?
            .to_zoned(self.zone.clone());
        let date = local.date();
        if at < self.instant(date)? {
            return date.yesterday().ok();
        }
        Some(date)
    }

    /// The instant at which a day begins. A time that daylight saving skips is moved forward by the gap.
    fn instant(&self, date: Date) -> Option<i64> {
        let zoned = date.to_datetime(self.reset).to_zoned(self.zone.clone());
        Some(zoned.ok()?.timestamp().as_microsecond())
    }
}

#[cfg(test)]
mod tests {
    use super::{Calendar, Period, Span, SpanError};

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn periods_are_read_as_written() {
        for (text, period) in [
            ("30s", Period::Seconds(30)),
            ("30m", Period::Seconds(1_800)),
            ("24h", Period::Days(1)),
            ("30d", Period::Days(30)),
            ("1w", Period::Days(7)),
            ("1mo", Period::Months(1)),
            ("daily", Period::Days(1)),
            ("weekly", Period::Days(7)),
            ("monthly", Period::Months(1)),
            ("hourly", Period::Seconds(3_600)),
        ] {
            assert_eq!(Period::parse(text), Ok(period), "{text}");
        }
        for text in ["", "d", "30", "30 d", "-1d", "1y", "1e3s", "٣d", "1.5h"] {
            assert_eq!(Period::parse(text), Err(SpanError::Period), "{text}");
        }
        for text in ["0s", "0d", "0mo", "4000000000s", "9999d", "121mo"] {
            assert_eq!(Period::parse(text), Err(SpanError::Range), "{text}");
        }
    }

    #[test]
    fn windows_of_zones_and_daylight_saving() {
        // Zone, reset, period, anchor, now, start, end: all instants in UTC.
        let table = [
            (
                "UTC",
                "00:00",
                "1d",
                "2026-11-20T11:00:00Z",
                "2026-11-20T11:00:00Z",
                "2026-11-20T00:00:00Z",
                "2026-11-21T00:00:00Z",
            ),
            (
                "UTC",
                "00:00",
                "7d",
                "2026-11-20T11:00:00Z",
                "2026-11-20T11:00:00Z",
                "2026-11-16T00:00:00Z",
                "2026-11-23T00:00:00Z",
            ),
            (
                "UTC",
                "00:00",
                "30d",
                "2026-11-20T11:00:00Z",
                "2026-11-20T11:00:00Z",
                "2026-11-01T00:00:00Z",
                "2026-12-01T00:00:00Z",
            ),
            (
                "UTC",
                "00:00",
                "1mo",
                "2026-11-20T11:00:00Z",
                "2028-02-29T23:59:59Z",
                "2028-02-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                "UTC",
                "00:00",
                "3d",
                "2026-11-20T11:00:00Z",
                "2026-11-22T23:59:59Z",
                "2026-11-20T00:00:00Z",
                "2026-11-23T00:00:00Z",
            ),
            (
                "UTC",
                "00:00",
                "3d",
                "2026-11-20T11:00:00Z",
                "2026-11-23T00:00:00Z",
                "2026-11-23T00:00:00Z",
                "2026-11-26T00:00:00Z",
            ),
            (
                "UTC",
                "06:30",
                "1d",
                "2026-11-20T11:00:00Z",
                "2026-11-20T06:29:59Z",
                "2026-11-19T06:30:00Z",
                "2026-11-20T06:30:00Z",
            ),
            // India has half an hour and no daylight saving.
            (
                "Asia/Kolkata",
                "00:00",
                "1d",
                "2026-11-20T11:00:00Z",
                "2026-11-20T18:29:59Z",
                "2026-11-19T18:30:00Z",
                "2026-11-20T18:30:00Z",
            ),
            // Berlin: the day of the change has 23 hours, the other 25.
            (
                "Europe/Berlin",
                "00:00",
                "1d",
                "2026-03-29T11:00:00Z",
                "2026-03-29T11:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            (
                "Europe/Berlin",
                "00:00",
                "1d",
                "2026-10-25T11:00:00Z",
                "2026-10-25T11:00:00Z",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            // The reset time does not exist on that day.
            (
                "Europe/Berlin",
                "02:30",
                "1d",
                "2026-03-29T11:00:00Z",
                "2026-03-29T11:00:00Z",
                "2026-03-29T01:30:00Z",
                "2026-03-30T00:30:00Z",
            ),
            // Midnight does not exist on that day.
            (
                "Africa/Cairo",
                "00:00",
                "1d",
                "2026-04-24T11:00:00Z",
                "2026-04-24T11:00:00Z",
                "2026-04-23T22:00:00Z",
                "2026-04-24T21:00:00Z",
            ),
            (
                "America/New_York",
                "00:00",
                "1mo",
                "2026-11-20T11:00:00Z",
                "2026-11-20T11:00:00Z",
                "2026-11-01T04:00:00Z",
                "2026-12-01T05:00:00Z",
            ),
            (
                "UTC",
                "00:00",
                "12h",
                "2026-11-20T11:00:00Z",
                "2026-11-20T11:00:00Z",
                "2026-11-20T00:00:00Z",
                "2026-11-20T12:00:00Z",
            ),
            (
                "UTC",
                "00:00",
                "2mo",
                "2026-11-20T11:00:00Z",
                "2027-01-05T00:00:00Z",
                "2027-01-01T00:00:00Z",
                "2027-03-01T00:00:00Z",
            ),
        ];
        for (zone, reset, period, anchor, now, start, end) in table {
            let calendar = Calendar::new(zone, reset).unwrap();
            let window = calendar.window(Period::parse(period).unwrap(), at(anchor), at(now));
            let expected = Span {
                start: at(start),
                end: at(end),
            };
            assert_eq!(window, expected, "{zone} {reset} {period} at {now}");
        }
    }

    #[test]
    fn windows_follow_each_other_without_gap() {
        for zone in [
            "UTC",
            "Europe/Berlin",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
        ] {
            let calendar = Calendar::new(zone, "02:30").unwrap();
            for period in ["1d", "7d", "30d", "5d", "3mo", "6h"] {
                let period = Period::parse(period).unwrap();
                let anchor = at("2026-01-15T12:00:00Z");
                let mut window = calendar.window(period, anchor, anchor);
                for _ in 0..500 {
                    assert!(window.start < window.end);
                    let next = calendar.window(period, anchor, window.end);
                    assert_eq!(next.start, window.end, "{zone} {period}");
                    assert_eq!(calendar.window(period, anchor, window.end - 1), window);
                    window = next;
                }
            }
        }
    }

    #[test]
    fn what_is_no_zone_or_time_is_refused() {
        assert_eq!(
            Calendar::new("Mars/Olympus", "00:00").unwrap_err(),
            SpanError::Zone
        );
        for reset in ["", "24:00", "1", "10:60", "aa:bb"] {
            assert_eq!(
                Calendar::new("UTC", reset).unwrap_err(),
                SpanError::Time,
                "{reset}"
            );
        }
    }
}
