//! Demands of the book as words for a script, and its refusals as errors.

use aws_lc_rs::hmac;
use policy::MicroUsd;
use policy::budget::{
    Ask, Calendar, Caps, Demand, Dimension, Exceeded, Measure, Object, Period, Rules, Span,
    Standing,
};

use super::wire::Reply;

/// The largest number that a script counts exactly.
pub(super) const MOST: i64 = 9_000_000_000_000_000;

/// Words for a script.
#[derive(Debug, Default)]
pub(super) struct Words(pub(super) Vec<Vec<u8>>);

impl Words {
    pub(super) fn text(&mut self, text: &str) {
        self.0.push(text.as_bytes().to_vec());
    }

    pub(super) fn whole(&mut self, number: i64) {
        self.text(&number.to_string());
    }

    /// A limit, or nothing.
    fn limit(&mut self, limit: Option<i64>) {
        match limit {
            Some(limit) => self.whole(limit.min(MOST)),
            None => self.text(""),
        }
    }
}

/// Names of objects in Redis: keyed digests, so that no id of a person is a key there.
#[derive(Debug)]
pub(super) struct Names(hmac::Key);

impl Names {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// 32 hexadecimal characters.
    pub(super) fn of(&self, object: &Object) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(object.kind.as_str().as_bytes());
        context.update(&[0]);
        context.update(object.id.as_bytes());
        let tag = context.sign();
        let bytes = tag.as_ref().iter().take(16);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The name of a period among the fields of an object.
pub(super) fn period_word(period: Option<Period>) -> String {
    match period {
        None => "l".to_owned(),
        Some(Period::Seconds(count)) => format!("s{count}"),
        Some(Period::Days(count)) => format!("d{count}"),
        Some(Period::Months(count)) => format!("m{count}"),
    }
}

/// The period behind a word that [`period_word`] made.
pub(super) fn period_of(word: &str) -> Option<Option<Period>> {
    if word == "l" {
        return Some(None);
    }
    let (kind, count) = word.split_at_checked(1)?;
    let count = count.parse().ok()?;
    Some(Some(match kind {
        "s" => Period::Seconds(count),
        "d" => Period::Days(count),
        "m" => Period::Months(count),
        _ => return None,
    }))
}

/// Begin and end of a window as words; `-` for a lifetime.
pub(super) fn span_words(period: Option<Period>, span: Span) -> (String, String) {
    match period {
        None => ("-".to_owned(), "-".to_owned()),
        Some(_) => (span.start.to_string(), span.end.to_string()),
    }
}

/// Everything about the objects of a call.
pub(super) fn demands(
    words: &mut Words,
    names: &Names,
    rules: &Rules,
    demands: &[Demand<'_>],
    ask: &Ask,
    now: i64,
    force: bool,
) {
    words.whole(ask.money.micro().clamp(0, MOST));
    words.whole(signed(rules.counted(ask.input, ask.output)).min(MOST));
    words.text(if force { "1" } else { "0" });
    words.whole(signed(demands.len() as u64));
    for demand in demands {
        words.text(&names.of(&demand.object));
        match demand.caps {
            None => ["0", "", "", "", "", "", "", "", "0"]
                .iter()
                .for_each(|word| words.text(word)),
            Some(caps) => {
                words.text("1");
                match demand.measure {
                    Measure::Ruled => words.text(""),
                    measure => words.whole(signed(measure.held(rules, ask)).min(MOST)),
                }
                words.text(match demand.measure {
                    Measure::Ruled => "",
                    Measure::Total => "t",
                    Measure::Input => "i",
                    Measure::Output => "o",
                });
                limits(words, &rules.calendar, caps, demand.anchor, now);
            }
        }
    }
}

fn limits(words: &mut Words, calendar: &Calendar, caps: &Caps, anchor: i64, now: i64) {
    words.limit(caps.rpm_limit.map(signed));
    words.limit(caps.tpm_limit.map(signed));
    words.limit(caps.tpd_limit.map(signed));
    words.limit(caps.max_parallel_requests.map(i64::from));
    words.limit(caps.soft_budget.map(MicroUsd::micro));
    let lines: Vec<_> = caps.budgets(now).collect();
    words.whole(signed(lines.len() as u64));
    for (period, limit) in lines {
        let span = match period {
            None => Span::LIFETIME,
            Some(period) => calendar.window(period, anchor, now),
        };
        words.text(&period_word(period));
        words.text(match period {
            None => "l",
            Some(Period::Seconds(_)) => "s",
            Some(_) => "c",
        });
        let (begin, end) = span_words(period, span);
        words.text(&begin);
        words.text(&end);
        words.whole(limit.micro().min(MOST));
    }
}

/// What is left after a call was counted: standings of rates, and what each object has spent.
pub(super) fn left(demands: &[Demand<'_>], left: &[Reply]) -> (Vec<Standing>, Vec<MicroUsd>) {
    let (mut standings, mut spent) = (Vec::new(), Vec::with_capacity(left.len()));
    for (demand, reply) in demands.iter().zip(left) {
        let whole = |at: usize| reply.list().get(at).and_then(Reply::whole).unwrap_or(0);
        let count = |at: usize| u64::try_from(whole(at)).unwrap_or(0);
        if let Some(caps) = demand.caps {
            let parallel = u32::try_from(whole(2)).unwrap_or(u32::MAX);
            let used = (count(0), count(1), parallel);
            Standing::add(&mut standings, &demand.object, caps, used);
        }
        spent.push(MicroUsd::new(whole(3)));
    }
    (standings, spent)
}

/// A refusal: `over, sequence, now, index from 1, dimension, limit, current, reserved, needed, resets`.
pub(super) fn exceeded(reply: &[Reply], objects: &[(Object, String)]) -> Option<Exceeded> {
    let whole = |at: usize| reply.get(at)?.whole();
    let index = usize::try_from(whole(3)?).ok()?.checked_sub(1)?;
    let (object, shown) = objects.get(index)?;
    let dimension = match reply.get(4)?.bytes()? {
        b"budget" => Dimension::Budget,
        b"requests" => Dimension::Requests,
        b"tokens" => Dimension::Tokens,
        b"day" => Dimension::TokensPerDay,
        b"parallel" => Dimension::Parallel,
        _ => return None,
    };
    Some(Exceeded {
        object: object.clone(),
        shown: shown.clone(),
        dimension,
        limit: whole(5)?,
        current: whole(6)?,
        reserved: whole(7)?,
        needed: whole(8)?,
        resets_at: whole(9),
        now: whole(2)?,
    })
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
