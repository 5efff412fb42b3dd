//! OpenAI Chat Completions, the format of OpenAI and of the many servers compatible with it.
//!
//! Does not: Responses, embeddings, audio; a second choice of one answer (requests for several stay in this format).
//!
//! Decision: servers that deviate are values of [`Compatible`], a closed list of flags. Rejected: a format per vendor,
//! which would repeat nine tenths of this one.

mod annotation;
mod arguments;
mod cut;
mod fault;
mod finality;
mod finish;
mod mend;
mod message_decode;
mod message_encode;
mod quirk;
mod reasoning;
mod request_decode;
mod request_encode;
mod response;
mod stream_decode;
mod stream_encode;
mod strict;
mod tool_decode;
mod usage;
mod watch;

pub use quirk::{Ask, COMMON_EFFORTS, Compatible, Memory};

use crate::format::{
    Inbound, Malformed, NoAnswer, Outbound, Spelling, StreamContext, StreamDecode, StreamEncode, StreamWatch,
    same_format_edits,
};
use crate::ir::{Fault, FaultKind, Losses, Operation, Request, Response, Usage};
use crate::json;
use crate::scan::{Edit, Scan, quoted};

/// The format's name.
pub const NAME: &str = "openai_chat";

/// OpenAI's own dialect, both halves.
#[derive(Debug, Clone, Copy)]
pub struct OpenAiChat;

const OPENAI: Compatible = Compatible::OPENAI;

static SPELLING: Spelling = Spelling {
    system: None,
    one_list: false,
    reasoning: &reasoning::MEMBERS,
    annotations: Some("annotations"),
    fields: &[
        ("effort", "reasoning"),
        ("effort", "reasoning_effort"),
        ("max_tokens", "max_tokens"),
        ("max_tokens", "max_completion_tokens"),
        ("output", "response_format"),
        ("output_strict", "response_format.json_schema.strict"),
        ("parallel_tools", "parallel_tool_calls"),
        ("reasoning", "reasoning"),
        ("reasoning", "thinking"),
        ("reasoning", "reasoning_effort"),
        ("strict", "function.strict"),
        ("user", "safety_identifier"),
        ("user", "user"),
        ("web_search", "web_search_options"),
    ],
};

impl Inbound for OpenAiChat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims(&self, path: &str) -> Option<Operation> {
        match path {
            "/v1/chat/completions" | "/openai/v1/chat/completions" => Some(Operation::Chat),
            "/v1/models" | "/openai/v1/models" => Some(Operation::ListModels),
            _ => None,
        }
    }

    fn home(&self) -> Option<&'static str> {
        Some("api.openai.com")
    }

    fn spelling(&self) -> &'static Spelling {
        &SPELLING
    }

    /// None: everything this format says is in the body. `openai-organization` and `openai-project` choose who pays for
    /// a key, and the key is the gateway's; `openai-beta` switches APIs other than this one.
    fn forwarded_headers(&self) -> &'static [&'static str] {
        &[]
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, Malformed> {
        request_decode::decode(body)
    }

    fn encode_response(&self, response: &Response, context: &StreamContext) -> Vec<u8> {
        response::encode(response, context)
    }

    /// 529 and 402 are Anthropic's; clients of this format know 503 and 429.
    fn status(&self, fault: &Fault) -> u16 {
        let ours = matches!(fault.kind, FaultKind::Overloaded | FaultKind::QuotaExceeded);
        if ours { fault.kind.status() } else { fault.status }
    }

    fn encode_fault(&self, fault: &Fault) -> Vec<u8> {
        fault::encode(fault)
    }

    fn encode_models(&self, models: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        json::write_object(&mut out, |o| {
            o.str("object", "list");
            o.array("data", |data| {
                for model in models {
                    data.object(|o| {
                        o.str("id", model);
                        o.str("object", "model");
                        o.u64("created", 0);
                        o.str("owned_by", "attache");
                    });
                }
            });
        });
        out
    }

    fn stream_encoder(&self, context: StreamContext) -> Box<dyn StreamEncode> {
        Box::new(stream_encode::Encoder::new(context))
    }
}

