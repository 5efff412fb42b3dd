//! The sidecar: the real book over the simulated store, a transaction a call; or, where each shard has a store of its own,
//! one each time that another shard is touched, with calls of others in between.
//!
//! Does not: keep anything in memory that matters, except who was heard of.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use engine::govern::{Charge, Draw, Ended, Lease};
use sidecar::serve::ledger::LedgerError;
use sidecar::serve::ledger::book::{self, Balance, Ceiling, Holder, Portion, Rows};

use super::chance::Chance;
use super::plan::{Mutant, Now, shard, worker_index, worker_name};
use super::store::Store;

#[derive(Debug, Clone)]
pub enum Call {
    /// When it asked by the worker's clock, and in truth; and what.
    Admit { sent: u64, at: u64, draws: Vec<Draw> },
    /// Finished requests by counter, and what they take.
    Settle(Vec<(u64, Vec<Charge>)>),
    /// Workers that have died.
    End(Vec<Ended>),
}

#[derive(Debug, Clone)]
pub enum Answer {
    Ended(Vec<Ended>),
    Leases { sent: u64, leases: Vec<Lease> },
    Settled(Vec<u64>),
}

/// By worker and account: when the latest call that was served was sent, and whether an earlier one, or the same again, came
/// after it.
pub type Latest = BTreeMap<(usize, u64), (u64, bool)>;

/// A call on its way, from one worker.
pub type Flight = Option<(usize, Call)>;

pub struct Session<'a> {
    pub store: &'a mut Store,
    pub now: &'a Now<'a>,
    /// The ledger's clock.
    pub time: u64,
    pub latest: &'a mut Latest,
    /// Calls that may come in between.
    pub flights: &'a mut Vec<Flight>,
    pub answers: Vec<(usize, Answer)>,
    pub chance: &'a mut Chance,
    /// Which shard the transaction is in.
    pub inside: Option<u64>,
    pub depth: u32,
}

