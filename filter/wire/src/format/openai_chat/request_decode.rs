//! Chat Completions request → IR.
//!
//! Does not: check what only the provider can know (models, ranges, which tools exist).

use serde_json::value::RawValue;

use super::NAME;
use crate::format::Malformed;
use crate::format::media;
use crate::ir::{Extra, Media, MediaSource, Output, Part, Reasoning, Request, Role, Sampling, Tool, ToolChoice, Turn};
use crate::json::{self, Object};

pub(super) fn decode(body: &[u8]) -> Result<Request, Malformed> {
    let mut o = Object::parse(body)?;
    let model = o.string("model")?;
    let messages = o.array("messages")?;
    let (output, output_rest) = output(&mut o)?;
    let mut request = Request {
        model: o.need("model", model)?,
        stream: flag(&mut o, "stream")?,
        turns: turns(o.need("messages", messages)?)?,
        tools: tools(&mut o)?,
        tool_choice: tool_choice(&mut o)?,
        parallel_tools: o.bool("parallel_tool_calls")?,
        sampling: Sampling {
            temperature: o.number("temperature")?,
            top_p: o.number("top_p")?,
            top_k: o.number("top_k")?,
            frequency_penalty: o.number("frequency_penalty")?,
            presence_penalty: o.number("presence_penalty")?,
            seed: o.number("seed")?,
        },
        max_tokens: max_tokens(&mut o)?,
        stop: stop(&mut o)?,
        output,
        user: o.string("user")?,
        n: o.u64("n")?,
        ..Request::default()
    };
    if let Some(effort) = o.string("reasoning_effort")? {
        request.reasoning = Some(if effort == "none" { Reasoning::Off } else { Reasoning::Effort(effort) });
    }
    let mut options = o.object("stream_options")?;
    if let Some(options) = &mut options {
        request.stream_usage = flag(options, "include_usage")?;
    }
    request.extra = o.rest(NAME);
    if let Some(options) = options {
        request.extra.nest("stream_options", options.rest(NAME));
    }
    request.extra.nest("response_format", output_rest);
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

fn max_tokens(o: &mut Object<'_>) -> Result<Option<u64>, Malformed> {
    let (newer, older) = (o.u64("max_completion_tokens")?, o.u64("max_tokens")?);
    // Servers differ in which of the two names they know, so the client's choice is kept.
    o.spell("max_completion_tokens");
    o.spell("max_tokens");
    Ok(newer.or(older))
}

fn stop(o: &mut Object<'_>) -> Result<Vec<String>, Malformed> {
    let path = o.at("stop");
    let Some(raw) = o.raw("stop")? else { return Ok(Vec::new()) };
    if json::kind(raw) == "string" {
        o.spell("stop");
        return Ok(vec![json::text(raw, path)?.into_owned()]);
    }
    let items = json::array(raw, path.as_str())?;
    if items.is_empty() {
        o.spell("stop");
    }
    let texts = items.into_iter().enumerate();
    texts.map(|(i, item)| json::text(item, format!("{path}[{i}]")).map(String::from)).collect()
}

/// The shape of the answer, and what else the member says.
fn output(o: &mut Object<'_>) -> Result<(Option<Output>, Extra), Malformed> {
    let nothing = (None, Extra::default());
    let Some(mut format) = o.object("response_format")? else { return Ok(nothing) };
    match format.str("type")?.as_deref() {
        Some("text") => o.spell("response_format"),
        Some("json_object") => return Ok((Some(Output::JsonObject), format.rest(NAME))),
        Some("json_schema") => {
            let inner = format.object("json_schema")?;
            let mut inner = format.need("json_schema", inner)?;
            let (name, strict, schema) = (inner.string("name")?, inner.bool("strict")?, inner.raw("schema")?);
            let Some(schema) = schema else {
                o.put_back("response_format");
                return Ok(nothing);
            };
            let mut rest = format.rest(NAME);
            rest.nest("json_schema", inner.rest(NAME));
            return Ok((Some(Output::JsonSchema { name, schema: schema.to_owned(), strict }), rest));
        }
        Some(_) | None => o.put_back("response_format"),
    }
    Ok(nothing)
}

fn tool_choice(o: &mut Object<'_>) -> Result<Option<ToolChoice>, Malformed> {
    let path = o.at("tool_choice");
    let Some(raw) = o.raw("tool_choice")? else { return Ok(None) };
    match json::text(raw, path.as_str()).as_deref() {
        Ok("auto") => return Ok(Some(ToolChoice::Auto)),
        Ok("none") => return Ok(Some(ToolChoice::None)),
        // Mistral's word for it.
        Ok("any") => {
            o.spell("tool_choice");
            return Ok(Some(ToolChoice::Required));
        }
        Ok("required") => return Ok(Some(ToolChoice::Required)),
        Ok(_) => {}
        Err(_) => {
            let mut choice = Object::of(raw, path)?;
            if choice.str("type")?.as_deref() == Some("function") {
                let function = choice.object("function")?;
                let mut function = choice.need("function", function)?;
                let name = function.string("name")?;
                return Ok(Some(ToolChoice::Named(function.need("name", name)?)));
            }
        }
    }
    o.put_back("tool_choice");
    Ok(None)
}

fn tools(o: &mut Object<'_>) -> Result<Vec<Tool>, Malformed> {
    let Some(items) = o.array("tools")? else { return Ok(Vec::new()) };
    if items.is_empty() {
        o.spell("tools");
    }
    items.into_iter().enumerate().map(|(i, item)| tool(Object::of(item, format!("tools[{i}]"))?)).collect()
}

fn tool(mut o: Object<'_>) -> Result<Tool, Malformed> {
    let kind = o.str("type")?;
    if kind.is_some_and(|kind| kind != "function") {
        // A tool the provider runs itself: its own format gets it back whole.
        o.put_back("type");
        return Ok(Tool { name: String::new(), description: None, schema: None, strict: None, extra: o.rest(NAME) });
    }
    let function = o.object("function")?;
    let mut function = o.need("function", function)?;
    let name = function.string("name")?;
    let mut tool = Tool {
        name: function.need("name", name)?,
        description: function.string("description")?,
        schema: function.raw("parameters")?.map(ToOwned::to_owned),
        strict: function.bool("strict")?,
        extra: o.rest(NAME),
    };
    tool.extra.nest("function", function.rest(NAME));
    Ok(tool)
}

fn turns(messages: Vec<&RawValue>) -> Result<Vec<Turn>, Malformed> {
    messages.into_iter().enumerate().map(|(i, raw)| turn(Object::of(raw, format!("messages[{i}]"))?)).collect()
}

fn turn(mut o: Object<'_>) -> Result<Turn, Malformed> {
    let role = o.str("role")?;
    let role = match o.need("role", role)?.as_ref() {
        "system" => Role::System,
        "developer" => {
            o.spell("role");
            Role::System
        }
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            let message = format!("found {other:?}, expected system, developer, user, assistant or tool");
            return Err(Malformed { path: o.at("role"), message });
        }
    };
    let path = o.at("content");
    let mut parts = match o.raw("content")? {
        Some(raw) => content(raw, path)?,
        None => Vec::new(),
    };
    if parts.is_empty() {
        o.spell("content");
    }
    match role {
        Role::Tool => {
            let id = o.string("tool_call_id")?;
            let id = o.need("tool_call_id", id)?;
            parts = vec![Part::ToolResult { id, content: parts, is_error: false, extra: Extra::default() }];
        }
        Role::Assistant => {
            if let Some(text) = o.string("reasoning_content")? {
                parts.insert(0, Part::Reasoning { text, signature: None, redacted: false });
            }
            if let Some(text) = o.string("refusal")? {
                parts.push(Part::Refusal(text));
            }
            let calls = o.array("tool_calls")?.unwrap_or_default();
            if calls.is_empty() {
                o.spell("tool_calls");
            }
            let path = o.at("tool_calls");
            for (i, raw) in calls.into_iter().enumerate() {
                parts.push(tool_call(Object::of(raw, format!("{path}[{i}]"))?)?);
            }
        }
        Role::System | Role::User => {}
    }
    Ok(Turn { role, parts, extra: o.rest(NAME) })
}

