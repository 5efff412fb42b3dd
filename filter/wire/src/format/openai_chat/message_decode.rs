//! Chat Completions messages → IR turns.
//!
//! Members whose order or shape the parts do not keep (reasoning under three names, a refusal inside the content, the
//! deprecated calls) are read into parts and their spelling is kept, so that this format gets them back as they were.

use serde_json::value::RawValue;

use super::{NAME, reasoning};
use crate::format::{Malformed, bounds, media};
use crate::ir::{Extra, Media, MediaSource, Part, Role, Turn};
use crate::json::{self, Object};

pub(super) fn turns(messages: Vec<&RawValue>) -> Result<Vec<Turn>, Malformed> {
    // The deprecated function messages name no call; each answers the one before it.
    let mut called = None;
    let objects = messages.into_iter().enumerate();
    objects.map(|(i, raw)| turn(Object::of(raw, format!("messages[{i}]"))?, i, &mut called)).collect()
}

fn turn(mut o: Object<'_>, number: usize, called: &mut Option<String>) -> Result<Turn, Malformed> {
    let role = o.str("role")?;
    let word = o.need("role", role)?;
    let role = match word.as_ref() {
        "system" => Role::System,
        "developer" => {
            o.spell("role");
            Role::System
        }
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        "function" => {
            o.spell("role");
            Role::Tool
        }
        other => {
            let message =
                format!("found {:?}, expected system, developer, user, assistant or tool", bounds::quoted(other));
            return Err(Malformed { path: o.at("role"), message });
        }
    };
    let path = o.at("content");
    let mut parts = match o.raw("content")? {
        Some(raw) => content(raw, path)?,
        None => Vec::new(),
    };
    if parts.is_empty() || parts.iter().any(|part| matches!(part, Part::Refusal(_))) {
        o.spell("content");
    }
    match role {
        Role::Tool if word == "function" => {
            let name = o.word("name", &bounds::NAME)?;
            let name = o.need("name", name)?;
            o.spell("name");
            let id = called.take().unwrap_or_else(|| format!("call_{name}"));
            parts = vec![Part::ToolResult { id, content: parts, is_error: false, extra: Extra::default() }];
        }
        Role::Tool => {
            let id = o.word("tool_call_id", &bounds::ID)?;
            let id = o.need("tool_call_id", id)?;
            parts = vec![Part::ToolResult { id, content: parts, is_error: false, extra: Extra::default() }];
        }
        Role::Assistant => assistant(&mut o, &mut parts, number, called)?,
        Role::System | Role::User => {}
    }
    Ok(Turn { role, parts, extra: o.rest(NAME) })
}

fn assistant(
    o: &mut Object<'_>,
    parts: &mut Vec<Part>,
    number: usize,
    called: &mut Option<String>,
) -> Result<(), Malformed> {
    let said = reasoning::Said::take(o)?;
    reasoning::MEMBERS
        .iter()
        .filter(|name| !said.unknown || **name != reasoning::DETAILS)
        .for_each(|name| o.spell(name));
    if said.unknown {
        // Elsewhere what was not understood is a loss.
        o.put_back(reasoning::DETAILS);
    }
    parts.splice(0..0, said.parts());
    if let Some(text) = o.string("refusal")? {
        o.spell("refusal");
        parts.extend((!text.is_empty()).then_some(Part::Refusal(text)));
    }
    let calls = o.list("tool_calls", &bounds::TOOL_CALLS)?.unwrap_or_default();
    if calls.is_empty() {
        o.spell("tool_calls");
    }
    let path = o.at("tool_calls");
    for (i, raw) in calls.into_iter().enumerate() {
        parts.push(tool_call(Object::of(raw, format!("{path}[{i}]"))?)?);
    }
    if let Some(mut function) = o.object("function_call")? {
        o.spell("function_call");
        let name = function.word("name", &bounds::NAME)?;
        let name = function.need("name", name)?;
        let arguments = arguments(&mut function)?;
        let id = format!("call_{number}");
        *called = Some(id.clone());
        parts.push(Part::ToolCall { id, name, arguments, extra: Extra::default() });
    }
    // Clients send back what they got, empty lists included.
    if o.peek("annotations").is_some_and(|raw| raw.get() == "[]") {
        o.spell("annotations");
    }
    Ok(())
}

