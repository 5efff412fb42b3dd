//! The time that limits go by: the ledger's clock, which no step of the machine's wall clock moves.
//!
//! The ledger's clock advances with `CLOCK_BOOTTIME`, which nobody can set and which counts a suspension. It leans towards
//! the wall clock by at most a hundredth. A wall clock that differs by more than a minute has *jumped*: the ledger's clock
//! goes on without it. So +40 days for five seconds are no window's end.
//!
//! Decision: a jump ahead that lasts for 15 minutes is believed: a machine whose hypervisor stopped it for a night
//! comes back with such a wall clock. A jump back is never believed while the sidecar runs: the ledger's clock would
//! stand still for as long, and all windows with it. `attache ledger clock --set now` is for people who know better.
//! Rejected: the wall clock alone, of which one wrong second ends every window there is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};

/// A wall clock that differs by more has jumped.
pub const JUMP: Duration = Duration::from_mins(1);
/// A jump ahead that has lasted for so long, as far as somebody looked, is believed.
pub const CONFIRMED: Duration = Duration::from_mins(15);
/// The ledger's clock runs faster or slower by at most one part of so many.
const LEAN: u64 = 100;
/// So much of the time between two looks counts as seen.
const SEEN: u64 = 5 * SECOND;
/// A mapping from boot time that moved by less need not be kept anew.
const FINE: u64 = SECOND / 10;
const SECOND: u64 = 1_000_000_000;

/// What the machine's clocks say at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Unix nanoseconds of the wall clock, which anybody may set.
    pub wall: u64,
    /// Nanoseconds since the machine was started, suspensions included.
    pub boot: u64,
    /// Which start of which machine; 0: nobody knows.
    pub boot_id: u64,
}

/// A moment of which both the ledger's clock and boot time are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Anchor {
    /// Unix nanoseconds of the ledger's clock.
    pub time: u64,
    /// As [`Reading::boot`].
    pub boot: u64,
    /// As [`Reading::boot_id`].
    pub boot_id: u64,
}

/// What a store has kept of the ledger's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// The latest time of any commit, in Unix nanoseconds; 0 if there was none.
    pub time: u64,
    /// The last known moment, if any.
    pub anchor: Option<Anchor>,
}

/// What a look at the clocks has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The wall clock differs from the ledger's by so many nanoseconds.
    Jumped(i64),
    /// It agrees again.
    Agreed,
    /// It was ahead by so much for long enough: the ledger's clock has followed.
    Followed(i64),
}

/// The ledger's clock, without a machine.
#[derive(Debug, Clone, Copy)]
pub struct Steady {
    time: u64,
    boot: u64,
    offset: i64,
    /// The jump that stands: by how much, and for how long it was seen.
    jump: Option<(i64, u64)>,
}

impl Steady {
    /// Goes on from what was kept. During one start of the machine that is exact. After another the wall clock tells how
    /// long nobody ran, unless that is less than nothing.
    #[must_use]
    pub fn start(kept: &Kept, at: Reading) -> Self {
        let same =
            kept.anchor.filter(|anchor| anchor.boot_id == at.boot_id && at.boot_id > 0 && anchor.boot <= at.boot);
        let time = match same {
            Some(anchor) => kept.time.max(anchor.time.saturating_add(at.boot - anchor.boot)),
            None => kept.time.max(at.wall),
        };
        Self { time, boot: at.boot, offset: difference(at.wall, time), jump: None }
    }

    /// Looks at the clocks.
    pub fn read(&mut self, at: Reading) -> Option<Event> {
        let elapsed = at.boot.saturating_sub(self.boot);
        self.boot = self.boot.max(at.boot);
        self.time = self.time.saturating_add(elapsed);
        self.offset = difference(at.wall, self.time);
        if self.offset.unsigned_abs() <= nanos(JUMP) {
            let most = i64::try_from(elapsed / LEAN).unwrap_or(i64::MAX);
            self.time = self.time.saturating_add_signed(self.offset.clamp(-most, most));
            return self.jump.take().map(|_| Event::Agreed);
        }
        match &mut self.jump {
            Some((offset, seen)) if offset.abs_diff(self.offset) <= nanos(JUMP) => {
                *seen = seen.saturating_add(elapsed.min(SEEN));
                if self.offset > 0 && *seen >= nanos(CONFIRMED) {
                    self.time = at.wall;
                    self.jump = None;
                    return Some(Event::Followed(self.offset));
                }
                None
            }
            jump => {
                *jump = Some((self.offset, 0));
                Some(Event::Jumped(self.offset))
            }
        }
    }

