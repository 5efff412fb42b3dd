//! Requests and answers of a given size, as vendors' clients and vendors send them.

use serde_json::{Value, json};

/// Bytes of a body as Envoy hands them over.
const PIECE: usize = 16_384;

const LINE: &str = "What a request costs is counted in instructions, \"quotes\" and\nline ends included. ";

fn text(size: usize) -> String {
    LINE.chars().cycle().take(size).collect()
}

/// A conversation in turns of up to 1,000 characters, as OpenAI's clients send it.
pub(crate) fn request(model: &str, size: usize, stream: bool) -> Vec<u8> {
    let roles = ["user", "assistant"].into_iter().cycle();
    let turns = (0..size).step_by(1_000).zip(roles);
    let messages: Vec<Value> =
        turns.map(|(at, role)| json!({"role": role, "content": text((size - at).min(1_000))})).collect();
    json!({"model": model, "temperature": 0.7, "messages": messages, "stream": stream}).to_string().into_bytes()
}

/// OpenAI's whole answer, in pieces.
pub(crate) fn openai(size: usize) -> Vec<Vec<u8>> {
    let message = json!({"role": "assistant", "content": text(size), "refusal": null, "annotations": []});
    pieces(&json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 250, "completion_tokens": 250, "total_tokens": 500,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}},
        "service_tier": "default", "system_fingerprint": "fp_1"
    }))
}

/// Anthropic's.
pub(crate) fn anthropic(size: usize) -> Vec<Vec<u8>> {
    pieces(&json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-3-5-haiku-20241022",
        "content": [{"type": "text", "text": text(size)}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 250, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 250}
    }))
}

fn pieces(body: &Value) -> Vec<Vec<u8>> {
    body.to_string().into_bytes().chunks(PIECE).map(<[u8]>::to_vec).collect()
}

/// OpenAI's stream, a piece an event, with one word in each.
pub(crate) fn openai_stream(size: usize) -> Vec<Vec<u8>> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18",
            "service_tier": "default", "system_fingerprint": "fp_1", "choices": [choice]
        });
        format!("data: {chunk}\n\n").into_bytes()
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null)];
    events.extend(words(size).map(|word| chunk(json!({"content": word}), Value::Null)));
    events.push(chunk(json!({}), json!("stop")));
    events.push(b"data: [DONE]\n\n".to_vec());
    events
}

/// Anthropic's.
pub(crate) fn anthropic_stream(size: usize) -> Vec<Vec<u8>> {
    let event = |name: &str, data: Value| format!("event: {name}\ndata: {data}\n\n").into_bytes();
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-3-5-haiku-20241022", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 250, "output_tokens": 1}
    });
    let block = json!({"type": "text", "text": ""});
    let mut events = vec![
        event("message_start", json!({"type": "message_start", "message": message})),
        event("content_block_start", json!({"type": "content_block_start", "index": 0, "content_block": block})),
    ];
    events.extend(words(size).map(|word| {
        let delta = json!({"type": "text_delta", "text": word});
        event("content_block_delta", json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }));
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
        "usage": {"output_tokens": 250}});
    events.extend([
        event("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        event("message_delta", end),
        event("message_stop", json!({"type": "message_stop"})),
    ]);
    events
}

fn words(size: usize) -> impl Iterator<Item = String> {
    let text = text(size);
    let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
    words.into_iter()
}
