//! One counted thing, one window, one maximum.

use serde::{Deserialize, Serialize};

use super::Window;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Requests.
    Requests,
    /// Tokens sent.
    InputTokens,
    /// Tokens answered.
    OutputTokens,
    /// Both.
    TotalTokens,
    /// Nano-dollars.
    Money,
    /// Requests under way at once.
    Concurrent,
}

impl Counted {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Requests, Self::InputTokens, Self::OutputTokens, Self::TotalTokens, Self::Money, Self::Concurrent];

    /// Its name in `attache.yaml`, answers and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::TotalTokens => "total_tokens",
            Self::Money => "money",
            Self::Concurrent => "concurrent",
        }
    }
}

/// How sure a maximum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Never exceeded: the most that a request can cost is reserved before it is sent.
    #[default]
    Strict,
    /// What such requests usually cost is reserved. More of the budget is in use at once, and it may be exceeded by a
    /// known bound.
    Elastic,
}

/// What happens when a limit is used up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Exhausted {
    /// The request is refused.
    #[default]
    Block,
    /// These models are asked in place of the one that was, the first first.
    Downgrade(Vec<String>),
    /// The limits of this pool count in place of this one.
    Pool(String),
    /// The request goes on; it is told in log and metrics.
    AlertOnly,
    /// Nothing happens that a client notices; what would have is recorded.
    Shadow,
}

/// A limit of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What is counted.
    pub counted: Counted,
    /// The maximum: requests, tokens, nano-dollars. At least 1.
    pub most: u64,
    /// In which time; `None` for [`Counted::Concurrent`] alone.
    pub window: Option<Window>,
    /// How sure the maximum is.
    pub mode: Mode,
    /// What happens at the maximum.
    pub exhausted: Exhausted,
}
