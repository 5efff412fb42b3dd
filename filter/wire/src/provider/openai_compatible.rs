//! Providers that speak OpenAI Chat Completions, as data.
//!
//! Does not: know models or prices. A private server needs no row: configuration names a row it is like.

use super::{BEARER, Provider};
use crate::format::Outbound;
use crate::format::openai_chat::{Compatible, OpenAiChat};

/// As OpenAI's own.
const OPENAI: &dyn Outbound = &OpenAiChat;

/// Knows `max_tokens` only, and would overlook the newer name.
const OLDER: &dyn Outbound = &Compatible { stream_options: true, max_completion_tokens: false, extensions: true };

/// Refuses what it does not know with 422, and reports usage in every stream unasked.
const STRICT: &dyn Outbound = &Compatible { stream_options: false, max_completion_tokens: false, extensions: false };

const fn row(name: &'static str, base: &'static str, format: &'static dyn Outbound, docs: &'static str) -> Provider {
    Provider { name, base, format, auth: BEARER, docs }
}

/// The rows, by name.
pub static ROWS: &[Provider] = &[
    row("cerebras", "https://api.cerebras.ai/v1", OPENAI, "https://inference-docs.cerebras.ai/resources/openai"),
    row("deepseek", "https://api.deepseek.com", OLDER, "https://api-docs.deepseek.com/"),
    row(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        OPENAI,
        "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    ),
    row("groq", "https://api.groq.com/openai/v1", OPENAI, "https://console.groq.com/docs/openai"),
    row("mistral", "https://api.mistral.ai/v1", STRICT, "https://docs.mistral.ai/api/"),
    row("ollama", "http://127.0.0.1:11434/v1", OLDER, "https://docs.ollama.com/api/openai-compatibility"),
    row("openai", "https://api.openai.com/v1", OPENAI, "https://platform.openai.com/docs/api-reference/chat"),
    row("openrouter", "https://openrouter.ai/api/v1", OPENAI, "https://openrouter.ai/docs/api-reference/overview"),
    row("perplexity", "https://api.perplexity.ai", OLDER, "https://docs.perplexity.ai/guides/chat-completions-guide"),
    row(
        "together",
        "https://api.together.ai/v1",
        OLDER,
        "https://docs.together.ai/docs/inference/openai-compatibility",
    ),
    row(
        "vllm",
        "http://127.0.0.1:8000/v1",
        OPENAI,
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    ),
    row("xai", "https://api.x.ai/v1", OPENAI, "https://docs.x.ai/docs/api-reference"),
];
