//! A client's own text as the client is told it: bounded, on one line.
//!
//! Names of members and models come back in messages and headers. What is shown of one has at most [`LONGEST`] bytes:
//! `The model `aaaaaaaaaa...` is not served here.`

/// Most bytes that are shown of a name.
pub(crate) const LONGEST: usize = 128;

/// Without control characters, cut to [`LONGEST`] bytes. Three dots say that something is missing.
pub(crate) fn shown(text: &str) -> String {
    within(text, LONGEST)
}

/// The same with a bound of its own.
pub(crate) fn within(text: &str, longest: usize) -> String {
    cut(text.chars().filter(|c| !c.is_control()), longest)
}

/// Cut alone.
pub(crate) fn cut(text: impl Iterator<Item = char>, longest: usize) -> String {
    let mut out = String::new();
    for c in text {
        if out.len() + c.len_utf8() > longest {
            out.push_str("...");
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_ends_between_two_characters() {
        assert_eq!(shown("gpt\r\n-4o"), "gpt-4o");
        assert_eq!(shown(&"a".repeat(LONGEST)), "a".repeat(LONGEST));
        assert_eq!(shown(&"a".repeat(LONGEST + 1)), "a".repeat(LONGEST) + "...");
        // Two bytes a character: the last one does not fit.
        assert_eq!(shown(&format!("a{}", "é".repeat(LONGEST))), format!("a{}...", "é".repeat(LONGEST / 2 - 1)));
    }
}
