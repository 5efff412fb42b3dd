//! What a request can miss before it may go on.
//!
//! For example: a request whose worker holds 3 of the 5 tokens that it needs misses that account.
//!
//! Does not: ask for it (`purses`), or wait for it (`lines`).

use std::cell::Cell;
use std::cmp::Ordering;
use std::rc::Rc;

use hashbrown::Equivalent;

/// A provider and its name of a model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Model(pub(crate) String, pub(crate) String);

/// The same, to look up with.
#[derive(Hash)]
pub(crate) struct Named<'a>(pub(crate) &'a str, pub(crate) &'a str);

impl Equivalent<Model> for Named<'_> {
    fn equivalent(&self, model: &Model) -> bool {
        self.0 == model.0 && self.1 == model.1
    }
}

/// What a request misses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Missing {
    /// The sidecar has not said hello yet, so nothing can be drawn.
    Nonce,
    /// A lease, or more of it.
    Account(u64),
    /// Rates.
    Rates(Model),
    /// The tokens of its prompt.
    Count(Tally),
}

/// The tokens of a prompt, once they are counted; 0: nobody can. Whoever waits for them and the question share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Rc<Cell<Option<u64>>>);

impl PartialEq for Tally {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tally {}

impl PartialOrd for Tally {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By address, so that it can be looked up.
impl Ord for Tally {
    fn cmp(&self, other: &Self) -> Ordering {
        Rc::as_ptr(&self.0).cmp(&Rc::as_ptr(&other.0))
    }
}

impl Tally {
    pub(crate) fn get(&self) -> Option<u64> {
        self.0.get()
    }

    pub(crate) fn set(&self, tokens: u64) {
        self.0.set(Some(tokens));
    }
}
