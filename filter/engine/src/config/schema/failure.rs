//! What is done about failures: how tries are repeated, which errors are what, how long keys rest.

use serde::{Deserialize, Serialize};

use super::text_or_number;
#[cfg(feature = "schema")]
use crate::config::json_schema as json;

/// How failed tries are repeated.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Tries a (provider, key) gets.
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 1, "maximum" = 32, "default" = 1)))]
    pub per_candidate: Option<u32>,
    /// Wait between tries.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "5ms")))]
    pub backoff: Option<String>,
    /// Tries in all, the first included.
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 1, "maximum" = 32, "default" = 4)))]
    pub max: Option<u32>,
    /// Errors of the request itself that are tried elsewhere all the same: `context_too_long` with another model or
    /// provider, the others with another provider. Default: none, the client gets the first one's answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Also>,
    /// How long a key is left alone that has failed. Afterwards one request tries it; if that fails, it rests again, twice
    /// as long. A key that was told when to come back (429) rests until then in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
}

/// How long a key is left alone that has failed.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Rest {
    /// Failures in a row that make it rest. 0: no key ever rests unless it was told when to come back.
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 0, "maximum" = 1000, "default" = 5)))]
    pub failures: Option<u32>,
    /// The first rest after failures, and after a 429 that does not say for how long.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "5s")))]
    pub first: Option<String>,
    /// The longest rest of these.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "60s")))]
    pub longest: Option<String>,
    /// The first rest of a key that was refused (401, 402), or whose account is exhausted.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration, extend("default" = "60s")))]
    pub refused: Option<String>,
}

/// An error of the request that another candidate may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Also {
    /// It is longer than the model takes.
    ContextTooLong,
    /// The vendor's policy is against it.
    ContentPolicy,
    /// Any other.
    ClientFault,
}

/// What some errors of a provider are. Of `status`, `code` and `message` at least one stands, and all that stand must
/// match. For a rule with `code` or `message` the error's whole body is waited for.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["is"])))]
#[serde(deny_unknown_fields, default)]
pub struct ErrorRule {
    /// HTTP status. Default: that of any error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 400, "maximum" = 599)))]
    pub status: Option<u16>,
    /// `error.code`; at Anthropic, which has none, `error.type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1)))]
    pub code: Option<String>,
    /// Words in its message, in capitals or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1)))]
    pub message: Option<String>,
    /// What it is, which says who is asked next and what rests.
    pub is: Option<Is>,
    /// The key rests for so long, and is not asked at all meanwhile, as if the provider had said so. Only of `transient`,
    /// `rate_limited` and `hard_down`.
    #[serde(deserialize_with = "text_or_number", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = json::duration))]
    pub rest: Option<String>,
}

/// What an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Is {
    /// It may be well with somebody else, or later.
    Transient,
    /// Too many requests with this key.
    RateLimited,
    /// The key is refused, or its account is exhausted.
    HardDown,
    /// The request itself is wrong.
    ClientFault,
    /// The request is longer than the model takes.
    ContextTooLong,
    /// The vendor's policy is against it.
    ContentPolicy,
}
