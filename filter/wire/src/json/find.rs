//! Finds members by their bytes, where parsing everything would cost more than it is worth.
//!
//! Does not: check syntax, or know which object a member belongs to. In what is not JSON one may be missed.

use memchr::memmem;

/// Somewhere a member of this name (with its quotes) has a value that begins so. Inside a string the quotes would be
/// escaped.
pub(crate) fn begins(data: &[u8], name: &[u8], value_begins: &[u8]) -> bool {
    let value = |at: usize| value(data, at + name.len()).and_then(|at| data.get(at..));
    memmem::find_iter(data, name).any(|at| value(at).is_some_and(|rest| rest.starts_with(value_begins)))
}

/// Where the value of a member begins whose name ends before `at`.
pub(crate) fn value(data: &[u8], at: usize) -> Option<usize> {
    let colon = something(data, at);
    (data.get(colon) == Some(&b':')).then(|| something(data, colon + 1))
}

/// The next place from `at` on that is not white space.
pub(crate) fn something(data: &[u8], at: usize) -> usize {
    let rest = data.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::begins;

    #[test]
    fn a_member_is_found_and_a_text_about_it_is_not() {
        for (data, expected) in [
            (r#"{"a":[{"s":""}]}"#, true),
            ("{\"s\" \n:\t\"\"}", true),
            (r#"{"s":"x"}"#, false),
            (r#"{"s":null}"#, false),
            (r#"{"a":"s","b":""}"#, false),
            (r#"{"a":"{\"s\":\"\"}"}"#, false),
            (r#""s":"#, false),
        ] {
            assert_eq!(begins(data.as_bytes(), b"\"s\"", b"\"\""), expected, "{data}");
        }
    }
}
