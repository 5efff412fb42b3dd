//! The tools of a chat completions request.

use serde_json::{Value, json};

use super::super::check::{Checked, boolean, ensure, known, list, maybe_text, name, object, some, text};
use super::super::strict::{self, Optional};
use super::super::{Refusal, example};

const MOST: usize = 128;

/// The tool to call with arguments that fit, unless none is to be called.
pub(super) fn chosen(body: &Value) -> Checked<Option<(String, Value)>> {
    if some(body, "tools").is_none() {
        for member in ["tool_choice", "parallel_tool_calls"] {
            ensure(some(body, member).is_none(), member, || format!("`{member}` needs `tools`"))?;
        }
        return Ok(None);
    }
    let tools = list(body, "body", "tools")?;
    ensure(tools.len() <= MOST, "tools", || format!("{} tools are more than {MOST}", tools.len()))?;
    let names = tools.iter().enumerate().map(|(i, tool)| function(tool, i)).collect::<Checked<Vec<_>>>()?;
    boolean(body, "parallel_tool_calls")?;
    let named = match some(body, "tool_choice") {
        None => None,
        Some(Value::String(word)) if word == "none" => return Ok(None),
        Some(Value::String(word)) if word == "auto" || word == "required" => None,
        Some(choice) if choice["type"] == "function" => {
            known(choice, "tool_choice", &["type", "function"])?;
            known(&choice["function"], "tool_choice.function", &["name"])?;
            Some(text(&choice["function"], "tool_choice", "name")?)
        }
        Some(choice) => return Err(Refusal::bad("tool_choice", format!("`tool_choice` cannot be {choice}"))),
    };
    let at = named.map_or(Some(0), |named| names.iter().position(|name| *name == named));
    let at = at.ok_or_else(|| Refusal::bad("tool_choice", "`tool_choice` names no tool on offer"))?;
    let schema = some(&tools[at]["function"], "parameters").cloned().unwrap_or_else(|| json!({"type": "object"}));
    Ok(Some((names[at].to_owned(), example(&schema))))
}

/// Its name.
fn function(tool: &Value, at: usize) -> Checked<&str> {
    let path = format!("tools[{at}]");
    known(tool, &path, &["type", "function"])?;
    ensure(tool["type"] == "function", "tools", || format!("{path}: a tool's type must be `function`"))?;
    let (function, path) = (&tool["function"], format!("{path}.function"));
    known(function, &path, &["name", "description", "parameters", "strict"])?;
    maybe_text(function, "description")?;
    let strict = boolean(function, "strict")?;
    if let Some(schema) = some(function, "parameters") {
        object(schema, &path)?;
        ensure(schema["type"] == "object", "tools", || {
            format!("{path}: `parameters.type` must be `object`: {schema}")
        })?;
        if strict {
            strict::schema(schema, &path, Optional::No)?;
        }
    }
    name(function, &path, "name", 64)
}
