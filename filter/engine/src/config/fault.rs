//! What is wrong with a configuration, told so that its author can mend it: where, what was found, what was expected.
//!
//! Does not: echo values that may be secrets. Rules that know their value to be harmless quote it, all others name its
//! kind.
//!
//! Decision: faults are collected and told together. Rejected: `?` at the first one, which makes a file of five slips
//! five rounds.

use std::fmt;
use std::panic::Location;

use super::path::Path;
use crate::nearest::nearest;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the document; the root for the file as a whole.
    pub path: Path,
    /// Where in the text, filled in by a host that knows the text.
    pub place: Option<Place>,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
    /// The known name that comes closest to an unknown one.
    pub nearest: Option<String>,
    /// The rule, by the line of source that told it: tests find rules by it that no case breaks.
    pub rule: &'static Location<'static>,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

impl Fault {
    /// A fault told by the caller.
    #[must_use]
    #[track_caller]
    pub fn new(path: &Path, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::told(path, found.into(), expected.into(), Location::caller())
    }

    /// As [`Fault::new`], for a name that is none of the known ones.
    #[must_use]
    #[track_caller]
    pub fn unknown<'a>(
        path: &Path,
        name: &str,
        expected: impl Into<String>,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let nearest = nearest(name, known).map(str::to_owned);
        // The path ends with a member's name already.
        let found = if path.is_name() { "an unknown name".to_owned() } else { format!("{name:?}") };
        Self { nearest, ..Self::new(path, found, expected) }
    }

    #[inline(never)]
    fn told(path: &Path, found: String, expected: String, rule: &'static Location<'static>) -> Self {
        Self { path: path.clone(), place: None, found, expected, nearest: None, rule }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.path.is_root() {
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

/// The most faults that are told at once, and one more that says so.
const MOST: usize = 256;

/// Collects faults. A fault below a place that is already broken is a consequence and is not told.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    #[track_caller]
    pub(super) fn add(&mut self, path: &Path, found: impl Into<String>, expected: impl Into<String>) {
        self.push(Fault::new(path, found, expected));
    }

    /// As [`Faults::add`], for a name that is none of the known ones.
    #[track_caller]
    pub(super) fn unknown<'a>(
        &mut self,
        path: &Path,
        name: &str,
        expected: impl Into<String>,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        self.push(Fault::unknown(path, name, expected, known));
    }

    /// As [`Faults::add`], where what was meant is known.
    #[track_caller]
    pub(super) fn meant(
        &mut self,
        path: &Path,
        found: impl Into<String>,
        expected: impl Into<String>,
        nearest: Option<String>,
    ) {
        self.push(Fault { nearest, ..Fault::new(path, found, expected) });
    }

    /// Each fault is compared with those before it, so their number is bounded.
    #[inline(never)]
    fn push(&mut self, fault: Fault) {
        if self.list.len() > MOST || self.list.iter().any(|known| fault.path.is_within(&known.path)) {
            return;
        }
        let full = self.list.len() == MOST;
        let (found, expected) = ("more than can be told at once", "the faults above to be mended first");
        self.list.push(if full { Fault::new(&Path::root(), found, expected) } else { fault });
    }

    /// Something in there does not fit already: what is missing may be a consequence.
    pub(super) fn any_in(&self, path: &Path) -> bool {
        self.list.iter().any(|known| known.path.is_within(path))
    }

    /// The value, if there is no fault.
    pub(super) fn or<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.list.is_empty() { Ok(value) } else { Err(self.list) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_faults_than_anybody_reads_are_not_kept() {
        let mut faults = Faults::default();
        for index in 0..10_000 {
            faults.add(&Path::root().member("keys").index(index), "a", "b");
        }
        let told = faults.or(()).unwrap_err();
        let last = told.last().unwrap().to_string();
        assert_eq!(told.len(), MOST + 1);
        assert_eq!(last, "found more than can be told at once, expected the faults above to be mended first");
    }

    #[test]
    fn a_consequence_is_not_told() {
        let mut faults = Faults::default();
        let keys = Path::root().member("keys");
        faults.add(&keys.index(1), "a", "b");
        faults.add(&keys.index(1).member("name"), "nothing", "a name");
        faults.add(&keys.index(10), "c", "d");
        let told: Vec<String> = faults.or(()).unwrap_err().iter().map(Fault::to_string).collect();
        assert_eq!(told, ["keys[1]: found a, expected b", "keys[10]: found c, expected d"]);
    }
}
