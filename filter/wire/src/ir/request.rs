//! The canonical chat request.

use serde_json::value::RawValue;

/// What a client asks for, found from method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// One answer to a conversation, unary or streamed.
    Chat,
    /// How many tokens a conversation would take.
    CountTokens,
    /// The models the caller may use.
    ListModels,
}

/// JSON kept as text: exact key order, exact number spelling.
pub type Json = Box<RawValue>;

/// Members nobody interpreted, with the name of the format they came from. Re-emitted only to that format.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// The format's name; empty when no object of any format stood behind the value (a bare string, a default).
    pub format: &'static str,
    /// Name and value, in the client's order.
    pub members: Vec<(String, Json)>,
    /// Members that *were* interpreted, where the value does not say how it was written: a stop string that stood
    /// alone, an explicit `false`, a `null`. Leaving them out loses nothing.
    pub spelling: Vec<(String, Json)>,
    /// What is left of inner objects that were interpreted, by their names.
    pub nested: Vec<(&'static str, Extra)>,
}

impl Extra {
    /// The members, if they came from `format`.
    pub fn of(&self, format: &str) -> impl Iterator<Item = (&str, &RawValue)> {
        self.own(format, &self.members)
    }

    /// The spellings, if they came from `format`.
    pub fn spelled(&self, format: &str) -> impl Iterator<Item = (&str, &RawValue)> {
        self.own(format, &self.spelling)
    }

    /// Keeps what is left of an inner object.
    pub fn nest(&mut self, name: &'static str, inner: Self) {
        if !(inner.members.is_empty() && inner.spelling.is_empty() && inner.nested.is_empty()) {
            self.nested.push((name, inner));
        }
    }

    /// What is left of an inner object.
    #[must_use]
    pub fn inner(&self, name: &str) -> Option<&Self> {
        self.nested.iter().find(|(have, _)| *have == name).map(|(_, inner)| inner)
    }

    /// The marker after which a provider may cache the prompt (Anthropic's; several others take it under the same name).
    #[must_use]
    pub fn cache_control(&self) -> Option<&RawValue> {
        self.members.iter().find(|(name, _)| name == "cache_control").map(|(_, value)| value.as_ref())
    }

    /// How one interpreted member was written, if it came from `format`.
    #[must_use]
    pub fn spelling_of(&self, format: &str, name: &str) -> Option<&RawValue> {
        self.spelled(format).find(|(have, _)| *have == name).map(|(_, value)| value)
    }

    fn own<'a>(&self, format: &str, list: &'a [(String, Json)]) -> impl Iterator<Item = (&'a str, &'a RawValue)> {
        let list = if self.format == format { list } else { &[] };
        list.iter().map(|(name, value)| (name.as_str(), value.as_ref()))
    }
}

/// Who said a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions that outrank the user (OpenAI `system`, `developer`; Anthropic top-level `system`).
    System,
    /// The caller.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// Where the bytes of an image or document are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaSource {
    /// Base64 text with its media type.
    Base64 {
        /// e.g. `image/png`.
        media_type: String,
        /// The base64 text as sent.
        data: String,
    },
    /// Fetched by the provider.
    Url(String),
    /// Uploaded to the provider before.
    FileId(String),
}

/// An image or a document in a turn.
#[derive(Debug, Clone)]
pub struct Media {
    /// Where the bytes are.
    pub source: MediaSource,
    /// File name or title, if the client gave one.
    pub name: Option<String>,
    /// Uninterpreted members (`detail`, `cache_control`, `citations`).
    pub extra: Extra,
}

/// What a piece of an answer rests on.
#[derive(Debug, Clone, Default)]
pub struct Citation {
    /// Address of the source, if it has one.
    pub url: Option<String>,
    /// Title of the source.
    pub title: Option<String>,
    /// The words of the source.
    pub cited_text: Option<String>,
    /// What the answer says because of it: from and to, in characters of the part's text. `None`: all of it.
    pub range: Option<(usize, usize)>,
    /// The format it came from and its whole spelling there.
    pub own: Option<(&'static str, Json)>,
}

impl PartialEq for Citation {
    fn eq(&self, other: &Self) -> bool {
        let of = |c: &Self| (c.url.clone(), c.title.clone(), c.cited_text.clone(), c.range);
        of(self) == of(other)
    }
}

impl Eq for Citation {}

/// One piece of a turn.
#[derive(Debug, Clone)]
pub enum Part {
    /// Plain text.
    Text {
        /// The text.
        text: String,
        /// What it rests on.
        citations: Vec<Citation>,
        /// Uninterpreted members.
        extra: Extra,
    },
    /// An image.
    Image(Media),
    /// A document or other file.
    Document(Media),
    /// The model asks for a tool.
    ToolCall {
        /// Joins call and result.
        id: String,
        /// The tool's name.
        name: String,
        /// Arguments as the model wrote them: JSON text, possibly malformed.
        arguments: String,
        /// Uninterpreted members.
        extra: Extra,
    },
    /// What the tool answered.
    ToolResult {
        /// The call it answers.
        id: String,
        /// Text, images.
        content: Vec<Part>,
        /// The tool failed.
        is_error: bool,
        /// Uninterpreted members.
        extra: Extra,
    },
    /// The model's own reasoning, kept so that a follow-up can carry it back.
    Reasoning {
        /// Readable text; empty when redacted.
        text: String,
        /// Vendor's signature or encrypted form.
        signature: Option<String>,
        /// Only the encrypted form exists.
        redacted: bool,
    },
    /// The model declines, in its own words.
    Refusal(String),
    /// A part this format knows and others do not: re-emitted to its own format only.
    Opaque {
        /// The format it came from.
        format: &'static str,
        /// The whole part.
        json: Json,
    },
}

/// One turn of the conversation.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub parts: Vec<Part>,
    /// Uninterpreted members of the message (`name`, …).
    pub extra: Extra,
}

