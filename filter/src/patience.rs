//! How long requests wait for the sidecar: until their patience is over, or not at all while the sidecar is away.
//!
//! A late call is repeated with twice its deadline: with a `deadline` of 250 ms and a `patience` of 5 s a sidecar that
//! stands still for 3 s is asked at 0, 0.27, 0.8 and 1.8 s, and its answer to the last call serves everybody.
//!
//! Decision: only a refused connection, or a store that cannot write, counts as away. A deadline that has passed says
//! nothing: a busy sidecar and a frozen one look the same, and a busy one shall refuse nobody. Where requests may go on
//! without the sidecar, nobody waits for one that has been silent for a whole patience, either.

use std::time::Duration;

use engine::config::schema::OnFailure;
use engine::config::snapshot::Sidecar;

/// gRPC status of a call that found nobody: the connection was refused or reset, or the store cannot write. Also of one that
/// was late.
pub(crate) const UNAVAILABLE: u32 = 14;
/// So many calls in a row must find nobody, over so many nanoseconds, before the sidecar counts as away.
const REFUSED: u32 = 3;
const REFUSED_FOR: u64 = 1_000_000_000;
/// Nanoseconds between two calls that look whether the sidecar is back.
const PROBE: u64 = 100_000_000;
/// First pause in nanoseconds before a call is repeated, and the longest.
const PAUSE: u64 = 20_000_000;
const LONGEST_PAUSE: u64 = 640_000_000;

/// Requests that may wait in one worker, for records and leases together. A waiting request keeps no body unless
/// `strict` is set, only its plan and what was read of it, a few kB.
pub(crate) const WAITING: usize = 16_384;

/// Nanoseconds of a duration.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds to pause before something is asked again that was asked in vain so often.
pub(crate) fn pause(tries: u32) -> u64 {
    (PAUSE << tries.saturating_sub(1).min(8)).min(LONGEST_PAUSE)
}

/// What one request has waited, of all its waiting.
#[derive(Debug, Default)]
pub(crate) struct Waited {
    spent: u64,
    since: Option<u64>,
}

impl Waited {
    /// It waits; until this time at most.
    pub(crate) fn until(&mut self, sidecar: &Sidecar, now: u64) -> u64 {
        self.since.get_or_insert(now).saturating_add(nanos(sidecar.patience).saturating_sub(self.spent))
    }

    /// It waits no longer, for now.
    pub(crate) fn woken(&mut self, now: u64) {
        self.spent = self.spent.saturating_add(self.since.take().map_or(0, |since| now.saturating_sub(since)));
    }
}

/// The patience of somebody who waits `until` then is over; also if the clock went back so far that it never would be.
pub(crate) fn is_over(until: u64, sidecar: &Sidecar, now: u64) -> bool {
    now >= until || until - now > nanos(sidecar.patience)
}

/// How one part of the sidecar has answered lately.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Calls in a row that found nobody, and when the first of them failed.
    refused: u32,
    refused_since: u64,
    /// When the first call was sent since which no answer has come.
    silent_since: Option<u64>,
    /// Deadlines are doubled so often.
    doubled: u32,
    probed: u64,
}

impl Health {
    /// How long the next call may take.
    pub(crate) fn deadline(&self, sidecar: &Sidecar) -> Duration {
        let factor = 1_u32.checked_shl(self.doubled).unwrap_or(u32::MAX);
        sidecar.deadline.saturating_mul(factor).min(sidecar.patience)
    }

    /// An answer came.
    pub(crate) fn answered(&mut self) {
        (self.refused, self.silent_since) = (0, None);
    }

    /// Such an answer takes so long.
    pub(crate) fn took(&mut self, sidecar: &Sidecar, took: u64) {
        let enough = |doubled: u32| nanos(sidecar.deadline).checked_shl(doubled).is_none_or(|it| it / 2 >= took);
        self.doubled = (0..self.doubled).find(|doubled| enough(*doubled)).unwrap_or(self.doubled);
    }

    /// A call that was sent at `sent` with this `deadline` has failed. Envoy makes `UNAVAILABLE` of a deadline that has passed,
    /// too (`Grpc::Utility::httpToGrpcStatus` of 504), so only the time tells the two apart; half of it, since Envoy's timers
    /// count from the beginning of a turn of its loop.
    pub(crate) fn failed(&mut self, sidecar: &Sidecar, status: u32, sent: u64, deadline: Duration, now: u64) {
        self.silent_since.get_or_insert(sent);
        if status == UNAVAILABLE && now.saturating_sub(sent) < nanos(deadline) / 2 {
            if self.refused == 0 {
                self.refused_since = now;
            }
            self.refused = self.refused.saturating_add(1);
        } else if deadline >= self.deadline(sidecar) && deadline < sidecar.patience {
            // Of many calls that were late together only one counts.
            self.doubled += 1;
        }
    }

    /// Nobody should wait for it.
    pub(crate) fn is_away(&self, sidecar: &Sidecar, now: u64) -> bool {
        let refused = self.refused >= REFUSED && now.saturating_sub(self.refused_since) >= REFUSED_FOR;
        let silent = |since: u64| now.saturating_sub(since) >= nanos(sidecar.patience);
        refused || (sidecar.on_failure == OnFailure::Allow && self.silent_since.is_some_and(silent))
    }

    /// It is away: may it be asked all the same whether it is back?
    pub(crate) fn may_probe(&mut self, now: u64) -> bool {
        let due = now < self.probed || now - self.probed >= PROBE;
        if due {
            self.probed = now;
        }
        due
    }
}
