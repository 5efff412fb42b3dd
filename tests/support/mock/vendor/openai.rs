//! OpenAI chat completions, as api.openai.com takes and gives them.

use serde_json::{Value, json};

use super::check::{boolean, count, known, list, number, text as text_of};
use super::{Ask, Refusal, example, pieces, text, tokens};

const MEMBERS: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "n",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "user",
    "seed",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "metadata",
    "store",
    "service_tier",
    "modalities",
    "audio",
    "prediction",
    "verbosity",
    "web_search_options",
    "safety_identifier",
    "prompt_cache_key",
    "functions",
    "function_call",
];
const CREATED: u64 = 1_760_000_000;

pub(super) fn ask(body: &Value) -> Result<Ask, Refusal> {
    known(body, "body", MEMBERS)?;
    let model = text_of(body, "body", "model")?.to_owned();
    number(body, "temperature", 0.0, 2.0)?;
    number(body, "top_p", 0.0, 1.0)?;
    number(body, "presence_penalty", -2.0, 2.0)?;
    number(body, "frequency_penalty", -2.0, 2.0)?;
    count(body, "max_tokens")?;
    count(body, "max_completion_tokens")?;
    stop(body)?;
    let stream = boolean(body, "stream")?;
    let options = body.get("stream_options").filter(|options| !options.is_null());
    if let Some(options) = options {
        known(options, "stream_options", &["include_usage", "include_obfuscation"])?;
        if !stream {
            return Err(Refusal::bad("stream_options", "`stream_options` needs `stream: true`"));
        }
    }
    let usage = options.map_or(Ok(false), |options| boolean(options, "include_usage"))?;
    let messages = list(body, "body", "messages")?;
    let last = conversation(messages)?;
    let after_tool = messages.last().is_some_and(|m| m["role"] == "tool");
    let call = tool(body)?.filter(|_| !after_tool);
    Ok(Ask { model, stream, usage, call, last })
}

fn stop(body: &Value) -> Result<(), Refusal> {
    match body.get("stop") {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(Value::Array(list)) if list.len() <= 4 && list.iter().all(Value::is_string) => Ok(()),
        Some(_) => Err(Refusal::bad("stop", "`stop` must be a string or at most 4 strings")),
    }
}

/// Checks each message and returns what was said last.
fn conversation(messages: &[Value]) -> Result<String, Refusal> {
    let mut open: Vec<String> = Vec::new();
    let mut last = String::new();
    for (i, message) in messages.iter().enumerate() {
        let path = format!("messages[{i}]");
        let role = text_of(message, &path, "role")?;
        if !open.is_empty() && role != "tool" {
            return Err(Refusal::bad("messages", format!("{path}: tool calls {open:?} have no answer")));
        }
        match role {
            "system" | "developer" => {
                known(message, &path, &["role", "content", "name"])?;
                content(message, &path, &["text"])?;
            }
            "user" => {
                known(message, &path, &["role", "content", "name"])?;
                last = content(message, &path, &["text", "image_url", "input_audio", "file"])?;
            }
            "assistant" => {
                let names =
                    ["role", "content", "name", "tool_calls", "refusal", "audio", "function_call", "annotations"];
                known(message, &path, &names)?;
                let empty = message.get("content").is_none_or(Value::is_null);
                match message.get("tool_calls").filter(|calls| !calls.is_null()) {
                    Some(_) => open = calls(message, &path)?,
                    None if empty => return Err(Refusal::bad("messages", format!("{path} has no content"))),
                    None => {}
                }
                if !empty {
                    content(message, &path, &["text", "refusal"])?;
                }
            }
            "tool" => {
                known(message, &path, &["role", "content", "tool_call_id"])?;
                let id = text_of(message, &path, "tool_call_id")?;
                let at = open.iter().position(|call| call == id);
                open.remove(at.ok_or_else(|| Refusal::bad("messages", format!("{path}: nobody called {id}")))?);
                last = content(message, &path, &["text"])?;
            }
            _ => return Err(Refusal::bad("messages", format!("{path}: unknown role {role}"))),
        }
    }
    if open.is_empty() { Ok(last) } else { Err(Refusal::bad("messages", format!("{open:?} have no answer"))) }
}

fn calls(message: &Value, path: &str) -> Result<Vec<String>, Refusal> {
    let one = |call: &Value| {
        known(call, path, &["id", "type", "function"])?;
        if call["type"] != "function" {
            return Err(Refusal::bad("messages", format!("{path}: a call's type must be `function`")));
        }
        known(&call["function"], path, &["name", "arguments"])?;
        text_of(&call["function"], path, "name")?;
        let arguments = call["function"]["arguments"].as_str();
        arguments.ok_or_else(|| Refusal::bad("messages", format!("{path}: arguments must be a string")))?;
        Ok(text_of(call, path, "id")?.to_owned())
    };
    list(message, path, "tool_calls")?.iter().map(one).collect()
}

fn content(message: &Value, path: &str, kinds: &[&str]) -> Result<String, Refusal> {
    match message.get("content") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) if !parts.is_empty() => {
            let mut all = String::new();
            for part in parts {
                let kind = text_of(part, path, "type")?;
                if !kinds.contains(&kind) || part.get(kind).is_none() {
                    return Err(Refusal::bad("messages", format!("{path}: a `{kind}` part cannot stand here")));
                }
                all.push_str(part["text"].as_str().unwrap_or_default());
            }
            Ok(all)
        }
        _ => Err(Refusal::bad("messages", format!("{path}.content must be a string or a list of parts"))),
    }
}

