//! IR turns → Chat Completions messages.
//!
//! One turn becomes one message, except that each tool result is a message of its own, before the rest of its turn:
//! this API wants results right after the calls.

use super::NAME;
use crate::format::loss::Noted;
use crate::format::media;
use crate::ir::{Media, MediaSource, Part, Request, Role, Turn};
use crate::json::{ArrayWriter, ObjectWriter};

pub(super) fn turns(messages: &mut ArrayWriter<'_>, request: &Request, noted: &mut Noted<'_>) {
    for (i, turn) in request.turns.iter().enumerate() {
        noted.extra(&|n| n.turn_path(i), &turn.extra);
        match turn.role {
            Role::System => system(messages, i, turn, noted),
            Role::Assistant => assistant(messages, i, turn, noted),
            Role::User | Role::Tool => user(messages, i, turn, noted),
        }
    }
}

/// A part of a turn with its number there.
type Numbered<'a> = (usize, &'a Part);

fn system(messages: &mut ArrayWriter<'_>, i: usize, turn: &Turn, noted: &mut Noted<'_>) {
    let parts: Vec<Numbered<'_>> = turn.parts.iter().enumerate().collect();
    messages.object(|o| {
        if turn.extra.spelling_of(NAME, "role").is_none() {
            o.str("role", "system");
        }
        content(o, i, &parts, "\n\n", noted);
        o.extra(&turn.extra, NAME);
    });
}

fn user(messages: &mut ArrayWriter<'_>, i: usize, turn: &Turn, noted: &mut Noted<'_>) {
    let (results, mut rest): (Vec<_>, Vec<_>) =
        turn.parts.iter().enumerate().partition(|(_, part)| matches!(part, Part::ToolResult { .. }));
    let mut moved: Vec<Numbered<'_>> = Vec::new();
    for (j, part) in &results {
        let Part::ToolResult { id, content: inside, is_error, extra } = part else { continue };
        noted.extra(&|n| n.part_path(i, *j), extra);
        if *is_error {
            noted.part(i, *j, "is_error");
        }
        let all = inside.iter().map(|part| (*j, part));
        let (media, inside): (Vec<_>, Vec<_>) =
            all.partition(|(_, part)| !noted.same_format() && matches!(part, Part::Image(_) | Part::Document(_)));
        moved.extend(media);
        messages.object(|o| {
            o.str("role", "tool");
            o.str("tool_call_id", id);
            content(o, i, &inside, "\n\n", noted);
            if turn.role == Role::Tool {
                o.extra(&turn.extra, NAME);
            }
        });
    }
    // Tool messages hold text only; their images follow as the user's.
    for (j, _) in &moved {
        noted.part(i, *j, "content");
    }
    rest.splice(0..0, moved);
    if !rest.is_empty() || results.is_empty() {
        messages.object(|o| {
            o.str("role", "user");
            content(o, i, &rest, "\n\n", noted);
            o.extra(&turn.extra, NAME);
        });
    }
}

fn assistant(messages: &mut ArrayWriter<'_>, i: usize, turn: &Turn, noted: &mut Noted<'_>) {
    let mut said = Vec::new();
    let mut calls = Vec::new();
    messages.object(|o| {
        o.str("role", "assistant");
        for (j, part) in turn.parts.iter().enumerate() {
            match part {
                Part::ToolCall { .. } => calls.push((j, part)),
                Part::Refusal(text) => o.str("refusal", text),
                Part::Reasoning { text, .. } if noted.same_format() => o.str("reasoning_content", text),
                Part::Reasoning { .. } => noted.part(i, j, ""),
                Part::Text { .. }
                | Part::Image(_)
                | Part::Document(_)
                | Part::ToolResult { .. }
                | Part::Opaque { .. } => {
                    said.push((j, part));
                }
            }
        }
        if !said.is_empty() {
            // Blocks of one answer continue each other.
            content(o, i, &said, "", noted);
        } else if !noted.same_format() {
            o.literal("content", if calls.is_empty() { "\"\"" } else { "null" });
        }
        if !calls.is_empty() {
            o.array("tool_calls", |a| {
                for (j, part) in &calls {
                    if let Part::ToolCall { extra, .. } = part {
                        noted.extra(&|n| n.part_path(i, *j), extra);
                    }
                    a.object(|o| tool_call(o, part));
                }
            });
        }
        o.extra(&turn.extra, NAME);
    });
}

