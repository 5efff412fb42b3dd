//! The request side of one try: which hop it is, what is sent.

use wire::ir::{Fault, FaultKind, Losses, Operation};
use wire::scan;

use super::reply::malformed;
use super::{Exchange, Headers, Try};
use crate::config::schema::ClientKeys;
use crate::config::snapshot::Provider;

/// What one try sends.
#[derive(Debug)]
pub struct Outgoing {
    /// The whole head: everything a former try or the client left there is replaced, unread. That also removes the
    /// credential Envoy injected for a former try.
    pub headers: Headers,
    /// The body, if it differs from the client's.
    pub body: Option<Vec<u8>>,
}

impl Exchange {
    /// A try begins at this cluster: finds its hop, closes the former try. `None` if the plan knows nothing of it.
    pub fn begin(&mut self, cluster: &str, now: u64) -> Option<usize> {
        let serves = |hop: &usize| self.cluster(*hop) == Some(cluster);
        // Past the end only if Envoy retries more often than the plan is long; then the last hop serves again.
        let hop = (self.cursor..self.plan.hops.len())
            .find(serves)
            .or_else(|| (0..self.plan.hops.len()).rev().find(serves))?;
        if let Some(former) = self.tries.last_mut() {
            former.ended.get_or_insert(now);
        }
        self.cursor = self.cursor.max(hop + 1);
        self.answering = false;
        self.sealed = false;
        self.tries.push(Try { hop, started: now, ..Try::default() });
        Some(hop)
    }

    /// The provider of a hop.
    #[must_use]
    pub fn provider(&self, hop: usize) -> Option<&Provider> {
        let lane = self.snapshot.lanes.get(self.plan.hops.get(hop)?.lane)?;
        self.snapshot.providers.get(lane.provider)
    }

    /// What this hop sends. `body` fetches the client's body, and is not called if that goes on as it is.
    ///
    /// # Errors
    /// The body cannot be said in the provider's format; the fault is the client's.
    pub fn outgoing(&mut self, hop: usize, body: impl FnOnce() -> Option<Vec<u8>>) -> Result<Outgoing, Fault> {
        let gone = || Fault::new(FaultKind::Internal, "The request or its plan is gone.");
        let provider = self.provider(hop).ok_or_else(gone)?;
        let model = &self.plan.hops.get(hop).ok_or_else(gone)?.model;
        let same = provider.format.name() == self.inbound.name();
        let mut losses = Losses::default();
        let edits = if same { provider.format.edits(&self.scan, model) } else { Vec::new() };
        let new = if !same {
            let request = self.inbound.decode_request(&body().ok_or_else(gone)?).map_err(malformed)?;
            Some(provider.format.encode_request(&request, model, &mut losses))
        } else if edits.is_empty() {
            None
        } else {
            Some(scan::splice(&body().ok_or_else(gone)?, &edits))
        };
        let length = new.as_ref().map_or(self.scan.len, Vec::len);
        let headers = self.head(provider, same, length);
        self.dropped = losses.dropped;
        Ok(Outgoing { headers, body: new })
    }

    fn head(&self, provider: &Provider, same: bool, length: usize) -> Headers {
        let mut path = provider.prefix.clone();
        path.push_str(provider.path.as_deref().unwrap_or_else(|| provider.format.path(Operation::Chat)));
        if let Some(query) = self.query.filter(|_| same) {
            path.push('?');
            path.push_str(query);
        }
        let scheme = if provider.tls { "https" } else { "http" };
        let accept = if self.scan.stream { "text/event-stream" } else { "application/json" };
        let mut headers: Headers = [
            (":method", "POST"),
            (":scheme", scheme),
            (":authority", &provider.authority),
            (":path", &path),
            ("content-type", "application/json"),
            ("content-length", &length.to_string()),
            ("accept", accept),
            ("user-agent", concat!("attache/", env!("CARGO_PKG_VERSION"))),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect();
        if same {
            headers.extend(self.forwarded.iter().cloned());
        }
        for (name, value) in provider.format.default_headers() {
            if !headers.iter().any(|(n, _)| n == name) {
                headers.push(((*name).to_owned(), value.as_bytes().to_vec()));
            }
        }
        headers.extend(self.passed_credential(provider));
        headers
    }

    /// The client's own provider credential, for the vendor of its own dialect and nobody else.
    fn passed_credential(&self, provider: &Provider) -> Option<(String, Vec<u8>)> {
        if self.snapshot.client_keys != ClientKeys::Pass {
            return None;
        }
        let vendor = match self.inbound.name() {
            "openai_chat" => "api.openai.com",
            "anthropic" => "api.anthropic.com",
            _ => return None,
        };
        (provider.tls && provider.host == vendor).then(|| self.credential.clone()).flatten()
    }
}
