//! How far a request reaches beyond its own bytes: what a vendor adds to the prompt that the model sees.
//!
//! A byte-level tokenizer never makes more tokens than bytes, and the JSON around a message is longer than the
//! template's tokens for it. So the body's length bounds the prompt, unless it *names* what is not in it (an image by
//! address), or has the vendor write more (instructions for tools, results of a search).
//!
//! Does not: count tokens, or know a vendor's template; see `engine::govern::size`.
//!
//! Decision: known-harmless names and types are listed, and whatever else is there counts as more. Only members of the
//! top level and tools that are known to bring unbounded text are listed the other way round, since anything may be a
//! member that is unknown here. Found by searching, not by parsing: this runs on the hot path of requests under a limit.
//! Rejected: decoding the request; it costs ten times as much and knows no more.

use std::ops::Range;

use serde_json::value::RawValue;

use super::own::{SHARED, is_harmless};
use super::routing::ROUTING;
use super::{List, Member, Scan};
use crate::json;
use crate::json::find::{self, Name};

/// What is to be expected besides the bytes of the body. The later outweighs the earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Nothing but the vendor's template.
    #[default]
    Said,
    /// Instructions that the vendor writes for it: tools, a schema of the answer.
    Instructed,
    /// What is not text, or lies elsewhere: only the model's window bounds it.
    Media,
    /// Work that the vendor does in between, on prompts nobody can foresee: searches, code, other models.
    Beyond,
}

/// Members that add nothing to the prompt but what they say.
pub(super) const SAID: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "stream",
    "stream_options",
    "system",
    "temperature",
    "top_p",
    "top_k",
    "n",
    "stop",
    "stop_sequences",
    "seed",
    "user",
    "metadata",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "store",
    "service_tier",
    "speed",
    "inference_geo",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "cache_control",
    "parallel_tool_calls",
    "fallbacks",
];

/// Members under which a vendor searches or calls servers, or bills words of the client as the answer's. So are those of
/// [`ROUTING`], under which it asks other models.
pub(super) const BEYOND: &[&str] =
    &["container", "context_management", "mcp_servers", "prediction", "search_parameters", "web_search_options"];

/// Values of `type` that stand for text and for nothing else: parts, tools, markers, and the types of JSON Schema.
const TEXTS: &[&str] = &[
    "text",
    "string",
    "object",
    "function",
    "tool_use",
    "tool_result",
    "thinking",
    "redacted_thinking",
    "refusal",
    "array",
    "number",
    "integer",
    "boolean",
    "null",
    "custom",
    "ephemeral",
    "enabled",
    "disabled",
    "adaptive",
    "auto",
    "any",
    "tool",
    "none",
    "json_schema",
    "json_object",
    "grammar",
    // How an image or a document is given, which has a type of its own.
    "base64",
    "url",
];

/// Anthropic's tools that the client itself carries out; the version's date follows.
const CLIENTS: &[&str] = &["bash_", "computer_", "memory_", "str_replace_", "text_editor_"];

impl Reach {
    /// What a top-level member of this name says.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            _ if SAID.contains(&name) => Self::Said,
            _ if BEYOND.contains(&name) || ROUTING.contains(&name) => Self::Beyond,
            _ => Self::Instructed,
        }
    }

    /// What a value of `type` says.
    fn of_type(value: &str) -> Self {
        let date = value.rsplit_once('_').map_or("", |(_, date)| date);
        let dated = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
        match value {
            _ if TEXTS.contains(&value) => Self::Said,
            _ if dated && CLIENTS.iter().any(|name| value.starts_with(name)) => Self::Instructed,
            _ if dated || value.contains([':', '\\']) || value.starts_with("web_search") => Self::Beyond,
            _ => Self::Media,
        }
    }
}

/// What a search through a whole body finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prompt {
    /// How far it reaches without its `own` member.
    reach: Reach,
    /// The member that lets it reach beyond text.
    way: &'static str,
    /// A member under which providers of its format work beyond, and which others never see.
    own: Option<&'static str>,
    /// Tools for which the vendor has long instructions of its own.
    pub tools: u64,
    /// Parts that are not text.
    pub media: u64,
    /// Bytes of their encoded data.
    pub data: u64,
    /// A part of it is to stay in the vendor's cache for longer than by default.
    pub long_cache: bool,
}

