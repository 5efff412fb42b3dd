//! A client's own text as the client is told it: bounded, on one line.
//!
//! Names of members and models come back in messages and headers. What is shown of one has at most [`QUOTED`] bytes:
//! `The model `aaaaaaaaaa...` is not served here.`

use wire::format::bounds::{QUOTED, cut};

/// Without control characters, cut to [`QUOTED`] bytes.
pub(crate) fn shown(text: &str) -> String {
    within(text, QUOTED)
}

/// The same with a bound of its own.
pub(crate) fn within(text: &str, longest: usize) -> String {
    // Most of a long text is never looked at: a character has four bytes at most.
    let line: String = text.chars().filter(|c| !c.is_control()).take(longest + 1).collect();
    cut(&line, longest).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_on_one_line() {
        assert_eq!(shown("gpt\r\n-4o"), "gpt-4o");
        assert_eq!(shown(&"a".repeat(QUOTED)), "a".repeat(QUOTED));
        assert_eq!(shown(&"a".repeat(QUOTED + 1)), "a".repeat(QUOTED) + "...");
    }
}
