//! Reasoning in messages: `reasoning_content` (or `reasoning`) for reading, `reasoning_details` for carrying back.
//!
//! The list is [OpenRouter's](https://openrouter.ai/docs/use-cases/reasoning-tokens): `reasoning.text` with `text` and
//! `signature`, `reasoning.summary`, `reasoning.encrypted` with `data`. It is what lets signed and redacted thinking
//! pass through a client that knows this format only.

use serde_json::value::RawValue;

use crate::format::{Malformed, bounds};
use crate::ir::Part;
use crate::json::{ArrayWriter, Object, ObjectWriter};

/// The members that hold reasoning.
pub(super) const MEMBERS: [&str; 3] = ["reasoning_content", "reasoning", DETAILS];

/// The member that is a list.
pub(super) const DETAILS: &str = "reasoning_details";

/// One item of the list, whole or a piece of one.
#[derive(Debug, Default)]
pub(super) struct Detail {
    /// The server's number for it; pieces of one item share it.
    pub(super) index: Option<u64>,
    pub(super) text: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) encrypted: Option<String>,
}

/// What a message or delta says about reasoning.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The text as such. Two names are in use; a server that sends both sends the same text.
    pub(super) plain: Option<String>,
    pub(super) details: Vec<Detail>,
    /// Something in the list is of a kind unknown here.
    pub(super) unknown: bool,
}

impl Said {
    pub(super) fn take(o: &mut Object<'_>) -> Result<Self, Malformed> {
        let (content, plain) = (o.string("reasoning_content")?, o.string("reasoning")?);
        // One that is empty says nothing against the other.
        let plain = [content, plain].into_iter().flatten().find(|text| !text.is_empty());
        let mut said = Self { plain, ..Self::default() };
        for raw in o.list(DETAILS, &bounds::PARTS)?.unwrap_or_default() {
            match detail(raw) {
                Some(detail) => said.details.push(detail),
                None => said.unknown = true,
            }
        }
        if said.details.iter().any(|detail| detail.text.is_some()) {
            // The list has the same text, and knows which piece is signed.
            said.plain = None;
        }
        Ok(said)
    }

    /// As parts. Pieces of one item that a client kept as they came are joined.
    pub(super) fn parts(self) -> Vec<Part> {
        let plain = self.plain.map(|text| Part::Reasoning { text, signature: None, redacted: false });
        let mut parts: Vec<Part> = plain.into_iter().collect();
        let mut open = None;
        for Detail { index, text, signature, encrypted } in self.details {
            if let Some(data) = encrypted {
                parts.push(Part::Reasoning { text: String::new(), signature: Some(data), redacted: true });
                open = None;
                continue;
            }
            let text = text.unwrap_or_default();
            let last = parts.last_mut().filter(|_| open == Some(index));
            match last {
                Some(Part::Reasoning { text: have, signature: have_signature @ None, redacted: false }) => {
                    have.push_str(&text);
                    *have_signature = signature;
                }
                _ => parts.push(Part::Reasoning { text, signature, redacted: false }),
            }
            open = Some(index);
        }
        parts
    }
}

fn detail(raw: &RawValue) -> Option<Detail> {
    let mut o = Object::of(raw, DETAILS).ok()?;
    let word = |o: &mut Object<'_>, name| o.string(name).ok().flatten().filter(|text| !text.is_empty());
    let kind = o.string("type").ok().flatten()?;
    let index = o.u64("index").ok().flatten();
    let mut detail = Detail { index, ..Detail::default() };
    match kind.as_str() {
        "reasoning.text" => (detail.text, detail.signature) = (word(&mut o, "text"), word(&mut o, "signature")),
        "reasoning.summary" => detail.text = word(&mut o, "summary"),
        "reasoning.encrypted" => detail.encrypted = word(&mut o, "data"),
        _ => return None,
    }
    Some(detail)
}

/// Writes both members for an answer or a message of the history.
pub(super) fn write(o: &mut ObjectWriter<'_>, parts: &[&Part]) {
    let mut text = String::new();
    let mut count = 0;
    for part in parts {
        if let Part::Reasoning { text: piece, signature, .. } = part {
            text.push_str(piece);
            count += usize::from(!piece.is_empty() || signed(signature.as_ref()).is_some());
        }
    }
    if !text.is_empty() {
        o.str("reasoning_content", &text);
    }
    if count > 0 {
        o.array(DETAILS, |a| {
            let mut index = 0;
            for part in parts {
                if let Part::Reasoning { text, signature, redacted } = part
                    && (!text.is_empty() || signed(signature.as_ref()).is_some())
                {
                    whole(a, index, text, signed(signature.as_ref()), *redacted);
                    index += 1;
                }
            }
        });
    }
}

/// An empty signature is what a format writes that requires one where nobody signed.
fn signed(signature: Option<&String>) -> Option<&str> {
    signature.map(String::as_str).filter(|text| !text.is_empty())
}

fn whole(a: &mut ArrayWriter<'_>, index: u64, text: &str, signature: Option<&str>, redacted: bool) {
    if redacted {
        return encrypted(a, index, signature.unwrap_or_default());
    }
    a.object(|o| {
        o.str("type", "reasoning.text");
        o.str("text", text);
        if let Some(signature) = signature {
            o.str("signature", signature);
        }
        o.u64("index", index);
    });
}

/// One item that nobody can read.
pub(super) fn encrypted(a: &mut ArrayWriter<'_>, index: u64, data: &str) {
    a.object(|o| {
        o.str("type", "reasoning.encrypted");
        o.str("data", data);
        o.u64("index", index);
    });
}

/// A piece of an item: of its text, or its signature.
pub(super) fn piece(a: &mut ArrayWriter<'_>, index: u64, member: &'static str, piece: &str) {
    a.object(|o| {
        o.str("type", "reasoning.text");
        o.str(member, piece);
        o.u64("index", index);
    });
}
