//! Which JSON Schemas OpenAI enforces.
//!
//! `strict` here means more than elsewhere: every property is required and nothing else is allowed, and a schema
//! outside the [subset](https://platform.openai.com/docs/guides/structured-outputs#supported-schemas) is refused. So a
//! schema that came from another format is enforced exactly if it is inside.
//!
//! Decision: schemas are judged, not rewritten. Rejected: making optional properties required and nullable, which
//! changes what the client's code receives.

use serde_json::value::RawValue;

use crate::format::schema::{self, Keyword, Plain, Subset};

/// The documentation allows ten levels of objects and 5,000 properties. Lists, alternatives, definitions and references
/// are counted as well here, which keeps on the safe side.
static SUBSET: Subset = Subset { keyword, depth: 10, properties: 5000, references: 5000, all_required: true };

fn keyword(name: &str, _root: bool) -> Option<Keyword> {
    Some(match name {
        "$ref" | "$schema" | "const" | "description" | "enum" | "exclusiveMaximum" | "exclusiveMinimum" | "format"
        | "maxItems" | "maximum" | "minItems" | "minimum" | "multipleOf" | "pattern" | "title" => {
            Keyword::Plain(Plain::Any)
        }
        "additionalProperties" => Keyword::Plain(Plain::Others),
        "type" => Keyword::Plain(Plain::Type),
        "required" => Keyword::Plain(Plain::Required),
        "properties" => Keyword::Properties,
        "$defs" | "definitions" => Keyword::Definitions,
        "items" => Keyword::Schema,
        "anyOf" => Keyword::Schemas,
        _ => return None,
    })
}

/// The schema may go out with `strict`.
pub(super) fn fits(schema: &RawValue) -> bool {
    schema::fits(schema, &SUBSET).is_some_and(|root| root.object && !root.alternatives)
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
