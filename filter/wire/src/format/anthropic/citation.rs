//! Citations of a text block ⇄ IR.
//!
//! <https://platform.claude.com/docs/en/build-with-claude/citations>

use serde_json::value::RawValue;

use super::NAME;
use crate::format::Malformed;
use crate::ir::Citation;
use crate::json::{ArrayWriter, Object, ObjectWriter};

/// A list of them.
pub(super) fn decode_all(items: Vec<&RawValue>, path: &str) -> Result<Vec<Citation>, Malformed> {
    items.into_iter().enumerate().map(|(i, item)| decode(item, format!("{path}[{i}]"))).collect()
}

/// One of any kind: only those of the web have an address. All of them speak of the whole block.
pub(super) fn decode(raw: &RawValue, path: String) -> Result<Citation, Malformed> {
    let mut o = Object::of(raw, path)?;
    let (url, source) = (o.string("url")?, o.string("source")?);
    let (title, document) = (o.string("title")?, o.string("document_title")?);
    Ok(Citation {
        url: url.or(source),
        title: title.or(document),
        cited_text: o.string("cited_text")?.filter(|text| !text.is_empty()),
        range: None,
        own: Some((NAME, raw.to_owned())),
    })
}

/// The citations this format can tell: its own as they were, others if they have an address.
pub(super) fn tellable(citations: &[Citation]) -> impl Iterator<Item = &Citation> {
    citations.iter().filter(|citation| own(citation).is_some() || citation.url.is_some())
}

/// Bytes of its texts.
pub(super) fn size(citation: &Citation) -> usize {
    let texts = [&citation.url, &citation.title, &citation.cited_text];
    let own = citation.own.as_ref().map_or(0, |(_, json)| json.get().len());
    texts.into_iter().flatten().map(String::len).sum::<usize>() + own
}

fn own(citation: &Citation) -> Option<&RawValue> {
    citation.own.as_ref().filter(|(format, _)| *format == NAME).map(|(_, json)| json.as_ref())
}

/// The `citations` of an answer's text block; required there, null without any.
pub(super) fn write_all(o: &mut ObjectWriter<'_>, citations: &[Citation]) {
    let mut tellable = tellable(citations).peekable();
    if tellable.peek().is_none() {
        return o.literal("citations", "null");
    }
    o.array("citations", |a| tellable.for_each(|citation| write_item(a, citation)));
}

fn write_item(a: &mut ArrayWriter<'_>, citation: &Citation) {
    match own(citation) {
        Some(raw) => a.raw(raw),
        None => a.object(|o| web(o, citation)),
    }
}

/// One as a member.
pub(super) fn write(o: &mut ObjectWriter<'_>, name: &'static str, citation: &Citation) {
    match own(citation) {
        Some(raw) => o.raw(name, raw),
        None => o.object(name, |o| web(o, citation)),
    }
}

/// The citations of a text block of a request: as they came.
pub(super) fn write_sent(o: &mut ObjectWriter<'_>, citations: &[Citation]) {
    if !citations.is_empty() {
        o.array("citations", |a| citations.iter().filter_map(own).for_each(|raw| a.raw(raw)));
    }
}

fn web(o: &mut ObjectWriter<'_>, citation: &Citation) {
    o.str("type", "web_search_result_location");
    o.str("url", citation.url.as_deref().unwrap_or_default());
    match &citation.title {
        Some(title) => o.str("title", title),
        None => o.literal("title", "null"),
    }
    o.str("cited_text", citation.cited_text.as_deref().unwrap_or_default());
    // Required, and understood by nobody but its author.
    o.str("encrypted_index", "");
}
