//! From a document to the typed stage, with every misfit and not just the first.
//!
//! Does not: know any rule beyond names and types; [`super::check`] does.
//!
//! Decision: serde stops at its first error, so the misfit is told, taken out of the document, and the rest is read
//! again. Rejected: a hand-written walk over the document, which would have to repeat the schema.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::fault::Faults;
use super::node::{MAPPING, Misfit, Node, one_of};
use super::path::Path;
use super::schema::Limit;

/// More than anybody wants to read at once.
const MOST: usize = 100;

/// The document's typed form. What does not fit is told and left out.
pub(super) fn read<T: DeserializeOwned + Default>(mut document: Value, faults: &mut Faults) -> T {
    refuse_nothing(&mut document, &Path::root(), faults);
    typed(document, &Path::root(), faults)
}

/// What only the sidecar reads, before it is read.
#[derive(Debug, Default)]
pub(super) struct Parts {
    members: Vec<(&'static str, Value)>,
    limits: Vec<(String, Value)>,
}

impl Parts {
    /// Takes them out of a document. Where one was stands that it was there.
    pub(super) fn take(document: &mut Value, faults: &mut Faults) -> Self {
        refuse_nothing(document, &Path::root(), faults);
        let mut parts = Self::default();
        for name in PARTS {
            parts.members.extend(document.get_mut(name).map(|part| (name, take(part))));
        }
        for (name, provider) in document.get_mut("providers").and_then(Value::as_object_mut).into_iter().flatten() {
            parts.limits.extend(provider.get_mut("limits").map(|limits| (name.clone(), take(limits))));
        }
        parts
    }

    /// The typed form of a member.
    pub(super) fn read<T: DeserializeOwned + Default>(&mut self, name: &str, faults: &mut Faults) -> T {
        let found = self.members.iter_mut().find(|(known, _)| *known == name);
        found.map(|(_, part)| typed(std::mem::take(part), &Path::root().member(name), faults)).unwrap_or_default()
    }

    /// The limits of this provider as a whole.
    pub(super) fn limits(&mut self, provider: &str, path: &Path, faults: &mut Faults) -> Vec<Limit> {
        let found = self.limits.iter_mut().find(|(known, _)| known == provider);
        found.map(|(_, limits)| typed(std::mem::take(limits), path, faults)).unwrap_or_default()
    }
}

/// Members of [`super::schema::Config`] that are a [`super::schema::Part`].
const PARTS: [&str; 9] =
    ["virtual_keys", "global", "customers", "teams", "projects", "pools", "prices", "governance", "identities"];

fn take(part: &mut Value) -> Value {
    let there = match &*part {
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    };
    std::mem::replace(part, Value::Bool(there))
}

fn typed<T: DeserializeOwned + Default>(mut document: Value, base: &Path, faults: &mut Faults) -> T {
    for _ in 0..MOST {
        let (steps, misfit) = match serde_path_to_error::deserialize(Node(&document)) {
            Ok(typed) => return typed,
            Err(error) => (error.path().iter().cloned().collect::<Vec<_>>(), error.into_inner()),
        };
        let replacement = replacement(&misfit);
        tell(misfit, &path(base, &steps), faults);
        if take_out(&mut document, &steps, replacement).is_none() {
            break;
        }
    }
    // Whatever the rules would say about a document read in half is a consequence.
    faults.add(base, "more than can be told at once", "the faults above to be mended first");
    T::default()
}

/// A member without a value is a slip: `secret:` left blank must not mean that no secret is needed. A number that is
/// none (`.nan`) arrives as nothing, too.
fn refuse_nothing(value: &mut Value, path: &Path, faults: &mut Faults) {
    let mut refuse = |member: &mut Value, path: &Path| {
        refuse_nothing(member, path, faults);
        if member.is_null() {
            faults.add(path, "nothing", "a value; for the default, leave the whole line out");
        }
        !member.is_null()
    };
    match value {
        Value::Object(members) => members.retain(|name, member| refuse(member, &path.member(name))),
        Value::Array(elements) => {
            for (index, element) in elements.iter_mut().enumerate() {
                if !refuse(element, &path.index(index)) {
                    *element = Value::String(String::new());
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn path(base: &Path, steps: &[Segment]) -> Path {
    steps.iter().fold(base.clone(), |path, step| match step {
        Segment::Seq { index } => path.index(*index),
        Segment::Map { key } => path.member(key),
        // Not in this schema: its enums hold no data.
        Segment::Enum { .. } | Segment::Unknown => path,
    })
}

fn tell(misfit: Misfit, path: &Path, faults: &mut Faults) {
    match misfit {
        Misfit::Member { name, known } => faults.unknown(&path.name(), &name, one_of(known), known.iter().copied()),
        Misfit::Word { word, known } => faults.unknown(path, &word, one_of(known), known.iter().copied()),
        Misfit::Kind { found, expected } => faults.add(path, found, expected),
    }
}

/// What stands in for a misfit: a mapping keeps its name, so that references to it stay good; all else goes.
fn replacement(misfit: &Misfit) -> Option<Value> {
    match misfit {
        Misfit::Kind { expected, .. } if expected == MAPPING => Some(Value::Object(serde_json::Map::new())),
        Misfit::Kind { .. } | Misfit::Member { .. } | Misfit::Word { .. } => None,
    }
}

fn take_out(document: &mut Value, steps: &[Segment], replacement: Option<Value>) -> Option<()> {
    let (last, parents) = steps.split_last()?;
    let parent = parents.iter().try_fold(document, |value, step| match step {
        Segment::Seq { index } => value.get_mut(*index),
        Segment::Map { key } => value.get_mut(key.as_str()),
        Segment::Enum { .. } | Segment::Unknown => None,
    })?;
    match (parent, last) {
        (Value::Object(members), Segment::Map { key }) => match replacement {
            Some(value) => members.insert(key.clone(), value),
            None => members.shift_remove(key),
        }
        .map(drop),
        // Not removed: that would shift the index of what follows. Lists hold mappings or texts.
        (Value::Array(elements), Segment::Seq { index }) => {
            *elements.get_mut(*index)? = replacement.unwrap_or_else(|| Value::String(String::new()));
            Some(())
        }
        _ => None,
    }
}
