//! What a seed decides: limits, customers, workers, and how bad the world is.
//!
//! Does not: change while the schedule runs. Accounts of customer `c` are numbered from `10 (c + 1)`, those that customers
//! share from 1: both by the position of their [`Kind`].

use std::cell::Cell;

use sidecar::serve::ledger::book::{Account, Holder, Terms};

use super::chance::Chance;

pub const SECOND: u64 = 1_000_000_000;
/// When schedules begin: long after 1970, and in the middle of the longest window.
pub const EPOCH: u64 = 10_500_000 * SECOND;
/// Workers silent for longer than this may lose their slots: what is documented.
pub const SILENCE: u64 = 60 * SECOND;

/// What limits there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Money of all customers together.
    Global,
    Team,
    /// Requests of a key.
    Key,
    /// Money of a key at one provider.
    Candidate,
    /// Requests of a key at once.
    Slots,
    /// Requests at once at one provider, of all customers together.
    SharedSlots,
}

pub const KINDS: [Kind; 6] = [Kind::Global, Kind::Team, Kind::Key, Kind::Candidate, Kind::Slots, Kind::SharedSlots];

impl Kind {
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Global | Self::SharedSlots)
    }

    pub fn is_slots(self) -> bool {
        matches!(self, Self::Slots | Self::SharedSlots)
    }
}

/// Something wrong on purpose: a law that does not see it is no law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Grants without looking at what is committed.
    BlindGrant,
    /// Takes a settlement that comes twice for two.
    DoubledSettlement,
    /// Answers before what it says is durable.
    EarlyAnswer,
    /// Believes a clock that goes back.
    FallingClock,
    /// Believes a clock that jumps ahead.
    JumpingClock,
    /// A worker that does not count what it has spent.
    LostSpending,
    /// Gives slots to others before their worker has stopped using them.
    HastySlots,
    /// Reserves what is likely where the worst was promised.
    Hope,
    /// What a worker gives back stays committed.
    LostReturn,
    /// Takes back all that a dead worker held, whatever its ceilings.
    HastyReturn,
    /// Does not take back what a dead worker held.
    LostReport,
    /// A worker that was fenced goes on.
    Zombie,
    /// A worker that learns that it was fenced from a ceiling alone, which slots do not have.
    BlindSlots,
    /// A worker that raises its ceilings with the next beat.
    LateCeiling,
}

pub const MUTANTS: [Mutant; 14] = [
    Mutant::BlindGrant,
    Mutant::DoubledSettlement,
    Mutant::EarlyAnswer,
    Mutant::FallingClock,
    Mutant::JumpingClock,
    Mutant::LostSpending,
    Mutant::HastySlots,
    Mutant::Hope,
    Mutant::LostReturn,
    Mutant::HastyReturn,
    Mutant::LostReport,
    Mutant::Zombie,
    Mutant::BlindSlots,
    Mutant::LateCeiling,
];

/// One limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spec {
    pub used: bool,
    pub most: u64,
    /// Seconds; 0 for slots.
    pub length: u64,
    pub elastic: bool,
}

/// How often of a thousand times something goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub lost: u64,
    pub doubled: u64,
    pub late: u64,
    /// A worker is killed, at each of some moments; and so on.
    pub kill: u64,
    pub leave: u64,
    pub cut: u64,
    /// The sidecar stands still for a while.
    pub stall: u64,
    pub crash: u64,
    pub sidecar_clock: u64,
    /// When it is started again, so is its machine: nobody knows for how long it was away.
    pub reboot: u64,
    pub worker_clock: u64,
    /// A worker stands still, so long that the others may take it for dead.
    pub freeze: u64,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub specs: [Spec; KINDS.len()],
    pub customers: u64,
    pub workers: usize,
    pub faults: Faults,
    /// Each customer's accounts, and those they share, are stores of their own.
    pub sharded: bool,
    /// How far the clock of the shared store is ahead of the others.
    pub ahead: u64,
    /// Most that one request may cost.
    pub dearest: u64,
    /// Nanoseconds between arrivals, at most.
    pub pause: u64,
    /// Nanoseconds that requests come.
    pub busy: u64,
    pub mutant: Option<Mutant>,
}

