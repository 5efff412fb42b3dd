//! Messages answer ⇄ IR.

use super::usage::{self, Counts};
use super::{ANSWER_TOOL, NAME, block_decode, block_encode, citation, fault};
use crate::format::{Malformed, NoAnswer, StreamContext, fault as faults};
use crate::ir::{Extra, Part, Response, StopReason, Usage};
use crate::json::{self, ArrayWriter, Object, ObjectWriter};

pub(super) fn decode(body: &[u8]) -> Result<Response, Malformed> {
    let mut o = Object::parse(body)?;
    o.raw("type")?;
    o.raw("role")?;
    let content = o.raw("content")?;
    let content = o.need("content", content)?;
    let (reason, sequence) = (o.string("stop_reason")?, o.string("stop_sequence")?);
    let mut counts = Counts::default();
    let uncounted = o.raw("usage")?.map(|raw| counts.update(raw));
    let (id, model) = (o.string("id")?.unwrap_or_default(), o.string("model")?.unwrap_or_default());
    let mut parts = block_decode::blocks(content, "content")?;
    let shaped = answers(&mut parts);
    let calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let stop = reason.map(|word| stop_of(&word, sequence, shaped && !calls));
    let mut extra = o.rest(NAME);
    extra.nest("usage", uncounted.unwrap_or_default());
    Ok(Response { id, model, created: None, parts, stop, usage: counts.usage(), extra })
}

pub(super) fn glance(body: &[u8]) -> Result<Usage, NoAnswer> {
    let mut o = NoAnswer::unless_object(body)?;
    let kind = o.str("type").ok().flatten();
    let fault = fault::read(0, &mut o).or_else(|| (kind? == "error").then(|| faults::bare(0)));
    if let Some(fault) = fault {
        return Err(NoAnswer::Fault(fault));
    }
    let content = o.peek("content").filter(|raw| raw.get() != "null");
    o.need("content", content).map_err(NoAnswer::Garbled)?;
    let reason = o.str("stop_reason").map_err(NoAnswer::Garbled)?;
    if let Some(fault) = reason.as_ref().and_then(|word| faults::of_reason(word)) {
        return Err(NoAnswer::Fault(fault));
    }
    NoAnswer::unless_whole(reason.map(|word| stop_of(&word, None, false)), || decode(body))?;
    let mut counts = Counts::default();
    if let Some(raw) = o.raw("usage").ok().flatten() {
        counts.update(raw);
    }
    Ok(counts.usage())
}

/// Turns calls of the reserved tool back into the text they stand for.
fn answers(parts: &mut [Part]) -> bool {
    let mut found = false;
    for part in parts {
        if let Part::ToolCall { name, arguments, .. } = part
            && name == ANSWER_TOOL
        {
            let text = std::mem::take(arguments);
            *part = Part::Text { text, citations: Vec::new(), extra: Extra::default() };
            found = true;
        }
    }
    found
}

pub(super) fn encode(response: &Response, context: &StreamContext) -> Vec<u8> {
    let mut out = Vec::new();
    json::write_object(&mut out, |o| {
        let model = if response.model.is_empty() { &context.model } else { &response.model };
        head(o, &response.id, model);
        o.array("content", |a| response.parts.iter().for_each(|part| write_part(a, part)));
        let mut said = Said::default();
        for part in &response.parts {
            match part {
                Part::ToolCall { .. } => said.calls = true,
                Part::Refusal(text) => said.refusal.get_or_insert_default().push_str(text),
                Part::Text { .. }
                | Part::Image(_)
                | Part::Document(_)
                | Part::ToolResult { .. }
                | Part::Reasoning { .. }
                | Part::Opaque { .. } => {}
            }
        }
        stop(o, response.stop.as_ref(), &said, Some(&response.extra));
        usage::nullable(o, "container", Some(&response.extra));
        usage::write(o, &response.usage, &response.extra);
        o.extra(&response.extra, NAME);
    });
    out
}

