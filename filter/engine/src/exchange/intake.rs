//! The request head: dialect, operation, who asks, and what must not travel on.

use wire::format::{INBOUND, Inbound};
use wire::ir::{Fault, FaultKind, Operation};

use super::{Headers, origin};
use crate::config::schema::{AuthMode, ClientKeys};
use crate::config::snapshot::Snapshot;
use crate::shown::shown;

/// Headers a virtual key may come in. The first two are ours alone and win over those that SDKs fill on their own.
const KEY_HEADERS: [&str; 4] = ["x-attache-key", "x-bf-vk", "authorization", "x-api-key"];

/// Other headers that SDKs put credentials into; they are removed unread.
const OTHER_CREDENTIALS: [&str; 4] = ["api-key", "x-goog-api-key", "proxy-authorization", "cookie"];

/// What the head says.
pub struct Intake {
    /// How the client speaks.
    pub inbound: &'static dyn Inbound,
    /// What it wants.
    pub operation: Operation,
    /// The virtual key it presented.
    pub key: Option<Vec<u8>>,
    /// The header it came in.
    pub key_from: Option<&'static str>,
    /// A provider credential of its own, if those are passed.
    pub credential: Option<(String, Vec<u8>)>,
    /// Headers a provider of the same format may see.
    pub forwarded: Headers,
    /// The query, if it is one that providers know.
    pub query: Option<&'static str>,
    /// Names of headers to remove before anybody else sees them.
    pub strip: Vec<String>,
}

impl std::fmt::Debug for Intake {
    // Neither key nor credential: this may be logged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("inbound", &self.inbound.name()).finish_non_exhaustive()
    }
}

/// Reads a request head.
///
/// # Errors
/// Nobody serves this path or method; the format to say so in is given with the fault.
pub fn intake<B: AsRef<[u8]>>(
    snapshot: &Snapshot,
    headers: &[(B, B)],
) -> Result<Intake, (&'static dyn Inbound, Fault)> {
    let get = |name: &str| headers.iter().find(|(n, _)| n.as_ref() == name.as_bytes()).map(|(_, v)| v.as_ref());
    let target = get(":path").unwrap_or_default();
    let (path, query) = match target.iter().position(|b| *b == b'?') {
        Some(at) => (target.get(..at).unwrap_or_default(), target.get(at + 1..)),
        None => (target, None),
    };
    let path = std::str::from_utf8(path).unwrap_or_default();
    let method = String::from_utf8_lossy(get(":method").unwrap_or_default());
    let (inbound, operation) = claim(&method, path, |header| get(header).is_some())?;
    let expected: &[u8] = match operation {
        Operation::Chat | Operation::CountTokens => b"POST",
        Operation::ListModels => b"GET",
    };
    if get(":method") != Some(expected) {
        let expected = String::from_utf8_lossy(expected);
        return Err((inbound, Fault::new(FaultKind::MethodNotAllowed, format!("Use {expected} on `{path}`."))));
    }
    if get("content-encoding").is_some_and(|v| v != b"identity") {
        let fault = Fault::new(FaultKind::InvalidRequest, "Compressed request bodies are not supported.");
        return Err((inbound, fault.with_param("content-encoding")));
    }
    let (key_from, key) = match snapshot.auth {
        AuthMode::Open => (None, None),
        AuthMode::Optional | AuthMode::Required => presented(&get),
    };
    // Who has a key is no page: a browser asks before it sends one.
    if snapshot.auth != AuthMode::Required && key.is_none() {
        origin::check(headers, operation != Operation::ListModels).map_err(|fault| (inbound, fault))?;
    }
    let credential = match snapshot.client_keys {
        ClientKeys::Strip => None,
        ClientKeys::Pass => ["authorization", "x-api-key"]
            .into_iter()
            .find_map(|name| get(name).map(|value| (name.to_owned(), value.to_vec()))),
    };
    let forwarded = inbound
        .forwarded_headers()
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), get(name).filter(|value| plain(value))?.to_vec())))
        .collect();
    let query = query.filter(|q| *q == b"beta=true").map(|_| "beta=true");
    Ok(Intake { inbound, operation, key, key_from, credential, forwarded, query, strip: strip(headers) })
}

/// Text without a control character: what one server takes for a part of a header's value another may take for its end.
fn plain(value: &[u8]) -> bool {
    value.iter().all(|byte| (b' '..=b'~').contains(byte))
}

fn claim(
    method: &str,
    path: &str,
    has: impl Fn(&str) -> bool,
) -> Result<(&'static dyn Inbound, Operation), (&'static dyn Inbound, Fault)> {
    let claimed = INBOUND.iter().find_map(|f| f.claims(path).map(|operation| (*f, operation)));
    // `/v1/models` exists in several dialects.
    let own = INBOUND.iter().copied().find(|f| f.marker().is_some_and(&has));
    match (claimed, own) {
        (Some((_, Operation::ListModels)), Some(inbound)) => Ok((inbound, Operation::ListModels)),
        (Some(found), _) => Ok(found),
        (None, own) => {
            // As OpenAI says it. Clients that read `model_not_found` would leave a model that is there.
            let message = format!("Invalid URL ({} {})", shown(method), shown(path));
            let fault = Fault::new(FaultKind::NotFound, message).with_code("unknown_url");
            let first = own.or_else(|| INBOUND.first().copied()).unwrap_or(&wire::format::openai_chat::OpenAiChat);
            Err((first, fault))
        }
    }
}

/// The virtual key and the header it came in.
fn presented<'a>(get: &impl Fn(&str) -> Option<&'a [u8]>) -> (Option<&'static str>, Option<Vec<u8>>) {
    for name in KEY_HEADERS {
        let Some(value) = get(name) else { continue };
        let value = if name == "authorization" { bearer(value) } else { Some(value) };
        if let Some(value) = value.map(<[u8]>::trim_ascii).filter(|v| !v.is_empty()) {
            return (Some(name), Some(value.to_vec()));
        }
    }
    (None, None)
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest)
}

/// Credentials, and every control header of ours or of Envoy's that only the gateway may set.
fn strip<B: AsRef<[u8]>>(headers: &[(B, B)]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in headers {
        let Ok(name) = std::str::from_utf8(name.as_ref()) else { continue };
        let ours = name.starts_with("x-attache-") || name.starts_with("x-envoy-");
        let credential = KEY_HEADERS.contains(&name) || OTHER_CREDENTIALS.contains(&name);
        if ours || credential {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
