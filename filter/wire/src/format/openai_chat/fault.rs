//! The `error` member, both ways.

use serde_json::value::RawValue;

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
        FaultKind::Internal | FaultKind::BadGateway => ("server_error", None),
        // Inside a stream there is no status to tell it from a failure.
        FaultKind::Overloaded => ("service_unavailable_error", Some("server_is_overloaded")),
        FaultKind::Timeout => ("server_error", Some("timeout")),
    }
}

pub(super) fn decode(status: u16, body: &[u8]) -> Fault {
    // Google's endpoint of this format puts its error into a list.
    let whole: Option<&RawValue> = serde_json::from_slice(body).ok();
    let items = whole.and_then(|whole| json::first(whole, 1).ok());
    let parsed = match items.as_ref().and_then(|(items, _)| items.first()) {
        Some(first) => Object::of(first, ""),
        None => Object::parse(body),
    };
    let Ok(mut o) = parsed else { return fault::bare(status) };
    read(status, &mut o).unwrap_or_else(|| bare(status, &mut o))
}

/// Servers of this family that have no `error` object say it at the top.
fn bare(status: u16, o: &mut Object<'_>) -> Fault {
    let status = if status == 0 { number(o).unwrap_or(0) } else { status };
    let names = ["message", "detail", "error", "errors", "title"];
    let message = names.into_iter().find_map(|name| said(o.peek(name)?, 4));
    let mut word = |name| o.string(name).ok().flatten();
    let (code, kind, param) = (word("code"), word("type"), word("param"));
    let of = |word: &Option<String>| kind_of(word.as_deref()?, status);
    let mut fault = fault::of(status, of(&code).or(of(&kind)).unwrap_or(FaultKind::of_status(status)), message);
    (fault.code, fault.param) = (fault::word(code), fault::word(param));
    fault
}

/// Of a longer list of errors the rest is not looked at.
const MAX_ERRORS: usize = 16;

/// The first words in what should be a message: some servers list what is wrong with each member.
fn said(raw: &RawValue, depth: usize) -> Option<String> {
    let inner = depth.checked_sub(1)?;
    match json::kind(raw) {
        "string" => json::text(raw, "").ok().map(String::from).filter(|text| !text.is_empty()),
        "array" => json::first(raw, MAX_ERRORS).ok()?.0.into_iter().find_map(|item| said(item, inner)),
        "object" => {
            let names = ["message", "msg", "detail", "error"];
            names.into_iter().filter_map(|name| json::member(raw, name)).find_map(|value| said(value, inner))
        }
        _ => None,
    }
}

/// The fault in a choice: an `error` of its own, or the reason why it ended.
pub(super) fn of_choice(choice: &mut Object<'_>) -> Option<Fault> {
    let reason = choice.peek("finish_reason").and_then(|raw| json::text(raw, "").ok());
    read(0, choice).or_else(|| fault::of_reason(&reason?))
}

/// The fault in an object with an `error` member; `status` 0 if there is none but the error's own. An error that says
/// nothing (`""`, `{}`) is none: some servers send the member with every answer.
pub(super) fn read(status: u16, o: &mut Object<'_>) -> Option<Fault> {
    let raw = o.peek("error")?;
    if json::kind(raw) != "object" {
        return said(raw, 4).map(|_| bare(status, o));
    }
    let mut error = Object::of(raw, "").ok()?;
    let word = |error: &mut Object<'_>, name| error.string(name).ok().flatten();
    let (kind, param) = (word(&mut error, "type"), word(&mut error, "param"));
    let number = number(&error);
    let code = word(&mut error, "code");
    let status = if status == 0 { number.unwrap_or(0) } else { status };
    let words = [code.as_deref().unwrap_or_default(), kind.as_deref().unwrap_or_default()];
    let kind = words.iter().find_map(|word| kind_of(word, status)).unwrap_or_else(|| FaultKind::of_status(status));
    let mut message =
        word(&mut error, "message").or_else(|| said(error.peek("message")?, 4)).filter(|text| !text.is_empty());
    if let Some(raw) = error.object("metadata").ok().flatten().and_then(|mut metadata| word(&mut metadata, "raw")) {
        // OpenRouter's own message says only that somebody else failed.
        message = Some(message.map_or(raw.clone(), |message| format!("{message}: {raw}")));
    }
    let says = number.is_some() || !words.concat().is_empty() || message.is_some();
    let mut fault = says.then(|| fault::of(status, kind, message))?;
    fault.param = fault::word(param);
    fault.code = fault::word(code);
    Some(fault)
}

/// The HTTP status that OpenRouter, Perplexity and others put into `code`.
fn number(o: &Object<'_>) -> Option<u16> {
    let number = o.peek("code").and_then(|raw| json::whole(raw.get()))?;
    u16::try_from(number).ok().filter(|number| *number > 0)
}

/// What a `code` or `type` says beyond the status.
fn kind_of(word: &str, status: u16) -> Option<FaultKind> {
    match word {
        "insufficient_quota"
        | "billing_hard_limit_reached"
        | "billing_not_active"
        | "insufficient_balance"
        // Moonshot's and Zhipu's.
        | "exceeded_current_quota_error"
        | "1113" => Some(FaultKind::QuotaExceeded),
        // The rest only where no status speaks, thus inside a stream.
        _ if status != 0 => None,
        "rate_limit_exceeded" | "rate_limit_error" | "tokens" | "requests" => Some(FaultKind::RateLimited),
        "invalid_api_key" | "authentication_error" => Some(FaultKind::Authentication),
        "model_not_found" => Some(FaultKind::NotFound),
        "invalid_request_error" | "context_length_exceeded" => Some(FaultKind::InvalidRequest),
        "permission_denied" | "permission_error" => Some(FaultKind::Permission),
        "timeout" => Some(FaultKind::Timeout),
        "overloaded"
        | "overloaded_error"
        | "server_is_overloaded"
        | "service_unavailable"
        | "service_unavailable_error"
        | "slow_down" => Some(FaultKind::Overloaded),
        _ => None,
    }
}
