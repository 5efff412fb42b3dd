//! Which lanes rest until when, and why, as one small value that all workers of an Envoy share.
//!
//! A provider that says when to come back is believed: the lane rests until then, and that is all. What has failed rests
//! for a guessed time, and is asked again by one request first (its *trial*): while that runs the others still see the
//! lane resting. If it serves, the record is gone; if it fails, the lane rests anew, twice as long.
//!
//! Does not: read a clock, or know which requests there are; the caller swaps the value, see `filter/src/cooldown.rs`.
//!
//! Decision: one entry of shared data holds all records, and a lane in health has none; a request reads it with one host
//! call and it is nearly always empty. Rejected: one entry a lane (a host call a lane a request); a copy in each worker
//! refreshed by a timer (a rested key would still be asked until the next tick).

use std::time::Duration;

use crate::config::snapshot::{Lane, Rests};

/// Length of one record: the lane's hash, end and beginning in Unix nanoseconds (all little endian), state, failures,
/// rests, and room for more.
const RECORD: usize = 32;

/// Longest rest, whatever a provider asks for: a wrong `retry-after` must not take a key away for a day.
pub const LONGEST: u64 = 600 * 1_000_000_000;

const FOREVER: Duration = Duration::from_nanos(LONGEST);

/// How long the others wait for the verdict of a trial. An answer may take longer; then one more may try.
pub const TRIAL: u64 = 10 * 1_000_000_000;

/// What became of a try, as far as its lane is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It answered. The try began at this time.
    Served(u64),
    /// It failed, which may be chance.
    Failed,
    /// A key that may have been refused, or not for its own sake: rests as long as a refused one, but not at once.
    Doubted,
    /// The key was refused, or its account is exhausted.
    Refused,
    /// Too many requests, and nobody said for how long.
    Limited,
    /// It must not be asked before this time.
    Until(u64),
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It rests until a time the provider told.
    Told = 1,
    /// It has failed, and not often enough to rest.
    Failing = 2,
    /// It rests after failures; once that is over, it waits for a trial.
    Resting = 3,
    /// A request tries it.
    Trial = 4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    lane: u64,
    until: u64,
    since: u64,
    state: State,
    /// In a row.
    failures: u32,
    /// In a row; each is twice as long.
    rests: u8,
}

/// The records of all lanes that are not in health.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cooldowns(Vec<Record>);

/// Stable hash of a lane's cluster name (FNV-1a): names come from the configuration, not from clients.
#[must_use]
pub fn lane_hash(cluster: &str) -> u64 {
    cluster.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Record {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?));
        let state = match bytes.get(24)? {
            1 => State::Told,
            2 => State::Failing,
            3 => State::Resting,
            4 => State::Trial,
            _ => return None,
        };
        let failures = u32::from_le_bytes(bytes.get(28..32)?.try_into().ok()?);
        Some(Self { lane: word(0)?, until: word(8)?, since: word(16)?, state, failures, rests: *bytes.get(25)? })
    }

    fn to_bytes(self) -> [u8; RECORD] {
        let mut out = [0; RECORD];
        let [until, since] = [self.until, self.since].map(u64::to_le_bytes);
        let bytes = self.lane.to_le_bytes().into_iter().chain(until).chain(since);
        let bytes = bytes.chain([self.state as u8, self.rests, 0, 0]).chain(self.failures.to_le_bytes());
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        out
    }

    fn rests(&self, now: u64) -> bool {
        self.state != State::Failing && self.until > now
    }

    /// It has to prove itself.
    fn due(&self, now: u64) -> bool {
        matches!(self.state, State::Resting | State::Trial) && self.until <= now
    }
}

impl Cooldowns {
    /// Reads the shared value; anything that is no record, or rests for longer than any can, is passed over.
    #[must_use]
    pub fn parse(bytes: &[u8], now: u64) -> Self {
        let sane = |record: &Record| record.until.saturating_sub(now) <= LONGEST;
        Self(bytes.chunks_exact(RECORD).filter_map(Record::parse).filter(sane).collect())
    }

