//! Which JSON Schemas this API can enforce.
//!
//! Decision: a schema that fits is passed on as it is, any other is not enforced. Rejected: rewriting it until it fits,
//! as the vendor's own SDKs do; the client would get another schema than it asked for, unseen.
//!
//! <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>, section on limits.

use serde_json::value::RawValue;

use crate::format::schema::{self, Keyword, Plain, Subset};

const FORMATS: &[&str] = &["date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"];

/// The API compiles a schema, and refuses what becomes too large; it states no numbers for depth or properties. These
/// are far beyond what it compiles.
static SUBSET: Subset = Subset { keyword, depth: 32, properties: 10_000, references: 256, all_required: false };

fn keyword(name: &str, root: bool) -> Option<Keyword> {
    Some(match name {
        "properties" => Keyword::Properties,
        "items" => Keyword::Schema,
        "anyOf" | "allOf" => Keyword::Schemas,
        "$defs" | "definitions" if root => Keyword::Definitions,
        "$ref" => Keyword::Plain(Plain::Reference),
        "additionalProperties" => Keyword::Plain(Plain::Closed),
        "minItems" => Keyword::Plain(Plain::OneOf(&["0", "1"])),
        "format" => Keyword::Plain(Plain::Word(FORMATS)),
        "type" => Keyword::Plain(Plain::Type),
        "enum" | "const" | "required" | "title" | "description" | "default" | "$schema" => Keyword::Plain(Plain::Any),
        _ => return None,
    })
}

/// The API compiles this schema.
pub(super) fn fits(schema: &RawValue) -> bool {
    schema::fits(schema, &SUBSET).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

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