fn tool(body: &Value) -> Result<Option<(String, Value)>, Refusal> {
    if body.get("tools").is_none_or(Value::is_null) {
        let choice = body.get("tool_choice").filter(|choice| !choice.is_null());
        return choice.map_or(Ok(None), |_| Err(Refusal::bad("tool_choice", "`tool_choice` needs `tools`")));
    }
    for tool in list(body, "body", "tools")? {
        known(tool, "tools[]", &["type", "function"])?;
        if tool["type"] != "function" {
            return Err(Refusal::bad("tools", "a tool's type must be `function`"));
        }
        known(&tool["function"], "tools[].function", &["name", "description", "parameters", "strict"])?;
        text_of(&tool["function"], "tools[].function", "name")?;
    }
    let named = match body.get("tool_choice") {
        None | Some(Value::Null) => None,
        Some(Value::String(word)) if word == "none" => return Ok(None),
        Some(Value::String(word)) if word == "auto" || word == "required" => None,
        Some(choice) if choice["type"] == "function" => Some(text_of(&choice["function"], "tool_choice", "name")?),
        Some(choice) => return Err(Refusal::bad("tool_choice", format!("`tool_choice` cannot be {choice}"))),
    };
    let functions = || body["tools"].as_array().into_iter().flatten().map(|tool| &tool["function"]);
    let chosen = match named {
        Some(name) => functions().find(|f| f["name"] == name),
        None => functions().next(),
    };
    let chosen = chosen.ok_or_else(|| Refusal::bad("tool_choice", "`tool_choice` names no tool on offer"))?;
    let schema = chosen.get("parameters").cloned().unwrap_or_else(|| json!({"type": "object"}));
    Ok(Some((chosen["name"].as_str().unwrap_or_default().to_owned(), example(&schema))))
}

pub(super) fn unary(host: &str, ask: &Ask, id: u64) -> Vec<u8> {
    let (message, reason, said) = match &ask.call {
        Some((name, arguments)) => {
            let arguments = arguments.to_string();
            let call =
                json!({"id": call_id(id), "type": "function", "function": {"name": name, "arguments": arguments}});
            (
                json!({"role": "assistant", "content": null, "tool_calls": [call], "refusal": null}),
                "tool_calls",
                arguments,
            )
        }
        None => {
            let said = text(host, &ask.model, &ask.last);
            (json!({"role": "assistant", "content": said, "refusal": null, "annotations": []}), "stop", said)
        }
    };
    let body = json!({
        "id": format!("chatcmpl-{id:08}"), "object": "chat.completion", "created": CREATED, "model": ask.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}],
        "usage": usage(ask, &said), "service_tier": "default", "system_fingerprint": "fp_mock",
    });
    serde_json::to_vec_pretty(&body).unwrap()
}

pub(super) fn stream(host: &str, ask: &Ask, id: u64) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut chunk = |choices: Value, usage: Option<Value>| {
        let mut body = json!({
            "id": format!("chatcmpl-{id:08}"), "object": "chat.completion.chunk", "created": CREATED,
            "model": ask.model, "service_tier": "default", "system_fingerprint": "fp_mock", "choices": choices,
        });
        if ask.usage {
            body["usage"] = usage.unwrap_or(Value::Null);
        }
        out.push(format!("data: {body}\n\n").into_bytes());
    };
    let delta =
        |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]);
    let (said, reason) = match &ask.call {
        Some((name, arguments)) => {
            let head =
                json!({"index": 0, "id": call_id(id), "type": "function", "function": {"name": name, "arguments": ""}});
            chunk(delta(json!({"role": "assistant", "content": null, "tool_calls": [head]}), Value::Null), None);
            for piece in pieces(&arguments.to_string()) {
                let call = json!({"index": 0, "function": {"arguments": piece}});
                chunk(delta(json!({"tool_calls": [call]}), Value::Null), None);
            }
            (arguments.to_string(), "tool_calls")
        }
        None => {
            let said = text(host, &ask.model, &ask.last);
            chunk(delta(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null), None);
            for piece in pieces(&said) {
                chunk(delta(json!({"content": piece}), Value::Null), None);
            }
            (said, "stop")
        }
    };
    chunk(delta(json!({}), json!(reason)), None);
    if ask.usage {
        chunk(json!([]), Some(usage(ask, &said)));
    }
    out.push(b"data: [DONE]\n\n".to_vec());
    out
}

fn call_id(id: u64) -> String {
    format!("call_{id:08}")
}

fn usage(ask: &Ask, said: &str) -> Value {
    let (input, output) = tokens(&ask.last, said);
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}})
}

pub(super) fn error(status: u16, message: &str, param: Option<&str>) -> Vec<u8> {
    let kind = match status {
        401 => "authentication_error",
        429 => "rate_limit_exceeded",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    let body = json!({"error": {"message": message, "type": kind, "param": param, "code": null}});
    serde_json::to_vec_pretty(&body).unwrap()
}
