//! What a provider received, exactly.
//!
//! Does not: grow without bound: bodies are kept up to a total, then only counts go on.
//!
//! Limit: the HTTP library groups duplicates of a header; between different names the order is as received.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::Serialize;

/// Headers that carry a credential at any vendor, in lower case.
pub const CREDENTIAL_HEADERS: &[&str] =
    &["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-attache-key", "x-bf-vk", "cookie"];

/// Total of kept bodies and headers, in bytes.
const KEPT_BYTES: usize = 256 << 20;

/// One request as it arrived.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Order of arrival over all hosts.
    pub seq: u64,
    /// The virtual host it came to (by listener, not by header).
    pub host: String,
    pub method: String,
    /// Path with query.
    pub path: String,
    pub authority: String,
    #[serde(serialize_with = "as_text_pairs")]
    pub headers: Vec<(String, Vec<u8>)>,
    #[serde(serialize_with = "as_text")]
    pub body: Vec<u8>,
    /// `h1` or `h2`.
    pub protocol: &'static str,
    pub sni: Option<String>,
    pub unix_nanos: u128,
    /// Connections of a host are numbered.
    pub connection: u64,
    /// What became of it: `ok`, `refused: …`, or the fault.
    pub outcome: String,
}

impl Record {
    /// Every value of this header (lower case name), as text.
    pub fn header(&self, name: &str) -> Vec<String> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned()).collect()
    }

    /// Name and value of every credential it carries.
    pub fn credentials(&self) -> Vec<(String, String)> {
        let is_credential = |name: &str| CREDENTIAL_HEADERS.contains(&name) || name.starts_with("x-amz-");
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        self.headers.iter().filter(|(n, _)| is_credential(n)).map(|(n, v)| (n.clone(), text(v))).collect()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none; the message shows it.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

fn as_text<S: serde::Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&String::from_utf8_lossy(bytes))
}

fn as_text_pairs<S: serde::Serializer>(pairs: &[(String, Vec<u8>)], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(pairs.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
}

/// All records of a mock.
#[derive(Debug, Default)]
pub struct Journal(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts_only: bool,
    kept: usize,
    seq: u64,
    records: Vec<Arc<Record>>,
    counts: BTreeMap<(String, String, String), u64>,
}

impl Journal {
    /// The number of the next arrival.
    pub(super) fn arrival(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        state.seq += 1;
        state.seq
    }

    pub(super) fn push(&self, record: Record) {
        let mut state = self.0.lock().unwrap();
        let credential = record.credentials().into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" | ");
        *state.counts.entry((record.host.clone(), credential, record.outcome.clone())).or_default() += 1;
        let size = record.body.len() + record.headers.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>() + 256;
        if !state.counts_only && state.kept + size <= KEPT_BYTES {
            state.kept += size;
            state.records.push(Arc::new(record));
        }
    }

    /// From now on only counts (for tests with very many requests), or whole records again.
    pub fn counts_only(&self, yes: bool) {
        self.0.lock().unwrap().counts_only = yes;
    }

    pub fn clear(&self) {
        let mut state = self.0.lock().unwrap();
        *state = State { counts_only: state.counts_only, seq: state.seq, ..State::default() };
    }

    /// Records in order of arrival, of one host or of all.
    pub fn records(&self, host: Option<&str>) -> Vec<Arc<Record>> {
        let state = self.0.lock().unwrap();
        let mut records: Vec<_> =
            state.records.iter().filter(|r| host.is_none_or(|host| r.host == host)).cloned().collect();
        records.sort_by_key(|record| record.seq);
        records
    }

    /// (host, credential, outcome) and how often.
    pub fn counts(&self) -> Vec<((String, String, String), u64)> {
        self.0.lock().unwrap().counts.iter().map(|(key, n)| (key.clone(), *n)).collect()
    }

    /// How many requests came to `host`, with a credential that contains `key`.
    pub fn count(&self, host: &str, key: &str) -> u64 {
        let state = self.0.lock().unwrap();
        state.counts.iter().filter(|((h, k, _), _)| h == host && k.contains(key)).map(|(_, n)| n).sum()
    }
}
