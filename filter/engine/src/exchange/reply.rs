//! Answers that no provider gave: our own errors and Envoy's, in the client's dialect.

use wire::format::bounds::QUOTED;
use wire::format::{Inbound, Malformed};
use wire::ir::{Fault, FaultKind};

use super::{Headers, request_id_header};
use crate::config::schema::AuthMode;
use crate::shown::{shown, within};

/// What the sidecar, or our memory of it, says of a presented key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// None was presented and one is needed.
    Missing,
    /// Nobody knows it.
    Unknown,
    /// It is known and refused.
    Disabled,
    /// The sidecar is away and the configuration says deny.
    Away,
}

/// The fault of a request that is not admitted.
#[must_use]
pub fn admission_fault(denial: Denial) -> Fault {
    match denial {
        Denial::Missing => Fault::new(
            FaultKind::Authentication,
            "No key was given. Send it as `Authorization: Bearer KEY`, `x-api-key` or `x-attache-key`.",
        )
        .with_code("missing_api_key"),
        Denial::Unknown => {
            Fault::new(FaultKind::Authentication, "This key is not known here.").with_code("invalid_api_key")
        }
        Denial::Disabled => Fault::new(FaultKind::Permission, "This key is disabled.").with_code("key_disabled"),
        Denial::Away => Fault::overloaded("Keys cannot be checked at the moment.", "admission_away"),
    }
}

/// Is a request without a key refused?
#[must_use]
pub fn needs_key(auth: AuthMode) -> bool {
    matches!(auth, AuthMode::Required)
}

/// The fault of a body that cannot be understood.
#[must_use]
pub fn malformed(problem: Malformed) -> Fault {
    let message = if problem.path.is_empty() || problem.message.starts_with(&problem.path) {
        problem.message
    } else {
        format!("{}: {}", problem.path, problem.message)
    };
    // Both may quote what the client chose.
    let fault = Fault::new(FaultKind::InvalidRequest, within(&message, 4 * QUOTED));
    if problem.path.is_empty() { fault } else { fault.with_param(shown(&problem.path)) }
}

/// A reply that Envoy made up itself (no upstream answered), told in the client's dialect. The status stays.
#[must_use]
pub fn local_reply(status: u16) -> Fault {
    let kind = FaultKind::of_status(status);
    let message = match status {
        408 => "The request did not arrive in time.",
        413 => "The request body is larger than this gateway accepts.",
        431 => "The request headers are larger than this gateway accepts.",
        500 => "The answer was larger than this gateway buffers.",
        502 => "The provider's answer could not be understood.",
        503 => "No provider could be reached.",
        504 => "No provider answered in time.",
        _ => "The gateway could not serve this request.",
    };
    let mut fault = Fault::new(kind, message);
    fault.status = status;
    fault
}

/// The worker's VM has died, and with it what was known of the request. Envoy says it in our place.
#[must_use]
pub fn abandoned() -> Fault {
    let message = "The gateway lost this request and is ready again: send the request again.";
    Fault::overloaded(message, "gateway_restarted")
}

/// An error that came from upstream with a status and nothing else.
#[must_use]
pub fn bodiless(status: u16) -> Fault {
    let message = format!("No usable answer came from the provider (status {status}).");
    let mut fault = Fault::new(FaultKind::of_status(status), message);
    fault.status = status;
    fault
}

/// An answer of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// As the client's dialect has it.
    pub status: u16,
    /// All of them, but for the length.
    pub headers: Headers,
    /// JSON.
    pub body: Vec<u8>,
}

/// An error of our own, in the client's dialect.
#[must_use]
pub fn refusal(inbound: &dyn Inbound, request_id: &[u8], fault: &Fault) -> Reply {
    let mut headers = reply_headers(inbound, request_id);
    headers.extend(fault.retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string().into_bytes())));
    headers.extend((fault.kind == FaultKind::Authentication).then(no_retry));
    Reply { status: inbound.status(fault), headers, body: inbound.encode_refusal(fault, id(request_id)) }
}

/// Clients that repeat every error for minutes, such as Claude Code, end at once where the vendor says this.
pub(super) fn no_retry() -> (String, Vec<u8>) {
    ("x-should-retry".to_owned(), b"false".to_vec())
}

/// The head of an answer of our own, its status aside. The id is the one Envoy gave the request: a client's SDK shows it,
/// and Envoy's log has it.
#[must_use]
pub fn reply_headers(inbound: &dyn Inbound, request_id: &[u8]) -> Headers {
    let mut headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
    if let Some((name, id)) = request_id_header(inbound.name()).zip(id(request_id)) {
        headers.push((name.to_owned(), id.as_bytes().to_vec()));
    }
    headers
}

/// An id that may be told: whatever stands in front of Envoy may have chosen it.
fn id(request_id: &[u8]) -> Option<&str> {
    let tame = (1..=128).contains(&request_id.len()) && request_id.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(request_id).ok().filter(|_| tame)
}
