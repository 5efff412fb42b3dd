//! Messages request → IR.
//!
//! Does not: check what only the provider can know (models, ranges, which tools exist).

use serde_json::value::RawValue;

use super::{NAME, block_decode};
use crate::format::Malformed;
use crate::ir::{Extra, Output, Reasoning, Request, Role, Sampling, Tool, ToolChoice, Turn};
use crate::json::{self, Object};

pub(super) fn decode(body: &[u8]) -> Result<Request, Malformed> {
    let mut o = Object::parse(body)?;
    let model = o.string("model")?;
    let messages = o.array("messages")?;
    let mut nested = Extra::default();
    let mut request = Request {
        model: o.need("model", model)?,
        stream: flag(&mut o, "stream")?,
        turns: turns(&mut o)?,
        tools: tools(&mut o)?,
        sampling: Sampling {
            temperature: o.number("temperature")?,
            top_p: o.number("top_p")?,
            top_k: o.number("top_k")?,
            ..Sampling::default()
        },
        max_tokens: o.u64("max_tokens")?,
        stop: stop(&mut o)?,
        reasoning: thinking(&mut o, &mut nested)?,
        ..Request::default()
    };
    // This API reports usage in every stream.
    request.stream_usage = request.stream;
    for (i, raw) in o.need("messages", messages)?.into_iter().enumerate() {
        request.turns.push(turn(Object::of(raw, format!("messages[{i}]"))?)?);
    }
    (request.tool_choice, request.parallel_tools) = tool_choice(&mut o)?;
    if let Some(mut metadata) = o.object("metadata")? {
        request.user = metadata.string("user_id")?;
        nested.nest("metadata", metadata.rest(NAME));
    }
    output(&mut o, &mut request, &mut nested)?;
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
    let Some(items) = o.array("stop_sequences")? else { return Ok(Vec::new()) };
    if items.is_empty() {
        o.spell("stop_sequences");
    }
    let texts = items.into_iter().enumerate();
    texts.map(|(i, item)| json::text(item, format!("stop_sequences[{i}]")).map(String::from)).collect()
}

fn thinking(o: &mut Object<'_>, nested: &mut Extra) -> Result<Option<Reasoning>, Malformed> {
    let Some(mut thinking) = o.object("thinking")? else { return Ok(None) };
    let reasoning = match thinking.str("type")?.as_deref() {
        Some("enabled") => {
            let budget = thinking.u64("budget_tokens")?;
            Reasoning::Budget(thinking.need("budget_tokens", budget)?)
        }
        Some("disabled") => Reasoning::Off,
        // Adaptive: the model decides, which is what other formats do unasked.
        Some(_) | None => {
            o.put_back("thinking");
            return Ok(None);
        }
    };
    nested.nest("thinking", thinking.rest(NAME));
    Ok(Some(reasoning))
}

/// `output_config` holds effort and schema; `output_format` is the schema's former place.
fn output(o: &mut Object<'_>, request: &mut Request, nested: &mut Extra) -> Result<(), Malformed> {
    if let Some(mut config) = o.object("output_config")? {
        if request.reasoning.is_none() {
            request.reasoning = config.string("effort")?.map(Reasoning::Effort);
        }
        if let Some(format) = config.object("format")? {
            request.output = schema(format, "format", &mut config)?;
        }
        nested.nest("output_config", config.rest(NAME));
    }
    if request.output.is_none()
        && let Some(format) = o.object("output_format")?
    {
        request.output = schema(format, "output_format", o)?;
        o.spell("output_format");
    }
    Ok(())
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

fn tool_choice(o: &mut Object<'_>) -> Result<(Option<ToolChoice>, Option<bool>), Malformed> {
    let Some(mut choice) = o.object("tool_choice")? else { return Ok((None, None)) };
    let kind = choice.str("type")?;
    let parallel = choice.bool("disable_parallel_tool_use")?.map(|disable| !disable);
    let choice = match choice.need("type", kind)?.as_ref() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => {
            let name = choice.string("name")?;
            ToolChoice::Named(choice.need("name", name)?)
        }
        _ => {
            o.put_back("tool_choice");
            return Ok((None, None));
        }
    };
    Ok((Some(choice), parallel))
}

fn tools(o: &mut Object<'_>) -> Result<Vec<Tool>, Malformed> {
    let Some(items) = o.array("tools")? else { return Ok(Vec::new()) };
    if items.is_empty() {
        o.spell("tools");
    }
    items.into_iter().enumerate().map(|(i, item)| tool(item, format!("tools[{i}]"))).collect()
}

fn tool(raw: &RawValue, path: String) -> Result<Tool, Malformed> {
    let mut o = Object::of(raw, path)?;
    match o.str("type")?.as_deref() {
        None => {}
        Some("custom") => o.spell("type"),
        Some(_) => {
            // A tool the provider runs itself: its own format gets it back whole.
            o.put_back("type");
            return Ok(Tool {
                name: String::new(),
                description: None,
                schema: None,
                strict: None,
                extra: o.rest(NAME),
            });
        }
    }
    let name = o.string("name")?;
    Ok(Tool {
        name: o.need("name", name)?,
        description: o.string("description")?,
        schema: o.raw("input_schema")?.map(ToOwned::to_owned),
        strict: o.bool("strict")?,
        extra: o.rest(NAME),
    })
}

/// The system prompt as the first turn. It has no message object of its own, thus no extra.
fn turns(o: &mut Object<'_>) -> Result<Vec<Turn>, Malformed> {
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
            let message = format!("found {other:?}, expected user or assistant");
            return Err(Malformed { path: o.at("role"), message });
        }
    };
    let path = o.at("content");
    let raw = o.raw("content")?;
    let parts = block_decode::content(o.need("content", raw)?, path)?;
    Ok(Turn { role, parts, extra: o.rest(NAME) })
}
