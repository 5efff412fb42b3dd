//! Judges in one pass whether a JSON Schema lies in the subset that a format enforces. Example: under a subset without
//! `oneOf` the schema `{"oneOf": []}` does not fit.
//!
//! Does not: build a document, resolve references, or change a schema.
//!
//! Decision: one visitor walks the schema while it is parsed, so each byte is read once, and the first keyword outside
//! the subset ends the walk. Rejected: to parse each level anew from its raw text, which costs depth times size, and a
//! list of open nodes that each know their definition's name, which costs nodes times name.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{self, TextSeed};

/// What a keyword of a schema holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keyword {
    /// A schema.
    Schema,
    /// A list of schemas, at least one.
    Schemas,
    /// The schemas of properties by their names.
    Properties,
    /// Schemas by names that a [`Plain::Reference`] may use.
    Definitions,
    /// No schema.
    Plain(Plain),
}

/// What a keyword holds that holds no schema.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plain {
    /// Anything; it is not looked at.
    Any,
    /// The type, or a list of types.
    Type,
    /// The names of properties that must be there.
    Required,
    /// Whether properties beside the named ones are allowed.
    Others,
    /// The same, and they must not be.
    Closed,
    /// A reference to a definition.
    Reference,
    /// One of these JSON texts.
    OneOf(&'static [&'static str]),
    /// A string, one of these.
    Word(&'static [&'static str]),
}

/// A subset of JSON Schema.
#[derive(Debug)]
pub(crate) struct Subset {
    /// What this keyword holds; `None` where the subset lacks it. `root`: it stands at the top.
    pub(crate) keyword: fn(name: &str, root: bool) -> Option<Keyword>,
    /// Deeper schemas do not fit.
    pub(crate) depth: usize,
    /// Schemas of more properties and definitions do not fit.
    pub(crate) properties: usize,
    /// Schemas with more references do not fit.
    pub(crate) references: usize,
    /// A schema that has properties is an object without saying so, and every property must be required.
    pub(crate) all_required: bool,
}

/// What stands at the top of a schema that fits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Root {
    /// It calls itself an object and nothing else.
    pub(crate) object: bool,
    /// It offers alternatives.
    pub(crate) alternatives: bool,
}

/// Names of definitions that are longer do not fit.
const MAX_NAME: usize = 256;

/// The top of the schema, if it fits.
pub(crate) fn fits(schema: &RawValue, subset: &'static Subset) -> Option<Root> {
    let mut walk = Walk { subset, properties: 0, references: 0, uses: Vec::new() };
    let node = Node { walk: &mut walk, depth: 0, definition: None };
    let root = node.deserialize(&mut serde_json::Deserializer::from_str(schema.get())).ok()?;
    is_finite(&walk.uses).then_some(root)
}

/// State of one pass.
struct Walk {
    subset: &'static Subset,
    properties: usize,
    references: usize,
    /// Definitions, each with one it refers to. References from outside of any definition close no circle.
    uses: Vec<(String, String)>,
}

type Name<'a> = Cow<'a, str>;

/// Ends the walk. Nobody reads the words.
fn unfit<T, E: Error>() -> Result<T, E> {
    Err(E::custom("outside of the subset"))
}

/// One schema that is about to be read.
struct Node<'w> {
    walk: &'w mut Walk,
    depth: usize,
    /// The definition it lies in.
    definition: Option<&'w str>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Root;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Root, D::Error> {
        if self.depth > self.walk.subset.depth { unfit() } else { deserializer.deserialize_map(self) }
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Root;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schema")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Root, A::Error> {
        let Self { walk, depth, definition } = self;
        let (mut root, mut object, mut closed) = (Root::default(), false, false);
        let (mut properties, mut required) = (Vec::new(), Vec::new());
        while let Some(name) = map.next_key_seed(TextSeed)? {
            let Some(keyword) = (walk.subset.keyword)(&name, depth == 0) else { return unfit() };
            let node = Node { walk: &mut *walk, depth: depth + 1, definition };
            match keyword {
                Keyword::Schema => drop(map.next_value_seed(node)?),
                Keyword::Schemas => {
                    root.alternatives |= name == "anyOf";
                    map.next_value_seed(List(node))?;
                }
                Keyword::Properties => {
                    object |= node.walk.subset.all_required;
                    properties.extend(map.next_value_seed(Named(node, false))?);
                }
                Keyword::Definitions => drop(map.next_value_seed(Named(node, true))?),
                Keyword::Plain(plain) => {
                    let value = map.next_value::<&'de RawValue>()?;
                    let all = walk.subset.all_required;
                    let fits = match plain {
                        Plain::Any => true,
                        Plain::Type => {
                            root.object = value.get() == "\"object\"";
                            object |= root.object || all && value.get().contains("\"object\"");
                            true
                        }
                        Plain::Required => {
                            let names = if all { names(value, walk.subset.properties) } else { Some(Vec::new()) };
                            names.map(|names| required = names).is_some()
                        }
                        Plain::Others | Plain::Closed => {
                            closed = value.get() == "false";
                            closed || matches!(plain, Plain::Others)
                        }
                        Plain::Reference => refer(walk, definition, value),
                        Plain::OneOf(texts) => texts.contains(&value.get()),
                        Plain::Word(words) => json::text(value, "").is_ok_and(|text| words.contains(&text.as_ref())),
                    };
                    if !fits {
                        return unfit();
                    }
                }
            }
        }
        if object && !(closed && (!walk.subset.all_required || covers(required, &properties))) {
            return unfit();
        }
        Ok(root)
    }
}

