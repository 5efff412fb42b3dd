//! The configuration's limits as accounts: for the ledger by number, for the filter by key.
//!
//! Does not: keep anything that lasts. Who has what is in the ledger's file.
//!
//! Decision: what all customers share (global limits, those of a provider, pools) has an account for each customer, which
//! draws from the common one; so no worker ever draws on an account of two shards. A customer that only a label names has
//! no shard of its own, so there are as many as the file declares.
//!
//! Decision: a record's list is made when it is asked for; of each limit there is a row of some forty bytes, by number.
//! Rejected: lists made beforehand, a kilobyte for each of a million keys.

mod build;
mod heard;
mod record;
mod scope;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use engine::govern::{Counted, Limit, Window};

pub use self::heard::Heard;
use self::scope::{Kind, Scope};
use super::ledger::book::{Account, Holder, Label, Terms};
use super::window::{self, Zone};

const SECOND: u64 = 1_000_000_000;
/// The shard of everybody who has no customer, or one that is only a label.
const NOBODYS: u32 = 0;

/// All limits of one configuration.
#[derive(Debug)]
pub struct Accounts {
    heard: Arc<Heard>,
    rows: HashMap<u64, Row>,
    /// What limits say, each once: a million keys have a handful.
    rules: Vec<Rule>,
    /// The first is [`NOBODYS`]. The others are the declared customers, in their order.
    shards: Vec<Shard>,
    by_customer: HashMap<Box<str>, u32>,
    global: Vec<Limit>,
    teams: Vec<Team>,
    by_team: HashMap<Box<str>, u32>,
    /// Of keys that have limits of their own.
    keys: Vec<Key>,
    by_key: HashMap<Arc<str>, u32>,
    providers: Vec<Named>,
    pools: Vec<Named>,
    /// Names of providers that keys' candidates limit.
    candidates: Vec<Box<str>>,
    /// Present windows of calendars, by window and shard: to find one costs more than all else.
    spans: RwLock<HashMap<(Window, u32), (u64, u64)>>,
}

/// One account.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Of [`Accounts::rules`].
    rule: u32,
    owner: Owner,
    /// Whose calendar counts, and in which part of a store it is.
    shard: u32,
    /// It is this shard's part of the account that all share.
    is_part: bool,
}

/// Whose an account is, by position.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Global,
    Customer,
    Team(u32),
    Key(u32),
    /// Key, and of [`Accounts::candidates`].
    KeyCandidate(u32, u32),
    Provider(u32),
    Pool(u32),
}

/// What of a limit counts for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Rule {
    counted: Counted,
    window: Option<Window>,
    most: u64,
}

/// One customer.
#[derive(Debug)]
struct Shard {
    name: Box<str>,
    holder: Holder,
    zone: Zone,
    limits: Vec<Limit>,
}

#[derive(Debug)]
struct Team {
    name: Box<str>,
    shard: u32,
    limits: Vec<Limit>,
}

#[derive(Debug)]
struct Key {
    name: Arc<str>,
    limits: Box<[Limit]>,
    /// Of [`Accounts::candidates`].
    candidates: Box<[(u32, Box<[Limit]>)]>,
}

#[derive(Debug)]
struct Named {
    name: Box<str>,
    limits: Vec<Limit>,
}

impl Accounts {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Who is alive.
    #[must_use]
    pub fn heard(&self) -> &Arc<Heard> {
        &self.heard
    }

    fn scope(&self, owner: Owner, shard: u32) -> Scope<'_> {
        let of = |kind, name| Scope { kind, name, provider: "" };
        let key = |at: u32| self.keys.get(at as usize).map_or("", |key| &*key.name);
        match owner {
            Owner::Global => of(Kind::Global, ""),
            Owner::Customer => of(Kind::Customer, self.shard(shard).map_or("", |shard| &*shard.name)),
            Owner::Team(at) => of(Kind::Team, self.teams.get(at as usize).map_or("", |team| &*team.name)),
            Owner::Key(at) => of(Kind::Key, key(at)),
            Owner::KeyCandidate(at, provider) => {
                let provider = self.candidates.get(provider as usize).map_or("", |name| &**name);
                Scope { kind: Kind::KeyCandidate, name: key(at), provider }
            }
            Owner::Provider(at) => {
                let provider = self.providers.get(at as usize).map_or("", |provider| &*provider.name);
                Scope { kind: Kind::Provider, name: "", provider }
            }
            Owner::Pool(at) => of(Kind::Pool, self.pools.get(at as usize).map_or("", |pool| &*pool.name)),
        }
    }

    fn shard(&self, at: u32) -> Option<&Shard> {
        self.shards.get(at as usize)
    }

    fn rule(&self, row: &Row) -> Option<Rule> {
        self.rules.get(row.rule as usize).copied()
    }

    /// The window that this moment is in, in Unix nanoseconds.
    fn span(&self, window: Window, shard: u32, now: u64) -> (u64, u64) {
        let present = |(start, end): (u64, u64)| (start..end).contains(&now).then_some((start, end));
        let nanos = |(start, end): (u64, u64)| (start.saturating_mul(SECOND), end.saturating_mul(SECOND));
        let utc = Zone::UTC;
        let zone = self.shard(shard).map_or(&utc, |shard| &shard.zone);
        if window.unit.seconds().is_some() {
            return nanos(window::bounds(window, zone, now));
        }
        let known = self.spans.read().unwrap_or_else(PoisonError::into_inner).get(&(window, shard)).copied();
        known.and_then(present).unwrap_or_else(|| {
            let span = nanos(window::bounds(window, zone, now));
            self.spans.write().unwrap_or_else(PoisonError::into_inner).insert((window, shard), span);
            span
        })
    }
}

impl Terms for Accounts {
    fn account(&self, id: u64, now: u64) -> Option<Account> {
        let row = self.rows.get(&id)?;
        let rule = self.rule(row)?;
        // A part has the calendar of the whole.
        let calendar = if row.is_part { NOBODYS } else { row.shard };
        let parent = if row.is_part {
            let whole = self.scope(row.owner, NOBODYS).account(rule.counted, rule.window, None);
            Some((whole, self.shard(row.shard)?.holder))
        } else {
            None
        };
        Some(Account { most: rule.most, window: rule.window.map(|window| self.span(window, calendar, now)), parent })
    }

    fn is_silent(&self, holder: &Holder) -> bool {
        !self.shards.iter().any(|shard| shard.holder == *holder) && self.heard.is_silent(holder)
    }

    fn label(&self, id: u64) -> Option<Label> {
        let row = self.rows.get(&id)?;
        let (rule, scope) = (self.rule(row)?, self.scope(row.owner, row.shard));
        Some(Label {
            shard: self.shard(row.shard).map(|shard| shard.name.to_string()).unwrap_or_default(),
            scope: scope.label().to_owned(),
            name: scope.title(),
            counted: rule.counted.word().to_owned(),
            window: rule.window.map(|window| window.to_string()).unwrap_or_default(),
        })
    }
}
