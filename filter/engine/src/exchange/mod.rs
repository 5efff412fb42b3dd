//! One request, from its head to its settlement. One exchange lives in several contexts of the host: the plan role and
//! one attempt role a try; all of them hold the same [`Exchange`], and each handler is a method with bytes and time in
//! and a value out.
//!
//! ```text
//! plan     intake(head) → scan(body) → admitted(key) → Exchange { plan }          or a Fault for the client
//! attempt  begin → outgoing(body) → response head → response body …               one a try, the last one is the answer
//! plan     answered / local reply → settle(now)                                    exactly once
//! ```
//!
//! Invariants: a try is recorded before anything is sent for it, so a client that leaves early is still settled; the
//! answer is whatever the last begun try passes on; nothing here is parsed twice for the same try.

mod allowed;
mod answer;
mod attempt;
mod bill;
mod body;
mod charge;
mod disposition;
mod fit;
mod head;
mod hold;
mod intake;
mod judge;
mod limited;
mod origin;
mod reply;
mod retry_after;
mod settle;
mod trail;
mod vendor;
mod weight;
mod whole;

pub use answer::{Answer, Body, Head};
pub use attempt::Outgoing;
pub use charge::Terms;
pub use disposition::Disposition;
pub use fit::Fit;
pub use hold::Flaw;
pub use intake::{Intake, intake};
pub use limited::{dollars, limited};
pub use reply::{
    Denial, Reply, abandoned, admission_fault, bodiless, local_reply, malformed, needs_key, refusal, reply_headers,
};
pub use settle::{Outcome, Settled, SettledTry, TryUsage, estimate};
pub use vendor::request_id_header;
pub use weight::{COPIES, WORK, light_enough, too_heavy, weight};

use std::rc::Rc;

use wire::format::Inbound;
use wire::ir::{Certain, Fault, Operation, Usage};
use wire::scan::Scan;

use crate::config::schema::ClientKeys;
use crate::config::snapshot::{Snapshot, VirtualKey};
use crate::cooldown::Mark;
use crate::govern::Governor;
use crate::route::Plan;

/// Header names and values as the host has them: bytes, since neither end promises text.
pub type Headers = Vec<(String, Vec<u8>)>;

/// One try as it stands.
#[derive(Debug, Clone, Default)]
pub struct Try {
    /// Index into the plan's hops.
    pub hop: usize,
    /// Unix nanoseconds.
    pub started: u64,
    /// Unix nanoseconds; `None` while it runs.
    pub ended: Option<u64>,
    /// The provider's status; `None` while there is no answer.
    pub status: Option<u16>,
    /// The answer was whole.
    pub complete: bool,
    /// What was wrong with a stream of a good status.
    pub flaw: Option<Flaw>,
    /// What kind of failure it was.
    pub disposition: Option<Disposition>,
    /// Unix nanoseconds before which the provider does not want to hear of this model with this key.
    pub told: Option<u64>,
    /// That holds for all models: the provider's headers name a limit of the whole account.
    pub of_account: bool,
    /// Unix nanoseconds of the first content of a streamed answer.
    pub first_content: Option<u64>,
    /// Members of the request that this try could not carry over: the first of them, with long names cut.
    pub dropped: Vec<String>,
    /// All of them, each once, as [`wire::format::label`] names them.
    pub labels: Vec<&'static str>,
    /// Events of the answer that nobody could read.
    pub skipped: u64,
    /// Its answer sent the key to rest.
    pub cooled: bool,
    /// What the provider reported.
    pub usage: Usage,
    /// Which totals of it nothing can change any more.
    pub certain: Certain,
    /// Bytes of the answer passed on; a floor for an estimate where the provider reports nothing.
    pub bytes: u64,
}

/// What a try says of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// Index into [`Exchange::tries`].
    pub of: usize,
    /// Index into [`Snapshot::lanes`].
    pub lane: usize,
    /// What it says.
    pub mark: Mark,
}

/// The status of an answer, for its two readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What Envoy's retry policy judges: the provider's own.
    pub judged: u16,
    /// What the client is told: the same in its own dialect.
    pub told: u16,
}