    /// Unix nanoseconds. Never less than before.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Nanoseconds that the wall clock was ahead of it at the last look.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// To go on from after a restart.
    #[must_use]
    pub fn anchor(&self, boot_id: u64) -> Anchor {
        Anchor { time: self.time, boot: self.boot, boot_id }
    }
}

/// Where readings are from.
pub type Source = Arc<dyn Fn() -> Reading + Send + Sync>;

/// The ledger's clock of a running sidecar.
pub struct Clock {
    source: Source,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    steady: Steady,
    boot_id: u64,
    /// What the store has.
    kept: Option<Anchor>,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Clock {
    /// Goes on from what a store has kept.
    #[must_use]
    pub fn start(source: Source, kept: &Kept) -> Self {
        let at = source();
        let steady = Steady::start(kept, at);
        let state = State { steady, boot_id: at.boot_id, kept: kept.anchor };
        Self { source, state: Mutex::new(state) }
    }

    /// Unix nanoseconds. Never less than before.
    pub fn now(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(event) = state.steady.read((self.source)()) {
            tell(event);
        }
        state.steady.time()
    }

    /// Seconds that the wall clock is ahead of it.
    pub fn offset(&self) -> f64 {
        self.now();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).steady.offset() as f64 / SECOND as f64
    }

    /// What the store should keep, unless it has it.
    #[must_use]
    pub fn unkept(&self) -> Option<Anchor> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = state.steady.anchor(state.boot_id);
        let same = |kept: Anchor| {
            let expected = kept.time.saturating_add(now.boot.saturating_sub(kept.boot));
            kept.boot_id == now.boot_id && expected.abs_diff(now.time) <= FINE
        };
        (!state.kept.is_some_and(same)).then_some(now)
    }

    /// The store has it.
    pub fn kept(&self, anchor: Anchor) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).kept = Some(anchor);
    }
}

/// The clocks of this machine.
#[must_use]
pub fn machine() -> Source {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").ok();
    let boot_id = id.map_or(0, |id| Sha256::digest(id).iter().take(7).fold(0, |id, byte| id << 8 | u64::from(*byte)));
    Arc::new(move || {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let boot = clock_gettime(ClockId::Boottime);
        let part = |number: i64| u64::try_from(number).unwrap_or(0);
        let boot = part(boot.tv_sec).saturating_mul(SECOND).saturating_add(part(boot.tv_nsec));
        Reading { wall: nanos(wall), boot, boot_id }
    })
}

/// In words, e.g. `40d 0h 3m`.
#[must_use]
pub fn words(offset: i64) -> String {
    let seconds = offset.unsigned_abs() / SECOND;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    if days > 0 { format!("{days}d {hours}h {minutes}m") } else { format!("{hours}h {minutes}m {}s", seconds % 60) }
}

fn tell(event: Event) {
    match event {
        Event::Jumped(by) if by > 0 => tracing::warn!(
            ahead = words(by),
            "the wall clock has jumped; windows go on without it, and follow if it stays so for 15 minutes"
        ),
        Event::Jumped(by) => tracing::warn!(
            behind = words(by),
            "the wall clock is behind the ledger's; windows go on at the ledger's. If the wall clock is right, stop the \
             sidecar and run: attache ledger clock --set now"
        ),
        Event::Agreed => tracing::info!("the wall clock agrees with the ledger's again"),
        Event::Followed(by) => {
            tracing::warn!(by = words(by), "the wall clock was ahead for 15 minutes: the ledger's has followed");
        }
    }
}

fn difference(wall: u64, time: u64) -> i64 {
    let size = i64::try_from(wall.abs_diff(time)).unwrap_or(i64::MAX);
    if wall >= time { size } else { -size }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
