//! What faults of all formats share when they are decoded.

use super::bounds::cut;
use crate::ir::{Fault, FaultKind};
use crate::mask::mask;

/// Longest message taken over from a provider.
const MAX_MESSAGE: usize = 2048;

/// A fault with a provider's words, or our own if it found none. A status that is no error's (0 inside a stream, or a
/// 200 with an error in it) becomes the kind's own.
pub(crate) fn of(status: u16, kind: FaultKind, message: Option<String>) -> Fault {
    let message = message.filter(|text| !text.is_empty()).map(|text| presentable(&text));
    let fault = Fault::new(kind, message.unwrap_or_else(|| silent(status)));
    Fault { status: if (400..=599).contains(&status) { status } else { kind.status() }, ..fault }
}

/// A fault whose body says nothing we understand. The body is not repeated: it may be a page.
pub(crate) fn bare(status: u16) -> Fault {
    of(status, FaultKind::of_status(status), None)
}

/// Words by which servers say that they failed, where others say why an answer ended: OpenRouter's, Mistral's and
/// vLLM's; DeepSeek's; Zhipu's; vLLM's and SGLang's.
const FAILED: &[(&str, FaultKind)] = &[
    ("error", FaultKind::Internal),
    ("insufficient_system_resource", FaultKind::Overloaded),
    ("network_error", FaultKind::BadGateway),
    ("abort", FaultKind::BadGateway),
];

/// The fault that a reason to stop stands for, if it stands for one.
pub(crate) fn of_reason(word: &str) -> Option<Fault> {
    let (word, kind) = FAILED.iter().find(|(known, _)| known.eq_ignore_ascii_case(word))?;
    Some(Fault::new(*kind, format!("The provider ended its answer with `{word}`.")))
}

fn silent(status: u16) -> String {
    match status {
        0 => "The provider reported an error without a message.".to_owned(),
        _ => format!("The provider answered with status {status}."),
    }
}

/// The stream ended before the provider said so.
pub(crate) fn truncated() -> Fault {
    Fault::new(FaultKind::BadGateway, "The provider's stream ended before it was complete.")
}

/// The stream holds something that cannot be understood.
pub(crate) fn garbled(what: &str) -> Fault {
    Fault::new(FaultKind::BadGateway, format!("The provider's stream cannot be understood: {what}."))
}

/// A message cut to a sane length, without what looks like a key.
fn presentable(text: &str) -> String {
    mask(&cut(text, MAX_MESSAGE)).into_owned()
}

/// Longest word for programs taken over from a provider.
const MAX_WORD: usize = 128;

/// A provider's `code`, `type` or `param`, as a client may hear it: short, on one line, and without what looks like a key.
pub(crate) fn word(text: Option<String>) -> Option<String> {
    let text: String = text?.chars().filter(|c| !c.is_control()).take(MAX_WORD).collect();
    Some(mask(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_key_is_redacted() {
        let text = "Incorrect API key provided: sk-abcd*****wxyz. You can find your API key at https://example.com.";
        assert_eq!(
            of(401, FaultKind::Authentication, Some(text.to_owned())).message,
            "Incorrect API key provided: [redacted] You can find your API key at https://example.com."
        );
        let text = "key 'sk-proj-0123456789abcdef' is unknown";
        assert_eq!(presentable(text), "key '[redacted]' is unknown");
    }

    #[test]
    fn a_long_message_is_cut() {
        assert!(presentable(&"word ".repeat(10_000)).len() <= MAX_MESSAGE + "...".len());
    }

    #[test]
    fn a_status_that_is_no_error_becomes_the_kinds_own() {
        assert_eq!(of(200, FaultKind::Overloaded, None).status, 503);
        assert_eq!(of(529, FaultKind::Overloaded, None).status, 529);
    }
}
