//! Anthropic messages, as api.anthropic.com takes and gives them.

mod block;
mod message;
mod request;
mod tool;

use serde_json::{Value, json};

use super::{Ask, pieces};

pub(super) use request::ask;

pub(super) fn unary(host: &str, ask: &Ask, id: u64) -> Vec<u8> {
    if ask.count {
        let (input, _) = ask.tokens("");
        return json!({"input_tokens": input}).to_string().into_bytes();
    }
    let (block, reason, said) = match &ask.call {
        Some((name, input)) => {
            let block = json!({"type": "tool_use", "id": call_id(id), "name": name, "input": input});
            (block, "tool_use", input.to_string())
        }
        None => {
            let said = ask.text(host);
            (json!({"type": "text", "text": said}), "end_turn", said)
        }
    };
    let (input, output) = ask.tokens(&said);
    let body = json!({
        "id": format!("msg_{id:08}"), "type": "message", "role": "assistant", "model": ask.model, "content": [block],
        "stop_reason": reason, "stop_sequence": null,
        "usage": {"input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": output, "service_tier": "standard"},
    });
    serde_json::to_vec(&body).unwrap()
}

pub(super) fn stream(host: &str, ask: &Ask, id: u64) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut event = |body: Value| {
        out.push(format!("event: {}\ndata: {body}\n\n", body["type"].as_str().unwrap_or_default()).into_bytes());
    };
    let said = ask.call.as_ref().map_or_else(|| ask.text(host), |(_, input)| input.to_string());
    let (input, output) = ask.tokens(&said);
    event(json!({"type": "message_start", "message": {
        "id": format!("msg_{id:08}"), "type": "message", "role": "assistant", "model": ask.model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}}}));
    let (block, kind, member, reason) = match &ask.call {
        Some((name, _)) => {
            let block = json!({"type": "tool_use", "id": call_id(id), "name": name, "input": {}});
            (block, "input_json_delta", "partial_json", "tool_use")
        }
        None => (json!({"type": "text", "text": ""}), "text_delta", "text", "end_turn"),
    };
    event(json!({"type": "content_block_start", "index": 0, "content_block": block}));
    event(json!({"type": "ping"}));
    for piece in pieces(&said) {
        event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": kind, member: piece}}));
    }
    event(json!({"type": "content_block_stop", "index": 0}));
    event(json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": output}}));
    event(json!({"type": "message_stop"}));
    out
}

fn call_id(id: u64) -> String {
    format!("toolu_{id:08}")
}

pub(super) fn error(status: u16, message: &str) -> Vec<u8> {
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    serde_json::to_vec(&json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_mock"}))
        .unwrap()
}
