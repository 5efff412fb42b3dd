//! What servers of this format do otherwise than OpenAI: a closed list, as data, and how a request is bent to it.
//!
//! Two ways lead to such a server. A request of another format is encoded for it (here): what it has no word for is told
//! otherwise or left out, and noted. A client's own body of this format is mended (`mend`): a member is renamed where
//! the meaning stays, and taken out, and noted, where the server would refuse the body whatever else it says. What only
//! some of its models refuse goes on as the client said it, since the server's own words are the better answer then.
//!
//! Does not: know models. Does not keep what a server overlooks: that costs nobody anything.
//!
//! Decision: twelve members and no closure. Rejected: a hook a vendor, which ends as code a vendor; whoever needs more
//! than these is a format of its own.

use std::borrow::Cow;

use serde_json::Number;
use serde_json::value::RawValue;

use super::NAME;
use crate::format::loss::{Noted, Place};
use crate::ir::{Extra, Part, Reasoning, Turn};
use crate::json::ObjectWriter;

/// A server that speaks the format with deviations.
#[derive(Debug, Clone, Copy)]
pub struct Compatible {
    /// Knows `stream_options`. Those that do not refuse it and send usage unasked.
    pub stream_options: bool,
    /// Knows `max_completion_tokens`, the newer name of `max_tokens`.
    pub max_completion_tokens: bool,
    /// Its name of `seed`.
    pub seed: &'static str,
    /// Members of the body it refuses; all of them in [`crate::scan::ASIDE`].
    pub refuses: &'static [&'static str],
    /// Takes the `name` of a message. Those that do not refuse it.
    pub message_names: bool,
    /// Knows the role `developer`. Those that do not refuse it and know `system` alone.
    pub developer: bool,
    /// Knows JSON schemas as output. Those that do not know JSON without a schema.
    pub json_schema: bool,
    /// Can be made to call a tool.
    pub forced_tools: bool,
    /// How it is asked to think.
    pub reasoning: Ask,
    /// What becomes of earlier thinking in the conversation.
    pub memory: Memory,
    /// Knows Anthropic's `cache_control` on texts, tools and the request as a whole.
    pub cache_control: bool,
    /// Every model of it knows `web_search_options`.
    pub web_search: bool,
}

/// How a server is asked to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// `reasoning_effort`, one of these words.
    Effort(&'static [&'static str]),
    /// `reasoning` with `effort` or `max_tokens`, as OpenRouter has it.
    Object,
    /// `thinking` is enabled or disabled, and `reasoning_effort` is one of these words, if there are any.
    Switch(&'static [&'static str]),
}

/// What a server does with the thinking of an earlier answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Overlooks it.
    None,
    /// Refuses messages that hold it under other names than its own, and its own is not known or not every model's.
    Refused,
    /// Reads it as `reasoning_content`.
    Content,
    /// Reads it as `reasoning`, and refuses other names.
    Reasoning,
    /// Reads it as `reasoning_details`, signatures included.
    Details,
}

/// What most servers and models know of [`Ask::Effort`].
pub const COMMON_EFFORTS: &[&str] = &["low", "medium", "high"];

impl Compatible {
    /// OpenAI itself.
    pub const OPENAI: Self = Self {
        stream_options: true,
        max_completion_tokens: true,
        seed: "seed",
        refuses: &[],
        message_names: true,
        developer: true,
        json_schema: true,
        forced_tools: true,
        reasoning: Ask::Effort(&["minimal", "low", "medium", "high"]),
        memory: Memory::None,
        cache_control: false,
        web_search: false,
    };

    /// What most servers know that others than OpenAI have built.
    pub const COMMON: Self =
        Self { max_completion_tokens: false, reasoning: Ask::Effort(COMMON_EFFORTS), ..Self::OPENAI };

    /// Takes this member of the body.
    pub(super) fn takes(&self, name: &str) -> bool {
        !self.refuses.contains(&name)
    }
}

/// A number, unless the server refuses this member. `name` is OpenAI's, `own` the server's.
pub(super) fn number(
    o: &mut ObjectWriter<'_>,
    dialect: &Compatible,
    (name, own): (&'static str, &'static str),
    value: Option<&Number>,
    noted: &mut Noted<'_>,
) {
    if dialect.takes(name) {
        o.number(own, value);
    } else if value.is_some() {
        noted.field(name);
    }
}

/// Words of effort, weakest first.
const LADDER: &[&str] = &["minimal", "low", "medium", "high", "xhigh", "max"];

/// The word the server knows that comes closest; of two as close, the stronger.
pub(super) fn effort(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let step = |word: &str| LADDER.iter().position(|have| *have == word);
    let wanted = step(word).unwrap_or(LADDER.len());
    known.iter().rev().min_by_key(|known| step(known).map_or(usize::MAX, |at| at.abs_diff(wanted))).copied()
}

