//! A schedule: what happens when, from one seed.
//!
//! Does not: judge; that is [`super::laws`].

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use engine::govern::{Draw, Local, Member};

use super::chance::Chance;
use super::clock::LedgerClock;
use super::laws::{self, Truth};
use super::plan::{EPOCH, Kind, Mutant, Plan, SECOND, kind, worker_name};
use super::sidecar::{Answer, Flight, Latest};
use super::store::Store;
use super::summary::Summary;
use super::worker::{Fate, Need, Request, Worker};

pub const MILLI: u64 = 1_000_000;
/// After the last fault: messages arrive at last, leases go back, silent workers' slots do.
const REST: u64 = 130 * SECOND;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Arrive,
    Call(usize),
    Answer(usize),
    /// The worker's host says that no answer will come.
    Lost(usize),
    Tick(usize),
    Finish(usize, u64),
    Restart,
    Trouble,
    Tidy,
}

pub struct World {
    pub at: u64,
    pub plan: Plan,
    pub chance: Chance,
    pub store: Store,
    pub workers: Vec<Worker>,
    pub truth: Truth,
    pub summary: Summary,
    pub clocks: [Cell<u64>; 4],
    pub heard: Vec<Cell<u64>>,
    pub ended: Vec<Cell<bool>>,
    /// What the workers share.
    pub shared: Local,
    /// The sidecar's wall clock is ahead by so much, or behind.
    pub skew: i64,
    pub ledger: LedgerClock,
    pub since: u64,
    pub up: bool,
    /// It serves nobody until then.
    pub stalled_until: u64,
    pub quiet: bool,
    pub events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    pub order: u64,
    pub flights: Vec<Flight>,
    pub answers: Vec<Option<(usize, Answer)>>,
    pub losses: Vec<Option<(usize, Vec<Draw>)>>,
    pub requests: u64,
    /// When each worker sent the latest call about an account that was served, and whether an earlier one came after it.
    pub latest: Latest,
    pub trace: bool,
}

pub type Law = Result<(), String>;