/// One request in flight.
pub struct Exchange {
    /// The configuration it began with; a push does not change it.
    pub snapshot: Rc<Snapshot>,
    /// How the client speaks.
    pub inbound: &'static dyn Inbound,
    /// What it wants.
    pub operation: Operation,
    /// Envoy's id of the request; empty if there is none.
    pub request_id: Vec<u8>,
    /// Headers of the client that a provider of the same format may see.
    pub forwarded: Headers,
    /// A provider credential of the client's own, kept only under `client_keys: pass`.
    pub credential: Option<(String, Vec<u8>)>,
    /// The query, if it is one that providers know.
    pub query: Option<&'static str>,
    /// What the body holds.
    pub scan: Scan,
    /// The body itself until the first try: it mostly follows at once and need not fetch it again.
    pub body: Option<Vec<u8>>,
    /// Who asks.
    pub key: Option<Rc<VirtualKey>>,
    /// The tries to make.
    pub plan: Plan,
    /// What they cost.
    pub terms: Terms,
    /// The limits it is under, if there are any, as they were when it was let go.
    pub governor: Option<Governor>,
    /// The next hop.
    pub cursor: usize,
    /// The tries made.
    pub tries: Vec<Try>,
    /// The running try has passed its response head on, or answered itself.
    pub answering: Option<Status>,
    /// A header that keeps Envoy from retrying was set and must be hidden from the client.
    pub sealed: bool,
    /// What the client is told if the running try, which failed, stays the last one.
    pub verdict: Option<Fault>,
    /// What the tries say of their lanes, for the host to share with other workers.
    pub marks: Vec<Marked>,
    /// Unix nanoseconds of arrival.
    pub started: u64,
    /// Unix nanoseconds at which all of the request was here.
    pub whole: u64,
    /// Unix nanoseconds at which the first try was ready to be sent.
    pub ready: Option<u64>,
    /// Unix nanoseconds of the first byte to the client.
    pub first_byte: Option<u64>,
    /// Status the client saw.
    pub status: Option<u16>,
    /// The client got everything.
    pub delivered: bool,
    /// It did not, and that was not its own doing: the provider's side ended the stream.
    pub torn: bool,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("inbound", &self.inbound.name())
            .field("plan", &self.plan)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}

impl Exchange {
    /// A planned request.
    #[must_use]
    pub fn new(
        snapshot: Rc<Snapshot>,
        intake: Intake,
        scan: Scan,
        key: Option<Rc<VirtualKey>>,
        plan: Plan,
        started: u64,
    ) -> Self {
        Self {
            snapshot,
            inbound: intake.inbound,
            operation: intake.operation,
            request_id: Vec::new(),
            forwarded: intake.forwarded,
            credential: intake.credential,
            query: intake.query,
            scan,
            body: None,
            key,
            plan,
            terms: Terms::default(),
            governor: None,
            cursor: 0,
            tries: Vec::new(),
            answering: None,
            sealed: false,
            verdict: None,
            marks: Vec::new(),
            started,
            whole: started,
            ready: None,
            first_byte: None,
            status: None,
            delivered: false,
            torn: false,
        }
    }

    /// A try of this hop tells the request in another format.
    #[must_use]
    pub fn translates(&self, hop: usize) -> bool {
        self.provider(hop).is_some_and(|provider| provider.format.name() != self.inbound.name())
    }

    /// The running try could not be sent and told the client so itself: no provider heard of it.
    pub fn abandon(&mut self, status: u16) {
        self.tries.pop();
        self.answering = Some(Status { judged: status, told: status });
    }

    /// The answer's head is on its way to the client: the status to show in place of the one it has, if they differ.
    pub fn delivering(&mut self, end: bool, now: u64) -> Option<u16> {
        let Status { judged, told } = self.answering?;
        self.first_byte = Some(now);
        self.status = Some(told);
        self.delivered = end;
        (told != judged).then_some(told)
    }

    /// The provider refused the key that Envoy put in and may quote it, in words that would pass as they are. Those of
    /// another format are redacted where they are decoded.
    #[must_use]
    pub fn hides(&self) -> bool {
        let ours = self.snapshot.client_keys != ClientKeys::Pass || self.credential.is_none();
        let provider = self.tries.last().and_then(|current| self.provider(current.hop));
        let same = provider.is_some_and(|provider| provider.format.name() == self.inbound.name());
        ours && same && self.answering.is_some_and(|status| status.judged == 401)
    }

    /// A stream that is on its way and has had no content in the time that a whole answer may take: keep-alives alone.
    #[must_use]
    pub fn drones(&self, now: u64) -> bool {
        let overdue = |from: u64| u128::from(now.saturating_sub(from)) >= self.snapshot.timeouts.complete.as_nanos();
        self.scan.stream && self.tries.last().is_some_and(|t| t.first_content.is_none() && overdue(t.started))
    }

    /// Bytes that the running try's provider has answered with.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.tries.last().map_or(0, |current| current.bytes)
    }

    /// What the first try sends is ready.
    pub fn ready(&mut self, now: u64) {
        self.ready.get_or_insert(now);
    }

    /// Cluster of a hop.
    #[must_use]
    pub fn cluster(&self, hop: usize) -> Option<&str> {
        let lane = self.plan.hops.get(hop)?.lane;
        self.snapshot.lanes.get(lane).map(|lane| lane.cluster.as_str())
    }

    /// Milliseconds a try may take until its first content. `None` for an answer in one piece: `timeouts.complete` is the
    /// route's own limit.
    #[must_use]
    pub fn patience(&self) -> Option<u128> {
        self.scan.stream.then(|| self.snapshot.timeouts.first_content.as_millis())
    }

    /// The sum of what the running try is known to have used, for settlement.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.tries.last().map(|t| t.usage).unwrap_or_default()
    }
}
