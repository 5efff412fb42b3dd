//! The typed stage of `attache.yaml`: exactly what the user wrote, nothing resolved. The only serde types of the
//! configuration. Required members are `Option` here: the checks report what is missing, so that one run names
//! every fault instead of the first.

use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// `attache.yaml`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Version of this file's shape. Must be 1.
    pub version: Option<u32>,
    /// Address Envoy listens on, `IP:PORT`. Default `127.0.0.1:8080`.
    #[serde(deserialize_with = "text_or_number")]
    pub listen: Option<String>,
    /// Who may call: `open` (no key needed; the default while no virtual key is configured), `optional`, `required`.
    pub auth: Option<AuthMode>,
    /// Allows `auth: open` and `auth: optional` on an address other than loopback.
    pub allow_open: bool,
    /// `strip` (default): a client's own provider key never leaves. `pass`: it goes to the same vendor only.
    pub client_keys: ClientKeys,
    /// Providers by name.
    pub providers: Map<Provider>,
    /// Public model names and who serves them.
    pub models: Map<Model>,
    /// Keys that clients present. Never part of the filter's configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub virtual_keys: Vec<VirtualKey>,
    /// How failed tries are repeated.
    pub retry: Retry,
    /// Sizes.
    pub limits: Limits,
    /// Patience.
    pub timeouts: Timeouts,
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
#[serde(rename_all = "snake_case")]
pub enum ClientKeys {
    /// It is removed.
    #[default]
    Strip,
    /// It is sent on to the vendor whose dialect the client speaks, and to nobody else.
    Pass,
}

/// One provider: a known row by its name, or a custom one with `like` or `base_url` and `format`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// Known row to start from; default: the provider's own name.
    pub like: Option<String>,
    /// `https://host[:port][/prefix]`.
    pub base_url: Option<String>,
    /// Wire format, e.g. `openai_chat`.
    pub format: Option<String>,
    /// Path below the base for chat, where it is not the format's own.
    pub path: Option<String>,
    /// Header that carries the key, e.g. `authorization: Bearer` or `api-key`.
    pub auth_header: Option<AuthHeader>,
    /// Use HTTP/2 where the server offers it in the TLS handshake. Default true for https; only there.
    pub http2: Option<bool>,
    /// Keys of this provider.
    pub keys: Vec<Key>,
}

/// How a provider wants its key.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthHeader {
    /// Header name.
    pub name: Option<String>,
    /// What stands before the key, e.g. `Bearer `.
    pub prefix: String,
}

/// One key of a provider.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Key {
    /// Name, unique within the provider.
    pub name: Option<String>,
    /// `env:NAME` or `file:PATH`; never the key itself. Absent: the provider needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Share among the provider's keys. Any number; default 1.
    pub weight: Option<f64>,
    /// Models this key may be used for; `["*"]` for all. Deny by default.
    pub models: Option<Vec<String>>,
}

/// One public model name.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// Who serves it.
    pub candidates: Vec<Candidate>,
}

/// One way to serve a model.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Candidate {
    /// Provider's name.
    pub provider: Option<String>,
    /// The provider's name of the model; default: the public name.
    pub model: Option<String>,
    /// Share among candidates of equal priority. Any number; default 1.
    pub weight: Option<f64>,
    /// Lower is tried first; default 0.
    pub priority: Option<u32>,
}

/// A key that clients present.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct VirtualKey {
    /// Name in logs and metrics.
    pub name: Option<String>,
    /// `env:NAME`, `file:PATH` or `sha256:HEX` of the key.
    pub secret: Option<String>,
    /// Models that may be asked; `["*"]` for all that are configured. Default all of its candidates.
    pub models: Option<Vec<String>>,
    /// Its own weighted candidates; they answer any model it may ask.
    pub candidates: Vec<KeyCandidate>,
    /// Serve an asked model that a candidate lacks by the candidate's first. Default: true if it has candidates.
    pub substitute: Option<bool>,
    /// Refuse it.
    pub disabled: bool,
    /// Team it belongs to; a label.
    pub team: Option<String>,
    /// Customer it belongs to; a label.
    pub customer: Option<String>,
}

/// One weighted candidate of a virtual key.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyCandidate {
    /// Provider's name.
    pub provider: Option<String>,
    /// Models it may serve; the first is the substitute.
    pub models: Vec<String>,
    /// Share. Any number; default 1.
    pub weight: Option<f64>,
}

/// How failed tries are repeated.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Tries a (provider, key) gets, at most 32; default 1.
    pub per_candidate: Option<u32>,
    /// Wait between tries, e.g. `5ms`; default 5ms.
    #[serde(deserialize_with = "text_or_number")]
    pub backoff: Option<String>,
    /// Tries in all, the first included, at most 32; default 4.
    pub max: Option<u32>,
}

/// Sizes.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body and largest buffered response, e.g. `32MiB`; default 32MiB.
    #[serde(deserialize_with = "text_or_number")]
    pub body: Option<String>,
}

/// Patience.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// To connect; default 1s.
    #[serde(deserialize_with = "text_or_number")]
    pub connect: Option<String>,
    /// Per try, until a streamed answer begins; default 30s.
    #[serde(deserialize_with = "text_or_number")]
    pub first_content: Option<String>,
    /// Per try, until a unary answer is complete; default 300s.
    #[serde(deserialize_with = "text_or_number")]
    pub complete: Option<String>,
    /// Between two chunks of a stream; default 60s.
    #[serde(deserialize_with = "text_or_number")]
    pub idle: Option<String>,
}

/// The sidecar.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sidecar {
    /// `unix:PATH` or `HOST:PORT`; default `unix:/run/attache/sidecar.sock`.
    #[serde(deserialize_with = "text_or_number")]
    pub address: Option<String>,
    /// What happens to requests that need it while it is away: `deny` (default) or `allow`.
    pub on_failure: Option<OnFailure>,
    /// How long a request waits for it; default 250ms.
    #[serde(deserialize_with = "text_or_number")]
    pub deadline: Option<String>,
    /// How long a key's record is good without asking again; default 30s.
    #[serde(deserialize_with = "text_or_number")]
    pub key_ttl: Option<String>,
    /// Where counters are kept; default `attache.db` in the working directory.
    pub store: Option<String>,
    /// Address of health, readiness and `/metrics`; default `127.0.0.1:9091`.
    #[serde(deserialize_with = "text_or_number")]
    pub admin: Option<String>,
}

/// What happens while the sidecar is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// 503.
    #[default]
    Deny,
    /// The request goes on as if no key were needed.
    Allow,
}

/// Reproducible routing for tests.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Routing {
    /// Seed of the weighted draw. Absent: each worker makes its own.
    pub seed: Option<u64>,
}

/// A text that a hasty hand writes as a number (`body: 65536`, `connect: 1`): its rule says what is missing, if anything.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Written;
    impl Visitor<'_> for Written {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }
    }
    deserializer.deserialize_any(Written)
}
