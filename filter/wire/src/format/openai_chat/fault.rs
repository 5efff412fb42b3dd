//! The `error` member, both ways.

use crate::format::fault;
use crate::ir::{Fault, FaultKind};
use crate::json::{self, Object, ObjectWriter};

pub(super) fn encode(fault: &Fault) -> Vec<u8> {
    let mut out = Vec::new();
    json::write_object(&mut out, |o| write(o, fault));
    out
}

/// Writes the member into a body or a chunk.
pub(super) fn write(o: &mut ObjectWriter<'_>, fault: &Fault) {
    let (kind, code) = words(fault.kind);
    o.object("error", |o| {
        o.str("message", &fault.message);
        o.str("type", kind);
        nullable(o, "param", fault.param.as_deref());
        nullable(o, "code", fault.code.as_deref().or(code));
    });
}

fn nullable(o: &mut ObjectWriter<'_>, name: &'static str, text: Option<&str>) {
    match text {
        Some(text) => o.str(name, text),
        None => o.literal(name, "null"),
    }
}

/// `type` and `code` OpenAI uses for this kind.
fn words(kind: FaultKind) -> (&'static str, Option<&'static str>) {
    match kind {
        FaultKind::InvalidRequest | FaultKind::MethodNotAllowed | FaultKind::TooLarge | FaultKind::Permission => {
            ("invalid_request_error", None)
        }
        FaultKind::Authentication => ("invalid_request_error", Some("invalid_api_key")),
        FaultKind::NotFound => ("invalid_request_error", Some("model_not_found")),
        FaultKind::RateLimited => ("rate_limit_error", Some("rate_limit_exceeded")),
        FaultKind::QuotaExceeded => ("insufficient_quota", Some("insufficient_quota")),
        FaultKind::Internal | FaultKind::BadGateway | FaultKind::Overloaded => ("server_error", None),
        FaultKind::Timeout => ("server_error", Some("timeout")),
    }
}

pub(super) fn decode(status: u16, body: &[u8]) -> Fault {
    let Ok(mut o) = Object::parse(body) else { return fault::bare(status) };
    read(status, &mut o).unwrap_or_else(|| {
        // Servers of this family that have no `error` object say it at the top.
        let message = ["message", "detail", "error"].into_iter().find_map(|name| o.string(name).ok().flatten());
        fault::of(status, FaultKind::of_status(status), message)
    })
}

/// The fault in an object with an `error` member; `status` 0 if there is none but the error's own.
pub(super) fn read(status: u16, o: &mut Object<'_>) -> Option<Fault> {
    let mut error = o.object("error").ok().flatten()?;
    let word = |error: &mut Object<'_>, name| error.string(name).ok().flatten();
    let (kind, param) = (word(&mut error, "type"), word(&mut error, "param"));
    // OpenRouter, Perplexity and others put an HTTP status here.
    let number = error.peek("code").and_then(|raw| json::whole(raw.get())).and_then(|n| u16::try_from(n).ok());
    let code = word(&mut error, "code");
    let status = if status == 0 { number.unwrap_or(0) } else { status };
    let words = [code.as_deref().unwrap_or_default(), kind.as_deref().unwrap_or_default()];
    let kind = words.iter().find_map(|word| kind_of(word, status)).unwrap_or_else(|| FaultKind::of_status(status));
    let mut fault = fault::of(status, kind, word(&mut error, "message"));
    fault.param = param;
    fault.code = code;
    Some(fault)
}

/// What a `code` or `type` says beyond the status.
fn kind_of(word: &str, status: u16) -> Option<FaultKind> {
    match word {
        "insufficient_quota" | "billing_hard_limit_reached" => Some(FaultKind::QuotaExceeded),
        // The rest only where no status speaks, thus inside a stream.
        _ if status != 0 => None,
        "rate_limit_exceeded" | "rate_limit_error" | "tokens" | "requests" => Some(FaultKind::RateLimited),
        "invalid_api_key" | "authentication_error" => Some(FaultKind::Authentication),
        "model_not_found" => Some(FaultKind::NotFound),
        "invalid_request_error" => Some(FaultKind::InvalidRequest),
        "overloaded" | "overloaded_error" | "service_unavailable" => Some(FaultKind::Overloaded),
        _ => None,
    }
}
