//! From a whole, admitted request to its plan, and through its limits to the router.

use std::cell::RefCell;
use std::rc::Rc;

use engine::config::snapshot::Snapshot;
use engine::exchange::{Exchange, Fit, Reply, WORK, limited, refusal as replied, weight};
use engine::govern::size::Shape;
use engine::govern::{self, Governor};
use engine::route::{Ask, Hop, Plan, Refusal, plan};
use wire::ir::{Fault, FaultKind, Operation};
use wire::scan::Scan;

use super::{Planned, Request, State, no_memory};
use crate::admission::Caller;
use crate::govern::{Stage, Verdict, terms};
use crate::host::{self, Map};
use crate::metrics::Counter;
use crate::missing::Missing;
use crate::vm::{Running, Vm};
use crate::{account, cooldown, vm};

impl Request {
    pub(super) fn plan(&mut self, snapshot: &Rc<Snapshot>, caller: Option<Caller>, scan: Scan, now: u64) -> Planned {
        let Some(operation) = self.intake.as_ref().map(|intake| intake.operation) else { return Planned::NotYet };
        if scan.model.is_none() {
            let fault = Fault::new(FaultKind::InvalidRequest, "`model` is missing: name the model to ask.");
            return self.refuse(&fault.with_param("model"));
        }
        let mut stage = match self.stage.take() {
            Some(stage) => stage,
            None => {
                if let Err(fault) = self.at_hand(snapshot, &scan) {
                    return self.refuse(&fault);
                }
                let plan = match self.route(snapshot, caller.as_ref(), &scan, None, now) {
                    Ok(plan) => plan,
                    Err(NoPlan::Refused(Refusal::Resting { .. }) | NoPlan::Unfit(_))
                        if operation == Operation::CountTokens =>
                    {
                        return self.estimate(&scan);
                    }
                    Err(none) => return self.refuse(&none.fault(now)),
                };
                let limits = caller.as_ref().map(|caller| &caller.accounts).filter(|accounts| !accounts.is_empty());
                let Some(accounts) = limits else { return self.go(snapshot, caller, scan, plan, None, now) };
                if let Err(fault) = self.fetch(scan.len) {
                    return self.refuse(&fault);
                }
                Stage::new(plan, accounts, &scan, &self.body, (self.inbound().name(), self.service))
            }
        };
        loop {
            match stage.look(snapshot, operation, self.ticket, now) {
                Verdict::Go => break,
                Verdict::Wait(missing) => return self.wait(snapshot, stage, scan, missing, now),
                Verdict::Count(tally, models) => {
                    if let Err(fault) = self.fetch(scan.len) {
                        return self.refuse(&fault);
                    }
                    let body = std::mem::take(&mut self.body);
                    vm::with(|vm| vm.purses.count(tally.clone(), models, body));
                    return self.wait(snapshot, stage, scan, vec![Missing::Count(tally)], now);
                }
                Verdict::Downgrade(models, over) => {
                    if let Err(fault) = self.at_hand(snapshot, &scan) {
                        return self.refuse(&fault);
                    }
                    match self.route(snapshot, caller.as_ref(), &scan, Some(&models), now) {
                        Ok(plan) => stage.replan(plan),
                        Err(_) => return self.limit(&govern::Refusal::Over(vec![*over]), now),
                    }
                }
                Verdict::Refuse(refusal) => return self.limit(&refusal, now),
                Verdict::Away => return self.refuse(&unmetered()),
            }
        }
        let (plan, governor, shape, held) = stage.reserve(now);
        self.held = held;
        self.go(snapshot, caller, scan, plan, Some((governor, shape)), now)
    }

    /// Plans it; `models`: those that stand in for the one that was asked.
    fn route(
        &self,
        snapshot: &Snapshot,
        caller: Option<&Caller>,
        scan: &Scan,
        models: Option<&[String]>,
        now: u64,
    ) -> Result<Plan, NoPlan> {
        let (model, fallbacks) = match models.and_then(<[String]>::split_first) {
            Some((first, others)) => (first.as_str(), others),
            None => (scan.model.as_deref().unwrap_or_default(), scan.fallbacks.as_slice()),
        };
        let ask = Ask { model, fallbacks, key: caller.map(|caller| caller.key.as_ref()) };
        let operation = self.intake.as_ref().map_or(Operation::Chat, |intake| intake.operation);
        let mut fit = Fit::new(snapshot, self.inbound(), operation, &self.body, scan).by(ask.key);
        // In place of a limit nothing but what its list names: a key's own substitute may be what is to be avoided.
        let mut takes = |hop: &Hop| (models.is_none() || !hop.substituted) && fit.takes(hop);
        let planned =
            cooldown::plan(snapshot, now, |resting, draw| plan(snapshot, ask, resting, now, draw, &mut takes));
        if let Some(refusal) = fit.refused() {
            return Err(NoPlan::Refused(refusal));
        }
        match planned {
            Some(Ok(mut plan)) => {
                plan.hops.iter_mut().for_each(|hop| hop.substituted |= models.is_some());
                Ok(plan)
            }
            Some(Err(Refusal::Unfit)) => Err(NoPlan::Unfit(fit.fault())),
            Some(Err(refusal)) => Err(NoPlan::Refused(refusal)),
            None => Err(NoPlan::Busy),
        }
    }

