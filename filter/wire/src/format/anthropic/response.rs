//! Messages answer ⇄ IR.

use super::usage::{self, Counts};
use super::{NAME, block_decode, block_encode};
use crate::format::{Malformed, StreamContext};
use crate::ir::{Part, Response, StopReason};
use crate::json::{self, ArrayWriter, Object, ObjectWriter};

pub(super) fn decode(body: &[u8]) -> Result<Response, Malformed> {
    let mut o = Object::parse(body)?;
    o.raw("type")?;
    o.raw("role")?;
    let content = o.raw("content")?;
    let content = o.need("content", content)?;
    let (reason, sequence) = (o.string("stop_reason")?, o.string("stop_sequence")?);
    let mut counts = Counts::default();
    if let Some(raw) = o.raw("usage")? {
        counts.update(raw);
    }
    Ok(Response {
        id: o.string("id")?.unwrap_or_default(),
        model: o.string("model")?.unwrap_or_default(),
        created: None,
        parts: block_decode::blocks(content, "content")?,
        stop: reason.map(|word| stop_of(&word, sequence)),
        usage: counts.usage(),
        extra: o.rest(NAME),
    })
}

pub(super) fn encode(response: &Response, context: &StreamContext) -> Vec<u8> {
    let mut out = Vec::new();
    json::write_object(&mut out, |o| {
        let model = if response.model.is_empty() { &context.model } else { &response.model };
        head(o, &response.id, model);
        o.array("content", |a| response.parts.iter().for_each(|part| write_part(a, part)));
        let calls = response.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        stop(o, response.stop.as_ref(), calls);
        usage::write(o, &response.usage);
        o.extra(&response.extra, NAME);
    });
    out
}

/// What a message begins with, whole or streamed.
pub(super) fn head(o: &mut ObjectWriter<'_>, id: &str, model: &str) {
    o.str("id", if id.is_empty() { "msg_attache" } else { id });
    o.str("type", "message");
    o.str("role", "assistant");
    o.str("model", model);
}

fn write_part(a: &mut ArrayWriter<'_>, part: &Part) {
    match part {
        Part::Text { text, extra } => a.object(|o| {
            o.str("type", "text");
            o.str("text", text);
            o.extra(extra, NAME);
        }),
        Part::Refusal(text) => a.object(|o| {
            o.str("type", "text");
            o.str("text", text);
        }),
        Part::Reasoning { signature, .. } => a.object(|o| {
            block_encode::thinking(o, part);
            if signature.is_none() {
                // The member is required; nobody signed it.
                o.str("signature", "");
            }
        }),
        Part::ToolCall { .. } => a.object(|o| block_encode::tool_use(o, part, true)),
        Part::Opaque { format, json } if *format == NAME => a.raw(json),
        // An answer in this format has no place for them.
        Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } | Part::Opaque { .. } => {}
    }
}

/// A `stop_reason` with its `stop_sequence`.
pub(super) fn stop_of(word: &str, sequence: Option<String>) -> StopReason {
    match word {
        "end_turn" => StopReason::End,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence(sequence),
        "tool_use" => StopReason::ToolUse,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::Pause,
        other => StopReason::Other(other.to_owned()),
    }
}

/// Writes both members. `calls`: the answer calls tools, which some providers report as an ordinary end.
pub(super) fn stop(o: &mut ObjectWriter<'_>, stop: Option<&StopReason>, calls: bool) {
    let word = match stop {
        Some(StopReason::End) | None if calls => "tool_use",
        Some(StopReason::End) | None => "end_turn",
        Some(StopReason::MaxTokens) => "max_tokens",
        Some(StopReason::StopSequence(_)) => "stop_sequence",
        Some(StopReason::ToolUse) => "tool_use",
        Some(StopReason::Refusal) => "refusal",
        Some(StopReason::Pause) => "pause_turn",
        // Known here, and by clients of this format.
        Some(StopReason::Other(word)) if word == "model_context_window_exceeded" => word,
        Some(StopReason::Other(_)) => "end_turn",
    };
    o.str("stop_reason", word);
    match stop {
        Some(StopReason::StopSequence(Some(sequence))) => o.str("stop_sequence", sequence),
        _ => o.literal("stop_sequence", "null"),
    }
}
