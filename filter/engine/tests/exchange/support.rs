//! What all scripts begin with.

use std::rc::Rc;

use engine::config::snapshot::Snapshot;
use engine::exchange::{Exchange, Headers, intake};
use engine::route::{Hop, Plan};
use serde_json::Value;
use wire::scan::scan;

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MESSAGES: &str = "/v1/messages";
/// Clients, and the providers of their own format.
pub(crate) const SIDES: [(&str, &str); 2] = [(CHAT, "openai_k1"), (MESSAGES, "anthropic_k1")];

/// A head as the host has it.
pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) fn snapshot(config: Value) -> Rc<Snapshot> {
    Rc::new(engine::config::load(config).unwrap_or_else(|faults| panic!("{faults:?}")).snapshot)
}

pub(crate) fn pairs(headers: &[(&str, &str)]) -> Pairs {
    headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// The value of a header that stands there once at most.
pub(crate) fn get<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let all: Vec<_> = headers.iter().filter(|(n, _)| n == name).collect();
    assert!(all.len() < 2, "{name} is there {} times", all.len());
    all.first().map(|(_, value)| std::str::from_utf8(value).unwrap())
}

/// A try of a model at this cluster.
pub(crate) fn hop(snapshot: &Snapshot, cluster: &str, model: &str) -> Hop {
    let lane = snapshot.lanes.iter().position(|lane| lane.cluster == cluster).unwrap();
    Hop { lane, model: model.to_owned(), substituted: false, context: None, tier: 0 }
}

/// A request of this head and body that is planned so.
pub(crate) fn planned(snapshot: &Rc<Snapshot>, head: &Pairs, body: &[u8], hops: Vec<Hop>, now: u64) -> Exchange {
    let intake = intake(snapshot, head).unwrap_or_else(|(_, fault)| panic!("{fault:?}"));
    Exchange::new(Rc::clone(snapshot), intake, scan(body).unwrap(), None, Plan { hops }, now)
}

/// A request to these clusters, in order.
pub(crate) fn exchange(snapshot: &Rc<Snapshot>, path: &str, body: &[u8], clusters: &[&str]) -> Exchange {
    let hops = clusters.iter().map(|cluster| hop(snapshot, cluster, "m")).collect();
    planned(snapshot, &pairs(&[(":method", "POST"), (":path", path)]), body, hops, SECOND)
}
