//! Where finished exchanges become durable counts, and leases are granted.
//!
//! Does not: know SQL, gRPC or threads. [`Ledger`] is a blocking store with one owner; [`writer`] gives it a thread and
//! groups what arrives; [`sqlite`] is the embedded store; [`book`] says who gets how much; [`tally`] turns settlements
//! into sums.
//!
//! Decision: settlements and the sums made of them are written in one transaction, and the sums in memory (metrics)
//! grow by exactly what was committed. Rejected: sums kept in memory and flushed now and then, which forget on a crash
//! what has been acknowledged.

pub mod book;
pub mod sqlite;
pub mod tally;
pub mod writer;

use std::collections::BTreeMap;

use sidecar_api::v1::Settlement;
use sidecar_api::{NONCE_LEN, v1};

use self::book::{Balance, Ceiling, Draw, Event, Holder, Lease, Terms};
use super::calibrate::Learned;
use super::clock::Anchor;

/// Names one finished exchange for ever: the worker's nonce, then the worker's counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionId([u8; NONCE_LEN + 8]);

impl AdmissionId {
    /// From its two parts.
    #[must_use]
    pub fn new(nonce: [u8; NONCE_LEN], counter: u64) -> Self {
        let mut id = [0; NONCE_LEN + 8];
        let bytes = nonce.into_iter().chain(counter.to_be_bytes());
        id.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Self(id)
    }

    /// As it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The worker: its leases are charged.
    #[must_use]
    pub fn holder(&self) -> Holder {
        let mut holder = Holder::default();
        holder.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        holder
    }
}

/// One settlement under its id.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What makes a resent settlement recognisable.
    pub id: AdmissionId,
    /// What was used.
    pub settlement: Settlement,
}

/// Draws of one worker, granted together or not at all.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The worker's nonce.
    pub holder: Holder,
    /// What it asks for.
    pub draws: Vec<Draw>,
}

/// A worker that spends nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The worker's nonce.
    pub holder: Holder,
    /// The most that it has used.
    pub ceilings: Vec<Ceiling>,
}

/// What is committed together.
#[derive(Debug, Default, Clone)]
pub struct Group {
    /// Come first, so that who draws is told of what they used.
    pub settlements: Vec<Entry>,
    /// Come next, so that who draws finds what came back.
    pub ended: Vec<Ended>,
    /// In their order.
    pub asks: Vec<Ask>,
    /// What was learned of models since, to be there after a restart.
    pub lessons: Vec<Lesson>,
    /// From where the clock goes on after a restart, if that has changed.
    pub anchor: Option<Anchor>,
}

/// What was learned of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    /// The provider's name.
    pub provider: String,
    /// Its name of the model.
    pub model: String,
    /// As it is kept; takes the place of what was kept of it.
    pub learned: Learned,
}

impl Group {
    /// How much work it is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.settlements.len().saturating_add(self.asks.len()).saturating_add(self.ended.len())
    }

    /// Nothing is asked of the store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What one commit did.
#[derive(Debug, Default, PartialEq)]
pub struct Recorded {
    /// Sums over the new settlements.
    pub totals: Totals,
    /// How long each new settlement took.
    pub timings: Vec<Timing>,
    /// Settlements that were there before.
    pub duplicates: u64,
    /// Positions in the group of the settlements that are new.
    pub new: Vec<usize>,
    /// One list for each [`Ask`], a lease for each of its draws.
    pub leases: Vec<Vec<Lease>>,
    /// Thresholds that were passed.
    pub events: Vec<Event>,
    /// Accounts that changed, and how they stand now.
    pub balances: Vec<Standing>,
    /// Names that have lost their label; [`tally::FORMER`] has what was counted under it.
    pub lost: Vec<(tally::Kind, String)>,
    /// The ledger's time, in Unix nanoseconds.
    pub at: u64,
}

/// An account that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub account: u64,
    /// In which window (Unix seconds of its start).
    pub window: u64,
    /// How it stands.
    pub balance: Balance,
}

/// How long one exchange took. Not durable: it only feeds histograms.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// Label of the asked model.
    pub model: String,
    /// From arrival to the end, in seconds.
    pub duration: f64,
    /// From arrival to the first byte, in seconds; none if there was no byte.
    pub first_byte: Option<f64>,
    /// From arrival to the first content of a streamed answer, in seconds; none if it was not streamed or empty.
    pub first_content: Option<f64>,
    /// What the gateway itself took before the first try, in seconds; none if there was no try.
    pub overhead: Option<f64>,
}