impl Prompt {
    /// Looks through a body that has been scanned.
    #[must_use]
    pub fn of(scan: &Scan, body: &[u8]) -> Self {
        let (mut prompt, mut disguised) = (Self { reach: scan.reach, ..Self::default() }, None);
        if prompt.reach == Reach::Beyond {
            prompt.way = SHARED.iter().find(|name| scan.aside(name).is_some()).copied().unwrap_or_default();
        }
        let apart: Vec<_> = scan.own_members().collect();
        prompt.own = apart.iter().find(|(name, at)| !is_harmless(name, body.get(at.clone()))).map(|(name, _)| *name);
        // In one pass: without SIMD a search for each text of several bytes costs more than reading the request did.
        for at in memchr::memchr2_iter(b'"', b'\\', body) {
            let rest = body.get(at..).unwrap_or_default();
            // Some servers do not mind the case of a name.
            let value = |name: &[u8]| {
                let here = rest.get(..name.len()).is_some_and(|here| here.eq_ignore_ascii_case(name));
                let at = if here { find::value(rest, name.len()) } else { None };
                at.and_then(|at| rest.get(at..))
            };
            if let Some(value) = value(b"\"type\"") {
                if !apart.iter().any(|(_, range)| range.contains(&at)) {
                    prompt.part(value, || place(scan, at));
                }
            } else if let Some(value) = value(b"\"ttl\"") {
                // What Anthropic and OpenAI keep it for without being asked.
                prompt.long_cache |= !(value.starts_with(b"\"5m\"") || value.starts_with(b"\"30m\""));
            } else if disguised.is_none() && hides(body, at) {
                disguised = Some(place(scan, at));
            }
        }
        if prompt.media > 0 {
            prompt.data = encoded(body);
            let served = scan.term("tools").is_some_and(|tools| served(body, tools));
            if served {
                prompt.reaches(Reach::Beyond, || "tools");
            }
        }
        if let Some(place) = disguised {
            prompt.reaches(Reach::Beyond, || place);
            prompt.long_cache = true;
        }
        prompt
    }

    /// How far it reaches at a provider, and by which member if that is beyond text. `same`: a provider of the client's
    /// format.
    #[must_use]
    pub fn at(&self, same: bool) -> (Reach, &'static str) {
        match self.own.filter(|_| same) {
            Some(own) => (Reach::Beyond, own),
            None => (self.reach, self.way),
        }
    }

    fn reaches(&mut self, reach: Reach, place: impl FnOnce() -> &'static str) {
        if reach > self.reach {
            self.reach = reach;
            self.way = place();
        }
    }

    /// One more has this `type`.
    fn part(&mut self, value: &[u8], place: impl FnOnce() -> &'static str) {
        // A member called so of a schema or of somebody's data: no part, and no tool.
        let Some(word) = value.strip_prefix(b"\"") else { return };
        let word = word.split(|byte| *byte == b'"').next().unwrap_or_default();
        let reach = std::str::from_utf8(word).map_or(Reach::Beyond, Reach::of_type);
        self.tools += u64::from(reach == Reach::Instructed);
        self.media += u64::from(reach == Reach::Media);
        self.reaches(reach, place);
    }
}

/// The member of the body in which this place lies, as far as anybody keeps where it is.
fn place(scan: &Scan, at: usize) -> &'static str {
    let messages = scan.messages_at.as_ref().map(|messages| ("messages", messages.value.clone()));
    let members = messages.into_iter().chain(scan.term("tools").map(|tools| ("tools", tools)));
    members.into_iter().find(|(_, range)| range.contains(&at)).map(|(name, _)| name).unwrap_or_default()
}

/// One of these tools is none the client carries out. What stands deeper in a tool is somebody's schema.
fn served(body: &[u8], tools: Range<usize>) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return true };
    let Some(list) = List::find(text, tools.clone()) else { return text.get(tools) != Some("null") };
    let served = |item: &Member| {
        let tool = text.get(item.value.clone()).and_then(|tool| serde_json::from_str::<&RawValue>(tool).ok());
        let members = tool.map(json::members).unwrap_or_default();
        let mut words = members.iter().filter(|(name, _)| name.eq_ignore_ascii_case("type"));
        words.any(|(_, word)| Reach::of_type(word.get().trim_matches('"')) > Reach::Instructed)
    };
    list.items.iter().any(served)
}

/// Bytes of texts that are base64: after a `data:` address's mark, or as the value of a `data`.
fn encoded(body: &[u8]) -> u64 {
    static DATA: Name = Name::new(b"\"data\"");
    let values = DATA.values(body).filter_map(|value| value.strip_prefix(b"\""));
    let length = |text: &[u8]| memchr::memchr(b'"', text).unwrap_or(text.len());
    let mut sum = values.map(length).sum::<usize>();
    // One address ends where its string does: a text may say `;base64,` as often as it likes.
    let mut end = 0;
    for at in find::all(body, b";base64,") {
        if at >= end {
            let address = length(body.get(at..).unwrap_or_default());
            (sum, end) = (sum + address, at + address);
        }
    }
    sum as u64
}

