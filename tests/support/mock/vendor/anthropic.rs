//! Anthropic messages, as api.anthropic.com takes and gives them.

use serde_json::{Value, json};

use super::check::{boolean, count, known, list, number, text as text_of};
use super::{Ask, Refusal, example, pieces, text, tokens};

const MEMBERS: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "system",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "tools",
    "tool_choice",
    "thinking",
    "service_tier",
    "container",
    "mcp_servers",
    "context_management",
    "output_config",
    "cache_control",
];

pub(super) fn ask(headers: &hyper::HeaderMap, body: &Value) -> Result<Ask, Refusal> {
    if !headers.contains_key("anthropic-version") {
        return Err(Refusal::bad("", "anthropic-version: header is required"));
    }
    known(body, "body", MEMBERS)?;
    let model = text_of(body, "body", "model")?.to_owned();
    if count(body, "max_tokens")?.is_none() {
        return Err(Refusal::bad("max_tokens", "max_tokens: Field required"));
    }
    number(body, "temperature", 0.0, 1.0)?;
    number(body, "top_p", 0.0, 1.0)?;
    count(body, "top_k")?;
    let stops = body.get("stop_sequences").filter(|stops| !stops.is_null());
    if stops.is_some_and(|s| !s.as_array().is_some_and(|list| list.iter().all(Value::is_string))) {
        return Err(Refusal::bad("stop_sequences", "stop_sequences: must be a list of strings"));
    }
    if let Some(metadata) = body.get("metadata") {
        known(metadata, "metadata", &["user_id"])?;
    }
    match body.get("system") {
        None | Some(Value::String(_)) => {}
        Some(blocks) => {
            said(blocks, "system", &["text"])?;
        }
    }
    let messages = list(body, "body", "messages")?;
    let last = conversation(messages)?;
    let after_tool = messages
        .last()
        .and_then(|m| m["content"].as_array())
        .is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "tool_result"));
    let call = tool(body)?.filter(|_| !after_tool);
    Ok(Ask { model, stream: boolean(body, "stream")?, usage: true, call, last })
}

/// Checks each message and returns what was said last.
fn conversation(messages: &[Value]) -> Result<String, Refusal> {
    let mut open: Vec<String> = Vec::new();
    let mut last = String::new();
    for (i, message) in messages.iter().enumerate() {
        let path = format!("messages.{i}");
        known(message, &path, &["role", "content"])?;
        let role = text_of(message, &path, "role")?;
        if i == 0 && role != "user" {
            return Err(Refusal::bad("messages", "messages: first message must use the \"user\" role"));
        }
        let content = &message["content"];
        let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
        let ids = |kind: &str, member: &str| -> Vec<String> {
            let mine = blocks.iter().filter(|block| block["type"] == kind);
            mine.map(|block| block[member].as_str().unwrap_or_default().to_owned()).collect()
        };
        match role {
            "user" => {
                last = said(content, &path, &["text", "image", "document", "tool_result", "search_result"])?;
                let answered = ids("tool_result", "tool_use_id");
                if answered.iter().any(|id| !open.contains(id)) || open.iter().any(|id| !answered.contains(id)) {
                    let message = format!("{path}: calls {open:?} and results {answered:?} do not match");
                    return Err(Refusal::bad("messages", message));
                }
                open.clear();
            }
            "assistant" => {
                said(content, &path, &["text", "tool_use", "thinking", "redacted_thinking", "server_tool_use"])?;
                open = ids("tool_use", "id");
            }
            _ => return Err(Refusal::bad("messages", format!("{path}: unknown role {role}"))),
        }
    }
    if open.is_empty() { Ok(last) } else { Err(Refusal::bad("messages", format!("{open:?} have no result"))) }
}

/// Checks content and returns its text, tool results included.
fn said(content: &Value, path: &str, kinds: &[&str]) -> Result<String, Refusal> {
    if let Value::String(text) = content {
        let empty = || Refusal::bad("messages", format!("{path}: text must be non-empty"));
        return if text.is_empty() { Err(empty()) } else { Ok(text.clone()) };
    }
    let blocks = content.as_array().filter(|blocks| !blocks.is_empty());
    let blocks = blocks.ok_or_else(|| Refusal::bad("messages", format!("{path}: content must be text or blocks")))?;
    let mut all = String::new();
    for block in blocks {
        let kind = text_of(block, path, "type")?;
        if !kinds.contains(&kind) {
            return Err(Refusal::bad("messages", format!("{path}: a `{kind}` block cannot stand here")));
        }
        match kind {
            "text" => {
                known(block, path, &["type", "text", "cache_control", "citations"])?;
                all.push_str(text_of(block, path, "text")?);
            }
            "tool_use" => {
                known(block, path, &["type", "id", "name", "input", "cache_control"])?;
                text_of(block, path, "id")?;
                text_of(block, path, "name")?;
                if !block["input"].is_object() {
                    return Err(Refusal::bad("messages", format!("{path}: tool_use.input must be an object")));
                }
            }
            "tool_result" => {
                known(block, path, &["type", "tool_use_id", "content", "is_error", "cache_control"])?;
                text_of(block, path, "tool_use_id")?;
                if let Some(inner) = block.get("content") {
                    all.push_str(&said(inner, path, &["text", "image", "document"])?);
                }
            }
            _ => {}
        }
    }
    Ok(all)
}

fn tool(body: &Value) -> Result<Option<(String, Value)>, Refusal> {
    let choice = body.get("tool_choice").filter(|choice| !choice.is_null());
    let Some(tools) = body.get("tools").and_then(Value::as_array).filter(|tools| !tools.is_empty()) else {
        return choice.map_or(Ok(None), |_| Err(Refusal::bad("tool_choice", "tool_choice: needs tools")));
    };
    for tool in tools {
        let names = ["name", "description", "input_schema", "type", "cache_control", "strict", "input_examples"];
        known(tool, "tools", &names)?;
        text_of(tool, "tools", "name")?;
        if tool["input_schema"]["type"] != "object" {
            return Err(Refusal::bad("tools", "tools.0.input_schema.type: must be `object`"));
        }
    }
    let mut named = None;
    if let Some(choice) = choice {
        known(choice, "tool_choice", &["type", "name", "disable_parallel_tool_use"])?;
        match choice["type"].as_str() {
            Some("auto" | "any") => {}
            Some("none") => return Ok(None),
            Some("tool") => named = Some(text_of(choice, "tool_choice", "name")?),
            _ => return Err(Refusal::bad("tool_choice", format!("tool_choice: cannot be {choice}"))),
        }
    }
    let chosen = match named {
        Some(name) => tools.iter().find(|tool| tool["name"] == name),
        None => tools.first(),
    };
    let chosen = chosen.ok_or_else(|| Refusal::bad("tool_choice", "tool_choice: names no tool on offer"))?;
    Ok(Some((chosen["name"].as_str().unwrap_or_default().to_owned(), example(&chosen["input_schema"]))))
}

pub(super) fn unary(host: &str, ask: &Ask, id: u64) -> Vec<u8> {
    let (block, reason, said) = match &ask.call {
        Some((name, input)) => {
            let block = json!({"type": "tool_use", "id": call_id(id), "name": name, "input": input});
            (block, "tool_use", input.to_string())
        }
        None => {
            let said = text(host, &ask.model, &ask.last);
            (json!({"type": "text", "text": said}), "end_turn", said)
        }
    };
    let (input, output) = tokens(&ask.last, &said);
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
    let said = ask.call.as_ref().map_or_else(|| text(host, &ask.model, &ask.last), |(_, input)| input.to_string());
    let (input, output) = tokens(&ask.last, &said);
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
