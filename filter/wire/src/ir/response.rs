//! The canonical unary answer.

use super::{Extra, Part, Usage};

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// It was done.
    End,
    /// The bound on the answer was reached.
    MaxTokens,
    /// A stop sequence appeared; which one, if the provider says.
    StopSequence(Option<String>),
    /// It wants tools called.
    ToolUse,
    /// A filter or the model refused.
    Refusal,
    /// The turn is paused and may be continued (server tools).
    Pause,
    /// Something this table does not know, in the provider's word.
    Other(String),
}

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The provider's id of the answer.
    pub id: String,
    /// The model that answered, in the provider's words.
    pub model: String,
    /// Unix seconds, where the format has it.
    pub created: Option<u64>,
    /// What was said.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: Option<StopReason>,
    /// Token counts.
    pub usage: Usage,
    /// Uninterpreted members.
    pub extra: Extra,
}