/// Here a letter stands as an escape that no encoder needs (`\u0074ype`). Names are searched for by their bytes, so this
/// may hide one.
fn hides(body: &[u8], at: usize) -> bool {
    let (before, here) = body.split_at_checked(at).unwrap_or_default();
    let Some(code) = here.strip_prefix(b"\\u00").and_then(|code| code.get(..2)) else { return false };
    let slashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
    let code = std::str::from_utf8(code).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
    slashes % 2 == 0 && code.is_some_and(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Prompt {
        Prompt::of(&super::super::scan(body.as_bytes()).unwrap(), body.as_bytes())
    }

    fn reach(body: &str) -> Reach {
        found(body).at(true).0
    }

    #[test]
    fn text_and_schemas_are_text() {
        let body = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"\"type\":\"image\""}]}],
            "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":
            {"type":{"type":["string","null"]},"n":{"type" : "integer"}}}}}]}"#;
        assert_eq!(found(body), Prompt { reach: Reach::Instructed, ..Prompt::default() });
    }

    #[test]
    fn what_is_not_text_is_found_by_its_type() {
        for part in ["image_url", "image", "document", "input_audio", "file", "video_url", "heard_of_never"] {
            assert_eq!(
                reach(&format!(r#"{{"messages":[{{"content":[{{"type" :"{part}"}}]}}]}}"#)),
                Reach::Media,
                "{part}"
            );
        }
    }

    #[test]
    fn the_case_of_a_name_hides_nothing() {
        for body in [r#"{"m":[{"Type":"image_url"}]}"#, r#"{"m":[{"type":"text","TYPE":"image_url"}]}"#] {
            assert_eq!(reach(body), Reach::Media, "{body}");
        }
        let served = r#"{"tools":[{"Type":"image_generation"}],"messages":[]}"#;
        assert_eq!(reach(served), Reach::Beyond);
        assert!(found(r#"{"m":[{"cache_control":{"type":"ephemeral","TTL":"1h"}}]}"#).long_cache);
        let schema = r#"{"tools":[{"type":"function","parameters":{"properties":{"Type":{"type":"string"}}}}]}"#;
        assert_eq!(reach(schema), Reach::Instructed, "a property of somebody's schema is no part");
    }

    #[test]
    fn encoded_data_is_measured() {
        let body = r#"{"a":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
            {"type":"image","source":{"type":"base64","data" : "AAAAAAAA"}}]}"#;
        let found = found(body);
        assert_eq!((found.reach, found.media, found.data), (Reach::Media, 2, 4 + 8 + 8));
        assert_eq!(super::tests::found(r#"{"user":"x;base64,AAAA"}"#).data, 0);
    }

    #[test]
    fn a_vendors_own_tools_reach_beyond() {
        for tool in [
            "web_search_20250305",
            "code_execution_20260120",
            "openrouter:web_search",
            "web_search",
            "compact_20260112",
            "browser_search",
            "code_interpreter",
        ] {
            assert_eq!(reach(&format!(r#"{{"tools":[{{"type":"{tool}"}}]}}"#)), Reach::Beyond, "{tool}");
        }
        // Deeper down it is a schema or an example.
        let nested = r#"{"tools":[{"type":"function","function":{"parameters":{"default":{"type":"image"}}}}]}"#;
        assert_eq!(reach(nested), Reach::Media);
        assert_eq!(reach(r#"{"tools":"image","messages":[{"type":"image"}]}"#), Reach::Beyond, "no list");
        assert_eq!(reach(r#"{"tools":null,"messages":[{"type":"image"}]}"#), Reach::Media);
        let client = found(r#"{"tools":[{"type":"bash_20250124"},{"type":"memory_20250818"}]}"#);
        assert_eq!((client.reach, client.tools), (Reach::Instructed, 2));
    }

    #[test]
    fn nothing_hides_behind_escapes() {
        for body in
            [r#"{"t\u0079pe":"image"}"#, r#"{"type":"im\u0061ge"}"#, r#"{"a":"\\\u0074"}"#, r#"{"type":"image\/x"}"#]
        {
            assert_eq!(reach(body), Reach::Beyond, "{body}");
        }
        // What encoders do write, and an escaped backslash.
        for body in [r#"{"user":"\u003cb\u003e \u0026 \u007f \u0009 \u00e9"}"#, r#"{"user":"\\u0074"}"#] {
            assert_eq!(reach(body), Reach::Said, "{body}");
        }
        assert!(!hides(br"\u00", 0) && !hides(br"\u007", 0), "cut short");
    }

    #[test]
    fn a_longer_cache_is_seen() {
        let long = |body: &str| found(body).long_cache;
        assert!(long(r#"{"cache_control":{"type":"ephemeral","ttl": "1h"}}"#));
        assert!(!long(r#"{"cache_control":{"type":"ephemeral","ttl":"5m"}}"#));
        assert!(!long(r#"{"cache_control":{"type":"ephemeral"},"a":"\"ttl\":\"1h\""}"#));
    }

    #[test]
    fn names_at_the_top_are_told_apart() {
        assert_eq!(reach(r#"{"model":"m","messages":[],"temperature":1,"n":2}"#), Reach::Said);
        assert_eq!(reach(r#"{"model":"m","tools":[],"n":2}"#), Reach::Instructed);
        assert_eq!(reach(r#"{"model":"m","tools":[],"pl\u0075gins":[]}"#), Reach::Beyond);
    }

    #[test]
    fn terms_are_found_once() {
        let body = r#"{"n":2,"speed":"fast","inference_geo":"us"}"#;
        let scan = super::super::scan(body.as_bytes()).unwrap();
        let term = |name| scan.term(name).and_then(|at| body.get(at));
        assert_eq!((term("n"), term("speed"), term("best_of")), (Some("2"), Some("\"fast\""), None));
        assert!(super::super::scan(br#"{"n":1,"n":9}"#).is_err());
    }
}
