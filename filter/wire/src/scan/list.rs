//! Items of a list inside a body.

use std::ops::Range;

use serde_json::value::RawValue;

use super::{Edit, Member, cut_all, place};
use crate::json;

/// A list inside a body, its items as ranges of the body.
#[derive(Debug)]
pub struct List {
    start: usize,
    /// The items in their order. They have no names.
    pub items: Vec<Member>,
}

impl List {
    /// The list that lies in `body` as `range`. None if it is no list, or one of more than 100,000 items.
    #[must_use]
    pub fn find(body: &str, range: Range<usize>) -> Option<Self> {
        let start = range.start + 1;
        let whole: &RawValue = serde_json::from_str(body.get(range)?).ok()?;
        let raw = json::array(whole, "").ok()?;
        let mut items: Vec<Member> = Vec::with_capacity(raw.len());
        let mut after = start;
        for raw in raw {
            let value = place(body, raw);
            if let Some(last) = items.last_mut() {
                last.next = Some(value.start);
            }
            let name = value.start..value.start;
            items.push(Member { whole: after..value.end, name, value: value.clone(), next: None });
            after = value.end;
        }
        Some(Self { start, items })
    }

    /// The edits that remove several items.
    #[must_use]
    pub fn remove_all(&self, items: &[&Member]) -> Vec<Edit> {
        cut_all(self.start, items)
    }
}
