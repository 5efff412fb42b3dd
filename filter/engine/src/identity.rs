//! Who asks, where the mesh says so instead of a key.
//!
//! Does not: decide what an identity may do; the sidecar has the rules. Nor verify one: Envoy has.
//!
//! Decision: records of identities are kept where those of keys are, by a digest whose input begins with a zero byte. No
//! header can hold one, so no key that a client presents has the digest of an identity. Rejected: a table of their own.

use crate::keys::{KeyDigest, digest};

/// Longest name that is one.
const LONGEST: usize = 2048;

/// Who asks, as Envoy has verified it. What the configuration does not name is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The certificate of whoever is connected.
    pub peer: Option<String>,
    /// `URI` of the last element of `x-forwarded-client-cert`.
    pub xfcc: Option<String>,
    /// Provider, claim and value, of checked tokens.
    pub claims: Vec<(String, String, String)>,
}

impl Identity {
    /// Nobody has said anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What its record is kept by.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        let mut bytes = vec![0];
        let mut part = |kind: u8, parts: &[&str]| {
            bytes.push(kind);
            for part in parts {
                bytes.extend((part.len() as u64).to_be_bytes());
                bytes.extend_from_slice(part.as_bytes());
            }
        };
        self.peer.iter().for_each(|name| part(1, &[name]));
        self.xfcc.iter().for_each(|name| part(2, &[name]));
        self.claims.iter().for_each(|(provider, name, value)| part(3, &[provider, name, value]));
        digest(&bytes)
    }
}

/// What the record of those is kept by who have neither key nor identity.
#[must_use]
pub fn anonymous() -> KeyDigest {
    Identity::default().digest()
}

/// A name as it may be matched: text of a sane length.
#[must_use]
pub fn name(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| (1..=LONGEST).contains(&text.len()))?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// The first `URI` of the last element of `x-forwarded-client-cert`
/// (<https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert>):
/// elements stand between commas, their `NAME=VALUE` between semicolons, and a value with such a sign in it is quoted.
///
/// The last element is that of the nearest proxy, which has seen the certificate of whoever called it. All others are what
/// that caller said, and may be anything.
#[must_use]
pub fn forwarded(header: &[u8]) -> Option<String> {
    let header = last(header);
    let mut value: Option<Vec<u8>> = None;
    let (mut word, mut quoted, mut escaped) = (Vec::new(), false, false);
    let mut found = None;
    // A semicolon more closes the last pair.
    for byte in header.iter().chain(b";") {
        if *byte == b'=' && !quoted && value.is_none() {
            value = Some(Vec::new());
            continue;
        }
        let target = value.as_mut().unwrap_or(&mut word);
        match *byte {
            _ if escaped => {
                escaped = false;
                target.push(*byte);
            }
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                if word.trim_ascii().eq_ignore_ascii_case(b"URI") && found.is_none() {
                    found = value.take();
                }
                (word, value) = (Vec::new(), None);
            }
            other => target.push(other),
        }
    }
    // A quote that nobody closes: where its value ends nobody can say.
    name(found?.trim_ascii()).filter(|_| !quoted)
}

/// The last element, found from the end: a quote that somebody before it has left open cannot reach into it.
fn last(header: &[u8]) -> &[u8] {
    let mut quoted = false;
    for (at, byte) in header.iter().enumerate().rev() {
        match byte {
            b'"' => {
                let before = header.get(..at).unwrap_or_default();
                let escaped = before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
                // A quote outside of a value is never escaped.
                quoted ^= !(quoted && escaped);
            }
            b',' if !quoted => return header.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_that_differ_have_different_digests_and_none_is_a_keys() {
        let peer = |name: &str| Identity { peer: Some(name.to_owned()), ..Identity::default() };
        let xfcc = |name: &str| Identity { xfcc: Some(name.to_owned()), ..Identity::default() };
        let claims = |parts: [&str; 3]| {
            let [provider, name, value] = parts.map(str::to_owned);
            Identity { claims: vec![(provider, name, value)], ..Identity::default() }
        };
        let all = [
            Identity::default(),
            peer("a"),
            peer("ab"),
            xfcc("a"),
            claims(["a", "b", "c"]),
            claims(["ab", "", "c"]),
            claims(["a", "bc", ""]),
        ];
        let mut digests: Vec<_> = all.iter().map(Identity::digest).collect();
        assert_eq!(digests.first(), Some(&anonymous()));
        digests.push(digest(b"a"));
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), all.len() + 1);
    }

    #[test]
    fn the_first_uri_of_the_last_element_counts() {
        let cases = [
            ("URI=spiffe://a/ns/b", Some("spiffe://a/ns/b")),
            ("By=spiffe://gw;Hash=0a;Subject=\"CN=x,O=y\";URI=spiffe://a", Some("spiffe://a")),
            ("Hash=1;uri=spiffe://a;URI=spiffe://b", Some("spiffe://a")),
            ("URI=spiffe://evil,URI=spiffe://b", Some("spiffe://b")),
            ("URI=spiffe://evil,Hash=1", None),
            ("URI=spiffe://evil,", None),
            // What stands within quotes is neither a pair nor an element of its own.
            (r#"Subject="CN=a;URI=spiffe://evil";URI=spiffe://a"#, Some("spiffe://a")),
            (r#"Subject="CN=\";URI=spiffe://evil,\"";URI="spiffe://a""#, Some("spiffe://a")),
            (r#"Hash=1;Subject="CN=a,URI=spiffe://evil";URI=spiffe://a"#, Some("spiffe://a")),
            (r#"URI=spiffe://evil,Hash=1;Subject="CN=x\\",URI=spiffe://a"#, Some("spiffe://a")),
            (r#"Subject="CN=a;URI=spiffe://evil"#, None),
            (r#"URI=spiffe://a;Subject="open"#, None),
            // A quote that a client left open, and one that the nearest proxy's first quote would close.
            (r#"Subject="open,Hash=1;Subject="CN=x";URI=spiffe://a"#, Some("spiffe://a")),
            (r#"Subject="open,Hash=1;Subject="CN=x,URI=spiffe://evil";URI=spiffe://a"#, Some("spiffe://a")),
            (r#"Subject="open\,Hash=1;Subject="CN=;URI=spiffe://evil,";URI=spiffe://a"#, Some("spiffe://a")),
            ("URI=", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(forwarded(header.as_bytes()).as_deref(), expected, "{header}");
        }
        assert_eq!(forwarded(b"URI=\xff"), None);
        assert_eq!(forwarded(format!("URI={}", "a".repeat(LONGEST + 1)).as_bytes()), None);
    }

    /// Law: whatever a client sends, the element that the nearest proxy appends decides.
    #[test]
    fn nothing_before_the_last_element_matters() {
        let own = r#"By=spiffe://gw;Hash=ab;Subject="CN=\"a\",O=b;URI=x";URI=spiffe://own"#;
        for sign in ["\"", "\\\"", "\\", ",", ";", "=", "URI=spiffe://evil", "\",\"", ";URI=\"spiffe://evil"] {
            for more in ["", "\"", ",", "Subject=\"", "URI=spiffe://evil;Subject=\"\\"] {
                let header = format!("{more}{sign}{more},{own}");
                assert_eq!(forwarded(header.as_bytes()).as_deref(), Some("spiffe://own"), "{header}");
            }
        }
    }
}
