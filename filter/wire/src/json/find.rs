//! Finds members by their bytes, where parsing everything would cost more than it is worth.
//!
//! Does not: check syntax, or know which object a member belongs to. In what is not JSON one may be missed.

use std::sync::OnceLock;

use memchr::memmem::{self, Finder};
use serde_json::value::RawValue;

/// A member's name with its quotes. Getting ready to search for it takes longer than searching an event, so that is done
/// once.
#[derive(Debug)]
pub(crate) struct Name {
    quoted: &'static [u8],
    finder: OnceLock<Finder<'static>>,
}

impl Name {
    pub(crate) const fn new(quoted: &'static [u8]) -> Self {
        Self { quoted, finder: OnceLock::new() }
    }

    /// Somewhere a member of this name has a value that begins so.
    pub(crate) fn begins(&self, data: &[u8], value_begins: &[u8]) -> bool {
        self.values(data).any(|rest| rest.starts_with(value_begins))
    }

    /// The data from the value of each member of this name on. Inside a string the quotes would be escaped.
    pub(crate) fn values<'a>(&self, data: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let length = self.quoted.len();
        let finder = self.finder.get_or_init(|| Finder::new(self.quoted));
        finder.find_iter(data).filter_map(move |at| value(data, at + length).and_then(|at| data.get(at..)))
    }
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

/// Every place where these bytes stand.
pub(crate) fn all(data: &[u8], bytes: &'static [u8]) -> impl Iterator<Item = usize> {
    memmem::find_iter(data, bytes)
}

/// The last member of this name (with its quotes) in the last bytes of a document.
pub(crate) fn last<'a>(tail: &'a [u8], name: &[u8]) -> Option<&'a RawValue> {
    let at = value(tail, memmem::rfind(tail, name)? + name.len())?;
    serde_json::Deserializer::from_slice(tail.get(at..)?).into_iter().next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_member_is_found_and_a_text_about_it_is_not() {
        static S: Name = Name::new(b"\"s\"");
        for (data, expected) in [
            (r#"{"a":[{"s":""}]}"#, true),
            ("{\"s\" \n:\t\"\"}", true),
            (r#"{"s":"x"}"#, false),
            (r#"{"s":null}"#, false),
            (r#"{"a":"s","b":""}"#, false),
            (r#"{"a":"{\"s\":\"\"}"}"#, false),
            (r#""s":"#, false),
        ] {
            assert_eq!(S.begins(data.as_bytes(), b"\"\""), expected, "{data}");
        }
    }
}
