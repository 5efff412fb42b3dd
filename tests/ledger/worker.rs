//! A worker: the real wallet, requests that wait for it, and settlements that are sent until somebody has them.
//!
//! Does not: see more of the world than a worker does: its own clock, and what answers say.

use std::collections::BTreeMap;

use engine::govern::{Ceiling, Charge, Draw, Fenced, Held, Local, Member, Standing, Wallet};

use super::plan::{Mutant, Plan, SECOND, kind};
use super::sidecar::{Answer, Call};

/// How long a request waits for its leases.
const PATIENCE: u64 = 5 * SECOND;
/// So often it asks again at once, and then after a pause, as the filter does.
const QUICK: u32 = 4;
const PAUSE: u64 = 640_000_000;

/// What a request meets of one account.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    pub account: u64,
    /// What is reserved.
    pub reserve: u64,
    /// The most it may use.
    pub worst: u64,
    /// What it uses in the end, which nobody knows before.
    pub actual: u64,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub id: u64,
    pub needs: Vec<Need>,
    pub since: u64,
    /// How long it runs.
    pub lasts: u64,
    /// How often the sidecar was asked for it, and when last.
    pub asks: u32,
    pub asked_at: u64,
}

#[derive(Debug, Clone)]
pub struct Running {
    pub request: Request,
    pub held: Vec<Held>,
    /// Its worker was silent for so long that its slots may be others'.
    pub exempt: bool,
}

/// What became of a request that waited.
#[derive(Debug)]
pub enum Fate {
    Started(u64),
    Refused(Request),
    GaveUp(Request),
}

#[derive(Debug)]
pub struct Worker {
    pub alive: bool,
    pub leaving: bool,
    /// Its clock is ahead of true time by so much, or behind.
    pub skew: i64,
    /// Nothing comes through until then.
    pub cut_until: u64,
    /// It does nothing until then.
    pub stalled_until: u64,
    /// Others took it for dead, and it knows: what runs is settled, and nothing else is done.
    pub fenced: bool,
    /// The sidecar knows.
    pub excused: bool,
    member: Option<Member>,
    /// What others know, by account.
    pub known: BTreeMap<u64, Ceiling>,
    wallet: Wallet,
    pub waiting: Vec<Request>,
    pub running: Vec<Running>,
    queue: Vec<(u64, Vec<Charge>)>,
    settling_since: Option<u64>,
    counter: u64,
}

impl Worker {
    pub fn new(member: Option<Member>) -> Self {
        Self {
            stalled_until: 0,
            fenced: false,
            excused: false,
            member,
            known: BTreeMap::new(),
            alive: true,
            leaving: false,
            skew: 0,
            cut_until: 0,
            wallet: Wallet::default(),
            waiting: Vec::new(),
            running: Vec::new(),
            queue: Vec::new(),
            settling_since: None,
            counter: 0,
        }
    }

    fn clock(&self, at: u64) -> u64 {
        at.saturating_add_signed(self.skew)
    }

    /// Starts what can start; the call asks for the rest, and for what will soon be needed.
    pub fn admit(&mut self, at: u64, shared: &mut Local, plan: &Plan) -> (Vec<Fate>, Option<Call>) {
        let now = self.clock(at);
        let (mut fates, mut draws) = (Vec::new(), Vec::new());
        for mut request in std::mem::take(&mut self.waiting) {
            let standings: Vec<_> =
                request.needs.iter().map(|need| self.wallet.standing(need.account, need.reserve, now)).collect();
            if standings.iter().any(|standing| matches!(standing, Standing::Refused(_))) {
                fates.push(Fate::Refused(request));
            } else if standings.iter().all(|standing| *standing == Standing::Fits) {
                if self.secure(&request.needs, shared, plan).is_err() && !plan.is(Mutant::Zombie) {
                    self.fenced = true;
                    self.waiting.clear();
                    return (fates, None);
                }
                fates.push(Fate::Started(request.id));
                let held =
                    request.needs.iter().map(|need| self.wallet.reserve(need.account, need.reserve, now)).collect();
                draws.extend(request.needs.iter().filter_map(|need| self.wallet.refill(need.account, now)));
                self.running.push(Running { request, held, exempt: false });
            } else if at.saturating_sub(request.since) > PATIENCE {
                fates.push(Fate::GaveUp(request));
            } else if self.member.as_ref().is_some_and(|it| it.check(shared).is_err()) && !plan.is(Mutant::Zombie) {
                self.fenced = true;
                self.waiting.clear();
                return (fates, None);
            } else {
                let before = draws.len();
                let may_ask = request.asks < QUICK || at.saturating_sub(request.asked_at) >= PAUSE;
                for (need, standing) in request.needs.iter().zip(standings) {
                    if standing == Standing::Short && may_ask {
                        draws.extend(self.wallet.draw(need.account, need.reserve, now));
                    }
                }
                if draws.len() > before {
                    request.asks += 1;
                    request.asked_at = at;
                }
                self.waiting.push(request);
            }
        }
        (fates, (!draws.is_empty()).then_some(Call::Admit { sent: now, at, draws }))
    }

