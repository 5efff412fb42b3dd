//! Which JSON Schemas OpenAI enforces.
//!
//! `strict` here means more than elsewhere: every property is required and nothing else is allowed, and a schema
//! outside the [subset](https://platform.openai.com/docs/guides/structured-outputs#supported-schemas) is refused. So a
//! schema that came from another format is enforced exactly if it is inside.
//!
//! Decision: schemas are judged, not rewritten. Rejected: making optional properties required and nullable, which
//! changes what the client's code receives.

use serde_json::value::RawValue;

use crate::json;

/// The documentation allows ten levels of objects; lists and alternatives are counted as well here, which keeps on the
/// safe side and bounds the recursion.
const MAX_DEPTH: usize = 10;

/// Properties in one schema.
const MAX_PROPERTIES: usize = 5000;

/// The schema may go out with `strict`.
pub(super) fn fits(schema: &RawValue) -> bool {
    let root = json::members(schema);
    let object = root.iter().any(|(name, value)| name == "type" && value.get() == "\"object\"");
    let alternatives = root.iter().any(|(name, _)| name == "anyOf");
    object && !alternatives && node(schema, 0, &mut 0)
}

fn node(schema: &RawValue, depth: usize, properties: &mut usize) -> bool {
    if depth > MAX_DEPTH || json::kind(schema) != "object" {
        return false;
    }
    let members = json::members(schema);
    let get = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
    let inside = members.iter().all(|(name, value)| match name.as_ref() {
        "$ref"
        | "$schema"
        | "additionalProperties"
        | "const"
        | "description"
        | "enum"
        | "exclusiveMaximum"
        | "exclusiveMinimum"
        | "format"
        | "maxItems"
        | "maximum"
        | "minItems"
        | "minimum"
        | "multipleOf"
        | "pattern"
        | "required"
        | "title"
        | "type" => true,
        "properties" | "$defs" | "definitions" => {
            let inner = json::members(value);
            *properties = properties.saturating_add(inner.len());
            *properties <= MAX_PROPERTIES && inner.iter().all(|(_, value)| node(value, depth + 1, properties))
        }
        "items" => node(value, depth + 1, properties),
        "anyOf" => {
            let of = json::array(value, "").unwrap_or_default();
            !of.is_empty() && of.into_iter().all(|value| node(value, depth + 1, properties))
        }
        _ => false,
    });
    let object = get("properties").is_some() || get("type").is_some_and(|kind| kind.get().contains("\"object\""));
    inside && (!object || closed(get("properties"), get("required"), get("additionalProperties")))
}

/// Every property is required, and there are no others.
fn closed(properties: Option<&RawValue>, required: Option<&RawValue>, others: Option<&RawValue>) -> bool {
    let required = required.and_then(|raw| json::array(raw, "").ok()).unwrap_or_default();
    let required: Vec<_> = required.into_iter().filter_map(|raw| json::text(raw, "").ok()).collect();
    let all = properties.map(json::members).unwrap_or_default();
    others.is_some_and(|raw| raw.get() == "false") && all.iter().all(|(name, _)| required.contains(name))
}

#[cfg(test)]
mod tests {
    fn fits(schema: &str) -> bool {
        super::fits(serde_json::from_str(schema).unwrap())
    }

    #[test]
    fn closed_objects_fit() {
        assert!(fits(r#"{"type":"object","properties":{},"additionalProperties":false}"#));
        assert!(fits(
            r##"{"type":"object","required":["a","b"],"additionalProperties":false,"properties":{
                "a":{"type":["string","null"],"description":"d","enum":["x",null]},
                "b":{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"integer","minimum":1}]}}},
                "$defs":{"n":{"type":"object","properties":{"c":{"const":1}},"required":["c"],
                    "additionalProperties":false}}}"##
        ));
    }

    #[test]
    fn what_would_be_refused_does_not_fit() {
        for schema in [
            "true",
            "[]",
            "{}",
            r#"{"type":"string"}"#,
            r#"{"type":"object","properties":{}}"#,
            r#"{"type":"object","properties":{},"additionalProperties":true}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#,
            r#"{"type":"object","properties":{},"additionalProperties":false,"anyOf":[]}"#,
            r#"{"type":"object","properties":{},"additionalProperties":false,"allOf":[]}"#,
            r#"{"type":"object","properties":{"a":{"type":"object"}},"required":["a"],"additionalProperties":false}"#,
            r#"{"type":"object","properties":{"a":{"type":"string","default":"x"}},"required":["a"],
                "additionalProperties":false}"#,
        ] {
            assert!(!fits(schema), "{schema}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| {
            let inside = (0..levels)
                .fold(r#"{"type":"string"}"#.to_owned(), |inner, _| format!(r#"{{"type":"array","items":{inner}}}"#));
            format!(
                r#"{{"type":"object","properties":{{"a":{inside}}},"required":["a"],"additionalProperties":false}}"#
            )
        };
        assert!(fits(&nested(9)));
        assert!(!fits(&nested(10)));
        assert!(!fits(&nested(10_000)));
    }
}