/// Sums over settlements, by label. Labels are bounded in number: see [`tally::Labels`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Requests as clients saw them.
    pub requests: BTreeMap<RequestLabels, u64>,
    /// Tries and tokens as providers served them.
    pub usage: BTreeMap<UsageLabels, Sums>,
    /// Consecutive tries at different providers: (from, to).
    pub failovers: BTreeMap<(String, String), u64>,
    /// Members of requests that were not carried over: (provider, field).
    pub dropped: BTreeMap<(String, String), u64>,
    /// Tries that failed: (provider, disposition).
    pub failures: BTreeMap<(String, String), u64>,
    /// What tries cost, in nano-dollars.
    pub costs: BTreeMap<CostLabels, u64>,
}

/// What costs are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CostLabels {
    /// Customer of the key; empty if it has none.
    pub customer: String,
    /// Who used what.
    pub usage: UsageLabels,
}

/// What requests are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestLabels {
    /// Virtual key; empty if none was needed.
    pub key: String,
    /// Team of the key; empty if it has none.
    pub team: String,
    /// Model the client asked for.
    pub model: String,
    /// `2xx` to `5xx`; `none` if the client left before any status.
    pub status_class: String,
    /// Dialect of the client.
    pub dialect: String,
}

/// What usage is counted by.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageLabels {
    /// Virtual key; empty if none was needed.
    pub key: String,
    /// Team of the key; empty if it has none.
    pub team: String,
    /// Provider; empty for a request that reached none.
    pub provider: String,
    /// The provider's name of the model; empty for a request that reached none.
    pub model: String,
}

/// Counts of one (virtual key, team, provider, model).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// Requests whose last try was here.
    pub requests: u64,
    /// Those of them that ended in an error or in nothing.
    pub errors: u64,
    /// Tries by outcome, in the order of [`OUTCOMES`].
    pub tries: [u64; OUTCOMES.len()],
    /// Tokens by kind, in the order of [`TOKENS`].
    pub tokens: [u64; TOKENS.len()],
    /// Times a key of the provider was sent to rest.
    pub cooldowns: u64,
    /// Events of its streams that nobody could read.
    pub skipped_events: u64,
}

/// Outcomes of a try, as labels.
pub const OUTCOMES: [(v1::r#try::Outcome, &str); 4] = [
    (v1::r#try::Outcome::Ok, "ok"),
    (v1::r#try::Outcome::Error, "error"),
    (v1::r#try::Outcome::NoAnswer, "no_answer"),
    (v1::r#try::Outcome::Cut, "cut"),
];

/// Kinds of tokens, as labels.
pub const TOKENS: [&str; 5] = ["input", "output", "cache_read", "cache_write", "reasoning"];

/// A store of settlements, their sums, and of who may spend what. Blocking, with one owner.
///
/// A store of several shards takes a group apart: each step of [`book`] stays within the shard that the account's terms
/// name, and what one shard allots to another is cumulative, so a step that fails is made up for by the next.
pub trait Ledger: Send + 'static {
    /// Writes the settlements that are not there yet, their sums and charges, and grants leases. Durable when it returns,
    /// or nothing is written. `now` is the Unix nanoseconds of [`super::clock`]; the ledger's own time never goes back.
    ///
    /// # Errors
    /// Why nothing was written.
    fn commit(&mut self, group: &Group, terms: &dyn Terms, now: u64) -> Result<Recorded, LedgerError>;

    /// All sums ever recorded.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn totals(&self) -> Result<Totals, LedgerError>;

    /// What was learned of models.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn lessons(&self) -> Result<Vec<Lesson>, LedgerError>;

    /// A number larger than every one given before.
    ///
    /// # Errors
    /// Why it cannot be made durable.
    fn next_generation(&mut self) -> Result<u64, LedgerError>;

    /// The configuration has changed: its names are labels from now on. Those of the former one stay.
    fn relabel(&mut self, names: tally::Names);

    /// Writes something harmless, to learn whether the store can.
    ///
    /// # Errors
    /// Why it cannot.
    fn probe(&mut self) -> Result<(), LedgerError>;
}

/// The store failed. Text only: nobody decides by its kind, every failure means "send again".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerError(String);

impl LedgerError {
    /// With its cause in words.
    pub fn new(cause: impl Into<String>) -> Self {
        Self(cause.into())
    }
}

impl std::fmt::Display for LedgerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ledger: {}", self.0)
    }
}

impl std::error::Error for LedgerError {}