    fn wait(&mut self, snapshot: &Snapshot, stage: Stage, scan: Scan, missing: Vec<Missing>, now: u64) -> Planned {
        if let Some(me) = self.me.upgrade() {
            let until = self.waited.until(&snapshot.sidecar, now);
            vm::with(|vm| {
                vm.metrics.add(Counter::Waits);
                let ticket = *self.ticket.get_or_insert_with(|| vm.purses.lines.ticket());
                vm.purses.lines.wait(ticket, me, missing, until);
            });
        }
        // Envoy has the body, too.
        self.body = Vec::new();
        (self.stage, self.scan) = (Some(stage), Some(scan));
        Planned::NotYet
    }

    /// Has the body here, whole.
    fn fetch(&mut self, size: usize) -> Result<(), Fault> {
        if self.body.len() != size {
            self.body = super::fetch(size)?;
        }
        if self.body.len() == size { Ok(()) } else { Err(unread()) }
    }

    /// Has the body here if a plan depends on it, and room to translate it where that shows who loses nothing.
    fn at_hand(&mut self, snapshot: &Snapshot, scan: &Scan) -> Result<(), Fault> {
        // Tools may ask models of their own.
        if snapshot.strict || scan.term("tools").is_some() {
            self.fetch(scan.len)?;
        }
        let room = !snapshot.strict || account::has_room(weight(&self.body).min(WORK));
        if room { Ok(()) } else { Err(no_memory()) }
    }

    /// Hands it to the router.
    fn go(
        &mut self,
        snapshot: &Rc<Snapshot>,
        caller: Option<Caller>,
        mut scan: Scan,
        plan: Plan,
        limits: Option<(Governor, Option<Shape>)>,
        now: u64,
    ) -> Planned {
        let Some(number) = vm::with(Vm::number) else { return self.refuse(&NoPlan::Busy.fault(now)) };
        let Some(mut intake) = self.intake.take() else { return Planned::NotYet };
        // A header that carried a virtual key is no provider credential.
        let keyed = caller.as_ref().is_some_and(|caller| caller.keyed);
        intake.credential = intake.credential.filter(|(name, _)| !keyed || intake.key_from != Some(name.as_str()));
        let retries = plan.hops.len().saturating_sub(1);
        let body = std::mem::take(&mut self.body);
        // They are in the plan.
        scan.fallbacks = Vec::new();
        let (governor, shape) = limits.map_or((None, None), |(governor, shape)| (Some(governor), shape));
        let terms = terms(snapshot, &plan, shape, self.service, now);
        let key = caller.map(|caller| caller.key);
        let mut exchange = Exchange::new(Rc::clone(snapshot), intake, scan, key, plan, self.arrived);
        (exchange.terms, exchange.governor) = (terms, governor);
        exchange.whole = self.whole;
        exchange.request_id = self.request_id.clone();
        exchange.body = Some(body).filter(|body| !body.is_empty());
        let sent = exchange.cluster(0).is_some_and(|first| {
            // The header changes make Envoy resolve the route again, now that the next hop is known: they come last.
            // The dialect is for Envoy: should this VM die, its words take our place (`local_reply_config`).
            let named = format!("{} {number}", exchange.inbound.name());
            host::set_property("exchange", named.as_bytes()).is_ok()
                && host::set_property("next", first.as_bytes()).is_ok()
                && exchange.patience().is_none_or(|ms| set_number("x-envoy-upstream-rq-per-try-timeout-ms", &ms))
                && set_number("x-envoy-max-retries", &retries)
        });
        let exchange = Rc::new(RefCell::new(exchange));
        self.state = State::Running(number, Rc::clone(&exchange));
        if !sent {
            return self.refuse(&Fault::new(FaultKind::Internal, "The gateway could not hand the request on."));
        }
        let running = Running { exchange, account: Rc::clone(&self.account) };
        vm::with(|vm| {
            account::shared(|| vm.exchanges.insert(number, running));
            vm.metrics.add(Counter::Requests);
        });
        Planned::Go
    }

    /// A limit does not take it.
    fn limit(&mut self, refusal: &govern::Refusal, now: u64) -> Planned {
        vm::with(|vm| vm.metrics.add(Counter::Refused));
        let inbound = self.inbound();
        let (fault, more) = limited(refusal, inbound, now);
        let Reply { status, mut headers, body } = replied(inbound, &self.request_id, &fault);
        headers.extend(more);
        self.reply(status, &headers, &body)
    }
}

/// Why there is no plan.
enum NoPlan {
    Refused(Refusal),
    /// Whoever judged the fit knows more.
    Unfit(Fault),
    Busy,
}

impl NoPlan {
    fn fault(self, now: u64) -> Fault {
        match self {
            Self::Refused(refusal) => refusal.fault(now),
            Self::Unfit(fault) => fault,
            Self::Busy => Fault::new(FaultKind::Internal, "The gateway is busy with itself."),
        }
    }
}

fn unread() -> Fault {
    Fault::new(FaultKind::Internal, "The request body could not be read.")
}

/// The sidecar is away, and the configuration says deny.
fn unmetered() -> Fault {
    Fault::overloaded("Limits cannot be checked at the moment.", "admission_away")
}

fn set_number(name: &str, value: &impl ToString) -> bool {
    host::set_header(Map::Request, name, value.to_string().as_bytes()).is_ok()
}
