//! Scopes and their limits, prices, and who asks, resolved. All but [`Governing`] is the sidecar's alone.

use std::time::Duration;

use crate::config::schema::{FailedTries, Tokenizer, UnknownPrice};
use crate::govern::Limit;
use crate::govern::pattern::{Pattern, Template};

/// What the sidecar governs by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Governance {
    /// Of everybody together.
    pub global: Vec<Limit>,
    /// In the user's order.
    pub customers: Vec<Customer>,
    /// In the user's order.
    pub teams: Vec<Team>,
    /// In the user's order.
    pub pools: Vec<Pool>,
    /// Of all requests to a provider; those without limits are left out.
    pub providers: Vec<ProviderLimits>,
    /// They win over the table.
    pub prices: Vec<Price>,
    /// The first that matches counts.
    pub identities: Vec<Identity>,
}

/// One customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Its name.
    pub name: String,
    /// Time zone of its calendar, as it was written; whoever has the zones looks whether there is one.
    pub zone: String,
    /// Of all its teams and keys together.
    pub limits: Vec<Limit>,
}

/// One team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Its name.
    pub name: String,
    /// A name of [`Governance::customers`].
    pub customer: Option<String>,
    /// Of all its keys together.
    pub limits: Vec<Limit>,
}

/// A reserve. Its limits neither downgrade nor lead to a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Of all that draw from it.
    pub limits: Vec<Limit>,
}

/// Limits of all requests to one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderLimits {
    /// The provider's name.
    pub name: String,
    /// Never empty.
    pub limits: Vec<Limit>,
}

/// What a model costs and takes: pico-dollars per token. What is absent is the table's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Price {
    /// The provider's name.
    pub provider: String,
    /// Its name of the model.
    pub model: String,
    /// Tokens sent.
    pub input: Option<u64>,
    /// Tokens answered.
    pub output: Option<u64>,
    /// Tokens sent that were in the provider's cache.
    pub cached_input: Option<u64>,
    /// Tokens sent that went into it.
    pub cache_write: Option<u64>,
    /// Tokens of reasoning.
    pub reasoning: Option<u64>,
    /// Most tokens sent.
    pub context: Option<u64>,
    /// Most tokens answered.
    pub max_output: Option<u64>,
}

/// Who a workload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where its name is from.
    pub source: Source,
    /// What its name looks like.
    pub pattern: Pattern,
    /// Who it is then.
    pub who: Who,
}

/// Who a workload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The virtual key of this name.
    Key(Template),
    /// Somebody of this team and this customer, at least one of which stands.
    Member {
        /// The team.
        team: Option<Template>,
        /// The customer; its team's where the team has one.
        customer: Option<Template>,
    },
}

/// Where a workload's name is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The certificate of whoever is connected.
    Peer,
    /// `x-forwarded-client-cert`.
    Xfcc,
    /// A claim of a checked token.
    Jwt {
        /// Where `jwt_authn` puts the token's payload.
        provider: String,
        /// The claim.
        claim: String,
    },
}

/// What of governance the filter knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Governing {
    /// What becomes of a request for a model without a price, where a limit of money applies.
    pub unknown_price: UnknownPrice,
    /// What a failed try costs of which nobody knows whether it is billed.
    pub failed_tries: FailedTries,
    /// By what the longest prompt is bounded, where a strict limit asks.
    pub tokenizer: Tokenizer,
    /// How often the sidecar is asked what has changed.
    pub poll: Duration,
    /// Where names of workloads are from, each once, in the order of the identities.
    pub sources: Vec<Source>,
    /// There are limits for those without a key: global ones, or of a whole provider.
    pub keyless: bool,
}

/// The secret that another one replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// A reference, as [`super::VirtualKey::secret`] is.
    pub secret: String,
    /// When it ends, in Unix seconds.
    pub until: u64,
}
