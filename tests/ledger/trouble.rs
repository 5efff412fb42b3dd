//! What goes wrong: the network, processes and clocks.

use super::plan::{Mutant, Now, SECOND, SILENCE};
use super::sidecar::{Answer, Call, Session};
use super::world::{Event, Law, MILLI, World};

impl World {
    /// A call leaves the worker; or does not, or twice.
    pub fn send(&mut self, worker: usize, call: Call) {
        let draws = if let Call::Admit { draws, .. } = &call { draws.clone() } else { Vec::new() };
        self.note(|_| format!("worker {worker} sends {call:?}"));
        let copies = self.copies(worker);
        let mut last = 0;
        for _ in 0..copies {
            let delay = self.delay();
            last = last.max(delay);
            self.flights.push(Some((worker, call.clone())));
            self.later(delay, Event::Call(self.flights.len() - 1));
        }
        if copies == 0 || last > 2 * SECOND {
            self.lose(worker, draws);
        }
    }

    /// Most hosts tell that nobody has answered, some at once and some late; after three seconds a wallet does not wait any
    /// longer either way.
    fn lose(&mut self, worker: usize, draws: Vec<engine::govern::Draw>) {
        if !draws.is_empty() && self.chance.often(700) {
            self.losses.push(Some((worker, draws)));
            let after = self.chance.between(250 * MILLI, 2 * SECOND);
            self.later(after, Event::Lost(self.losses.len() - 1));
        }
    }

    fn copies(&mut self, worker: usize) -> u32 {
        let faults = self.plan.faults;
        if self.quiet {
            1
        } else if self.at < self.workers[worker].cut_until || self.chance.often(faults.lost) {
            0
        } else {
            1 + u32::from(self.chance.often(faults.doubled))
        }
    }

    fn delay(&mut self) -> u64 {
        if self.quiet || !self.chance.often(self.plan.faults.late) {
            self.chance.between(MILLI, 30 * MILLI)
        } else if self.chance.often(700) {
            self.chance.between(30 * MILLI, 5 * SECOND)
        } else {
            self.chance.between(SECOND, 45 * SECOND)
        }
    }

    /// A call arrives.
    pub fn serve(&mut self, flight: usize) -> Law {
        let Some((worker, call)) = self.flights[flight].take() else { return Ok(()) };
        if self.at < self.stalled_until {
            // Its worker asks again meanwhile, and in the end all of it is served.
            if let Call::Admit { draws, .. } = &call {
                self.lose(worker, draws.clone());
            }
            self.flights[flight] = Some((worker, call));
            self.later(self.stalled_until - self.at, Event::Call(flight));
            return Ok(());
        }
        if !self.up {
            if let Call::Admit { draws, .. } = call {
                self.lose(worker, draws);
            }
            return Ok(());
        }
        self.exempt();
        self.session(|session| session.serve(worker, &call));
        if let Call::End(_) = call {
            self.summary.came_back += 1;
        }
        self.exempt();
        Ok(())
    }

    /// Whose worker was not heard of for too long, or was taken for dead, may run beside those who got its slots.
    pub fn exempt(&mut self) {
        for (worker, heard) in self.workers.iter_mut().zip(&self.heard) {
            if self.at - heard.get() > SILENCE {
                worker.running.iter_mut().for_each(|running| running.exempt = true);
            }
        }
        for (worker, _) in self.workers.iter_mut().zip(&self.ended).filter(|(_, ended)| ended.get()) {
            if !std::mem::replace(&mut worker.excused, true) {
                worker.running.iter_mut().for_each(|running| running.exempt = true);
            }
        }
    }

