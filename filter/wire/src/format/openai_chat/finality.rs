//! Whether the usage that a stream has reported is its last.
//!
//! Many servers report sums with each chunk, and the last chunk counts. So a report is final only at the finish reason
//! or after it, and only where no choice can follow:
//!
//! ```text
//! {"choices":[…],"usage":{…5}}                             not yet
//! {"choices":[{"finish_reason":"stop"}],"usage":{…9}}      once `[DONE]` follows
//! {"choices":[],"usage":{…9}}                              at once, if a finish reason came before
//! ```

use crate::ir::{Certain, Usage};

/// What was reported of one stream, and when.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Finality {
    /// With the finish reason or after it.
    stopped: Certain,
    /// After it, in a chunk without choices.
    alone: Certain,
    done: bool,
}

impl Finality {
    /// A chunk reported this. `stopped`: a finish reason stands in the chunk or came before; `alone`: the chunk has no
    /// choices.
    pub(super) fn report(&mut self, usage: &Usage, stopped: bool, alone: bool) {
        let Certain { input, output } = Certain::of(usage);
        if stopped {
            self.stopped.input |= input;
            self.stopped.output |= output;
        }
        if stopped && alone {
            self.alone.input |= input;
            self.alone.output |= output;
        }
    }

    /// `[DONE]` was seen. A stream that merely ends may have been cut.
    pub(super) fn done(&mut self) {
        self.done = true;
    }

    /// What cannot change any more.
    pub(super) fn certain(self) -> Certain {
        if self.done { self.stopped } else { self.alone }
    }
}
