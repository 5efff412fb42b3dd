//! Names of losses, in the spelling of the client whose request is being encoded.
//!
//! Each format says how it calls what the IR calls otherwise. Encoders of other formats need it to tell the client what
//! they could not carry, and formats do not import each other.

use serde_json::value::RawValue;

use crate::format::bounds;
use crate::ir::{Extra, Losses, Part, Request, Role, Turn};

/// How one format spells things.
#[derive(Debug)]
pub struct Spelling {
    /// System turns stand in a member of their own.
    pub system: Option<&'static str>,
    /// A turn's parts stand in one list; otherwise tool calls and reasoning have members of their own.
    pub one_list: bool,
    /// Members of a message that hold its reasoning, where it has no parts; what is signed or redacted stands in the last.
    pub reasoning: &'static [&'static str],
    /// A citation belongs to its text; otherwise to the whole message, as one of these.
    pub annotations: Option<&'static str>,
    /// IR name and the format's, where they differ. Of several, the first whose spelling the client left counts, else
    /// the last.
    pub fields: &'static [(&'static str, &'static str)],
}

/// Where a part is: its turn, its number there, and its number inside that part if that is a tool result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) turn: usize,
    part: usize,
    inner: Option<usize>,
}

impl Place {
    pub(crate) fn new(turn: usize, part: usize) -> Self {
        Self { turn, part, inner: None }
    }

    /// A part of the tool result that is here.
    pub(crate) fn inside(self, inner: usize) -> Self {
        Self { inner: Some(inner), ..self }
    }
}

/// Writes losses of one request down, in its own spelling.
pub(crate) struct Noted<'a> {
    request: &'a Request,
    /// The format encoded to; its own members are no loss.
    to: &'static str,
    /// The target takes `cache_control`.
    caches: bool,
    spelling: Option<&'static Spelling>,
    /// For each row of [`Spelling::fields`], whether the client left its spelling. Looked up once: a request has as many
    /// spellings as its client likes, and as many losses.
    spelled: Vec<bool>,
    /// The turn whose unsigned, and the one whose signed reasoning was noted last: all of it has one path.
    reasoning: [Option<usize>; 2],
    losses: &'a mut Losses,
}

impl<'a> Noted<'a> {
    pub(crate) fn new(request: &'a Request, to: &'static str, losses: &'a mut Losses) -> Self {
        let format = super::INBOUND.iter().find(|format| format.name() == request.extra.format);
        let spelling = format.map(|format| format.spelling());
        let fields = spelling.map_or(&[][..], |row| row.fields);
        let mut spelled = vec![false; fields.len()];
        for (have, _) in &request.extra.spelling {
            for (row, (_, name)) in spelled.iter_mut().zip(fields) {
                *row |= name.split('.').next() == Some(have);
            }
        }
        Self { request, to, caches: false, spelling, spelled, reasoning: [None; 2], losses }
    }

    /// The encoder carries every `cache_control` over, so none of them is a loss.
    pub(crate) fn with_cache_control(mut self) -> Self {
        self.caches = true;
        self
    }

    /// The request came in the format it is encoded to.
    pub(crate) fn same_format(&self) -> bool {
        self.request.extra.format == self.to
    }

