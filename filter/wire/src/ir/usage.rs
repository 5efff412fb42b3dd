//! Token counts as the provider reports them.

/// Token counts of one try. `None` means the provider did not say; it is not zero.
///
/// `input` counts *all* prompt tokens, cached ones included (the OpenAI reading); formats that report cached tokens
/// beside the uncached ones (Anthropic) are summed on decoding and split again on encoding. `output` counts reasoning
/// likewise; servers that count it beside (xAI) are summed. Every other field is a part of one of these two, and no token
/// is in two parts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input: Option<u64>,
    /// Completion tokens, reasoning included.
    pub output: Option<u64>,
    /// Prompt tokens read from the provider's prompt cache.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to the provider's prompt cache.
    pub cache_write: Option<u64>,
    /// Of those written, the ones to be kept for an hour and more (Anthropic's `ttl: 1h`).
    pub cache_write_long: Option<u64>,
    /// Completion tokens spent on reasoning.
    pub reasoning: Option<u64>,
    /// Prompt tokens that are sound.
    pub audio_input: Option<u64>,
    /// Completion tokens that are sound.
    pub audio_output: Option<u64>,
}

/// Which totals of a [`Usage`] no later event can change, by the format's own protocol.
///
/// ```text
/// Chat Completions  the usage chunk after `finish_reason`                        input and output
/// Messages          `message_start`: input; `message_stop` after a count         input and output
/// a whole body      whatever its `usage` has
/// ```
///
/// A vendor's own tools and its compaction change the prompt of Messages after its start; strict limits refuse both.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Certain {
    /// [`Usage::input`] and its parts.
    pub input: bool,
    /// [`Usage::output`] and its parts.
    pub output: bool,
}

impl Certain {
    /// The totals that a whole answer reported.
    #[must_use]
    pub fn of(usage: &Usage) -> Self {
        Self { input: usage.input.is_some(), output: usage.output.is_some() }
    }

    /// Both totals are certain.
    #[must_use]
    pub fn all(self) -> bool {
        self.input && self.output
    }
}

impl Usage {
    /// Later reports win over earlier ones, field by field: streams report input first and output last.
    pub fn update(&mut self, later: &Self) {
        self.input = later.input.or(self.input);
        self.output = later.output.or(self.output);
        self.cache_read = later.cache_read.or(self.cache_read);
        self.cache_write = later.cache_write.or(self.cache_write);
        self.cache_write_long = later.cache_write_long.or(self.cache_write_long);
        self.reasoning = later.reasoning.or(self.reasoning);
        self.audio_input = later.audio_input.or(self.audio_input);
        self.audio_output = later.audio_output.or(self.audio_output);
    }

    /// True if the provider said nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
