//! One pass over a request body: what routing needs, as byte ranges, without building a document.
//!
//! Does not: change a body (that is [`splice`] with [`Edit`]s) or look at members routing has no use for.
//!
//! Decision: the pass is serde_json's own, with every value left raw; positions come from where the raw text lies in
//! the body. So syntax is checked by the parser everybody uses. Rejected: a scanner of our own, which would be one more
//! opinion on what JSON is, and two opinions on one body are a way past a policy.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::format::Malformed;
use crate::json;
use crate::json::find::Name;

mod inside;
mod list;
mod name;
mod own;
mod reach;
pub mod routing;
mod twin;
mod usage;

pub use inside::Inside;
pub use list::List;
pub use name::{LONGEST_NAME, MOST_FALLBACKS};
pub use reach::{Prompt, Reach};
use routing::{ROUTING, Routing};

/// One member of the top-level object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// From the byte after the previous member (or the opening brace) to the end of this value: removing a member
    /// means cutting this range and one comma.
    pub whole: Range<usize>,
    /// The name alone, with its quotes; empty in front of an item of a list.
    pub name: Range<usize>,
    /// The value alone.
    pub value: Range<usize>,
    /// Where the next member's name begins, if there is one.
    pub next: Option<usize>,
}

/// What one pass found. Ranges index the scanned body.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// `model`, unescaped.
    pub model: Option<String>,
    /// Where it is.
    pub model_at: Option<Member>,
    /// `stream` is true.
    pub stream: bool,
    /// `stream_options.include_usage` is true.
    pub include_usage: bool,
    /// Where `stream_options` is.
    pub stream_options_at: Option<Member>,
    /// Inside `stream_options`: the edit that makes `include_usage` true.
    pub include_usage_edit: Option<Edit>,
    /// `fallbacks`, Attaché's own member: models to try after the first.
    pub fallbacks: Vec<String>,
    /// Where it is.
    pub fallbacks_at: Option<Member>,
    /// `max_completion_tokens`, else `max_tokens`.
    pub max_tokens: Option<u64>,
    /// Where `max_tokens` is.
    pub max_tokens_at: Option<Member>,
    /// Where `max_completion_tokens` is.
    pub max_completion_tokens_at: Option<Member>,
    /// Where `messages` is.
    pub messages_at: Option<Member>,
    /// Somewhere in it a `signature` is the empty string: an answer of this gateway came back that nobody had signed.
    pub unsigned: bool,
    /// Where the members of [`ASIDE`] are that the body has.
    pub aside: Vec<(&'static str, Member)>,
    /// Where the members of [`TERMS`] are that the body has.
    pub terms: Vec<(&'static str, Range<usize>)>,
    /// What it asks for beside `model`.
    pub routing: Routing,
    /// Members of [`ROUTING`] that one provider is not to see.
    pub withheld: Vec<&'static str>,
    /// What the names of the members say of the prompt the model will see, at providers of any format.
    pub reach: Reach,
    /// Number of members; tells whether an insertion needs a comma.
    pub members: usize,
    /// Position after the opening brace.
    pub start: usize,
    /// Position of the closing brace.
    pub end: usize,
    /// Length of the scanned body.
    pub len: usize,
}

/// One change to a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Bytes to replace; empty to insert.
    pub range: Range<usize>,
    /// What stands there instead.
    pub with: Vec<u8>,
}

impl Scan {
    /// The edit that removes one member and one comma, so that the rest stays an object. To remove several from one
    /// body use [`Scan::remove_all`]: two neighbours would both claim the comma between them.
    #[must_use]
    pub fn remove(&self, member: &Member) -> Edit {
        cut(member, member.whole.start == self.start)
    }

    /// The edits that remove several members.
    #[must_use]
    pub fn remove_all(&self, members: &[&Member]) -> Vec<Edit> {
        cut_all(self.start, members)
    }

    /// Where a member of [`ASIDE`] is.
    #[must_use]
    pub fn aside(&self, name: &str) -> Option<&Member> {
        self.aside.iter().find(|(have, _)| *have == name).map(|(_, at)| at)
    }

    /// Where the value of a member of [`TERMS`] is.
    #[must_use]
    pub fn term(&self, name: &str) -> Option<Range<usize>> {
        self.terms.iter().find(|(have, _)| *have == name).map(|(_, at)| at.clone())
    }

