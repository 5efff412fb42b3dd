//! Content blocks of a messages request.

use serde_json::Value;

use super::super::Refusal;
use super::super::check::{
    Checked, base64, boolean, ensure, known, list, maybe_text, name, object, some, text, url, word,
};

const IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];
const LONGEST_NAME: usize = 128;

/// Checks the content in this member and returns its text, tool results included.
pub(super) fn content(holder: &Value, member: &str, path: &str, kinds: &[&str]) -> Checked<String> {
    if let Value::String(text) = &holder[member] {
        ensure(!text.is_empty(), "messages", || format!("{path}: text must be non-empty"))?;
        return Ok(text.clone());
    }
    let mut all = String::new();
    for (i, block) in list(holder, path, member)?.iter().enumerate() {
        let path = format!("{path}.{member}.{i}");
        let kind = text(block, &path, "type")?;
        ensure(kinds.contains(&kind), "messages", || format!("{path}: a `{kind}` block cannot stand here"))?;
        all.push_str(&self::block(block, kind, &path)?);
        mark(block, kind)?;
    }
    Ok(all)
}

fn block(block: &Value, kind: &str, path: &str) -> Checked<String> {
    let members = |names: &[&str]| known(block, path, &[&["type", "cache_control"], names].concat());
    match kind {
        "text" => {
            members(&["text", "citations"])?;
            some(block, "citations").map_or(Ok(()), |_| citations(block, path))?;
            return Ok(text(block, path, "text")?.to_owned());
        }
        "tool_use" => {
            members(&["id", "name", "input", "caller", "toolset_name"])?;
            name(block, path, "id", usize::MAX)?;
            name(block, path, "name", LONGEST_NAME)?;
            object(&block["input"], path)?;
        }
        "tool_result" => {
            members(&["tool_use_id", "content", "is_error"])?;
            name(block, path, "tool_use_id", usize::MAX)?;
            boolean(block, "is_error")?;
            // The one content that may be empty.
            let empty = block["content"].as_array().is_some_and(Vec::is_empty) || block["content"] == "";
            if some(block, "content").is_some() && !empty {
                let kinds = &["text", "image", "document", "search_result", "tool_reference"];
                return content(block, "content", path, kinds);
            }
        }
        // Signed by the model: without the signature it is refused.
        "thinking" => {
            known(block, path, &["type", "thinking", "signature"])?;
            ensure(block["thinking"].is_string(), path, || format!("{path}.thinking: Field required"))?;
            text(block, path, "signature")?;
        }
        "redacted_thinking" => {
            known(block, path, &["type", "data"])?;
            text(block, path, "data")?;
        }
        "image" => {
            members(&["source"])?;
            image(&block["source"], path)?;
        }
        "document" => {
            members(&["source", "title", "context", "citations"])?;
            maybe_text(block, "title")?;
            maybe_text(block, "context")?;
            document(&block["source"], path)?;
        }
        "server_tool_use" => {
            members(&["id", "name", "input", "caller"])?;
            text(block, path, "id")?;
            text(block, path, "name")?;
            object(&block["input"], path)?;
        }
        // Results of server tools, and what else the vendor knows.
        _ => drop(object(block, path)?),
    }
    Ok(String::new())
}

fn mark(block: &Value, kind: &str) -> Checked<()> {
    let Some(mark) = some(block, "cache_control") else { return Ok(()) };
    cache_control(mark)?;
    let blank = kind == "text" && block["text"].as_str().is_some_and(|text| text.trim().is_empty());
    ensure(!blank, "cache_control", || "cache_control cannot be set for empty text".to_owned())
}

pub(super) fn cache_control(mark: &Value) -> Checked<()> {
    known(mark, "cache_control", &["type", "ttl"])?;
    ensure(mark["type"] == "ephemeral", "cache_control", || format!("cache_control: {mark}"))?;
    word(mark, "ttl", &["5m", "1h"])
}

fn image(source: &Value, path: &str) -> Checked<()> {
    match source["type"].as_str() {
        Some("base64") => {
            known(source, path, &["type", "media_type", "data"])?;
            text(source, path, "media_type")?;
            word(source, "media_type", IMAGES)?;
            base64(text(source, path, "data")?, path)
        }
        _ => elsewhere(source, path),
    }
}

fn document(source: &Value, path: &str) -> Checked<()> {
    match source["type"].as_str() {
        Some("base64") => {
            known(source, path, &["type", "media_type", "data"])?;
            ensure(source["media_type"] == "application/pdf", path, || format!("{path}: only PDF comes as base64"))?;
            base64(text(source, path, "data")?, path)
        }
        Some("text") => {
            known(source, path, &["type", "media_type", "data"])?;
            ensure(source["media_type"] == "text/plain", path, || format!("{path}: `text/plain` is required"))?;
            text(source, path, "data").map(drop)
        }
        Some("content") => {
            known(source, path, &["type", "content"])?;
            content(source, "content", path, &["text", "image"]).map(drop)
        }
        _ => elsewhere(source, path),
    }
}

/// What lies at an address, or was uploaded before.
fn elsewhere(source: &Value, path: &str) -> Checked<()> {
    match source["type"].as_str() {
        Some("url") => {
            known(source, path, &["type", "url"])?;
            url(text(source, path, "url")?, path)
        }
        Some("file") => {
            known(source, path, &["type", "file_id"])?;
            text(source, path, "file_id").map(drop)
        }
        _ => Err(Refusal::bad("messages", format!("{path}: a source cannot be {source}"))),
    }
}

/// Citations that go back as they came: each kind has members that must be there.
fn citations(block: &Value, path: &str) -> Checked<()> {
    for one in block["citations"].as_array().into_iter().flatten() {
        let texts: &[&str] = match one["type"].as_str() {
            Some("web_search_result_location") => &["url", "encrypted_index", "cited_text"],
            Some("search_result_location") => &["source", "cited_text"],
            Some("char_location" | "page_location" | "content_block_location") => &["cited_text"],
            _ => return Err(Refusal::bad("messages", format!("{path}: a citation cannot be {one}"))),
        };
        texts.iter().try_for_each(|member| text(one, path, member).map(drop))?;
    }
    Ok(())
}
