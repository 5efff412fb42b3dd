//! What the models of this API take, by name.
//!
//! Does not: know prices or context windows, or which models exist.
//!
//! Decision: a table by prefix, the first match wins, and a name nobody knows is taken for the newest general model: new
//! models get names before this table gets rows. Rejected: asking the provider's list of models, which has most of this
//! but is I/O, and is not there behind clouds and gateways.

/// How a model is asked to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// It cannot.
    Never,
    /// By a budget of tokens.
    Budget,
    /// By a budget, or adaptively.
    Either,
    /// Adaptively, unless told not to.
    Adaptive,
    /// Adaptively, whatever it is told.
    Always,
}

/// Which sampling parameters a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampling {
    /// All.
    All,
    /// `temperature` or `top_p`, not both.
    OneOf,
    /// None but the defaults.
    Defaults,
}

/// Whether `tool_choice` may force a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forced {
    /// Yes.
    Always,
    /// Only if thinking is not asked for.
    WithoutThinking,
    /// No.
    Never,
}

/// One row.
#[derive(Debug)]
pub(super) struct Model {
    prefixes: &'static [&'static str],
    pub(super) thinking: Thinking,
    /// Values of `output_config.effort`, weakest first.
    pub(super) efforts: &'static [&'static str],
    pub(super) sampling: Sampling,
    pub(super) forced: Forced,
    /// `output_config.format` and strict tools.
    pub(super) structured: bool,
    /// Turns of the role `system` among the messages.
    pub(super) late_system: bool,
    /// The conversation may end with the assistant's turn, which the answer then continues.
    pub(super) prefill: bool,
    /// The bound on an answer where the client set none: this API requires one, others let the model end by itself.
    pub(super) max_tokens: u64,
}

/// Before Claude 3.7. <https://platform.claude.com/docs/en/about-claude/model-deprecations>
const CLAUDE_3: Model = Model {
    prefixes: &["claude-3", "claude-2", "claude-instant"],
    thinking: Thinking::Never,
    efforts: &[],
    sampling: Sampling::All,
    forced: Forced::Always,
    structured: false,
    late_system: false,
    prefill: true,
    max_tokens: 4096,
};

/// Claude 3.7. <https://platform.claude.com/docs/en/build-with-claude/extended-thinking>
const CLAUDE_3_7: Model = Model {
    prefixes: &["claude-3-7"],
    thinking: Thinking::Budget,
    forced: Forced::WithoutThinking,
    max_tokens: 32_000,
    ..CLAUDE_3
};

/// Claude 4. <https://platform.claude.com/docs/en/about-claude/models/migration-guide> (one sampling parameter)
const CLAUDE_4: Model = Model {
    prefixes: &[
        "claude-opus-4-0",
        "claude-opus-4-1",
        "claude-opus-4-2025",
        "claude-opus-4@",
        "claude-sonnet-4-0",
        "claude-sonnet-4-2025",
        "claude-sonnet-4@",
    ],
    sampling: Sampling::OneOf,
    ..CLAUDE_3_7
};

/// Claude 4.5. <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>
const CLAUDE_4_5: Model =
    Model { prefixes: &["claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5"], structured: true, ..CLAUDE_4 };

/// Claude 4.6. <https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>,
/// <https://platform.claude.com/docs/en/build-with-claude/effort>
const CLAUDE_4_6: Model = Model {
    prefixes: &["claude-opus-4-6", "claude-sonnet-4-6"],
    thinking: Thinking::Either,
    efforts: &["low", "medium", "high", "max"],
    prefill: false,
    ..CLAUDE_4_5
};

/// Claude Opus 4.7. <https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-7> (no sampling, no
/// budgets)
const OPUS_4_7: Model = Model {
    prefixes: &["claude-opus-4-7"],
    thinking: Thinking::Adaptive,
    efforts: &["low", "medium", "high", "xhigh", "max"],
    sampling: Sampling::Defaults,
    ..CLAUDE_4_6
};

/// Claude Sonnet 5. <https://platform.claude.com/docs/en/about-claude/models/overview>
const SONNET_5: Model = Model { prefixes: &["claude-sonnet-5"], forced: Forced::Always, ..OPUS_4_7 };

/// Claude Opus 4.8 and 5. <https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages>
const OPUS_5: Model = Model { prefixes: &["claude-opus-4-8", "claude-opus-5"], late_system: true, ..SONNET_5 };

/// Claude Fable 5 and Mythos 5: they cannot be told not to think.
/// <https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>
const FABLE_5: Model = Model { prefixes: &["claude-fable-5", "claude-mythos-5"], thinking: Thinking::Always, ..OPUS_5 };

/// Their point releases, which refuse forced calls.
/// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use>
const FABLE_5_1: Model =
    Model { prefixes: &["claude-fable-5-1", "claude-mythos-5-1"], forced: Forced::Never, ..FABLE_5 };

/// Claude Mythos, the preview. <https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>
const MYTHOS_PREVIEW: Model =
    Model { prefixes: &["claude-mythos-preview"], forced: Forced::WithoutThinking, late_system: false, ..FABLE_5 };

/// Longer prefixes before shorter ones.
static MODELS: &[Model] =
    &[MYTHOS_PREVIEW, FABLE_5_1, FABLE_5, SONNET_5, OPUS_4_7, CLAUDE_4_6, CLAUDE_4_5, CLAUDE_4, CLAUDE_3_7, CLAUDE_3];

/// The row of a model's name, also as clouds and gateways spell it (`us.anthropic.claude-…`, `anthropic/claude-opus-4.6`).
pub(super) fn of(name: &str) -> &'static Model {
    static NEWEST: Model = OPUS_5;
    let name = name.replace('.', "-");
    let from = name.find("claude-").and_then(|at| name.get(at..));
    let row =
        from.and_then(|name| MODELS.iter().find(|row| row.prefixes.iter().any(|prefix| name.starts_with(prefix))));
    row.unwrap_or(&NEWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_rows() {
        for (name, thinking, structured, max_tokens) in [
            ("claude-3-5-haiku-latest", Thinking::Never, false, 4096),
            ("claude-3-7-sonnet@20250219", Thinking::Budget, false, 32_000),
            ("claude-sonnet-4-20250514", Thinking::Budget, false, 32_000),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Thinking::Budget, true, 32_000),
            ("anthropic/claude-opus-4.6", Thinking::Either, true, 32_000),
            ("claude-opus-4-7", Thinking::Adaptive, true, 32_000),
            ("claude-mythos-5", Thinking::Always, true, 32_000),
            ("claude-opus-9", Thinking::Adaptive, true, 32_000),
            ("something-else", Thinking::Adaptive, true, 32_000),
        ] {
            let row = of(name);
            assert_eq!((row.thinking, row.structured, row.max_tokens), (thinking, structured, max_tokens), "{name}");
        }
        assert_eq!(of("claude-fable-5-1").forced, Forced::Never);
        assert_eq!(of("claude-fable-5").forced, Forced::Always);
        assert!(of("claude-opus-5").late_system && !of("claude-sonnet-5").late_system);
    }

    #[test]
    fn no_prefix_hides_a_later_one() {
        let all: Vec<&str> = MODELS.iter().flat_map(|row| row.prefixes).copied().collect();
        for (at, prefix) in all.iter().enumerate() {
            assert!(!all[..at].iter().any(|before| prefix.starts_with(before)), "{prefix} is never found");
        }
    }
}
