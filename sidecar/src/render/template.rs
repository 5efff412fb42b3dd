//! Fills a template: `{{name}}` becomes the value of that name.
//!
//! Decision: the rendered files are meant to be read, so their comments and layout stand in `templates/` as they come
//! out. Rejected: serialising structs, which loses comments, and a template engine for what is one loop.

use sha2::{Digest as _, Sha256};

/// The template with its placeholders replaced. Values are put in as they are: whoever brings one quotes it.
///
/// A line that holds nothing but a placeholder goes if its value is empty.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    for line in template.lines() {
        let mut rest = line;
        let mut filled = String::new();
        while let Some((before, (name, after))) =
            rest.split_once("{{").and_then(|(b, r)| Some((b, r.split_once("}}")?)))
        {
            // `{{name}}}` closes a flow mapping, so the braces that belong to the name are the first two.
            filled.push_str(before);
            filled.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
            rest = after;
        }
        filled.push_str(rest);
        let alone = line.trim().starts_with("{{") && line.trim().ends_with("}}");
        if !(alone && filled.trim().is_empty()) {
            out.push_str(filled.trim_end_matches('\n'));
            out.push('\n');
        }
    }
    out
}

/// The same for a file of a subscription: `{{version}}` becomes a digest of the rest.
pub(super) fn stamped(template: &str, values: &[(&str, &str)]) -> String {
    let digest = Sha256::digest(fill(template, values));
    let version: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let version = quote(&version);
    fill(template, &[values, &[("version", &version)]].concat())
}

/// Any text as a YAML scalar: a JSON string is one.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::{fill, quote, stamped};

    #[test]
    fn values_are_not_filled_again() {
        assert_eq!(fill("a: {{a}}, b: {x: {{b}}}\n", &[("a", "{{b}}"), ("b", "1")]), "a: {{b}}, b: {x: 1}\n");
    }

    #[test]
    fn a_stamp_tells_contents_apart() {
        let stamp = |value| stamped("v: {{version}}\na: {{a}}\n", &[("a", value)]);
        assert!(stamp("1").starts_with("v: \"") && stamp("1").ends_with("\"\na: 1\n"), "{}", stamp("1"));
        assert_eq!(stamp("1"), stamp("1"));
        assert_ne!(stamp("1").lines().next(), stamp("2").lines().next());
    }

    #[test]
    fn a_line_goes_with_its_empty_value() {
        assert_eq!(fill("a\n{{none}}\n\nb {{none}}\n", &[("none", "")]), "a\n\nb \n");
    }

    #[test]
    fn any_text_survives_as_a_yaml_scalar() {
        for text in ["plain", "Bearer ", "a: b # c", "\"'\\\n\t\u{1f}", "ключ→", "{{x}}"] {
            let read: String = serde_saphyr::from_str(&quote(text)).expect("YAML");
            assert_eq!(read, text);
        }
    }
}
