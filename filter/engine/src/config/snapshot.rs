//! The resolved stage: indices and values instead of names and texts. Shared by `Rc`/`Arc`, never changed.

mod bounds;
mod governance;

use std::time::Duration;
use wire::format::Outbound;
use wire::provider::Narrows;

pub use self::bounds::Bounds;
pub use self::governance::{
    Customer, Former, Governance, Governing, Identity, Pool, Price, ProviderLimits, Source, Team, Who,
};
use super::schema::{Also, AuthMode, ClientKeys, OnFailure};
use crate::exchange::Disposition;
use crate::govern::Limit;

/// Everything the hot path needs, resolved.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// `HOST:PORT` to listen on.
    pub listen: String,
    /// Who may call.
    pub auth: AuthMode,
    /// What becomes of a client's own provider key.
    pub client_keys: ClientKeys,
    /// A hop that would lose a member of the request is not planned.
    pub strict: bool,
    /// In the user's order.
    pub providers: Vec<Provider>,
    /// All (provider, key) pairs; a lane is one Envoy cluster. Provider order, then key order.
    pub lanes: Vec<Lane>,
    /// Public names in the user's order.
    pub models: Vec<Model>,
    /// Tries.
    pub retry: Retry,
    /// Largest body in bytes.
    pub body_limit: u64,
    /// What Envoy may take.
    pub bounds: Bounds,
    /// Patience.
    pub timeouts: Timeouts,
    /// How long streams are held back.
    pub hold: Hold,
    /// The sidecar.
    pub sidecar: Sidecar,
    /// Seed of the weighted draw, for tests.
    pub seed: Option<u64>,
    /// What of governance the filter knows.
    pub govern: Governing,
}

/// One provider, resolved from its row and the user's overrides.
#[derive(Clone)]
pub struct Provider {
    /// Name in `attache.yaml`; `a-z 0-9 -`.
    pub name: String,
    /// What it speaks.
    pub format: &'static dyn Outbound,
    /// TLS or not.
    pub tls: bool,
    /// Host name or address, without port.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `:authority`: host, and port where it is not the scheme's own.
    pub authority: String,
    /// Path prefix without trailing slash, e.g. `/v1`; may be empty.
    pub prefix: String,
    /// Path of chat below the prefix, where it is not the format's own; may hold `{model}` and a query.
    pub path: Option<String>,
    /// Header that carries the key, lower case.
    pub auth_header: String,
    /// What stands before the key.
    pub auth_prefix: String,
    /// What of members that route may pass where models are restricted.
    pub narrows: Narrows,
    /// Offer HTTP/2.
    pub http2: bool,
    /// Patience with its streams.
    pub patience: Patience,
    /// What its errors mean, where they mean something else than anybody's: the first that matches.
    pub errors: Vec<ErrorRule>,
    /// Indices into [`Snapshot::lanes`].
    pub lanes: std::ops::Range<usize>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("format", &self.format.name())
            .field("tls", &self.tls)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("authority", &self.authority)
            .field("prefix", &self.prefix)
            .field("path", &self.path)
            .field("auth_header", &self.auth_header)
            .field("auth_prefix", &self.auth_prefix)
            .field("http2", &self.http2)
            .field("patience", &self.patience)
            .field("errors", &self.errors)
            .field("lanes", &self.lanes)
            .finish()
    }
}

/// What an error of one provider means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorRule {
    /// Of this status.
    pub status: Option<u16>,
    /// With this code.
    pub code: Option<String>,
    /// With these words in its message; in lower case.
    pub message: Option<String>,
    /// It is this.
    pub is: Disposition,
    /// The key rests for so long, in place of what the disposition says.
    pub rest: Option<Duration>,
}

/// One (provider, key) pair.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Name of the Envoy cluster: `PROVIDER_KEY`; unique, since names have no underscore.
    pub cluster: String,
    /// [`crate::cooldown::lane_hash`] of it.
    pub hash: u64,
    /// Index into [`Snapshot::providers`].
    pub provider: usize,
    /// Key's name.
    pub key: String,
    /// Reference to the secret, for the renderer; empty in the filter.
    pub secret: Option<String>,
    /// Share within the provider, normalised: the provider's lanes sum to 1.
    pub weight: f64,
    /// What it may be used for.
    pub models: Names,
}

/// A list of names with `*` for all; a trailing `*` matches a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// All.
    Any,
    /// These; an entry that ends in `*` matches by prefix.
    These(Vec<String>),
}

impl Names {
    /// From the user's list.
    #[must_use]
    pub fn new(list: &[String]) -> Self {
        if list.iter().any(|name| name == "*") { Self::Any } else { Self::These(list.to_vec()) }
    }

