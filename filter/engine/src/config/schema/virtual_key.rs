//! Keys that clients present.

use serde::Deserialize;

use super::Limit;
#[cfg(feature = "schema")]
use crate::config::json_schema as json;

/// A key that clients present.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["name", "secret"])))]
#[serde(deny_unknown_fields, default)]
pub struct VirtualKey {
    /// Name in logs and metrics.
    #[cfg_attr(feature = "schema", schemars(transform = json::label))]
    pub name: Option<String>,
    /// `env:NAME`, `file:PATH`, `sha256:HEX` of the key, or `hmac:HEX`, as `attache key` prints it.
    #[cfg_attr(feature = "schema", schemars(transform = json::virtual_secret))]
    pub secret: Option<String>,
    /// The key that this one replaces, good for a while yet.
    pub former: Option<Former>,
    /// When it ends, e.g. `2027-01-31T00:00:00Z`. Default: never.
    #[cfg_attr(feature = "schema", schemars(transform = json::instant))]
    pub expires: Option<String>,
    /// Models that may be asked; `["*"]` for all that are configured. Default all of its candidates.
    #[cfg_attr(feature = "schema", schemars(transform = json::names))]
    pub models: Option<Vec<String>>,
    /// Its own weighted candidates; they answer any model it may ask.
    pub candidates: Vec<KeyCandidate>,
    /// Serve an asked model that a candidate lacks by the candidate's first. Default: true if it has candidates.
    pub substitute: Option<bool>,
    /// Refuse it.
    pub disabled: bool,
    /// Team it belongs to: a name under `teams`, or else a label only.
    pub team: Option<String>,
    /// The same as `team`.
    pub project: Option<String>,
    /// Customer it belongs to: a name under `customers`, or else a label only. Default: its team's.
    pub customer: Option<String>,
    /// Limits of its own.
    pub limits: Vec<Limit>,
}

/// The key that another one replaces.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["secret", "until"])))]
#[serde(deny_unknown_fields, default)]
pub struct Former {
    /// As that of the key itself.
    #[cfg_attr(feature = "schema", schemars(transform = json::virtual_secret))]
    pub secret: Option<String>,
    /// When it ends, e.g. `2026-12-01T00:00:00Z`.
    #[cfg_attr(feature = "schema", schemars(transform = json::instant))]
    pub until: Option<String>,
}

/// One weighted candidate of a virtual key.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["provider", "models"])))]
#[serde(deny_unknown_fields, default)]
pub struct KeyCandidate {
    /// A name under `providers`.
    pub provider: Option<String>,
    /// Models it may serve; the first is the substitute.
    #[cfg_attr(feature = "schema", schemars(transform = json::names))]
    pub models: Vec<String>,
    /// Share among the key's candidates. Shares need not sum to 1.
    #[cfg_attr(feature = "schema", schemars(transform = json::weight))]
    pub weight: Option<f64>,
    /// Limits of what this key spends at this provider. When one is used up, the candidate is left out.
    pub limits: Vec<Limit>,
}
