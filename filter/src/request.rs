//! One request as the plan role holds it, until it is planned or refused.
//!
//! It waits for two things in any order, its body and its key's record; whichever comes last plans it.

use std::cell::RefCell;
use std::rc::Rc;

use engine::config::snapshot::{Snapshot, VirtualKey};
use engine::exchange::{
    Denial, Exchange, Fit, Headers, Intake, admission_fault, estimate, intake, local_reply, malformed, reply_headers,
};
use engine::keys::{digest, wipe};
use engine::route::{Ask, Refusal, listed, plan};
use wire::format::{INBOUND, Inbound};
use wire::ir::{Fault, FaultKind, Operation};
use wire::scan::{Scan, scan};

use crate::host::{self, Buffer, Map};
use crate::metrics::Counter;
use crate::vm::Vm;
use crate::{admission, cooldown, vm};

/// What a key's record says: the key (none if none is needed), or why not.
pub(crate) type Admission = Result<Option<Rc<VirtualKey>>, Denial>;

/// One request as the plan role sees it. Shared with [`admission`], which wakes it when the sidecar has answered.
pub(crate) struct Request {
    /// The host's context, to resume it from another context's callback.
    pub(crate) context: u32,
    snapshot: Option<Rc<Snapshot>>,
    intake: Option<Intake>,
    scan: Option<Scan>,
    /// The body itself, until it is planned.
    body: Vec<u8>,
    admission: Option<Admission>,
    arrived: u64,
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
    pub(crate) fn new(context: u32) -> Self {
        Self {
            context,
            snapshot: None,
            intake: None,
            scan: None,
            body: Vec::new(),
            admission: None,
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

    /// The configuration it began with.
    pub(crate) fn snapshot(&self) -> Option<Rc<Snapshot>> {
        self.snapshot.clone()
    }

    /// The record is here.
    pub(crate) fn admit(&mut self, admission: Admission) {
        self.admission = Some(admission);
    }

    /// Goes on if nothing is missing any more.
    pub(crate) fn advance(&mut self, now: u64) -> Planned {
        if !matches!(self.state, State::Waiting) {
            return Planned::NotYet;
        }
        let key = match &self.admission {
            None => return Planned::NotYet,
            Some(Err(denial)) => return self.refuse(&admission_fault(*denial)),
            Some(Ok(key)) => key.clone(),
        };
        let (Some(snapshot), Some(intake)) = (self.snapshot.clone(), self.intake.as_ref()) else {
            return Planned::NotYet;
        };
        match intake.operation {
            Operation::ListModels => {
                let models = intake.inbound.encode_models(&listed(&snapshot, key.as_deref()));
                let headers = reply_headers(intake.inbound, &self.request_id, None);
                self.reply(200, &headers, &models)
            }
            Operation::Chat | Operation::CountTokens => match self.scan.take() {
                None => Planned::NotYet,
                Some(scan) => self.plan(snapshot, key, scan, now),
            },
        }
    }

    fn plan(&mut self, snapshot: Rc<Snapshot>, key: Option<Rc<VirtualKey>>, scan: Scan, now: u64) -> Planned {
        let Some(operation) = self.intake.as_ref().map(|intake| intake.operation) else { return Planned::NotYet };
        let Some(model) = scan.model.as_deref() else {
            let fault = Fault::new(FaultKind::InvalidRequest, "`model` is missing: name the model to ask.");
            return self.refuse(&fault.with_param("model"));
        };
        let ask = Ask { model, fallbacks: &scan.fallbacks, key: key.as_deref() };
        let body = std::mem::take(&mut self.body);
        let mut fit = Fit::new(&snapshot, self.inbound(), operation, &body, &scan);
        let mut takes = |hop: &_| fit.takes(hop);
        let planned =
            cooldown::plan(&snapshot, now, |resting, draw| plan(&snapshot, ask, resting, now, draw, &mut takes));
        let planned = planned.and_then(|planned| Some((planned, vm::with(Vm::number)?)));
        let (plan, number) = match planned {
            Some((Ok(plan), number)) => (plan, number),
            Some((Err(Refusal::Unfit | Refusal::Resting { .. }), _)) if operation == Operation::CountTokens => {
                return self.estimate(&scan);
            }
            Some((Err(Refusal::Unfit), _)) => return self.refuse(&fit.fault()),
            Some((Err(refusal), _)) => return self.refuse(&refusal.fault(now)),
            None => return self.refuse(&Fault::new(FaultKind::Internal, "The gateway is busy with itself.")),
        };
        let Some(mut intake) = self.intake.take() else { return Planned::NotYet };
        // A header that carried a virtual key is no provider credential.
        intake.credential =
            intake.credential.filter(|(name, _)| key.is_none() || intake.key_from != Some(name.as_str()));
        let retries = plan.hops.len().saturating_sub(1);
        let mut exchange = Exchange::new(snapshot, intake, scan, key, plan, self.arrived);
        exchange.whole = self.whole;
        exchange.request_id = self.request_id.clone();
        exchange.body = Some(body);
        let sent = exchange.cluster(0).is_some_and(|first| {
            // The header changes make Envoy resolve the route again, now that the next hop is known: they come last.
            host::set_property("exchange", &number.to_le_bytes()).is_ok()
                && host::set_property("next", first.as_bytes()).is_ok()
                && exchange.patience().is_none_or(|ms| set_number("x-envoy-upstream-rq-per-try-timeout-ms", &ms))
                && set_number("x-envoy-max-retries", &retries)
        });
        let exchange = Rc::new(RefCell::new(exchange));
        self.state = State::Running(number, Rc::clone(&exchange));
        if !sent {
            return self.refuse(&Fault::new(FaultKind::Internal, "The gateway could not hand the request on."));
        }
        vm::with(|vm| {
            vm.exchanges.insert(number, exchange);
            vm.metrics.add(Counter::Requests);
        });
        Planned::Go
    }

    /// Nobody in the plan can count for this client: an estimate, which says that it is one.
    fn estimate(&mut self, scan: &Scan) -> Planned {
        let inbound = self.inbound();
        match inbound.encode_count(estimate(scan.len)) {
            Some(body) => {
                let mut headers = reply_headers(inbound, &self.request_id, None);
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
        let headers = reply_headers(inbound, &self.request_id, fault.retry_after);
        self.reply(inbound.status(fault), &headers, &inbound.encode_fault(fault))
    }

    fn reply(&mut self, status: u16, headers: &Headers, body: &[u8]) -> Planned {
        self.state = State::Replied;
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
        let id = headers.iter().find(|(name, _)| *name == b"x-request-id");
        self.request_id = id.map(|(_, value)| value.to_vec()).unwrap_or_default();
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
        self.admission = admission::look_up(&snapshot, digest, request, self.context);
        self.advance(self.arrived)
    }

    /// So much of the body is here. Envoy's own limits have a floor (the listener's buffer), the configured one has not.
    pub(crate) fn too_large(&mut self, size: usize) -> bool {
        let limit = self.snapshot.as_ref().map_or(u64::MAX, |snapshot| snapshot.body_limit);
        let large = size as u64 > limit && matches!(self.state, State::Waiting);
        if large {
            self.refuse(&local_reply(413));
        }
        large
    }

    /// The whole body is here.
    pub(crate) fn body(&mut self, size: usize) -> Planned {
        self.whole = host::now();
        // A body that cannot be read is no JSON object either, and the fault says what is expected.
        let body = host::buffer(Buffer::RequestBody, 0, size).unwrap_or_default();
        match scan(&body) {
            Ok(scan) => self.scan = Some(scan),
            Err(problem) => return self.refuse(&malformed(problem)),
        }
        // Who waits for the sidecar waits without: Envoy has it too.
        if self.admission.is_some() || self.snapshot.as_ref().is_some_and(|snapshot| snapshot.strict) {
            self.body = body;
        }
        self.advance(self.whole)
    }
}

fn set_number(name: &str, value: &impl ToString) -> bool {
    host::set_header(Map::Request, name, value.to_string().as_bytes()).is_ok()
}