impl Session<'_> {
    /// An error means that the process was killed meanwhile.
    pub fn serve(&mut self, worker: usize, call: &Call) -> Result<(), LedgerError> {
        let result = self.answer(worker, call);
        if result.is_err() {
            self.store.roll_back();
        }
        result
    }

    fn answer(&mut self, worker: usize, call: &Call) -> Result<(), LedgerError> {
        self.now.heard[worker].set(self.now.at);
        let hasty = self.now.plan.is(Mutant::EarlyAnswer);
        let answer = match call {
            Call::Admit { sent, at, draws } => Answer::Leases { sent: *sent, leases: self.draw(worker, *at, draws)? },
            Call::Settle(entries) => {
                let answer = Answer::Settled(entries.iter().map(|(counter, _)| *counter).collect());
                if hasty {
                    self.answers.push((worker, answer.clone()));
                }
                entries.iter().try_for_each(|(counter, charges)| self.settle(worker, *counter, charges))?;
                answer
            }
            Call::End(ended) => {
                ended.iter().try_for_each(|it| self.end(it))?;
                Answer::Ended(ended.clone())
            }
        };
        self.store.commit(self.now.plan)?;
        self.answers.push((worker, answer));
        Ok(())
    }

    fn draw(&mut self, worker: usize, at: u64, draws: &[Draw]) -> Result<Vec<Lease>, LedgerError> {
        let (now, holder) = (self.now, worker_name(worker));
        for draw in draws {
            let (latest, stale) = self.latest.entry((worker, draw.account)).or_default();
            *stale = at <= *latest;
            *latest = (*latest).max(at);
        }
        let mut draws = draws.to_vec();
        if now.plan.is(Mutant::LostReturn) {
            draws.iter_mut().for_each(|draw| draw.returned = 0);
        }
        // A store of several shards is asked for each of them on its own.
        let size = if now.plan.sharded { 1 } else { draws.len().max(1) };
        let mut leases = Vec::new();
        for draws in draws.chunks(size) {
            let time = self.enter(draws[0].account)?;
            let mut granted = book::draw(self, now, &holder, draws, time, &mut Vec::new())?;
            let behind = Duration::from_nanos(time.saturating_sub(self.time));
            granted.iter_mut().for_each(|lease| lease.wait_for_the_clock(behind));
            leases.append(&mut granted);
        }
        let lease = |it: book::Lease| Lease {
            account: it.account,
            window: it.window,
            ends_in: it.ends_in,
            granted: it.portion.granted,
            returned: it.portion.returned,
            refused: it.refused,
            used: it.used,
            most: it.most,
            back: it.back,
        };
        Ok(leases.into_iter().map(lease).collect())
    }

    fn settle(&mut self, worker: usize, counter: u64, charges: &[Charge]) -> Result<(), LedgerError> {
        let Some(first) = charges.first() else { return self.store.settle((worker, counter)).map(|_| ()) };
        let time = self.enter(first.account)?;
        let new = self.store.settle((worker, counter))?;
        if new || self.now.plan.is(Mutant::DoubledSettlement) {
            let now = self.now;
            book::settle(self, now, &worker_name(worker), charges, time, &mut Vec::new())?;
        }
        Ok(())
    }

    fn end(&mut self, it: &Ended) -> Result<(), LedgerError> {
        let now = self.now;
        for ceiling in &it.ceilings {
            let most = if now.plan.is(Mutant::HastyReturn) { 0 } else { ceiling.most };
            let time = self.enter(ceiling.account)?;
            if !now.plan.is(Mutant::LostReport) {
                let ceiling = Ceiling { most, ..*ceiling };
                book::end(self, now, &it.nonce, &[ceiling], time, &mut Vec::new())?;
            }
        }
        now.ended[worker_index(&it.nonce)].set(true);
        Ok(())
    }

    /// What the sidecar does from time to time for accounts nobody asks about.
    pub fn tidy(&mut self) -> Result<(), LedgerError> {
        let now = self.now;
        for customer in 0..now.plan.customers {
            for account in now.plan.accounts(customer).collect::<Vec<_>>() {
                let time = self.enter(account)?;
                let result = book::tidy(self, now, account, time, &mut Vec::new());
                if let Err(error) = result {
                    self.store.roll_back();
                    return Err(error);
                }
            }
        }
        self.store.commit(now.plan)
    }

    /// The shard's time, in a transaction of it.
    fn enter(&mut self, account: u64) -> Result<u64, LedgerError> {
        self.touch(account)?;
        let at = if self.now.plan.sharded { shard(account) } else { 0 };
        let clock: &Cell<u64> = &self.now.clocks[usize::try_from(at).unwrap()];
        if self.now.plan.is(Mutant::FallingClock) {
            return Ok(self.time);
        }
        clock.set(clock.get().max(self.time));
        Ok(clock.get())
    }

    /// Another shard's rows are in another store: what was done so far is durable there, and others may come in between.
    fn touch(&mut self, account: u64) -> Result<(), LedgerError> {
        let shard = shard(account);
        if self.now.plan.sharded && self.inside.is_some_and(|inside| inside != shard) {
            self.store.commit(self.now.plan)?;
            if self.depth < 2 && self.chance.often(200) {
                let at = self.chance.index(self.flights.len().max(1));
                if let Some((worker, call)) = self.flights.get_mut(at).and_then(Option::take) {
                    self.depth += 1;
                    self.inside = None;
                    self.serve(worker, &call)?;
                    self.depth -= 1;
                }
            }
        }
        self.inside = Some(shard);
        Ok(())
    }
}

impl Rows for Session<'_> {
    fn balance(&mut self, account: u64, window: u64) -> Result<Balance, LedgerError> {
        self.touch(account)?;
        Ok(self.store.balance(account, window))
    }

    fn set_balance(&mut self, account: u64, window: u64, balance: &Balance) -> Result<(), LedgerError> {
        self.touch(account)?;
        self.store.set_balance(account, window, *balance)
    }

    fn portion(&mut self, account: u64, window: u64, holder: &Holder) -> Result<Portion, LedgerError> {
        self.touch(account)?;
        Ok(self.store.portion(account, window, holder))
    }

    fn set_portion(&mut self, account: u64, window: u64, holder: &Holder, it: &Portion) -> Result<(), LedgerError> {
        self.touch(account)?;
        self.store.set_portion((account, window, *holder), *it)
    }

    fn portions(&mut self, account: u64, window: u64) -> Result<Vec<(Holder, Portion)>, LedgerError> {
        self.touch(account)?;
        Ok(self.store.portions(account, window).collect())
    }
}
