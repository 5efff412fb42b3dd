//! Anthropic Messages.
//!
//! Does not: batches, files.
//!
//! Decision: blocks this format alone knows (server tools and their results, containers, compactions) are kept whole as
//! [`crate::ir::Part::Opaque`]. Rejected: a type for each; the vendor adds several a year and no other format has them.
//! Documents and search results that are nothing but text are text, and this format gets them back as they were.

mod block_decode;
mod block_encode;
mod citation;
mod conversation;
mod fault;
mod mend;
mod models;
mod request_decode;
mod request_encode;
mod response;
mod schema;
mod stream_decode;
mod stream_encode;
mod thinking;
mod tool_decode;
mod tool_encode;
mod usage;
mod watch;

use crate::format::{
    Auth, Inbound, Malformed, NoAnswer, Outbound, Spelling, StreamContext, StreamDecode, StreamEncode, StreamWatch,
    X_API_KEY, same_format_edits,
};
use crate::ir::{Fault, FaultKind, Losses, Operation, Request, Response, Usage};
use crate::json;
use crate::scan::{Edit, Scan};

/// The format's name.
pub const NAME: &str = "anthropic";

/// The tool whose call is the answer, see [`tool_encode`]. Decoders know it by this name alone, so nothing has to be
/// remembered between request and answer.
const ANSWER_TOOL: &str = "attache_output";

/// The format, both halves.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic;

static SPELLING: Spelling = Spelling {
    system: Some("system"),
    one_list: true,
    reasoning: &[],
    annotations: None,
    fields: &[
        ("effort", "output_config.effort"),
        ("output", "output_format"),
        ("output", "output_config.format"),
        ("output_strict", "output_format"),
        ("output_strict", "output_config.format"),
        ("parallel_tools", "tool_choice.disable_parallel_tool_use"),
        ("reasoning", "thinking"),
        ("reasoning", "output_config.effort"),
        ("stop", "stop_sequences"),
        ("user", "metadata.user_id"),
    ],
};

impl Inbound for Anthropic {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims(&self, path: &str) -> Option<Operation> {
        match path {
            "/v1/messages" | "/anthropic/v1/messages" => Some(Operation::Chat),
            "/v1/messages/count_tokens" | "/anthropic/v1/messages/count_tokens" => Some(Operation::CountTokens),
            "/anthropic/v1/models" => Some(Operation::ListModels),
            _ => None,
        }
    }

    fn marker(&self) -> Option<&'static str> {
        Some("anthropic-version")
    }

    fn home(&self) -> Option<&'static str> {
        Some("api.anthropic.com")
    }

    fn spelling(&self) -> &'static Spelling {
        &SPELLING
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
        fault::encode(fault, None)
    }

    fn encode_refusal(&self, fault: &Fault, request_id: Option<&str>) -> Vec<u8> {
        fault::encode(fault, request_id)
    }

    fn encode_count(&self, input_tokens: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        json::write_object(&mut out, |o| o.u64("input_tokens", input_tokens));
        Some(out)
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
                        o.str("lifecycle", "active");
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

    fn path(&self, operation: Operation) -> Option<&'static str> {
        match operation {
            Operation::Chat => Some("/messages"),
            Operation::CountTokens => Some("/messages/count_tokens"),
            Operation::ListModels => Some("/models"),
        }
    }

    fn auth(&self) -> Auth {
        X_API_KEY
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

    fn particular(&self, scan: &Scan) -> bool {
        scan.unsigned
    }

    fn mend(&self, scan: &Scan, body: &[u8], losses: &mut Losses) -> Vec<Edit> {
        mend::mend(scan, body, losses)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response, Malformed> {
        response::decode(body)
    }

    fn glance(&self, body: &[u8]) -> Result<Usage, NoAnswer> {
        response::glance(body)
    }

    fn usage_at_end(&self, tail: &[u8]) -> Option<Usage> {
        let mut counts = usage::Counts::default();
        counts.update(json::find::last(tail, b"\"usage\"")?);
        Some(counts.usage())
    }

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        fault::decode(status, body)
    }

    fn error_code<'f>(&self, fault: &'f Fault) -> Option<&'f str> {
        // What its types say stands in the kind.
        fault.code.as_deref().or(Some(fault::word_of(fault.kind)))
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecode> {
        Box::<stream_decode::Decoder>::default()
    }

    fn stream_watch(&self, _hide_usage: bool) -> Box<dyn StreamWatch> {
        Box::<watch::Watch>::default()
    }
}
