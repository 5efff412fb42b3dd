//! Providers that speak OpenAI Chat Completions, as data.
//!
//! Does not: know models or prices. A private server needs no row: configuration names a row it is like.
//!
//! `docs` is the vendor's page for base, path and key header. What a comment says besides was read in the vendor's SDK
//! (types of the request) or in answers of the server that others have published. Not at hand when the rows were written
//! were the pages of huggingface, moonshot, nvidia, parasail, vllm, xai and zhipu, and the one of sambanova has no base:
//! there base and path are as several other gateways have them.

use super::{BEARER, Base, Provider};
use crate::format::Outbound;
use crate::format::openai_chat::{Ask, Compatible, Memory, OpenAiChat};

/// As OpenAI's own.
const OPENAI: &dyn Outbound = &OpenAiChat;

/// `max_tokens` under its older name, efforts low to high; nothing known that it refuses.
const COMMON: &dyn Outbound = &Compatible::COMMON;

/// Knows the newer name of `max_tokens`, else as [`COMMON`].
const NEWER: Compatible = Compatible { max_completion_tokens: true, ..Compatible::COMMON };

/// Z.ai's, abroad and in China. Thinks unless told not to; only the newest models know efforts.
const GLM: &dyn Outbound = &Compatible {
    developer: false,
    json_schema: false,
    forced_tools: false,
    reasoning: Ask::Switch(&[]),
    memory: Memory::Content,
    ..Compatible::COMMON
};

const fn row(name: &'static str, base: &'static str, format: &'static dyn Outbound, docs: &'static str) -> Provider {
    Provider { name, base: Base::Fixed(base), format, auth: BEARER, narrows: &[], docs }
}