    fn name(&self, field: &'static str) -> &'static str {
        let fields = self.spelling.map_or(&[][..], |row| row.fields);
        let mut rows = fields.iter().zip(&self.spelled).filter(|((ir, _), _)| *ir == field);
        let named = rows.clone().find(|(_, spelled)| **spelled).or_else(|| rows.next_back());
        named.map_or(field, |((_, name), _)| *name)
    }

    /// A member of the request, by its IR name.
    pub(crate) fn field(&mut self, field: &'static str) {
        let name = self.name(field);
        self.losses.drop_field(name);
    }

    /// A member of a tool, by its IR name; the tool as a whole if empty.
    pub(crate) fn tool(&mut self, index: usize, field: &'static str) {
        if self.losses.is_full() {
            return;
        }
        let dot = if field.is_empty() { "" } else { "." };
        let search = self.request.tools.get(index).is_some_and(|tool| tool.web_search.is_some());
        if let Some(name) = self.spelling.filter(|row| search && !row.one_list).map(|_| self.name("web_search")) {
            // Not one of the tools there.
            return self.losses.drop_field(format!("{name}{dot}{field}"));
        }
        let name = self.name(field);
        self.losses.drop_field(format!("tools[{index}]{dot}{name}"));
    }

    /// Something about a turn.
    pub(crate) fn turn(&mut self, index: usize, what: &str) {
        if !self.losses.is_full() {
            let path = self.turn_path(index);
            self.losses.drop_field(format!("{path}.{what}"));
        }
    }

    /// A part, or with `what` something about it.
    pub(crate) fn part(&mut self, at: Place, what: &str) {
        if self.losses.is_full() || what.is_empty() && self.is_noted_reasoning(at) {
            return;
        }
        let path = self.part_path(at);
        let dot = if what.is_empty() { "" } else { "." };
        self.losses.drop_field(format!("{path}{dot}{what}"));
    }

    /// Reasoning whose loss was just noted, in formats where all reasoning of a message is one member.
    fn is_noted_reasoning(&mut self, Place { turn, part, inner }: Place) -> bool {
        let one_list = self.spelling.is_some_and(|row| row.one_list);
        let here = self.request.turns.get(turn).and_then(|turn| turn.parts.get(part));
        let Some(Part::Reasoning { signature, .. }) = here.filter(|_| inner.is_none() && !one_list) else {
            return false;
        };
        let signed = signature.as_deref().is_some_and(|text| !text.is_empty());
        let [unsigned, with] = &mut self.reasoning;
        let last = if signed { with } else { unsigned };
        last.replace(turn) == Some(turn)
    }

    /// The citations of a text.
    pub(crate) fn citations(&mut self, at: Place) {
        match self.spelling.and_then(|row| row.annotations) {
            Some(name) => self.turn(at.turn, name),
            None => self.part(at, "citations"),
        }
    }

    /// Members nobody interpreted, unless the format encoded to is their own.
    pub(crate) fn extra(&mut self, path: &dyn Fn(&Self) -> String, extra: &Extra) {
        if extra.format == self.to || self.losses.is_full() || !self.loses(extra) {
            return;
        }
        // To find it takes as many steps as its list is long, so only where something is lost.
        let path = path(self);
        let dot = if path.is_empty() { "" } else { "." };
        for (name, _) in extra.members.iter().filter(|(name, _)| !(self.caches && name == "cache_control")) {
            if self.losses.is_full() {
                return;
            }
            self.losses.drop_field(format!("{path}{dot}{}", bounds::quoted(name)));
        }
        for (name, inner) in &extra.nested {
            self.extra(&|_| format!("{path}{dot}{name}"), inner);
        }
    }

    fn loses(&self, extra: &Extra) -> bool {
        let lost = |(name, _): &(String, _)| !(self.caches && name == "cache_control");
        extra.members.iter().any(lost) || extra.nested.iter().any(|(_, inner)| self.loses(inner))
    }

    pub(crate) fn turn_path(&self, index: usize) -> String {
        match (self.spelling.and_then(|row| row.system), self.request.turns.first()) {
            // Only the first turn can come from the member apart; it has no message object, thus no extra.
            (Some(name), Some(Turn { role: Role::System, extra, .. })) if extra.format.is_empty() => match index {
                0 => name.to_owned(),
                _ => format!("messages[{}]", index - 1),
            },
            _ => format!("messages[{index}]"),
        }
    }

    pub(crate) fn part_path(&self, at: Place) -> String {
        let outer = self.outer_path(at);
        match at.inner {
            Some(inner) => format!("{outer}.content[{inner}]"),
            None => outer,
        }
    }

    fn outer_path(&self, Place { turn, part, .. }: Place) -> String {
        let path = self.turn_path(turn);
        let Some(Turn { parts, extra, .. }) = self.request.turns.get(turn) else { return path };
        let before = parts.get(..part).unwrap_or_default();
        let calls = |part: &&Part| matches!(part, Part::ToolCall { .. });
        if self.spelling.is_some_and(|row| row.one_list) {
            let list = if path == "system" { "" } else { ".content" };
            return format!("{path}{list}[{part}]");
        }
        match parts.get(part) {
            Some(Part::ToolCall { .. }) => format!("{path}.tool_calls[{}]", before.iter().filter(calls).count()),
            Some(Part::Reasoning { signature, .. }) => {
                let names = self.spelling.map_or(&[][..], |row| row.reasoning);
                let said = |raw: &RawValue| !matches!(raw.get(), "null" | "\"\"");
                let sent = |name: &&&str| {
                    extra.spelling.iter().chain(&extra.members).any(|(have, raw)| have == **name && said(raw))
                };
                let mut sent = names.iter().filter(sent);
                let name = match signature.as_deref() {
                    None | Some("") => sent.next().or(names.first()),
                    Some(_) => sent.next_back().or(names.last()),
                };
                format!("{path}.{}", name.unwrap_or(&"reasoning"))
            }
            Some(Part::Refusal(_)) => format!("{path}.refusal"),
            Some(Part::ToolResult { .. }) | None => path,
            Some(Part::Text { .. } | Part::Image(_) | Part::Document(_) | Part::Opaque { .. }) => {
                let aside = |part: &&Part| calls(part) || matches!(part, Part::Reasoning { .. } | Part::Refusal(_));
                format!("{path}.content[{}]", part - before.iter().filter(aside).count())
            }
        }
    }
}
