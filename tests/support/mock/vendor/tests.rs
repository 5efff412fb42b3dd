//! What each vendor refuses: one change a case, to a request that is taken.

use serde_json::{Value, json};

use super::Vendor;

type Change = fn(&mut Value);

/// The refusal of `body`, if it is refused.
fn refusal(vendor: Vendor, host: &str, body: &Value, more: &[(&'static str, &'static str)]) -> Option<String> {
    let mut headers = hyper::HeaderMap::new();
    let own = [("content-type", "application/json"), ("anthropic-version", "2023-06-01")];
    for (name, value) in own.into_iter().chain(more.iter().copied()) {
        headers.insert(name, hyper::header::HeaderValue::from_static(value));
    }
    let path = if vendor == Vendor::OpenAi { "/v1/chat/completions" } else { "/v1/messages" };
    vendor.ask(host, path, &headers, body.to_string().as_bytes()).err().map(|refusal| refusal.message)
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": false})
}

fn openai() -> Value {
    json!({"model": "m", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"}}]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema(), "strict": true}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema(), "strict": true}}})
}

fn anthropic() -> Value {
    json!({"model": "m", "max_tokens": 4096, "system": "Be brief.", "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"}]}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "f", "input_schema": schema(), "strict": true}]})
}

#[test]
fn openai_refuses() {
    let refused = |body: &Value| refusal(Vendor::OpenAi, "api.openai.com", body, &[]);
    assert_eq!(refused(&openai()), None);
    let changes: &[Change] = &[
        |b| b["max_tokens_to_sample"] = json!(1),
        |b| b["messages"] = json!([]),
        |b| b["messages"][0]["role"] = json!("robot"),
        |b| b["stream_options"] = json!({"include_usage": true}),
        |b| b["temperature"] = json!(2.5),
        |b| b["stop"] = json!(["1", "2", "3", "4", "5"]),
        |b| b["top_logprobs"] = json!(2),
        |b| b["logit_bias"] = json!({"a": 1}),
        |b| (b["max_tokens"], b["max_completion_tokens"]) = (json!(1), json!(1)),
        |b| (b["model"], b["max_tokens"]) = (json!("gpt-5.1"), json!(1)),
        |b| b["reasoning_effort"] = json!("much"),
        |b| b["service_tier"] = json!("standard_only"),
        |b| b["messages"][1]["content"][1]["image_url"]["url"] = json!("data:image/png;base64,*"),
        |b| b["messages"][1]["content"][2]["file"]["file_data"] = json!("JVBERi0x"),
        |b| b["messages"][1]["content"][0]["cache_control"] = json!({"type": "ephemeral"}),
        |b| b["messages"][2]["reasoning_content"] = json!("Hm."),
        |b| b["messages"][2]["tool_calls"][0]["function"]["arguments"] = json!(""),
        |b| b["messages"][2]["tool_calls"][0]["function"]["arguments"] = json!({}),
        |b| b["messages"][3]["tool_call_id"] = json!("call_2"),
        |b| b["messages"][3]["content"] = json!([{"type": "image_url", "image_url": {"url": "https://example.com"}}]),
        |b| b["tools"][0]["function"]["name"] = json!("a.b"),
        |b| b["tools"][0]["function"]["parameters"]["additionalProperties"] = json!(true),
        |b| b["tools"][0]["function"]["parameters"]["required"] = json!([]),
        |b| b["tool_choice"] = json!("any"),
        |b| b["tool_choice"] = json!({"type": "function", "function": {"name": "g"}}),
        |b| b["response_format"] = json!({"type": "json"}),
        |b| b["response_format"]["json_schema"]["name"] = json!("a b"),
        |b| b["web_search_options"] = json!({"max_uses": 3}),
    ];
    each(&openai(), changes, refused);
    // Servers of the family take what the vendor does not.
    let mut reasoned = openai();
    reasoned["messages"][2]["reasoning_content"] = json!("Hm.");
    assert_eq!(refusal(Vendor::OpenAi, "api.deepseek.com", &reasoned, &[]), None);
}

#[test]
fn anthropic_refuses() {
    let refused = |body: &Value| refusal(Vendor::Anthropic, "api.anthropic.com", body, &[]);
    assert_eq!(refused(&anthropic()), None);
    let changes: &[Change] = &[
        |b| drop(b.as_object_mut().unwrap().remove("max_tokens")),
        |b| b["stop"] = json!("x"),
        |b| b["temperature"] = json!(1.5),
        |b| b["temperature"] = json!(0.5),
        |b| b["top_k"] = json!(5),
        |b| b["stop_sequences"] = json!([" "]),
        |b| b["system"] = json!(""),
        |b| b["metadata"] = json!({"user": "u"}),
        |b| b["mcp_servers"] = json!([]),
        |b| b["service_tier"] = json!("default"),
        |b| b["thinking"]["budget_tokens"] = json!(1000),
        |b| b["thinking"]["budget_tokens"] = json!(4096),
        |b| b["output_config"] = json!({"effort": "minimal"}),
        |b| b["output_config"] = json!({"format": {"type": "json_schema", "schema": {"type": "object"}}}),
        |b| b["messages"][0]["role"] = json!("assistant"),
        |b| b["messages"][0]["content"][0]["text"] = json!(""),
        |b| b["messages"][0]["content"][0]["cache_control"] = json!({"type": "ephemeral", "ttl": "1d"}),
        |b| b["messages"][0]["content"][1]["source"]["media_type"] = json!("image/bmp"),
        |b| b["messages"][0]["content"][2]["source"]["url"] = json!("data:application/pdf;base64,JVBERi0x"),
        |b| b["messages"][1]["content"][0]["signature"] = json!(""),
        |b| drop(b["messages"][1]["content"].as_array_mut().unwrap().remove(0)),
        |b| b["messages"][1]["content"].as_array_mut().unwrap().reverse(),
        |b| b["messages"][1]["content"][1]["id"] = json!("call:1"),
        |b| b["messages"][1]["content"][1]["input"] = json!("{}"),
        |b| b["messages"][2]["content"][0]["tool_use_id"] = json!("toolu_2"),
        |b| b["messages"][2]["content"].as_array_mut().unwrap().insert(0, json!({"type": "text", "text": "x"})),
        |b| drop(b["messages"].as_array_mut().unwrap().pop()),
        |b| b["tools"][0]["input_schema"] = json!({"properties": {}}),
        |b| b["tools"][0]["input_schema"]["additionalProperties"] = json!(true),
        |b| b["tools"][0]["name"] = json!("a.b"),
        |b| b["tools"] = json!([b["tools"][0], b["tools"][0]]),
        |b| b["tool_choice"] = json!({"type": "tool", "name": "f"}),
        |b| b["tool_choice"] = json!({"type": "required"}),
        |b| b["tool_choice"] = json!({"type": "none", "disable_parallel_tool_use": true}),
    ];
    each(&anthropic(), changes, refused);
    let plain =
        json!({"model": "m", "max_tokens": 9, "temperature": 1, "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(refused(&plain), None);
    let newest = [("anthropic-version", "2026-10-21")];
    assert!(refusal(Vendor::Anthropic, "api.anthropic.com", &plain, &newest).unwrap().contains("temperature"));
    assert!(refusal(Vendor::Anthropic, "api.anthropic.com", &plain, &[("anthropic-version", "2")]).is_some());
}

fn each(good: &Value, changes: &[Change], refused: impl Fn(&Value) -> Option<String>) {
    for (i, change) in changes.iter().enumerate() {
        let mut body = good.clone();
        change(&mut body);
        assert!(refused(&body).is_some(), "change {i} is taken: {body}");
    }
}
