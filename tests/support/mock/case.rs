//! Answers of the corpus, chosen by the model that is asked for.
//!
//! | model | answer |
//! |---|---|
//! | `…case-NAME` | `response/NAME.json` of the vendor's format, or `stream/NAME.sse` |
//! | `…fault-NNN-WORD` | `fault/NNN-WORD.json` with status NNN |
//! | `…fault-NNN-WORD@7` | the same, with `Retry-After: 7` |
//!
//! What stands before the word may be a model's real name, for translations that depend on it.
//!
//! Does not: check the request; it has been checked when this is asked.

use std::path::{Path, PathBuf};

use super::vendor::{Answer, Ask, Refusal, Vendor};

/// An answer with its status and the seconds of its `Retry-After`.
pub(super) struct Case {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) answer: Answer,
}

/// The corpus' answer, if the model names one; a refusal if there is none of this name.
pub(super) fn of(vendor: Vendor, ask: &Ask) -> Option<Result<Case, Refusal>> {
    let after = |word: &str| ask.model.split_once(word).map(|(_, name)| name);
    if let Some(name) = after("fault-") {
        return Some(fault(vendor, name));
    }
    let name = after("case-")?;
    let read = |path| read(vendor, path);
    let answer = if ask.stream {
        read(format!("stream/{name}.sse")).map(|text| Answer::Stream(events(&text, ask.usage)))
    } else {
        read(format!("response/{name}.json")).map(|text| Answer::Unary(text.into_bytes()))
    };
    Some(answer.map(|answer| Case { status: 200, retry_after: None, answer }))
}

fn fault(vendor: Vendor, name: &str) -> Result<Case, Refusal> {
    let (name, retry_after) = match name.split_once('@') {
        Some((name, seconds)) => (name, Some(seconds.to_owned())),
        None => (name, None),
    };
    let status = name.split('-').next().and_then(|digits| digits.parse().ok());
    let status = status.ok_or_else(|| Refusal::of(404, &format!("{name} does not begin with a status")))?;
    let body = read(vendor, format!("fault/{name}.json"))?;
    Ok(Case { status, retry_after, answer: Answer::Unary(body.into_bytes()) })
}

/// Whole events; those that tell usage alone only to who asked for it.
fn events(text: &str, usage: bool) -> Vec<Vec<u8>> {
    let hidden = |event: &str| !usage && event.contains(r#""choices":[]"#);
    text.split_inclusive("\n\n").filter(|event| !hidden(event)).map(|event| event.as_bytes().to_vec()).collect()
}

fn read(vendor: Vendor, file: String) -> Result<String, Refusal> {
    let path = folder(vendor).join(file);
    std::fs::read_to_string(&path).map_err(|e| Refusal::of(404, &format!("no case {}: {e}", path.display())))
}

fn folder(vendor: Vendor) -> PathBuf {
    let format = match vendor {
        Vendor::OpenAi => "openai_chat",
        Vendor::Anthropic => "anthropic",
    };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format)
}
