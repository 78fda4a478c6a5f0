//! Stage 4: everything a call needs until its end, taken at once or not at all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use ledger::{Receipt, SettleSlot};
use policy::budget::{Ask, Caps, Demand, ObjectKind, Standing, Used};
use policy::identity::{Claim, Principal};
use policy::{MicroUsd, Slot};

use super::admit::Admitted;
use super::facts::{Destination, Facts};
use super::inspect::Request;
use super::price::{self, Quote};
use crate::app::{App, Snapshot};
use crate::digest::Purpose;
use crate::error::Error;
use crate::identity::{address, tags};
use crate::ids;
use crate::replicas::{Refused, SharedHold, WhenLost};
use crate::routing;

/// An admitted request that holds its slots. They come back when the call is settled, whatever happens to the client.
pub(crate) struct Reserved {
    pub(crate) admitted: Admitted,
    pub(crate) held: Held,
    pub(crate) settle: SettleSlot,
    pub(crate) billing: Billing,
    /// Id of the call.
    pub(crate) id: capsule::Id,
}

/// Who a call counts against, for its row of spend and its record.
#[derive(Clone, Default)]
pub(crate) struct Billing {
    pub(crate) team: String,
    pub(crate) user: String,
    pub(crate) organization: String,
    /// Pseudonym of the end user.
    pub(crate) end_user: String,
    /// Joined by U+001F.
    pub(crate) tags: String,
    pub(crate) address: Option<IpAddr>,
    /// The model group; where that is a pattern and a limit names the model, the model.
    pub(crate) model: String,
}

/// Why another target is not held.
pub(crate) enum Unheld {
    /// Its deployment, or the provider, has no room for the call.
    NoRoom(Box<policy::budget::Exceeded>),
    /// The call ends.
    Refused(Error),
}

/// What a call holds until it is settled. Dropping it gives everything back.
pub(crate) struct Held {
    /// Of the whole process; a call that is made for another one's sake runs in that one's.
    _slot: Option<Slot>,
    /// Whether it is such a call: only budgets in money count it.
    is_child: bool,
    /// Of key, team, user and so on.
    hold: Hold,
    pub(crate) quote: Quote,
    /// The most that is charged, where a budget must hold whatever the provider says.
    bound: Option<MicroUsd>,
    /// What was reserved, for the record of a call that nobody settles.
    pub(crate) ceiling: Option<MicroUsd>,
    caller: Principal,
    /// Whether any budget in money applies.
    has_budget: bool,
    /// Set when the provider's numbers were above what the request can have cost.
    pub(crate) bounded: bool,
    /// Set when this process counted the call alone because the shared limits could not be asked.
    pub(crate) alone: bool,
}

/// Where it is held: the book of this process costs no allocation and no wait.
enum Hold {
    Local(policy::budget::Hold),
    Shared(SharedHold),
}

impl Held {
    /// Who began the call.
    pub(crate) fn caller(&self) -> &Principal {
        &self.caller
    }

    /// What was left of each limit of rates when the call was admitted.
    pub(crate) fn standings(&self) -> &[Standing] {
        match &self.hold {
            Hold::Local(hold) => hold.standings(),
            Hold::Shared(hold) => hold.standings(),
        }
    }

    /// What an object of the call had spent when it was admitted, where the shared book said so.
    pub(crate) fn spent(&self, object: &policy::budget::Object) -> Option<MicroUsd> {
        match &self.hold {
            Hold::Local(_) => None,
            Hold::Shared(hold) => hold.spent(object),
        }
    }

    /// Whether the call may be sent: what it holds still counts everywhere.
    pub(crate) fn is_held(&self) -> bool {
        match &self.hold {
            Hold::Local(_) => true,
            Hold::Shared(hold) => hold.is_held(),
        }
    }

