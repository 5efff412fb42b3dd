//! Names of losses as labels of metrics: few and fixed, whatever clients send.

/// Documented members that some format cannot carry, of all formats, without places in lists. Sorted.
const LABELS: &[&str] = &[
    "audio",
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "fallback_credit_token",
    "fallbacks",
    "frequency_penalty",
    "function_call",
    "functions",
    "inference_geo",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "mcp_servers",
    "messages",
    "messages.annotations",
    "messages.audio",
    "messages.cache_control",
    "messages.content",
    "messages.content.cache_control",
    "messages.content.caller",
    "messages.content.citations",
    "messages.content.content",
    "messages.content.context",
    "messages.content.file",
    "messages.content.image_url",
    "messages.content.image_url.detail",
    "messages.content.is_error",
    "messages.content.prompt_cache_breakpoint",
    "messages.content.source",
    "messages.content.title",
    "messages.function_call",
    "messages.name",
    "messages.output_config",
    "messages.reasoning",
    "messages.reasoning_content",
    "messages.reasoning_details",
    "messages.refusal",
    "messages.role",
    "messages.tool_calls",
    "metadata",
    "metadata.user_id",
    "modalities",
    "moderation",
    "n",
    "output_config.effort",
    "output_config.format",
    "output_config.task_budget",
    "output_format",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "response_format.json_schema.description",
    "response_format.json_schema.strict",
    "safety_identifier",
    "seed",
    "service_tier",
    "speed",
    "stop",
    "stop_sequences",
    "store",
    "stream_options",
    "system",
    "system.cache_control",
    "system.citations",
    "temperature",
    "thinking",
    "thinking.display",
    "tool_choice",
    "tool_choice.disable_parallel_tool_use",
    "tools",
    "tools.allowed_callers",
    "tools.cache_control",
    "tools.defer_loading",
    "tools.eager_input_streaming",
    "tools.function.strict",
    "tools.input_examples",
    "tools.response_inclusion",
    "tools.strict",
    "top_k",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// The label of one path of [`crate::ir::Losses`]: the path without places in lists, or the documented member it lies
/// in; `other` for members no format documents.
#[must_use]
pub fn label(path: &str) -> &'static str {
    let mut name = String::new();
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => name.push(c),
            _ => {}
        }
    }
    let mut name = name.as_str();
    loop {
        if let Some(label) = LABELS.binary_search(&name).ok().and_then(|at| LABELS.get(at)) {
            return label;
        }
        match name.rsplit_once('.') {
            // Of a message or a tool itself, any member could be meant.
            Some((outer, _)) if !matches!(outer, "messages" | "tools" | "messages.content") => name = outer,
            Some(_) | None => return "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted() {
        assert!(LABELS.is_sorted() && LABELS.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_path_becomes_the_member_it_names() {
        for (path, expected) in [
            ("messages[2].name", "messages.name"),
            ("messages[2].content[10]", "messages.content"),
            ("messages[2].tool_calls[0].function.arguments", "messages.tool_calls"),
            ("messages[2].weather", "other"),
            ("messages[2].content[0].hologram", "other"),
            ("system[1].cache_control", "system.cache_control"),
            ("tools[7]", "tools"),
            ("tools[7].function.strict", "tools.function.strict"),
            ("tools[7].colour", "other"),
            ("web_search_options.context_size", "web_search_options"),
            ("reasoning.max_tokens", "reasoning"),
            ("logit_bias", "logit_bias"),
            ("logit_bia", "other"),
            ("…", "other"),
            ("", "other"),
        ] {
            assert_eq!(label(path), expected, "{path}");
        }
    }
}
