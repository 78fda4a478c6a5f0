//! What the end of a call teaches about the deployment that served it.

use policy::FailureClass;
use policy::router::{Failure, Sample};

use crate::proxy::facts::{End, Facts};

/// Gives the call's place back and tells the deployment's health how it went. Failed attempts were reported when they failed.
pub(crate) fn learn(facts: &mut Facts, end: &End) {
    let snapshot = facts.snapshot.clone();
    let (usage, timings, stream) = (facts.usage, facts.timings, facts.stream);
    let sent = facts.attempts.last();
    let answered = sent.is_some_and(|last| last.error.is_none());
    let Some(way) = facts.destination.way.as_mut() else {
        return;
    };
    let Some(lease) = way.lease.take() else {
        return;
    };
    let (router, now) = (&snapshot.config.models, snapshot.micros());
    let head = timings.head.saturating_sub(way.began);
    let sample = Sample {
        latency: match stream {
            true => timings
                .first_byte
                .max(timings.head)
                .saturating_sub(way.began),
            // Long answers take longer: what compares deployments is the time per token.
            false => head / usage.output.max(1),
        },
        stream,
        input: usage.input,
        output: usage.output,
    };
    match end {
        // A check that refused the answer says nothing against the deployment.
        End::Answered | End::Blocked(_) if answered => {
            lease.answered(now, router.settings(), &sample);
        }
        // Nothing was sent: a mock, an estimate, a request that a check refused.
        End::Answered | End::Blocked(_) => lease.ended(0, 0),
        End::Cut(code) | End::Failed(code) => match cut_by(code) {
            Some(class) => {
                let failure = Failure {
                    class,
                    retry_after: None,
                    input: usage.input,
                    output: usage.output,
                };
                router.failed(&way.course, lease, now, &failure);
            }
            // The client left, or we did: no verdict about the deployment.
            None => lease.ended(usage.input, usage.output),
        },
    }
}

/// The failure behind the code of an answer that the provider cut.
fn cut_by(code: &str) -> Option<FailureClass> {
    Some(match code {
        "upstream_cut" => FailureClass::Unreachable,
        "upstream_timeout" => FailureClass::Timeout,
        "upstream_invalid" => FailureClass::Invalid,
        "upstream_error" => FailureClass::InternalServer,
        _ => return None,
    })
}
