//! JSON compared by value: member order is free, numbers are compared exactly where they are whole.

use serde_json::value::RawValue;
use wire::json;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Whole(i128),
    Number(f64),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    pub(crate) fn parse(body: &[u8]) -> Self {
        let raw: &RawValue = serde_json::from_slice(body).unwrap_or_else(|e| {
            panic!("{e}: {}", String::from_utf8_lossy(body));
        });
        Self::of(raw)
    }

    fn of(raw: &RawValue) -> Self {
        match json::kind(raw) {
            "null" => Self::Null,
            "boolean" => Self::Bool(raw.get() == "true"),
            "string" => Self::Text(json::text(raw, "").unwrap().into_owned()),
            "array" => Self::Array(json::array(raw, "").unwrap().into_iter().map(Self::of).collect()),
            "object" => {
                let mut members: Vec<(String, Self)> =
                    json::members(raw).into_iter().map(|(name, value)| (name.into_owned(), Self::of(value))).collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                assert!(members.windows(2).all(|pair| pair[0].0 != pair[1].0), "a member twice: {}", raw.get());
                Self::Object(members)
            }
            _ => match raw.get().parse() {
                Ok(whole) => Self::Whole(whole),
                Err(_) => match raw.get().parse().unwrap() {
                    #[expect(clippy::cast_possible_truncation, reason = "guarded")]
                    n if f64::fract(n) == 0.0 && n.abs() < 1e15 => Self::Whole(n as i128),
                    n => Self::Number(n),
                },
            },
        }
    }

    fn members(&self) -> &[(String, Self)] {
        if let Self::Object(members) = self { members } else { &[] }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(have, _)| have == name).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        let Self::Object(members) = self else { return None };
        members.iter_mut().find(|(have, _)| have == name).map(|(_, value)| value)
    }

    pub(crate) fn set(&mut self, name: &str, value: Self) {
        if let Self::Object(members) = self {
            members.retain(|(have, _)| have != name);
            members.push((name.to_owned(), value));
            members.sort_by(|a, b| a.0.cmp(&b.0));
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        if let Self::Array(items) = self { items } else { &[] }
    }

    pub(crate) fn items_mut(&mut self) -> &mut [Self] {
        if let Self::Array(items) = self { items } else { &mut [] }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}
