//! IR parts → content blocks, for requests and answers.

use super::NAME;
use crate::format::loss::Noted;
use crate::ir::{Media, MediaSource, Part};
use crate::json::{self, ArrayWriter, ObjectWriter};

/// Where a block comes from: numbers of its turn and part, for naming losses.
#[derive(Clone, Copy)]
pub(super) struct Place(pub(super) usize, pub(super) usize);

/// A part of another format that [`write()`] has a block for.
pub(super) fn carries(part: &Part) -> bool {
    match part {
        Part::Text { text, .. } => !text.is_empty(),
        Part::Image(media) | Part::Document(media) => !matches!(media.source, MediaSource::FileId(_)),
        Part::ToolCall { .. } | Part::ToolResult { .. } | Part::Refusal(_) => true,
        Part::Reasoning { .. } | Part::Opaque { .. } => false,
    }
}

/// Writes the block of one part of a request, or notes its loss.
pub(super) fn write(a: &mut ArrayWriter<'_>, part: &Part, place: Place, noted: &mut Noted<'_>) {
    let Place(i, j) = place;
    match part {
        // Empty text is refused.
        Part::Text { text, .. } if text.is_empty() && !noted.same_format() => {}
        Part::Text { text, extra } => {
            noted.extra(&|n| n.part_path(i, j), extra);
            a.object(|o| {
                o.str("type", "text");
                o.str("text", text);
                o.extra(extra, NAME);
            });
        }
        Part::Image(media) => write_media(a, "image", media, place, noted),
        Part::Document(media) => write_media(a, "document", media, place, noted),
        Part::ToolCall { extra, arguments, .. } => {
            noted.extra(&|n| n.part_path(i, j), extra);
            if !is_object(arguments) && !arguments.trim().is_empty() {
                noted.part(i, j, "function.arguments");
            }
            a.object(|o| tool_use(o, part, noted.same_format()));
        }
        Part::ToolResult { .. } => tool_result(a, part, place, noted),
        Part::Reasoning { signature: Some(_), .. } if noted.same_format() => a.object(|o| thinking(o, part)),
        Part::Reasoning { signature: None, redacted: false, .. } if noted.same_format() => {
            a.object(|o| thinking(o, part));
        }
        // What this API did not sign it does not take.
        Part::Reasoning { .. } => noted.part(i, j, ""),
        Part::Refusal(text) => a.object(|o| {
            o.str("type", "text");
            o.str("text", text);
        }),
        Part::Opaque { format, json } if *format == NAME => a.raw(json),
        Part::Opaque { .. } => noted.part(i, j, ""),
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

fn tool_result(a: &mut ArrayWriter<'_>, part: &Part, place: Place, noted: &mut Noted<'_>) {
    let Part::ToolResult { id, content, is_error, extra } = part else { return };
    let Place(i, j) = place;
    noted.extra(&|n| n.part_path(i, j), extra);
    let own = noted.same_format();
    a.object(|o| {
        o.str("type", "tool_result");
        o.str("tool_use_id", &if own { id.clone() } else { clean(id) });
        match content.as_slice() {
            [] => {}
            [Part::Text { text, extra }] if extra.format.is_empty() => o.str("content", text),
            parts => o.array("content", |a| parts.iter().for_each(|part| inside(a, part, place, noted))),
        }
        if *is_error {
            o.bool("is_error", true);
        }
        o.extra(extra, NAME);
    });
}

/// A block inside a tool result: no calls or results again.
fn inside(a: &mut ArrayWriter<'_>, part: &Part, place: Place, noted: &mut Noted<'_>) {
    if matches!(part, Part::ToolResult { .. } | Part::ToolCall { .. } | Part::Reasoning { .. }) {
        let Place(i, j) = place;
        return noted.part(i, j, "content");
    }
    write(a, part, place, noted);
}

fn write_media(a: &mut ArrayWriter<'_>, kind: &'static str, media: &Media, place: Place, noted: &mut Noted<'_>) {
    let Place(i, j) = place;
    if matches!(media.source, MediaSource::FileId(_)) && !noted.same_format() {
        // Ids are the provider's own.
        return noted.part(i, j, "");
    }
    noted.extra(&|n| n.part_path(i, j), &media.extra);
    a.object(|o| {
        o.str("type", kind);
        o.object("source", |source| {
            match &media.source {
                MediaSource::Base64 { media_type, data } => {
                    source.str("type", "base64");
                    source.str("media_type", media_type);
                    source.str("data", data);
                }
                MediaSource::Url(url) => {
                    source.str("type", "url");
                    source.str("url", url);
                }
                MediaSource::FileId(id) => {
                    source.str("type", "file");
                    source.str("file_id", id);
                }
            }
            source.inner(&media.extra, NAME, "source");
        });
        if let (Some(name), "document") = (&media.name, kind) {
            o.str("title", name);
        }
        o.extra(&media.extra, NAME);
    });
}
