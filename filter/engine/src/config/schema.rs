//! The typed stage of `attache.yaml`: exactly what the user wrote, nothing resolved. The only serde types of the
//! configuration. Required members are `Option` here: the checks report what is missing, so that one run names
//! every fault instead of the first.
//!
//! The comments here are what users read: they become the JSON Schema's descriptions and the page made from it.

mod failure;
mod govern;
mod limits;
mod virtual_key;

use serde::{Deserialize, Serialize};

pub use self::failure::{Also, ErrorRule, Is, Rest, Retry};
pub use self::govern::{
    Act, Claim, Customer, FailedTries, From, Global, Governance, Identity, Instead, Limit, Mesh, OnExhausted, Part,
    Pool, Price, Team, Tokenizer, UnknownPrice, WordOr,
};
pub use self::limits::Limits;
pub use self::virtual_key::{Former, KeyCandidate, VirtualKey};
#[cfg(feature = "schema")]
use super::json_schema as json;
use super::map::text_or_number;

/// The configuration of Attaché: who may call, which providers there are, and who serves which model.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["version", "providers"])))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Version of this file's shape.
    #[cfg_attr(feature = "schema", schemars(extend("const" = 1)))]
    pub version: Option<u32>,
    /// Address Envoy listens on.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::socket, extend("default" = "127.0.0.1:8080")))]
    pub listen: Option<String>,
    /// Who may call. Default: `open` while no virtual key is configured, else `required`.
    pub auth: Option<AuthMode>,
    /// Allows `auth: open` and `auth: optional` on an address other than loopback.
    pub allow_open: bool,
    /// What becomes of a client's own provider key.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "strip")))]
    pub client_keys: ClientKeys,
    /// Refuse what translation would lose: a provider of another format that cannot carry every member of a request is
    /// not asked for it, and when none is left the answer is 400 and names the members. Default false: what is lost is
    /// named in `x-attache-dropped`.
    pub strict: bool,
    /// Providers by name.
    #[cfg_attr(feature = "schema", schemars(transform = json::providers))]
    pub providers: Map<Provider>,
    /// Public model names and who serves them.
    #[cfg_attr(feature = "schema", schemars(transform = json::labels))]
    pub models: Map<Model>,
    /// Keys that clients present. Never part of the filter's configuration.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<VirtualKey>"))]
    pub virtual_keys: Part,
    /// What everybody together may use.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(with = "Global"))]
    pub global: Part,
    /// Customers by name, with their time zones and limits.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(with = "Map<Customer>", transform = json::labels))]
    pub customers: Part,
    /// Teams by name, with their limits.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(with = "Map<Team>", transform = json::labels))]
    pub teams: Part,
    /// The same as `teams`.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(with = "Map<Team>", transform = json::labels))]
    pub projects: Part,
    /// Reserves by name, for limits that are used up.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(with = "Map<Pool>", transform = json::labels))]
    pub pools: Part,
    /// Prices of models, where the table of prices is wrong or has none.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Price>"))]
    pub prices: Part,
    /// How is counted.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(with = "Governance"))]
    pub governance: Part,
    /// Who asks, where the mesh says so.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Identity>"))]
    pub identities: Part,
    /// How failed tries are repeated.
    pub retry: Retry,
    /// How much is too much.
    pub limits: Limits,
    /// How long is too long.
    pub timeouts: Timeouts,
    /// How long a stream is held back, so that one that fails early fails over.
    pub hold: Hold,
    /// The sidecar.
    pub sidecar: Sidecar,
    /// Reproducible routing for tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
}

/// A mapping in the order the user wrote it: order decides ties, so a hash map will not do.
#[derive(Debug, Clone)]
pub struct Map<T>(pub Vec<(String, T)>);

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Nobody needs a key.
    Open,
    /// A key is honoured, none is fine, a wrong one is refused.
    Optional,
    /// Everybody needs a key.
    Required,
}

/// What becomes of a credential that is no virtual key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClientKeys {
    /// It is removed.
    #[default]
    Strip,
    /// It is sent on to the vendor whose dialect the client speaks, and to nobody else.
    Pass,
}

/// One provider: a known one by its name, or a custom one with `like`, or with `base_url` and `format`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["keys"])))]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// Known provider to start from. Default: the provider's own name.
    #[cfg_attr(feature = "schema", schemars(transform = json::like))]
    pub like: Option<String>,
    /// Scheme, host, and what stands before every path. Default: the known row's.
    #[cfg_attr(feature = "schema", schemars(transform = json::base_url))]
    pub base_url: Option<String>,
    /// Allows `http://` to another host although a key has a `secret`: whoever is on the way there can read it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_insecure: bool,
    /// What it speaks. Default: what the known row does.
    #[cfg_attr(feature = "schema", schemars(transform = json::format))]
    pub format: Option<String>,
    /// Path below `base_url` for chat, where it is not the format's own. `{model}` as a segment stands for the model's
    /// name, and a query is sent as it is.
    #[cfg_attr(feature = "schema", schemars(transform = json::path))]
    pub path: Option<String>,
    /// Header that carries the key, where it is not the usual one.
    pub auth_header: Option<AuthHeader>,
    /// Use HTTP/2 where the server offers it in the TLS handshake. Default true for https; only there.
    pub http2: Option<bool>,
    /// Its own patience until the first content of a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Patience>,
    /// What its errors are, where the usual reading of them is wrong. The first that matches counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorRule>,
    /// Keys of this provider.
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub keys: Vec<Key>,
    /// Limits of all requests to it together. When one is used up, its candidates are left out.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Limit>"))]
    pub limits: Part,
}

