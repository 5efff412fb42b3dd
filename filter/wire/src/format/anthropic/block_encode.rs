//! IR parts → content blocks of a request.

use serde_json::value::RawValue;

use super::{NAME, citation};
use crate::format::loss::{Noted, Place};
use crate::format::media as data;
use crate::ir::{Extra, Media, MediaSource, Part};
use crate::json::{self, ArrayWriter, ObjectWriter};

/// Kinds of blocks that are text to other formats, see [`super::block_decode`].
const WHOLE: &[&str] = &["document", "search_result"];

/// One part where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    /// For naming losses.
    pub(super) at: Place,
    pub(super) part: &'a Part,
    /// The marker its message has, in formats where messages have it; it holds for the last part.
    pub(super) cache: Option<&'a RawValue>,
    /// It ends the conversation in the assistant's words, which must not end in white space.
    pub(super) last: bool,
}

/// A part of another format that [`write()`] has a block for.
pub(super) fn carries(part: &Part) -> bool {
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => !text.trim().is_empty(),
        Part::Image(media) => source_of("image", media).is_some(),
        Part::Document(media) => source_of("document", media).is_some(),
        Part::ToolCall { .. } | Part::ToolResult { .. } => true,
        Part::Reasoning { signature, .. } => signed(signature.as_ref()),
        Part::Opaque { .. } => false,
    }
}

fn signed(signature: Option<&String>) -> bool {
    signature.is_some_and(|signature| !signature.is_empty())
}

/// Writes the block of one part, or notes its loss.
pub(super) fn write(a: &mut ArrayWriter<'_>, block: Block<'_>, noted: &mut Noted<'_>) {
    let Block { at, part, .. } = block;
    let own = noted.same_format();
    match part {
        Part::Text { .. } | Part::Refusal(_) => text(a, block, noted),
        Part::Image(media) => write_media(a, "image", media, block, noted),
        Part::Document(media) => write_media(a, "document", media, block, noted),
        Part::ToolCall { extra, arguments, .. } => {
            noted.extra(&|n| n.part_path(at), extra);
            if !is_object(arguments) && !arguments.trim().is_empty() {
                noted.part(at, "function.arguments");
            }
            a.object(|o| {
                tool_use(o, part, own);
                marker(o, extra, block.cache);
            });
        }
        Part::ToolResult { .. } => tool_result(a, block, noted),
        Part::Reasoning { signature, .. } if own || signed(signature.as_ref()) => a.object(|o| thinking(o, part)),
        // What this API did not sign it does not take.
        Part::Reasoning { .. } => noted.part(at, ""),
        Part::Opaque { format, json } if *format == NAME => a.raw(json),
        Part::Opaque { .. } => noted.part(at, ""),
    }
}

/// Text that is nothing but white space is refused, thus left out.
fn text(a: &mut ArrayWriter<'_>, block: Block<'_>, noted: &mut Noted<'_>) {
    let Block { at, part, cache, last } = block;
    if !noted.same_format() && !carries(part) {
        return;
    }
    let none = Extra::default();
    let (text, citations, extra) = if let Part::Text { text, citations, extra } = part {
        (text, citations.as_slice(), extra)
    } else if let Part::Refusal(text) = part {
        (text, &[][..], &none)
    } else {
        return;
    };
    if let Some(whole) = WHOLE.iter().find_map(|kind| extra.spelling_of(NAME, kind)) {
        return a.raw(whole);
    }
    noted.extra(&|n| n.part_path(at), extra);
    if !citations.is_empty() && !noted.same_format() {
        // The API checks them against what it once wrote.
        noted.citations(at);
    }
    a.object(|o| {
        o.str("type", "text");
        o.str("text", if last { text.trim_end() } else { text });
        if noted.same_format() {
            citation::write_sent(o, citations);
        }
        marker(o, extra, cache);
        o.extra(extra, NAME);
    });
}

/// The `cache_control` of a part or tool of another format, or of its message. One of this format comes with the rest.
pub(super) fn marker(o: &mut ObjectWriter<'_>, extra: &Extra, outer: Option<&RawValue>) {
    if let Some(raw) = extra.cache_control().or(outer).filter(|_| extra.format != NAME) {
        o.raw("cache_control", raw);
    }
}

/// The block of a reasoning part.
pub(super) fn thinking(o: &mut ObjectWriter<'_>, part: &Part) {
    let Part::Reasoning { text, signature, redacted } = part else { return };
    if *redacted {
        o.str("type", "redacted_thinking");
        o.str("data", signature.as_deref().unwrap_or_default());
        return;
    }
    o.str("type", "thinking");
    o.str("thinking", text);
    if let Some(signature) = signature {
        o.str("signature", signature);
    }
}

