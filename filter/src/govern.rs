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

use crate::purses::{Missing, Model, Tally};
use crate::vm::{self, Vm};

/// So often a request may wait for leases. Each time others have been quicker, so there is a crowd.
const ROUNDS: u32 = 16;

/// A planned request that has not been let go.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    governor: Governor,
    /// Only where tokens or money are counted.
    shape: Option<Shape>,
    service: Service,
    /// When it began to wait for leases.
    pub(crate) since: Option<u64>,
    rounds: u32,
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

impl Stage {
    /// Nothing asked yet.
    pub(crate) fn new(plan: Plan, accounts: &Rc<[Account]>, scan: &Scan, body: &[u8], service: Service) -> Self {
        let governor = Governor::new(Rc::clone(accounts));
        let shape = governor.needs_rates().then(|| Shape::of(scan, body));
        Self { plan, governor, shape, service, since: None, rounds: 0, tally: None, lost: false }
    }

    /// What it waits for will not come.
    pub(crate) fn lost(&mut self) {
        self.lost = true;
    }

    /// Looks how it stands, and says what is to be drawn if that is not enough.
    pub(crate) fn look(&mut self, snapshot: &Snapshot, operation: Operation, now: u64) -> Verdict {
        let blind = self.lost || self.rounds >= ROUNDS;
        if blind && snapshot.sidecar.on_failure == OnFailure::Deny {
            return Verdict::Away;
        }
        vm::with(|vm| self.look_in(vm, snapshot, operation, blind, now)).unwrap_or(Verdict::Away)
    }

    fn look_in(&mut self, vm: &mut Vm, snapshot: &Snapshot, operation: Operation, blind: bool, now: u64) -> Verdict {
        let Vm { purses, admissions, settlements, .. } = vm;
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
            if rated.is_none() && !blind {
                let model = Missing::Rates(Model(provider.name.clone(), hop.model.clone()));
                if !missing.contains(&model) {
                    missing.push(model);
                }
            }
            let rates = rated.as_deref();
            let size = shape.at(rates.map(|rated| &rated.rates));
            let candidate = Candidate::new(&provider.name, rates, &size, self.service, rule);
            tries.push(if blind { candidate.likely() } else { candidate });
        }
        if !missing.is_empty() && settlements.nonce().is_empty() {
            return self.wait(vec![Missing::Nonce], now);
        }
        if !missing.is_empty() {
            missing.iter().for_each(|missing| {
                if let Missing::Rates(model) = missing {
                    purses.want(model.clone(), now);
                }
            });
            return self.wait(missing, now);
        }
        let exact = snapshot.govern.tokenizer == Tokenizer::Exact && counted.is_none() && !blind;
        let before = shape.filter(|shape| exact && shape.is_countable()).map(|_| self.governor.clone());
        let mut tight = false;
        let accounts = Rc::clone(self.governor.accounts());
        let decision = self.governor.decide(&tries, |account, amount| match purses.standing(account, amount, now) {
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
            return self.count(snapshot, now);
        }
        match decision {
            Decision::Go => {
                let mut kept = (0..).zip(&tries).map(|(place, one)| self.governor.keeps(place, one));
                self.plan.hops.retain(|_| kept.next().unwrap_or(true));
                Verdict::Go
            }
            Decision::Draw(_) if settlements.nonce().is_empty() => self.wait(vec![Missing::Nonce], now),
            Decision::Draw(short) => {
                for (account, amount) in &short {
                    purses.draw(*account, *amount, now);
                }
                self.wait(short.into_iter().map(|(account, _)| Missing::Account(account)).collect(), now)
            }
            Decision::Downgrade { models, over } => Verdict::Downgrade(models, over),
            Decision::Refuse(refusal) => Verdict::Refuse(refusal),
        }
    }

    fn count(&mut self, snapshot: &Snapshot, now: u64) -> Verdict {
        let tally = self.tally.get_or_insert_default().clone();
        let mut models: Vec<Model> = Vec::new();
        for hop in &self.plan.hops {
            let model = provider(snapshot, hop).map(|provider| Model(provider.name.clone(), hop.model.clone()));
            models.extend(model.filter(|model| !models.contains(model)));
        }
        self.waits(now);
        Verdict::Count(tally, models)
    }

    /// Other models are asked instead; what was counted says nothing of them.
    pub(crate) fn replan(&mut self, plan: Plan) {
        self.plan = plan;
        self.tally = None;
    }

    fn wait(&mut self, missing: Vec<Missing>, now: u64) -> Verdict {
        self.waits(now);
        Verdict::Wait(missing)
    }

    fn waits(&mut self, now: u64) {
        self.since.get_or_insert(now);
        self.rounds += 1;
    }

    /// It is let go: takes from the purses what it needs.
    pub(crate) fn reserve(self, now: u64) -> (Plan, Governor, Option<Shape>, Reservation) {
        let accounts = Rc::clone(self.governor.accounts());
        let held = vm::with(|vm| {
            let needs = self.governor.needs().iter();
            needs.filter_map(|(at, amount)| Some(vm.purses.reserve(accounts.get(*at)?.id, *amount, now))).collect()
        });
        (self.plan, self.governor, self.shape, Reservation(held.unwrap_or_default()))
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
pub(crate) struct Reservation(Vec<Held>);

impl Reservation {
    /// The request is over and has used so much of each, in their order.
    pub(crate) fn settle(mut self, vm: &mut Vm, amounts: &[u64]) -> Vec<Charge> {
        self.end(vm, amounts)
    }

    fn end(&mut self, vm: &mut Vm, amounts: &[u64]) -> Vec<Charge> {
        let held = std::mem::take(&mut self.0);
        let used = amounts.iter().copied().chain(std::iter::repeat(0));
        held.into_iter().zip(used).filter_map(|(held, used)| vm.purses.wallet.settle(held, used)).collect()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            vm::with(|vm| self.end(vm, &[]));
        }
    }
}