    /// The shared value.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|record| record.to_bytes()).collect()
    }

    fn find(&self, lane: &Lane) -> Option<&Record> {
        self.0.iter().find(|record| record.lane == lane.hash)
    }

    /// Is there anything to be said of this lane? Where there is not, no good answer needs to be noted.
    #[must_use]
    pub fn knows(&self, lane: &Lane) -> bool {
        self.find(lane).is_some()
    }

    /// When this lane's rest ends, if it rests at `now`.
    #[must_use]
    pub fn until(&self, lane: &Lane, now: u64) -> Option<u64> {
        self.find(lane).filter(|record| record.rests(now)).map(|record| record.until)
    }

    /// Does it rest because the provider said until when? Then asking all the same would only lengthen it.
    #[must_use]
    pub fn told(&self, lane: &Lane, now: u64) -> bool {
        self.find(lane).is_some_and(|record| record.state == State::Told && record.rests(now))
    }

    /// Its rest is over, and one request has to try it first.
    #[must_use]
    pub fn due(&self, lane: &Lane, now: u64) -> bool {
        self.find(lane).is_some_and(|record| record.due(now))
    }

    /// The caller's request tries it. False: it need not be tried, or somebody else does.
    pub fn claim(&mut self, lane: &Lane, now: u64) -> bool {
        let Some(record) = self.0.iter_mut().find(|record| record.lane == lane.hash && record.due(now)) else {
            return false;
        };
        (record.state, record.since, record.until) = (State::Trial, now, now.saturating_add(TRIAL));
        true
    }

    /// Notes what became of a try. True if that sent the lane to rest. Records of lanes that are not among `lanes` go:
    /// they are of a former configuration.
    pub fn note(&mut self, lane: &Lane, mark: Mark, lanes: &[Lane], rules: &Rests, now: u64) -> bool {
        self.0.retain(|record| {
            let over = record.state == State::Told && record.until <= now;
            !over && lanes.iter().any(|lane| lane.hash == record.lane)
        });
        let at = self.0.iter().position(|record| record.lane == lane.hash);
        let former = at.map(|at| self.0.swap_remove(at));
        let (new, rested) = next(lane.hash, former, mark, rules, now);
        self.0.extend(new);
        rested
    }
}

/// The lane's next record, and whether it rests by it.
fn next(lane: u64, former: Option<Record>, mark: Mark, rules: &Rests, now: u64) -> (Option<Record>, bool) {
    let (needed, base, longest) = match mark {
        Mark::Served(began) => {
            // What began before the lane went to rest says nothing of it now.
            let stays = |r: &Record| match r.state {
                State::Told => true,
                State::Failing => false,
                State::Resting | State::Trial => began < r.since,
            };
            return (former.filter(stays), false);
        }
        Mark::Until(until) => {
            let until = until.min(now.saturating_add(LONGEST));
            let told = Record { lane, until, since: now, state: State::Told, failures: 0, rests: 0 };
            // A longer rest that already runs stays.
            let longer = former.filter(|r| r.rests(now) && r.until > until);
            return (longer.or((until > now).then_some(told)), until > now);
        }
        Mark::Failed => (rules.failures, rules.first, rules.longest),
        Mark::Doubted => (rules.failures, rules.refused, FOREVER),
        Mark::Refused => (1, rules.refused, FOREVER),
        Mark::Limited => (1, rules.first, rules.longest),
    };
    let (failures, rests) = former.map_or((0, 0), |r| (r.failures, r.rests));
    let failures = failures.saturating_add(1);
    let [base, longest] = [base, longest].map(|time| u64::try_from(time.as_nanos()).unwrap_or(LONGEST));
    let length = |rests: u8| base.saturating_mul(1 << rests.min(32)).min(longest.max(base)).min(LONGEST);
    let resting = |rests: u8| {
        let until = now.saturating_add(length(rests));
        Record { lane, until, since: now, state: State::Resting, failures, rests: rests.saturating_add(1) }
    };
    match former {
        _ if rules.failures == 0 => (former, false),
        // Others that were under way when it went to rest fail as well: no news, unless it is worse.
        Some(record) if record.rests(now) && record.state != State::Trial => {
            let worse = needed == 1 && record.until.saturating_sub(record.since) < length(0);
            (Some(if worse { resting(0) } else { record }), worse)
        }
        Some(record) if record.state != State::Failing || failures >= needed => (Some(resting(rests)), true),
        None if failures >= needed => (Some(resting(0)), true),
        Some(_) | None => {
            (Some(Record { lane, until: now, since: now, state: State::Failing, failures, rests: 0 }), false)
        }
    }
}
