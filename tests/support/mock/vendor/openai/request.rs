//! A chat completions request, as strict as the vendor and where its types cannot say it stricter.

use serde_json::Value;

use super::super::check::{
    Checked, boolean, count, ensure, known, list, maybe_text, name, number, object, some, text, whole, word,
};
use super::super::strict::{self, Optional};
use super::super::{Ask, Refusal};
use super::{message, tool};

/// The host that takes nothing but what its reference lists; others of the family have members of their own.
const OWN: &str = "api.openai.com";

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
    "moderation",
    "audio",
    "prediction",
    "verbosity",
    "web_search_options",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "functions",
    "function_call",
];

const LONGEST_USER: usize = 64;

/// Members that compatible servers added.
const ADDED: &[&str] = &["reasoning", "thinking", "provider", "top_k", "chat_template_kwargs"];

pub(in super::super) fn ask(host: &str, body: &Value) -> Checked<Ask> {
    let own = host == OWN;
    let added = if own { &[][..] } else { ADDED };
    known(body, "body", &[MEMBERS, added].concat())?;
    let model = text(body, "body", "model")?.to_owned();
    sampling(body, &model)?;
    vocabulary(body)?;
    let stream = boolean(body, "stream")?;
    let options = some(body, "stream_options");
    if let Some(options) = options {
        known(options, "stream_options", &["include_usage", "include_obfuscation"])?;
        ensure(stream, "stream_options", || "`stream_options` needs `stream: true`".to_owned())?;
    }
    let usage = options.map_or(Ok(false), |options| boolean(options, "include_usage"))?;
    let messages = list(body, "body", "messages")?;
    let last = message::conversation(messages, own)?;
    format(body)?;
    search(body)?;
    let after_tool = messages.last().is_some_and(|m| m["role"] == "tool");
    let call = tool::chosen(body)?.filter(|_| !after_tool);
    let schema = body.pointer("/response_format/json_schema/schema").cloned();
    let n = count(body, "n")?.unwrap_or(1);
    Ok(Ask { model, stream, usage, schema, n, count: false, call, last, bill: None })
}

fn sampling(body: &Value, model: &str) -> Checked<()> {
    number(body, "temperature", 0.0, 2.0)?;
    number(body, "top_p", 0.0, 1.0)?;
    number(body, "presence_penalty", -2.0, 2.0)?;
    number(body, "frequency_penalty", -2.0, 2.0)?;
    whole(body, "n", 1, 128)?;
    let integer = |n: &Value| n.is_i64() || n.is_u64();
    ensure(some(body, "seed").is_none_or(integer), "seed", || "`seed` must be an integer".to_owned())?;
    boolean(body, "logprobs")?;
    let tops = whole(body, "top_logprobs", 0, 20)?;
    ensure(tops.is_none() || body["logprobs"] == true, "top_logprobs", || {
        "`top_logprobs` needs `logprobs`".to_owned()
    })?;
    for (token, bias) in
        some(body, "logit_bias").map_or(Ok(None), |b| object(b, "logit_bias").map(Some))?.into_iter().flatten()
    {
        let fine = token.parse::<u64>().is_ok() && bias.as_f64().is_some_and(|n| (-100.0..=100.0).contains(&n));
        ensure(fine, "logit_bias", || format!("`logit_bias.{token}`: {bias}"))?;
    }
    let (older, newer) = (count(body, "max_tokens")?, count(body, "max_completion_tokens")?);
    ensure(older.is_none() || newer.is_none(), "max_tokens", || {
        "`max_tokens` and `max_completion_tokens` cannot both be set".to_owned()
    })?;
    let reasons = ["gpt-5", "o1", "o3", "o4"].iter().any(|family| model.starts_with(family));
    ensure(older.is_none() || !reasons, "max_tokens", || {
        "`max_tokens` is not supported with this model. Use `max_completion_tokens`".to_owned()
    })?;
    let stops = |found: &Value| match found {
        Value::String(_) => true,
        Value::Array(list) => (1..=4).contains(&list.len()) && list.iter().all(Value::is_string),
        _ => false,
    };
    ensure(some(body, "stop").is_none_or(stops), "stop", || "`stop` must be a string or 1 to 4 strings".to_owned())
}

/// Members that are words of a list, or plain text.
fn vocabulary(body: &Value) -> Checked<()> {
    word(body, "reasoning_effort", &["none", "minimal", "low", "medium", "high", "xhigh", "max"])?;
    word(body, "service_tier", &["auto", "default", "flex", "scale", "priority", "fast"])?;
    word(body, "verbosity", &["low", "medium", "high"])?;
    word(body, "prompt_cache_retention", &["in_memory", "24h"])?;
    for name in ["user", "safety_identifier", "prompt_cache_key"] {
        maybe_text(body, name)?;
    }
    let long = body["user"].as_str().is_some_and(|user| user.chars().count() > LONGEST_USER);
    ensure(!long, "user", || format!("`user` must be a string of at most {LONGEST_USER} characters"))?;
    boolean(body, "store")?;
    let Some(metadata) = some(body, "metadata") else { return Ok(()) };
    let pairs = object(metadata, "metadata")?;
    let short = |(name, value): (&String, &Value)| name.len() <= 64 && value.as_str().is_some_and(|v| v.len() <= 512);
    ensure(pairs.len() <= 16 && pairs.iter().all(short), "metadata", || "`metadata` holds 16 short texts".to_owned())
}

fn format(body: &Value) -> Checked<()> {
    let Some(format) = some(body, "response_format") else { return Ok(()) };
    match format["type"].as_str() {
        Some("text" | "json_object") => known(format, "response_format", &["type"]),
        Some("json_schema") => {
            known(format, "response_format", &["type", "json_schema"])?;
            let (inner, path) = (&format["json_schema"], "response_format.json_schema");
            known(inner, path, &["name", "description", "schema", "strict"])?;
            name(inner, path, "name", 64)?;
            maybe_text(inner, "description")?;
            let schema = object(&inner["schema"], path).map(|_| &inner["schema"])?;
            if boolean(inner, "strict")? { strict::schema(schema, path, Optional::No) } else { Ok(()) }
        }
        _ => Err(Refusal::bad("response_format", format!("`response_format` cannot be {format}"))),
    }
}

fn search(body: &Value) -> Checked<()> {
    let Some(search) = some(body, "web_search_options") else { return Ok(()) };
    known(search, "web_search_options", &["search_context_size", "user_location"])?;
    word(search, "search_context_size", &["low", "medium", "high"])?;
    let Some(place) = some(search, "user_location") else { return Ok(()) };
    known(place, "user_location", &["type", "approximate"])?;
    ensure(place["type"] == "approximate", "user_location", || {
        "`user_location.type` must be `approximate`".to_owned()
    })?;
    known(&place["approximate"], "user_location.approximate", &["city", "country", "region", "timezone"])
}
