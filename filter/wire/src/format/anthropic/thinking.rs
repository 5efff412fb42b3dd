//! Whether and how much a Messages request asks the model to think.

use crate::format::loss::Noted;
use crate::ir::{Part, Reasoning, Request, Role, ToolChoice};

/// The smallest budget the API takes.
const MIN_BUDGET: u64 = 1024;

/// What goes into the request.
pub(super) struct Plan {
    /// Tokens to think with; none means that thinking is not asked for.
    pub(super) budget: Option<u64>,
    /// The bound on the answer, thinking included.
    pub(super) max_tokens: Option<u64>,
}

impl Plan {
    /// For a request that came in this format: as it says.
    pub(super) fn own(request: &Request) -> Self {
        let budget = match &request.reasoning {
            Some(Reasoning::Budget(tokens)) => Some(*tokens),
            Some(Reasoning::Off | Reasoning::Effort(_)) | None => None,
        };
        Self { budget, max_tokens: request.max_tokens }
    }

    /// For a request of another format: as far as the API allows it together with the rest of the request.
    pub(super) fn of(request: &Request, usual: u64, noted: &mut Noted<'_>) -> Self {
        let wanted = match &request.reasoning {
            None | Some(Reasoning::Off) => None,
            Some(Reasoning::Budget(tokens)) => Some(*tokens),
            Some(Reasoning::Effort(word)) => Some(match word.as_str() {
                "minimal" | "low" => MIN_BUDGET,
                "medium" => 4096,
                "high" => 8192,
                _ => 16_384,
            }),
        };
        let Some(wanted) = wanted else {
            return Self { budget: None, max_tokens: Some(request.max_tokens.unwrap_or(usual)) };
        };
        let max_tokens = request.max_tokens.unwrap_or(usual.saturating_add(wanted));
        // Thinking excludes forced tools, must leave room for the answer, and within a tool round the former thinking
        // would have to come back signed.
        let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
        let excluded = forced || max_tokens <= MIN_BUDGET || in_tool_round(request);
        if excluded {
            noted.field("reasoning");
            return Self { budget: None, max_tokens: Some(max_tokens) };
        }
        let budget = wanted.clamp(MIN_BUDGET, max_tokens - 1);
        if budget < wanted {
            noted.field("reasoning");
        }
        Self { budget: Some(budget), max_tokens: Some(max_tokens) }
    }
}

/// The conversation ends in results of tools the model just called.
fn in_tool_round(request: &Request) -> bool {
    let result = |part: &Part| matches!(part, Part::ToolResult { .. });
    let call = |part: &Part| matches!(part, Part::ToolCall { .. });
    let before = request.turns.iter().rev().find(|turn| !turn.parts.iter().any(result));
    before.is_some_and(|turn| turn.role == Role::Assistant && turn.parts.iter().any(call))
}
