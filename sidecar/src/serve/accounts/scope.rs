//! Whose a limit is, in words, and the number that names its account.
//!
//! Decision: an account's number is a hash of what it counts and for whom, without its maximum: so a limit that is raised
//! keeps its balance, and nothing has to be remembered of who was first. Rejected: numbers given out in order, which a
//! lost file gives out anew, to others.

use engine::govern::{Counted, Window};
use sha2::{Digest as _, Sha256};

use crate::serve::ledger::book::Holder;

/// Whose a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope<'a> {
    /// What kind of thing.
    pub(super) kind: Kind,
    /// Its name.
    pub(super) name: &'a str,
    /// The provider, of a key's candidate and of a provider.
    pub(super) provider: &'a str,
}

/// Kinds of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Global,
    Customer,
    Team,
    Key,
    KeyCandidate,
    Provider,
    Pool,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Customer => "customer",
            Self::Team => "team",
            Self::Key => "key",
            Self::KeyCandidate => "key candidate",
            Self::Provider => "provider",
            Self::Pool => "pool",
        }
    }
}

impl Scope<'_> {
    /// The account of one limit; with `shard`, that customer's part of one that customers share.
    pub(super) fn account(&self, counted: Counted, window: Option<Window>, shard: Option<&str>) -> u64 {
        let window = window.map(|window| window.to_string()).unwrap_or_default();
        let parts = [self.kind.word(), self.name, self.provider, counted.word(), &window];
        let mut hash = Sha256::new();
        for part in parts.into_iter().chain(shard) {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
    }

    /// For messages: `team search`, `key prod at openai`.
    pub(super) fn words(&self) -> String {
        let name = self.title();
        if name.is_empty() { self.label().to_owned() } else { format!("{} {name}", self.label()) }
    }

    /// What stands before its name.
    pub(super) fn label(&self) -> &'static str {
        match self.kind {
            Kind::KeyCandidate => Kind::Key.word(),
            kind @ (Kind::Global | Kind::Customer | Kind::Team | Kind::Key | Kind::Provider | Kind::Pool) => {
                kind.word()
            }
        }
    }

    /// Its name alone.
    pub(super) fn title(&self) -> String {
        match self.kind {
            Kind::Global => String::new(),
            Kind::KeyCandidate => format!("{} at {}", self.name, self.provider),
            Kind::Provider => self.provider.to_owned(),
            Kind::Customer | Kind::Team | Kind::Key | Kind::Pool => self.name.to_owned(),
        }
    }
}

/// A customer's shard, as a holder of what customers share.
pub(super) fn shard(name: &str) -> Holder {
    let hash = Sha256::digest([b"shard ", name.as_bytes()].concat());
    let mut holder = Holder::default();
    holder.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    holder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_identity_counts_and_none_runs_into_the_next() {
        let scope = |kind, name, provider| Scope { kind, name, provider };
        let month = Window::parse("1M");
        let ids = [
            scope(Kind::Team, "a", "").account(Counted::Money, month, None),
            scope(Kind::Key, "a", "").account(Counted::Money, month, None),
            scope(Kind::Team, "b", "").account(Counted::Money, month, None),
            scope(Kind::Team, "", "a").account(Counted::Money, month, None),
            scope(Kind::Team, "a", "").account(Counted::Requests, month, None),
            scope(Kind::Team, "a", "").account(Counted::Money, Window::parse("1m"), None),
            scope(Kind::Team, "a", "").account(Counted::Money, None, None),
            scope(Kind::Team, "a", "").account(Counted::Money, month, Some("")),
            scope(Kind::Team, "a", "").account(Counted::Money, month, Some("acme")),
        ];
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn an_account_keeps_its_number_for_ever() {
        // The numbers are in people's files.
        let scope = Scope { kind: Kind::KeyCandidate, name: "prod", provider: "openai" };
        assert_eq!(scope.account(Counted::Money, Window::parse("1M"), None), 798_241_108_437_124_507);
        assert_eq!(scope.words(), "key prod at openai");
    }
}