impl Plan {
    pub fn new(chance: &mut Chance, mutant: Option<Mutant>) -> Self {
        let mut specs = [Spec::default(); KINDS.len()];
        for (spec, kind) in specs.iter_mut().zip(KINDS) {
            let slots = kind.is_slots();
            *spec = Spec {
                used: chance.often(500),
                most: if slots { chance.between(1, 6) } else { chance.between(10, 120) },
                length: if slots { 0 } else { [20, 60, 600, 1_000_000][chance.index(4)] },
                elastic: !slots && chance.often(300),
            };
        }
        let (first, lucky) = (chance.index(KINDS.len()), chance.often(150));
        specs[first].used = true;
        let mut rate = |most| if lucky || chance.often(300) { 0 } else { chance.between(1, most) };
        let faults = Faults {
            lost: rate(300),
            doubled: rate(200),
            late: rate(150),
            kill: rate(150),
            leave: rate(100),
            cut: rate(100),
            stall: rate(200),
            crash: rate(300),
            sidecar_clock: rate(150),
            worker_clock: rate(100),
            reboot: rate(500),
            freeze: rate(150),
        };
        let sharded = chance.often(400);
        Self {
            specs,
            customers: chance.between(1, 3),
            workers: 1 + chance.index(3),
            faults,
            sharded,
            ahead: if sharded && chance.often(500) { chance.between(0, 3 * SECOND) } else { 0 },
            dearest: chance.between(1, 12),
            pause: chance.between(1, 5) * SECOND,
            busy: if chance.often(100) { 150 * SECOND } else { chance.between(15, 60) * SECOND },
            mutant,
        }
    }

    pub fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub fn spec(&self, account: u64) -> Spec {
        self.specs[kind_index(account)]
    }

    /// The accounts of requests of this customer.
    pub fn accounts(&self, customer: u64) -> impl Iterator<Item = u64> + '_ {
        (0_u64..).zip(&self.specs).filter(|(_, spec)| spec.used).map(move |(kind, _)| 10 * (customer + 1) + kind + 1)
    }
}

fn kind_index(account: u64) -> usize {
    usize::try_from(account % 10 - 1).unwrap()
}

pub fn kind(account: u64) -> Kind {
    KINDS[kind_index(account)]
}

/// Which store has it: 0 is that of what customers share.
pub fn shard(account: u64) -> u64 {
    account / 10
}

pub fn parent(account: u64) -> Option<u64> {
    (account >= 10 && kind(account).is_shared()).then_some(account % 10)
}

/// A shard as a holder; workers' names begin with a zero.
fn shard_name(shard: u64) -> Holder {
    let mut name = [0; 16];
    name[0] = 1 + u8::try_from(shard).unwrap();
    name
}

/// The configuration as the book reads it, at a moment.
pub struct Now<'a> {
    pub plan: &'a Plan,
    /// The time of each shard, which never falls.
    pub clocks: &'a [Cell<u64>; 4],
    /// True time, and when each worker was last heard of.
    pub at: u64,
    pub heard: &'a [Cell<u64>],
    /// Workers that were reported dead.
    pub ended: &'a [Cell<bool>],
    pub start: u64,
}

impl Terms for Now<'_> {
    fn account(&self, id: u64, now: u64) -> Option<Account> {
        let spec = self.plan.spec(id);
        let shard = if self.plan.sharded { shard(id) } else { 0 };
        let clock = &self.clocks[usize::try_from(shard).unwrap()];
        if !self.plan.is(Mutant::FallingClock) {
            let ahead = if shard == 0 { self.plan.ahead } else { 0 };
            clock.set(clock.get().max(now + ahead));
        } else {
            clock.set(now);
        }
        let length = spec.length * SECOND;
        let window = (length > 0).then(|| {
            let start = clock.get() / length * length;
            (start, start + length)
        });
        let parent = parent(id).map(|parent| (parent, shard_name(self::shard(id))));
        let most = if self.plan.is(Mutant::BlindGrant) { spec.most + 5 } else { spec.most };
        Some(Account { most, window, parent })
    }

    fn is_silent(&self, holder: &Holder) -> bool {
        if holder[0] > 0 {
            return false;
        }
        if self.ended.get(worker_index(holder)).is_some_and(Cell::get) {
            return true;
        }
        let patience = if self.plan.is(Mutant::HastySlots) { 5 * SECOND } else { SILENCE };
        let last = self.heard.get(worker_index(holder)).map_or(0, Cell::get).max(self.start);
        self.at.saturating_sub(last) > patience
    }
}

/// Workers are numbered in the order in which they come.
pub fn worker_name(index: usize) -> Holder {
    let mut name = [0; 16];
    name[8..].copy_from_slice(&(index as u64 + 1).to_be_bytes());
    name
}

pub fn worker_index(holder: &Holder) -> usize {
    let mut number = [0; 8];
    number.copy_from_slice(&holder[8..]);
    usize::try_from(u64::from_be_bytes(number) - 1).unwrap()
}
