//! The canonical unary answer.

use super::{Event, Extra, Part, PartStart, Usage};

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
    /// Prompt and answer have filled the model's window.
    ContextFull,
    /// The vendor has shortened the conversation, and the turn may be continued.
    Compaction,
    /// Something this table does not know, in the provider's word. Nobody can say that the answer is whole.
    Other(String),
}

impl StopReason {
    /// It says that the answer is all there is.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
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

impl Response {
    /// The same answer as events, for a client that asked for a stream where the provider gave it whole. What no event can
    /// say is left out, as it is from streams.
    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        let mut out = vec![Event::Start { id: self.id, model: self.model, created: self.created }];
        let mut index = 0;
        for part in self.parts {
            let (start, text, rest) = match part {
                Part::Text { text, citations, .. } => {
                    let cited = citations.into_iter().map(|citation| Event::Citation { index, citation });
                    (PartStart::Text, text, cited.collect())
                }
                Part::Reasoning { signature, redacted: true, .. } => {
                    let data = signature.unwrap_or_default();
                    (PartStart::RedactedReasoning { data }, String::new(), Vec::new())
                }
                Part::Reasoning { text, signature, redacted: false } => {
                    let signed = signature.map(|signature| Event::Signature { index, signature });
                    (PartStart::Reasoning, text, signed.into_iter().collect())
                }
                Part::Refusal(text) => (PartStart::Refusal, text, Vec::new()),
                Part::ToolCall { id, name, arguments, .. } => (PartStart::ToolCall { id, name }, arguments, Vec::new()),
                Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } | Part::Opaque { .. } => continue,
            };
            out.push(Event::PartStart { index, part: start });
            if !text.is_empty() {
                out.push(Event::Delta { index, text });
            }
            out.extend(rest);
            out.push(Event::PartEnd { index });
            index += 1;
        }
        out.push(Event::Usage(self.usage));
        out.extend(self.stop.map(Event::Stop));
        out.push(Event::Done);
        out
    }
}