    /// The sidecar does something; what it answers is on its way, unless it is killed before.
    pub fn session(&mut self, work: impl FnOnce(&mut Session<'_>) -> Result<(), sidecar::serve::ledger::LedgerError>) {
        let now = Now {
            plan: &self.plan,
            clocks: &self.clocks,
            at: self.at,
            heard: &self.heard,
            ended: &self.ended,
            start: self.since,
        };
        let time = self.ledger.read(&self.plan, self.at, self.skew);
        let time = match time {
            Ok(time) => time,
            Err(broken) => {
                self.store.broken.get_or_insert(broken);
                return;
            }
        };
        let mut session = Session {
            store: &mut self.store,
            now: &now,
            latest: &mut self.latest,
            time,
            flights: &mut self.flights,
            answers: Vec::new(),
            chance: &mut self.chance,
            inside: None,
            depth: 0,
        };
        let result = work(&mut session);
        let answers = session.answers;
        if result.is_err() {
            self.note(|_| "the sidecar is killed".to_owned());
            self.summary.crashes += 1;
            self.up = false;
            self.store.fuse = None;
            let after = if self.quiet { 0 } else { self.chance.between(MILLI, 20 * SECOND) };
            self.later(after, Event::Restart);
        }
        answers.into_iter().for_each(|(worker, answer)| self.reply(worker, &answer));
    }

    fn reply(&mut self, worker: usize, answer: &Answer) {
        for _ in 0..self.copies(worker) {
            let delay = self.delay();
            self.answers.push(Some((worker, answer.clone())));
            self.later(delay, Event::Answer(self.answers.len() - 1));
        }
    }

    /// One of many moments at which something may happen to processes and clocks.
    pub fn trouble(&mut self) -> Law {
        if self.quiet {
            return Ok(());
        }
        let pause = self.chance.between(SECOND, 5 * SECOND);
        self.later(pause, Event::Trouble);
        let faults = self.plan.faults;
        if self.chance.often(faults.crash) && self.up {
            self.store.fuse = Some(self.chance.between(0, 30));
        }
        if self.chance.often(faults.stall) {
            self.stalled_until = self.at + self.chance.between(300 * MILLI, 5 * SECOND);
            self.note(|_| "the sidecar stands still".to_owned());
        }
        if self.chance.often(faults.sidecar_clock) {
            self.skew = self.jump();
            self.note(|w| format!("the sidecar's clock is wrong by {} ms", w.skew / 1_000_000));
        }
        let Some(worker) = (0..self.workers.len()).rev().find(|i| self.workers[*i].alive && self.chance.often(500))
        else {
            return Ok(());
        };
        if self.chance.often(faults.worker_clock) {
            self.workers[worker].skew = self.step();
            self.note(|w| {
                format!("the clock of worker {worker} is wrong by {} ms", w.workers[worker].skew / 1_000_000)
            });
        }
        if self.chance.often(faults.cut) {
            let until = self.at + self.chance.between(SECOND, 100 * SECOND);
            self.workers[worker].cut_until = until;
            self.note(|_| format!("worker {worker} is cut off"));
        }
        if self.chance.often(faults.freeze) {
            // Often just long enough to be fenced while it believes in its slots.
            let longest = if self.chance.often(500) { 32 } else { 60 };
            let shortest = if longest == 32 { 22 } else { 1 };
            self.workers[worker].stalled_until = self.at + self.chance.between(shortest * SECOND, longest * SECOND);
            self.note(|_| format!("worker {worker} stands still"));
        }
        if self.chance.often(faults.leave) && !self.workers[worker].leaving && !self.workers[worker].fenced {
            self.note(|_| format!("worker {worker} leaves"));
            self.workers[worker].leaving = true;
            self.hire();
        }
        if self.chance.often(faults.kill) {
            return self.kill(worker);
        }
        Ok(())
    }

    /// What its requests cost is spent, and nobody will ever settle it.
    fn kill(&mut self, worker: usize) -> Law {
        self.note(|_| format!("worker {worker} is killed"));
        self.summary.killed += 1;
        self.workers[worker].alive = false;
        let running = std::mem::take(&mut self.workers[worker].running);
        if !self.workers[worker].leaving && !self.workers[worker].fenced {
            self.hire();
        }
        running.iter().try_for_each(|it| self.truth.finished(&self.plan, worker, &it.request.needs, &it.held))
    }

    /// With a good network, a request for which everything is free starts soon.
    pub fn probe(&mut self, customer: u64) -> Law {
        let Some(worker) = self.workers.iter().rposition(|worker| worker.is_open()) else {
            return Ok(());
        };
        if self.plan.is(Mutant::BlindGrant) {
            return Ok(());
        }
        let free: Vec<u64> = self.plan.accounts(customer).map(|account| self.free(account)).collect();
        let Some(least) = free.iter().copied().min().filter(|least| *least > 0) else { return Ok(()) };
        let money = self.plan.accounts(customer).zip(&free).filter(|(account, _)| {
            !matches!(super::plan::kind(*account), super::plan::Kind::Key) && self.plan.spec(*account).length > 0
        });
        let amount = money.map(|(_, free)| *free).min().unwrap_or(least);
        let started = self.summary.started;
        // Twice: a clock that went back goes through a second again in which it was refused.
        for _ in 0..2 {
            if self.summary.started == started {
                self.ask(worker, customer, (amount, amount, amount), MILLI);
                self.admit(worker)?;
                self.until(self.at + 4 * SECOND)?;
            }
        }
        if self.summary.started == started && self.plan.ahead == 0 {
            return Err(format!("{amount} are free for customer {customer} and a request waits: {free:?}"));
        }
        Ok(())
    }

    /// Free of an account in its present window.
    fn free(&self, account: u64) -> u64 {
        let length = self.plan.spec(account).length;
        let shard = if self.plan.sharded { super::plan::shard(account) } else { 0 };
        let clock = self.clocks[usize::try_from(shard).unwrap()].get();
        let now = clock.max(self.ledger.time(self.at)) / SECOND;
        let window = now.checked_div(length).map_or(0, |windows| windows * length);
        super::laws::free(&self.plan, &self.store, account, window)
    }
}
