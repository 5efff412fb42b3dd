//! JSON as an ordered list of members whose values stay text.
//!
//! Does not: build documents, round numbers, hash keys, recurse. A value is parsed only where a format asks for it, so
//! depth costs nothing (serde_json skips a raw value without recursion).
//!
//! Decision: [`Object`] is a `Vec` searched from the front, and what nobody took leaves as [`Extra`]. Rejected: serde
//! derive with a flattened catch-all, which needs a map keyed by the client, forgets member order, and cannot name the
//! path of a fault.

pub(crate) mod find;
mod list;
pub mod nodes;
mod write;

pub use list::array;
pub(crate) use list::{count_members, each_member, first, list, member};
pub use write::{ArrayWriter, ObjectWriter, object as write_object};

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

use crate::format::Malformed;
use crate::format::bounds::{self, Bound};
use crate::ir::{Extra, Json};

/// Members that most objects of the protocols do not exceed.
const USUAL: usize = 8;

/// Whole numbers up to here are exact as `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// One object, whose members are taken one by one.
///
/// `null` counts as absent and is kept as a spelling, so that the format it came from gets it back.
#[derive(Debug)]
pub struct Object<'a> {
    path: String,
    members: Vec<Entry<'a>>,
}

#[derive(Debug)]
struct Entry<'a> {
    name: Cow<'a, str>,
    value: &'a RawValue,
    taken: bool,
    spelled: bool,
}

impl<'a> Object<'a> {
    /// The body of a message.
    ///
    /// # Errors
    /// Not JSON, not an object, or one of too many members.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let seen = serde_json::from_slice::<ObjectSeen<'a>>(body).map_err(|e| Malformed::syntax(&e))?;
        seen.within(String::new())
    }

    /// A value as an object.
    ///
    /// # Errors
    /// Not an object, or one of too many members.
    pub fn of(raw: &'a RawValue, path: impl Into<String>) -> Result<Self, Malformed> {
        let path = path.into();
        match serde_json::from_str::<ObjectSeen<'a>>(raw.get()) {
            Ok(seen) => seen.within(path),
            Err(_) => Err(Malformed::expected(path, raw, "object")),
        }
    }

    /// Where this object is, e.g. `messages[2]`; empty for the body.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of one of its members.
    #[must_use]
    pub fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { [&self.path, ".", name].concat() }
    }

    /// Takes a member as it is.
    ///
    /// # Errors
    /// It is there twice: two readers could each see another one.
    pub fn raw(&mut self, name: &str) -> Result<Option<&'a RawValue>, Malformed> {
        let mut found = self.members.iter_mut().filter(|entry| entry.name == name);
        let first = found.next();
        if found.next().is_some() {
            return Err(Malformed { path: self.at(name), message: "appears twice, expected once".to_owned() });
        }
        let Some(entry) = first.filter(|entry| !entry.taken && entry.value.get() != "null") else { return Ok(None) };
        entry.taken = true;
        Ok(Some(entry.value))
    }

    /// Keeps the spelling of a member that was taken, because the value alone does not say how it was written.
    pub fn spell(&mut self, name: &str) {
        if let Some(entry) = self.members.iter_mut().find(|entry| entry.name == name) {
            entry.spelled = true;
        }
    }

    /// Gives a member back to the rest.
    pub fn put_back(&mut self, name: &str) {
        if let Some(entry) = self.members.iter_mut().find(|entry| entry.name == name) {
            entry.taken = false;
        }
    }

    /// Looks at a member without taking it.
    #[must_use]
    pub fn peek(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|entry| entry.name == name).map(|entry| entry.value)
    }

    /// Takes a string.
    ///
    /// # Errors
    /// Twice, or something else.
    pub fn str(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        self.take(name, |raw, path| text_or(raw, path))
    }

    /// Takes a string as owned.
    ///
    /// # Errors
    /// Twice, or something else.
    pub fn string(&mut self, name: &str) -> Result<Option<String>, Malformed> {
        Ok(self.str(name)?.map(Cow::into_owned))
    }

    /// Takes a boolean.
    ///
    /// # Errors
    /// Twice, or something else.
    pub fn bool(&mut self, name: &str) -> Result<Option<bool>, Malformed> {
        self.take(name, |raw, path| match raw.get() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Malformed::expected(path(), raw, "boolean")),
        })
    }

    /// Takes a whole number; `4096.0` is one too.
    ///
    /// # Errors
    /// Twice, or something else.
    pub fn u64(&mut self, name: &str) -> Result<Option<u64>, Malformed> {
        self.take(name, |raw, path| whole(raw.get()).ok_or_else(|| Malformed::expected(path(), raw, "whole number")))
    }

    /// Takes a number.
    ///
    /// # Errors
    /// Twice, or something else.
    pub fn number(&mut self, name: &str) -> Result<Option<Number>, Malformed> {
        self.take(name, |raw, path| {
            serde_json::from_str(raw.get()).map_err(|_| Malformed::expected(path(), raw, "number"))
        })
    }

    /// Takes an array of at most so many items.
    ///
    /// # Errors
    /// Twice, longer, or something else.
    pub(crate) fn list(&mut self, name: &str, bound: &Bound) -> Result<Option<Vec<&'a RawValue>>, Malformed> {
        self.take(name, |raw, path| list(raw, bound, path))
    }

    /// Takes a string of at most so many bytes as owned.
    ///
    /// # Errors
    /// Twice, longer, or something else.
    pub(crate) fn word(&mut self, name: &str, bound: &Bound) -> Result<Option<String>, Malformed> {
        let text = self.str(name)?;
        bound.check(|| self.at(name), text.as_ref().map_or(0, |text| text.len()))?;
        Ok(text.map(Cow::into_owned))
    }

    /// Takes an object.
    ///
    /// # Errors
    /// Twice, or something else.
    pub fn object(&mut self, name: &str) -> Result<Option<Self>, Malformed> {
        self.take(name, |raw, path| Self::of(raw, path()))
    }

    /// `read` is given the path as a way to make it: most members are what they should be, and nobody asks where they are.
    fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue, &dyn Fn() -> String) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.raw(name)? {
            Some(raw) => read(raw, &|| self.at(name)).map(Some),
            None => Ok(None),
        }
    }

    /// Turns an absent member into a fault.
    ///
    /// # Errors
    /// It is absent.
    pub fn need<T>(&self, name: &str, value: Option<T>) -> Result<T, Malformed> {
        value.ok_or_else(|| Malformed { path: self.at(name), message: "missing".to_owned() })
    }

    /// True if every member has been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.iter().all(|entry| entry.taken)
    }

    /// What nobody took, in the client's order, for the format it came from.
    #[must_use]
    pub fn rest(self, format: &'static str) -> Extra {
        let mut extra = Extra { format, ..Extra::default() };
        for entry in self.members {
            let null = entry.value.get() == "null";
            let list = match (entry.taken, entry.spelled || null) {
                (false, false) => &mut extra.members,
                (_, true) => &mut extra.spelling,
                (true, false) => continue,
            };
            list.push((entry.name.into_owned(), entry.value.to_owned()));
        }
        extra
    }
}