pub(super) fn tool_call(o: &mut ObjectWriter<'_>, part: &Part) {
    let Part::ToolCall { id, name, arguments, extra } = part else { return };
    o.str("id", id);
    if !extra.of(NAME).any(|(name, _)| name == "type") {
        o.str("type", "function");
        o.object("function", |function| {
            function.str("name", name);
            function.str("arguments", arguments);
            function.inner(extra, NAME, "function");
        });
    }
    o.extra(extra, NAME);
}

/// The `content` member: a string where it can be one. Texts of another format are joined by `glue`, since not every
/// server takes lists.
fn content(o: &mut ObjectWriter<'_>, i: usize, parts: &[Numbered<'_>], glue: &str, noted: &mut Noted<'_>) {
    let own = noted.same_format();
    if own && parts.is_empty() {
        // It was absent, or its spelling (`null`, an empty list) comes with the other members.
        return;
    }
    let (parts, lost): (Vec<_>, Vec<_>) = parts.iter().copied().partition(|(_, part)| own || carries(part));
    lost.into_iter().for_each(|(j, _)| noted.part(i, j, ""));
    let mut texts = Vec::new();
    for (_, part) in &parts {
        if let Part::Text { text, extra } = part
            && (!own || (extra.format.is_empty() && parts.len() == 1))
        {
            texts.push(text.as_str());
        }
    }
    if texts.len() == parts.len() {
        for (j, part) in &parts {
            if let Part::Text { extra, .. } = part {
                noted.extra(&|n| n.part_path(i, *j), extra);
            }
        }
        return o.str("content", &texts.join(glue));
    }
    o.array("content", |a| parts.iter().for_each(|(j, part)| write_part(a, i, *j, part, noted)));
}

/// A part of another format that a content list has an item for.
fn carries(part: &Part) -> bool {
    match part {
        Part::Text { .. } | Part::Refusal(_) => true,
        Part::Image(media) => !matches!(media.source, MediaSource::FileId(_)),
        // Ids are the provider's own, and this API fetches no documents.
        Part::Document(media) => matches!(media.source, MediaSource::Base64 { .. }),
        Part::ToolCall { .. } | Part::ToolResult { .. } | Part::Reasoning { .. } | Part::Opaque { .. } => false,
    }
}

fn write_part(a: &mut ArrayWriter<'_>, i: usize, j: usize, part: &Part, noted: &mut Noted<'_>) {
    match part {
        Part::Text { text, extra } => {
            noted.extra(&|n| n.part_path(i, j), extra);
            a.object(|o| {
                o.str("type", "text");
                o.str("text", text);
                o.extra(extra, NAME);
            });
        }
        Part::Image(media) => image(a, i, j, media, noted),
        Part::Document(media) => document(a, i, j, media, noted),
        Part::Opaque { format, json } if *format == NAME => a.raw(json),
        Part::Refusal(text) => a.object(|o| {
            o.str("type", "text");
            o.str("text", text);
        }),
        Part::Opaque { .. } | Part::ToolCall { .. } | Part::ToolResult { .. } | Part::Reasoning { .. } => {
            noted.part(i, j, "");
        }
    }
}

fn image(a: &mut ArrayWriter<'_>, i: usize, j: usize, image: &Media, noted: &mut Noted<'_>) {
    let Some(url) = media::to_url(&image.source) else { return noted.part(i, j, "") };
    noted.extra(&|n| n.part_path(i, j), &image.extra);
    a.object(|o| {
        o.str("type", "image_url");
        if image.extra.spelling_of(NAME, "image_url").is_some_and(|raw| crate::json::kind(raw) == "string") {
            o.str("image_url", &url);
        } else {
            o.object("image_url", |inner| {
                inner.str("url", &url);
                inner.inner(&image.extra, NAME, "image_url");
            });
        }
        o.extra(&image.extra, NAME);
    });
}

fn document(a: &mut ArrayWriter<'_>, i: usize, j: usize, file: &Media, noted: &mut Noted<'_>) {
    let own = noted.same_format();
    noted.extra(&|n| n.part_path(i, j), &file.extra);
    a.object(|o| {
        o.str("type", "file");
        o.object("file", |inner| {
            match &file.name {
                Some(name) => inner.str("filename", name),
                None if own => {}
                // Required with inline bytes.
                None => inner.str("filename", "document.pdf"),
            }
            match &file.source {
                MediaSource::FileId(id) => inner.str("file_id", id),
                source @ (MediaSource::Base64 { .. } | MediaSource::Url(_)) => {
                    inner.str("file_data", &media::to_url(source).unwrap_or_default());
                }
            }
            inner.inner(&file.extra, NAME, "file");
        });
        o.extra(&file.extra, NAME);
    });
}
