//! `annotations` of an answer ⇄ citations, and the lists of sources some servers put beside the answer.
//!
//! Positions here count characters of the whole `content`, those of the IR characters of one part.
//!
//! Decision: a citation without an address (a passage of a document the client sent) is left out, because
//! `url_citation` is the only kind there is and its `url` is required. Rejected: an invented address, which a reader
//! would be shown as a link.

use serde_json::value::RawValue;

use super::NAME;
use crate::ir::{Citation, Part};
use crate::json::{self, ArrayWriter, Object};

/// More sources in one answer than any server names; a bound on what is remembered.
pub(super) const MAX: usize = 1024;

/// The URL citations among these; positions are still those of the content. Annotations are never worth failing an
/// answer for, so what is not understood is left out.
pub(super) fn read(items: Vec<&RawValue>) -> Vec<Citation> {
    items.into_iter().take(MAX).filter_map(one).collect()
}

fn one(raw: &RawValue) -> Option<Citation> {
    let mut o = Object::of(raw, "annotations").ok()?;
    let mut inner = o.object("url_citation").ok()??;
    let position = |inner: &mut Object<'_>, name| {
        let n = inner.u64(name).ok().flatten();
        n.and_then(|n| usize::try_from(n).ok())
    };
    let (from, to) = (position(&mut inner, "start_index"), position(&mut inner, "end_index"));
    Some(Citation {
        url: inner.string("url").ok()?,
        title: word(&mut inner, "title"),
        // OpenRouter's addition.
        cited_text: word(&mut inner, "content"),
        // Servers that do not know the place say 0 to 0.
        range: from.zip(to).filter(|(from, to)| from < to),
        own: Some((NAME, raw.to_owned())),
    })
}

fn word(o: &mut Object<'_>, name: &str) -> Option<String> {
    o.string(name).ok().flatten().filter(|text| !text.is_empty())
}

/// Perplexity's lists beside the answer. They stay members of their own as well.
pub(super) fn sources(o: &Object<'_>) -> Vec<Citation> {
    let list = |name| o.peek(name).and_then(|raw| json::first(raw, MAX).ok());
    let Some((items, _)) = list("search_results").or_else(|| list("citations")) else { return Vec::new() };
    let source = |raw: &RawValue| {
        if let Ok(url) = json::text(raw, "citations") {
            return Some(Citation { url: Some(url.into_owned()), ..Citation::default() });
        }
        let mut o = Object::of(raw, "search_results").ok()?;
        let url = Some(word(&mut o, "url")?);
        Some(Citation { url, title: word(&mut o, "title"), cited_text: word(&mut o, "snippet"), ..Citation::default() })
    };
    items.into_iter().filter_map(source).collect()
}

/// A citation whose positions count from `start` on instead of from the beginning.
pub(super) fn from(mut citation: Citation, start: usize) -> Citation {
    let moved = citation.range.map(|(from, to)| (from.saturating_sub(start), to.saturating_sub(start)));
    citation.range = moved.filter(|(from, to)| from < to);
    citation
}

/// Gives each citation to the text it is about: the one that holds its beginning, else the last.
pub(super) fn attach(parts: &mut [Part], citations: Vec<Citation>) {
    let mut texts = Vec::new();
    let mut start = 0;
    for part in parts {
        if let Part::Text { text, citations, .. } = part {
            texts.push((start, citations));
            start += text.chars().count();
        }
    }
    for citation in citations {
        let begins = citation.range.map_or(usize::MAX, |(from, _)| from);
        let after = texts.partition_point(|(start, _)| *start <= begins);
        if let Some((start, have)) = after.checked_sub(1).and_then(|of| texts.get_mut(of)) {
            have.push(from(citation, *start));
        }
    }
}

/// Whether this format has a place for it.
pub(super) fn carries(citation: &Citation) -> bool {
    citation.url.is_some()
}

/// Writes the citation of a text that begins at `start` of the content and is `len` characters long.
pub(super) fn write(a: &mut ArrayWriter<'_>, citation: &Citation, start: usize, len: usize) {
    let Some(url) = &citation.url else { return };
    if let Some((NAME, own)) = &citation.own {
        return a.raw(own);
    }
    let (from, to) = citation.range.unwrap_or((0, len));
    let at = |n: usize| u64::try_from(start.saturating_add(n)).unwrap_or(u64::MAX);
    a.object(|o| {
        o.str("type", "url_citation");
        o.object("url_citation", |inner| {
            inner.u64("start_index", at(from));
            inner.u64("end_index", at(to));
            // Required, and shown as the name of the link.
            inner.str("title", citation.title.as_deref().unwrap_or(url));
            inner.str("url", url);
        });
    });
}
