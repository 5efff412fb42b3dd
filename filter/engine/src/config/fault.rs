//! What is wrong with a configuration, told so that its author can mend it: where, what was found, what was expected.
//!
//! Does not: echo values that may be secrets. Rules that know their value to be harmless quote it, all others name its
//! kind.
//!
//! Decision: faults are collected and told together. Rejected: `?` at the first one, which makes a file of five slips
//! five rounds.

use std::fmt;

use crate::nearest::nearest;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, e.g. `providers.openai.keys[0].weight`; empty for the file as a whole.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
    /// The known name that comes closest to an unknown one.
    pub nearest: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)?;
        match &self.nearest {
            Some(name) => write!(f, " (did you mean {name}?)"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

/// Where a value stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Path(String);

impl Path {
    pub(super) fn root() -> Self {
        Self::default()
    }

    /// A member of this mapping. Names that would read as more than one are quoted.
    pub(super) fn member(&self, name: &str) -> Self {
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        Self(match (plain, self.0.is_empty()) {
            (true, true) => name.to_owned(),
            (true, false) => format!("{}.{name}", self.0),
            (false, _) => format!("{}[{name:?}]", self.0),
        })
    }

    /// An element of this list.
    pub(super) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Collects faults. A fault below a place that is already broken is a consequence and is not told.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    pub(super) fn add(&mut self, path: &Path, found: impl Into<String>, expected: impl Into<String>) {
        self.push(Fault { path: path.to_string(), found: found.into(), expected: expected.into(), nearest: None });
    }

    /// As [`Faults::add`], for a name that is none of the known ones.
    pub(super) fn unknown<'a>(
        &mut self,
        path: &Path,
        name: &str,
        expected: impl Into<String>,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        let nearest = nearest(name, known).map(str::to_owned);
        self.push(Fault { path: path.to_string(), found: format!("{name:?}"), expected: expected.into(), nearest });
    }

    pub(super) fn push(&mut self, fault: Fault) {
        if !self.list.iter().any(|known| is_below(&fault.path, &known.path)) {
            self.list.push(fault);
        }
    }

    pub(super) fn into_list(self) -> Vec<Fault> {
        self.list
    }
}

/// The same place, or one within it.
fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place)
        .is_some_and(|rest| place.is_empty() || rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_are_quoted_in_a_path() {
        let path = Path::root().member("models").member("gpt-4.1").member("candidates").index(2).member("weight");
        assert_eq!(path.to_string(), r#"models["gpt-4.1"].candidates[2].weight"#);
    }

    #[test]
    fn a_consequence_is_not_told() {
        let mut faults = Faults::default();
        let keys = Path::root().member("keys");
        faults.add(&keys.index(1), "a", "b");
        faults.add(&keys.index(1).member("name"), "nothing", "a name");
        faults.add(&keys.index(10), "c", "d");
        let told: Vec<String> = faults.into_list().iter().map(Fault::to_string).collect();
        assert_eq!(told, ["keys[1]: found a, expected b", "keys[10]: found c, expected d"]);
    }
}
