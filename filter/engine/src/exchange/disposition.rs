//! What kind of failure an error is, for those who decide where to ask next.
//!
//! Does not: decide it; that is `judge`. A status says most of it; what a 4xx is about stands in its body alone.
//!
//! Decision: one table of words for all formats, since servers of one format borrow the other's words. Codes stand as
//! their vendors document them (<https://platform.openai.com/docs/guides/error-codes>,
//! <https://docs.claude.com/en/api/errors>); for what has no code a piece of the message stands. What one vendor alone
//! means by a status stands with the name of its row, and is read before anything else but the user's own rules.

use wire::format::Outbound;
use wire::ir::{Fault, FaultKind};

use crate::config::schema::Also;
use crate::config::snapshot::ErrorRule;

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It may be well with somebody else, or later: failures, resets, time limits.
    Transient,
    /// Too many requests with this key.
    RateLimited,
    /// The key is refused, or its account is exhausted: not a matter of time.
    HardDown,
    /// The request itself.
    ClientFault,
    /// It is longer than the model takes.
    ContextTooLong,
    /// The vendor will not answer this.
    ContentPolicy,
    /// A stream that ended without content and did not say that it stopped.
    Empty,
    /// An answer that nobody can read.
    Garbled,
    /// A stream without content in time.
    Stalled,
}

use Disposition::{
    ClientFault, ContentPolicy, ContextTooLong, Empty, Garbled, HardDown, RateLimited, Stalled, Transient,
};

const CODES: &[(&str, Disposition)] = &[
    ("context_length_exceeded", ContextTooLong),
    ("content_filter", ContentPolicy),
    ("content_policy_violation", ContentPolicy),
];

/// In lower case.
const MESSAGES: &[(&str, Disposition)] = &[
    ("prompt is too long", ContextTooLong),
    ("exceed context limit", ContextTooLong),
    ("exceeds the context window", ContextTooLong),
    ("exceeds the available context size", ContextTooLong),
    ("input is too long for", ContextTooLong),
    ("maximum context length", ContextTooLong),
    ("maximum prompt length", ContextTooLong),
    ("blocked by content filtering policy", ContentPolicy),
    ("flagged as potentially violating", ContentPolicy),
];

/// What the vendors of some rows mean by a status: name of the row, status, words of the message in lower case.
const ROWS: &[(&str, u16, &str, Disposition)] = &[
    ("anthropic", 400, "credit balance is too low", HardDown),
    // <https://openrouter.ai/docs/api/reference/errors-and-debugging>
    ("openrouter", 403, "requires moderation", ContentPolicy),
    ("openrouter", 403, "key limit exceeded", HardDown),
    // As others have published its answers.
    ("xai", 400, "incorrect api key", HardDown),
    ("xai", 403, "violates usage guidelines", ContentPolicy),
];

impl Disposition {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Transient, RateLimited, HardDown, ClientFault, ContextTooLong, ContentPolicy, Empty, Garbled, Stalled];

    /// As far as a status tells.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401..=403 => HardDown,
            // A candidate's model is the gateway's choice, not the client's.
            404 | 408 => Transient,
            429 => RateLimited,
            400..=499 => ClientFault,
            _ => Transient,
        }
    }

    /// By all that a provider said.
    #[must_use]
    pub fn of_fault(fault: &Fault) -> Self {
        let by_status = Self::of_status(fault.status);
        if fault.kind == FaultKind::QuotaExceeded {
            return HardDown;
        }
        if by_status != ClientFault {
            return by_status;
        }
        let code = fault.code.as_deref().unwrap_or_default();
        let message = fault.message.to_ascii_lowercase();
        let by_code = CODES.iter().find(|(word, _)| *word == code);
        let by_words = || MESSAGES.iter().find(|(words, _)| message.contains(words));
        by_code.or_else(by_words).map_or(ClientFault, |(_, disposition)| *disposition)
    }

    /// What is known of this row's errors, as rules.
    pub(crate) fn known(row: &str) -> impl Iterator<Item = ErrorRule> {
        ROWS.iter().filter(move |(name, ..)| *name == row).map(|(_, status, words, is)| ErrorRule {
            status: Some(*status),
            code: None,
            message: Some((*words).to_owned()),
            is: *is,
            rest: None,
        })
    }

    /// What the configuration calls it, where it fails over only if told to.
    pub(crate) fn also(self) -> Option<Also> {
        match self {
            ClientFault => Some(Also::ClientFault),
            ContextTooLong => Some(Also::ContextTooLong),
            ContentPolicy => Some(Also::ContentPolicy),
            Transient | RateLimited | HardDown | Empty | Garbled | Stalled => None,
        }
    }

    /// The one of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|is| is.word() == word)
    }

    /// The word for it, in `x-attache-trail`, settlements and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Transient => "transient",
            RateLimited => "rate_limited",
            HardDown => "hard_down",
            ClientFault => "client_fault",
            ContextTooLong => "context_too_long",
            ContentPolicy => "content_policy",
            Empty => "empty",
            Garbled => "garbled",
            Stalled => "stalled",
        }
    }
}

impl ErrorRule {
    /// Is an error of this status not decided without its body?
    pub(super) fn reads(&self, status: u16) -> bool {
        self.status.is_none_or(|of| of == status) && (self.code.is_some() || self.message.is_some())
    }

    /// Does it say what an error of this status is, whatever its body?
    pub(super) fn decides(&self, status: u16) -> bool {
        self.status == Some(status) && self.code.is_none() && self.message.is_none()
    }

    /// Is it this error?
    pub(super) fn matches(&self, format: &dyn Outbound, fault: &Fault) -> bool {
        self.status.is_none_or(|status| status == fault.status)
            && self.code.as_deref().is_none_or(|code| format.error_code(fault) == Some(code))
            && self.message.as_deref().is_none_or(|words| fault.message.to_ascii_lowercase().contains(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_and_the_words_of_its_body_make_a_kind() {
        let cases = [
            (500, FaultKind::Internal, "", "oops", Transient),
            (529, FaultKind::Overloaded, "", "busy", Transient),
            (404, FaultKind::NotFound, "model_not_found", "no such model", Transient),
            (401, FaultKind::Authentication, "invalid_api_key", "who?", HardDown),
            (429, FaultKind::RateLimited, "", "slow down", RateLimited),
            (429, FaultKind::QuotaExceeded, "insufficient_quota", "pay", HardDown),
            (400, FaultKind::InvalidRequest, "", "bad", ClientFault),
            (413, FaultKind::TooLarge, "", "Request exceeds the maximum size", ClientFault),
            (400, FaultKind::InvalidRequest, "context_length_exceeded", "too long", ContextTooLong),
            (400, FaultKind::InvalidRequest, "", "Prompt is too long: 210000 tokens > 200000 maximum", ContextTooLong),
            (400, FaultKind::InvalidRequest, "content_filter", "no", ContentPolicy),
            (400, FaultKind::InvalidRequest, "", "Output blocked by content filtering policy", ContentPolicy),
            // A failure that quotes such words is a failure.
            (500, FaultKind::Internal, "content_filter", "the filter is down", Transient),
        ];
        for (status, kind, code, message, expected) in cases {
            let fault = Fault { status, ..Fault::new(kind, message).with_code(code) };
            assert_eq!(Disposition::of_fault(&fault), expected, "{fault:?}");
        }
    }
}