/// How a provider wants its key.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["name"])))]
#[serde(deny_unknown_fields, default)]
pub struct AuthHeader {
    /// The header's name; none that the gateway or the connection owns.
    #[cfg_attr(feature = "schema", schemars(transform = json::header))]
    pub name: Option<String>,
    /// What stands before the key.
    #[cfg_attr(feature = "schema", schemars(transform = json::visible))]
    pub prefix: String,
}

/// One key of a provider.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["name", "models"])))]
#[serde(deny_unknown_fields, default)]
pub struct Key {
    /// Name, unique within the provider.
    #[cfg_attr(feature = "schema", schemars(transform = json::name))]
    pub name: Option<String>,
    /// `env:NAME` or `file:PATH`; never the key itself. Absent: the provider needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = json::secret))]
    pub secret: Option<String>,
    /// Share among the provider's keys. Shares need not sum to 1.
    #[cfg_attr(feature = "schema", schemars(transform = json::weight))]
    pub weight: Option<f64>,
    /// Models this key may be used for; `["*"]` for all. Deny by default.
    #[cfg_attr(feature = "schema", schemars(transform = json::names))]
    pub models: Option<Vec<String>>,
}

/// One public model name.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["candidates"])))]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// Who serves it.
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub candidates: Vec<Candidate>,
}

/// One way to serve a model.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["provider"])))]
#[serde(deny_unknown_fields, default)]
pub struct Candidate {
    /// A name under `providers`.
    pub provider: Option<String>,
    /// The provider's name of the model. Default: the public name.
    #[cfg_attr(feature = "schema", schemars(transform = json::label))]
    pub model: Option<String>,
    /// Share among candidates of equal priority. Shares need not sum to 1.
    #[cfg_attr(feature = "schema", schemars(transform = json::weight))]
    pub weight: Option<f64>,
    /// Lower is tried first.
    #[cfg_attr(feature = "schema", schemars(extend("default" = 0)))]
    pub priority: Option<u32>,
    /// Tokens the model takes. With `retry.also: [context_too_long]`, a request that is too long for one candidate goes
    /// to those with more, the largest first; one that does not say may have more. Default: nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 1)))]
    pub context: Option<u64>,
}

/// How long is too long.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// To connect.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "1s")))]
    pub connect: Option<String>,
    /// Per try, until a streamed answer begins.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "30s")))]
    pub first_content: Option<String>,
    /// Per try, until a unary answer is complete.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "300s")))]
    pub complete: Option<String>,
    /// Between two chunks of a stream.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "60s")))]
    pub idle: Option<String>,
}

/// How long a stream is held back, so that one that fails early fails over: until its first content (text, reasoning, a
/// refusal or a tool call), or until one of these bounds. Afterwards nothing is held.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Hold {
    /// From the beginning of a try. Above `timeouts.first_content` that limit comes first and ends the try. Together they
    /// should stay below the time after which whatever stands before Envoy ends a silent connection, often 60s.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "20s")))]
    pub max: Option<String>,
    /// Bytes held.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::size, extend("default" = "64KiB")))]
    pub max_bytes: Option<String>,
    /// A stream without content for so long counts as slow, and goes on. Default: none does.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration))]
    pub soft: Option<String>,
    /// A stream without content for so long is left for the next candidate. Less than `max`. Default: none is.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration))]
    pub hard: Option<String>,
}

/// Patience with one provider's streams; what is absent is taken from `hold`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Patience {
    /// A stream without content for so long counts as slow, and goes on.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration))]
    pub soft: Option<String>,
    /// A stream without content for so long is left for the next candidate. Less than `hold.max`.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration))]
    pub hard: Option<String>,
}

/// The sidecar.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Sidecar {
    /// Where it listens for the filter's calls.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::address, extend("default" = "unix:/run/attache/sidecar.sock")))]
    pub address: Option<String>,
    /// Allows `address` and `admin` beyond loopback. Neither has TLS or asks who calls: whoever reaches `address` grants
    /// themselves limits and writes the books, whoever reaches `admin` reads them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_insecure: bool,
    /// What happens to requests that need it while it is away.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "deny")))]
    pub on_failure: Option<OnFailure>,
    /// How long the filter waits for one answer before it asks again, the next time twice as long.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "250ms")))]
    pub deadline: Option<String>,
    /// How long a request waits for it in all: for the record of its key, leases, rates and counts. At least `deadline`,
    /// and by default not less than that.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "5s")))]
    pub patience: Option<String>,
    /// How long a key's record is good without asking again; while the sidecar is away, how long a revoked key still is.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "30s")))]
    pub key_ttl: Option<String>,
    /// How often the filter asks what has changed, and gives back what it has been granted and does not need.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "1s")))]
    pub poll: Option<String>,
    /// `env:NAME` or `file:PATH` of the secret under which `hmac:` keys are one. With it the sidecar holds no digest that
    /// somebody without it could compute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = json::secret))]
    pub key_secret: Option<String>,
    /// SQLite file that counters are kept in, closed to other users; one sidecar at a time has it open. A relative one is
    /// below the working directory.
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "default" = "attache.db")))]
    pub store: Option<String>,
    /// Address of health, readiness and `/metrics`.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::socket, extend("default" = "127.0.0.1:9091")))]
    pub admin: Option<String>,
}

/// What happens while the sidecar is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// They get 503.
    #[default]
    Deny,
    /// They go on as if no key were needed.
    Allow,
}

/// Reproducible routing for tests.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Routing {
    /// Seed of the weighted draw. Absent: each worker makes its own.
    pub seed: Option<u64>,
}
