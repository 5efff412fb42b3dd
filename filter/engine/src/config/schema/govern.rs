//! Who may use how much: customers, teams, pools, limits, prices, and who asks where the mesh says so.

use serde::{Deserialize, Serialize};

use super::text_or_number;
#[cfg(feature = "schema")]
use crate::config::json_schema as json;
use crate::govern::Mode;

/// A part that only the sidecar reads: here stands whether there is one. [`crate::config::load`] takes it out of the
/// document before all else and reads it by itself, so that the filter, which never does, holds no code for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Part(pub(in crate::config) bool);

impl Part {
    /// The user wrote something there.
    #[must_use]
    pub fn is_there(self) -> bool {
        self.0
    }
}

/// A word, or a mapping.
#[derive(Debug, Clone)]
pub enum WordOr<W, M> {
    /// A word.
    Word(W),
    /// A mapping.
    Mapping(M),
}

/// Limits of everybody together.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Global {
    /// All of them count.
    pub limits: Vec<Limit>,
}

/// One customer.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Customer {
    /// Time zone in which its days, weeks, months, quarters and years begin, e.g. `Europe/Berlin`.
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "default" = "UTC")))]
    pub zone: Option<String>,
    /// Limits of all its teams and keys together.
    pub limits: Vec<Limit>,
}

/// One team.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Team {
    /// Customer it belongs to, a name under `customers`. Its keys belong to it, too.
    pub customer: Option<String>,
    /// Limits of all its keys together.
    pub limits: Vec<Limit>,
}

/// Limits that count in place of those that name it as their `pool`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["limits"])))]
#[serde(deny_unknown_fields, default)]
pub struct Pool {
    /// Limits of all together that draw from it.
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub limits: Vec<Limit>,
}

/// One limit: one of `requests`, `input_tokens`, `output_tokens`, `total_tokens`, `money` and `concurrent`, and the time
/// in which it counts.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Limit {
    /// Most requests.
    #[cfg_attr(feature = "schema", schemars(transform = json::amount))]
    pub requests: Option<u64>,
    /// Most tokens sent.
    #[cfg_attr(feature = "schema", schemars(transform = json::amount))]
    pub input_tokens: Option<u64>,
    /// Most tokens answered, reasoning included.
    #[cfg_attr(feature = "schema", schemars(transform = json::amount))]
    pub output_tokens: Option<u64>,
    /// Most tokens sent and answered.
    #[cfg_attr(feature = "schema", schemars(transform = json::amount))]
    pub total_tokens: Option<u64>,
    /// Most dollars, with at most nine decimals.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "maximum" = 1_000_000_000)))]
    pub money: Option<f64>,
    /// Most requests under way at once; has no `per`.
    #[cfg_attr(feature = "schema", schemars(transform = json::amount))]
    pub concurrent: Option<u64>,
    /// The time in which it counts: any number of `s`, `m`, `h` and `d` up to 9999, or `1w`, `1M`, `1Q`, `1Y`. From days
    /// on they begin with the calendar, in the customer's time zone; weeks begin on Monday.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::window))]
    pub per: Option<String>,
    /// How sure the maximum is. Default: that of `governance`.
    pub mode: Option<Mode>,
    /// What happens when it is used up: `block`, `alert_only`, `shadow`, `{downgrade: [MODEL]}` or `{pool: NAME}`.
    /// Default: `block`.
    pub on_exhausted: Option<OnExhausted>,
}

/// What happens when a limit is used up.
pub type OnExhausted = WordOr<Act, Instead>;

/// What happens when a limit is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The request is refused.
    Block,
    /// The request goes on; it is told in log and metrics.
    AlertOnly,
    /// Nothing that a client notices; what would have happened is recorded.
    Shadow,
}

/// What serves a request in place of what its limit allowed. One of the two.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Instead {
    /// Cheaper models, the first first.
    #[cfg_attr(feature = "schema", schemars(transform = json::models))]
    pub downgrade: Option<Vec<String>>,
    /// A name under `pools`, whose limits count instead.
    pub pool: Option<String>,
}

