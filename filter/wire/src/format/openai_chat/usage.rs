//! The `usage` member.

use serde_json::value::RawValue;

use crate::ir::Usage;
use crate::json::{Object, ObjectWriter};

/// Reads what is there and has the right type; counts are never worth failing an answer for.
pub(super) fn read(raw: &RawValue) -> Usage {
    let Ok(mut o) = Object::of(raw, "usage") else { return Usage::default() };
    let mut usage = Usage {
        input: count(&mut o, "prompt_tokens"),
        output: count(&mut o, "completion_tokens"),
        // DeepSeek's name for it, and Moonshot's and Together's; the standard one wins below.
        cache_read: count(&mut o, "prompt_cache_hit_tokens").or_else(|| count(&mut o, "cached_tokens")),
        // Perplexity's place for it.
        reasoning: count(&mut o, "reasoning_tokens"),
        ..Usage::default()
    };
    if let Ok(Some(mut details)) = o.object("prompt_tokens_details") {
        usage.cache_read = count(&mut details, "cached_tokens").or(usage.cache_read);
        // OpenRouter's addition.
        usage.cache_write = count(&mut details, "cache_write_tokens");
        usage.audio_input = count(&mut details, "audio_tokens");
    }
    let prompt = usage.input;
    // More cached tokens than tokens: this server counts them beside the others (Grok on Azure does).
    if let (Some(all), Some(cached)) = (usage.input, usage.cache_read)
        && cached > all
    {
        usage.input = Some(all.saturating_add(cached));
    }
    if let Ok(Some(mut details)) = o.object("completion_tokens_details") {
        usage.reasoning = count(&mut details, "reasoning_tokens").or(usage.reasoning);
        usage.audio_output = count(&mut details, "audio_tokens");
    }
    // The sum shows whether a server counts reasoning beside the other completion tokens (xAI does).
    if let (Some(input), Some(output), Some(reasoning), Some(total)) =
        (prompt, usage.output, usage.reasoning, count(&mut o, "total_tokens"))
        && reasoning > 0
        && total == input.saturating_add(output).saturating_add(reasoning)
    {
        usage.output = Some(output.saturating_add(reasoning));
    }
    usage
}

fn count(o: &mut Object<'_>, name: &str) -> Option<u64> {
    o.u64(name).ok().flatten()
}

/// Writes the member, if the provider said anything.
pub(super) fn write(o: &mut ObjectWriter<'_>, usage: &Usage) {
    if usage.is_empty() {
        return;
    }
    let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    o.object("usage", |o| {
        o.u64("prompt_tokens", input);
        o.u64("completion_tokens", output);
        o.u64("total_tokens", input.saturating_add(output));
        let cached = usage.cache_read.or(usage.cache_write.map(|_| 0));
        let (written, heard) = (usage.cache_write, usage.audio_input);
        let parts = [("cached_tokens", cached), ("cache_write_tokens", written), ("audio_tokens", heard)];
        details(o, "prompt_tokens_details", &parts);
        let parts = [("reasoning_tokens", usage.reasoning), ("audio_tokens", usage.audio_output)];
        details(o, "completion_tokens_details", &parts);
    });
}

/// Writes the counts that are there, if any is.
fn details(o: &mut ObjectWriter<'_>, name: &'static str, counts: &[(&'static str, Option<u64>)]) {
    if counts.iter().all(|(_, count)| count.is_none()) {
        return;
    }
    o.object(name, |o| {
        counts.iter().for_each(|(name, count)| count.iter().for_each(|count| o.u64(name, *count)));
    });
}
