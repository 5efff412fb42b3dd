//! One limit of one scope, as a worker meets it: a line of a key's record.
//!
//! Does not: know a balance; what a worker may spend of it is in the wallet, by the account's id.

use super::{Counted, Exhausted, Limit, Mode};

/// A limit that requests of a key meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// What the ledger knows it by.
    pub id: u64,
    /// Whose it is, in words: `team search`, `key prod at openai`.
    pub scope: String,
    /// What is counted, up to which maximum, and what happens then.
    pub limit: Limit,
    /// Counts only tries at this provider. `None`: every request.
    pub provider: Option<String>,
    /// Is one of this pool's: counts only in place of a limit that leads there.
    pub of_pool: Option<String>,
}

impl Account {
    /// Does a try at this provider count?
    #[must_use]
    pub fn counts(&self, provider: &str) -> bool {
        self.provider.as_deref().is_none_or(|own| own == provider)
    }

    /// A client notices when it is used up.
    #[must_use]
    pub fn binds(&self) -> bool {
        match self.limit.exhausted {
            Exhausted::Block | Exhausted::Downgrade(_) | Exhausted::Pool(_) => true,
            Exhausted::AlertOnly | Exhausted::Shadow => false,
        }
    }

    /// The most that a request may use is reserved of it, and nobody may use more.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.limit.mode == Mode::Strict && self.binds()
    }

    /// The longest prompt is reserved of it.
    #[must_use]
    pub fn bounds_prompt(&self) -> bool {
        let counts = matches!(self.limit.counted, Counted::InputTokens | Counted::TotalTokens | Counted::Money);
        counts && self.is_strict()
    }

    /// Nothing can be said of it without the rates of the models that are asked.
    #[must_use]
    pub fn needs_rates(&self) -> bool {
        !matches!(self.limit.counted, Counted::Requests | Counted::Concurrent)
    }
}
