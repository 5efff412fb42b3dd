//! Names that some server takes for a name that routing knows, and others do not: `Model`, `MAX_TOKENS`, `maxTokens`.
//!
//! Go's `encoding/json` and .NET's web defaults match the names of members without regard to case, and a server whose
//! messages are Protocol Buffers takes `maxTokens` for `max_tokens`. What such a server believes would pass every list and
//! every bound that was checked by the exact name. So a name of another spelling counts as the same member once more.
//!
//! Does not: know which provider has such a server. Nobody can tell from outside, and no client needs two spellings.

use super::reach::{BEYOND, SAID};
use super::routing::ROUTING;
use super::{ASIDE, NAMES, TERMS};
use crate::format::Malformed;

/// No known name has more letters and digits.
const LONGEST: usize = 32;

/// The name that routing knows and this name stands for in another spelling; `None` for the known names themselves.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let lists = [NAMES, ASIDE, TERMS, SAID, BEYOND, ROUTING];
    let known = || lists.into_iter().flatten().copied();
    let folded = Folded::of(name)?;
    let alike = known().find(|known| folded.is(known))?;
    (!known().any(|known| known == name)).then_some(alike)
}

/// The fault of a member that is another spelling of `known`, if this name is one.
pub(super) fn fault(name: &str, known: &str, path: &str) -> Option<Malformed> {
    let respelled = name != known && Folded::of(name).is_some_and(|folded| folded.is(known));
    respelled.then(|| malformed(&format!("{path}{name}"), &format!("{path}{known}")))
}

/// The fault of a member of this name, which stands for `known` in another spelling.
pub(super) fn malformed(name: &str, known: &str) -> Malformed {
    let message = format!("some servers read this as `{known}`: send `{known}`, once and spelled so");
    Malformed { path: name.to_owned(), message }
}

/// A name without case, `_` and `-`.
struct Folded {
    letters: [u8; LONGEST],
    length: usize,
}

impl Folded {
    /// `None`: it cannot stand for a known name, which has ASCII letters and digits alone.
    fn of(name: &str) -> Option<Self> {
        if name.len() > 2 * LONGEST {
            return None;
        }
        let mut folded = Self { letters: [0; LONGEST], length: 0 };
        for c in name.chars().filter(|c| !matches!(c, '_' | '-')) {
            *folded.letters.get_mut(folded.length)? = letter(c)?;
            folded.length += 1;
        }
        (folded.length > 0).then_some(folded)
    }

    fn is(&self, known: &str) -> bool {
        let letters = self.letters.get(..self.length).unwrap_or_default();
        // Nearly every name differs in its first letter, and a body may have a million names.
        known.as_bytes().first() == letters.first()
            && known.len() >= self.length
            && known.bytes().filter(|b| *b != b'_').map(|b| b.to_ascii_lowercase()).eq(letters.iter().copied())
    }
}

/// The ASCII letter or digit that a case folding makes of it. Of all others in Unicode four are such letters in one case:
/// `ſ`, the sign of Kelvin, and the two Turkish forms of `i`.
fn letter(c: char) -> Option<u8> {
    match c {
        'ſ' => Some(b's'),
        '\u{212a}' => Some(b'k'),
        'ı' | 'İ' => Some(b'i'),
        _ => u8::try_from(c).ok().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase()),
    }
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "the names that are cut are ASCII")]
mod tests {
    use super::*;

    /// Every known name in every spelling that some parser folds.
    fn spellings(name: &str) -> Vec<String> {
        let camel: String = name
            .split('_')
            .enumerate()
            .map(|(i, part)| if i == 0 { part.to_owned() } else { part[..1].to_uppercase() + &part[1..] })
            .collect();
        let title = name[..1].to_uppercase() + &name[1..];
        let with = |from: &str, to: &str| name.replace(from, to);
        let odd = [with("s", "ſ"), with("k", "\u{212a}"), with("i", "ı"), with("i", "İ")];
        let plain = [name.to_uppercase(), title, camel, name.replace('_', ""), name.replace('_', "-")];
        plain.into_iter().chain(odd).filter(|spelled| spelled != name).collect()
    }

    #[test]
    fn every_name_that_is_known_has_no_second_spelling() {
        let lists = [NAMES, ASIDE, TERMS, SAID, BEYOND, ROUTING];
        let mut spelled = 0;
        for name in lists.into_iter().flatten().copied() {
            assert!(
                name.len() <= LONGEST && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphabetic()),
                "{name}"
            );
            assert_eq!(known(name), None, "{name} itself");
            for other in spellings(name) {
                spelled += 1;
                let body = format!(r#"{{"model":"m","{other}":null}}"#);
                let fault = super::super::scan(body.as_bytes()).unwrap_err();
                assert_eq!(fault.path, other);
                assert!(fault.message.contains(&format!("`{name}`")), "{fault:?}");
            }
        }
        assert!(spelled > 200, "{spelled}");
        for harmless in ["mode", "messages2", "", "_", "é", "x-model", "temperatur", "streams"] {
            assert_eq!(known(harmless), None, "{harmless}");
        }
        assert_eq!(known(&format!("model{}", "_".repeat(100))), None, "no server folds that much");
    }

    #[test]
    fn usage_is_asked_for_by_one_name() {
        let body = br#"{"stream_options":{"include_usage":true,"Include_Usage":false}}"#;
        let fault = super::super::scan(body).unwrap_err();
        assert_eq!(fault.path, "stream_options.Include_Usage");
        assert!(fault.message.contains("`stream_options.include_usage`"));
    }
}
