//! The response head as the client sees it.
//!
//! Does not: judge or keep anything; the status in it is the provider's, which Envoy judges.

use wire::mask;

use super::allowed::passes;
use super::judge::soonest;
use super::reply::no_retry;
use super::{Exchange, Headers, vendor};
use wire::format::bounds::{QUOTED, cut};

/// How much of the provider's own head stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Same format, and a body of the same length.
    All,
    /// Same format. A watched stream may lose an event that the client did not ask for, so its length is not known.
    NotLength,
    /// Other format: what both vendors have, in the words of the client's.
    Translated {
        /// The body is a stream.
        stream: bool,
        /// Seconds after which a retry makes sense.
        retry_after: Option<u64>,
    },
}

pub(super) fn client_head<B: AsRef<[u8]>>(
    ex: &Exchange,
    hop: usize,
    headers: &[(B, B)],
    kept: Kept,
    status: u16,
    now: u64,
) -> Headers {
    let own = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let mut out = vec![own(":status", &status.to_string())];
    match kept {
        Kept::All | Kept::NotLength => out.extend(headers.iter().filter_map(|(name, value)| {
            let name = std::str::from_utf8(name.as_ref()).ok()?;
            let stays = passes(name) && (kept == Kept::All || name != "content-length");
            stays.then(|| (name.to_owned(), mask::bytes(value.as_ref()).into_owned()))
        })),
        Kept::Translated { stream, retry_after } => {
            if stream {
                out.extend([own("content-type", "text/event-stream"), own("cache-control", "no-cache")]);
            } else {
                out.push(own("content-type", "application/json"));
            }
            out.extend(retry_after.map(|seconds| own("retry-after", &seconds.to_string())));
            let from = ex.provider(hop).map_or("", |provider| provider.format.name());
            out.extend(vendor::translate(headers, from, ex.inbound.name(), now));
        }
    }
    if let (Some(provider), Some(hop)) = (ex.provider(hop), ex.plan.hops.get(hop)) {
        out.push(own("x-attache-provider", &provider.name));
        out.push(own("x-attache-model", &header_text(&hop.model)));
        if hop.substituted {
            let asked = ex.scan.model.as_deref().unwrap_or_default();
            out.push(own("x-attache-substituted", &format!("{}->{}", header_text(asked), header_text(&hop.model))));
        }
    }
    out.push(own("x-attache-attempts", &ex.tries.len().to_string()));
    if let Some(current) = ex.tries.last().filter(|t| !t.dropped.is_empty()) {
        out.push(own("x-attache-dropped", &names(&current.dropped)));
    }
    out.extend(ex.trail().map(|trail| own("x-attache-trail", &trail)));
    out.extend(ex.timing().map(|timing| own("server-timing", &timing)));
    if ex.sealed {
        soonest(ex, &mut out, now);
        out.push(seal());
    }
    // A vendor says so itself; of another vendor's refusal the gateway says it.
    if status == 401 && !out.iter().any(|(name, _)| name == "x-should-retry") {
        out.push(no_retry());
    }
    out
}

/// Envoy never retries an answer that says so (unless the policy names it); the plan role hides it again.
pub(super) fn seal() -> (String, Vec<u8>) {
    ("x-envoy-ratelimited".to_owned(), b"true".to_vec())
}

/// Most bytes of a list of names.
const LISTED: usize = 512;

/// Names that a client chose, as many as have room. Three dots say that there are more.
fn names(names: &[String]) -> String {
    let mut out = String::new();
    for name in names {
        let name = header_text(name);
        if out.len() + name.len() >= LISTED && !out.is_empty() {
            out.push_str(",...");
            break;
        }
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&name);
    }
    out
}

/// Text that a client chose, safe in a header: bounded, and what is not visible ASCII is percent-encoded. A line end among
/// it would begin a header of the client's own making.
fn header_text(text: &str) -> String {
    let mut out = String::new();
    for byte in cut(text, QUOTED).bytes() {
        match byte {
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
