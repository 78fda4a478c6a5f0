//! A simulated fleet with failures, latencies and a clock: the router and the slow model decide the same, step by step.

use std::sync::Arc;

use super::model::{Expected, Fleet, One, Request, Way};
use super::*;
use crate::router::{FallbackLists, Strategy, TargetLimits};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const CLASSES: [FailureClass; 12] = FailureClass::ALL;

/// Numbers that repeat with their seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn maybe<T>(&mut self, percent: u64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| value(self))
    }

    fn lists(&mut self) -> FallbackLists {
        let mut lists = FallbackLists::default();
        for name in NAMES.into_iter().chain(["*"]) {
            if self.chance(30) {
                let count = self.below(3);
                let list = (0..count)
                    .map(|_| NAMES[self.below(4) as usize].to_owned())
                    .collect();
                lists.add(name, list);
            }
        }
        lists
    }

    fn settings(&mut self) -> Settings {
        let strategies = [
            Strategy::SimpleShuffle,
            Strategy::LeastBusy,
            Strategy::Latency,
            Strategy::Cost,
            Strategy::Usage,
        ];
        let mut settings = Settings {
            strategy: strategies[self.below(5) as usize],
            latency_buffer: self.below(600) as u32,
            latency_ttl: (20 + self.below(200)) * S,
            retries: self.below(4) as u32,
            least_wait: self.below(2) * 200_000,
            longest_wait: (1 + self.below(10)) * S,
            budget_percent: (10 + self.below(90)) as u32,
            budget_floor: self.below(20) as u32,
            cooldown: (1 + self.below(20)) * S,
            allowed_fails: self.maybe(30, |dice| dice.below(4) as u32),
            no_cooldowns: self.chance(10),
            fallbacks: self.lists(),
            context_window_fallbacks: self.lists(),
            content_policy_fallbacks: self.lists(),
            max_fallbacks: self.below(6) as u32,
            context_check: self.chance(50),
            ..Settings::default()
        };
        if self.chance(30) {
            settings.default_fallbacks = vec![NAMES[self.below(4) as usize].to_owned()];
        }
        for class in CLASSES {
            if self.chance(8) {
                settings.retry_policy.set(class, self.below(3) as u32);
            }
            if self.chance(8) {
                settings
                    .allowed_fails_policy
                    .set(class, self.below(3) as u32);
            }
        }
        settings
    }

    fn target(&mut self) -> One {
        One {
            weight: self.below(5),
            order: self.below(3) as u32,
            limits: TargetLimits {
                parallel: self.maybe(20, |dice| 1 + dice.below(4) as u32),
                rpm: self.maybe(20, |dice| 1 + dice.below(12)),
                tpm: self.maybe(20, |dice| 50 + dice.below(400)),
                ..TargetLimits::default()
            },
            price: self.maybe(70, |dice| dice.below(4)),
            max_input: self.maybe(50, |dice| dice.below(60)),
            retries: self.maybe(15, |dice| dice.below(4) as u32),
            allowed_fails: self.maybe(15, |dice| dice.below(3) as u32),
            ..One::default()
        }
    }
}

/// A call in both worlds.
struct Call {
    number: u64,
    model: usize,
    request: Request,
    course: Course,
    way: Way,
    lease: crate::router::Lease,
}

struct World {
    router: Router<usize>,
    fleet: Fleet,
    /// Attempts so far: each has a number of its own.
    attempts: u64,
    now: u64,
    open: Vec<Call>,
}