/// What a message begins with, whole or streamed. Ids of other formats get the prefix every id has here.
pub(super) fn head(o: &mut ObjectWriter<'_>, id: &str, model: &str) {
    let id = if id.starts_with("msg_") { id.to_owned() } else { format!("msg_{id}") };
    o.str("id", if id == "msg_" { "msg_attache" } else { &id });
    o.str("type", "message");
    o.str("role", "assistant");
    o.str("model", model);
}

fn write_part(a: &mut ArrayWriter<'_>, part: &Part) {
    match part {
        // Clients send back what they got, and empty text is refused then.
        Part::Text { text, .. } | Part::Refusal(text) if text.is_empty() => {}
        Part::Text { text, citations, extra } => a.object(|o| {
            o.str("type", "text");
            o.str("text", text);
            citation::write_all(o, citations);
            o.extra(extra, NAME);
        }),
        Part::Refusal(text) => a.object(|o| {
            o.str("type", "text");
            o.str("text", text);
            citation::write_all(o, &[]);
        }),
        Part::Reasoning { signature, redacted, .. } => a.object(|o| {
            block_encode::thinking(o, part);
            if signature.is_none() && !redacted {
                // The member is required; nobody signed it.
                o.str("signature", "");
            }
        }),
        Part::ToolCall { extra, .. } => a.object(|o| {
            if extra.of(NAME).all(|(name, _)| name != "caller") {
                caller(o);
            }
            block_encode::tool_use(o, part, true);
        }),
        Part::Opaque { format, json } if *format == NAME => a.raw(json),
        // An answer in this format has no place for them.
        Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } | Part::Opaque { .. } => {}
    }
}

/// Who calls a tool: the model itself, not a program it runs.
pub(super) fn caller(o: &mut ObjectWriter<'_>) {
    o.object("caller", |o| o.str("type", "direct"));
}

/// A `stop_reason` with its `stop_sequence`. `shaped`: the only tool called is the reserved one.
pub(super) fn stop_of(word: &str, sequence: Option<String>, shaped: bool) -> StopReason {
    match word {
        "end_turn" => StopReason::End,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence(sequence),
        "tool_use" if shaped => StopReason::End,
        "tool_use" => StopReason::ToolUse,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::Pause,
        "model_context_window_exceeded" => StopReason::ContextFull,
        "compaction" => StopReason::Compaction,
        other => StopReason::Other(other.to_owned()),
    }
}

/// What an answer holds that its stop reason tells here, and elsewhere need not.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// It calls tools.
    pub(super) calls: bool,
    /// It refuses, in these words.
    pub(super) refusal: Option<String>,
}

/// Writes the reason and what belongs to it.
pub(super) fn stop(o: &mut ObjectWriter<'_>, stop: Option<&StopReason>, said: &Said, extra: Option<&Extra>) {
    let word = match stop {
        Some(StopReason::End) | None if said.calls => "tool_use",
        Some(StopReason::End) | None if said.refusal.is_some() => "refusal",
        Some(StopReason::End) | None => "end_turn",
        // Of a word that nobody here knows: the answer may not be whole.
        Some(StopReason::MaxTokens | StopReason::Other(_)) => "max_tokens",
        Some(StopReason::StopSequence(_)) => "stop_sequence",
        Some(StopReason::ToolUse) => "tool_use",
        Some(StopReason::Refusal) => "refusal",
        Some(StopReason::Pause) => "pause_turn",
        Some(StopReason::ContextFull) => "model_context_window_exceeded",
        Some(StopReason::Compaction) => "compaction",
    };
    o.str("stop_reason", word);
    match stop {
        Some(StopReason::StopSequence(Some(sequence))) => o.str("stop_sequence", sequence),
        _ => o.literal("stop_sequence", "null"),
    }
    match &said.refusal {
        Some(text) if word == "refusal" => o.object("stop_details", |o| {
            o.str("type", "refusal");
            o.literal("category", "null");
            o.str("explanation", text);
        }),
        _ => usage::nullable(o, "stop_details", extra),
    }
}
