//! The model's name as one segment of a path.
//!
//! Does not: check the rest of the path; configuration does. Decision: a name that could still climb once a server has
//! decoded it (`..` between slashes of any spelling) is refused. Rejected: to encode dots, since `%2E` means a dot to
//! every normaliser.

use std::borrow::Cow;

/// Stands for the model's name in a configured path.
pub const MODEL: &str = "{model}";

/// The path with the model's name in it. None if the name cannot be one segment.
#[must_use]
pub fn fill<'p>(path: &'p str, model: &str) -> Option<Cow<'p, str>> {
    if !path.contains(MODEL) {
        return Some(Cow::Borrowed(path));
    }
    Some(Cow::Owned(path.replace(MODEL, &segment(model)?)))
}

fn segment(name: &str) -> Option<String> {
    let climbs = |part: &str| matches!(part, "" | "." | "..");
    if name.split(['/', '\\']).any(climbs) {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(u32::from(digit), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSIC: &str = "/openai/deployments/{model}/chat/completions?api-version=2024-10-21";

    #[test]
    fn a_name_is_one_segment_whatever_it_holds() {
        for (name, expected) in [
            ("gpt-4o", "gpt-4o"),
            ("my.deployment_1~", "my.deployment_1~"),
            ("a/b", "a%2Fb"),
            ("a?api-version=1#x", "a%3Fapi-version%3D1%23x"),
            ("a%2Fb", "a%252Fb"),
            ("a b\r\nhost: x", "a%20b%0D%0Ahost%3A%20x"),
            ("modèle", "mod%C3%A8le"),
            ("{model}", "%7Bmodel%7D"),
            ("...", "..."),
        ] {
            let filled = fill(CLASSIC, name).unwrap();
            assert_eq!(filled, CLASSIC.replace(MODEL, expected));
            assert_eq!(filled.split('/').count(), CLASSIC.split('/').count());
        }
    }

    #[test]
    fn a_name_that_climbs_is_refused() {
        for name in ["", ".", "..", "../x", "a/..", "a/../../b", "a\\..\\b", "/etc", "a//b"] {
            assert_eq!(fill(CLASSIC, name), None, "{name}");
            assert_eq!(fill("/chat/completions", name).as_deref(), Some("/chat/completions"), "no name is asked for");
        }
    }
}
