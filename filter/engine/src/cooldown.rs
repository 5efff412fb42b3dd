//! Which lanes rest until when, and why, as one small value that all workers of an Envoy share.
//!
//! A rest is as wide as its fault. A limited model (429) rests alone: `(key, model)`; vendors count requests and tokens by
//! the model, and any client may name one that is limited. A refused key, an exhausted account and failures in a row rest
//! the key for all models.
//!
//! ```text
//! openai/k1 gpt-4o 429, retry-after: 30     gpt-4o rests at k1 for 30 s, gpt-4o-mini is still asked there
//! openai/k1 gpt-4o 401                      k1 rests
//! ```
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
use crate::keys::digest;

/// Length of one record: hashes of lane and model (0: all models), end and beginning in Unix nanoseconds (all little
/// endian), state, rests, two bytes of room, failures.
const RECORD: usize = 40;

/// Most models of one lane that have a record. Clients may name models; beyond this number the rest that is over first
/// is forgotten.
pub const MODELS: usize = 16;

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
    /// Too many requests for this model, and nobody said for how long.
    Limited,
    /// The model must not be asked for before this time.
    Until(u64),
    /// The key must not be used before this time, whatever the model.
    KeyUntil(u64),
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
    /// 0: all models.
    model: u64,
    until: u64,
    since: u64,
    state: State,
    /// In a row.
    failures: u32,
    /// In a row; each is twice as long.
    rests: u8,
}

/// What a record may be about: a lane, and a model there.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Provider and key.
    pub lane: &'a Lane,
    /// The provider's name of the model.
    pub model: &'a str,
}

/// The records of all lanes that are not in health.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cooldowns(Vec<Record>);

/// Stable hash of a lane's cluster name (FNV-1a): names come from the configuration, not from clients.
#[must_use]
pub fn lane_hash(cluster: &str) -> u64 {
    cluster.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

const BLANK: Record = Record { lane: 0, model: 0, until: 0, since: 0, state: State::Failing, failures: 0, rests: 0 };

/// Hash of a model's name, never 0. Clients may choose the name, so nobody must find another one of the same hash.
fn model_hash(model: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = digest(model.as_bytes());
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}

impl Record {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?));
        let state = match bytes.get(32)? {
            1 => State::Told,
            2 => State::Failing,
            3 => State::Resting,
            4 => State::Trial,
            _ => return None,
        };
        let failures = u32::from_le_bytes(bytes.get(36..40)?.try_into().ok()?);
        let [lane, model, until, since] = [word(0)?, word(8)?, word(16)?, word(24)?];
        Some(Self { lane, model, until, since, state, failures, rests: *bytes.get(33)? })
    }

    fn to_bytes(self) -> [u8; RECORD] {
        let mut out = [0; RECORD];
        let words = [self.lane, self.model, self.until, self.since].into_iter().flat_map(u64::to_le_bytes);
        let bytes = words.chain([self.state as u8, self.rests, 0, 0]).chain(self.failures.to_le_bytes());
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

    /// The records about this place: that of the lane, and that of the model there.
    fn of(&self, place: Place<'_>) -> impl Iterator<Item = &Record> {
        let mut model = None;
        self.0.iter().filter(move |record| {
            record.lane == place.lane.hash
                && (record.model == 0 || record.model == *model.get_or_insert_with(|| model_hash(place.model)))
        })
    }

    /// Is there anything to be said of this place? Where there is not, no good answer needs to be noted.
    #[must_use]
    pub fn knows(&self, place: Place<'_>) -> bool {
        self.of(place).next().is_some()
    }

    /// When this place's rest ends, if it rests at `now`; of two rests the later end.
    #[must_use]
    pub fn until(&self, place: Place<'_>, now: u64) -> Option<u64> {
        self.of(place).filter(|record| record.rests(now)).map(|record| record.until).max()
    }

    /// Does it rest because the provider said until when? Then asking all the same would only lengthen it.
    #[must_use]
    pub fn told(&self, place: Place<'_>, now: u64) -> bool {
        self.of(place).any(|record| record.state == State::Told && record.rests(now))
    }

    /// Its rest is over, and one request has to try it first.
    #[must_use]
    pub fn due(&self, place: Place<'_>, now: u64) -> bool {
        self.of(place).any(|record| record.due(now))
    }

    /// The caller's request tries it. False: it need not be tried, or somebody else does.
    pub fn claim(&mut self, place: Place<'_>, now: u64) -> bool {
        let hash = model_hash(place.model);
        let mine = |record: &&mut Record| {
            record.lane == place.lane.hash && [0, hash].contains(&record.model) && record.due(now)
        };
        let mut claimed = false;
        for record in self.0.iter_mut().filter(mine) {
            (record.state, record.since, record.until) = (State::Trial, now, now.saturating_add(TRIAL));
            claimed = true;
        }
        claimed
    }

    /// Notes what became of a try. True if that sent the model or the lane to rest. Records of lanes that are not among
    /// `lanes` go: they are of a former configuration.
    pub fn note(&mut self, place: Place<'_>, mark: Mark, lanes: &[Lane], rules: &Rests, now: u64) -> bool {
        self.0.retain(|record| {
            let over = record.state == State::Told && record.until <= now;
            !over && lanes.iter().any(|lane| lane.hash == record.lane)
        });
        let hash = model_hash(place.model);
        // A good answer is news of both.
        let about: &[u64] = match mark {
            Mark::Served(_) => &[0, hash],
            Mark::Limited | Mark::Until(_) => &[hash],
            Mark::Failed | Mark::Doubted | Mark::Refused | Mark::KeyUntil(_) => &[0],
        };
        let mut rested = false;
        for model in about {
            let about = |record: &Record| record.lane == place.lane.hash && record.model == *model;
            let at = self.0.iter().position(about);
            let former = at.map(|at| self.0.swap_remove(at));
            let blank = Record { lane: place.lane.hash, model: *model, ..BLANK };
            let (new, rests) = next(blank, former, mark, rules, now);
            self.0.extend(new);
            rested |= rests;
        }
        self.bound(place.lane.hash);
        rested
    }

    /// Forgets the model's record that is over first, where a lane has too many.
    fn bound(&mut self, lane: u64) {
        let narrow = |record: &Record| record.lane == lane && record.model != 0;
        if self.0.iter().filter(|record| narrow(record)).count() <= MODELS {
            return;
        }
        let all = self.0.iter().enumerate().filter(|(_, record)| narrow(record));
        if let Some((at, _)) = all.min_by_key(|(_, record)| record.until) {
            self.0.swap_remove(at);
        }
    }
}

/// The lane's next record, and whether it rests by it.
fn next(blank: Record, former: Option<Record>, mark: Mark, rules: &Rests, now: u64) -> (Option<Record>, bool) {
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
        Mark::Until(until) | Mark::KeyUntil(until) => {
            let until = until.min(now.saturating_add(LONGEST));
            let told = Record { until, since: now, state: State::Told, ..blank };
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
        Record { until, since: now, state: State::Resting, failures, rests: rests.saturating_add(1), ..blank }
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
        Some(_) | None => (Some(Record { until: now, since: now, state: State::Failing, failures, ..blank }), false),
    }
}
