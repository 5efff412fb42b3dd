//! A messages request, as strict as the vendor and where its types cannot say it stricter.

use serde_json::Value;

use super::super::check::{Checked, boolean, count, ensure, known, list, number, object, some, text, whole, word};
use super::super::strict::{self, Optional};
use super::super::{Ask, Refusal};
use super::{block, message, tool};

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
    "output_config",
    "cache_control",
    "inference_geo",
    "diagnostics",
    "speed",
];

/// What token counting takes.
const COUNTED: &[&str] =
    &["model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed"];

/// Taken only with a header `anthropic-beta`.
const BETA: &[&str] = &["mcp_servers", "context_management", "output_format", "betas"];

const VERSIONS: &[&str] = &["2023-01-01", "2023-06-01", NEWEST];
/// It takes no sampling parameters any more.
const NEWEST: &str = "2026-10-21";
const SAMPLING: &[&str] = &["temperature", "top_p", "top_k"];

/// The least that a model may think.
const LEAST_BUDGET: i64 = 1024;
/// Places up to which a prompt may be cached.
const MOST_BREAKPOINTS: usize = 4;

pub(in super::super) fn ask(counts: bool, headers: &hyper::HeaderMap, body: &Value) -> Checked<Ask> {
    let version = headers.get("anthropic-version").and_then(|v| v.to_str().ok()).unwrap_or_default();
    ensure(VERSIONS.contains(&version), "", || format!("anthropic-version: {version:?} is no version"))?;
    let beta = if headers.contains_key("anthropic-beta") { BETA } else { &[] };
    known(body, "body", &[if counts { COUNTED } else { MEMBERS }, beta].concat())?;
    let sampled = SAMPLING.iter().find(|member| version == NEWEST && some(body, member).is_some());
    ensure(sampled.is_none(), "", || format!("{sampled:?}: version {NEWEST} has no such member"))?;
    let model = text(body, "body", "model")?.to_owned();
    let bound = count(body, "max_tokens")?;
    ensure(counts || bound.is_some(), "max_tokens", || "max_tokens: Field required".to_owned())?;
    let thinks = thinking(body, bound)?;
    sampling(body, thinks)?;
    vocabulary(body)?;
    match some(body, "system") {
        None => {}
        Some(Value::String(text)) => {
            ensure(!text.is_empty(), "system", || "system: text must be non-empty".to_owned())?
        }
        Some(_) => drop(block::content(body, "system", "system", &["text"])?),
    }
    let messages = list(body, "body", "messages")?;
    let said = message::conversation(messages, thinks)?;
    let call = tool::chosen(body, thinks)?.filter(|_| !said.after_tool);
    let marks = breakpoints(body);
    ensure(marks <= MOST_BREAKPOINTS, "cache_control", || format!("{marks} blocks with cache_control are too many"))?;
    let stream = boolean(body, "stream")?;
    let schema = body.pointer("/output_config/format/schema").cloned();
    Ok(Ask { model, stream, usage: true, schema, n: 1, count: counts, call, last: said.last, bill: None })
}

/// Whether the model is to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinks {
    No,
    /// As much as it likes.
    Freely,
    /// Within a budget; then a tool round must bring back the thinking that led to it.
    ByBudget,
}

fn thinking(body: &Value, bound: Option<u64>) -> Checked<Thinks> {
    let Some(thinking) = some(body, "thinking") else { return Ok(Thinks::No) };
    word(thinking, "display", &["summarized", "omitted"])?;
    match thinking["type"].as_str() {
        Some("enabled") => {
            known(thinking, "thinking", &["type", "budget_tokens", "display"])?;
            let budget = whole(thinking, "budget_tokens", LEAST_BUDGET, i64::MAX)?;
            let fits = budget.is_some_and(|budget| bound.is_none_or(|bound| budget.unsigned_abs() < bound));
            ensure(fits, "thinking.budget_tokens", || {
                format!("`budget_tokens` must be at least {LEAST_BUDGET} and less than `max_tokens`: {thinking}")
            })?;
            Ok(Thinks::ByBudget)
        }
        Some("adaptive" | "between_tools") => {
            known(thinking, "thinking", &["type", "display"])?;
            Ok(Thinks::Freely)
        }
        Some("disabled") => {
            known(thinking, "thinking", &["type"])?;
            Ok(Thinks::No)
        }
        _ => Err(Refusal::bad("thinking", format!("thinking: cannot be {thinking}"))),
    }
}

fn sampling(body: &Value, thinks: Thinks) -> Checked<()> {
    number(body, "temperature", 0.0, 1.0)?;
    number(body, "top_p", 0.0, 1.0)?;
    whole(body, "top_k", 0, i64::MAX)?;
    if thinks != Thinks::No {
        let warm = some(body, "temperature").is_none_or(|n| n.as_f64() == Some(1.0));
        ensure(warm, "temperature", || "`temperature` may only be set to 1 when thinking is enabled".to_owned())?;
        ensure(some(body, "top_k").is_none(), "top_k", || "`top_k` must be unset when thinking is enabled".to_owned())?;
        number(body, "top_p", 0.95, 1.0)?;
    }
    let fine = |stop: &Value| stop.as_str().is_some_and(|text| !text.trim().is_empty());
    let stops = |found: &Value| found.as_array().is_some_and(|list| list.iter().all(fine));
    ensure(some(body, "stop_sequences").is_none_or(stops), "stop_sequences", || {
        "stop_sequences: each must be a string with more than white space".to_owned()
    })
}

/// Members that are words of a list, or objects of a few.
fn vocabulary(body: &Value) -> Checked<()> {
    word(body, "service_tier", &["auto", "standard_only"])?;
    word(body, "speed", &["standard", "fast"])?;
    if let Some(metadata) = some(body, "metadata") {
        known(metadata, "metadata", &["user_id"])?;
        let short = |id: &Value| id.as_str().is_some_and(|id| id.chars().count() <= 256);
        ensure(some(metadata, "user_id").is_none_or(short), "metadata", || {
            "metadata.user_id: a short text".to_owned()
        })?;
    }
    let Some(config) = some(body, "output_config") else { return Ok(()) };
    known(config, "output_config", &["effort", "format", "task_budget"])?;
    word(config, "effort", &["low", "medium", "high", "xhigh", "max"])?;
    let Some(format) = some(config, "format") else { return Ok(()) };
    known(format, "output_config.format", &["type", "schema"])?;
    ensure(format["type"] == "json_schema", "output_config", || "output_config.format.type: `json_schema`".to_owned())?;
    object(&format["schema"], "output_config.format.schema")?;
    strict::schema(&format["schema"], "output_config.format.schema", Optional::Yes)
}

/// How often `cache_control` stands where it counts: not within a tool's input or schema.
fn breakpoints(value: &Value) -> usize {
    match value {
        Value::Object(members) => {
            let own = usize::from(members.get("cache_control").is_some_and(|mark| !mark.is_null()));
            let inner = members.iter().filter(|(name, _)| !["input", "input_schema"].contains(&name.as_str()));
            own + inner.map(|(_, value)| breakpoints(value)).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(breakpoints).sum(),
        _ => 0,
    }
}