/// The members of a value in the order they were sent; none if it is no object.
#[must_use]
pub fn members(raw: &RawValue) -> Vec<(Cow<'_, str>, &RawValue)> {
    let mut members = Vec::new();
    each_member(raw, |name, value| members.push((name, value)));
    members
}

/// A value as a string.
///
/// # Errors
/// Not a string.
pub fn text(raw: &RawValue, path: impl Into<String>) -> Result<Cow<'_, str>, Malformed> {
    text_or(raw, || path.into())
}

fn text_or(raw: &RawValue, path: impl FnOnce() -> String) -> Result<Cow<'_, str>, Malformed> {
    serde_json::from_str::<Text<'_>>(raw.get()).map(|t| t.0).map_err(|_| Malformed::expected(path(), raw, "string"))
}

/// JSON that is well formed, kept as text.
#[must_use]
pub fn raw(text: String) -> Option<Json> {
    RawValue::from_string(text).ok()
}

/// A number's text as a whole number; `2.0` and `1e3` are such.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the guard holds both")]
pub fn whole(text: &str) -> Option<u64> {
    if let Ok(n) = text.parse::<u64>() {
        return Some(n);
    }
    match text.parse::<f64>() {
        Ok(n) if n.fract() == 0.0 && (0.0..=EXACT).contains(&n) => Some(n as u64),
        _ => None,
    }
}

/// A whole number below zero.
pub(crate) fn is_negative(raw: &RawValue) -> bool {
    raw.get().strip_prefix('-').is_some_and(|number| whole(number).is_some())
}

impl Malformed {
    /// A fault of type: what stands at `path`, and what should.
    #[must_use]
    pub fn expected(path: impl Into<String>, found: &RawValue, expected: &str) -> Self {
        Self { path: path.into(), message: format!("found {}, expected {expected}", kind(found)) }
    }

    /// The body is not JSON, or not an object.
    #[must_use]
    pub fn syntax(error: &serde_json::Error) -> Self {
        // The parser repeats a text that stands where something else should.
        Self { path: String::new(), message: bounds::quoted(&error.to_string()).into_owned() }
    }
}

/// What kind of value this is, in JSON's words.
#[must_use]
pub fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// A string, borrowed unless it holds escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextSeed).map(Text)
    }
}

pub(crate) struct TextSeed;

impl<'de> Visitor<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

/// Members up to the bound, and how many there are.
struct ObjectSeen<'a>(Vec<Entry<'a>>, usize);

impl<'a> ObjectSeen<'a> {
    fn within(self, path: String) -> Result<Object<'a>, Malformed> {
        bounds::MEMBERS.check(|| path.clone(), self.1)?;
        Ok(Object { path, members: self.0 })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ObjectSeen<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = ObjectSeen<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::with_capacity(USUAL);
                while members.len() < bounds::MEMBERS.most {
                    let Some(name) = map.next_key_seed(TextSeed)? else {
                        let found = members.len();
                        return Ok(ObjectSeen(members, found));
                    };
                    members.push(Entry { name, value: map.next_value()?, taken: false, spelled: false });
                }
                let mut found = members.len();
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    found += 1;
                }
                Ok(ObjectSeen(members, found))
            }
        }
        deserializer.deserialize_map(Seen)
    }
}

#[cfg(test)]
mod tests;
