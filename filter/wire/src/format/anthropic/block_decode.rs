//! Content blocks → IR parts, for requests and answers.

use serde_json::value::RawValue;

use super::{NAME, citation};
use crate::format::{Malformed, bounds};
use crate::ir::{Extra, Media, MediaSource, Part};
use crate::json::{self, Object};

/// `content` or `system`: a string or blocks.
pub(super) fn content(raw: &RawValue, path: String) -> Result<Vec<Part>, Malformed> {
    match json::kind(raw) {
        "string" => {
            let text = json::text(raw, path)?.into_owned();
            Ok(vec![Part::Text { text, citations: Vec::new(), extra: Extra::default() }])
        }
        "array" => blocks(raw, &path),
        _ => Err(Malformed::expected(path, raw, "string or array")),
    }
}

/// A list of blocks.
pub(super) fn blocks(raw: &RawValue, path: &str) -> Result<Vec<Part>, Malformed> {
    let items = json::array(raw, path)?.into_iter().enumerate();
    items.map(|(i, item)| block(item, format!("{path}[{i}]"), true)).collect()
}

/// One block. A tool result holds blocks, but none that hold blocks again.
fn block(raw: &RawValue, path: String, outer: bool) -> Result<Part, Malformed> {
    let mut o = Object::of(raw, path)?;
    let kind = o.str("type")?;
    let opaque = || Part::Opaque { format: NAME, json: raw.to_owned() };
    Ok(match o.need("type", kind)?.as_ref() {
        "text" => {
            let (text, path) = (o.string("text")?, o.at("citations"));
            let text = o.need("text", text)?;
            let citations = citation::decode_all(o.list("citations", &bounds::PARTS)?.unwrap_or_default(), &path)?;
            if citations.is_empty() {
                o.spell("citations");
            }
            Part::Text { text, citations, extra: o.rest(NAME) }
        }
        "image" => media(o, None)?.map_or_else(opaque, Part::Image),
        "document" => match document_text(&mut o)? {
            Some(text) => whole(text, o, "document", raw),
            None => {
                let title = o.string("title")?;
                media(o, title)?.map_or_else(opaque, Part::Document)
            }
        },
        "search_result" => match o.raw("content")?.and_then(texts) {
            Some(text) => whole(text, o, "search_result", raw),
            None => opaque(),
        },
        "tool_use" => {
            let (id, name) = (o.word("id", &bounds::ID)?, o.word("name", &bounds::NAME)?);
            let input = o.raw("input")?;
            let arguments = input.map_or("{}", RawValue::get).to_owned();
            // The model itself called it, as in every other format.
            if o.peek("caller").is_some_and(|caller| json::count_members(caller) == 1) {
                o.raw("caller")?;
                o.spell("caller");
            }
            Part::ToolCall { id: o.need("id", id)?, name: o.need("name", name)?, arguments, extra: o.rest(NAME) }
        }
        "tool_result" if outer => tool_result(o)?,
        "thinking" => {
            let (text, signature) = (o.string("thinking")?, o.string("signature")?);
            let text = o.need("thinking", text)?;
            if o.is_empty() { Part::Reasoning { text, signature, redacted: false } } else { opaque() }
        }
        "redacted_thinking" => {
            let data = o.string("data")?;
            let signature = Some(o.need("data", data)?);
            if o.is_empty() { Part::Reasoning { text: String::new(), signature, redacted: true } } else { opaque() }
        }
        _ => opaque(),
    })
}

fn tool_result(mut o: Object<'_>) -> Result<Part, Malformed> {
    let id = o.word("tool_use_id", &bounds::ID)?;
    let id = o.need("tool_use_id", id)?;
    let path = o.at("content");
    let content = match o.raw("content")? {
        None => Vec::new(),
        Some(raw) if json::kind(raw) == "string" => self::content(raw, path)?,
        Some(raw) => {
            let items = json::array(raw, path.as_str())?.into_iter().enumerate();
            items.map(|(i, item)| block(item, format!("{path}[{i}]"), false)).collect::<Result<_, _>>()?
        }
    };
    if content.is_empty() {
        o.spell("content");
    }
    let is_error = o.bool("is_error")?;
    if is_error == Some(false) {
        o.spell("is_error");
    }
    Ok(Part::ToolResult { id, content, is_error: is_error.unwrap_or(false), extra: o.rest(NAME) })
}

/// What a document says that is text, or a list of texts.
fn document_text(o: &mut Object<'_>) -> Result<Option<String>, Malformed> {
    let source = o.object("source")?;
    let mut source = o.need("source", source)?;
    let text = match source.str("type")?.as_deref() {
        Some("text") => source.string("data")?,
        Some("content") => source.raw("content")?.and_then(texts),
        Some(_) | None => None,
    };
    if text.is_none() {
        o.put_back("source");
    }
    Ok(text)
}

/// A string, or blocks of nothing but text. Documents inside documents are none: to read them would take as many steps
/// as they are deep.
fn texts(raw: &RawValue) -> Option<String> {
    if json::kind(raw) == "string" {
        return json::text(raw, "").ok().map(String::from);
    }
    let mut all = String::new();
    for (i, item) in json::array(raw, "").ok()?.into_iter().enumerate() {
        let mut block = Object::of(item, "").ok()?;
        block.str("type").ok().flatten().filter(|kind| kind == "text")?;
        all.push_str(if i == 0 { "" } else { "\n" });
        all.push_str(&block.str("text").ok()??);
    }
    Some(all)
}

/// A block that is text to other formats. This one gets it back whole, by the name of its kind.
fn whole(text: String, o: Object<'_>, kind: &str, raw: &RawValue) -> Part {
    let mut extra = o.rest(NAME);
    extra.spelling.push((kind.to_owned(), raw.to_owned()));
    Part::Text { text, citations: Vec::new(), extra }
}

/// An image or document whose source the IR knows.
fn media(mut o: Object<'_>, name: Option<String>) -> Result<Option<Media>, Malformed> {
    let inner = o.object("source")?;
    let mut inner = o.need("source", inner)?;
    let source = match inner.str("type")?.as_deref() {
        Some("base64") => {
            let (media_type, data) = (inner.string("media_type")?, inner.string("data")?);
            let media_type = inner.need("media_type", media_type)?;
            MediaSource::Base64 { media_type, data: inner.need("data", data)? }
        }
        Some("url") => {
            let url = inner.string("url")?;
            MediaSource::Url(inner.need("url", url)?)
        }
        Some("file") => {
            let id = inner.string("file_id")?;
            MediaSource::FileId(inner.need("file_id", id)?)
        }
        Some(_) | None => return Ok(None),
    };
    let mut extra = o.rest(NAME);
    extra.nest("source", inner.rest(NAME));
    Ok(Some(Media { source, name, extra }))
}
