//! IR turns → Chat Completions messages.
//!
//! One turn becomes one message, except that each tool result is a message of its own, before the rest of its turn:
//! this API wants results right after the calls.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Compatible, NAME, quirk};
use crate::format::loss::{Noted, Place};
use crate::format::media;
use crate::ir::{Extra, Media, MediaSource, Part, Request, Role, Turn};
use crate::json::{ArrayWriter, ObjectWriter};

pub(super) fn turns(messages: &mut ArrayWriter<'_>, request: &Request, dialect: &Compatible, noted: &mut Noted<'_>) {
    for (i, turn) in request.turns.iter().enumerate() {
        noted.extra(&|n| n.turn_path(i), &turn.extra);
        match turn.role {
            Role::System => system(messages, i, turn, dialect, noted),
            Role::Assistant => assistant(messages, i, turn, dialect, noted),
            Role::User | Role::Tool => user(messages, i, turn, dialect, noted),
        }
    }
    if let Some((last, Turn { role: Role::Assistant, .. })) = request.turns.iter().enumerate().next_back()
        && !noted.same_format()
    {
        // Elsewhere the answer goes on where this message ends. Here it begins anew.
        noted.turn(last, "content");
    }
}

/// A part and where it is, for naming losses.
type Placed<'a> = (Place, &'a Part);

fn placed(i: usize, turn: &Turn) -> impl Iterator<Item = Placed<'_>> {
    turn.parts.iter().enumerate().map(move |(j, part)| (Place::new(i, j), part))
}

fn system(messages: &mut ArrayWriter<'_>, i: usize, turn: &Turn, dialect: &Compatible, noted: &mut Noted<'_>) {
    let parts: Vec<Placed<'_>> = placed(i, turn).collect();
    if !noted.same_format() && !turn.parts.iter().any(carries) {
        // It set effort or tools from here on, which this API cannot, and says nothing.
        return parts.iter().for_each(|(at, _)| noted.part(*at, ""));
    }
    messages.object(|o| {
        if turn.extra.spelling_of(NAME, "role").is_none() {
            o.str("role", "system");
        }
        content(o, &parts, None, "\n\n", dialect, noted);
        o.extra(&turn.extra, NAME);
    });
}

fn user(messages: &mut ArrayWriter<'_>, i: usize, turn: &Turn, dialect: &Compatible, noted: &mut Noted<'_>) {
    let (results, mut rest): (Vec<_>, Vec<_>) =
        placed(i, turn).partition(|(_, part)| matches!(part, Part::ToolResult { .. }));
    let mut moved: Vec<Placed<'_>> = Vec::new();
    for (at, part) in &results {
        let Part::ToolResult { id, content: inside, is_error, extra } = part else { continue };
        if *is_error {
            noted.part(*at, "is_error");
        }
        let all = inside.iter().enumerate().map(|(k, part)| (at.inside(k), part));
        let (media, inside): (Vec<Placed<'_>>, Vec<Placed<'_>>) =
            all.partition(|(_, part)| !noted.same_format() && matches!(part, Part::Image(_) | Part::Document(_)));
        moved.extend(media);
        // This API has no mark for failed tools, so their words say it.
        let mark = Part::Text { text: "Error:".to_owned(), citations: Vec::new(), extra: Extra::default() };
        let marked = is_error.then_some((*at, &mark));
        let inside: Vec<Placed<'_>> = marked.into_iter().chain(inside).collect();
        // The marker of the result becomes that of its last text, which a message of this API has one on.
        let text = inside.iter().any(|(_, part)| matches!(part, Part::Text { .. }));
        let marker = quirk::marker(dialect, extra).filter(|_| text);
        let lost = if marker.is_some() { quirk::unmarked(dialect, extra) } else { Cow::Borrowed(extra) };
        noted.extra(&|n| n.part_path(*at), &lost);
        messages.object(|o| {
            // The deprecated function messages have another role, which comes with its spelling, and no id.
            if turn.extra.spelling_of(NAME, "role").is_none() {
                o.str("role", "tool");
                o.str("tool_call_id", id);
            }
            content(o, &inside, marker, "\n\n", dialect, noted);
            if turn.role == Role::Tool {
                o.extra(&turn.extra, NAME);
            }
        });
    }
    // Tool messages hold text only; their images follow as the user's.
    moved.iter().for_each(|(at, _)| noted.part(*at, ""));
    rest.splice(0..0, moved);
    if !rest.is_empty() || results.is_empty() {
        messages.object(|o| {
            o.str("role", "user");
            content(o, &rest, None, "\n\n", dialect, noted);
            o.extra(&turn.extra, NAME);
        });
    }
}

