//! Which providers can take a request as it is, asked while the plan is made.
//!
//! Does not: order hops or know keys. Without strictness every provider takes every chat, and nothing is read.

use wire::format::{Inbound, Malformed};
use wire::ir::{Fault, FaultKind, Losses, Operation, Request};
use wire::scan::Scan;

use super::reply::malformed;
use crate::config::snapshot::Snapshot;
use crate::route::Hop;

/// The judgement of one request.
pub struct Fit<'a> {
    snapshot: &'a Snapshot,
    inbound: &'static dyn Inbound,
    operation: Operation,
    body: &'a [u8],
    scan: &'a Scan,
    /// Read when the first provider of another format is asked about.
    request: Option<Result<Request, Malformed>>,
    /// Provider and model, and whether they carry all of it.
    judged: Vec<(usize, String, bool)>,
    lost: Vec<String>,
}

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fit").field("judged", &self.judged).finish_non_exhaustive()
    }
}

impl<'a> Fit<'a> {
    /// Nothing judged yet. `body`, from which `scan` comes, is looked at under `strict` only.
    #[must_use]
    pub fn new(
        snapshot: &'a Snapshot,
        inbound: &'static dyn Inbound,
        operation: Operation,
        body: &'a [u8],
        scan: &'a Scan,
    ) -> Self {
        Self { snapshot, inbound, operation, body, scan, request: None, judged: Vec::new(), lost: Vec::new() }
    }

    /// May this hop be planned?
    pub fn takes(&mut self, hop: &Hop) -> bool {
        let lane = self.snapshot.lanes.get(hop.lane);
        let Some(provider) = lane.and_then(|lane| self.snapshot.providers.get(lane.provider)) else { return false };
        let same = provider.format.name() == self.inbound.name();
        match self.operation {
            // Where a server has chat at a path of its own nobody knows where it would count.
            Operation::CountTokens => same && provider.path.is_none() && provider.format.path(self.operation).is_some(),
            Operation::Chat if !self.snapshot.strict || same && !provider.format.particular(self.scan) => true,
            Operation::Chat => self.carries_all(lane.map_or(0, |lane| lane.provider), &hop.model),
            Operation::ListModels => false,
        }
    }

    fn carries_all(&mut self, provider: usize, model: &str) -> bool {
        if let Some((.., known)) = self.judged.iter().find(|(p, m, _)| *p == provider && m == model) {
            return *known;
        }
        let request = self.request.get_or_insert_with(|| self.inbound.decode_request(self.body));
        let inbound = self.inbound.name();
        let format = self.snapshot.providers.get(provider).map(|p| p.format);
        let carries = match (request, format) {
            (Ok(request), Some(format)) => {
                let mut losses = Losses::default();
                if format.name() == inbound {
                    format.mend(self.scan, self.body, &mut losses);
                } else {
                    format.encode_request(request, model, &mut losses);
                }
                let all = losses.dropped.is_empty();
                for member in losses.dropped {
                    if !self.lost.contains(&member) {
                        self.lost.push(member);
                    }
                }
                all
            }
            (Ok(_), None) | (Err(_), _) => false,
        };
        self.judged.push((provider, model.to_owned(), carries));
        carries
    }

    /// What the client is told when nobody takes its request.
    #[must_use]
    pub fn fault(self) -> Fault {
        match (self.request, self.lost.first()) {
            (Some(Err(problem)), _) => malformed(problem),
            (_, Some(first)) => {
                let names: Vec<_> = self.lost.iter().map(|name| format!("`{name}`")).collect();
                let message = format!(
                    "No provider of this model takes {}, and this gateway is strict: it drops nothing.",
                    names.join(", ")
                );
                Fault::new(FaultKind::InvalidRequest, message).with_param(first).with_code("unsupported_parameter")
            }
            (_, None) => Fault::new(FaultKind::InvalidRequest, "No provider of this model can serve this request."),
        }
    }
}
