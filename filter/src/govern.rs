//! One request under limits: from its plan to what is reserved for it, and given up again.
//!
//! Does not: decide or reckon (`engine::govern`), or wait (`purses`).

use std::rc::Rc;

use engine::config::schema::{OnFailure, Tokenizer};
use engine::config::snapshot::{Provider, Snapshot};
use engine::exchange::Terms;
use engine::govern::price::Service;
use engine::govern::size::Shape;
use engine::govern::{Account, Candidate, Charge, Decision, Governor, Held, Over, Rated, Refusal, Standing};
use engine::route::{Hop, Plan};
use wire::ir::Operation;
use wire::scan::Scan;

use crate::missing::{Missing, Model, Tally};
use crate::patience::WAITING;
use crate::purses::is_askable;
use crate::settlement::Nonce;
use crate::vm::{self, Vm};
use crate::{account, members};

/// A planned request that has not been let go.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    governor: Governor,
    /// Only where tokens or money are counted.
    shape: Option<Shape>,
    service: Service,
    /// The client's.
    format: &'static str,
    /// The tokens of its prompt for the models of its plan, once they were asked for.
    tally: Option<Tally>,
    /// What it waited for will not come.
    lost: bool,
}

/// What becomes of it.
pub(crate) enum Verdict {
    Go,
    Wait(Vec<Missing>),
    /// It waits until its tokens for these models have been counted.
    Count(Tally, Vec<Model>),
    Downgrade(Vec<String>, Box<Over>),
    Refuse(Refusal),
    /// Nobody can say, and the configuration says no.
    Away,
}

/// How a stage looks.
#[derive(Clone, Copy)]
struct Asking {
    /// Its place among those who wait.
    ticket: Option<u64>,
    /// It may wait for what is missing, so that is asked for.
    waits: bool,
    /// It may not, and what is missing is asked for all the same from time to time.
    probes: bool,
    /// What is missing is taken to be there.
    blind: bool,
}

impl Stage {
    /// Nothing asked yet.
    pub(crate) fn new(
        plan: Plan,
        accounts: &Rc<[Account]>,
        scan: &Scan,
        body: &[u8],
        (format, service): (&'static str, Service),
    ) -> Self {
        let governor = Governor::new(Rc::clone(accounts));
        let shape = governor.needs_rates().then(|| Shape::of(scan, body));
        Self { plan, governor, shape, service, format, tally: None, lost: false }
    }

    /// What it waits for will not come.
    pub(crate) fn lost(&mut self) {
        self.lost = true;
    }

    /// Looks how it stands, and says what is to be drawn if that is not enough. `ticket`: its place among those who wait,
    /// if it has waited. Nobody waits for a sidecar that is away, nor as one of too many.
    pub(crate) fn look(&mut self, snapshot: &Snapshot, operation: Operation, ticket: Option<u64>, now: u64) -> Verdict {
        let (away, full) = vm::with(|vm| {
            let full = ticket.is_none() && vm.waiting() >= WAITING;
            (vm.calls.grants_nothing(&snapshot.sidecar, now), full)
        })
        .unwrap_or((true, true));
        let waits = !(self.lost || away || full);
        let mut look = |blind| {
            // Who does not wait takes what is there, whoever waits for more of it.
            let asking = Asking { ticket: if waits { ticket } else { Some(0) }, waits, probes: away, blind };
            vm::with(|vm| self.look_in(vm, snapshot, operation, asking, now)).unwrap_or(Verdict::Away)
        };
        let verdict = look(false);
        if waits || !matches!(verdict, Verdict::Wait(_) | Verdict::Count(..)) {
            return verdict;
        }
        match snapshot.sidecar.on_failure {
            OnFailure::Deny => Verdict::Away,
            OnFailure::Allow => look(true),
        }
    }

    fn look_in(&mut self, vm: &mut Vm, snapshot: &Snapshot, operation: Operation, asking: Asking, now: u64) -> Verdict {
        let Asking { ticket, blind, .. } = asking;
        let Vm { purses, admissions, settlements, calls, .. } = vm;
        let mut asks = || asking.waits || (asking.probes && calls.may_probe(now));
        let mut missing = Vec::new();
        let counted = self.tally.as_ref().and_then(Tally::get);
        self.shape = self.shape.map(|shape| shape.with_exact(counted.filter(|tokens| *tokens > 0)));
        let shape = self.shape.filter(|_| operation == Operation::Chat);
        let rule = snapshot.govern.unknown_price;
        let mut tries = Vec::with_capacity(self.plan.hops.len());
        for hop in &self.plan.hops {
            let Some(provider) = provider(snapshot, hop) else { continue };
            let Some(shape) = shape else {
                tries.push(Candidate::counting(&provider.name));
                continue;
            };
            let rated = purses.rated(&provider.name, &hop.model, admissions.generation(), now);
            if rated.is_none() && !blind && is_askable(&hop.model) {
                let model = Missing::Rates(Model(provider.name.clone(), hop.model.clone()));
                if !missing.contains(&model) {
                    missing.push(model);
                }
            }
            let rates = rated.as_deref();
            let shape = shape.towards(provider.format.name() == self.format);
            let size = shape.at(rates.map(|rated| &rated.rates));
            let candidate = Candidate::new(&provider.name, rates, &size, self.service, rule);
            tries.push(if blind { candidate.likely() } else { candidate });
        }
        if !missing.is_empty() && settlements.nonce().is_empty() {
            return Verdict::Wait(vec![Missing::Nonce]);
        }
        if !missing.is_empty() {
            if asks() {
                for missing in &missing {
                    if let Missing::Rates(model) = missing {
                        purses.want(model.clone(), now);
                    }
                }
            }
            return Verdict::Wait(missing);
        }
        let askable = || self.plan.hops.iter().all(|hop| is_askable(&hop.model));
        let exact = snapshot.govern.tokenizer == Tokenizer::Exact && counted.is_none() && !blind && askable();
        let before = shape.filter(|shape| exact && shape.is_countable()).map(|_| self.governor.clone());
        let mut tight = false;
        let accounts = Rc::clone(self.governor.accounts());
        let decision =
            self.governor.decide(&tries, |account, amount| match purses.standing(ticket, account, amount, now) {
                Standing::Short if blind => Standing::Fits,
                Standing::Refused(why) => {
                    let bounded = || accounts.iter().any(|one| one.id == account && one.bounds_prompt());
                    tight |= why.used < why.most && bounded();
                    Standing::Refused(why)
                }
                standing @ (Standing::Fits | Standing::Short) => standing,
            });
        // What was decided because of its length is decided again.
        if let Some(governor) = before.filter(|_| tight) {
            self.governor = governor;
            return self.count(snapshot);
        }
        match decision {
            Decision::Go => {
                let mut kept = (0..).zip(&tries).map(|(place, one)| self.governor.keeps(place, one));
                self.plan.hops.retain(|_| kept.next().unwrap_or(true));
                let needs = self.governor.needs().iter();
                let needs = needs.filter_map(|(at, amount)| Some((accounts.get(*at)?, *amount)));
                // Who goes on in spite of everything has no lease that could be another's.
                let secured = account::shared(|| members::secure(vm, needs)) || blind;
                if secured { Verdict::Go } else { Verdict::Wait(vec![Missing::Nonce]) }
            }
            Decision::Draw(_) if vm.settlements.nonce().is_empty() || !account::shared(|| members::alive(vm)) => {
                Verdict::Wait(vec![Missing::Nonce])
            }
            Decision::Draw(short) => {
                if asking.waits || (asking.probes && vm.calls.may_probe(now)) {
                    short.iter().for_each(|(account, amount)| vm.purses.draw(ticket, *account, *amount, now));
                }
                Verdict::Wait(short.into_iter().map(|(account, _)| Missing::Account(account)).collect())
            }
            Decision::Downgrade { models, over } => Verdict::Downgrade(models, over),
            Decision::Refuse(refusal) => Verdict::Refuse(refusal),
        }
    }

    fn count(&mut self, snapshot: &Snapshot) -> Verdict {
        let tally = self.tally.get_or_insert_default().clone();
        let mut models: Vec<Model> = Vec::new();
        for hop in &self.plan.hops {
            let model = provider(snapshot, hop).map(|provider| Model(provider.name.clone(), hop.model.clone()));
            models.extend(model.filter(|model| !models.contains(model)));
        }
        Verdict::Count(tally, models)
    }

    /// Other models are asked instead; what was counted says nothing of them.
    pub(crate) fn replan(&mut self, plan: Plan) {
        self.plan = plan;
        self.tally = None;
    }

    /// It is let go: takes from the purses what it needs.
    pub(crate) fn reserve(self, now: u64) -> (Plan, Governor, Option<Shape>, Reservation) {
        let accounts = Rc::clone(self.governor.accounts());
        let held = vm::with(|vm| {
            let needs = self.governor.needs().iter();
            let held =
                needs.filter_map(|(at, amount)| Some(vm.purses.reserve(accounts.get(*at)?.id, *amount, now))).collect();
            Reservation { held, holder: vm.settlements.holder() }
        });
        (self.plan, self.governor, self.shape, held.unwrap_or_default())
    }
}

fn provider<'s>(snapshot: &'s Snapshot, hop: &Hop) -> Option<&'s Provider> {
    snapshot.providers.get(snapshot.lanes.get(hop.lane)?.provider)
}

