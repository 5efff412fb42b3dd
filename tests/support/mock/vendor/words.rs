//! Pieces of answers for those who say with [`Fault::Says`](crate::mock::Fault::Says) what a provider says.
//!
//! Does not: follow a request. The model's name is `m`, whatever was asked.

use serde_json::{Value, json};

use super::Vendor;

impl Vendor {
    /// The beginning of a stream, without content.
    pub fn opening(self) -> String {
        match self {
            Self::OpenAi => {
                chunk(json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]), None)
            }
            Self::Anthropic => {
                let usage = json!({"input_tokens": 3, "output_tokens": 1});
                let message = json!({"id": "x", "type": "message", "role": "assistant", "model": "m", "content": [],
                    "stop_reason": null, "usage": usage});
                event(json!({"type": "message_start", "message": message})) + &event(json!({"type": "ping"}))
            }
        }
    }

    /// A whole stream: its beginning, an event for each piece of text, its end.
    pub fn said(self, pieces: &[&str], usage: (u64, u64)) -> Vec<String> {
        let (input, output) = usage;
        match self {
            Self::OpenAi => {
                let say =
                    |piece| chunk(json!([{"index": 0, "delta": {"content": piece}, "finish_reason": null}]), None);
                let usage =
                    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
                let stop = chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), None);
                let end = stop + &chunk(json!([]), Some(usage)) + "data: [DONE]\n\n";
                [self.opening()].into_iter().chain(pieces.iter().map(say)).chain([end]).collect()
            }
            Self::Anthropic => {
                let block = json!({"type": "text", "text": ""});
                let begin = event(json!({"type": "content_block_start", "index": 0, "content_block": block}));
                let say = |piece| {
                    let delta = json!({"type": "text_delta", "text": piece});
                    event(json!({"type": "content_block_delta", "index": 0, "delta": delta}))
                };
                let usage = json!({"input_tokens": input, "output_tokens": output});
                let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
                let end = event(json!({"type": "content_block_stop", "index": 0}))
                    + &event(json!({"type": "message_delta", "delta": delta, "usage": usage}))
                    + &event(json!({"type": "message_stop"}));
                [self.opening() + &begin].into_iter().chain(pieces.iter().map(say)).chain([end]).collect()
            }
        }
    }

    /// A whole answer that is not streamed.
    pub fn whole(self, text: &str, usage: (u64, u64)) -> String {
        let (input, output) = usage;
        let body = match self {
            Self::OpenAi => json!({
                "id": "x", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
            }),
            Self::Anthropic => json!({
                "id": "x", "type": "message", "role": "assistant", "model": "m",
                "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": input, "output_tokens": output},
            }),
        };
        body.to_string()
    }

    /// The end marker of a stream, alone.
    pub fn done(self) -> String {
        match self {
            Self::OpenAi => "data: [DONE]\n\n".to_owned(),
            Self::Anthropic => event(json!({"type": "message_stop"})),
        }
    }

    /// That it is overloaded, as a body says it.
    pub fn too_busy(self) -> String {
        let body = match self {
            Self::OpenAi => json!({"error": {
                "message": "too busy", "type": "server_error", "param": null, "code": "server_is_overloaded"}}),
            Self::Anthropic => json!({"type": "error", "error": {"type": "overloaded_error", "message": "too busy"}}),
        };
        body.to_string()
    }

    /// That it is overloaded, as an event of a stream says it.
    pub fn busy(self) -> String {
        match self {
            Self::OpenAi => format!("data: {}\n\n", self.too_busy()),
            Self::Anthropic => format!("event: error\ndata: {}\n\n", self.too_busy()),
        }
    }
}

fn chunk(choices: Value, usage: Option<Value>) -> String {
    let mut body =
        json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices});
    if let Some(usage) = usage {
        body["usage"] = usage;
    }
    format!("data: {body}\n\n")
}

fn event(body: Value) -> String {
    format!("event: {}\ndata: {body}\n\n", body["type"].as_str().unwrap_or_default())
}
