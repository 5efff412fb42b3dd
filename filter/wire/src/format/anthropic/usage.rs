//! The `usage` member. This API counts cached input beside the rest; the IR counts it within.

use serde_json::value::RawValue;

use super::NAME;
use crate::ir::{Certain, Extra, Usage};
use crate::json::{Object, ObjectWriter};

/// Counts as reported so far. A stream reports some at its start and some at its end.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    fresh: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_long: Option<u64>,
    thinking: Option<u64>,
    /// `message_start` told the length of the prompt.
    begun: bool,
    /// `message_delta` told the length of the answer; what stands in `message_start` is a first token or none.
    ended: bool,
}

impl Counts {
    /// Reads what is there and has the right type; counts are never worth failing an answer for. What is left is for the
    /// format itself.
    pub(super) fn update(&mut self, raw: &RawValue) -> Extra {
        let Ok(mut o) = Object::of(raw, "usage") else { return Extra::default() };
        let mut count = |name, place: &mut Option<u64>| *place = o.u64(name).ok().flatten().or(*place);
        count("input_tokens", &mut self.fresh);
        count("output_tokens", &mut self.output);
        count("cache_read_input_tokens", &mut self.cache_read);
        count("cache_creation_input_tokens", &mut self.cache_write);
        // Read and left where it is: the split by age is this format's own.
        if let Some(mut written) = o.peek("cache_creation").and_then(|raw| Object::of(raw, "cache_creation").ok()) {
            let long = written.u64("ephemeral_1h_input_tokens").ok().flatten();
            self.cache_write_long = long.or(self.cache_write_long);
        }
        if let Ok(Some(mut details)) = o.object("output_tokens_details") {
            self.thinking = details.u64("thinking_tokens").ok().flatten().or(self.thinking);
        }
        o.rest(NAME)
    }

    /// Those of `message_start`.
    pub(super) fn start(&mut self, raw: &RawValue) {
        self.update(raw);
        // Servers that count the prompt at the end begin with zero.
        self.begun |= self.usage().input > Some(0);
    }

    /// Those of `message_delta`, which count all so far.
    pub(super) fn delta(&mut self, raw: &RawValue) {
        let first = self.output.take();
        self.update(raw);
        self.ended |= self.output.is_some();
        self.output = self.output.or(first);
    }

    /// What cannot change any more; `stopped`: `message_stop` was seen.
    pub(super) fn certain(&self, stopped: bool) -> Certain {
        let input = self.begun || stopped && self.fresh.is_some();
        Certain { input, output: stopped && self.ended }
    }

    pub(super) fn usage(&self) -> Usage {
        let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
        Usage {
            input: self.fresh.map(|fresh| fresh.saturating_add(cached)),
            output: self.output,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            cache_write_long: self.cache_write_long,
            reasoning: self.thinking,
            ..Usage::default()
        }
    }
}

/// Writes the member of a message: every member it has by its documentation, null where nobody said anything. The two
/// counts that are never null are zero then. `extra` is the answer's.
pub(super) fn write(o: &mut ObjectWriter<'_>, usage: &Usage, extra: &Extra) {
    o.object("usage", |o| {
        counts(o, usage);
        for name in ["cache_creation", "inference_geo", "server_tool_use", "service_tier"] {
            nullable(o, name, extra.inner("usage"));
        }
        o.inner(extra, NAME, "usage");
    });
}

/// Writes the member of the event that ends a message.
pub(super) fn write_last(o: &mut ObjectWriter<'_>, usage: &Usage) {
    o.object("usage", |o| {
        counts(o, usage);
        o.literal("server_tool_use", "null");
    });
}

fn counts(o: &mut ObjectWriter<'_>, usage: &Usage) {
    let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
    o.u64("input_tokens", usage.input.unwrap_or(0).saturating_sub(cached));
    for (name, count) in
        [("cache_creation_input_tokens", usage.cache_write), ("cache_read_input_tokens", usage.cache_read)]
    {
        match count {
            Some(count) => o.u64(name, count),
            None => o.literal(name, "null"),
        }
    }
    o.u64("output_tokens", usage.output.unwrap_or(0));
    match usage.reasoning {
        Some(thinking) => o.object("output_tokens_details", |o| o.u64("thinking_tokens", thinking)),
        None => o.literal("output_tokens_details", "null"),
    }
}

/// A member that is always there, as this format once had it, or null.
pub(super) fn nullable(o: &mut ObjectWriter<'_>, name: &'static str, extra: Option<&Extra>) {
    let had = extra.and_then(|extra| extra.of(NAME).find(|(have, _)| *have == name));
    match had {
        Some((_, raw)) => o.raw(name, raw),
        None => o.literal(name, "null"),
    }
}
