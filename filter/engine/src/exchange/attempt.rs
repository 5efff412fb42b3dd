//! The request side of one try: which hop it is, what is sent.

use std::rc::Rc;

use wire::ir::{Fault, FaultKind, Losses};
use wire::provider::path;
use wire::scan::{self, Edit};

use super::judge::others_first;
use super::reply::malformed;
use super::settle::labels;
use super::{Exchange, Headers, Try};
use crate::config::schema::ClientKeys;
use crate::config::snapshot::Provider;
use crate::route::withheld;
use crate::shown::shown;

/// Most names of members that a try keeps of those it could not carry. They are the client's, who has as many as it likes.
const KEPT: usize = 64;

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
        self.unanswered(now);
        self.cursor = self.cursor.max(hop + 1);
        self.answering = None;
        self.sealed = false;
        self.verdict = None;
        self.tries.push(Try { hop, started: now, ..Try::default() });
        others_first(self);
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
        let snapshot = Rc::clone(&self.snapshot);
        let asked = self.plan.hops.get(hop).ok_or_else(gone)?.clone();
        let lane = snapshot.lanes.get(asked.lane).ok_or_else(gone)?;
        let provider = snapshot.providers.get(lane.provider).ok_or_else(gone)?;
        let model = &asked.model;
        let mut body = Some(body);
        let mut body = || body.take().and_then(|body| body()).ok_or_else(gone);
        let same = provider.format.name() == self.inbound.name();
        let mut losses = Losses::default();
        let path = self.path(provider, same, model)?;
        let new = if !same {
            let request = self.inbound.decode_request(&body()?).map_err(malformed)?;
            Some(provider.format.encode_request(&request, model, &mut losses))
        } else {
            let routes = !self.scan.routing.unclear.is_empty();
            let mut whole = if routes { body()? } else { Vec::new() };
            let withheld = withheld(&snapshot, self.key.as_deref(), &asked, &self.scan, &whole);
            withheld.names.into_iter().for_each(|name| losses.drop_field(name));
            self.scan.withheld = withheld.members;
            let mut edits = provider.format.edits(&self.scan, model);
            edits.extend(withheld.narrowed.into_iter().filter_map(|(name, part)| {
                let range = self.scan.routing.at(name)?.value.clone();
                Some(Edit { range, with: part.into_bytes() })
            }));
            let particular = provider.format.particular(&self.scan);
            if whole.is_empty() && (particular || !edits.is_empty()) {
                whole = body()?;
            }
            if particular {
                edits.extend(provider.format.mend(&self.scan, &whole, &mut losses));
            }
            (!edits.is_empty()).then(|| scan::splice(&whole, &edits))
        };
        let length = new.as_ref().map_or(self.scan.len, Vec::len);
        let headers = self.head(provider, same, &path, length);
        if let Some(current) = self.tries.last_mut() {
            current.labels = labels(&losses.dropped);
            current.dropped = losses.dropped.iter().take(KEPT).map(|name| shown(name)).collect();
        }
        Ok(Outgoing { headers, body: new })
    }

    /// Where the operation is at this provider.
    fn path(&self, provider: &Provider, same: bool, model: &str) -> Result<String, Fault> {
        let own = provider.format.path(self.operation).unwrap_or_default();
        // The configured one is chat's; a plan to count has no provider with one.
        let below = path::fill(provider.path.as_deref().unwrap_or(own), model).ok_or_else(|| {
            let message = format!("A model of this name cannot be asked for at provider `{}`.", provider.name);
            Fault::new(FaultKind::InvalidRequest, message).with_param("model")
        })?;
        let mut path = format!("{}{below}", provider.prefix);
        if let Some(query) = self.query.filter(|_| same) {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(query);
        }
        Ok(path)
    }

    fn head(&self, provider: &Provider, same: bool, path: &str, length: usize) -> Headers {
        let scheme = if provider.tls { "https" } else { "http" };
        let accept = if self.scan.stream { "text/event-stream" } else { "application/json" };
        let mut headers: Headers = [
            (":method", "POST"),
            (":scheme", scheme),
            (":authority", &provider.authority),
            (":path", path),
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
    pub(super) fn passed_credential(&self, provider: &Provider) -> Option<(String, Vec<u8>)> {
        if self.snapshot.client_keys != ClientKeys::Pass {
            return None;
        }
        (provider.tls && self.inbound.home() == Some(provider.host.as_str())).then(|| self.credential.clone()).flatten()
    }
}