impl World {
    pub fn new(seed: u64, mutant: Option<Mutant>, trace: bool) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::new(&mut chance, mutant);
        let workers = plan.workers;
        let mut world = Self {
            at: EPOCH,
            plan,
            chance,
            store: Store::default(),
            workers: Vec::new(),
            truth: Truth::default(),
            summary: Summary::default(),
            clocks: Default::default(),
            heard: Vec::new(),
            ended: Vec::new(),
            shared: Local::default(),
            skew: 0,
            ledger: LedgerClock::default(),
            since: EPOCH,
            up: true,
            stalled_until: 0,
            quiet: false,
            events: BinaryHeap::new(),
            order: 0,
            flights: Vec::new(),
            answers: Vec::new(),
            losses: Vec::new(),
            requests: 0,
            latest: Latest::new(),
            trace,
        };
        world.note(|w| format!("{:#?}", w.plan));
        (0..workers).for_each(|_| world.hire());
        world.later(0, Event::Arrive);
        world.later(3 * SECOND, Event::Trouble);
        world.later(5 * SECOND, Event::Tidy);
        world
    }

    pub fn note(&self, what: impl FnOnce(&Self) -> String) {
        if self.trace {
            println!("{:>9.3} {}", (self.at - EPOCH) as f64 / 1e9, what(self));
        }
    }

    pub fn later(&mut self, after: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.at + after, self.order, event)));
    }

    pub fn hire(&mut self) {
        let index = self.workers.len();
        let mut worker = Worker::new(Member::join(&mut self.shared, worker_name(index)));
        if self.plan.faults.worker_clock > 0 {
            worker.skew = self.step();
        }
        self.workers.push(worker);
        self.heard.push(Cell::new(self.at));
        self.ended.push(Cell::new(false));
        let tick = self.chance.between(0, 2 * SECOND);
        self.later(tick, Event::Tick(index));
    }

    /// Of a clock: some milliseconds, or minutes.
    pub fn step(&mut self) -> i64 {
        let most = if self.chance.often(500) { 2 * SECOND } else { 120 * SECOND };
        let by = i64::try_from(self.chance.between(0, most)).unwrap();
        if self.chance.often(500) { by } else { -by }
    }

    /// Of the sidecar's wall clock: any size.
    fn jump_by(&mut self) -> i64 {
        let by = i64::try_from(self.chance.between(0, 40 * 86_400 * SECOND)).unwrap();
        if self.chance.often(500) { by } else { -by }
    }

    /// Some milliseconds, minutes or days, or back to where it was.
    pub fn jump(&mut self) -> i64 {
        match self.chance.index(4) {
            0 => 0,
            1 => self.jump_by(),
            _ => self.step(),
        }
    }

    /// Everything that happens, and then the laws of rest.
    pub fn run(&mut self) -> Law {
        let end = EPOCH + self.plan.busy;
        self.until(end)?;
        self.rest();
        let from = self.time();
        self.until(end + REST)?;
        let whole = (from / SECOND, self.time() / SECOND);
        laws::quiet(self, whole)?;
        (0..self.plan.customers).try_for_each(|customer| self.probe(customer))?;
        [self.summary.strict, self.summary.elastic] = self.truth.overshoot;
        self.summary.overrun_strict = u64::from(self.summary.strict > 0);
        self.summary.overrun_elastic = u64::from(self.summary.elastic > 0);
        Ok(())
    }

    /// The earliest and the latest that any ledger believes it is.
    pub fn time(&self) -> u64 {
        let clocks = self.clocks.iter().map(Cell::get);
        clocks.max().unwrap_or(0).max(self.ledger.time(self.at))
    }

    pub fn until(&mut self, end: u64) -> Law {
        while let Some(Reverse((at, _, event))) = self.events.peek().copied()
            && at <= end
        {
            self.events.pop();
            self.at = at;
            self.handle(event)?;
            if let Some(broken) = self.store.broken.take() {
                return Err(broken);
            }
        }
        self.at = end;
        Ok(())
    }

    /// No more faults, no more requests.
    fn rest(&mut self) {
        self.note(|_| "rest".to_owned());
        self.quiet = true;
        self.stalled_until = 0;
        self.workers.iter_mut().for_each(|worker| (worker.cut_until, worker.stalled_until) = (0, 0));
        self.store.fuse = None;
        if !self.up {
            self.later(0, Event::Restart);
        }
        if !self.workers.iter().any(Worker::is_open) {
            self.hire();
        }
    }

    /// Whose work it is.
    fn worker_of(&self, event: Event) -> Option<usize> {
        match event {
            Event::Answer(index) => self.answers[index].as_ref().map(|(worker, _)| *worker),
            Event::Lost(index) => self.losses[index].as_ref().map(|(worker, _)| *worker),
            Event::Tick(worker) | Event::Finish(worker, _) => Some(worker),
            Event::Arrive | Event::Call(_) | Event::Restart | Event::Trouble | Event::Tidy => None,
        }
    }

    fn handle(&mut self, event: Event) -> Law {
        if let Some(until) = self.worker_of(event).map(|worker| self.workers[worker].stalled_until)
            && self.at < until
        {
            // Its tick comes when its time has come; whatever waits meanwhile is first.
            let after = if matches!(event, Event::Tick(_)) { self.chance.between(0, SECOND) } else { 0 };
            self.later(until - self.at + after, event);
            return Ok(());
        }
        match event {
            Event::Arrive => return self.arrive(),
            Event::Call(flight) => return self.serve(flight),
            Event::Answer(index) => {
                let Some((worker, answer)) = self.answers[index].take() else { return Ok(()) };
                return self.hear(worker, &answer);
            }
            Event::Lost(index) => {
                let Some((worker, draws)) = self.losses[index].take() else { return Ok(()) };
                if self.workers[worker].alive {
                    self.workers[worker].lost(&draws);
                    return self.admit(worker);
                }
            }
            Event::Tick(worker) => return self.tick(worker),
            Event::Finish(worker, id) => return self.finish(worker, id),
            Event::Restart => {
                self.up = true;
                self.store.dead = false;
                self.since = self.at;
                let reboot = self.chance.often(self.plan.faults.reboot);
                self.ledger.restart(reboot);
                self.note(|_| "the sidecar is back".to_owned());
            }
            Event::Trouble => return self.trouble(),
            Event::Tidy => {
                self.later(5 * SECOND, Event::Tidy);
                if self.up {
                    self.session(|session| session.tidy());
                }
            }
        }
        Ok(())
    }

    fn arrive(&mut self) -> Law {
        if self.quiet {
            return Ok(());
        }
        let pause = self.chance.between(MILLI, self.plan.pause);
        self.later(pause, Event::Arrive);
        let open: Vec<usize> = (0..self.workers.len()).filter(|i| self.workers[*i].is_open()).collect();
        if open.is_empty() {
            return Ok(());
        }
        let worker = open[self.chance.index(open.len())];
        let customer = self.chance.next() % self.plan.customers;
        let worst = self.chance.between(1, self.plan.dearest);
        let likely = self.chance.between(1, worst);
        let actual = self.chance.between(0, worst);
        let longest = if self.chance.often(100) { 90 * SECOND } else { 4 * SECOND };
        let lasts = self.chance.between(MILLI, longest);
        self.ask(worker, customer, (worst, likely, actual), lasts);
        // One that stands still looks at it with whatever it does next.
        if self.at < self.workers[worker].stalled_until { Ok(()) } else { self.admit(worker) }
    }

    pub fn ask(&mut self, worker: usize, customer: u64, (worst, likely, actual): (u64, u64, u64), lasts: u64) {
        let hope = self.plan.is(Mutant::Hope);
        let need = |account: u64| match kind(account) {
            Kind::Slots | Kind::SharedSlots => Need { account, reserve: 1, worst: 1, actual: 0 },
            Kind::Key => Need { account, reserve: 1, worst: 1, actual: 1 },
            Kind::Global | Kind::Team | Kind::Candidate => {
                let reserve = if self.plan.spec(account).elastic || hope { likely } else { worst };
                Need { account, reserve, worst, actual }
            }
        };
        let needs = self.plan.accounts(customer).map(need).collect();
        self.requests += 1;
        let request = Request { id: self.requests, needs, since: self.at, lasts, asks: 0, asked_at: 0 };
        self.note(|_| format!("worker {worker} has {request:?}"));
        self.workers[worker].waiting.push(request);
    }

    pub fn admit(&mut self, worker: usize) -> Law {
        let (fates, call) = self.workers[worker].admit(self.at, &mut self.shared, &self.plan);
        self.replace(worker);
        for fate in fates {
            self.note(|_| format!("worker {worker}: {fate:?}"));
            match fate {
                Fate::Refused(request) => {
                    self.summary.refused += 1;
                    laws::asked(&request)?;
                }
                Fate::GaveUp(request) => {
                    self.summary.gave_up += 1;
                    laws::asked(&request)?;
                }
                Fate::Started(id) => {
                    self.summary.started += 1;
                    let running = self.workers[worker].running.iter().find(|running| running.request.id == id).unwrap();
                    laws::asked(&running.request)?;
                    self.truth.started(worker, &running.request.needs, &running.held)?;
                    let lasts = running.request.lasts;
                    self.later(lasts, Event::Finish(worker, id));
                    self.exempt();
                    laws::at_once(&self.plan, &self.workers)?;
                }
            }
        }
        call.into_iter().for_each(|call| self.send(worker, call));
        Ok(())
    }

    /// One that has learned that it was taken for dead begins anew, under another name.
    fn replace(&mut self, worker: usize) {
        let it = &mut self.workers[worker];
        if it.fenced && it.alive && !std::mem::replace(&mut it.leaving, true) {
            self.note(|_| format!("worker {worker} was fenced"));
            self.summary.fenced += 1;
            self.hire();
        }
    }

    fn finish(&mut self, worker: usize, id: u64) -> Law {
        let Some(running) = self.workers[worker].finish(id, &self.plan) else { return Ok(()) };
        self.note(|_| format!("worker {worker}: request {id} is over"));
        self.truth.finished(&self.plan, worker, &running.request.needs, &running.held)?;
        if self.chance.often(300) {
            let call = self.workers[worker].settle(self.at);
            call.into_iter().for_each(|call| self.send(worker, call));
        }
        self.admit(worker)
    }

    fn tick(&mut self, worker: usize) -> Law {
        if !self.workers[worker].alive {
            return Ok(());
        }
        self.later(if self.quiet { 4 * SECOND } else { 2 * SECOND }, Event::Tick(worker));
        let report = self.workers[worker].beat(&mut self.shared, &self.plan);
        self.replace(worker);
        report.into_iter().for_each(|call| self.send(worker, call));
        let calls = self.workers[worker].tick(self.at);
        calls.into_iter().for_each(|call| self.send(worker, call));
        if self.workers[worker].is_done() {
            self.note(|_| format!("worker {worker} is gone"));
            self.workers[worker].alive = false;
            return Ok(());
        }
        // The filter sends what is told and what is asked in one call; no two calls of a worker have one time.
        self.at += 1;
        self.admit(worker)
    }

    fn hear(&mut self, worker: usize, answer: &Answer) -> Law {
        if !self.workers[worker].alive {
            return Ok(());
        }
        self.note(|_| format!("worker {worker} hears {answer:?}"));
        if let Answer::Settled(counters) = answer
            && let Some(lost) = counters.iter().find(|counter| !self.store.settled.contains(&(worker, **counter)))
        {
            return Err(format!("settlement {lost} of worker {worker} was acknowledged and is not there"));
        }
        self.workers[worker].hear(answer, self.at, &mut self.shared);
        self.admit(worker)
    }
}
