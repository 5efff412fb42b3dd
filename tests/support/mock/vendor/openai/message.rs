//! The messages of a chat completions request.

use serde_json::Value;

use super::super::Refusal;
use super::super::check::{Checked, base64, ensure, known, list, maybe_text, name, some, text, url, word};

/// Members of an assistant's message that compatible servers added.
const ADDED: &[&str] = &["reasoning_content", "reasoning", "reasoning_details"];

/// Checks each message and returns what was said last. `own`: OpenAI's own API, which takes no additions.
pub(super) fn conversation(messages: &[Value], own: bool) -> Checked<String> {
    let mut open: Vec<String> = Vec::new();
    let mut last = String::new();
    for (i, message) in messages.iter().enumerate() {
        let path = format!("messages[{i}]");
        let role = text(message, &path, "role")?;
        ensure(open.is_empty() || role == "tool", "messages", || {
            format!("{path}: tool calls {open:?} have no answer")
        })?;
        match role {
            "system" | "developer" => {
                known(message, &path, &["role", "content", "name"])?;
                content(message, &path, &["text"])?;
            }
            "user" => {
                known(message, &path, &["role", "content", "name"])?;
                last = content(message, &path, &["text", "image_url", "input_audio", "file"])?;
            }
            "assistant" => open = assistant(message, &path, own)?,
            "tool" => {
                known(message, &path, &["role", "content", "tool_call_id"])?;
                let id = text(message, &path, "tool_call_id")?;
                let at = open.iter().position(|call| call == id);
                open.remove(at.ok_or_else(|| Refusal::bad("messages", format!("{path}: nobody called {id}")))?);
                last = content(message, &path, &["text"])?;
            }
            _ => return Err(Refusal::bad("messages", format!("{path}: unknown role {role}"))),
        }
        if some(message, "name").is_some() {
            text(message, &path, "name")?;
        }
    }
    ensure(open.is_empty(), "messages", || format!("{open:?} have no answer"))?;
    Ok(last)
}

/// Ids of its calls.
fn assistant(message: &Value, path: &str, own: bool) -> Checked<Vec<String>> {
    let names = &["role", "content", "name", "tool_calls", "refusal", "audio", "function_call"];
    let added = if own { &[][..] } else { ADDED };
    known(message, path, &[names, added].concat())?;
    maybe_text(message, "refusal")?;
    let said = some(message, "content").is_some();
    if said {
        content(message, path, &["text", "refusal"])?;
    }
    let calls = some(message, "tool_calls").map_or(Ok(Vec::new()), |_| calls(message, path))?;
    ensure(said || !calls.is_empty() || some(message, "refusal").is_some(), "messages", || {
        format!("{path} has neither content nor calls")
    })?;
    Ok(calls)
}

fn calls(message: &Value, path: &str) -> Checked<Vec<String>> {
    let one = |call: &Value| {
        known(call, path, &["id", "type", "function"])?;
        ensure(call["type"] == "function", "messages", || format!("{path}: a call's type must be `function`"))?;
        let function = &call["function"];
        known(function, path, &["name", "arguments"])?;
        name(function, path, "name", 64)?;
        let arguments = function["arguments"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        ensure(arguments.is_some_and(|value| value.is_object()), "messages", || {
            format!("{path}: arguments must be the text of a JSON object: {}", function["arguments"])
        })?;
        Ok(text(call, path, "id")?.to_owned())
    };
    let ids: Vec<String> = list(message, path, "tool_calls")?.iter().map(one).collect::<Checked<_>>()?;
    let twice = ids.iter().enumerate().any(|(i, id)| ids[..i].contains(id));
    ensure(!twice, "messages", || format!("{path}: two calls of one id: {ids:?}"))?;
    Ok(ids)
}

fn content(message: &Value, path: &str, kinds: &[&str]) -> Checked<String> {
    match &message["content"] {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) if !parts.is_empty() => {
            let mut all = String::new();
            for (i, part) in parts.iter().enumerate() {
                let path = format!("{path}.content[{i}]");
                let kind = text(part, &path, "type")?;
                ensure(kinds.contains(&kind), "messages", || format!("{path}: a `{kind}` part cannot stand here"))?;
                known(part, &path, &["type", kind, "prompt_cache_breakpoint"])?;
                all.push_str(&self::part(part, kind, &path)?);
            }
            Ok(all)
        }
        _ => Err(Refusal::bad("messages", format!("{path}.content must be a string or a list of parts"))),
    }
}

/// Checks a part and returns its text.
fn part(part: &Value, kind: &str, path: &str) -> Checked<String> {
    let inner = &part[kind];
    match kind {
        "text" | "refusal" => {
            ensure(inner.is_string(), "messages", || format!("{path}.{kind} must be a string"))?;
            return Ok(inner.as_str().unwrap_or_default().to_owned());
        }
        "image_url" => {
            known(inner, path, &["url", "detail"])?;
            word(inner, "detail", &["auto", "low", "high"])?;
            media(text(inner, path, "url")?, path)?;
        }
        "input_audio" => {
            known(inner, path, &["data", "format"])?;
            base64(text(inner, path, "data")?, path)?;
            ensure(inner["format"] == "wav" || inner["format"] == "mp3", path, || format!("{path}: unknown format"))?;
        }
        _ => {
            known(inner, path, &["file_data", "file_id", "filename"])?;
            if some(inner, "file_data").is_some() {
                let data = text(inner, path, "file_data")?;
                ensure(data.starts_with("data:"), path, || format!("{path}: `file_data` must be a data URL"))?;
                media(data, path)?;
                text(inner, path, "filename")?;
            } else {
                text(inner, path, "file_id")?;
            }
        }
    }
    Ok(String::new())
}

/// A web address, or a data URL with base64.
fn media(address: &str, path: &str) -> Checked<()> {
    let Some(data) = address.strip_prefix("data:") else { return url(address, path) };
    let (kind, data) = data.split_once(";base64,").unwrap_or_default();
    ensure(kind.contains('/'), path, || format!("{path}: not a data URL of base64"))?;
    base64(data, path)
}