fn ask_of(model: usize, now: u64, request: Request) -> Ask<'static, usize> {
    Ask {
        model: NAMES[model],
        now,
        draw: request.draw,
        tags: &[],
        prompt_tokens: request.prompt,
        tokens: request.tokens,
        stream: false,
        judge: &|_| None,
        permits: &|_| true,
        fallbacks: &[],
    }
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        let settings = dice.settings();
        let mut builder = RouterBuilder::default();
        builder.settings(settings.clone());
        let mut groups = Vec::new();
        for name in NAMES {
            let count = 1 + dice.below(5);
            let boxes: Vec<One> = (0..count).map(|_| dice.target()).collect();
            for (index, one) in boxes.iter().enumerate() {
                builder.deployment(
                    name,
                    Target {
                        deployment: index,
                        weight: one.weight,
                        order: one.order,
                        limits: one.limits,
                        tags: Vec::new(),
                        price: one.price,
                        max_input: one.max_input,
                        retries: one.retries,
                        cooldown: None,
                        allowed_fails: one.allowed_fails,
                        health: Arc::default(),
                    },
                );
            }
            groups.push((name.to_owned(), boxes));
        }
        Self {
            router: builder.build(),
            fleet: Fleet::new(settings, groups),
            attempts: 0,
            now: S,
            open: Vec::new(),
        }
    }

    fn check(&mut self, expected: &Expected, pick: &Pick<'_, usize>, request: Request) -> u64 {
        assert_eq!(pick.group, NAMES[expected.group]);
        assert_eq!(pick.step, expected.step);
        assert!(
            expected.candidates.contains(pick.deployment),
            "{} of {:?}",
            pick.deployment,
            expected.candidates
        );
        assert!((expected.waits.0..=expected.waits.1).contains(&pick.wait));
        let one = &mut self.fleet.groups[expected.group].1[*pick.deployment];
        self.attempts += 1;
        one.take(self.now, self.attempts, request.tokens);
        self.attempts
    }

    fn start(&mut self, dice: &mut Dice) {
        let model = dice.below(4) as usize;
        let request = Request {
            prompt: dice.below(80),
            tokens: dice.below(100),
            draw: dice.next(),
        };
        let expected = self.fleet.begin(model, self.now, request);
        // Cheap to build again: the borrow of a choice must not last over the check.
        let router = std::mem::replace(&mut self.router, RouterBuilder::default().build());
        match (router.begin(&ask_of(model, self.now, request)), expected) {
            (Err(RouteError::NoneUsable { .. }), None) => {}
            (Ok((course, mut pick)), Some((mut way, expected))) => {
                let number = self.check(&expected, &pick, request);
                way.target = *pick.deployment;
                pick.lease.begin();
                self.open.push(Call {
                    number,
                    model,
                    request,
                    course,
                    way,
                    lease: pick.lease,
                });
            }
            (found, expected) => panic!(
                "router: {:?}, model: {}",
                found.map(|(_, pick)| pick.step),
                expected.is_some()
            ),
        }
        self.router = router;
    }

    fn end(&mut self, dice: &mut Dice) {
        if self.open.is_empty() {
            return;
        }
        let index = dice.below(self.open.len() as u64) as usize;
        let mut call = self.open.swap_remove(index);
        let (group, target) = (call.way.group, call.way.target);
        let sick = dice.0 % 7 == target as u64 % 7;
        if !sick && dice.chance(60) {
            let latency = 1 + dice.below(1_000);
            let tokens = dice.below(150);
            let sample = Sample {
                latency,
                stream: false,
                input: tokens / 3,
                output: tokens - tokens / 3,
            };
            call.lease
                .answered(self.now, self.router.settings(), &sample);
            let one = &mut self.fleet.groups[group].1[target];
            return one.answered(self.now, call.number, latency, tokens);
        }
        let class = CLASSES[dice.below(12) as usize];
        let failure = Failure {
            class,
            retry_after: dice.maybe(30, |dice| dice.below(20) * S),
            input: 0,
            output: 0,
        };
        // Cooldowns by Retry-After are tested by hand; here every one has the configured length.
        let plain = Failure {
            retry_after: None,
            ..failure
        };
        let cooled = self
            .router
            .failed(&call.course, call.lease, self.now, &plain);
        let alone = self.fleet.groups[group].1.len() == 1;
        let settings = self.fleet.settings.clone();
        let one = &mut self.fleet.groups[group].1[target];
        let expected = one.failed(&settings, alone, self.now, call.number, class);
        assert_eq!(cooled, expected, "{class:?}");
        let remaining = if dice.chance(5) { 0 } else { 3_600 * S };
        call.request.draw = dice.next();
        let expected = self.fleet.next(
            &mut call.way,
            class,
            failure.retry_after,
            self.now,
            call.request,
            remaining,
        );
        let router = std::mem::replace(&mut self.router, RouterBuilder::default().build());
        let ask = ask_of(call.model, self.now, call.request);
        let next = router.next(&mut call.course, &failure, &ask, remaining);
        match (next, expected) {
            (None, None) => {}
            (Some(mut pick), Some(expected)) => {
                call.number = self.check(&expected, &pick, call.request);
                call.way.target = *pick.deployment;
                pick.lease.begin();
                call.lease = pick.lease;
                assert_eq!(
                    (call.course.retries(), call.course.fallbacks()),
                    (call.way.retries, call.way.fallbacks)
                );
                self.open.push(call);
            }
            (next, expected) => panic!(
                "router: {:?}, model: {:?}",
                next.map(|pick| pick.step),
                expected.map(|expected| expected.step)
            ),
        }
        self.router = router;
    }

    fn leave(&mut self, dice: &mut Dice) {
        if let Some(call) = self.open.pop() {
            let one = &mut self.fleet.groups[call.way.group].1[call.way.target];
            // The client left: nothing is learned, what was counted stays counted.
            let tokens = dice.below(50);
            one.ended(call.number, tokens);
            call.lease.ended(tokens, 0);
        }
    }
}

#[test]
fn the_router_decides_as_the_slow_model_does() {
    let runs = if std::env::var_os("SEALGATE_LONG_TESTS").is_some() {
        3_000
    } else {
        150
    };
    for seed in 1..=runs {
        let mut dice = Dice(0x9e37_79b9 + seed * 7_919);
        let mut world = World::new(&mut dice);
        for _ in 0..250 {
            match dice.below(100) {
                0..45 => world.start(&mut dice),
                45..85 => world.end(&mut dice),
                85..88 => world.leave(&mut dice),
                _ => world.now += dice.below(12) * S / (1 + dice.below(6)),
            }
        }
        for (group, boxes) in world.fleet.groups.iter().enumerate() {
            for (index, target) in world.router.behind(NAMES[group]).enumerate() {
                let view = target.health.view(world.now, world.router.settings());
                assert_eq!(view.in_flight, boxes.1[index].in_flight, "seed {seed}");
            }
        }
    }
}