/// What a model costs and takes, where the table of prices is wrong or has none. Dollars per million tokens, with at most
/// six decimals. What is left out is the table's; a model it does not have needs both `input` and `output`.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["provider", "model"])))]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// A name under `providers`.
    pub provider: Option<String>,
    /// The provider's name of the model.
    #[cfg_attr(feature = "schema", schemars(transform = json::label))]
    pub model: Option<String>,
    /// Tokens sent.
    #[cfg_attr(feature = "schema", schemars(transform = json::price))]
    pub input: Option<f64>,
    /// Tokens answered.
    #[cfg_attr(feature = "schema", schemars(transform = json::price))]
    pub output: Option<f64>,
    /// Tokens sent that the provider had in its cache.
    #[cfg_attr(feature = "schema", schemars(transform = json::price))]
    pub cached_input: Option<f64>,
    /// Tokens sent that the provider puts into its cache.
    #[cfg_attr(feature = "schema", schemars(transform = json::price))]
    pub cache_write: Option<f64>,
    /// Tokens of reasoning, where they cost something else than others answered.
    #[cfg_attr(feature = "schema", schemars(transform = json::price))]
    pub reasoning: Option<f64>,
    /// Most tokens that the model takes.
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 1)))]
    pub context: Option<u64>,
    /// Most tokens that the model answers.
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 1)))]
    pub max_output: Option<u64>,
}

/// How is counted.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Governance {
    /// What becomes of a request for a model without a price, where a limit of money applies.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "deny")))]
    pub unknown_price: UnknownPrice,
    /// What a failed try costs an elastic limit, where nobody knows whether the provider bills it. A strict limit keeps
    /// what was reserved.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "charge")))]
    pub failed_tries: FailedTries,
    /// How sure the maximum of a limit is that does not say so itself.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "strict")))]
    pub mode: Mode,
    /// By what the longest prompt is bounded, where a strict limit asks.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "bytes")))]
    pub tokenizer: Tokenizer,
}

/// What becomes of a request for a model without a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UnknownPrice {
    /// It is refused.
    #[default]
    Deny,
    /// It costs as much as the dearest model of its provider, or of all where that has none with a price.
    Estimate,
    /// It costs nothing.
    Free,
}

/// What a failed try costs of which nobody knows whether the provider bills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailedTries {
    /// What it would if it were billed.
    #[default]
    Charge,
    /// Nothing.
    Refund,
}

/// By what the longest prompt is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// By the length of the request.
    #[default]
    Bytes,
    /// By its tokens, where its length does not fit and the tokens of all its models can be counted. The sidecar counts, so
    /// the prompt is sent there.
    Exact,
}

/// Who asks, where the mesh says so: a workload whose name fits `match` needs no key. The first that matches counts.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["from", "match"])))]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// Where its name is from: `peer`, `xfcc`, or `{jwt: CLAIM, provider: NAME}`.
    pub from: Option<From>,
    /// What its name looks like. `{name}` takes a part of it that `key`, `team` and `customer` may use, `*` takes one
    /// that nobody needs; neither takes a slash.
    #[serde(rename = "match")]
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1)))]
    pub pattern: Option<String>,
    /// Name of the virtual key whose rules and limits it has.
    pub key: Option<String>,
    /// Team it belongs to, where it has no `key`.
    pub team: Option<String>,
    /// Customer it belongs to, where it has no `key`.
    pub customer: Option<String>,
}

/// Where a workload's name is from.
pub type From = WordOr<Mesh, Claim>;

/// What the mesh says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mesh {
    /// The name in the certificate of whoever is connected to Envoy.
    Peer,
    /// The name that the nearest proxy has put into `x-forwarded-client-cert`: that of its last element.
    Xfcc,
}

/// A claim of a token that Envoy's filter `jwt_authn` has checked.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["jwt", "provider"])))]
#[serde(deny_unknown_fields, default)]
pub struct Claim {
    /// The claim's name, e.g. `sub`.
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1)))]
    pub jwt: Option<String>,
    /// What `payload_in_metadata` of that filter's provider says.
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1)))]
    pub provider: Option<String>,
}
