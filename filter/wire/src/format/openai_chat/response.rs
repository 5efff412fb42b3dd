//! Chat Completions answer ⇄ IR.
//!
//! The first choice is the answer; requests for several do not leave this format.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{NAME, annotation, fault, finish, message_decode, message_encode, reasoning, usage};
use crate::format::{Malformed, NoAnswer, StreamContext, bounds};
use crate::ir::{Citation, Extra, Part, Response, Usage};
use crate::json::{self, Object, ObjectWriter};

pub(super) fn decode(body: &[u8]) -> Result<Response, Malformed> {
    let mut o = Object::parse(body)?;
    o.raw("object")?;
    let choices = o.list("choices", &bounds::CHOICES)?;
    let mut choice = first(&o.need("choices", choices)?)?;
    let message = choice.object("message")?;
    let mut message = choice.need("message", message)?;
    let id = o.string("id")?.unwrap_or_default();
    let sources = annotation::sources(&o);
    Ok(Response {
        model: o.string("model")?.unwrap_or_default(),
        created: o.u64("created")?,
        parts: parts(&mut message, &id, sources)?,
        id,
        stop: choice.str("finish_reason")?.filter(|word| !word.is_empty()).map(|word| finish::stop_of(&word)),
        usage: o.raw("usage")?.map(usage::read).unwrap_or_default(),
        extra: o.rest(NAME),
    })
}

pub(super) fn glance(body: &[u8]) -> Result<Usage, NoAnswer> {
    let mut o = NoAnswer::unless_object(body)?;
    // Gateways answer 200 with a failure of those behind them.
    if let Some(fault) = fault::read(0, &mut o) {
        return Err(NoAnswer::Fault(fault));
    }
    let choices = o.list("choices", &bounds::CHOICES).map_err(NoAnswer::Garbled)?;
    let choices = o.need("choices", choices).map_err(NoAnswer::Garbled)?;
    if choices.is_empty() {
        return Err(NoAnswer::Empty);
    }
    let mut choice = first(&choices).map_err(NoAnswer::Garbled)?;
    if let Some(fault) = fault::of_choice(&mut choice) {
        return Err(NoAnswer::Fault(fault));
    }
    let message = choice.peek("message").filter(|raw| raw.get() != "null");
    let message = choice.need("message", message).map_err(NoAnswer::Garbled)?;
    if json::kind(message) != "object" {
        return Err(NoAnswer::Garbled(Malformed::expected(choice.at("message"), message, "object")));
    }
    let reason = choice.str("finish_reason").map_err(NoAnswer::Garbled)?;
    NoAnswer::unless_whole(reason.map(|word| finish::stop_of(&word)), || decode(body))?;
    Ok(o.raw("usage").ok().flatten().map(usage::read).unwrap_or_default())
}

/// The choice that counts as the answer: number 0, wherever it stands.
fn first<'a>(choices: &[&'a RawValue]) -> Result<Object<'a>, Malformed> {
    let mut found = None;
    for (i, raw) in choices.iter().enumerate() {
        let choice = Object::of(raw, format!("choices[{i}]"))?;
        let zero = choice.peek("index").is_some_and(|index| index.get() == "0");
        if zero || found.is_none() {
            found = Some(choice);
        }
        if zero {
            break;
        }
    }
    found.ok_or_else(|| Malformed { path: "choices[0]".to_owned(), message: "missing".to_owned() })
}