    /// Members that providers of another format never see, under which one of this format may work beyond.
    fn own_members(&self) -> impl Iterator<Item = (&'static str, Range<usize>)> {
        let routing = self.routing.members.iter().map(|(name, at)| (*name, at.value.clone()));
        self.terms.iter().cloned().chain(routing).filter(|(name, _)| own::is_own(name))
    }

    /// The edit that adds one member at the end of an object that keeps at least one. `json` is its value.
    #[must_use]
    pub fn insert(&self, name: &str, json: &str) -> Edit {
        let comma = if self.members == 0 { "" } else { "," };
        Edit { range: self.end..self.end, with: format!("{comma}{}:{json}", quoted(name)).into_bytes() }
    }
}

fn cut_all(start: usize, members: &[&Member]) -> Vec<Edit> {
    let mut order = members.to_vec();
    order.sort_by_key(|member| member.whole.start);
    // Members at the head of the object take the comma after them, all others the one before.
    let mut head = Some(start);
    let edits = order.into_iter().map(|member| {
        let first = head == Some(member.whole.start) || head == Some(member.name.start);
        head = if first { member.next } else { None };
        cut(member, first)
    });
    edits.collect()
}

fn cut(member: &Member, first: bool) -> Edit {
    let range = if first { member.name.start..member.next.unwrap_or(member.whole.end) } else { member.whole.clone() };
    Edit { range, with: Vec::new() }
}

/// Text as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Finds what routing needs, and checks that the whole body is one JSON object in UTF-8.
///
/// # Errors
/// Not such an object, a member of the wrong type, or a member of [`Scan`] that is there twice: which of two a provider
/// believes is its own affair, so none could be checked against a policy.
pub fn scan(body: &[u8]) -> Result<Scan, Malformed> {
    let text = std::str::from_utf8(body)
        .map_err(|e| Malformed { path: String::new(), message: format!("not UTF-8 at byte {}", e.valid_up_to()) })?;
    let mut pass = Pass { top: true, ..Pass::of(text, [NAMES, ASIDE, TERMS, ROUTING]) };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(&mut pass).and_then(|()| deserializer.end()).map_err(|e| Malformed::syntax(&e))?;
    let Pass { start, members, mut found, twice, twin, reach, .. } = pass;
    if let Some(name) = twice {
        return Err(Malformed { path: name.to_owned(), message: "appears twice, expected once".to_owned() });
    }
    if let Some((name, known)) = twin {
        return Err(twin::malformed(&name, known));
    }
    found.sort_by_key(|found| NAMES.iter().position(|name| *name == found.name));
    let end = text.rfind('}').unwrap_or_default();
    let mut scan = Scan { start, members, reach, end, len: body.len(), ..Scan::default() };
    for found in found {
        scan.take(found)?;
    }
    Ok(scan)
}

/// Names routing asks about. The newer bound on the answer comes last, so that it outranks the older one.
const NAMES: &[&str] =
    &["model", "stream", "stream_options", "fallbacks", "messages", "max_tokens", "max_completion_tokens"];

/// Members that routing has no use for, and that some provider of the client's own format refuses or calls otherwise.
pub const ASIDE: &[&str] = &[
    "audio",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "modalities",
    "presence_penalty",
    "safety_identifier",
    "seed",
    "service_tier",
    "store",
    "top_logprobs",
    "user",
    "verbosity",
    "web_search_options",
];

/// Members that say on which terms a request is served: how often, where, how soon, with which tools, how long its prompt
/// is kept, what the vendor does besides.
pub const TERMS: &[&str] = &[
    "best_of",
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "n",
    "prediction",
    "prompt_cache_options",
    "search_parameters",
    "speed",
    "tools",
];

/// One member that was asked for.
struct Found<'a> {
    name: &'static str,
    value: &'a RawValue,
    at: Member,
}

/// State of one pass.
struct Pass<'a> {
    body: &'a str,
    names: [&'static [&'static str]; 4],
    start: usize,
    members: usize,
    found: Vec<Found<'a>>,
    twice: Option<&'static str>,
    /// A name as it is spelled, and the one it stands for.
    twin: Option<(String, &'static str)>,
    reach: Reach,
    /// The object is the body itself.
    top: bool,
}

