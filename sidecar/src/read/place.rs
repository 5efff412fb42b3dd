//! Where the parts of a YAML text stand, for faults to be told by line and column.
//!
//! Does not: hold any value of the text, since secrets may be among them.
//!
//! Decision: a second reading, and only when there are faults, into a tree of places alone; it is the same YAML reader
//! with the same options, so merges and aliases are where the first reading saw them. Rejected: a tree of values with
//! places for both readings, which every configuration without faults would pay for and which JSON documents have not.

use std::fmt;

use engine::config::{Path, Place, Step};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// The places of one value and of what is in it.
#[derive(Debug)]
pub(super) struct Places(Spanned<Within>);

#[derive(Debug)]
enum Within {
    Nothing,
    Members(Vec<(Spanned<String>, Places)>),
    Elements(Vec<Places>),
}

impl Places {
    /// Where the path leads; for what is missing, where the mapping stands that lacks it.
    pub(super) fn find(&self, path: &Path) -> Option<Place> {
        let mut here = self;
        let mut name = None;
        for step in path.steps() {
            let next = match (&here.0.value, step) {
                (Within::Members(members), Step::Member(wanted)) => {
                    members.iter().find(|(name, _)| name.value == *wanted).map(|(name, next)| (Some(name), next))
                }
                (Within::Elements(elements), Step::Index(index)) => elements.get(*index).map(|next| (None, next)),
                (Within::Nothing | Within::Members(_) | Within::Elements(_), _) => None,
            };
            let Some(next) = next else { return place(here.0.defined) };
            (name, here) = next;
        }
        let value = place(here.0.defined);
        match name {
            Some(name) if path.is_name() || value.is_none() => place(name.defined),
            Some(_) | None => value,
        }
    }
}

/// None where the reader does not know.
pub(super) fn place(at: Location) -> Option<Place> {
    (at != Location::UNKNOWN).then(|| Place { line: at.line(), column: at.column() })
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Within {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Within;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Within, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Within::Members(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Within, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Within::Elements(elements))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Within, E> {
        Ok(Within::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Within, E> {
        Ok(Within::Nothing)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Within, E> {
        Ok(Within::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Within, E> {
        Ok(Within::Nothing)
    }

    fn visit_str<E>(self, _: &str) -> Result<Within, E> {
        Ok(Within::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Within, E> {
        Ok(Within::Nothing)
    }

    fn visit_none<E>(self) -> Result<Within, E> {
        Ok(Within::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Within, D::Error> {
        IgnoredAny::deserialize(inner).map(|_| Within::Nothing)
    }
}
