//! How much is too much: of one request, and of Envoy's memory.

use serde::{Deserialize, Serialize};

use super::text_or_number;
#[cfg(feature = "schema")]
use crate::config::json_schema as json;

/// How much is too much.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body and largest buffered response.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::size, extend("default" = "32MiB")))]
    pub body: Option<String>,
    /// Envoy's memory for connections and bodies, without the module's own. Request bodies may hold half of it; beyond that
    /// the slowest is refused with 503. At least four times `body`, and less than the machine has.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::memory, extend("default" = "8GiB")))]
    pub heap: Option<String>,
    /// Connections of clients at a time; a further one is closed at once.
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 1, "maximum" = 1_000_000, "default" = 50_000)))]
    pub connections: Option<u32>,
    /// Bytes a second at which a request body must come, measured over ten seconds; a slower one gets 408.
    #[serde(deserialize_with = "text_or_number")]
    #[cfg_attr(feature = "schema", schemars(transform = json::size, extend("default" = "1KiB")))]
    pub body_rate: Option<String>,
}
