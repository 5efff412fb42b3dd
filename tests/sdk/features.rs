//! Which features each SDK must show, in both languages alike.

/// A feature and the forms in which it is asked.
pub(crate) struct Feature(&'static str, &'static [&'static str]);

impl Feature {
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.1.iter().map(|form| format!("{} {form}", self.0))
    }
}

const fn both(name: &'static str) -> Feature {
    Feature(name, &["whole", "streamed"])
}

const fn whole(name: &'static str) -> Feature {
    Feature(name, &["whole"])
}

const fn streamed(name: &'static str) -> Feature {
    Feature(name, &["streamed"])
}

/// The `openai` SDK towards Anthropic.
pub(crate) const OPENAI: &[Feature] = &[
    both("text"),
    both("system"),
    both("images"),
    both("documents"),
    both("tools"),
    both("tools_parallel"),
    both("tools_streamed_arguments"),
    both("tool_choice"),
    both("tools_parallel_off"),
    both("tools_strict"),
    both("json_schema"),
    both("json_schema_by_tool"),
    both("parse_helper"),
    both("stop"),
    both("sampling"),
    both("dropped_parameters"),
    both("reasoning_effort"),
    both("thinking"),
    both("thinking_and_tools"),
    both("cached_tokens"),
    both("cache_control"),
    streamed("include_usage"),
    both("citations"),
    both("web_search"),
    both("refusal"),
    both("finish_reasons"),
    both("request_id"),
    both("gateway_headers"),
    whole("models"),
    both("same_protocol"),
    both("logprobs"),
    both("error_400"),
    both("error_401"),
    both("error_403"),
    both("error_404"),
    both("error_413"),
    both("error_422"),
    both("error_429_rate_limit"),
    both("error_quota"),
    both("error_500"),
    both("error_503"),
    both("error_504"),
    streamed("error_in_stream"),
    streamed("stream_cut_short"),
    both("own_bad_key"),
    both("own_unknown_model"),
    both("own_malformed"),
    both("own_too_large"),
];

/// The `anthropic` SDK towards OpenAI.
pub(crate) const ANTHROPIC: &[Feature] = &[
    both("text"),
    both("system"),
    both("images"),
    both("documents"),
    both("tools"),
    both("tools_parallel"),
    both("tools_streamed_arguments"),
    both("tool_results"),
    both("tool_choice"),
    both("tools_parallel_off"),
    both("tools_strict"),
    both("json_schema"),
    both("parse_helper"),
    both("stop"),
    both("sampling"),
    both("dropped_parameters"),
    both("reasoning_effort"),
    both("thinking"),
    both("thinking_signed"),
    both("cached_tokens"),
    both("citations"),
    both("web_search"),
    both("refusal"),
    both("stop_reasons"),
    both("request_id"),
    both("gateway_headers"),
    whole("count_tokens"),
    whole("models"),
    both("same_protocol"),
    both("error_400"),
    both("error_401"),
    both("error_403"),
    both("error_404"),
    both("error_413"),
    both("error_422"),
    both("error_429_rate_limit"),
    both("error_quota"),
    both("error_500"),
    both("error_529"),
    streamed("error_in_stream"),
    streamed("stream_cut_short"),
    both("own_bad_key"),
    both("own_unknown_model"),
    both("own_malformed"),
    both("own_too_large"),
];