pub(super) fn tool_call(mut o: Object<'_>) -> Result<Part, Malformed> {
    let id = o.string("id")?.unwrap_or_default();
    let kind = o.string("type")?;
    if let Some("custom") = kind.as_deref() {
        // Free text instead of JSON: wrapped, so that call and result stay a pair in formats that know only JSON.
        let custom = o.object("custom")?;
        let mut custom = o.need("custom", custom)?;
        let (name, input) = (custom.string("name")?.unwrap_or_default(), custom.string("input")?.unwrap_or_default());
        o.put_back("type");
        o.put_back("custom");
        let arguments = format!(r#"{{"input":{}}}"#, crate::scan::quoted(&input));
        return Ok(Part::ToolCall { id, name, arguments, extra: o.rest(NAME) });
    }
    let function = o.object("function")?;
    let mut function = o.need("function", function)?;
    let name = function.string("name")?;
    let name = function.need("name", name)?;
    let arguments = function.string("arguments")?.unwrap_or_default();
    let mut extra = o.rest(NAME);
    extra.nest("function", function.rest(NAME));
    Ok(Part::ToolCall { id, name, arguments, extra })
}

fn content(raw: &RawValue, path: String) -> Result<Vec<Part>, Malformed> {
    match json::kind(raw) {
        "string" => {
            let text = json::text(raw, path)?.into_owned();
            Ok(vec![Part::Text { text, extra: Extra::default() }])
        }
        "array" => {
            let items = json::array(raw, path.as_str())?.into_iter().enumerate();
            items.map(|(i, item)| part(item, format!("{path}[{i}]"))).collect()
        }
        _ => Err(Malformed::expected(path, raw, "string or array")),
    }
}

fn part(raw: &RawValue, path: String) -> Result<Part, Malformed> {
    let mut o = Object::of(raw, path)?;
    let kind = o.str("type")?;
    let opaque = || Part::Opaque { format: NAME, json: raw.to_owned() };
    Ok(match o.need("type", kind)?.as_ref() {
        "text" => {
            let text = o.string("text")?;
            Part::Text { text: o.need("text", text)?, extra: o.rest(NAME) }
        }
        "image_url" => image(o)?,
        "file" => file(o)?.unwrap_or_else(opaque),
        _ => opaque(),
    })
}

fn image(mut o: Object<'_>) -> Result<Part, Malformed> {
    let path = o.at("image_url");
    let raw = o.raw("image_url")?;
    let raw = o.need("image_url", raw)?;
    if json::kind(raw) == "string" {
        // Some servers take the bare address.
        o.spell("image_url");
        let source = media::of_url(&json::text(raw, path)?);
        return Ok(Part::Image(Media { source, name: None, extra: o.rest(NAME) }));
    }
    let mut inner = Object::of(raw, path)?;
    let url = inner.str("url")?;
    let source = media::of_url(&inner.need("url", url)?);
    let mut extra = o.rest(NAME);
    extra.nest("image_url", inner.rest(NAME));
    Ok(Part::Image(Media { source, name: None, extra }))
}

/// A file whose bytes or id are there; anything else is left opaque.
fn file(mut o: Object<'_>) -> Result<Option<Part>, Malformed> {
    let inner = o.object("file")?;
    let mut inner = o.need("file", inner)?;
    let name = inner.string("filename")?;
    let source = match (inner.string("file_id")?, inner.str("file_data")?) {
        (Some(id), None) => MediaSource::FileId(id),
        (None, Some(data)) => match media::of_url(&data) {
            source @ MediaSource::Base64 { .. } => source,
            MediaSource::Url(_) | MediaSource::FileId(_) => return Ok(None),
        },
        _ => return Ok(None),
    };
    let mut extra = o.rest(NAME);
    extra.nest("file", inner.rest(NAME));
    Ok(Some(Part::Document(Media { source, name, extra })))
}