/// The rows, by name.
pub static ROWS: &[Provider] = &[
    // Refuses `reasoning_content` with 400, and by what others quote of its page, penalties and `logit_bias`, although
    // its SDK has them.
    row(
        "cerebras",
        "https://api.cerebras.ai/v1",
        &Compatible {
            refuses: &["frequency_penalty", "logit_bias", "presence_penalty"],
            memory: Memory::Reasoning,
            ..NEWER
        },
        "https://inference-docs.cerebras.ai/resources/openai",
    ),
    row("deepinfra", "https://api.deepinfra.com/v1/openai", COMMON, "https://deepinfra.com/docs/advanced/openai_api"),
    // Thinks unless told not to. Refuses the role `developer` and JSON schemas with 400.
    row(
        "deepseek",
        "https://api.deepseek.com",
        &Compatible {
            developer: false,
            json_schema: false,
            reasoning: Ask::Switch(&["low", "high", "max"]),
            memory: Memory::Content,
            ..Compatible::COMMON
        },
        "https://api-docs.deepseek.com/api/create-chat-completion",
    ),
    row(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        &NEWER,
        "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    ),
    // Refuses with 400 what its page lists as unsupported, and `reasoning_content` in messages; `reasoning` is known to
    // its reasoning models alone.
    row(
        "groq",
        "https://api.groq.com/openai/v1",
        &Compatible {
            refuses: &["logit_bias", "logprobs", "top_logprobs"],
            message_names: false,
            memory: Memory::Refused,
            ..NEWER
        },
        "https://console.groq.com/docs/openai",
    ),
    row(
        "huggingface",
        "https://router.huggingface.co/v1",
        COMMON,
        "https://huggingface.co/docs/inference-providers/tasks/chat-completion",
    ),
    row("lm-studio", "http://127.0.0.1:1234/v1", COMMON, "https://lmstudio.ai/docs/developer/openai-compat"),
    // Refuses every member it does not know with 422. Usage comes in every stream unasked.
    row(
        "mistral",
        "https://api.mistral.ai/v1",
        &Compatible {
            stream_options: false,
            seed: "random_seed",
            refuses: &[
                "audio",
                "logit_bias",
                "logprobs",
                "modalities",
                "safety_identifier",
                "service_tier",
                "store",
                "top_logprobs",
                "user",
                "verbosity",
                "web_search_options",
            ],
            message_names: false,
            developer: false,
            reasoning: Ask::Effort(&["minimal", "low", "medium", "high", "xhigh"]),
            memory: Memory::Refused,
            ..Compatible::COMMON
        },
        "https://docs.mistral.ai/api/",
    ),
    // Thinks unless told not to, and wants its thinking back. Of efforts its newer models know three.
    row(
        "moonshot",
        "https://api.moonshot.ai/v1",
        &Compatible { reasoning: Ask::Effort(&["low", "high", "max"]), memory: Memory::Content, ..NEWER },
        "https://platform.kimi.ai/docs/api/chat",
    ),
    row(
        "nebius",
        "https://api.tokenfactory.nebius.com/v1",
        COMMON,
        "https://docs.tokenfactory.nebius.com/api-reference/introduction",
    ),
    row("novita", "https://api.novita.ai/openai/v1", COMMON, "https://novita.ai/docs/guides/llm-api"),
    row("nvidia", "https://integrate.api.nvidia.com/v1", COMMON, "https://docs.api.nvidia.com/nim/reference/llm-apis"),
    row("ollama", "http://127.0.0.1:11434/v1", COMMON, "https://docs.ollama.com/api/openai-compatibility"),
    row("openai", "https://api.openai.com/v1", OPENAI, "https://platform.openai.com/docs/api-reference/chat"),
    // Cache markers stand on texts and tools and on the whole request; its types have none on images, files or messages
    // (<https://openrouter.ai/docs/features/prompt-caching>, and `ChatFunctionTool`, `ChatContentImage` of its SDK).
    // Of `provider` what keeps servers out by their terms may pass; it chooses no model
    // (<https://openrouter.ai/docs/guides/routing/provider-selection>).
    Provider {
        narrows: &[(
            "provider",
            &["data_collection", "enforce_distillable_text", "max_price", "quantizations", "require_parameters", "zdr"],
        )],
        ..row(
            "openrouter",
            "https://openrouter.ai/api/v1",
            &Compatible { reasoning: Ask::Object, memory: Memory::Details, cache_control: true, ..Compatible::OPENAI },
            "https://openrouter.ai/docs/api-reference/overview",
        )
    },
    row(
        "parasail",
        "https://api.parasail.io/v1",
        COMMON,
        "https://docs.parasail.io/parasail-docs/api-reference/authentication",
    ),
    // The Orchestrator API. Sonar had Chat Completions at `https://api.perplexity.ai`; others report that it ended in
    // September 2026.
    row(
        "perplexity",
        "https://api.perplexity.ai/orchestrator/v1",
        &Compatible {
            reasoning: Ask::Effort(&["minimal", "low", "medium", "high", "xhigh", "max"]),
            ..Compatible::COMMON
        },
        "https://docs.perplexity.ai/docs/orchestrator/faq",
    ),
    row(
        "sambanova",
        "https://api.sambanova.ai/v1",
        COMMON,
        "https://docs.sambanova.ai/docs/en/features/openai-compatibility",
    ),
    row(
        "sglang",
        "http://127.0.0.1:30000/v1",
        &Compatible { memory: Memory::Content, ..NEWER },
        "https://docs.sglang.io/docs/basic_usage/openai_api_completions",
    ),
    row(
        "together",
        "https://api.together.ai/v1",
        COMMON,
        "https://docs.together.ai/docs/inference/openai-compatibility",
    ),
    row(
        "vllm",
        "http://127.0.0.1:8000/v1",
        &NEWER,
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    ),
    // Its reasoning models refuse penalties and `stop`, the others take them: that is the models' affair.
    row("xai", "https://api.x.ai/v1", &NEWER, "https://docs.x.ai/docs/api-reference"),
    row("zai", "https://api.z.ai/api/paas/v4", GLM, "https://docs.z.ai/api-reference/llm/chat-completion"),
    row("zhipu", "https://open.bigmodel.cn/api/paas/v4", GLM, "https://docs.bigmodel.cn/api-reference"),
];
