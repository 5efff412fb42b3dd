//! The error object, both ways.

use crate::format::fault;
use crate::ir::{Fault, FaultKind};
use crate::json::{self, Object};

pub(super) fn encode(fault: &Fault, request_id: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    json::write_object(&mut out, |o| {
        o.str("type", "error");
        o.object("error", |o| {
            o.str("type", word_of(fault.kind));
            o.str("message", &fault.message);
        });
        // Always there; clients read the id from the header of that name.
        match request_id {
            Some(id) => o.str("request_id", id),
            None => o.literal("request_id", "null"),
        }
    });
    out
}

pub(super) fn word_of(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::InvalidRequest | FaultKind::MethodNotAllowed => "invalid_request_error",
        FaultKind::Authentication => "authentication_error",
        FaultKind::Permission => "permission_error",
        FaultKind::NotFound => "not_found_error",
        FaultKind::TooLarge => "request_too_large",
        FaultKind::RateLimited => "rate_limit_error",
        FaultKind::QuotaExceeded => "billing_error",
        FaultKind::Internal | FaultKind::BadGateway => "api_error",
        FaultKind::Overloaded => "overloaded_error",
        FaultKind::Timeout => "timeout_error",
    }
}

fn kind_of(word: &str) -> Option<FaultKind> {
    match word {
        "invalid_request_error" => Some(FaultKind::InvalidRequest),
        "authentication_error" => Some(FaultKind::Authentication),
        "permission_error" => Some(FaultKind::Permission),
        "not_found_error" => Some(FaultKind::NotFound),
        "request_too_large" => Some(FaultKind::TooLarge),
        "rate_limit_error" => Some(FaultKind::RateLimited),
        "billing_error" => Some(FaultKind::QuotaExceeded),
        "api_error" => Some(FaultKind::Internal),
        "overloaded_error" => Some(FaultKind::Overloaded),
        "timeout_error" => Some(FaultKind::Timeout),
        _ => None,
    }
}

pub(super) fn decode(status: u16, body: &[u8]) -> Fault {
    Object::parse(body).ok().and_then(|mut o| read(status, &mut o)).unwrap_or_else(|| fault::bare(status))
}

/// The fault in an object with an `error` member; `status` 0 inside a stream.
pub(super) fn read(status: u16, o: &mut Object<'_>) -> Option<Fault> {
    let mut error = o.object("error").ok().flatten()?;
    let word = error.string("type").ok().flatten();
    let kind = match word.as_deref().and_then(kind_of) {
        // The word for everything that is not the client's doing; the status says more.
        None | Some(FaultKind::Internal) => FaultKind::of_status(status),
        Some(kind) => kind,
    };
    // Inside a stream only the word speaks, and this one has a status of its own.
    let status = if status == 0 && kind == FaultKind::Overloaded { 529 } else { status };
    let mut fault = fault::of(status, kind, error.string("message").ok().flatten());
    // What the kind says already is no code of its own.
    fault.code = fault::word(word.filter(|word| kind_of(word).is_none()));
    Some(fault)
}