pub(super) fn tool_call(mut o: Object<'_>) -> Result<Part, Malformed> {
    let id = o.word("id", &bounds::ID)?.unwrap_or_default();
    let kind = o.string("type")?;
    // A number from a stream, without meaning in a whole message.
    o.spell("index");
    if let Some("custom") = kind.as_deref() {
        // Free text instead of JSON: wrapped, so that call and result stay a pair in formats that know only JSON.
        let custom = o.object("custom")?;
        let mut custom = o.need("custom", custom)?;
        let (name, input) =
            (custom.word("name", &bounds::NAME)?.unwrap_or_default(), custom.string("input")?.unwrap_or_default());
        o.put_back("type");
        o.put_back("custom");
        let arguments = format!(r#"{{"input":{}}}"#, crate::scan::quoted(&input));
        return Ok(Part::ToolCall { id, name, arguments, extra: o.rest(NAME) });
    }
    let function = o.object("function")?;
    let mut function = o.need("function", function)?;
    let name = function.word("name", &bounds::NAME)?;
    let name = function.need("name", name)?;
    let arguments = arguments(&mut function)?;
    let mut extra = o.rest(NAME);
    extra.nest("function", function.rest(NAME));
    Ok(Part::ToolCall { id, name, arguments, extra })
}

/// Arguments as text. Some servers send, and some clients send back, the object itself.
pub(super) fn arguments(function: &mut Object<'_>) -> Result<String, Malformed> {
    let path = function.at("arguments");
    match function.raw("arguments")? {
        None => Ok(String::new()),
        Some(raw) if json::kind(raw) == "string" => Ok(json::text(raw, path)?.into_owned()),
        Some(raw) => {
            function.spell("arguments");
            Ok(raw.get().to_owned())
        }
    }
}

fn content(raw: &RawValue, path: String) -> Result<Vec<Part>, Malformed> {
    match json::kind(raw) {
        "string" => {
            let text = json::text(raw, path)?.into_owned();
            Ok(vec![Part::Text { text, citations: Vec::new(), extra: Extra::default() }])
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
            Part::Text { text: o.need("text", text)?, citations: Vec::new(), extra: o.rest(NAME) }
        }
        "refusal" => {
            let text = o.string("refusal")?;
            Part::Refusal(o.need("refusal", text)?)
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
    if inner.peek("detail").is_some_and(|raw| raw.get() == "\"auto\"") {
        // What it is unless said otherwise.
        inner.spell("detail");
    }
    let mut extra = o.rest(NAME);
    extra.nest("image_url", inner.rest(NAME));
    Ok(Part::Image(Media { source, name: None, extra }))
}

/// A file whose bytes, id or address are there; anything else is left opaque.
fn file(mut o: Object<'_>) -> Result<Option<Part>, Malformed> {
    let inner = o.object("file")?;
    let mut inner = o.need("file", inner)?;
    let name = inner.string("filename")?;
    let source = match (inner.string("file_id")?, inner.str("file_data")?) {
        (Some(id), None) => MediaSource::FileId(id),
        (None, Some(data)) => match media::of_url(&data) {
            source @ MediaSource::Base64 { .. } => source,
            // OpenRouter's addition.
            source @ MediaSource::Url(_) if data.starts_with("https://") || data.starts_with("http://") => source,
            MediaSource::Url(_) | MediaSource::FileId(_) => return Ok(None),
        },
        _ => return Ok(None),
    };
    let mut extra = o.rest(NAME);
    extra.nest("file", inner.rest(NAME));
    Ok(Some(Part::Document(Media { source, name, extra })))
}
