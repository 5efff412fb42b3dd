//! What looks like a credential is not told to clients: providers quote the key they refuse, or a part of it, and that key
//! is the gateway's.
//!
//! `Incorrect API key provided: sk-ab***wxyz` becomes `Incorrect API key provided: [redacted]`; where the length must stay,
//! each byte of it becomes `*`.
//!
//! Does not: know the keys themselves, which the gateway never reads. A provider that means to hand its key to a client can
//! always spell it in another way; this is about those that quote it.

use std::borrow::Cow;

/// Beginnings by which vendors mark their keys.
const MARKS: &[&[u8]] = &[
    b"sk-", b"sk_", b"rk-", b"rk_", b"gsk_", b"xai-", b"csk-", b"fw_", b"pplx-", b"key-", b"key_", b"hf_", b"nvapi-",
    b"r8_", b"AIza", b"ya29.", b"AKIA", b"ASIA", b"tgp_", b"vck_", b"ghp_", b"gho_", b"glpat-", b"xoxb-", b"xoxp-",
];

/// Beginning of a JSON Web Token.
const TOKEN: &[u8] = b"eyJ";

/// Schemes of `Authorization`, after which a credential follows.
const SCHEMES: &[&[u8]] = &[b"bearer", b"basic"];

/// No key is as short.
const SHORTEST: usize = 13;

/// What stands for a credential.
const REDACTED: &[u8] = b"[redacted]";

/// The text without what looks like a credential.
#[must_use]
pub fn mask(text: &str) -> Cow<'_, str> {
    match bytes(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        // Whole ASCII words are taken out.
        Cow::Owned(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
    }
}

/// The same for a header's value, which need not be text.
#[must_use]
pub fn bytes(value: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut done = 0;
    for (start, end) in (Found { text: value, at: 0 }) {
        out.extend_from_slice(value.get(done..start).unwrap_or_default());
        out.extend_from_slice(REDACTED);
        done = end;
    }
    if done == 0 {
        return Cow::Borrowed(value);
    }
    out.extend_from_slice(value.get(done..).unwrap_or_default());
    Cow::Owned(out)
}

/// A body in pieces, masked byte for byte: its length stays, and so does its JSON.
///
/// A word that has not ended waits for the next piece, up to [`Masker::WAITS`] bytes of it. Of a longer one that is no
/// credential so far the rest is passed.
#[derive(Debug, Default)]
pub struct Masker {
    /// Bytes that have not been shown.
    held: Vec<u8>,
    /// A credential goes on.
    inside: bool,
}

impl Masker {
    /// Longest word that waits for its end.
    pub const WAITS: usize = 1024;

    /// More bytes; gives what may be shown of all so far.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let ends = self.held.iter().rev().take_while(|byte| is_word(**byte) || **byte == b' ').count();
        let whole = self.held.len() - ends;
        // After a space may stand what `Bearer` was said of.
        let shown = if ends > Self::WAITS { self.held.len() } else { whole };
        self.show(shown, ends > Self::WAITS)
    }

    /// No more bytes.
    pub fn finish(&mut self) -> Vec<u8> {
        self.show(self.held.len(), false)
    }

    fn show(&mut self, size: usize, cut: bool) -> Vec<u8> {
        let rest = self.held.split_off(size);
        let mut out = std::mem::replace(&mut self.held, rest);
        if out.is_empty() {
            return out;
        }
        let mut goes_on = false;
        if self.inside {
            let ends = out.iter().take_while(|byte| is_word(**byte)).count();
            out.iter_mut().take(ends).for_each(|byte| *byte = b'*');
            goes_on = ends == out.len();
        }
        let found: Vec<_> = Found { text: &out, at: 0 }.collect();
        for (start, end) in found {
            out.get_mut(start..end).unwrap_or_default().fill(b'*');
            goes_on |= end == out.len();
        }
        self.inside = cut && goes_on;
        out
    }
}

/// Where credentials stand, from left to right.
struct Found<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for Found<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        // Word by word: each byte is looked at a few times, whatever the text is.
        loop {
            let rest = self.text.get(self.at..)?;
            let start = self.at + rest.iter().position(|byte| is_word(*byte))?;
            let word = self.text.get(start..)?;
            let word = word.get(..word.iter().take_while(|byte| is_word(**byte)).count())?;
            self.at = start + word.len();
            if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
                let gap = self.text.get(self.at..)?.iter().take_while(|byte| **byte == b' ').count();
                let next = self.text.get(self.at + gap..)?;
                let next = next.get(..next.iter().take_while(|byte| is_word(**byte)).count())?;
                if gap > 0 && is_secret(next) {
                    self.at += gap + next.len();
                    return Some((self.at - next.len(), self.at));
                }
            } else if is_credential(word) {
                return Some((start, self.at));
            }
        }
    }
}

