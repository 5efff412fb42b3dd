//! How many values a body holds, without reading one: what decoding takes grows with them, and not with their text.
//!
//! `{"model":"m","tools":[{},{}]}` holds five, three of them in `tools`.
//!
//! Does not: check syntax. Of what is no JSON it says some number.

use memchr::memchr2;

/// The values of a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes<'a> {
    /// All of them.
    pub all: usize,
    /// The name of the top-level member that holds most, as it stands in the body, and how many it holds.
    pub heaviest: Option<(&'a [u8], usize)>,
}

impl<'a> Nodes<'a> {
    /// Counts them in one pass.
    #[must_use]
    pub fn of(body: &'a [u8]) -> Self {
        let (mut nodes, mut at, mut depth) = (Self::default(), 0, 0_usize);
        // The member that is read now, and what was counted before it.
        let (mut member, mut before): (Option<&[u8]>, usize) = (None, 0);
        while let Some(byte) = body.get(at) {
            match byte {
                b'"' => {
                    let text = body.get(at + 1..).unwrap_or_default();
                    let length = end(text);
                    if depth == 1 && member.is_none() {
                        (member, before) = (text.get(..length), nodes.all);
                    }
                    at += 1 + length;
                }
                b'{' | b'[' => {
                    nodes.all += 1;
                    depth += 1;
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' => {
                    if depth == 1 {
                        nodes.weigh(member.take(), before);
                    }
                    nodes.all += 1;
                }
                _ => {}
            }
            at += 1;
        }
        nodes.weigh(member, before);
        nodes
    }

    fn weigh(&mut self, member: Option<&'a [u8]>, before: usize) {
        let own = self.all - before;
        if let Some(name) = member.filter(|_| self.heaviest.is_none_or(|(_, most)| own > most)) {
            self.heaviest = Some((name, own));
        }
    }
}

/// Where the string ends that begins here: at its quote, or with the text.
fn end(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_strings_and_the_heaviest_member_is_named() {
        let body = br#"{"model":"a,b,{[\",","tools":[{},{}],"messages":[{"content":"x","n":[1,2,3]}],"z":1}"#;
        let nodes = Nodes::of(body);
        assert_eq!(nodes.heaviest, Some((&b"messages"[..], 6)));
        // The object itself and three commas of its own.
        assert_eq!(nodes.all, 1 + 3 + 4 + 6);
        assert_eq!(Nodes::of(b"").all, 0);
        assert_eq!(Nodes::of(br#"{"a":"no end"#).all, 1);
        assert_eq!(Nodes::of(br#"{"a":"\"#).heaviest, Some((&b"a"[..], 0)));
    }
}
