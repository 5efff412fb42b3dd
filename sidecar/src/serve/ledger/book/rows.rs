//! What the book is written in: rows of a store, and the configuration as far as limits go.
//!
//! Does not: decide who gets what; that is [`super::draw`] and [`super::settle`].

use engine::govern::Counted;

use super::super::LedgerError;

/// Whose a lease is: a worker's nonce, or a shard's name for an allotment.
pub type Holder = [u8; 16];

/// A holder's part of one account in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Portion {
    /// All that was granted.
    pub granted: u64,
    /// All that was settled.
    pub spent: u64,
    /// All that was given back.
    pub returned: u64,
}

impl Portion {
    /// What nobody else may have.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.granted.saturating_sub(self.returned).max(self.spent)
    }

    /// What was spent beyond what was granted: it is committed already.
    pub(super) fn overspent(&self) -> u64 {
        self.spent.saturating_sub(self.granted.saturating_sub(self.returned))
    }

    /// Something of it is neither spent nor given back.
    pub(super) fn is_open(&self) -> bool {
        self.granted > self.returned.saturating_add(self.spent)
    }
}

/// One account in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// Sum over its portions.
    pub committed: u64,
    /// Sum of what was settled.
    pub used: u64,
    /// Portions of which something is open.
    pub holders: u64,
    /// All that the parent has allotted; 0 for an account without one.
    pub allotted: u64,
    /// All of it that went back to the parent.
    pub repaid: u64,
    /// Which of [`super::THRESHOLDS`] have been told, a bit each.
    pub told: u8,
}

impl Balance {
    /// What the parent has allotted and not got back.
    pub(super) fn capacity(&self) -> u64 {
        self.allotted.saturating_sub(self.repaid)
    }
}

/// Rows of one shard within one transaction.
pub trait Rows {
    /// The balance; all zero if there is none yet.
    ///
    /// # Errors
    /// The store failed; so for all of these.
    fn balance(&mut self, account: u64, window: u64) -> Result<Balance, LedgerError>;
    /// Replaces it.
    ///
    /// # Errors
    /// See above.
    fn set_balance(&mut self, account: u64, window: u64, balance: &Balance) -> Result<(), LedgerError>;
    /// The portion; all zero if there is none yet.
    ///
    /// # Errors
    /// See above.
    fn portion(&mut self, account: u64, window: u64, holder: &Holder) -> Result<Portion, LedgerError>;
    /// Replaces it.
    ///
    /// # Errors
    /// See above.
    fn set_portion(&mut self, account: u64, window: u64, holder: &Holder, portion: &Portion)
    -> Result<(), LedgerError>;
    /// All portions of one account in one window. Asked only of accounts of concurrent requests.
    ///
    /// # Errors
    /// See above.
    fn portions(&mut self, account: u64, window: u64) -> Result<Vec<(Holder, Portion)>, LedgerError>;
}

/// An account as the configuration has it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The limit.
    pub most: u64,
    /// The present window, start and end in Unix nanoseconds; `None` for concurrent requests.
    pub window: Option<(u64, u64)>,
    /// The account that several shards share, and this shard's name as its holder.
    pub parent: Option<(u64, Holder)>,
}

/// The configuration, as far as limits go.
pub trait Terms {
    /// The account and its window at this time (Unix nanoseconds); `None`: nobody knows it any more.
    fn account(&self, id: u64, now: u64) -> Option<Account>;
    /// The holder has not been heard of for so long that its slots of concurrent requests are free. A shard that the
    /// configuration knows never is.
    fn is_silent(&self, holder: &Holder) -> bool;
    /// The account in words; `None`: nobody knows it any more.
    fn label(&self, id: u64) -> Option<Label> {
        let _nobody = id;
        None
    }
}

/// An account in words, for people who read the store, the log or the metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// The customer whose shard has it; empty for none.
    pub shard: String,
    /// Kind of its scope, e.g. `team` or `key candidate`.
    pub scope: String,
    /// The scope's name, e.g. `search` or `prod at openai`.
    pub name: String,
    /// What is counted, e.g. `money`.
    pub counted: String,
    /// Its window as configured, e.g. `1M`; empty for concurrent requests.
    pub window: String,
}

impl Label {
    /// It counts nano-dollars.
    #[must_use]
    pub fn is_money(&self) -> bool {
        self.counted == Counted::Money.word()
    }
}
