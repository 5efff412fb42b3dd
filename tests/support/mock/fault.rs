//! Faults on demand: what goes wrong, and for which requests.
//!
//! Does not: carry a fault out; that is `answer` and `host`. A refused connection is no fault of a request but a state
//! of the listener: see [`super::Host::refuse`].

use std::fmt;

use serde::{Deserialize, Serialize};

use engine::draw::Draw;

/// What goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// This answer instead of the right one. Without a body: the vendor's own error shape for the status.
    Status {
        status: u16,
        #[serde(default)]
        body: Option<String>,
        /// `Retry-After`, in the provider's spelling.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// The right answer, its status line (HTTP/1) with this status, which no library would write: `000`.
    StatusLine { code: [u8; 3] },
    /// TCP reset once the request has arrived.
    RstBeforeHeaders,
    /// TCP reset after the first bytes of the response's head.
    RstInHeaders,
    /// TCP reset once the response's head has left.
    RstAfterHeaders,
    /// TCP reset after so many events of a stream, or in the middle of a unary body.
    RstMidStream { after: usize },
    /// The stream alone is reset (HTTP/2), or the connection closed without an answer (HTTP/1).
    Abort,
    /// The body ends early but in good order: `after` events and then a clean end.
    CutShort { after: usize },
    /// Never an answer.
    Hang,
    /// The response's head, then never a byte.
    HangAfterHeaders,
    /// So many events of a stream, and then silence.
    HangMidStream { after: usize },
    /// A stream of these bytes instead, so many milliseconds before each; then its end, or silence.
    Says { events: Vec<String>, ms: u64, hang: bool },
    /// This status with these headers and this body instead.
    Whole { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// 200 with these headers and this body instead.
    Instead { headers: Vec<(String, String)>, body: Vec<u8> },
    /// The right answer in pieces of which each ends inside a character, wherever one has several bytes.
    SplitCharacters,
    /// The right answer, or so many of its events, and trailers (HTTP/2).
    Trailers { after: Option<usize> },
    /// The response's head, and the rest so many milliseconds later.
    Late { ms: u64 },
    /// So many milliseconds before each event.
    Drip { ms: u64 },
    /// Event n+1 leaves when [`super::Host::release`] says so.
    Gate,
}

impl fmt::Display for Fault {
    /// What is said instead of an answer may be long, and is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Says { .. } => f.write_str("Says"),
            Self::Instead { .. } => f.write_str("Instead"),
            Self::Whole { status, .. } => write!(f, "Whole {status}"),
            short => write!(f, "{short:?}"),
        }
    }
}

/// How long a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The next `n` requests it matches.
    Next(u64),
    /// Until the rules are cleared.
    Always,
    /// Each request with probability `p`, reproducibly.
    Chance { p: f64, seed: u64 },
}

/// A fault for some requests of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub fault: Fault,
    pub when: When,
    /// Only for requests whose credential contains this: a lane is a (provider, key) pair.
    #[serde(default)]
    pub key: Option<String>,
}

impl Fault {
    /// A bare status.
    pub fn status(status: u16) -> Self {
        Self::Status { status, body: None, retry_after: None }
    }

    /// 429 with `Retry-After`.
    pub fn rate_limited(seconds: u64) -> Self {
        Self::Status { status: 429, body: None, retry_after: Some(seconds.to_string()) }
    }

    pub fn next(self, n: u64) -> Rule {
        Rule { fault: self, when: When::Next(n), key: None }
    }

    pub fn always(self) -> Rule {
        Rule { fault: self, when: When::Always, key: None }
    }
}

impl Rule {
    /// Only for this key.
    pub fn for_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }
}

/// The rules of one host, in the order they were set; the first that matches wins.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<(Rule, Draw)>);

impl Rules {
    pub(super) fn push(&mut self, rule: Rule) {
        let seed = if let When::Chance { seed, .. } = rule.when { seed } else { 0 };
        self.0.push((rule, Draw::new(seed)));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault for a request with these credentials; uses up a count.
    pub(super) fn take(&mut self, credentials: &[String]) -> Option<Fault> {
        let hit = self.0.iter_mut().position(|(rule, random)| {
            let mine = rule.key.as_ref().is_none_or(|key| credentials.iter().any(|value| value.contains(key)));
            mine && match &mut rule.when {
                When::Next(n) => {
                    *n -= 1;
                    true
                }
                When::Always => true,
                When::Chance { p, .. } => random.unit() < *p,
            }
        })?;
        let fault = self.0[hit].0.fault.clone();
        self.0.retain(|(rule, _)| rule.when != When::Next(0));
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_rule_ends_and_leaves_other_keys_alone() {
        let mut rules = Rules::default();
        rules.push(Fault::status(503).next(2).for_key("sk-a"));
        let (a, b) = ([String::from("Bearer sk-a")], [String::from("Bearer sk-b")]);
        assert_eq!(rules.take(&b), None);
        assert!(rules.take(&a).is_some() && rules.take(&a).is_some());
        assert_eq!(rules.take(&a), None);
    }

    #[test]
    fn chance_is_reproducible_and_about_right() {
        let run = || {
            let mut rules = Rules::default();
            rules.push(Rule { fault: Fault::Hang, when: When::Chance { p: 0.25, seed: 7 }, key: None });
            (0..1000).map(|_| rules.take(&[]).is_some()).collect::<Vec<_>>()
        };
        let hits = run().iter().filter(|hit| **hit).count();
        assert_eq!(run(), run());
        assert!((180..320).contains(&hits), "{hits}");
    }
}
