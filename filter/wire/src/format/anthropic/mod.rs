//! Anthropic Messages.
//!
//! Does not: token counting, batches, files.
//!
//! Decision: blocks this format alone knows (server tools, search results, containers) are kept whole as
//! [`crate::ir::Part::Opaque`]. Rejected: a type for each; the vendor adds several a year and no other format has them.

mod block_decode;
mod block_encode;
mod fault;
mod request_decode;
mod request_encode;
mod response;
mod stream_decode;
mod stream_encode;
mod thinking;
mod usage;
mod watch;

use crate::format::{
    Inbound, Malformed, Outbound, StreamContext, StreamDecode, StreamEncode, StreamWatch, same_format_edits,
};
use crate::ir::{Fault, FaultKind, Losses, Operation, Request, Response, Usage};
use crate::json::{self, Object};
use crate::scan::{Edit, Scan};

/// The format's name.
pub const NAME: &str = "anthropic";

/// The format, both halves.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic;

impl Inbound for Anthropic {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims(&self, path: &str) -> Option<Operation> {
        match path {
            "/v1/messages" | "/anthropic/v1/messages" => Some(Operation::Chat),
            "/anthropic/v1/models" => Some(Operation::ListModels),
            _ => None,
        }
    }

    /// `anthropic-version` says what the body means; `anthropic-beta` unlocks members that are refused without it.
    fn forwarded_headers(&self) -> &'static [&'static str] {
        &["anthropic-beta", "anthropic-version"]
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, Malformed> {
        request_decode::decode(body)
    }

    fn encode_response(&self, response: &Response, context: &StreamContext) -> Vec<u8> {
        response::encode(response, context)
    }

    /// Overload has a status of its own here, and 402 is the exhausted account.
    fn status(&self, fault: &Fault) -> u16 {
        match fault.kind {
            FaultKind::Overloaded => 529,
            FaultKind::QuotaExceeded => 402,
            FaultKind::InvalidRequest
            | FaultKind::Authentication
            | FaultKind::Permission
            | FaultKind::NotFound
            | FaultKind::MethodNotAllowed
            | FaultKind::TooLarge
            | FaultKind::RateLimited
            | FaultKind::Internal
            | FaultKind::BadGateway
            | FaultKind::Timeout => fault.status,
        }
    }

    fn encode_fault(&self, fault: &Fault) -> Vec<u8> {
        fault::encode(fault)
    }

    fn encode_models(&self, models: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        json::write_object(&mut out, |o| {
            o.array("data", |data| {
                for model in models {
                    data.object(|o| {
                        o.str("type", "model");
                        o.str("id", model);
                        o.str("display_name", model);
                        o.str("created_at", "1970-01-01T00:00:00Z");
                    });
                }
            });
            o.bool("has_more", false);
            for (name, id) in [("first_id", models.first()), ("last_id", models.last())] {
                match id {
                    Some(id) => o.str(name, id),
                    None => o.literal(name, "null"),
                }
            }
        });
        out
    }

    fn stream_encoder(&self, context: StreamContext) -> Box<dyn StreamEncode> {
        Box::new(stream_encode::Encoder::new(context))
    }
}

impl Outbound for Anthropic {
    fn name(&self) -> &'static str {
        NAME
    }

    fn path(&self, operation: Operation) -> &'static str {
        match operation {
            Operation::Chat => "/messages",
            Operation::ListModels => "/models",
        }
    }

    fn default_headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn encode_request(&self, request: &Request, model: &str, losses: &mut Losses) -> Vec<u8> {
        request_encode::encode(request, model, losses)
    }

    fn edits(&self, scan: &Scan, model: &str) -> Vec<Edit> {
        same_format_edits(scan, model, &[])
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response, Malformed> {
        response::decode(body)
    }

    fn response_usage(&self, body: &[u8]) -> Option<Usage> {
        let mut counts = usage::Counts::default();
        counts.update(Object::parse(body).ok()?.raw("usage").ok()??);
        let usage = counts.usage();
        (!usage.is_empty()).then_some(usage)
    }

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        fault::decode(status, body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecode> {
        Box::<stream_decode::Decoder>::default()
    }

    fn stream_watch(&self, _hide_usage: bool) -> Box<dyn StreamWatch> {
        Box::<watch::Watch>::default()
    }
}