    /// The cost that is charged for what a provider reported: never above the bound.
    pub(crate) fn bound(&mut self, cost: policy::Cost) -> policy::Cost {
        match (self.bound, cost.amount) {
            (Some(bound), Some(amount)) if amount > bound => {
                self.bounded = true;
                policy::Cost {
                    amount: Some(bound),
                    ..cost
                }
            }
            _ => cost,
        }
    }

    /// Holds what another attempt may cost, together with what failed ones did: another deployment has other prices, and
    /// its model and provider other budgets. Gives the name under which limits of models count the call now.
    ///
    /// # Errors
    /// No room, or nobody knows what that deployment costs; nothing was sent to it.
    pub(crate) async fn retarget(
        &mut self,
        app: &App,
        facts: &Facts,
        request: &Request,
    ) -> Result<String, Unheld> {
        let settings = &facts.snapshot.config.budgets;
        let quote = price::quote(&facts.destination, settings);
        let expected = price::expect(request, &quote, settings);
        let spent = facts
            .attempts
            .iter()
            .filter_map(|attempt| attempt.wasted?.micro_usd)
            .fold(0, i64::saturating_add);
        let model = counted_model(&self.caller, &facts.destination).to_owned();
        let claims = app.identity.claims(
            &self.caller,
            &facts.snapshot.config,
            &model,
            &facts.destination.deployment,
            request.body.user().as_deref(),
        );
        self.has_budget = limits_money(&claims);
        if self.has_budget && expected.ceiling.is_none() {
            return Err(Unheld::Refused(Error::PriceUnknown {
                model: facts.destination.group.chars().take(100).collect(),
            }));
        }
        let caps = self.is_child.then(|| of_money(&claims));
        let demands = demands(&claims, caps.as_deref());
        let with_spent = |money: MicroUsd| MicroUsd::new(money.micro().saturating_add(spent));
        let (now, money) = (app.clock.now().micros(), with_spent(expected.ask.money));
        let turned = match &mut self.hold {
            Hold::Local(hold) => hold
                .exchange(now, &demands, money)
                .map_err(|exceeded| Refused::Exceeded(Box::new(exceeded))),
            Hold::Shared(hold) => hold.exchange(now, &demands, money).await,
        };
        turned.map_err(|refused| match refused {
            Refused::Exceeded(exceeded) if routing::is_target(&exceeded) => {
                Unheld::NoRoom(exceeded)
            }
            refused => {
                let status = settings.exceeded_status;
                Unheld::Refused(refusal(refused, &facts.destination, status))
            }
        })?;
        self.ceiling = expected.ceiling.map(with_spent);
        self.bound = self.ceiling.filter(|_| self.has_budget);
        self.quote = quote;
        Ok(model)
    }

    /// Counts what was used and gives the rest back: at once here, in the shared book when the record is durable. Says which
    /// soft budgets were reached. Gives the receipt back.
    pub(crate) fn settle(self, used: &Used, receipt: Option<Receipt>) -> Option<Receipt> {
        match self.hold {
            Hold::Local(hold) => {
                for crossed in hold.settle(used) {
                    super::settle::say_crossed(&crossed);
                }
                receipt
            }
            Hold::Shared(hold) => hold.settle(*used, receipt),
        }
    }
}

fn refusal(refused: Refused, destination: &Destination, budget_status: u16) -> Error {
    match refused {
        Refused::Exceeded(exceeded) => {
            routing::no_room(*exceeded, &destination.requested, budget_status)
        }
        Refused::Lost => Error::LimitsUnavailable,
    }
}

