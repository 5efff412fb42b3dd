//! Which JSON Schemas this API can enforce.
//!
//! Decision: a schema that fits is passed on as it is, any other is not enforced. Rejected: rewriting it until it fits,
//! as the vendor's own SDKs do; the client would get another schema than it asked for, unseen.
//!
//! <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>, section on limits.

use serde_json::value::RawValue;

use crate::json;

/// Deeper schemas do not fit. Each level is parsed once more, so this bounds the work too.
const MAX_DEPTH: usize = 32;

/// More references do not fit: looking for circles takes time.
const MAX_REFERENCES: usize = 256;

const FORMATS: &[&str] = &["date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"];

/// The API compiles this schema.
pub(super) fn fits(schema: &RawValue) -> bool {
    // The names of definitions, each with those it refers to.
    let mut uses: Vec<(String, Vec<String>)> = Vec::new();
    let mut open = vec![(schema, 0, String::new())];
    while let Some((schema, depth, definition)) = open.pop() {
        if depth > MAX_DEPTH || json::kind(schema) != "object" {
            return false;
        }
        let members = json::members(schema);
        let is_object = members.iter().any(|(name, value)| name == "type" && value.get() == "\"object\"");
        let mut closed = false;
        for (name, value) in &members {
            let inner = |value| (value, depth + 1, definition.clone());
            match name.as_ref() {
                "properties" => open.extend(json::members(value).into_iter().map(|(_, value)| inner(value))),
                "items" => open.push(inner(*value)),
                "anyOf" | "allOf" => open.extend(json::array(value, "").unwrap_or_default().into_iter().map(inner)),
                "$defs" | "definitions" if depth == 0 => {
                    let named = |(name, value): (std::borrow::Cow<'_, str>, _)| (value, depth + 1, name.into_owned());
                    open.extend(json::members(value).into_iter().map(named));
                }
                "$ref" if uses.len() < MAX_REFERENCES => match reference(value) {
                    Some(target) => uses.push((definition.clone(), vec![target])),
                    None => return false,
                },
                "additionalProperties" if value.get() == "false" => closed = true,
                "minItems" if matches!(value.get(), "0" | "1") => {}
                "format" if json::text(value, "").is_ok_and(|text| FORMATS.contains(&text.as_ref())) => {}
                "type" | "enum" | "const" | "required" | "title" | "description" | "default" | "$schema" => {}
                _ => return false,
            }
        }
        if is_object && !closed {
            return false;
        }
    }
    is_finite(uses)
}

/// The definition a `$ref` names, if it is one of this schema.
fn reference(value: &RawValue) -> Option<String> {
    let text = json::text(value, "").ok()?;
    let name = text.strip_prefix("#/$defs/").or_else(|| text.strip_prefix("#/definitions/"))?;
    Some(name.to_owned())
}

/// No definition leads back to itself. Strikes out definitions that use none of those left, until nothing changes.
fn is_finite(mut uses: Vec<(String, Vec<String>)>) -> bool {
    while !uses.is_empty() {
        let before = uses.len();
        let users: Vec<String> = uses.iter().map(|(user, _)| user.clone()).collect();
        uses.retain(|(_, targets)| targets.iter().any(|target| users.contains(target)));
        if uses.len() == before {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str) -> bool {
        fits(&json::raw(schema.to_owned()).unwrap())
    }

    #[test]
    fn what_the_documentation_lists_fits() {
        assert!(check(
            r##"{"type":"object","additionalProperties":false,"required":["a"],"properties":{
                "a":{"type":["string","null"],"format":"date","description":"d"},
                "b":{"type":"array","minItems":1,"items":{"$ref":"#/$defs/c"}},
                "e":{"anyOf":[{"enum":[1,2]},{"const":3}]}},
              "$defs":{"c":{"type":"object","additionalProperties":false,"properties":{"d":{"$ref":"#/$defs/d"}}},
                       "d":{"type":"integer"}}}"##
        ));
    }

    #[test]
    fn what_it_excludes_does_not() {
        for schema in [
            r#"{"type":"object","properties":{}}"#,
            r#"{"type":"object","additionalProperties":true}"#,
            r#"{"type":"integer","minimum":1}"#,
            r#"{"type":"array","minItems":2}"#,
            r#"{"type":"string","format":"regex"}"#,
            r#"{"$ref":"https://example.com/schema"}"#,
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/a"}]}}}"##,
            r#"{"oneOf":[]}"#,
            "true",
        ] {
            assert!(!check(schema), "{schema}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{}{{\"type\":\"null\"}}{}", "{\"items\":".repeat(100_000), "}".repeat(100_000));
        assert!(!check(&deep));
    }
}
