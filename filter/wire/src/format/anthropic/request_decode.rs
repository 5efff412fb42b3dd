//! Messages request → IR.
//!
//! Does not: check what only the provider can know (models, ranges, which tools exist), or what a request to count tokens
//! may leave out (`max_tokens`).
//!
//! Objects whose members are spread over the IR (`thinking`, `output_config`, `tool_choice`, `metadata`) are kept as
//! spellings too, so that this format gets them back as they were. What of them nobody interpreted is nested, so that
//! other formats can name it.

use super::{NAME, block_decode, tool_decode};
use crate::format::{Malformed, bounds, take_fallbacks};
use crate::ir::{Extra, Output, Reasoning, Request, Role, Sampling, ServiceTier, Turn};
use crate::json::{self, Object};

/// Members that are interpreted and kept as spellings.
pub(super) const SPELLED: &[&str] =
    &["tool_choice", "thinking", "output_config", "output_format", "metadata", "service_tier"];

pub(super) fn decode(body: &[u8]) -> Result<Request, Malformed> {
    let mut o = Object::parse(body)?;
    let model = o.string("model")?;
    let messages = o.list("messages", &bounds::MESSAGES)?;
    let mut nested = Extra::default();
    let mut request = Request {
        model: o.need("model", model)?,
        stream: flag(&mut o, "stream")?,
        turns: system(&mut o)?,
        sampling: Sampling {
            temperature: o.number("temperature")?,
            top_p: o.number("top_p")?,
            top_k: o.number("top_k")?,
            ..Sampling::default()
        },
        max_tokens: o.u64("max_tokens")?,
        stop: stop(&mut o)?,
        service_tier: service_tier(&mut o)?,
        ..Request::default()
    };
    // This API reports usage in every stream.
    request.stream_usage = request.stream;
    for (i, raw) in o.need("messages", messages)?.into_iter().enumerate() {
        request.turns.push(turn(Object::of(raw, format!("messages[{i}]"))?)?);
    }
    tool_decode::decode(&mut o, &mut request, &mut nested)?;
    if let Some(mut metadata) = o.object("metadata")? {
        request.user = metadata.string("user_id")?;
        nested.nest("metadata", metadata.rest(NAME));
        o.spell("metadata");
    }
    output(&mut o, &mut request, &mut nested)?;
    take_fallbacks(&mut o)?;
    if o.peek("speed").is_some_and(|raw| raw.get() == "\"standard\"") {
        // What happens without it: no loss where it cannot go.
        o.spell("speed");
    }
    request.extra = o.rest(NAME);
    request.extra.nested = nested.nested;
    Ok(request)
}

/// A flag whose explicit `false` is kept as a spelling.
fn flag(o: &mut Object<'_>, name: &str) -> Result<bool, Malformed> {
    let value = o.bool(name)?;
    if value == Some(false) {
        o.spell(name);
    }
    Ok(value.unwrap_or(false))
}

fn stop(o: &mut Object<'_>) -> Result<Vec<String>, Malformed> {
    let Some(items) = o.list("stop_sequences", &bounds::STOPS)? else { return Ok(Vec::new()) };
    if items.is_empty() {
        o.spell("stop_sequences");
    }
    let texts = items.into_iter().enumerate();
    texts.map(|(i, item)| json::text(item, format!("stop_sequences[{i}]")).map(String::from)).collect()
}

fn service_tier(o: &mut Object<'_>) -> Result<Option<ServiceTier>, Malformed> {
    let tier = match o.str("service_tier")?.as_deref() {
        Some("auto") => Some(ServiceTier::Auto),
        Some("standard_only") => Some(ServiceTier::Standard),
        Some(_) => {
            o.put_back("service_tier");
            return Ok(None);
        }
        None => None,
    };
    o.spell("service_tier");
    Ok(tier)
}

/// `thinking`, `output_config` (effort and schema) and `output_format`, which is the schema's former place.
fn output(o: &mut Object<'_>, request: &mut Request, nested: &mut Extra) -> Result<(), Malformed> {
    let mut effort = None;
    if let Some(mut config) = o.object("output_config")? {
        effort = config.string("effort")?;
        if let Some(format) = config.object("format")? {
            request.output = schema(format, "format", &mut config)?;
        }
        request.reasoning = thinking(o, effort.as_deref(), nested)?;
        if effort.is_some() && !matches!(request.reasoning, Some(Reasoning::Effort(_))) {
            // A budget, or none, says more about thinking than a word does.
            config.put_back("effort");
        }
        nested.nest("output_config", config.rest(NAME));
        o.spell("output_config");
    } else {
        request.reasoning = thinking(o, effort.as_deref(), nested)?;
    }
    if request.output.is_none()
        && let Some(format) = o.object("output_format")?
    {
        request.output = schema(format, "output_format", o)?;
        if request.output.is_some() {
            o.spell("output_format");
        }
    }
    Ok(())
}

fn thinking(o: &mut Object<'_>, effort: Option<&str>, nested: &mut Extra) -> Result<Option<Reasoning>, Malformed> {
    let effort = effort.map(|word| Reasoning::Effort(word.to_owned()));
    let Some(mut thinking) = o.object("thinking")? else { return Ok(effort) };
    let reasoning = match thinking.str("type")?.as_deref() {
        Some("enabled") => {
            let budget = thinking.u64("budget_tokens")?;
            Reasoning::Budget(thinking.need("budget_tokens", budget)?)
        }
        Some("disabled") => Reasoning::Off,
        Some("adaptive") => effort.unwrap_or(Reasoning::Auto),
        Some(_) | None => {
            o.put_back("thinking");
            return Ok(effort);
        }
    };
    nested.nest("thinking", thinking.rest(NAME));
    o.spell("thinking");
    Ok(Some(reasoning))
}

/// A schema that stands alone in `format`; otherwise the whole goes back to `outer`.
fn schema(mut format: Object<'_>, name: &str, outer: &mut Object<'_>) -> Result<Option<Output>, Malformed> {
    let kind = format.str("type")?;
    match (kind.as_deref(), format.raw("schema")?) {
        (Some("json_schema"), Some(schema)) if format.is_empty() => {
            Ok(Some(Output::JsonSchema { name: None, schema: schema.to_owned(), strict: None }))
        }
        _ => {
            outer.put_back(name);
            Ok(None)
        }
    }
}

/// The system prompt as the first turn. It has no message object of its own, thus no extra.
fn system(o: &mut Object<'_>) -> Result<Vec<Turn>, Malformed> {
    let Some(raw) = o.raw("system")? else { return Ok(Vec::new()) };
    let parts = block_decode::content(raw, o.at("system"))?;
    Ok(vec![Turn { role: Role::System, parts, extra: Extra::default() }])
}

fn turn(mut o: Object<'_>) -> Result<Turn, Malformed> {
    let role = o.str("role")?;
    let role = match o.need("role", role)?.as_ref() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => {
            let message = format!("found {:?}, expected user, assistant or system", bounds::quoted(other));
            return Err(Malformed { path: o.at("role"), message });
        }
    };
    let path = o.at("content");
    let raw = o.raw("content")?;
    let parts = block_decode::content(o.need("content", raw)?, path)?;
    Ok(Turn { role, parts, extra: o.rest(NAME) })
}
