//! A value that a JSON Schema accepts: what a model would put into a tool call.
//!
//! Does not: solve schemas in general; it covers what tools use (types, required, enum, const, anyOf, local `$ref`).

use serde_json::{Map, Value, json};

const DEPTH: usize = 16;

/// A value for this schema; required properties only.
pub fn example(schema: &Value) -> Value {
    value(schema, schema, DEPTH)
}

fn value(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return root.pointer(target.trim_start_matches('#')).map_or(Value::Null, |s| value(s, root, depth - 1));
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema.get("enum").and_then(|list| list.get(0)) {
        return first.clone();
    }
    if let Some(first) = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(key)?.get(0)) {
        return value(first, root, depth - 1);
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    };
    match kind {
        "object" => object(schema, root, depth),
        "array" => {
            let items = schema.get("items").map_or(Value::Null, |items| value(items, root, depth - 1));
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1) as usize;
            Value::Array(vec![items; least])
        }
        "integer" => schema.get("minimum").cloned().unwrap_or(json!(7)),
        "number" => schema.get("minimum").cloned().unwrap_or(json!(2.5)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => {
            let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0) as usize;
            json!(format!("{:x<least$}", "Zürich 🙂"))
        }
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let members = required.iter().filter_map(Value::as_str).map(|name| {
        let inner = schema.pointer(&format!("/properties/{name}")).map_or(Value::Null, |s| value(s, root, depth - 1));
        (name.to_owned(), inner)
    });
    Value::Object(members.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_has_what_the_schema_requires() {
        let schema = json!({"type": "object", "required": ["city", "unit", "days", "place"],
            "properties": {"city": {"type": "string", "minLength": 20}, "unit": {"enum": ["c", "f"]},
                "days": {"type": "array", "items": {"type": "integer", "minimum": 3}, "minItems": 2},
                "place": {"$ref": "#/$defs/p"}, "optional": {"type": "string"}},
            "$defs": {"p": {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}}});
        let made = example(&schema);
        assert_eq!((&made["unit"], &made["days"], &made["place"]), (&json!("c"), &json!([3, 3]), &json!({"ok": true})));
        assert!(made["city"].as_str().unwrap().chars().count() >= 20);
        assert!(made.get("optional").is_none());
    }
}
