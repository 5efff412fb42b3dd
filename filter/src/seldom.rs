//! Lines of the log about what may come by the thousand: one a minute.

use std::cell::Cell;

/// Nanoseconds between two lines.
const PAUSE: u64 = 60_000_000_000;

/// When the last line was written; Unix nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Cell<u64>);

impl Seldom {
    /// There was none.
    pub(crate) const fn new() -> Self {
        Self(Cell::new(0))
    }

    /// A line is due, and is written now.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        let due = now.abs_diff(self.0.get()) >= PAUSE;
        if due {
            self.0.set(now);
        }
        due
    }
}
