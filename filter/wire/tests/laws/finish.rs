//! Why an answer ended, in one format's words and then in the other's.

use serde_json::json;

use crate::cases;
use crate::stream::{context, decode, encode};

/// What clients of a format take for the whole answer.
const CLEAN: [&str; 4] = ["stop", "end_turn", "stop_sequence", "tool_use"];

/// A provider's answer that ends with this word, whole and streamed.
fn answers(format: &str, word: &str) -> (String, String) {
    if format == "openai_chat" {
        let answer = |member: &str| {
            let choice = json!({"index": 0, member: {"role": "assistant", "content": "hi"}, "finish_reason": word});
            json!({"id": "x", "model": "m", "choices": [choice]}).to_string()
        };
        return (answer("message"), format!("data: {}\n\ndata: [DONE]\n\n", answer("delta")));
    }
    let usage = json!({"input_tokens": 1, "output_tokens": 1});
    let text = json!({"type": "text", "text": "hi"});
    let whole = json!({"id": "x", "type": "message", "role": "assistant", "model": "m", "content": [text],
        "stop_reason": word, "usage": usage});
    let events = [
        json!({"type": "message_start", "message": {"id": "x", "model": "m", "usage": usage}}),
        json!({"type": "content_block_start", "index": 0, "content_block": text}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": word}, "usage": usage}),
        json!({"type": "message_stop"}),
    ];
    (whole.to_string(), events.map(|event| format!("data: {event}\n\n")).concat())
}

/// The word that a client of `to` gets, whole and streamed.
fn told(from: &str, word: &str, to: &str) -> [String; 2] {
    let (whole, streamed) = answers(from, word);
    let response = cases::outbound(from).decode_response(whole.as_bytes()).unwrap();
    let whole = cases::inbound(to).encode_response(&response, &context());
    let streamed = encode(to, &decode(from, &[streamed.as_bytes()]), context()).concat();
    [whole, streamed].map(|bytes| {
        let text = String::from_utf8(bytes).unwrap();
        let name = if to == "anthropic" { "\"stop_reason\":\"" } else { "\"finish_reason\":\"" };
        let (_, after) = text.rsplit_once(name).unwrap_or_else(|| panic!("{word} to {to}: {text}"));
        after.split('"').next().unwrap().to_owned()
    })
}

#[test]
fn a_word_that_nobody_knows_is_never_a_clean_end() {
    for word in ["weird", "repetition", "stopped_early", "max_time", "STOP_MAYBE", "é"] {
        for (from, to, expected) in [
            ("openai_chat", "anthropic", "max_tokens"),
            ("openai_chat", "openai_chat", "length"),
            ("anthropic", "openai_chat", "length"),
            ("anthropic", "anthropic", "max_tokens"),
        ] {
            assert!(!CLEAN.contains(&expected));
            assert_eq!(told(from, word, to), [expected, expected], "{word}: {from} to {to}");
        }
    }
}

#[test]
fn the_words_of_all_vendors_mean_what_they_say() {
    for (word, openai, anthropic) in [
        ("stop", "stop", "end_turn"),
        ("STOP", "stop", "end_turn"),
        ("eos", "stop", "end_turn"),
        ("end_turn", "stop", "end_turn"),
        ("stop_sequence", "stop", "stop_sequence"),
        ("length", "length", "max_tokens"),
        ("MAX_TOKENS", "length", "max_tokens"),
        ("model_length", "length", "max_tokens"),
        ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
        ("tool_calls", "tool_calls", "tool_use"),
        ("content_filter", "content_filter", "refusal"),
        ("SAFETY", "content_filter", "refusal"),
        ("PROHIBITED_CONTENT", "content_filter", "refusal"),
    ] {
        assert_eq!(told("openai_chat", word, "anthropic"), [anthropic, anthropic], "{word}");
        assert_eq!(told("openai_chat", word, "openai_chat"), [openai, openai], "{word}");
    }
    for (word, openai) in [("end_turn", "stop"), ("pause_turn", "stop"), ("model_context_window_exceeded", "length")] {
        assert_eq!(told("anthropic", word, "openai_chat"), [openai, openai], "{word}");
        assert_eq!(told("anthropic", word, "anthropic"), [word, word], "{word}");
    }
}
