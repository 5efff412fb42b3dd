//! Which cases tell of which feature.

/// One page.
pub(super) struct Feature {
    /// The file's name, without `.md`.
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    /// Stems of corpus files: `tests/corpus/*/{request,response,stream,fault}/<stem>.*`, all that exist. One must.
    pub(super) cases: &'static [&'static str],
    /// Rows of `parameter.json` and `answer.json` whose labels begin like this, of every format that has them.
    pub(super) rows: &'static [&'static str],
}

pub(super) const FEATURES: &[Feature] = &[
    Feature {
        file: "text",
        title: "Text",
        about: "A question, instructions in front of it, and an answer.",
        cases: &["text", "length"],
        rows: &[],
    },
    Feature {
        file: "images",
        title: "Images",
        about: "By address and as bytes. Ids of uploaded files are the provider's own and stay with it.",
        cases: &["parts", "blocks", "images"],
        rows: &["messages[user].content[image]", "messages[user].content[image_url].image_url.url"],
    },
    Feature {
        file: "documents",
        title: "Documents",
        about: "Files in a user's message.",
        cases: &["documents"],
        rows: &["messages[user].content[document]", "messages[user].content[file]"],
    },
    Feature {
        file: "tools",
        title: "Tools",
        about: "Definitions, calls, several at once, and their results, with images in them.",
        cases: &["tools", "tools-interleaved", "tools-parallel", "tool-result-image"],
        rows: &["messages[user].content[tool_result].content[image]", "messages[user].content[tool_result].is_error"],
    },
    Feature {
        file: "tool-choice",
        title: "Tool choice",
        about: "May, must or must not the model call a tool, which one, and how many at once.",
        cases: &["tool-choice-named"],
        rows: &["tool_choice", "parallel_tool_calls"],
    },
    Feature {
        file: "structured-output",
        title: "Structured output",
        about: "An answer that fits a JSON Schema.",
        cases: &["structured", "structured-stream", "structured-tool"],
        rows: &[],
    },
    Feature {
        file: "stop-and-sampling",
        title: "Stop sequences and sampling",
        about: "Where the answer ends and how its words are drawn.",
        cases: &["stop-sequence", "stop", "n", "logprobs"],
        rows: &["stop = ", "stop_sequences", "temperature", "top_k", "top_p", "seed", "n = "],
    },
    Feature {
        file: "reasoning",
        title: "Reasoning",
        about: "How much the model thinks, what it thought, and how that comes back to it in the next request.",
        cases: &["reasoning", "thinking", "reasoning-details", "thinking-redacted"],
        rows: &[
            "messages[assistant].reasoning_details",
            "choices[].message.reasoning_details",
            "content[redacted_thinking]",
            "reasoning_effort",
        ],
    },
    Feature {
        file: "cached-tokens",
        title: "Cached tokens",
        about: "Marks in the prompt and the counts in the answer. OpenAI's count of the prompt includes cached tokens, \
            Anthropic's leaves them out.",
        cases: &["cache"],
        rows: &[
            "messages[user].content[text].cache_control",
            "system[text].cache_control",
            "usage.cache_",
            "usage.prompt_tokens_details.cache",
        ],
    },
    Feature {
        file: "citations",
        title: "Citations",
        about: "What a piece of an answer rests on.",
        cases: &["citations"],
        rows: &["content[text].citations", "choices[].message.annotations"],
    },
    Feature {
        file: "web-search",
        title: "Web search",
        about: "A search that the provider runs itself.",
        cases: &["server-tools", "server-tools-unknown", "web-search", "pause"],
        rows: &["web_search_options", "tools[web_search_20250305]", "stop_reason = \"pause_turn\""],
    },
    Feature {
        file: "refusal",
        title: "Refusals",
        about: "The model declines, or a filter does.",
        cases: &["refusal"],
        rows: &["stop_reason = \"refusal\"", "choices[].finish_reason = \"content_filter\""],
    },
    Feature {
        file: "errors",
        title: "Errors",
        about: "What a provider refuses, as a client of the other format is told.",
        cases: &[
            "400-invalid",
            "400-param",
            "401-key",
            "402-billing",
            "403-permission",
            "404-model",
            "413-large",
            "429-quota",
            "429-rate-limit",
            "500-api",
            "500-server",
            "503-overloaded",
            "504-timeout",
            "529-overloaded",
        ],
        rows: &[],
    },
    Feature {
        file: "streaming",
        title: "Streaming",
        about: "Streams that end well, that end in an error and that just end. Other pages have a stream for their feature.",
        cases: &["all", "error", "truncated"],
        rows: &["stream"],
    },
];