impl<'a> Pass<'a> {
    fn of(body: &'a str, names: [&'static [&'static str]; 4]) -> Self {
        Self {
            body,
            names,
            start: 0,
            members: 0,
            found: Vec::new(),
            twice: None,
            twin: None,
            reach: Reach::Said,
            top: false,
        }
    }

    fn range(&self, raw: &RawValue) -> Range<usize> {
        place(self.body, raw)
    }
}

/// Where a raw value lies in the body it was borrowed from.
fn place(body: &str, raw: &RawValue) -> Range<usize> {
    let start = (raw.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    start..start + raw.get().len()
}

/// Somewhere in this JSON a `signature` is the empty string. A search for the word decides it, nothing is parsed.
#[must_use]
pub fn empty_signature(json: &str) -> bool {
    static SIGNATURE: Name = Name::new(b"\"signature\"");
    SIGNATURE.begins(json.as_bytes(), b"\"\"")
}

impl<'a> Visitor<'a> for &mut Pass<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        self.start = self.body.find('{').map_or(0, |open| open + 1);
        let mut after = self.start;
        while let Some(key) = map.next_key::<&'a RawValue>()? {
            let value = map.next_value::<&'a RawValue>()?;
            self.members += 1;
            let at = Member {
                whole: after..self.range(value).end,
                name: self.range(key),
                value: self.range(value),
                next: None,
            };
            if let Some(last) = self.found.last_mut().filter(|last| last.at.whole.end == after) {
                last.at.next = Some(at.name.start);
            }
            after = at.whole.end;
            let text = json::text(key, "").map_err(|e| M::Error::custom(e.message))?;
            if let Some(name) = self.names.iter().copied().flatten().copied().find(|name| *name == text) {
                if self.found.iter().any(|found| found.name == name) {
                    self.twice = Some(name);
                } else {
                    self.found.push(Found { name, value, at });
                }
            }
            if self.top {
                if !own::is_own(&text) {
                    self.reach = self.reach.max(Reach::of(&text));
                }
                if self.twin.is_none() {
                    self.twin = twin::known(&text).map(|known| (text.into_owned(), known));
                }
            }
        }
        Ok(())
    }
}

impl Scan {
    fn take(&mut self, Found { name, value, at }: Found<'_>) -> Result<(), Malformed> {
        let null = value.get() == "null";
        match name {
            "model" => {
                self.model = Some(name::name(value, name)?);
                self.model_at = Some(at);
            }
            "stream" => self.stream = !null && boolean(value, name)?,
            "stream_options" => {
                self.include_usage_edit = usage::include(value, at.value.start)?;
                self.include_usage = self.include_usage_edit.is_none();
                self.stream_options_at = Some(at);
            }
            "fallbacks" => {
                self.fallbacks = if null { Vec::new() } else { name::fallbacks(value)? };
                self.fallbacks_at = Some(at);
            }
            "messages" => {
                self.unsigned = empty_signature(value.get());
                self.messages_at = Some(at);
            }
            name if TERMS.contains(&name) => self.terms.push((name, at.value)),
            name if ROUTING.contains(&name) => self.routing.take(name, value, at),
            name if ASIDE.contains(&name) => self.aside.push((name, at)),
            _ => {
                // Servers of open models take a negative number for no bound.
                if !(null || json::is_negative(value)) {
                    let bound = json::whole(value.get());
                    self.max_tokens = Some(bound.ok_or_else(|| Malformed::expected(name, value, "whole number"))?);
                }
                let newer = name == "max_completion_tokens";
                let place = if newer { &mut self.max_completion_tokens_at } else { &mut self.max_tokens_at };
                *place = Some(at);
            }
        }
        Ok(())
    }
}

fn boolean(value: &RawValue, path: &str) -> Result<bool, Malformed> {
    serde_json::from_str(value.get()).map_err(|_| Malformed::expected(path, value, "boolean"))
}

/// Applies edits. One that lies outside the body, or over an earlier one, is left out.
#[must_use]
pub fn splice(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut order: Vec<&Edit> = edits.iter().collect();
    order.sort_by_key(|edit| edit.range.start);
    let added: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let mut out = Vec::with_capacity(body.len() + added);
    let mut done = 0;
    for edit in order {
        if edit.range.start < done || edit.range.start > edit.range.end {
            continue;
        }
        let (Some(kept), Some(_)) = (body.get(done..edit.range.start), body.get(edit.range.clone())) else { continue };
        out.extend_from_slice(kept);
        out.extend_from_slice(&edit.with);
        done = edit.range.end;
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests;