/// A search of the web that the provider runs itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebSearch {
    /// Searches in one answer.
    pub max_uses: Option<u64>,
    /// Only these.
    pub allowed_domains: Vec<String>,
    /// None of these.
    pub blocked_domains: Vec<String>,
    /// How much of what was found the model reads: `low`, `medium`, `high`.
    pub context_size: Option<String>,
    /// City, region, country (ISO 3166-1) and IANA time zone of the user, as far as known.
    pub location: [Option<String>; 4],
}

/// A tool the model may call.
#[derive(Debug, Clone, Default)]
pub struct Tool {
    /// The tool's name.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// JSON Schema of the arguments, in the client's key order (it is part of the prompt, thus of prompt caches).
    pub schema: Option<Json>,
    /// Arguments must fit the schema exactly.
    pub strict: Option<bool>,
    /// It is the provider's own search; the members above are empty then.
    pub web_search: Option<WebSearch>,
    /// Uninterpreted members.
    pub extra: Extra,
}

/// May, must or must not the model call tools?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// It must not.
    None,
    /// It must call at least one.
    Required,
    /// It must call this one.
    Named(String),
}

/// Sampling parameters, as numbers in the client's own spelling.
#[derive(Debug, Clone, Default)]
pub struct Sampling {
    /// Randomness.
    pub temperature: Option<serde_json::Number>,
    /// Nucleus.
    pub top_p: Option<serde_json::Number>,
    /// Top k.
    pub top_k: Option<serde_json::Number>,
    /// Penalty by frequency.
    pub frequency_penalty: Option<serde_json::Number>,
    /// Penalty by presence.
    pub presence_penalty: Option<serde_json::Number>,
    /// Best-effort determinism.
    pub seed: Option<serde_json::Number>,
}

/// How the answer must look.
#[derive(Debug, Clone)]
pub enum Output {
    /// Any JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema {
        /// Name of the schema, where the format has one.
        name: Option<String>,
        /// The schema.
        schema: Json,
        /// Enforced by the provider.
        strict: Option<bool>,
    },
}

/// How much the model should think.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reasoning {
    /// Not at all.
    Off,
    /// As much as the model sees fit.
    Auto,
    /// In words: `minimal`, `low`, `medium`, `high`, `xhigh`, `max`.
    Effort(String),
    /// In tokens.
    Budget(u64),
}

/// Which capacity serves the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceTier {
    /// What was reserved, while it lasts; then the ordinary.
    Auto,
    /// The ordinary.
    Standard,
}

/// The canonical chat request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The model as the client named it; encoders are told the target's name separately.
    pub model: String,
    /// The client wants a stream.
    pub stream: bool,
    /// The client wants usage in the stream (OpenAI `stream_options.include_usage`; others always have it).
    pub stream_usage: bool,
    /// The conversation, system turns in their places.
    pub turns: Vec<Turn>,
    /// Tools on offer, in the client's order.
    pub tools: Vec<Tool>,
    /// Tool policy.
    pub tool_choice: Option<ToolChoice>,
    /// Several calls in one turn.
    pub parallel_tools: Option<bool>,
    /// Sampling.
    pub sampling: Sampling,
    /// Bound on the answer.
    pub max_tokens: Option<u64>,
    /// Stop sequences.
    pub stop: Vec<String>,
    /// Shape of the answer.
    pub output: Option<Output>,
    /// Thinking.
    pub reasoning: Option<Reasoning>,
    /// End-user identifier.
    pub user: Option<String>,
    /// Capacity.
    pub service_tier: Option<ServiceTier>,
    /// Number of answers.
    pub n: Option<u64>,
    /// Uninterpreted members.
    pub extra: Extra,
}
