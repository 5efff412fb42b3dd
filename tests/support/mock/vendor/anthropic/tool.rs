//! The tools of a messages request.

use serde_json::Value;

use super::super::check::{Checked, boolean, ensure, known, maybe_text, name, object, some, text};
use super::super::strict::{self, Optional};
use super::super::{Refusal, example};
use super::block;
use super::request::Thinks;

/// Tools that the vendor runs or knows the shape of; their types carry a date.
const OWN: &[&str] =
    &["web_search_", "web_fetch_", "code_execution_", "bash_", "text_editor_", "computer_", "memory_", "tool_search_"];

/// The tool to call with input that fits, unless none is to be called.
pub(super) fn chosen(body: &Value, thinks: Thinks) -> Checked<Option<(String, Value)>> {
    let choice = some(body, "tool_choice");
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure(some(body, "tools").is_none_or(Value::is_array), "tools", || "tools: must be a list".to_owned())?;
    ensure(choice.is_none() || !tools.is_empty(), "tool_choice", || "tool_choice: needs tools".to_owned())?;
    let names = tools.iter().enumerate().map(|(i, tool)| check(tool, i)).collect::<Checked<Vec<_>>>()?;
    let twice = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name));
    ensure(twice.is_none(), "tools", || format!("tools: names must be unique: {twice:?}"))?;
    let mut named = None;
    if let Some(choice) = choice {
        boolean(choice, "disable_parallel_tool_use")?;
        let kind = choice["type"].as_str().unwrap_or_default();
        match kind {
            "auto" | "any" => known(choice, "tool_choice", &["type", "disable_parallel_tool_use"])?,
            "none" => return known(choice, "tool_choice", &["type"]).map(|()| None),
            "tool" => {
                known(choice, "tool_choice", &["type", "name", "disable_parallel_tool_use"])?;
                named = Some(text(choice, "tool_choice", "name")?);
            }
            _ => return Err(Refusal::bad("tool_choice", format!("tool_choice: cannot be {choice}"))),
        }
        ensure(kind == "auto" || thinks == Thinks::No, "tool_choice", || {
            "tool_choice: thinking may not be enabled when a tool is forced".to_owned()
        })?;
    }
    let mine = |tool: &&Value| tool.get("input_schema").is_some();
    let chosen = match named {
        Some(name) => Some(
            tools
                .iter()
                .find(|tool| tool["name"] == name)
                .ok_or_else(|| Refusal::bad("tool_choice", format!("tool_choice: names no tool on offer: {name}")))?,
        ),
        // The vendor runs its own tools itself.
        None => tools.iter().find(mine),
    };
    Ok(chosen
        .filter(mine)
        .map(|tool| (tool["name"].as_str().unwrap_or_default().to_owned(), example(&tool["input_schema"]))))
}

/// Its name.
fn check(tool: &Value, at: usize) -> Checked<&str> {
    let path = format!("tools.{at}");
    some(tool, "cache_control").map_or(Ok(()), block::cache_control)?;
    let own = some(tool, "type").and_then(Value::as_str).filter(|kind| *kind != "custom");
    if let Some(kind) = own {
        let dated = OWN.iter().any(|prefix| kind.starts_with(prefix));
        ensure(dated, "tools", || format!("{path}: no tool is of type {kind}"))?;
        return name(tool, &path, "name", 128);
    }
    let members = [
        "type",
        "name",
        "description",
        "input_schema",
        "cache_control",
        "strict",
        "input_examples",
        "defer_loading",
        "allowed_callers",
        "eager_input_streaming",
    ];
    known(tool, &path, &members)?;
    maybe_text(tool, "description")?;
    let schema = &tool["input_schema"];
    object(schema, &path)?;
    ensure(schema["type"] == "object", "tools", || format!("{path}.input_schema.type: must be `object`"))?;
    if boolean(tool, "strict")? {
        strict::schema(schema, &path, Optional::Yes)?;
    }
    name(tool, &path, "name", 128)
}
