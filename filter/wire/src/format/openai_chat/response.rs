//! Chat Completions answer ⇄ IR.
//!
//! The first choice is the answer; requests for several do not leave this format.

use serde_json::value::RawValue;

use super::{NAME, message_encode, request_decode, usage};
use crate::format::{Malformed, StreamContext};
use crate::ir::{Extra, Part, Response, StopReason};
use crate::json::{self, Object, ObjectWriter};

pub(super) fn decode(body: &[u8]) -> Result<Response, Malformed> {
    let mut o = Object::parse(body)?;
    o.raw("object")?;
    let choices = o.array("choices")?;
    let first = o.need("choices", choices)?.first().copied();
    let mut choice = Object::of(o.need("choices[0]", first)?, "choices[0]")?;
    let message = choice.object("message")?;
    let mut message = choice.need("message", message)?;
    Ok(Response {
        id: o.string("id")?.unwrap_or_default(),
        model: o.string("model")?.unwrap_or_default(),
        created: o.u64("created")?,
        parts: parts(&mut message)?,
        stop: choice.str("finish_reason")?.filter(|word| !word.is_empty()).map(|word| stop_of(&word)),
        usage: o.raw("usage")?.map(usage::read).unwrap_or_default(),
        extra: o.rest(NAME),
    })
}

fn parts(message: &mut Object<'_>) -> Result<Vec<Part>, Malformed> {
    let mut parts = Vec::new();
    // Two names are in use; a server that sends both sends the same text.
    let reasoning = (message.string("reasoning_content")?, message.string("reasoning")?);
    if let Some(text) = reasoning.0.or(reasoning.1).filter(|text| !text.is_empty()) {
        parts.push(Part::Reasoning { text, signature: None, redacted: false });
    }
    let path = message.at("content");
    if let Some(raw) = message.raw("content")? {
        parts.extend(pieces(raw, path)?.into_iter().filter(|piece| !piece.text().is_empty()).map(
            |piece| match piece {
                Piece::Text(text) => Part::Text { text, extra: Extra::default() },
                Piece::Reasoning(text) => Part::Reasoning { text, signature: None, redacted: false },
            },
        ));
    }
    if let Some(text) = message.string("refusal")?.filter(|text| !text.is_empty()) {
        parts.push(Part::Refusal(text));
    }
    let path = message.at("tool_calls");
    for (i, raw) in message.array("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
        parts.push(request_decode::tool_call(Object::of(raw, format!("{path}[{i}]"))?)?);
    }
    Ok(parts)
}

/// A piece of `content`.
pub(super) enum Piece {
    Text(String),
    Reasoning(String),
}

impl Piece {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Reasoning(text) => text,
        }
    }
}

/// What `content` holds: a string, or Mistral's list of text and thinking.
pub(super) fn pieces(raw: &RawValue, path: String) -> Result<Vec<Piece>, Malformed> {
    match json::kind(raw) {
        "string" => Ok(vec![Piece::Text(json::text(raw, path)?.into_owned())]),
        "array" => {
            let mut pieces = Vec::new();
            for (i, item) in json::array(raw, path.as_str())?.into_iter().enumerate() {
                let mut o = Object::of(item, format!("{path}[{i}]"))?;
                match o.str("type")?.as_deref() {
                    Some("text") => pieces.push(Piece::Text(o.string("text")?.unwrap_or_default())),
                    Some("thinking") => {
                        for (k, inner) in o.array("thinking")?.unwrap_or_default().into_iter().enumerate() {
                            let mut inner = Object::of(inner, format!("{path}[{i}].thinking[{k}]"))?;
                            pieces.push(Piece::Reasoning(inner.string("text")?.unwrap_or_default()));
                        }
                    }
                    // References and the like stand beside the text, not in it.
                    Some(_) | None => {}
                }
            }
            Ok(pieces)
        }
        _ => Err(Malformed::expected(path, raw, "string or array")),
    }
}

pub(super) fn encode(response: &Response, context: &StreamContext) -> Vec<u8> {
    let mut out = Vec::new();
    json::write_object(&mut out, |o| {
        o.str("id", or(&response.id, "chatcmpl-attache"));
        o.str("object", "chat.completion");
        o.u64("created", response.created.unwrap_or(context.now));
        o.str("model", or(&response.model, &context.model));
        o.array("choices", |choices| {
            choices.object(|choice| {
                choice.u64("index", 0);
                choice.object("message", |message| write_message(message, &response.parts));
                choice.literal("logprobs", "null");
                choice.str("finish_reason", response.stop.as_ref().map_or("stop", word_of));
            });
        });
        usage::write(o, &response.usage);
        o.extra(&response.extra, NAME);
    });
    out
}

fn write_message(message: &mut ObjectWriter<'_>, parts: &[Part]) {
    let (mut text, mut reasoning, mut refusal) = (None, None, None);
    let mut calls = Vec::new();
    for part in parts {
        let (place, piece): (&mut Option<String>, &str) = match part {
            Part::Text { text: piece, .. } => (&mut text, piece),
            Part::Reasoning { text: piece, redacted: false, .. } => (&mut reasoning, piece),
            Part::Refusal(piece) => (&mut refusal, piece),
            Part::ToolCall { .. } => {
                calls.push(part);
                continue;
            }
            // An answer in this format has no place for them.
            Part::Reasoning { .. }
            | Part::Image(_)
            | Part::Document(_)
            | Part::ToolResult { .. }
            | Part::Opaque { .. } => {
                continue;
            }
        };
        place.get_or_insert_default().push_str(piece);
    }
    message.str("role", "assistant");
    nullable(message, "content", text.as_deref());
    nullable(message, "refusal", refusal.as_deref());
    if let Some(reasoning) = reasoning.filter(|text| !text.is_empty()) {
        message.str("reasoning_content", &reasoning);
    }
    if !calls.is_empty() {
        message.array("tool_calls", |a| {
            calls.into_iter().for_each(|call| a.object(|o| message_encode::tool_call(o, call)));
        });
    }
}

fn nullable(o: &mut ObjectWriter<'_>, name: &'static str, text: Option<&str>) {
    match text {
        Some(text) => o.str(name, text),
        None => o.literal(name, "null"),
    }
}

pub(super) fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// A `finish_reason`.
pub(super) fn stop_of(word: &str) -> StopReason {
    match word {
        "stop" => StopReason::End,
        "length" => StopReason::MaxTokens,
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "content_filter" => StopReason::Refusal,
        other => StopReason::Other(other.to_owned()),
    }
}

/// The `finish_reason` of a stop. Clients check it against the documented set, so words of others become the nearest.
pub(super) fn word_of(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::MaxTokens => "length",
        StopReason::ToolUse => "tool_calls",
        StopReason::Refusal => "content_filter",
        StopReason::Other(word) if word.contains("context_window") || word.contains("length") => "length",
        StopReason::End | StopReason::StopSequence(_) | StopReason::Pause | StopReason::Other(_) => "stop",
    }
}

/// The id of a tool call. Servers that send none get one that is unique in the conversation, since results refer to it.
pub(super) fn call_id(id: String, response: &str, number: usize) -> String {
    if id.is_empty() { format!("call_{response}_{number}") } else { id }
}
