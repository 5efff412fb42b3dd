//! The canonical chat exchange: request, response, stream event, usage, fault.
//!
//! Laws: (1) decoding and encoding within one format loses nothing, unknown members included; (2) what another format
//! cannot carry is reported in [`Losses`], never dropped in silence; (3) absent is not zero, and absent is not null;
//! (4) the events of a stream, folded, are the unary response.

mod event;
mod fault;
mod request;
mod response;
mod usage;

pub use event::{Event, PartStart};
pub use fault::{Fault, FaultKind};
pub use request::{
    Citation, Extra, Json, Media, MediaSource, Operation, Output, Part, Reasoning, Request, Role, Sampling,
    ServiceTier, Tool, ToolChoice, Turn, WebSearch,
};
pub use response::{Response, StopReason};
pub use usage::{Certain, Usage};

/// What an encoding could not carry over: paths of members in the client's own spelling.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Losses {
    /// One entry a dropped or bent member, e.g. `logit_bias` or `messages[2].name`. Closed by `…` when there were more.
    pub dropped: Vec<String>,
}

impl Losses {
    /// The most that is noted: more would not be read by anybody, and a request can hold a hundred thousand.
    pub const MAX: usize = 64;

    /// Nothing further is noted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.dropped.len() >= Self::MAX
    }

    /// Notes one loss, once.
    pub fn drop_field(&mut self, path: impl Into<String>) {
        let path = path.into();
        if !self.is_full() && !self.dropped.contains(&path) {
            self.dropped.push(if self.dropped.len() + 1 == Self::MAX { "...".to_owned() } else { path });
        }
    }
}
