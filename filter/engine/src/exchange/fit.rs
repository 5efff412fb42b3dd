//! Which providers can take a request as it is, asked while the plan is made.
//!
//! Does not: order hops or know keys. Without strictness every provider takes every chat, and nothing is read.

use wire::format::{Inbound, Malformed};
use wire::ir::{Fault, FaultKind, Losses, Operation, Request};
use wire::scan::Scan;
use wire::scan::routing::tools;

use super::reply::malformed;
use super::weight::light_enough;
use crate::config::snapshot::{Snapshot, VirtualKey};
use crate::route::{Hop, Refusal, may, restricted, withheld};
use crate::shown::shown;

/// Most members that a refusal names.
const NAMED: usize = 16;

/// The judgement of one request.
pub struct Fit<'a> {
    snapshot: &'a Snapshot,
    inbound: &'static dyn Inbound,
    operation: Operation,
    body: &'a [u8],
    scan: &'a Scan,
    key: Option<&'a VirtualKey>,
    /// Models its tools ask, by their paths; read when the first caller is asked about who is restricted.
    tools: Option<Result<Vec<(String, String)>, String>>,
    /// A model it asks for besides, and may not.
    refused: Option<Refusal>,
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
        Self {
            snapshot,
            inbound,
            operation,
            body,
            scan,
            key: None,
            tools: None,
            refused: None,
            request: None,
            judged: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Who asks.
    #[must_use]
    pub fn by(self, key: Option<&'a VirtualKey>) -> Self {
        Self { key, ..self }
    }

    /// Why nobody is asked although somebody could: the request asks for a model besides that this caller may not have.
    pub fn refused(&mut self) -> Option<Refusal> {
        self.refused.take()
    }

    /// May this hop be planned?
    pub fn takes(&mut self, hop: &Hop) -> bool {
        let lane = self.snapshot.lanes.get(hop.lane);
        let Some(provider) = lane.and_then(|lane| self.snapshot.providers.get(lane.provider)) else { return false };
        let same = provider.format.name() == self.inbound.name();
        if same && !self.allows(hop) {
            return false;
        }
        let operation = self.operation;
        match operation {
            // Where a server has chat at a path of its own nobody knows where it would count.
            Operation::CountTokens => same && provider.path.is_none() && provider.format.path(operation).is_some(),
            Operation::Chat if !self.snapshot.strict => true,
            Operation::Chat if same && self.withholds(hop) => false,
            Operation::Chat if same && !provider.format.particular(self.scan) => true,
            Operation::Chat => self.carries_all(lane.map_or(0, |lane| lane.provider), &hop.model),
            Operation::ListModels => false,
        }
    }

    /// This caller may ask for all models that the body names besides, as it would reach this provider.
    fn allows(&mut self, hop: &Hop) -> bool {
        if !restricted(self.snapshot, self.key, hop) {
            return true;
        }
        let (scan, body) = (self.scan, self.body);
        let tools = self.tools.get_or_insert_with(|| tools(scan, body));
        let refusal = match tools {
            Ok(asked) => {
                let mut named = scan.routing.named.iter().chain(asked.iter());
                named.find_map(|(path, model)| may(self.snapshot, self.key, hop, (path, model)).err())
            }
            Err(path) => Some(Refusal::Hidden { param: path.clone() }),
        };
        let allowed = refusal.is_none();
        self.refused = self.refused.take().or(refusal);
        allowed
    }

    /// Something of the body would be withheld from this provider.
    fn withholds(&mut self, hop: &Hop) -> bool {
        let names = withheld(self.snapshot, self.key, hop, self.scan, self.body).names;
        let some = !names.is_empty();
        names.into_iter().for_each(|name| self.lose(name));
        some
    }

    fn lose(&mut self, name: String) {
        // One more than is named, and the client's names are as many as it likes.
        if self.lost.len() <= NAMED && !self.lost.contains(&name) {
            self.lost.push(name);
        }
    }

    fn carries_all(&mut self, provider: usize, model: &str) -> bool {
        if let Some((.., known)) = self.judged.iter().find(|(p, m, _)| *p == provider && m == model) {
            return *known;
        }
        let read = || light_enough(self.body).and_then(|_| self.inbound.decode_request(self.body));
        let request = self.request.get_or_insert_with(read);
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
                losses.dropped.into_iter().for_each(|name| self.lose(name));
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
                let names: Vec<_> = self.lost.iter().take(NAMED).map(|name| format!("`{}`", shown(name))).collect();
                let more = if self.lost.len() > NAMED { " and more" } else { "" };
                let message = format!(
                    "No provider of this model takes {}{more}, and this gateway is strict: it drops nothing.",
                    names.join(", ")
                );
                Fault::new(FaultKind::InvalidRequest, message)
                    .with_param(shown(first))
                    .with_code("unsupported_parameter")
            }
            (_, None) => Fault::new(FaultKind::InvalidRequest, "No provider of this model can serve this request."),
        }
    }
}