    /// As the filter does before it reserves.
    fn secure(&mut self, needs: &[Need], shared: &mut Local, plan: &Plan) -> Result<(), Fenced> {
        let Some(member) = &self.member else { return Ok(()) };
        if needs.iter().any(|need| kind(need.account).is_slots()) && !plan.is(Mutant::BlindSlots) {
            member.check(shared)?;
        }
        let raises: Vec<_> = needs
            .iter()
            .filter_map(|need| self.wallet.raise(need.account, need.reserve))
            .map(|it| (it, true))
            .collect();
        if plan.is(Mutant::LateCeiling) {
            self.wallet.raised(&raises.iter().map(|(it, _)| *it).collect::<Vec<_>>(), &[]);
            return Ok(());
        }
        if !raises.is_empty() {
            let without = member.write(shared, &raises)?;
            self.wallet.raised(&raises.iter().map(|(it, _)| *it).collect::<Vec<_>>(), &without);
            self.publish(&raises, &without);
        }
        Ok(())
    }

    fn publish(&mut self, news: &[(Ceiling, bool)], without: &[u64]) {
        self.known.extend(news.iter().filter(|(_, keep)| *keep).map(|(it, _)| (it.account, *it)));
        let gone = news.iter().filter(|(_, keep)| !keep).map(|(it, _)| it.account);
        gone.chain(without.iter().copied()).for_each(|account| _ = self.known.remove(&account));
    }

    /// Says that it is alive, lowers its ceilings and looks after the others; who is to be reported.
    pub fn beat(&mut self, shared: &mut Local, plan: &Plan) -> Option<Call> {
        let member = self.member.as_mut().filter(|_| !self.fenced)?;
        let lower = self.wallet.lower();
        match member.beat(shared).and_then(|()| member.write(shared, &lower)) {
            Ok(without) => {
                self.wallet.raised(&[], &without);
                self.publish(&lower, &without);
            }
            Err(Fenced) if plan.is(Mutant::Zombie) || plan.is(Mutant::BlindSlots) => {}
            Err(Fenced) => {
                self.fenced = true;
                self.waiting.clear();
                return None;
            }
        }
        let ended = self.member.as_mut()?.watch(shared);
        (!ended.is_empty()).then_some(Call::End(ended))
    }

    /// The request is over; what it reserved and used.
    pub fn finish(&mut self, id: u64, plan: &Plan) -> Option<Running> {
        let at = self.running.iter().position(|running| running.request.id == id)?;
        let running = self.running.swap_remove(at);
        let mut charges = Vec::new();
        for (need, held) in running.request.needs.iter().zip(&running.held) {
            let charge = if plan.is(Mutant::LostSpending) {
                self.wallet.settle(*held, 0);
                (need.actual > 0).then_some(Charge { account: held.account, window: held.window, amount: need.actual })
            } else {
                self.wallet.settle(*held, need.actual)
            };
            charges.extend(charge);
        }
        self.counter += 1;
        self.queue.push((self.counter, charges));
        Some(running)
    }

    /// What is told from time to time; an Admit even if there is nothing to tell, to be heard of.
    pub fn tick(&mut self, at: u64) -> Vec<Call> {
        if self.fenced {
            return self.settle(at).into_iter().collect();
        }
        let now = self.clock(at);
        let mut draws = self.wallet.tidy(now);
        if self.leaving {
            draws.append(&mut self.wallet.leave(now));
        }
        let mut calls = vec![Call::Admit { sent: now, at, draws }];
        calls.extend(self.settle(at));
        calls
    }

    /// Settlements that nobody has acknowledged, unless they were sent a moment ago.
    pub fn settle(&mut self, at: u64) -> Option<Call> {
        if self.queue.is_empty() || self.settling_since.is_some_and(|since| at.saturating_sub(since) < 3 * SECOND) {
            return None;
        }
        self.settling_since = Some(at);
        Some(Call::Settle(self.queue.clone()))
    }

    pub fn hear(&mut self, answer: &Answer, at: u64, shared: &mut Local) {
        let now = self.clock(at);
        match answer {
            Answer::Ended(ended) => {
                if let Some(member) = &mut self.member {
                    ended.iter().for_each(|it| member.forget(shared, it.seat, &it.nonce));
                }
            }
            Answer::Leases { .. } if self.fenced => {}
            Answer::Leases { sent, leases } => leases.iter().for_each(|it| self.wallet.answered(it, *sent, now)),
            Answer::Settled(counters) => {
                self.queue.retain(|(counter, _)| !counters.contains(counter));
                self.settling_since = None;
            }
        }
    }

    /// There will be no answer to these; who waits for one of them asks again, as in the filter.
    pub fn lost(&mut self, draws: &[Draw]) {
        draws.iter().for_each(|draw| self.wallet.lost(draw.account));
    }

    /// It takes requests.
    pub fn is_open(&self) -> bool {
        self.alive && !self.leaving && !self.fenced
    }

    /// Nothing keeps it any more.
    pub fn is_done(&self) -> bool {
        (self.leaving || self.fenced) && self.running.is_empty() && self.queue.is_empty()
    }

    pub fn unsettled(&self) -> usize {
        self.queue.len()
    }
}
