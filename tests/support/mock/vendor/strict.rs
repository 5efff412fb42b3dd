//! What both vendors ask of a schema whose output is guaranteed: objects are closed. OpenAI also wants every property
//! required.

use serde_json::Value;

use super::check::{Checked, ensure, some};

/// Objects may have properties that are not required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Optional {
    Yes,
    No,
}

/// Checks a schema and all within it. `path` is the member that holds it.
pub(super) fn schema(schema: &Value, path: &str, optional: Optional) -> Checked<()> {
    let below = |inner: &Value| self::schema(inner, path, optional);
    if schema["type"] == "object" {
        let closed = schema["additionalProperties"] == false;
        ensure(closed, path, || {
            format!("`{path}`: `additionalProperties` must be false in a strict schema: {schema}")
        })?;
    }
    if let Some(properties) = schema["properties"].as_object() {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let all = properties.keys().all(|name| required.contains(&name.as_str()));
        ensure(all || optional == Optional::Yes, path, || {
            format!("`{path}`: every property must be required in a strict schema: {schema}")
        })?;
        properties.values().try_for_each(below)?;
    }
    for group in ["$defs", "definitions"] {
        schema[group].as_object().into_iter().flatten().try_for_each(|(_, inner)| below(inner))?;
    }
    for group in ["anyOf", "allOf", "oneOf"] {
        schema[group].as_array().into_iter().flatten().try_for_each(below)?;
    }
    some(schema, "items").map_or(Ok(()), below)
}
