//! What faults of all formats share when they are decoded.

use crate::ir::{Fault, FaultKind};

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

/// A message cut to a sane length, without what looks like a key: providers quote (parts of) the key they refuse, and
/// that key is the gateway's, not the client's.
fn presentable(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let trimmed = word.trim_end();
        if out.len() + word.len() > MAX_MESSAGE {
            out.push('…');
            break;
        }
        if looks_like_key(trimmed) {
            out.push_str("[redacted]");
            out.push_str(word.strip_prefix(trimmed).unwrap_or_default());
        } else {
            out.push_str(word);
        }
    }
    out
}

fn looks_like_key(word: &str) -> bool {
    const PREFIXES: &[&str] = &["sk-", "sk_", "gsk_", "xai-", "csk-", "fw_", "pplx-", "key-", "Bearer"];
    let bare = word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    word.contains("***") || (bare.len() > 12 && PREFIXES.iter().any(|prefix| bare.starts_with(prefix)))
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
        assert_eq!(presentable(text), "key [redacted] is unknown");
    }

    #[test]
    fn a_long_message_is_cut() {
        assert!(presentable(&"word ".repeat(10_000)).len() <= MAX_MESSAGE + "…".len());
    }

    #[test]
    fn a_status_that_is_no_error_becomes_the_kinds_own() {
        assert_eq!(of(200, FaultKind::Overloaded, None).status, 503);
        assert_eq!(of(529, FaultKind::Overloaded, None).status, 529);
    }
}