impl Outbound for Compatible {
    fn name(&self) -> &'static str {
        NAME
    }

    fn path(&self, operation: Operation) -> Option<&'static str> {
        match operation {
            Operation::Chat => Some("/chat/completions"),
            Operation::CountTokens => None,
            Operation::ListModels => Some("/models"),
        }
    }

    fn default_headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn encode_request(&self, request: &Request, model: &str, losses: &mut Losses) -> Vec<u8> {
        request_encode::encode(request, model, self, losses)
    }

    fn edits(&self, scan: &Scan, model: &str) -> Vec<Edit> {
        let mut strip = Vec::new();
        let mut edits = Vec::new();
        if !self.stream_options {
            strip.extend(&scan.stream_options_at);
        } else if scan.stream && !scan.include_usage {
            let inside = scan.include_usage_edit.clone();
            edits.push(inside.unwrap_or_else(|| scan.insert("stream_options", r#"{"include_usage":true}"#)));
        }
        if let Some(newer) = scan.max_completion_tokens_at.as_ref().filter(|_| !self.max_completion_tokens) {
            // It outranks the older name, and takes it.
            strip.extend(&scan.max_tokens_at);
            edits.push(Edit { range: newer.name.clone(), with: b"\"max_tokens\"".to_vec() });
        }
        if let Some(seed) = scan.aside("seed").filter(|_| self.seed != "seed") {
            edits.push(Edit { range: seed.name.clone(), with: quoted(self.seed).into_bytes() });
        }
        strip.extend(self.refuses.iter().filter_map(|name| scan.aside(name)));
        edits.extend(same_format_edits(scan, model, &strip));
        edits
    }

    fn particular(&self, _scan: &Scan) -> bool {
        mend::is_particular(self)
    }

    fn mend(&self, scan: &Scan, body: &[u8], losses: &mut Losses) -> Vec<Edit> {
        mend::mend(self, scan, body, losses)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response, Malformed> {
        response::decode(body)
    }

    fn glance(&self, body: &[u8]) -> Result<Usage, NoAnswer> {
        response::glance(body)
    }

    fn usage_at_end(&self, tail: &[u8]) -> Option<Usage> {
        json::find::last(tail, b"\"usage\"").map(usage::read)
    }

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        fault::decode(status, body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecode> {
        Box::<stream_decode::Decoder>::default()
    }

    fn stream_watch(&self, hide_usage: bool) -> Box<dyn StreamWatch> {
        Box::new(watch::Watch::new(hide_usage))
    }
}

impl Outbound for OpenAiChat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn path(&self, operation: Operation) -> Option<&'static str> {
        OPENAI.path(operation)
    }

    fn default_headers(&self) -> &'static [(&'static str, &'static str)] {
        OPENAI.default_headers()
    }

    fn encode_request(&self, request: &Request, model: &str, losses: &mut Losses) -> Vec<u8> {
        OPENAI.encode_request(request, model, losses)
    }

    fn edits(&self, scan: &Scan, model: &str) -> Vec<Edit> {
        OPENAI.edits(scan, model)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response, Malformed> {
        OPENAI.decode_response(body)
    }

    fn glance(&self, body: &[u8]) -> Result<Usage, NoAnswer> {
        OPENAI.glance(body)
    }

    fn usage_at_end(&self, tail: &[u8]) -> Option<Usage> {
        OPENAI.usage_at_end(tail)
    }

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        OPENAI.decode_fault(status, body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecode> {
        OPENAI.stream_decoder()
    }

    fn stream_watch(&self, hide_usage: bool) -> Box<dyn StreamWatch> {
        OPENAI.stream_watch(hide_usage)
    }
}
