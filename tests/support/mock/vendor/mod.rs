//! What a provider is: it checks a request as strictly as the vendor does and makes an answer from it.
//!
//! Does not: know faults, pacing or connections. Text, tool arguments and token counts are functions of the request, so
//! a test can say what the answer must be.

mod anthropic;
mod check;
mod openai;
mod schema;
mod strict;
#[cfg(test)]
mod tests;
mod words;

use serde_json::Value;

pub use schema::example;

/// The end of the path at which Anthropic counts tokens.
const COUNT: &str = "/v1/messages/count_tokens";

/// The protocol a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    OpenAi,
    Anthropic,
}

/// What a request asks for, as far as the answer depends on it.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub model: String,
    pub stream: bool,
    /// The stream ends with usage (OpenAI only on demand).
    pub usage: bool,
    /// Schema that the answer's text must follow.
    pub schema: Option<Value>,
    /// Choices (OpenAI only).
    pub n: u64,
    /// Tokens are to be counted, nothing answered (Anthropic only).
    pub count: bool,
    /// Tool to call, with arguments.
    pub call: Option<(String, Value)>,
    /// What was said last: user text or the tool's result.
    pub last: String,
    /// Tokens of prompt and answer to bill, where a story says so: reasoning that is not shown, pages of a file.
    pub bill: Option<(u64, u64)>,
}

/// A request the vendor would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub param: Option<String>,
    pub message: String,
}

/// The answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// One JSON body.
    Unary(Vec<u8>),
    /// Whole server-sent events.
    Stream(Vec<Vec<u8>>),
}

/// The text `host` answers to what was said last. It has characters of two, three and four bytes.
pub fn text(host: &str, model: &str, last: &str) -> String {
    let hash = last.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{host} as {model} heard {hash:016x}: naïve café ✓ 日本語 🙂 \"quoted\" and\na second line")
}

impl Ask {
    /// Tokens of prompt and answer that are billed for an answer of this text.
    pub(super) fn tokens(&self, said: &str) -> (u64, u64) {
        self.bill.unwrap_or_else(|| tokens(&self.last, said))
    }

    /// The answer's text: what the schema accepts, else the host's own words.
    fn text(&self, host: &str) -> String {
        self.schema.as_ref().map_or_else(|| text(host, &self.model, &self.last), |schema| example(schema).to_string())
    }
}

/// Input and output tokens of an answer.
pub fn tokens(last: &str, answer: &str) -> (u64, u64) {
    (10 + last.chars().count() as u64, answer.chars().count() as u64)
}

impl Vendor {
    /// By the end of the path, so that any prefix works.
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or_default();
        match path {
            _ if path.ends_with("/chat/completions") => Some(Self::OpenAi),
            _ if path.ends_with("/v1/messages") || path.ends_with(COUNT) => Some(Self::Anthropic),
            _ => None,
        }
    }

    /// Events of a stream before its first piece of text.
    pub fn preamble(self) -> usize {
        match self {
            Self::OpenAi => 1,
            Self::Anthropic => 3,
        }
    }

    /// Checks the request that came to this host and path.
    ///
    /// # Errors
    /// What the vendor would refuse.
    pub(super) fn ask(self, host: &str, path: &str, headers: &hyper::HeaderMap, body: &[u8]) -> Result<Ask, Refusal> {
        let json = headers.get("content-type").is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
        if !json {
            return Err(Refusal { status: 415, param: None, message: "content-type must be application/json".into() });
        }
        let body = serde_json::from_slice(body).map_err(|e| Refusal::bad("", format!("body is not JSON: {e}")))?;
        match self {
            Self::OpenAi => openai::ask(host, &body),
            Self::Anthropic => {
                anthropic::ask(path.split('?').next().is_some_and(|p| p.ends_with(COUNT)), headers, &body)
            }
        }
    }

    /// Makes the answer.
    pub fn answer(self, host: &str, ask: &Ask, id: u64) -> Answer {
        match (self, ask.stream) {
            (Self::OpenAi, false) => Answer::Unary(openai::unary(host, ask, id)),
            (Self::OpenAi, true) => Answer::Stream(openai::stream(host, ask, id)),
            (Self::Anthropic, false) => Answer::Unary(anthropic::unary(host, ask, id)),
            (Self::Anthropic, true) => Answer::Stream(anthropic::stream(host, ask, id)),
        }
    }

    /// An error body of this vendor.
    pub fn error(self, status: u16, refusal: Option<&Refusal>) -> Vec<u8> {
        let message = refusal.map_or_else(|| format!("made-up failure {status}"), |r| r.message.clone());
        let param = refusal.and_then(|r| r.param.clone());
        match self {
            Self::OpenAi => openai::error(status, &message, param.as_deref()),
            Self::Anthropic => anthropic::error(status, &message),
        }
    }
}

impl Refusal {
    /// With this status.
    pub fn of(status: u16, message: &str) -> Self {
        Self { status, param: None, message: message.to_owned() }
    }

    fn bad(param: &str, message: impl Into<String>) -> Self {
        let param = Some(param.to_owned()).filter(|p| !p.is_empty());
        Self { status: 400, param, message: message.into() }
    }
}

/// The pieces in which a text is streamed: 1 to 9 characters each, one an event.
pub fn pieces(text: &str) -> Vec<String> {
    let mut random = engine::draw::Draw::new(text.len() as u64);
    let mut rest = text.chars().peekable();
    let mut out = Vec::new();
    while rest.peek().is_some() {
        out.push(rest.by_ref().take(1 + (random.bits() % 9) as usize).collect());
    }
    out
}
