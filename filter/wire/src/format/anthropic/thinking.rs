//! Whether and how much a request of another format asks the model to think.
//!
//! Decision: words become words where the model takes them, tokens become tokens where it takes those, and what has to
//! be changed is noted as bent. Summaries of the thinking are asked for, since newer models show none unless asked.

use super::models::{Forced, Model, Thinking};
use crate::format::loss::Noted;
use crate::ir::{Part, Reasoning, Request, Role};
use crate::json::ObjectWriter;

/// The smallest budget the API takes.
const MIN_BUDGET: u64 = 1024;

/// Budgets up to here, and the words nearest to them.
const WORDS: &[(u64, &str)] =
    &[(MIN_BUDGET, "low"), (4096, "medium"), (8192, "high"), (16_384, "xhigh"), (u64::MAX, "max")];

/// What of it goes into the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Nothing,
    Off,
    Budget(u64),
    Adaptive,
}

/// What goes into the request.
#[derive(Debug)]
pub(super) struct Plan {
    ask: Ask,
    /// `output_config.effort`.
    pub(super) effort: Option<&'static str>,
    /// The bound on the answer, thinking included.
    pub(super) max_tokens: u64,
}

impl Plan {
    /// As far as the API allows it together with the rest of the request. `forced`: it forces a tool call.
    pub(super) fn of(request: &Request, model: &Model, forced: bool, noted: &mut Noted<'_>) -> Self {
        let max_tokens = request.max_tokens.unwrap_or(model.max_tokens);
        let nothing = Self { ask: Ask::Nothing, effort: None, max_tokens };
        let Some(wanted) = &request.reasoning else { return nothing };
        if model.thinking == Thinking::Never {
            if *wanted != Reasoning::Off {
                noted.field("reasoning");
            }
            return nothing;
        }
        let adaptive = match (wanted, model.thinking) {
            (Reasoning::Off, Thinking::Always) => {
                // The least it can do.
                noted.field("reasoning");
                return Self { effort: model.efforts.first().copied(), ..nothing };
            }
            (Reasoning::Off, _) => return Self { ask: Ask::Off, ..nothing },
            (_, Thinking::Adaptive | Thinking::Always) => true,
            (Reasoning::Budget(_), _) | (_, Thinking::Budget | Thinking::Never) => false,
            (_, Thinking::Either) => true,
        };
        let barred = forced && model.forced != Forced::Always;
        if adaptive {
            if barred {
                noted.field("reasoning");
            }
            let ask = if barred { Ask::Nothing } else { Ask::Adaptive };
            return Self { ask, effort: effort(wanted, model, noted), max_tokens };
        }
        // A budget must leave room for the answer, and within a tool round the former thinking has to come back signed.
        let wanted = match wanted {
            Reasoning::Budget(tokens) => *tokens,
            Reasoning::Effort(word) => {
                WORDS.iter().find(|(_, have)| have == word).map_or(MIN_BUDGET, |(tokens, _)| *tokens).min(32_768)
            }
            Reasoning::Auto | Reasoning::Off => 4096,
        };
        let room = request.max_tokens.unwrap_or(model.max_tokens.saturating_add(wanted));
        if barred || room <= MIN_BUDGET || in_unsigned_round(request) {
            noted.field("reasoning");
            return nothing;
        }
        let budget = wanted.clamp(MIN_BUDGET, room - 1);
        if budget < wanted {
            noted.field("reasoning");
        }
        Self { ask: Ask::Budget(budget), effort: None, max_tokens: room }
    }

    /// The request asks for thinking, which sampling and open turns must not disturb.
    pub(super) fn thinks(&self) -> bool {
        matches!(self.ask, Ask::Budget(_) | Ask::Adaptive)
    }

    /// Writes the `thinking` member.
    pub(super) fn write(&self, o: &mut ObjectWriter<'_>) {
        match self.ask {
            Ask::Nothing => {}
            Ask::Off => o.object("thinking", |o| o.str("type", "disabled")),
            Ask::Budget(tokens) => o.object("thinking", |o| {
                o.str("type", "enabled");
                o.u64("budget_tokens", tokens);
            }),
            Ask::Adaptive => o.object("thinking", |o| {
                o.str("type", "adaptive");
                o.str("display", "summarized");
            }),
        }
    }
}

/// The model's word for it: the nearest one that is no stronger, else the weakest.
fn effort(wanted: &Reasoning, model: &Model, noted: &mut Noted<'_>) -> Option<&'static str> {
    let word = match wanted {
        Reasoning::Off | Reasoning::Auto => return None,
        Reasoning::Effort(word) => word.as_str(),
        Reasoning::Budget(tokens) => {
            noted.field("reasoning");
            WORDS.iter().find(|(most, _)| tokens <= most).map_or("max", |(_, word)| *word)
        }
    };
    let strength = |word: &str| WORDS.iter().position(|(_, have)| *have == word);
    let found = model.efforts.iter().rfind(|have| strength(have) <= strength(word)).or(model.efforts.first());
    if found.is_some_and(|found| *found != word) {
        noted.field("reasoning");
    }
    found.copied()
}

/// The conversation ends in results of tools, and the turn that called them does not begin with signed thinking.
fn in_unsigned_round(request: &Request) -> bool {
    let result = |part: &Part| matches!(part, Part::ToolResult { .. });
    let call = |part: &Part| matches!(part, Part::ToolCall { .. });
    let signed = |part: &Part| matches!(part, Part::Reasoning { signature: Some(text), .. } if !text.is_empty());
    let before = request.turns.iter().rev().find(|turn| !turn.parts.iter().any(result));
    before.is_some_and(|turn| {
        turn.role == Role::Assistant && turn.parts.iter().any(call) && !turn.parts.iter().any(signed)
    })
}
