//! One step of a streamed answer.

use super::{Citation, Fault, StopReason, Usage};

/// What kind of part begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartStart {
    /// Text.
    Text,
    /// Reasoning.
    Reasoning,
    /// Reasoning of which only the encrypted form exists; no deltas follow.
    RedactedReasoning {
        /// The encrypted form, opaque.
        data: String,
    },
    /// A refusal in words.
    Refusal,
    /// A tool call; its arguments follow as deltas.
    ToolCall {
        /// Joins call and result.
        id: String,
        /// The tool's name.
        name: String,
    },
}

/// One step of a streamed answer. Parts are numbered from 0 in the order they begin and may interleave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The answer begins.
    Start {
        /// The provider's id.
        id: String,
        /// The model that answers.
        model: String,
        /// Unix seconds, where the format has it.
        created: Option<u64>,
    },
    /// A part begins.
    PartStart {
        /// Its number.
        index: usize,
        /// Its kind.
        part: PartStart,
    },
    /// More of a part: text, reasoning text or a piece of the arguments.
    Delta {
        /// The part's number.
        index: usize,
        /// The piece, never cut inside a character.
        text: String,
    },
    /// The signature of a reasoning part.
    Signature {
        /// The part's number.
        index: usize,
        /// Vendor's signature, opaque.
        signature: String,
    },
    /// What a text part rests on.
    Citation {
        /// The part's number.
        index: usize,
        /// One source.
        citation: Citation,
    },
    /// A part is complete.
    PartEnd {
        /// Its number.
        index: usize,
    },
    /// Token counts so far; see [`Usage::update`].
    Usage(Usage),
    /// Why the model stopped. Usage may still follow.
    Stop(StopReason),
    /// A keep-alive.
    Ping,
    /// The provider failed after it had begun.
    Fault(Fault),
    /// The provider's own end marker: nothing follows.
    Done,
}

impl Event {
    /// The answer has content from here on: something a reader or a tool can use, and not only its envelope.
    #[must_use]
    pub fn is_content(&self) -> bool {
        match self {
            Self::Delta { text, .. } => !text.is_empty(),
            Self::PartStart { part, .. } => {
                matches!(part, PartStart::ToolCall { .. } | PartStart::RedactedReasoning { .. })
            }
            Self::Start { .. }
            | Self::Signature { .. }
            | Self::Citation { .. }
            | Self::PartEnd { .. }
            | Self::Usage(_)
            | Self::Stop(_)
            | Self::Ping
            | Self::Fault(_)
            | Self::Done => false,
        }
    }
}
