//! Members of an object inside a body.

use std::ops::Range;

use serde::de::Deserializer as _;

use super::{Edit, Member, Pass, cut_all};

/// Members of one object inside a body.
#[derive(Debug)]
pub struct Inside {
    start: usize,
    found: Vec<(&'static str, Member)>,
}

impl Inside {
    /// Where the members of these names are in an object that lies in `body` as `range`. None if it is no object.
    #[must_use]
    pub fn find(body: &str, range: Range<usize>, names: &'static [&'static str]) -> Option<Self> {
        let offset = range.start;
        let text = body.get(range)?;
        let mut pass = Pass::of(text, [names, &[], &[], &[]]);
        serde_json::Deserializer::from_str(text).deserialize_map(&mut pass).ok()?;
        let found = pass.found.into_iter().map(|found| (found.name, found.at.moved(offset))).collect();
        Some(Self { start: pass.start + offset, found })
    }

    /// Where this member is.
    #[must_use]
    pub fn at(&self, name: &str) -> Option<&Member> {
        self.found.iter().find(|(have, _)| *have == name).map(|(_, at)| at)
    }

    /// The edits that remove several members.
    #[must_use]
    pub fn remove_all(&self, members: &[&Member]) -> Vec<Edit> {
        cut_all(self.start, members)
    }
}

impl Member {
    fn moved(self, by: usize) -> Self {
        let moved = |range: Range<usize>| range.start + by..range.end + by;
        Self {
            whole: moved(self.whole),
            name: moved(self.name),
            value: moved(self.value),
            next: self.next.map(|next| next + by),
        }
    }
}