/// The effort that a number of tokens amounts to.
pub(super) fn effort_of(tokens: u64) -> &'static str {
    match tokens {
        0..=2048 => "low",
        2049..=8192 => "medium",
        _ => "high",
    }
}

/// Asks a server to think that has members of its own for it.
pub(super) fn reasoning(o: &mut ObjectWriter<'_>, ask: Ask, asked: &Reasoning, noted: &mut Noted<'_>) {
    match ask {
        Ask::Effort(_) => {}
        Ask::Object => match asked {
            // Models that always think refuse to be told not to.
            Reasoning::Off => noted.field("reasoning"),
            Reasoning::Auto => o.object("reasoning", |inner| inner.bool("enabled", true)),
            Reasoning::Budget(tokens) => o.object("reasoning", |inner| inner.u64("max_tokens", *tokens)),
            Reasoning::Effort(word) => {
                let known = effort(word, LADDER).filter(|known| *known != "max").unwrap_or("xhigh");
                if known != word {
                    noted.field("effort");
                }
                o.object("reasoning", |inner| inner.str("effort", known));
            }
        },
        Ask::Switch(words) => {
            let switch = if *asked == Reasoning::Off { "disabled" } else { "enabled" };
            o.object("thinking", |inner| inner.str("type", switch));
            let word = match asked {
                Reasoning::Off | Reasoning::Auto => return,
                Reasoning::Effort(word) => {
                    if !words.contains(&word.as_str()) {
                        noted.field("effort");
                    }
                    word
                }
                Reasoning::Budget(tokens) => {
                    noted.field("reasoning");
                    effort_of(*tokens)
                }
            };
            if let Some(known) = effort(word, words) {
                o.str("reasoning_effort", known);
            }
        }
    }
}

/// The thinking of one assistant turn of another format, as far as the server reads it.
pub(super) fn memory(o: &mut ObjectWriter<'_>, memory: Memory, i: usize, turn: &Turn, noted: &mut Noted<'_>) {
    let mut texts = String::new();
    let mut details = Vec::new();
    for (j, part) in turn.parts.iter().enumerate() {
        let Part::Reasoning { text, signature, redacted } = part else { continue };
        let at = Place::new(i, j);
        let signature = signature.as_deref().filter(|text| !text.is_empty());
        match memory {
            Memory::None | Memory::Refused => noted.part(at, ""),
            Memory::Content | Memory::Reasoning if *redacted => noted.part(at, ""),
            Memory::Content | Memory::Reasoning => {
                texts.push_str(text);
                if signature.is_some() {
                    noted.part(at, "signature");
                }
            }
            Memory::Details => details.push((text, signature, *redacted)),
        }
    }
    if !texts.is_empty() {
        o.str(if memory == Memory::Reasoning { "reasoning" } else { "reasoning_content" }, &texts);
    }
    if details.is_empty() {
        return;
    }
    o.array("reasoning_details", |a| {
        for (text, signature, redacted) in details {
            a.object(|detail| {
                if redacted {
                    detail.str("type", "reasoning.encrypted");
                    detail.str("data", signature.unwrap_or_default());
                } else {
                    detail.str("type", "reasoning.text");
                    detail.str("text", text);
                    if let Some(signature) = signature {
                        detail.str("signature", signature);
                    }
                }
            });
        }
    });
}

/// The cache marker of something of another format, if the server knows such markers.
pub(super) fn marker<'e>(dialect: &Compatible, extra: &'e Extra) -> Option<&'e RawValue> {
    extra.cache_control().filter(|_| dialect.cache_control && extra.format != NAME)
}

/// What of these members is a loss once the cache marker is carried over.
pub(super) fn unmarked<'e>(dialect: &Compatible, extra: &'e Extra) -> Cow<'e, Extra> {
    if marker(dialect, extra).is_none() {
        return Cow::Borrowed(extra);
    }
    let mut rest = extra.clone();
    rest.members.retain(|(name, _)| name != "cache_control");
    Cow::Owned(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effort_the_server_does_not_know_becomes_the_nearest_it_does() {
        for (word, known, expected) in [
            ("minimal", COMMON_EFFORTS, Some("low")),
            ("medium", COMMON_EFFORTS, Some("medium")),
            ("max", COMMON_EFFORTS, Some("high")),
            ("medium", &["low", "high", "max"], Some("high")),
            ("xhigh", &["low", "high", "max"], Some("max")),
            ("ludicrous", &["low", "high"], Some("high")),
            ("low", &[], None),
        ] {
            assert_eq!(effort(word, known), expected, "{word} of {known:?}");
        }
    }

    #[test]
    fn openai_is_not_particular() {
        assert!(Compatible::OPENAI.takes("user") && Compatible::COMMON.takes("user"));
        assert!(!super::super::mend::is_particular(&Compatible::OPENAI));
        assert!(!super::super::mend::is_particular(&Compatible::COMMON));
    }
}
