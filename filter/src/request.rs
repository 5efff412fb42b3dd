//! One request as the plan role holds it, until it is planned or refused.
//!
//! It waits for two things in any order, its body and its key's record; whichever comes last plans it. Under limits it may
//! then wait for leases.

mod planning;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use engine::config::snapshot::Snapshot;
use engine::exchange::{
    COPIES, Denial, Exchange, Headers, Intake, admission_fault, estimate, intake, local_reply, malformed, refusal,
    reply_headers,
};
use engine::govern::price::Service;
use engine::keys::{digest, wipe};
use engine::route::listed;
use wire::format::{INBOUND, Inbound};
use wire::ir::{Fault, FaultKind, Operation};
use wire::scan::{Scan, scan};

use crate::account::Account;
use crate::admission::{Caller, Who};
use crate::govern::{Reservation, Stage};
use crate::host::{self, Buffer, Map};
use crate::metrics::Counter;
use crate::patience::Waited;
use crate::{account, admission, identity, pending, vm};

/// Who asks (nobody, if nobody needs to be somebody), or why not.
pub(crate) type Admission = Result<Option<Caller>, Denial>;

/// Bytes of the longest id of a request that is told to anybody.
const LONGEST_ID: usize = 128;

/// One request as the plan role sees it. Shared with [`admission`], which wakes it when the sidecar has answered.
pub(crate) struct Request {
    /// The host's context, to resume it from another context's callback.
    pub(crate) context: u32,
    /// What it keeps.
    pub(crate) account: Rc<Account>,
    /// Itself, to be woken.
    me: Weak<RefCell<Request>>,
    snapshot: Option<Rc<Snapshot>>,
    /// By what it may be known.
    askers: VecDeque<Who>,
    intake: Option<Intake>,
    scan: Option<Scan>,
    /// On which terms it asks to be served.
    service: Service,
    /// Bytes of the body that have come.
    size: usize,
    /// The body itself, until it is planned.
    body: Vec<u8>,
    admission: Option<Admission>,
    /// Its plan, while it waits for leases.
    stage: Option<Stage>,
    /// Its place among those who wait for leases, since it first had to.
    pub(crate) ticket: Option<u64>,
    /// What it has waited for the sidecar.
    pub(crate) waited: Waited,
    /// What is reserved for it.
    held: Reservation,
    pub(crate) arrived: u64,
    /// When all of it was here.
    whole: u64,
    /// Envoy's id of it.
    pub(crate) request_id: Vec<u8>,
    pub(crate) state: State,
}

pub(crate) enum State {
    /// Body or record are on their way.
    Waiting,
    /// Planned: tries run.
    Running(u64, Rc<RefCell<Exchange>>),
    /// We answered ourselves.
    Replied,
}

/// What became of a request that has all it waits for.
pub(crate) enum Planned {
    NotYet,
    Go,
    Replied,
}

impl Request {
    pub(crate) fn new(context: u32, account: Rc<Account>) -> Self {
        Self {
            context,
            account,
            me: Weak::new(),
            snapshot: None,
            askers: VecDeque::new(),
            intake: None,
            scan: None,
            service: Service::default(),
            size: 0,
            body: Vec::new(),
            admission: None,
            stage: None,
            ticket: None,
            waited: Waited::default(),
            held: Reservation::default(),
            arrived: host::now(),
            whole: 0,
            request_id: Vec::new(),
            state: State::Waiting,
        }
    }