/// What is known of the prices of a plan's models. Nobody waits for it: what is not held is asked for in the background.
pub(crate) fn terms(snapshot: &Snapshot, plan: &Plan, shape: Option<Shape>, service: Service, now: u64) -> Terms {
    let rated = vm::with(|vm| {
        let Vm { purses, admissions, settlements, .. } = vm;
        let mut all: Vec<Rc<Rated>> = Vec::new();
        for hop in &plan.hops {
            let Some(provider) = provider(snapshot, hop) else { continue };
            if all.iter().any(|known| known.provider == provider.name && known.model == hop.model) {
                continue;
            }
            match purses.rated(&provider.name, &hop.model, admissions.generation(), now) {
                Some(rated) => all.push(rated),
                None if settlements.nonce().is_empty() => {}
                None => purses.would_like(&provider.name, &hop.model, now),
            }
        }
        all
    });
    Terms { rated: rated.unwrap_or_default(), shape, service }
}

/// What was reserved for a request. It goes back unless it is settled, whatever becomes of the request.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    held: Vec<Held>,
    /// The nonce that it was reserved under: the VM may have another by its end.
    holder: Option<Nonce>,
}

impl Reservation {
    /// The request is over and has used so much of each, in their order. Whose leases are charged, and what.
    pub(crate) fn settle(mut self, vm: &mut Vm, amounts: &[u64]) -> (Option<Nonce>, Vec<Charge>) {
        (self.holder.clone(), self.end(vm, amounts))
    }

    fn end(&mut self, vm: &mut Vm, amounts: &[u64]) -> Vec<Charge> {
        let held = std::mem::take(&mut self.held);
        let used = amounts.iter().copied().chain(std::iter::repeat(0));
        let own = self.holder == vm.settlements.holder();
        let settle = |(held, used): (Held, u64)| {
            if own { vm.purses.wallet.settle(held, used) } else { held.charge(used) }
        };
        held.into_iter().zip(used).filter_map(settle).collect()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            vm::with(|vm| self.end(vm, &[]));
        }
    }
}
