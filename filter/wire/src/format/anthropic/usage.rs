//! The `usage` member. This API counts cached input beside the rest; the IR counts it within.

use serde_json::value::RawValue;

use crate::ir::Usage;
use crate::json::{Object, ObjectWriter};

/// Counts as reported so far. A stream reports some at its start and some at its end.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    fresh: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    thinking: Option<u64>,
}

impl Counts {
    /// Reads what is there and has the right type; counts are never worth failing an answer for.
    pub(super) fn update(&mut self, raw: &RawValue) {
        let Ok(mut o) = Object::of(raw, "usage") else { return };
        let mut count = |name, place: &mut Option<u64>| *place = o.u64(name).ok().flatten().or(*place);
        count("input_tokens", &mut self.fresh);
        count("output_tokens", &mut self.output);
        count("cache_read_input_tokens", &mut self.cache_read);
        count("cache_creation_input_tokens", &mut self.cache_write);
        if let Ok(Some(mut details)) = o.object("output_tokens_details") {
            self.thinking = details.u64("thinking_tokens").ok().flatten().or(self.thinking);
        }
    }

    pub(super) fn usage(&self) -> Usage {
        let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
        Usage {
            input: self.fresh.map(|fresh| fresh.saturating_add(cached)),
            output: self.output,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            reasoning: self.thinking,
        }
    }
}

/// Writes the member; the two counts the API always has are zero if nobody reported them.
pub(super) fn write(o: &mut ObjectWriter<'_>, usage: &Usage) {
    o.object("usage", |o| {
        let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
        o.u64("input_tokens", usage.input.unwrap_or(0).saturating_sub(cached));
        if let Some(written) = usage.cache_write {
            o.u64("cache_creation_input_tokens", written);
        }
        if let Some(read) = usage.cache_read {
            o.u64("cache_read_input_tokens", read);
        }
        o.u64("output_tokens", usage.output.unwrap_or(0));
        if let Some(thinking) = usage.reasoning {
            o.object("output_tokens_details", |details| details.u64("thinking_tokens", thinking));
        }
    });
}
