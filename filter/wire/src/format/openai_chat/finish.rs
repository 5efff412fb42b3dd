//! `finish_reason`, both ways.
//!
//! Decision: clients of this format check the word against the documented set, so words of other vendors become the
//! nearest. A word that nobody here knows becomes `length`: the answer may not be whole, and `length` is the word for
//! that. Rejected: `stop`, by which a client takes whatever there is for the whole answer.

use crate::ir::StopReason;

/// What servers of this format say. Google's endpoint has the words of its own API, in capitals
/// (<https://ai.google.dev/api/generate-content#FinishReason>).
const WORDS: &[(&str, StopReason)] = &[
    ("stop", StopReason::End),
    ("length", StopReason::MaxTokens),
    ("tool_calls", StopReason::ToolUse),
    ("function_call", StopReason::ToolUse),
    ("content_filter", StopReason::Refusal),
    // Mistral's.
    ("model_length", StopReason::MaxTokens),
    // Zhipu's.
    ("sensitive", StopReason::Refusal),
    ("model_context_window_exceeded", StopReason::ContextFull),
    // Of servers that host open models.
    ("eos", StopReason::End),
    ("eos_token", StopReason::End),
    ("stop_sequence", StopReason::StopSequence(None)),
    // Anthropic's, from gateways before its models.
    ("end_turn", StopReason::End),
    ("tool_use", StopReason::ToolUse),
    ("refusal", StopReason::Refusal),
    // Anthropic's, Google's and Cohere's.
    ("max_tokens", StopReason::MaxTokens),
    ("complete", StopReason::End),
    ("safety", StopReason::Refusal),
    ("recitation", StopReason::Refusal),
    ("blocklist", StopReason::Refusal),
    ("prohibited_content", StopReason::Refusal),
    ("spii", StopReason::Refusal),
];

/// What a word means, whatever its case.
pub(super) fn stop_of(word: &str) -> StopReason {
    let known = WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    known.map_or_else(|| StopReason::Other(word.to_owned()), |(_, stop)| stop.clone())
}

/// The documented word for a stop.
pub(super) fn word_of(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::End | StopReason::StopSequence(_) | StopReason::Pause | StopReason::Compaction => "stop",
        StopReason::MaxTokens | StopReason::ContextFull | StopReason::Other(_) => "length",
        StopReason::ToolUse => "tool_calls",
        StopReason::Refusal => "content_filter",
    }
}
