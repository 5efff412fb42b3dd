//! Token counts mean one thing, whoever reports them.

use wire::ir::Usage;

use crate::cases;

fn openai(usage: &str) -> Usage {
    cases::outbound("openai_chat").usage_at_end(format!(r#""x":1,"usage":{usage}}}"#).as_bytes()).unwrap()
}

fn anthropic(usage: &str) -> Usage {
    let body = format!(
        r#"{{"id":"m","type":"message","role":"assistant","model":"c","content":[{{"type":"text","text":"Hi"}}],
        "stop_reason":"end_turn","stop_sequence":null,"usage":{usage}}}"#
    );
    cases::outbound("anthropic").glance(body.as_bytes()).unwrap()
}

/// 100 tokens of prompt, 60 of them cached before and 30 now, 50 of answer, 20 of them reasoning.
const TOLD: Usage = Usage {
    input: Some(100),
    output: Some(50),
    cache_read: Some(60),
    cache_write: Some(30),
    cache_write_long: None,
    reasoning: Some(20),
    audio_input: None,
    audio_output: None,
};

#[test]
fn the_prompt_counts_what_is_cached_and_the_answer_what_was_reasoned() {
    let within = r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
        "prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30},
        "completion_tokens_details":{"reasoning_tokens":20}}"#;
    assert_eq!(openai(within), TOLD);
    // xAI: reasoning stands beside the rest, as the total shows.
    let beside = within.replace(r#""completion_tokens":50"#, r#""completion_tokens":30"#);
    assert_eq!(openai(&beside), TOLD);
    let apart = r#"{"input_tokens":10,"cache_read_input_tokens":60,"cache_creation_input_tokens":30,
        "output_tokens":50,"output_tokens_details":{"thinking_tokens":20}}"#;
    assert_eq!(anthropic(apart), TOLD);
}

#[test]
fn what_is_written_for_an_hour_is_part_of_what_is_written() {
    let split = r#"{"input_tokens":10,"cache_read_input_tokens":60,"cache_creation_input_tokens":30,"output_tokens":50,
        "output_tokens_details":{"thinking_tokens":20},
        "cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10}}"#;
    assert_eq!(anthropic(split), Usage { cache_write_long: Some(10), ..TOLD });
}

#[test]
fn sound_is_part_of_both() {
    let sound = r#"{"prompt_tokens":100,"completion_tokens":50,
        "prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30,"audio_tokens":8},
        "completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":9}}"#;
    assert_eq!(openai(sound), Usage { audio_input: Some(8), audio_output: Some(9), ..TOLD });
}