/// Bytes of which keys are made. Quotes, backslashes and colons end one.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.*+/=~".contains(&byte)
}

/// A word that is marked as a key, from its beginning or after a sign in it (`x=sk-...`), or that has been masked already.
fn is_credential(word: &[u8]) -> bool {
    let part = |at: usize| word.get(at..).unwrap_or_default();
    let begins = |at: &usize| *at == 0 || word.get(at - 1).is_some_and(|byte| b".+/=~*".contains(byte));
    let marked = |at: usize| {
        let part = part(at);
        let token = part.len() >= 3 * SHORTEST && part.starts_with(TOKEN);
        token || part.len() >= SHORTEST && MARKS.iter().any(|mark| part.starts_with(mark))
    };
    let starred = word.windows(3).any(|three| three == b"***") && word.iter().any(u8::is_ascii_alphanumeric);
    starred || (0..word.len()).filter(begins).any(marked)
}

/// What follows `Bearer`, unless it is a word of a sentence.
fn is_secret(word: &[u8]) -> bool {
    word.len() >= 8 && word.iter().any(|byte| !byte.is_ascii_lowercase() && *byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &[
        "sk-proj-0123456789abcdef",
        "sk-ant-api03-PROVKEY-secret",
        "gsk_0123456789abcdef",
        "xai-0123456789abcdef",
        "hf_abcdefghijklmnop",
        "nvapi-abcdefghijklmnop",
        "r8_abcdefghijklmnop",
        "AIzaSyA0123456789abcdefghij",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "sk-ab***********wxyz",
        "abcd1234*******wxyz",
    ];

    #[test]
    fn every_key_is_masked_wherever_it_stands() {
        for key in KEYS {
            for (before, after) in [
                ("", ""),
                ("key ", " is bad"),
                ("\"", "\","),
                ("x=", "&y"),
                ("Bearer ", ""),
                ("https://a.example/", ""),
            ] {
                let text = format!("{before}{key}{after}");
                let masked = mask(&text);
                assert!(!masked.contains(key) && masked.contains("[redacted]"), "{text}: {masked}");
                assert!(masked.ends_with(after), "{masked}");
                // The same in pieces of every size, and the length stays.
                for size in 1..text.len() {
                    let mut masker = Masker::default();
                    let mut out: Vec<u8> = text.as_bytes().chunks(size).flat_map(|piece| masker.push(piece)).collect();
                    out.extend(masker.finish());
                    let out = String::from_utf8(out).unwrap();
                    assert!(!out.contains(key) && out.len() == text.len() && out.ends_with(after), "{size}: {out}");
                }
            }
        }
        assert_eq!(mask("Authorization: Bearer A1b2C3d4E5"), "Authorization: Bearer [redacted]");
        assert_eq!(mask("basic dXNlcjpwYXNz, again"), "basic [redacted], again");
    }

    #[test]
    fn words_of_a_sentence_stay() {
        for text in [
            "Use Bearer authentication. The primary-key-constraint of task-list-items failed.",
            "https://platform.openai.com/account/api-keys",
            "{\"error\":{\"message\":\"**bold** text\",\"code\":\"invalid_api_key\",\"param\":null}}",
            "req_0123456789abcdef chatcmpl-0123456789abcdef msg_0123456789",
            "***",
            "sk-short",
            "",
        ] {
            assert_eq!(mask(text), text);
            let mut masker = Masker::default();
            let shown = [masker.push(text.as_bytes()), masker.finish()].concat();
            assert_eq!(shown, text.as_bytes());
        }
    }

    #[test]
    fn a_word_without_end_is_shown_or_masked_as_it_comes() {
        let piece = vec![b'a'; 1000];
        let mut masker = Masker::default();
        let shown: usize = (0..100).map(|_| masker.push(&piece).len()).sum();
        assert!(shown + Masker::WAITS >= 100_000, "{shown}");
        assert_eq!(shown + masker.finish().len(), 100_000);
        let mut masker = Masker::default();
        let mut out = masker.push(b"sk-");
        (0..100).for_each(|_| out.extend(masker.push(&piece)));
        out.extend(masker.finish());
        assert_eq!((out.len(), out.iter().filter(|byte| **byte == b'*').count()), (100_003, 100_003));
    }
}