/// Schemas in a list.
struct List<'w>(Node<'w>);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of schemas")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Node { walk, depth, definition } = self.0;
        let mut empty = true;
        while seq.next_element_seed(Node { walk: &mut *walk, depth, definition })?.is_some() {
            empty = false;
        }
        if empty { unfit() } else { Ok(()) }
    }
}

/// Schemas by name, and whether the names are those of definitions.
struct Named<'w>(Node<'w>, bool);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = Vec<Name<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = Vec<Name<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("schemas by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self(Node { walk, depth, definition }, defines) = self;
        let mut names = Vec::new();
        while let Some(name) = map.next_key_seed(TextSeed)? {
            walk.properties += 1;
            if walk.properties > walk.subset.properties || defines && name.len() > MAX_NAME {
                return unfit();
            }
            let definition = if defines { Some(name.as_ref()) } else { definition };
            map.next_value_seed(Node { walk: &mut *walk, depth, definition })?;
            if walk.subset.all_required && !defines {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// Notes a reference; false if it leads nowhere, or if there are too many.
fn refer(walk: &mut Walk, definition: Option<&str>, value: &RawValue) -> bool {
    let Ok(text) = json::text(value, "") else { return false };
    let target = text.strip_prefix("#/$defs/").or_else(|| text.strip_prefix("#/definitions/"));
    let Some(target) = target.filter(|target| target.len() <= MAX_NAME) else { return false };
    walk.uses.extend(definition.map(|definition| (definition.to_owned(), target.to_owned())));
    walk.references += 1;
    walk.references <= walk.subset.references
}

/// The names in a list; `None` if it is no list, or longer than that.
fn names(value: &RawValue, most: usize) -> Option<Vec<Name<'_>>> {
    let (items, found) = json::first(value, most).ok()?;
    (found <= most).then(|| items.into_iter().filter_map(|item| json::text(item, "").ok()).collect())
}

/// Every property is required.
fn covers(mut required: Vec<Name<'_>>, properties: &[Name<'_>]) -> bool {
    required.sort_unstable();
    properties.iter().all(|name| required.binary_search(name).is_ok())
}

/// No definition leads back to itself. Strikes out definitions that use none of those left, each once.
fn is_finite(references: &[(String, String)]) -> bool {
    let mut users: Vec<&str> = references.iter().map(|(user, _)| user.as_str()).collect();
    users.sort_unstable();
    users.dedup();
    let place = |name: &str| users.binary_search(&name).ok();
    // Only definitions that use others can be part of a circle: pairs of used and user.
    let of = |(user, target): &(String, String)| Some((place(target)?, place(user)?));
    let mut edges: Vec<(usize, usize)> = references.iter().filter_map(of).collect();
    edges.sort_unstable();
    let mut uses = vec![0_usize; users.len()];
    for (_, user) in &edges {
        uses.get_mut(*user).into_iter().for_each(|uses| *uses += 1);
    }
    let mut free: Vec<usize> = (0..users.len()).filter(|user| uses.get(*user) == Some(&0)).collect();
    let mut struck = 0;
    while let Some(target) = free.pop() {
        struck += 1;
        let from = edges.partition_point(|(used, _)| *used < target);
        for (_, user) in edges.get(from..).unwrap_or_default().iter().take_while(|(used, _)| *used == target) {
            if let Some(left) = uses.get_mut(*user) {
                *left -= 1;
                if *left == 0 {
                    free.push(*user);
                }
            }
        }
    }
    struck == users.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finite(references: &[(&str, &str)]) -> bool {
        let owned: Vec<_> =
            references.iter().map(|(user, target)| ((*user).to_owned(), (*target).to_owned())).collect();
        is_finite(&owned)
    }

    #[test]
    fn circles_of_definitions_are_found() {
        assert!(finite(&[]));
        assert!(finite(&[("a", "b"), ("a", "c"), ("b", "c"), ("a", "b")]));
        assert!(!finite(&[("a", "a")]));
        assert!(!finite(&[("a", "b"), ("b", "c"), ("c", "b")]));
        assert!(finite(&[("b", "a"), ("c", "b"), ("d", "b"), ("d", "c"), ("d", "gone")]));
    }
}