/// Takes what budgets and rates ask for. True when this process did so alone.
async fn hold(
    app: &App,
    id: capsule::Id,
    demands: &[Demand<'_>],
    ask: &Ask,
) -> Result<(Hold, bool), Refused> {
    let now = app.clock.now().micros();
    let local = || {
        let held = app.identity.shelf.reserve(now, demands, ask);
        held.map(Hold::Local)
            .map_err(|exceeded| Refused::Exceeded(Box::new(exceeded)))
    };
    let Some(replicas) = &app.identity.replicas else {
        return local().map(|hold| (hold, false));
    };
    match replicas.reserve(id.to_string(), now, demands, ask).await {
        Ok(hold) => Ok((Hold::Shared(hold), false)),
        Err(Refused::Lost) if replicas.when_lost() == WhenLost::Local => {
            let hold = local()?;
            replicas.admit_alone();
            Ok((hold, true))
        }
        Err(refused) => Err(refused),
    }
}

/// Takes the parallel slot, the settle slot, and what budgets and rates ask for.
///
/// # Errors
/// 503 while draining, while records wait or while shared limits cannot be asked, 429 and 422 at a limit, 403 for a model without a price under a budget.
pub(crate) async fn reserve(
    app: &Arc<App>,
    snapshot: &Snapshot,
    head: &Parts,
    admitted: Admitted,
) -> Result<Reserved, Error> {
    if app.is_draining() {
        return Err(Error::ShuttingDown);
    }
    let slot = app.slots.try_take().ok_or(Error::TooManyParallel {
        limit: snapshot.config.limits.max_parallel as usize,
    })?;
    let address = address::of(head, &snapshot.config.budgets);
    take(app, snapshot, address, Some(slot), admitted).await
}

/// The same for a call that is made for another one's sake: it counts against the same budgets, in money, and against no
/// rate; its place in the process is the other one's.
///
/// # Errors
/// 503 while records wait or while shared limits cannot be asked, 422 at a budget, 422 for a model without a price under one.
pub(crate) async fn for_child(
    app: &Arc<App>,
    snapshot: &Snapshot,
    admitted: Admitted,
) -> Result<Reserved, Error> {
    let address = admitted
        .parent
        .as_ref()
        .and_then(|parent| parent.billing.address);
    take(app, snapshot, address, None, admitted).await
}

async fn take(
    app: &Arc<App>,
    snapshot: &Snapshot,
    address: Option<IpAddr>,
    slot: Option<Slot>,
    mut admitted: Admitted,
) -> Result<Reserved, Error> {
    let settle = app.ledger.slot().ok_or(Error::Overloaded)?;
    let caller = admitted.caller.principal().clone();
    let settings = &snapshot.config.budgets;
    let id = ids::call_id(admitted.request.arrival.micros()).map_err(|_| Error::Internal)?;
    let is_child = admitted.parent.is_some();
    let end_user = admitted.request.body.user();
    let taken = loop {
        let asked = asked(app, snapshot, &caller, &admitted, end_user.as_deref())?;
        let caps = is_child.then(|| of_money(&asked.claims));
        let demands = demands(&asked.claims, caps.as_deref());
        let refused = match hold(app, id, &demands, &asked.expected.ask).await {
            Ok((hold, alone)) => break (asked, hold, alone),
            Err(refused) => refused,
        };
        // Where it is the deployment that has no room, another one may have.
        let another = match &refused {
            Refused::Exceeded(exceeded) => {
                routing::instead(app, snapshot, &mut admitted.destination, exceeded)?
            }
            Refused::Lost => false,
        };
        if !another {
            let status = settings.exceeded_status;
            return Err(refusal(refused, &admitted.destination, status));
        }
    };
    let (
        Asked {
            quote,
            expected,
            model,
            has_budget,
            ..
        },
        hold,
        alone,
    ) = taken;
    let end_user = end_user.map(|user| {
        let digest = app
            .digests
            .digest(caller.tenant(), Purpose::Label, user.as_bytes());
        digest.uuid()
    });
    let end_user = match &admitted.parent {
        Some(parent) => Some(parent.billing.end_user.clone()),
        None => end_user,
    };
    let billing = Billing {
        model,
        ..billing(&caller, end_user, address)
    };
    if has_budget {
        admitted.request.output_cap = expected.cap;
    }
    Ok(Reserved {
        admitted,
        held: Held {
            _slot: slot,
            is_child,
            hold,
            quote,
            bound: has_budget.then_some(expected.ceiling).flatten(),
            ceiling: expected.ceiling,
            caller,
            has_budget,
            bounded: false,
            alone,
        },
        settle,
        billing,
        id,
    })
}

/// What a call asks of the book for the destination that it has now.
struct Asked {
    quote: Quote,
    expected: price::Expected,
    /// The name under which limits of models count it.
    model: String,
    claims: Vec<Claim>,
    has_budget: bool,
}

fn asked(
    app: &App,
    snapshot: &Snapshot,
    caller: &Principal,
    admitted: &Admitted,
    end_user: Option<&str>,
) -> Result<Asked, Error> {
    let (settings, destination) = (&snapshot.config.budgets, &admitted.destination);
    let quote = price::quote(destination, settings);
    let expected = price::expect(&admitted.request, &quote, settings);
    let model = counted_model(caller, destination).to_owned();
    let claims = app.identity.claims(
        caller,
        &snapshot.config,
        &model,
        &destination.deployment,
        end_user,
    );
    let has_budget = limits_money(&claims);
    if has_budget && expected.ceiling.is_none() {
        return Err(Error::PriceUnknown {
            model: destination.group.chars().take(100).collect(),
        });
    }
    Ok(Asked {
        quote,
        expected,
        model,
        claims,
        has_budget,
    })
}

/// The limits in money alone; those of deployments and providers count whoever calls.
fn of_money(claims: &[Claim]) -> Vec<Option<Caps>> {
    let money = |caps: &Caps| Caps {
        rpm_limit: None,
        tpm_limit: None,
        tpd_limit: None,
        max_parallel_requests: None,
        model_rpm_limit: BTreeMap::new(),
        model_tpm_limit: BTreeMap::new(),
        ..caps.clone()
    };
    let own = |claim: &Claim| match claim.object().kind {
        ObjectKind::Deployment | ObjectKind::Provider => claim.caps().cloned(),
        _ => claim.caps().map(money),
    };
    claims.iter().map(own).collect()
}

/// What the book is asked, with limits other than the claims' own where there are any.
fn demands<'c>(claims: &'c [Claim], caps: Option<&'c [Option<Caps>]>) -> Vec<Demand<'c>> {
    let own = |(at, claim): (usize, &'c Claim)| {
        let mut demand = claim.demand();
        if let Some(caps) = caps {
            demand.caps = caps.get(at).and_then(Option::as_ref);
        }
        demand
    };
    claims.iter().enumerate().map(own).collect()
}

/// Whether any budget in money applies.
fn limits_money(claims: &[Claim]) -> bool {
    let caps = claims.iter().filter_map(Claim::caps);
    caps.into_iter().any(policy::budget::Caps::limits_money)
}

fn billing(caller: &Principal, end_user: Option<String>, address: Option<IpAddr>) -> Billing {
    let id = |row: Option<&Arc<policy::identity::Entity>>| {
        row.map(|row| row.id.to_string()).unwrap_or_default()
    };
    Billing {
        team: id(caller.team()),
        user: caller.user_id().unwrap_or_default().to_owned(),
        organization: id(caller.organization()),
        end_user: end_user.unwrap_or_default(),
        tags: tags(caller).collect::<Vec<_>>().join("\u{1f}"),
        address,
        model: String::new(),
    }
}

/// The name under which limits of single models count a call. A name that the client made up, because the group is a pattern,
/// is kept only where an administrator wrote it into a limit.
fn counted_model<'a>(caller: &Principal, destination: &'a Destination) -> &'a str {
    let named = [caller.key(), caller.team()]
        .into_iter()
        .flatten()
        .filter_map(|row| row.caps.as_deref())
        .any(|caps| caps.of_model(&destination.requested).is_some());
    if destination.wildcard && named {
        &destination.requested
    } else {
        &destination.group
    }
}
