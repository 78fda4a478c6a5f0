//! Tests of routing: single decisions, ways of calls, and a simulated fleet against a slow model.

mod choosing;
mod fleet;
mod model;
mod ways;

use super::{
    Ask, Course, Failure, FailureClass, Pick, Rejection, RouteError, Router, RouterBuilder, Sample,
    Settings, Target,
};

/// One second.
const S: u64 = 1_000_000;

/// A router over named deployments.
fn router(
    settings: Settings,
    entries: Vec<(&'static str, Target<&'static str>)>,
) -> Router<&'static str> {
    let mut builder = RouterBuilder::default();
    for (group, target) in entries {
        builder.deployment(group, target);
    }
    builder.settings(settings);
    builder.build()
}

fn ask<'a>(model: &'a str, now: u64, draw: u64) -> Ask<'a, &'static str> {
    Ask {
        model,
        now,
        draw,
        tags: &[],
        prompt_tokens: 0,
        tokens: 0,
        stream: false,
        judge: &|_| None,
        permits: &|_| true,
        fallbacks: &[],
    }
}

fn failure(class: FailureClass) -> Failure {
    Failure {
        class,
        retry_after: None,
        input: 0,
        output: 0,
    }
}

const GOOD: Sample = Sample {
    latency: 1_000,
    stream: false,
    input: 6,
    output: 4,
};

/// Names and verdicts of all deployments that a call looked at.
fn considered(
    router: &Router<&'static str>,
    course: &Course,
) -> Vec<(&'static str, Option<Rejection>)> {
    router
        .considered(course)
        .map(|seen| (*seen.deployment, seen.rejected))
        .collect()
}

/// One call that is answered at once: the deployment that served.
fn serve(router: &Router<&'static str>, model: &str, now: u64, draw: u64) -> &'static str {
    let (_, pick) = router.begin(&ask(model, now, draw)).expect("a deployment");
    let name = *pick.deployment;
    pick.lease.answered(now, router.settings(), &GOOD);
    name
}

/// One call whose only attempt fails.
fn fail(router: &Router<&'static str>, model: &str, now: u64, class: FailureClass) -> bool {
    let (course, pick) = router.begin(&ask(model, now, 0)).expect("a deployment");
    router.failed(&course, pick.lease, now, &failure(class))
}

fn error(result: Result<(Course, Pick<'_, &'static str>), RouteError>) -> RouteError {
    match result {
        Ok((_, pick)) => panic!("{} serves", pick.deployment),
        Err(error) => error,
    }
}
