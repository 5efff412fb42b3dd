//! Names of workloads as patterns: `spiffe://cluster.local/ns/{team}/sa/*`.
//!
//! `{name}` takes a part of one path segment and gives it a name, `*` takes one without; neither takes a slash, and
//! neither takes nothing. What they took is put into a [`Template`] such as `team-{team}`.
//!
//! Decision: from left to right, each takes up to the next of what stands after it, the last one up to the end, and
//! nothing is tried twice: the work is bounded whatever a client puts into a claim, and a name has one reading.
//! Rejected: regular expressions, whose unanchored forms have let strangers in, and which would need a library.

use std::fmt;

/// A longer name is no workload's.
const LONGEST: usize = 2048;

/// What a name must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

/// A text with what a pattern took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `{name}`, or `*` without a name.
    Hole(Option<String>),
}

/// Why a text is neither pattern nor template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// What a pattern took, by name.
pub type Taken<'a> = Vec<(&'a str, &'a str)>;

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    /// A brace without its other, a name that is none or stands twice, or two that take side by side.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let parts = parts(text, true)?;
        if parts.windows(2).any(|two| matches!(two, [Part::Hole(_), Part::Hole(_)])) {
            return Err(Malformed("two that take side by side"));
        }
        let pattern = Self(parts);
        let names: Vec<&str> = pattern.names().collect();
        let twice = names.iter().enumerate().any(|(i, name)| names.iter().take(i).any(|former| former == name));
        if twice { Err(Malformed("a name in braces twice")) } else { Ok(pattern) }
    }

    /// The names it takes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        names(&self.0)
    }

    /// What it takes of this name; `None` if it does not match the whole of it.
    #[must_use]
    pub fn take<'a>(&'a self, name: &'a str) -> Option<Taken<'a>> {
        if name.len() <= LONGEST { matches(&self.0, name) } else { None }
    }
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// A brace without its other, or a name that is none.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        parts(text, false).map(Self)
    }

    /// The names it wants.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        names(&self.0)
    }

    /// The text, if it takes nothing.
    #[must_use]
    pub fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with what was taken. What was not taken is left out; the checks let no such template pass.
    #[must_use]
    pub fn fill(&self, taken: &[(&str, &str)]) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Hole(name) => {
                    let found = taken.iter().find(|(known, _)| Some(*known) == name.as_deref());
                    text.push_str(found.map_or("", |(_, value)| value));
                }
            }
        }
        text
    }
}

fn names(parts: &[Part]) -> impl Iterator<Item = &str> {
    parts.iter().filter_map(|part| match part {
        Part::Hole(name) => name.as_deref(),
        Part::Text(_) => None,
    })
}

/// `stars`: `*` takes too; else it is a letter like any other.
fn parts(text: &str, stars: bool) -> Result<Vec<Part>, Malformed> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let at = rest.find(|c| c == '{' || c == '}' || stars && c == '*').unwrap_or(rest.len());
        let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if !plain.is_empty() {
            parts.push(Part::Text(plain.to_owned()));
        }
        if tail.is_empty() {
            return Ok(parts);
        }
        rest = if let Some(after) = tail.strip_prefix('*') {
            parts.push(Part::Hole(None));
            after
        } else {
            let inner = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
            let (name, after) = inner.ok_or(Malformed("a brace without its other"))?;
            let fine = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if !fine {
                return Err(Malformed("something in braces that is no name"));
            }
            parts.push(Part::Hole(Some(name.to_owned())));
            after
        };
    }
}

/// One hole at a time, from the left: up to the next of what stands after it, the last one up to the end.
fn matches<'a>(mut parts: &'a [Part], name: &'a str) -> Option<Taken<'a>> {
    let mut taken = Vec::new();
    let mut rest = name;
    while let Some((part, after)) = parts.split_first() {
        match part {
            Part::Text(text) => rest = rest.strip_prefix(text.as_str())?,
            Part::Hole(called) => {
                let first = rest.chars().next()?.len_utf8();
                let end = match after {
                    [] => rest.len(),
                    [Part::Text(text)] => rest.strip_suffix(text.as_str())?.len(),
                    [Part::Text(text), ..] => first + rest.get(first..)?.find(text.as_str())?,
                    [Part::Hole(_), ..] => return None,
                };
                let (value, tail) = rest.split_at_checked(end)?;
                if value.is_empty() || value.contains('/') {
                    return None;
                }
                taken.extend(called.as_deref().map(|called| (called, value)));
                rest = tail;
            }
        }
        parts = after;
    }
    rest.is_empty().then_some(taken)
}

#[cfg(test)]
mod tests {
    use super::{Pattern, Template};

    fn taken(pattern: &str, name: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern).unwrap();
        let taken = pattern.take(name)?;
        Some(taken.iter().map(|(name, value)| format!("{name}={value};")).collect())
    }

    #[test]
    fn a_pattern_matches_the_whole_of_a_name_and_takes_no_slash() {
        let pattern = "spiffe://cluster.local/ns/{team}/sa/*";
        assert_eq!(taken(pattern, "spiffe://cluster.local/ns/search/sa/web").as_deref(), Some("team=search;"));
        for other in [
            "",
            "spiffe://cluster.local/ns/search/sa/",
            "spiffe://cluster.local/ns//sa/web",
            "spiffe://cluster.local/ns/a/b/sa/web",
            "spiffe://cluster.local/ns/search/sa/web/x",
            "xspiffe://cluster.local/ns/search/sa/web",
            "spiffe://clusterxlocal/ns/search/sa/web",
        ] {
            assert_eq!(taken(pattern, other), None, "{other}");
        }
    }

    #[test]
    fn several_in_one_segment_take_up_to_the_next_text() {
        let told = |name| taken("{user}@{team}.example.com", name);
        assert_eq!(told("ä@search.example.com").as_deref(), Some("user=ä;team=search;"));
        assert_eq!(told("a@b.example.com.example.com").as_deref(), Some("user=a;team=b.example.com;"));
        assert_eq!(told("@search.example.com"), None, "nobody");
        assert_eq!(told("a@.example.com"), None, "no team");
        assert_eq!(taken("a*a", "aa"), None, "a hole takes something");
        assert_eq!(taken("*", "anything").as_deref(), Some(""));
        assert_eq!(taken("exact", "exact").as_deref(), Some(""));
    }

    #[test]
    fn a_template_is_filled() {
        let pattern = Pattern::parse("ns/{ns}/sa/{sa}").unwrap();
        let template = Template::parse("team-{ns}*{sa}").unwrap();
        assert_eq!(template.fill(&pattern.take("ns/a/sa/b").unwrap()), "team-a*b");
        assert_eq!((template.plain(), Template::parse("x").unwrap().plain()), (None, Some("x")));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (text, told) in [
            ("{team", "a brace without its other"),
            ("team}", "a brace without its other"),
            ("{}", "something in braces that is no name"),
            ("{a b}", "something in braces that is no name"),
            ("{a}{b}", "two that take side by side"),
            ("**", "two that take side by side"),
            ("{a}/{a}", "a name in braces twice"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err().to_string(), told, "{text}");
        }
    }
}