fn assistant(messages: &mut ArrayWriter<'_>, i: usize, turn: &Turn, dialect: &Compatible, noted: &mut Noted<'_>) {
    let mut said = Vec::new();
    let mut calls = Vec::new();
    let mut refusal: Option<String> = None;
    messages.object(|o| {
        o.str("role", "assistant");
        for (at, part) in placed(i, turn) {
            match part {
                Part::ToolCall { .. } => calls.push((at, part)),
                // They come with the spellings.
                Part::Refusal(_) | Part::Reasoning { .. } if noted.same_format() => {}
                Part::Refusal(text) => refusal.get_or_insert_with(String::new).push_str(text),
                Part::Reasoning { .. } => {}
                Part::Text { .. }
                | Part::Image(_)
                | Part::Document(_)
                | Part::ToolResult { .. }
                | Part::Opaque { .. } => {
                    said.push((at, part));
                }
            }
        }
        if let Some(text) = &refusal {
            o.str("refusal", text);
        }
        if !noted.same_format() {
            quirk::memory(o, dialect.memory, i, turn, noted);
        }
        let spelled = |name| turn.extra.spelling_of(NAME, name).is_some_and(|raw| raw.get() != "null");
        if spelled("content") {
            // It holds a refusal in its list, or nothing.
        } else if !said.is_empty() {
            // Blocks of one answer continue each other.
            content(o, &said, None, "", dialect, noted);
        } else if !noted.same_format() {
            o.literal("content", if calls.is_empty() { "\"\"" } else { "null" });
        }
        if spelled("function_call") {
            calls.retain(|(_, part)| matches!(part, Part::ToolCall { extra, .. } if !extra.format.is_empty()));
        }
        if !calls.is_empty() {
            o.array("tool_calls", |a| {
                for (at, part) in &calls {
                    if let Part::ToolCall { extra, .. } = part {
                        noted.extra(&|n| n.part_path(*at), extra);
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
            let inner = extra.inner("function").and_then(|inner| inner.spelling_of(NAME, "arguments"));
            if inner.is_none_or(|raw| raw.get() == "null") {
                function.str("arguments", arguments);
            }
            function.inner(extra, NAME, "function");
        });
    }
    o.extra(extra, NAME);
}

/// The `content` member: a string where it can be one. Texts of another format are joined by `glue`, since not every
/// server takes lists. `outer` is a cache marker for the last of the texts.
fn content(
    o: &mut ObjectWriter<'_>,
    parts: &[Placed<'_>],
    outer: Option<&RawValue>,
    glue: &str,
    dialect: &Compatible,
    noted: &mut Noted<'_>,
) {
    let own = noted.same_format();
    if own && parts.is_empty() {
        // It was absent, or its spelling (`null`, an empty list) comes with the other members.
        return;
    }
    let (parts, lost): (Vec<_>, Vec<_>) = parts.iter().copied().partition(|(_, part)| own || carries(part));
    lost.into_iter().for_each(|(at, _)| noted.part(at, ""));
    let last = parts.iter().rposition(|(_, part)| matches!(part, Part::Text { .. }));
    let marker = |k: usize, extra| quirk::marker(dialect, extra).or(outer.filter(|_| last == Some(k)));
    let mut texts = Vec::new();
    for (k, (at, part)) in parts.iter().enumerate() {
        if let Part::Text { citations, .. } = part
            && !own
            && !citations.is_empty()
        {
            // Messages sent to this API have no place for them.
            noted.citations(*at);
        }
        if let Part::Text { text, extra, .. } = part
            && (!own || (extra.format.is_empty() && parts.len() == 1))
            && marker(k, extra).is_none()
        {
            texts.push(text.as_str());
        }
    }
    if texts.len() == parts.len() {
        for (at, part) in &parts {
            if let Part::Text { extra, .. } = part {
                noted.extra(&|n| n.part_path(*at), extra);
            }
        }
        return o.str("content", &texts.join(glue));
    }
    o.array("content", |a| {
        for (k, (at, part)) in parts.iter().enumerate() {
            match part {
                Part::Text { text, extra, .. } => {
                    noted.extra(&|n| n.part_path(*at), &quirk::unmarked(dialect, extra));
                    a.object(|o| {
                        o.str("type", "text");
                        o.str("text", text);
                        if let Some(marker) = marker(k, extra) {
                            o.raw("cache_control", marker);
                        }
                        o.extra(extra, NAME);
                    });
                }
                Part::Image(media) => image(a, *at, media, noted),
                Part::Document(media) => document(a, *at, media, noted),
                Part::Opaque { format, json } if *format == NAME => a.raw(json),
                Part::Refusal(text) => a.object(|o| {
                    o.str("type", "text");
                    o.str("text", text);
                }),
                Part::Opaque { .. } | Part::ToolCall { .. } | Part::ToolResult { .. } | Part::Reasoning { .. } => {
                    noted.part(*at, "");
                }
            }
        }
    });
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

fn image(a: &mut ArrayWriter<'_>, at: Place, image: &Media, noted: &mut Noted<'_>) {
    let Some(url) = media::to_url(&image.source) else { return noted.part(at, "") };
    noted.extra(&|n| n.part_path(at), &image.extra);
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

fn document(a: &mut ArrayWriter<'_>, at: Place, file: &Media, noted: &mut Noted<'_>) {
    let own = noted.same_format();
    noted.extra(&|n| n.part_path(at), &file.extra);
    a.object(|o| {
        o.str("type", "file");
        o.object("file", |inner| {
            match &file.name {
                Some(name) => inner.str("filename", name),
                None if own => {}
                // Required with inline bytes.
                None => inner.str("filename", file_name(&file.source)),
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

fn file_name(source: &MediaSource) -> &'static str {
    match source {
        MediaSource::Base64 { media_type, .. } if media_type == "application/pdf" => "document.pdf",
        MediaSource::Base64 { .. } | MediaSource::Url(_) | MediaSource::FileId(_) => "document",
    }
}
