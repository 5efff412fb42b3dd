//! OpenAI chat completions, as api.openai.com takes and gives them.

mod message;
mod request;
mod tool;

use serde_json::{Value, json};

use super::{Ask, pieces};

pub(super) use request::ask;

const CREATED: u64 = 1_760_000_000;

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
            let said = ask.text(host);
            (json!({"role": "assistant", "content": said, "refusal": null, "annotations": []}), "stop", said)
        }
    };
    let choice = |index| json!({"index": index, "message": message, "logprobs": null, "finish_reason": reason});
    let body = json!({
        "id": format!("chatcmpl-{id:08}"), "object": "chat.completion", "created": CREATED, "model": ask.model,
        "choices": (0..ask.n).map(choice).collect::<Vec<_>>(),
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
    let mut each = |delta: Value, reason: Value| {
        for index in 0..ask.n {
            chunk(json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": reason}]), None);
        }
    };
    let (said, reason) = match &ask.call {
        Some((name, arguments)) => {
            let head =
                json!({"index": 0, "id": call_id(id), "type": "function", "function": {"name": name, "arguments": ""}});
            each(json!({"role": "assistant", "content": null, "tool_calls": [head]}), Value::Null);
            for piece in pieces(&arguments.to_string()) {
                let call = json!({"index": 0, "function": {"arguments": piece}});
                each(json!({"tool_calls": [call]}), Value::Null);
            }
            (arguments.to_string(), "tool_calls")
        }
        None => {
            let said = ask.text(host);
            each(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null);
            for piece in pieces(&said) {
                each(json!({"content": piece}), Value::Null);
            }
            (said, "stop")
        }
    };
    each(json!({}), json!(reason));
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
    let (input, output) = ask.tokens(said);
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