    /// The entries, for messages; none for all.
    pub(super) fn list(&self) -> impl Iterator<Item = &str> {
        let list = match self {
            Self::Any => &[][..],
            Self::These(list) => list,
        };
        list.iter().map(String::as_str)
    }

    /// Is this name on the list?
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(list) => Self::list_contains(list, name),
        }
    }

    /// Is this name on a list as the user wrote it?
    #[must_use]
    pub fn list_contains(list: &[String], name: &str) -> bool {
        list.iter().any(|entry| match entry.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => entry == name,
        })
    }
}

/// One public model name.
#[derive(Debug, Clone)]
pub struct Model {
    /// As clients ask for it.
    pub name: String,
    /// Who serves it; weights normalised within a priority.
    pub candidates: Vec<Candidate>,
}

/// One way to serve a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Index into [`Snapshot::providers`].
    pub provider: usize,
    /// The provider's name of the model.
    pub model: String,
    /// Share among candidates of equal priority.
    pub weight: f64,
    /// Lower first.
    pub priority: u32,
    /// Tokens it takes, if that is known.
    pub context: Option<u64>,
}

/// Tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Tries a lane gets, at least 1.
    pub per_candidate: u32,
    /// Wait between tries.
    pub backoff: Duration,
    /// Tries in all, at least 1.
    pub max: u32,
    /// Errors of the request that are tried elsewhere.
    pub also: Vec<Also>,
    /// How long keys rest that have failed.
    pub rest: Rests,
}

/// How long keys rest that have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rests {
    /// Failures in a row that make a key rest; 0: none does.
    pub failures: u32,
    /// The first rest; each that follows is twice as long.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
    /// The first rest of a refused key.
    pub refused: Duration,
}

/// Patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// Per try, until a stream begins.
    pub first_content: Duration,
    /// Per try, until a unary answer is complete.
    pub complete: Duration,
    /// Between two chunks.
    pub idle: Duration,
}

/// How long streams are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// From the beginning of a try.
    pub max: Duration,
    /// Bytes held.
    pub max_bytes: u64,
}

/// Patience until a stream's first content, from the beginning of a try.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// Slower ones are counted.
    pub soft: Option<Duration>,
    /// Slower ones are left for the next candidate.
    pub hard: Option<Duration>,
}

/// Where the sidecar listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Unix socket.
    Unix(String),
    /// Host and port.
    Tcp(String, u16),
}

/// The sidecar, as filter and renderer see it.
#[derive(Debug, Clone)]
pub struct Sidecar {
    /// Where it listens.
    pub address: Address,
    /// What happens while it is away.
    pub on_failure: OnFailure,
    /// How long the filter waits for one answer before it asks again.
    pub deadline: Duration,
    /// How long a request waits for it in all; not less than `deadline`.
    pub patience: Duration,
    /// How long a key's record is good.
    pub key_ttl: Duration,
    /// Reference to the secret under which `hmac:` keys are one; empty in the filter.
    pub key_secret: Option<String>,
    /// Where counters are kept.
    pub store: String,
    /// Health, readiness, metrics.
    pub admin: String,
}

/// A virtual key, resolved. Lives in the sidecar; reaches a filter as the answer to `Admit`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VirtualKey {
    /// Name in logs and metrics.
    pub name: String,
    /// `env:`, `file:`, `sha256:` or `hmac:` reference.
    pub secret: String,
    /// The secret that this one replaces.
    pub former: Option<Former>,
    /// When it ends, in Unix seconds.
    pub expires: Option<u64>,
    /// Models that may be asked; `None`: any that its candidates or the configuration serve.
    pub models: Option<Names>,
    /// Its own candidates.
    pub candidates: Vec<KeyCandidate>,
    /// Serve an asked model that a candidate lacks by the candidate's first.
    pub substitute: bool,
    /// Refuse it.
    pub disabled: bool,
    /// A name of [`Governance::teams`], or else a label only.
    pub team: Option<String>,
    /// A name of [`Governance::customers`], or else a label only; its team's where the team has one.
    pub customer: Option<String>,
    /// Its own.
    pub limits: Vec<Limit>,
}

/// One weighted candidate of a virtual key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyCandidate {
    /// Provider's name: the filter resolves it against its own snapshot.
    pub provider: String,
    /// Models it may serve; the first is the substitute. Never empty.
    pub models: Vec<String>,
    /// Share, normalised.
    pub weight: f64,
    /// Of what this key spends at this provider.
    pub limits: Vec<Limit>,
}
