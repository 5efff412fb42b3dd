//! Names of losses, in the spelling of the client whose request is being encoded.
//!
//! A row a format: how it calls what the IR calls otherwise. Encoders of other formats need it to tell the client what
//! they could not carry, and formats do not import each other.

use crate::ir::{Extra, Losses, Part, Request, Role, Turn};

/// How one format spells things.
struct Spelling {
    format: &'static str,
    /// System turns stand in a member of their own.
    system: Option<&'static str>,
    /// A turn's parts stand in one list; otherwise tool calls and reasoning have members of their own.
    one_list: bool,
    /// IR name and the format's, where they differ. Of several, the first whose spelling the client left counts, else
    /// the last.
    fields: &'static [(&'static str, &'static str)],
}

const SPELLINGS: &[Spelling] = &[
    Spelling {
        format: super::openai_chat::NAME,
        system: None,
        one_list: false,
        fields: &[
            ("effort", "reasoning_effort"),
            ("output", "response_format"),
            ("parallel_tools", "parallel_tool_calls"),
            ("reasoning", "reasoning_effort"),
            ("strict", "function.strict"),
        ],
    },
    Spelling {
        format: super::anthropic::NAME,
        system: Some("system"),
        one_list: true,
        fields: &[
            ("effort", "output_config.effort"),
            ("output", "output_format"),
            ("output", "output_config.format"),
            ("parallel_tools", "tool_choice.disable_parallel_tool_use"),
            ("reasoning", "thinking"),
            ("stop", "stop_sequences"),
            ("user", "metadata.user_id"),
        ],
    },
];

/// Writes losses of one request down, in its own spelling.
pub(crate) struct Noted<'a> {
    request: &'a Request,
    /// The format encoded to; its own members are no loss.
    to: &'static str,
    spelling: Option<&'static Spelling>,
    losses: &'a mut Losses,
}

impl<'a> Noted<'a> {
    pub(crate) fn new(request: &'a Request, to: &'static str, losses: &'a mut Losses) -> Self {
        let spelling = SPELLINGS.iter().find(|row| row.format == request.extra.format);
        Self { request, to, spelling, losses }
    }

    /// The request came in the format it is encoded to.
    pub(crate) fn same_format(&self) -> bool {
        self.request.extra.format == self.to
    }

    fn name(&self, field: &'static str) -> &'static str {
        let fields = self.spelling.map_or(&[][..], |row| row.fields);
        let mut names = fields.iter().filter(|(ir, _)| *ir == field).map(|(_, name)| *name);
        let spelled = |name: &&str| self.request.extra.spelling.iter().any(|(have, _)| have == name);
        names.clone().find(spelled).or_else(|| names.next_back()).unwrap_or(field)
    }

    /// A member of the request, by its IR name.
    pub(crate) fn field(&mut self, field: &'static str) {
        let name = self.name(field);
        self.losses.drop_field(name);
    }

    /// A member of a tool, by its IR name; the tool as a whole if empty.
    pub(crate) fn tool(&mut self, index: usize, field: &'static str) {
        let dot = if field.is_empty() { "" } else { "." };
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
    pub(crate) fn part(&mut self, turn: usize, part: usize, what: &str) {
        if self.losses.is_full() {
            return;
        }
        let path = self.part_path(turn, part);
        let dot = if what.is_empty() || what.starts_with('[') { "" } else { "." };
        self.losses.drop_field(format!("{path}{dot}{what}"));
    }

    /// Members nobody interpreted, unless the format encoded to is their own.
    pub(crate) fn extra(&mut self, path: &dyn Fn(&Self) -> String, extra: &Extra) {
        if extra.members.is_empty() && extra.nested.is_empty() || extra.format == self.to || self.losses.is_full() {
            return;
        }
        let path = path(self);
        let dot = if path.is_empty() { "" } else { "." };
        for (name, _) in &extra.members {
            self.losses.drop_field(format!("{path}{dot}{name}"));
        }
        for (name, inner) in &extra.nested {
            self.extra(&|_| format!("{path}{dot}{name}"), inner);
        }
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

    pub(crate) fn part_path(&self, turn: usize, part: usize) -> String {
        let path = self.turn_path(turn);
        let Some(parts) = self.request.turns.get(turn).map(|turn| turn.parts.as_slice()) else { return path };
        let before = parts.get(..part).unwrap_or_default();
        let calls = |part: &&Part| matches!(part, Part::ToolCall { .. });
        if self.spelling.is_some_and(|row| row.one_list) {
            let list = if path == "system" { "" } else { ".content" };
            return format!("{path}{list}[{part}]");
        }
        match parts.get(part) {
            Some(Part::ToolCall { .. }) => format!("{path}.tool_calls[{}]", before.iter().filter(calls).count()),
            Some(Part::Reasoning { .. }) => format!("{path}.reasoning_content"),
            Some(Part::Refusal(_)) => format!("{path}.refusal"),
            Some(Part::ToolResult { .. }) | None => path,
            Some(Part::Text { .. } | Part::Image(_) | Part::Document(_) | Part::Opaque { .. }) => {
                let aside = |part: &&Part| calls(part) || matches!(part, Part::Reasoning { .. } | Part::Refusal(_));
                format!("{path}.content[{}]", part - before.iter().filter(aside).count())
            }
        }
    }
}