fn parts(message: &mut Object<'_>, id: &str, sources: Vec<Citation>) -> Result<Vec<Part>, Malformed> {
    let mut parts = reasoning::Said::take(message)?.parts();
    let path = message.at("content");
    if let Some(raw) = message.raw("content")? {
        parts.extend(pieces(raw, path)?.into_iter().filter(|piece| !piece.text().is_empty()).map(
            |piece| match piece {
                Piece::Text(text) => Part::Text { text, citations: Vec::new(), extra: Extra::default() },
                Piece::Reasoning(text) => Part::Reasoning { text, signature: None, redacted: false },
            },
        ));
    }
    let citations =
        message.list("annotations", &bounds::PARTS).ok().flatten().map(annotation::read).unwrap_or_default();
    annotation::attach(&mut parts, if citations.is_empty() { sources } else { citations });
    if let Some(text) = message.string("refusal")?.filter(|text| !text.is_empty()) {
        parts.push(Part::Refusal(text));
    }
    let path = message.at("tool_calls");
    for (i, raw) in message.list("tool_calls", &bounds::TOOL_CALLS)?.unwrap_or_default().into_iter().enumerate() {
        let mut call = message_decode::tool_call(Object::of(raw, format!("{path}[{i}]"))?)?;
        if let Part::ToolCall { id: own, .. } = &mut call {
            *own = call_id(std::mem::take(own), id, i);
        }
        parts.push(call);
    }
    // The deprecated way to call, which has no id. Some servers send it with nothing in it.
    if let Some(mut function) = message.object("function_call")? {
        let (name, arguments) = (function.string("name")?, message_decode::arguments(&mut function)?);
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            parts.push(Part::ToolCall { id: call_id(String::new(), id, 0), name, arguments, extra: Extra::default() });
        }
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
                        for (k, inner) in
                            o.list("thinking", &bounds::PARTS)?.unwrap_or_default().into_iter().enumerate()
                        {
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
        let own = response.extra.format == NAME && !response.id.is_empty();
        o.str("id", &if own { Cow::from(&response.id) } else { answer_id(&response.id) });
        o.str("object", "chat.completion");
        o.u64("created", response.created.unwrap_or(context.now));
        o.str("model", or(&response.model, &context.model));
        o.array("choices", |choices| {
            choices.object(|choice| {
                choice.u64("index", 0);
                choice.object("message", |message| write_message(message, &response.parts));
                choice.literal("logprobs", "null");
                choice.str("finish_reason", response.stop.as_ref().map_or("stop", finish::word_of));
            });
        });
        usage::write(o, &response.usage);
        o.extra(&response.extra, NAME);
    });
    out
}

fn write_message(message: &mut ObjectWriter<'_>, parts: &[Part]) {
    let (mut text, mut refusal) = (None, None);
    let (mut calls, mut thoughts, mut cited) = (Vec::new(), Vec::new(), Vec::new());
    let mut start = 0;
    for part in parts {
        match part {
            Part::Text { text: piece, citations, .. } => {
                text.get_or_insert_with(String::new).push_str(piece);
                let len = piece.chars().count();
                cited.extend(citations.iter().filter(|c| annotation::carries(c)).map(|c| (c, start, len)));
                start += len;
            }
            Part::Refusal(piece) => refusal.get_or_insert_with(String::new).push_str(piece),
            Part::Reasoning { .. } => thoughts.push(part),
            Part::ToolCall { .. } => calls.push(part),
            // An answer in this format has no place for them.
            Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } | Part::Opaque { .. } => {}
        }
    }
    message.str("role", "assistant");
    nullable(message, "content", text.as_deref());
    nullable(message, "refusal", refusal.as_deref());
    reasoning::write(message, &thoughts);
    if !cited.is_empty() {
        message.array("annotations", |a| {
            cited.into_iter().for_each(|(citation, start, len)| annotation::write(a, citation, start, len));
        });
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

/// The id of an answer. Clients of this format know it by its beginning.
pub(super) fn answer_id(id: &str) -> Cow<'_, str> {
    match id {
        "" => "chatcmpl-attache".into(),
        own if own.starts_with(PREFIX) => own.into(),
        other => format!("{PREFIX}{other}").into(),
    }
}

const PREFIX: &str = "chatcmpl-";

/// The id of a tool call. Servers that send none get one that is unique in the conversation, since results refer to it.
pub(super) fn call_id(id: String, response: &str, number: usize) -> String {
    if id.is_empty() { format!("call_{response}_{number}") } else { id }
}
