//! How much of anything a body may hold that is decoded. Example: a request with 2,600,000 `tools` is told
//! `tools: found 2600000 items, expected at most 1024`.
//!
//! A body that passes between equal formats is not decoded: its vendor judges it. A body that is translated would be
//! multiplied, so its lists are counted while they are read, before anything is kept of them.
//!
//! Each bound is generous beside what vendors take; [`Bound::vendors`] says what that is and where it is written.

use std::borrow::Cow;

use super::Malformed;

/// One bound on what is decoded.
#[derive(Debug)]
pub struct Bound {
    /// What is bounded, in words.
    pub what: &'static str,
    /// The most of it that is taken.
    pub most: usize,
    /// What is counted: `items`, `members`, `bytes`.
    pub unit: &'static str,
    /// What vendors take, and the source.
    pub vendors: &'static str,
}

impl Bound {
    /// Refuses more than the bound.
    ///
    /// # Errors
    /// More was found; the fault names the member at `path`, the count and the bound.
    pub(crate) fn check(&self, path: impl FnOnce() -> String, found: usize) -> Result<(), Malformed> {
        if found <= self.most {
            return Ok(());
        }
        let message = format!("found {found} {}, expected at most {}", self.unit, self.most);
        Err(Malformed { path: path(), message })
    }
}

/// `messages`.
pub(crate) static MESSAGES: Bound = Bound {
    what: "messages of a request",
    most: 100_000,
    unit: "items",
    vendors: "Anthropic takes 100,000 (https://platform.claude.com/docs/en/api/messages)",
};

/// Parts of one message, one `system`, one tool result; also items of a list inside one of these.
pub(crate) static PARTS: Bound = Bound {
    what: "content parts of a message, a `system` or a tool result",
    most: 100_000,
    unit: "items",
    vendors: "no vendor states a bound; Anthropic's on messages is taken",
};

/// `tools` or `functions`.
pub(crate) static TOOLS: Bound = Bound {
    what: "`tools` (or `functions`)",
    most: 1024,
    unit: "items",
    vendors: "OpenAI takes 128 (https://github.com/zed-industries/zed/issues/32946)",
};

/// `tool_calls` of one message.
pub(crate) static TOOL_CALLS: Bound = Bound {
    what: "`tool_calls` of a message",
    most: 1024,
    unit: "items",
    vendors: "OpenAI takes 128 (https://github.com/openai/openai-dotnet/issues/317)",
};

/// `choices` of one answer or chunk.
pub(crate) static CHOICES: Bound = Bound {
    what: "`choices` of an answer",
    most: 1024,
    unit: "items",
    vendors: "OpenAI gives 128 (https://platform.openai.com/docs/api-reference/chat/create, `n`)",
};

/// `stop` or `stop_sequences`.
pub(crate) static STOPS: Bound = Bound {
    what: "`stop` (or `stop_sequences`)",
    most: 1024,
    unit: "items",
    vendors: "OpenAI takes 4 (https://platform.openai.com/docs/api-reference/chat/create)",
};

/// Domains of a web search.
pub(crate) static DOMAINS: Bound = Bound {
    what: "`allowed_domains` or `blocked_domains` of a search",
    most: 4096,
    unit: "items",
    vendors: "no vendor states a bound",
};

/// Members of one object that is decoded: the body, a message, a part, a tool. Schemas and metadata stay text.
pub(crate) static MEMBERS: Bound = Bound {
    what: "members of the body, a message, a part or a tool",
    most: 1024,
    unit: "members",
    vendors: "the largest documented object has 40",
};

/// Names of tools and functions.
pub(crate) static NAME: Bound = Bound {
    what: "name of a tool or function",
    most: 256,
    unit: "bytes",
    vendors: "OpenAI takes 64, Anthropic 128 (https://platform.claude.com/docs/en/api/messages)",
};

/// Ids of tool calls.
pub(crate) static ID: Bound = Bound {
    what: "id of a tool call",
    most: 65_536,
    unit: "bytes",
    vendors: "OpenAI takes 40; gateways before Gemini put signatures of some kilobytes there",
};

/// All bounds, in the order they are documented.
pub static BOUNDS: &[&Bound] =
    &[&MESSAGES, &PARTS, &TOOLS, &TOOL_CALLS, &CHOICES, &STOPS, &DOMAINS, &MEMBERS, &NAME, &ID];

/// Longest piece of a client's or a provider's text that is quoted, in bytes.
pub const QUOTED: usize = 128;

/// The beginning of a text, `longest` bytes at most, and three dots if there is more.
#[must_use]
pub fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    let end = text.floor_char_boundary(longest);
    match text.get(..end) {
        Some(head) if end < text.len() => Cow::Owned([head, "..."].concat()),
        Some(_) | None => Cow::Borrowed(text),
    }
}

/// A text as messages quote it.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    cut(text, QUOTED)
}

/// Bytes of memory that decoding and encoding one body may take at its worst, per byte of the body. Measured, and held
/// by `tests/guest/linear`.
pub const PER_BYTE: usize = 6;

/// The same per value: what is kept of a value beside its text.
pub const PER_VALUE: usize = 160;

/// Bodies up to here cost what the worst of them would, uncounted.
const SMALL: usize = 4096;

/// The memory in bytes that translating this body may take at its worst, the body included.
///
/// Values are counted by their separators in one pass over large bodies, also inside strings; so text costs somewhat more
/// than it will take. A small body is not looked at.
#[must_use]
pub fn decode_cost(body: &[u8]) -> usize {
    let values = match body.len() {
        ..=SMALL => body.len() / 2,
        _ => memchr::memchr3_iter(b',', b'{', b'[', body).count(),
    };
    body.len().saturating_mul(PER_BYTE).saturating_add(values.saturating_mul(PER_VALUE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_cut_between_characters() {
        assert_eq!(quoted("short"), "short");
        assert_eq!(quoted(&"x".repeat(QUOTED)), "x".repeat(QUOTED));
        let long = "ü".repeat(QUOTED);
        assert_eq!(quoted(&long), format!("{}...", "ü".repeat(QUOTED / 2)));
        assert_eq!(quoted(&format!("x{long}")).len(), QUOTED - 1 + "...".len());
    }

    #[test]
    fn a_body_costs_by_its_bytes_and_values() {
        let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
        assert_eq!(decode_cost(text.as_bytes()), text.len() * PER_BYTE + PER_VALUE);
        let dense = format!("[{}1]", "1,".repeat(1 << 19));
        assert!(decode_cost(dense.as_bytes()) > dense.len() * 48);
        assert!(decode_cost(b"{}") < 4096);
    }
}
