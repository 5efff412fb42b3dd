//! What a vendor bills for an answer that it has made, whoever reads it.

use serde_json::Value;

use super::vendor::Answer;

/// Tokens of prompt and answer, by the answer's own usage.
pub(super) fn of(answer: &Answer) -> (u64, u64) {
    match answer {
        Answer::Unary(body) => serde_json::from_slice(body).map(|body| told(&body)).unwrap_or_default(),
        Answer::Stream(events) => {
            let text = String::from_utf8_lossy(&events.concat()).into_owned();
            let data = text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok());
            let all = data.map(|event: Value| told(&event));
            all.fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)))
        }
    }
}

fn told(body: &Value) -> (u64, u64) {
    let usage = if body["message"]["usage"].is_object() { &body["message"]["usage"] } else { &body["usage"] };
    let sum = |names: &[&str]| names.iter().filter_map(|name| usage[*name].as_u64()).sum();
    let input = ["prompt_tokens", "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
    (sum(&input), sum(&["completion_tokens", "output_tokens"]))
}
