//! JSON that can be taken apart and shown: members in their order, numbers as they were spelled.
//!
//! Does not: compare by value, see [`crate::tree`].

use serde_json::value::RawValue;
use wire::json;

/// Longest object or list shown on one line.
const WIDTH: usize = 100;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Doc {
    /// Anything without members, as text.
    Leaf(String),
    Array(Vec<Doc>),
    Object(Vec<(String, Doc)>),
}

impl Doc {
    pub(crate) fn parse(body: &[u8]) -> Self {
        let raw: &RawValue = serde_json::from_slice(body).unwrap_or_else(|e| {
            panic!("{e}: {}", String::from_utf8_lossy(body));
        });
        Self::of(raw)
    }

    fn of(raw: &RawValue) -> Self {
        match json::kind(raw) {
            "array" => Self::Array(json::array(raw, "").unwrap().into_iter().map(Self::of).collect()),
            "object" => {
                let members = json::members(raw).into_iter();
                Self::Object(members.map(|(name, value)| (name.into_owned(), Self::of(value))).collect())
            }
            _ => Self::Leaf(raw.get().to_owned()),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(have, _)| have == name).map(|(_, value)| value)
    }

    pub(crate) fn items(&self) -> &[Self] {
        if let Self::Array(items) = self { items } else { &[] }
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<String> {
        let Self::Leaf(text) = self else { return None };
        serde_json::from_str(text).ok()
    }

    /// These members put in, or in the place of those of the same name.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let (Self::Object(members), Self::Object(new)) = (self, other) else { panic!("only objects are merged") };
        let mut members = members.clone();
        for (name, value) in new {
            match members.iter_mut().find(|(have, _)| have == name) {
                Some((_, have)) => *have = value.clone(),
                None => members.push((name.clone(), value.clone())),
            }
        }
        Self::Object(members)
    }

    /// On one line.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Leaf(text) => text.clone(),
            Self::Array(items) => format!("[{}]", items.iter().map(Self::line).collect::<Vec<_>>().join(", ")),
            Self::Object(members) => {
                let members = members.iter().map(|(name, value)| format!("{}: {}", quoted(name), value.line()));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// On as many lines as its size asks for.
    pub(crate) fn pretty(&self) -> String {
        self.indented(0, 0)
    }

    fn indented(&self, depth: usize, before: usize) -> String {
        let line = self.line();
        if depth * 2 + before + line.len() <= WIDTH {
            return line;
        }
        let pad = "  ".repeat(depth + 1);
        let (open, items, close) = match self {
            Self::Leaf(_) => return line,
            Self::Array(items) => ('[', items.iter().map(|item| item.indented(depth + 1, 0)).collect::<Vec<_>>(), ']'),
            Self::Object(members) => {
                let members = members.iter().map(|(name, value)| {
                    let name = quoted(name);
                    format!("{name}: {}", value.indented(depth + 1, name.len() + 2))
                });
                ('{', members.collect(), '}')
            }
        };
        format!("{open}\n{pad}{}\n{}{close}", items.join(&format!(",\n{pad}")), "  ".repeat(depth))
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn short_values_stand_on_one_line() {
    let doc = Doc::parse(br#"{"b":[1.50,{"x":null}],"a":"q"}"#);
    assert_eq!(doc.pretty(), r#"{"b": [1.50, {"x": null}], "a": "q"}"#);
    let long = Doc::parse(format!(r#"{{"a":"{}","b":[1]}}"#, "x".repeat(WIDTH)).as_bytes());
    assert_eq!(long.pretty(), format!("{{\n  \"a\": \"{}\",\n  \"b\": [1]\n}}", "x".repeat(WIDTH)));
}
