//! Where a value of a document stands.
//!
//! What every rule calls is not inlined: that would be a hundredth of the guest.

use std::fmt;
use std::sync::Arc;

/// The way from the root of a document to a value, or to a member's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path {
    steps: Arc<[Step]>,
    name: bool,
}

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a mapping.
    Member(String),
    /// Into a list.
    Index(usize),
}

impl Path {
    /// The whole document.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// A member of this mapping.
    #[must_use]
    #[inline(never)]
    pub fn member(&self, name: &str) -> Self {
        self.step(Step::Member(name.to_owned()))
    }

    /// An element of this list.
    #[inline(never)]
    pub(super) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The name of this member, not its value.
    #[inline(never)]
    pub(super) fn name(&self) -> Self {
        Self { name: true, ..self.clone() }
    }

    fn step(&self, step: Step) -> Self {
        Self { steps: self.steps.iter().cloned().chain([step]).collect(), name: false }
    }

    /// From the root.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Is it the member's name that is meant?
    #[must_use]
    pub fn is_name(&self) -> bool {
        self.name
    }

    /// Is it the whole document?
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// The same place, or one within it.
    pub(super) fn is_within(&self, place: &Self) -> bool {
        self.steps.starts_with(&place.steps)
    }
}

/// `providers.openai.keys[0].weight`; names that would read as more than one are quoted.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Member(name) if name.is_empty() || !name.bytes().all(plain) => write!(f, "[{name:?}]")?,
                Step::Member(name) if i == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn names_with_dots_are_quoted_in_a_path() {
        let path = Path::root().member("models").member("gpt-4.1").member("candidates").index(2).member("weight");
        assert_eq!(path.to_string(), r#"models["gpt-4.1"].candidates[2].weight"#);
    }

    #[test]
    fn a_name_stands_where_its_value_does() {
        let keys = Path::root().member("keys");
        assert!(keys.index(1).member("name").is_within(&keys.index(1).name()));
        assert!(!keys.index(10).is_within(&keys.index(1)));
        assert!(!keys.is_within(&keys.index(1)));
    }
}