    pub(crate) fn inbound(&self) -> &'static dyn Inbound {
        let first = INBOUND.first().copied().unwrap_or(&wire::format::openai_chat::OpenAiChat);
        self.intake.as_ref().map_or(first, |intake| intake.inbound)
    }

    /// It is over, and waits for nothing any more.
    pub(crate) fn leave(&mut self, me: &Rc<RefCell<Self>>) {
        if let (None, Some(who)) = (&self.admission, self.askers.front()) {
            pending::forget(me, who);
        }
        if let Some(ticket) = self.ticket.take() {
            vm::with(|vm| vm.purses.lines.leave(ticket));
        }
    }

    /// Its record is here; `None`: it will not come.
    pub(crate) fn admitted(&mut self, verdict: Option<admission::Verdict>) {
        if let (Some(snapshot), Some(me)) = (&self.snapshot, self.me.upgrade()) {
            self.admission = admission::woken(snapshot, verdict, &mut self.askers, &me, &mut self.waited);
        }
    }

    /// Leases and rates will not come.
    pub(crate) fn lost(&mut self) {
        if let Some(stage) = &mut self.stage {
            stage.lost();
        }
    }

    /// What was reserved for it, to be settled.
    pub(crate) fn take_held(&mut self) -> Reservation {
        std::mem::take(&mut self.held)
    }

    /// Goes on if nothing is missing any more.
    pub(crate) fn advance(&mut self, now: u64) -> Planned {
        if !matches!(self.state, State::Waiting) {
            return Planned::NotYet;
        }
        let caller = match &self.admission {
            None => return Planned::NotYet,
            Some(Err(denial)) => return self.refuse(&admission_fault(*denial)),
            Some(Ok(caller)) => caller.clone(),
        };
        let (Some(snapshot), Some(intake)) = (self.snapshot.clone(), self.intake.as_ref()) else {
            return Planned::NotYet;
        };
        match intake.operation {
            Operation::ListModels => {
                let models =
                    intake.inbound.encode_models(&listed(&snapshot, caller.as_ref().map(|caller| caller.key.as_ref())));
                let headers = reply_headers(intake.inbound, &self.request_id);
                self.reply(200, &headers, &models)
            }
            Operation::Chat | Operation::CountTokens => match self.scan.take() {
                None => Planned::NotYet,
                Some(scan) => self.plan(&snapshot, caller, scan, now),
            },
        }
    }

    /// Nobody in the plan can count for this client: an estimate, which says that it is one.
    fn estimate(&mut self, scan: &Scan) -> Planned {
        let inbound = self.inbound();
        match inbound.encode_count(estimate(scan.len)) {
            Some(body) => {
                let mut headers = reply_headers(inbound, &self.request_id);
                headers.push(("x-attache-estimated".to_owned(), b"true".to_vec()));
                self.reply(200, &headers, &body)
            }
            None => self.refuse(&Fault::new(FaultKind::NotFound, "Tokens are not counted in this dialect.")),
        }
    }

    /// Answers with an error in the client's dialect.
    pub(crate) fn refuse(&mut self, fault: &Fault) -> Planned {
        let inbound = match &self.state {
            State::Running(_, exchange) => exchange.try_borrow().map_or(self.inbound(), |ex| ex.inbound),
            State::Waiting | State::Replied => self.inbound(),
        };
        self.refuse_in(inbound, fault)
    }

    fn refuse_in(&mut self, inbound: &dyn Inbound, fault: &Fault) -> Planned {
        vm::with(|vm| vm.metrics.add(Counter::Refused));
        let reply = refusal(inbound, &self.request_id, fault);
        self.reply(reply.status, &reply.headers, &reply.body)
    }

    fn reply(&mut self, status: u16, headers: &Headers, body: &[u8]) -> Planned {
        self.state = State::Replied;
        self.held = Reservation::default();
        self.body = Vec::new();
        if host::reply(status, "attache", headers, body).is_err() {
            log::error!("a reply with status {status} could not be sent");
        }
        Planned::Replied
    }

    /// The head is here.
    pub(crate) fn head(&mut self, request: &Rc<RefCell<Self>>, end: bool) -> Planned {
        let Some(snapshot) = vm::with(|vm| vm.snapshot.clone()).flatten() else {
            return self.refuse(&Fault::new(FaultKind::Overloaded, "The gateway is not configured yet."));
        };
        let Ok(pairs) = host::headers(Map::Request) else {
            return self.refuse(&Fault::new(FaultKind::Internal, "The request head could not be read."));
        };
        let headers = pairs.list();
        let identity = identity::find(&snapshot, &headers);
        let id = headers.iter().find(|(name, _)| *name == b"x-request-id");
        let id = id.map(|(_, value)| value).filter(|id| id.len() <= LONGEST_ID);
        self.request_id = id.map(|id| id.to_vec()).unwrap_or_default();
        let taken = intake(&snapshot, &headers);
        drop(headers);
        // What is needed of keys and cookies has been taken.
        drop(pairs);
        let mut intake = match taken {
            Ok(intake) => intake,
            Err((inbound, fault)) => return self.refuse_in(inbound, &fault),
        };
        let unstripped = intake.strip.iter().any(|name| host::remove_header(Map::Request, name).is_err());
        let mut key = intake.key.take();
        let operation = intake.operation;
        self.snapshot = Some(Rc::clone(&snapshot));
        self.intake = Some(intake);
        // From here on it is known by its digest.
        let digest = key.as_deref().map(digest);
        if let Some(key) = &mut key {
            wipe(key);
        }
        if unstripped {
            return self.refuse(&Fault::new(FaultKind::Internal, "A credential could not be removed."));
        }
        if end && operation != Operation::ListModels {
            return self.refuse(&malformed(wire::format::Malformed {
                path: String::new(),
                message: "The request has no body; a JSON object is expected.".to_owned(),
            }));
        }
        if !account::is_open() {
            return self.refuse(&no_memory());
        }
        self.me = Rc::downgrade(request);
        self.askers = admission::askers(&snapshot, digest, identity);
        self.admission = admission::look_up(&snapshot, &mut self.askers, request, Some(self.context), &mut self.waited);
        self.advance(self.arrived)
    }

    /// Bytes of the body that have come.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// So much of the body is here. Envoy's own limits have a floor (the listener's buffer), the configured one has not.
    pub(crate) fn too_large(&mut self, size: usize) -> bool {
        self.size = size;
        let limit = self.snapshot.as_ref().map_or(u64::MAX, |snapshot| snapshot.body_limit);
        let large = size as u64 > limit && matches!(self.state, State::Waiting);
        if large {
            self.refuse(&local_reply(413));
        }
        large
    }

    /// The whole body is here.
    pub(crate) fn body(&mut self) -> Planned {
        self.whole = host::now();
        let body = match fetch(self.size) {
            Ok(body) => body,
            Err(fault) => return self.refuse(&fault),
        };
        match scan(&body) {
            Ok(scan) => {
                self.service = Service::asked(&scan, &body);
                self.scan = Some(scan);
            }
            Err(problem) => return self.refuse(&malformed(problem)),
        }
        // Who waits for the sidecar waits without: Envoy has it too.
        if self.admission.is_some() {
            self.body = body;
        }
        self.advance(self.whole)
    }

    /// Goes on from another context's callback. Its try follows when that is over, and others are let go before; so the
    /// body is given back to Envoy alone.
    pub(crate) fn resume(&mut self) {
        if let State::Running(_, exchange) = &self.state
            && let Ok(mut ex) = exchange.try_borrow_mut()
        {
            ex.body = None;
        }
        if host::resume_request().is_err() {
            log::error!("a request could not be resumed");
        }
    }
}

/// A body of this size from Envoy, if there is room for it and for what may be made of it.
fn fetch(size: usize) -> Result<Vec<u8>, Fault> {
    if !account::has_room(size.saturating_mul(COPIES)) {
        return Err(no_memory());
    }
    // A body that cannot be read is no JSON object either, and the fault says what is expected.
    Ok(host::buffer(Buffer::RequestBody, 0, host::ALL).unwrap_or_default())
}

/// The VM has no room for it now.
pub(crate) fn no_memory() -> Fault {
    Fault::overloaded("The gateway has no memory for this request at the moment.", "memory")
}
