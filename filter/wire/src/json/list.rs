//! Lists and members that are read one by one. Example: of a list of 2,600,000 items under a bound of 1,024 only 1,024
//! are ever kept; the rest are counted.
//!
//! Does not: keep what is over a bound.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::TextSeed;
use crate::format::Malformed;
use crate::format::bounds::{self, Bound};

/// A value as a list of at most so many items.
///
/// # Errors
/// Not an array, or longer.
pub(crate) fn list<'a>(
    raw: &'a RawValue,
    bound: &Bound,
    path: impl Fn() -> String,
) -> Result<Vec<&'a RawValue>, Malformed> {
    let (items, found) = first(raw, bound.most).map_err(|_| Malformed::expected(path(), raw, "array"))?;
    bound.check(path, found)?;
    Ok(items)
}

/// The first items of a list, at most so many, and how many there are.
///
/// # Errors
/// Not an array.
pub(crate) fn first(raw: &RawValue, most: usize) -> serde_json::Result<(Vec<&RawValue>, usize)> {
    Items(most).deserialize(&mut serde_json::Deserializer::from_str(raw.get()))
}

/// A value as an array.
///
/// # Errors
/// Not an array, or one of more than 100,000 items.
pub fn array(raw: &RawValue, path: impl Into<String>) -> Result<Vec<&RawValue>, Malformed> {
    let path = path.into();
    list(raw, &bounds::PARTS, || path.clone())
}

/// Keeps so many items, and counts all.
struct Items(usize);

impl<'de> DeserializeSeed<'de> for Items {
    type Value = (Vec<&'de RawValue>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.0 {
            match seq.next_element()? {
                Some(item) => items.push(item),
                None => {
                    let found = items.len();
                    return Ok((items, found));
                }
            }
        }
        let mut found = items.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            found += 1;
        }
        Ok((items, found))
    }
}

/// Calls `with` for each member of an object in its order; for none if it is no object.
pub(crate) fn each_member<'a>(raw: &'a RawValue, with: impl FnMut(Cow<'a, str>, &'a RawValue)) {
    // It was parsed before, so it ends well unless it is no object.
    Each(with).deserialize(&mut serde_json::Deserializer::from_str(raw.get())).ok();
}

/// The first member of this name of a value that is an object.
pub(crate) fn member<'a>(raw: &'a RawValue, wanted: &str) -> Option<&'a RawValue> {
    let mut found = None;
    each_member(raw, |name, value| {
        if found.is_none() && name == wanted {
            found = Some(value);
        }
    });
    found
}

/// How many members a value has that is an object.
pub(crate) fn count_members(raw: &RawValue) -> usize {
    let mut count = 0;
    each_member(raw, |_, _| count += 1);
    count
}

struct Each<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> DeserializeSeed<'de> for Each<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(TextSeed)? {
            (self.0)(name, map.next_value()?);
        }
        Ok(())
    }
}