/// The block of a tool call. Arguments that are no object (cut off, or none) become an empty one.
pub(super) fn tool_use(o: &mut ObjectWriter<'_>, part: &Part, own: bool) {
    let Part::ToolCall { id, name, arguments, extra } = part else { return };
    o.str("type", "tool_use");
    o.str("id", &if own { id.clone() } else { clean(id) });
    o.str("name", name);
    o.literal("input", if is_object(arguments) { arguments } else { "{}" });
    o.extra(extra, NAME);
}

fn is_object(text: &str) -> bool {
    json::raw(text.to_owned()).is_some_and(|raw| json::kind(&raw) == "object")
}

/// This API takes ids of letters, digits, `_` and `-`; calls and results are changed alike.
fn clean(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}

fn tool_result(a: &mut ArrayWriter<'_>, block: Block<'_>, noted: &mut Noted<'_>) {
    let Part::ToolResult { id, content, is_error, extra } = block.part else { return };
    let at = block.at;
    noted.extra(&|n| n.part_path(at), extra);
    let own = noted.same_format();
    a.object(|o| {
        o.str("type", "tool_result");
        o.str("tool_use_id", &if own { id.clone() } else { clean(id) });
        match content.as_slice() {
            // How that was written is a spelling.
            [] => {}
            [Part::Text { text, extra, .. }] if extra.format.is_empty() => {
                if own || !text.trim().is_empty() {
                    o.str("content", text);
                }
            }
            parts if own || parts.iter().any(carries) => o.array("content", |a| {
                let inner = |(k, part)| Block { at: at.inside(k), part, cache: None, last: false };
                parts.iter().enumerate().for_each(|numbered| inside(a, inner(numbered), noted));
            }),
            parts => {
                let lost = parts.iter().enumerate().filter(|(_, part)| !is_text(part));
                lost.for_each(|(k, _)| noted.part(at.inside(k), ""));
            }
        }
        if *is_error {
            o.bool("is_error", true);
        }
        marker(o, extra, block.cache);
        o.extra(extra, NAME);
    });
}

fn is_text(part: &Part) -> bool {
    matches!(part, Part::Text { .. })
}

/// A block inside a tool result: no calls or results again.
fn inside(a: &mut ArrayWriter<'_>, block: Block<'_>, noted: &mut Noted<'_>) {
    if matches!(block.part, Part::ToolResult { .. } | Part::ToolCall { .. } | Part::Reasoning { .. }) {
        return noted.part(block.at, "");
    }
    write(a, block, noted);
}

fn write_media(a: &mut ArrayWriter<'_>, kind: &'static str, media: &Media, block: Block<'_>, noted: &mut Noted<'_>) {
    let at = block.at;
    let own = noted.same_format();
    let source = if own { Some(Source::of(kind, media)) } else { source_of(kind, media) };
    let Some(source) = source else { return noted.part(at, "") };
    noted.extra(&|n| n.part_path(at), &media.extra);
    a.object(|o| {
        o.str("type", source.kind);
        o.object("source", |o| {
            o.str("type", source.by);
            if let Some(media_type) = source.media_type {
                o.str("media_type", media_type);
            }
            o.str(source.member, &source.value);
            o.inner(&media.extra, NAME, "source");
        });
        if let (Some(name), "document") = (&media.name, source.kind) {
            o.str("title", name);
        }
        marker(o, &media.extra, block.cache);
        o.extra(&media.extra, NAME);
    });
}

/// How a block says where its bytes are.
struct Source<'a> {
    /// `image` or `document`.
    kind: &'static str,
    by: &'static str,
    media_type: Option<&'a str>,
    member: &'static str,
    value: std::borrow::Cow<'a, str>,
}

impl<'a> Source<'a> {
    /// As it was said.
    fn of(kind: &'static str, media: &'a Media) -> Self {
        let (by, media_type, member, value) = match &media.source {
            MediaSource::Base64 { media_type, data } => ("base64", Some(media_type.as_str()), "data", data),
            MediaSource::Url(url) => ("url", None, "url", url),
            MediaSource::FileId(id) => ("file", None, "file_id", id),
        };
        Self { kind, by, media_type, member, value: value.into() }
    }
}

/// The source in a block the API takes; none if there is no such block. Ids of files are the provider's own.
fn source_of<'a>(kind: &'static str, media: &'a Media) -> Option<Source<'a>> {
    let said = Source::of(kind, media);
    match &media.source {
        MediaSource::Url(_) => Some(said),
        MediaSource::FileId(_) => None,
        MediaSource::Base64 { media_type, data } => match media_type.as_str() {
            "image/jpeg" | "image/png" | "image/gif" | "image/webp" => Some(Source { kind: "image", ..said }),
            "application/pdf" => Some(Source { kind: "document", ..said }),
            kind if kind.starts_with("text/") || kind == "application/json" => {
                let value = data::text_of_base64(data)?.into();
                Some(Source { kind: "document", by: "text", media_type: Some("text/plain"), member: "data", value })
            }
            _ => None,
        },
    }
}
