//! The upstream role: one try at one provider. Sets the whole request head and body, shows the answer to the client in
//! its own dialect, and has the next hop ready before anything can fail.

use std::cell::RefCell;
use std::rc::Rc;

use engine::exchange::{Answer, Body, COPIES, Exchange, Head, light_enough, refusal, too_heavy, weight};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use wire::ir::Fault;

use crate::account::{Account, Owner};
use crate::host::{self, Buffer, Map};
use crate::request::no_memory;
use crate::vm::Running;
use crate::{account, cooldown, vm, watch};

/// One try.
pub(crate) struct Attempt {
    context: u32,
    cluster: String,
    running: Option<(Rc<RefCell<Exchange>>, usize)>,
    /// That of the request this try belongs to.
    account: Option<Rc<Account>>,
    answer: Option<Rc<RefCell<Answer>>>,
    /// Bytes of the answer that Envoy had with the last piece.
    size: usize,
    /// The tick knows of it.
    watched: bool,
}

/// The number in `DIALECT NUMBER`, as the plan has written it.
fn number(exchange: &[u8]) -> Option<u64> {
    let (_, number) = std::str::from_utf8(exchange).ok()?.rsplit_once(' ')?;
    number.parse().ok()
}

impl Attempt {
    pub(crate) fn new(context: u32, cluster: String) -> Self {
        Self { context, cluster, running: None, account: None, answer: None, size: 0, watched: false }
    }

    /// Finds the request this try belongs to and writes the hop after it.
    fn begin(&mut self) -> Option<()> {
        let number = number(&host::property("exchange").ok()?)?;
        let Running { exchange, account } = vm::running(number)?;
        let hop = account.charge(|| {
            let mut ex = exchange.try_borrow_mut().ok()?;
            let now = host::now();
            let hop = ex.begin(&self.cluster, now)?;
            cooldown::share(&mut ex, now);
            if let Some(next) = ex.cluster(ex.cursor) {
                host::set_property("next", next.as_bytes()).ok()?;
            }
            Some(hop)
        })?;
        self.account = Some(account);
        self.running = Some((exchange, hop));
        Some(())
    }

    fn send(&mut self, size: usize) -> Option<()> {
        let (exchange, hop) = self.running.as_ref()?;
        let mut ex = exchange.try_borrow_mut().ok()?;
        let kept = ex.body.take().filter(|body| size == host::ALL || size == body.len());
        let body = Self::client_body(&ex, *hop, kept);
        match body
            .and_then(|kept| ex.outgoing(*hop, || kept.or_else(|| host::buffer(Buffer::RequestBody, 0, size).ok())))
        {
            Ok(outgoing) => {
                host::set_headers(Map::Request, &outgoing.headers).ok()?;
                if let Some(new) = outgoing.body {
                    host::set_buffer(Buffer::RequestBody, size, &new).ok()?;
                }
                if ex.ready.is_none() {
                    ex.ready(host::now());
                }
            }
            Err(fault) => {
                // A local reply of an upstream filter goes straight to the client: right for a fault of its own.
                let reply = refusal(ex.inbound, &ex.request_id, &fault);
                ex.abandon(reply.status);
                host::reply(reply.status, "attache_untranslatable", &reply.headers, &reply.body).ok()?;
            }
        }
        Some(())
    }

    /// The client's body, if it is at hand or must be translated, and if there is room for what is to be done with it.
    fn client_body(ex: &Exchange, hop: usize, kept: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Fault> {
        let room = |bytes| if account::has_room(bytes) { Ok(()) } else { Err(no_memory()) };
        if kept.is_none() {
            room(ex.scan.len.saturating_mul(COPIES))?;
        }
        if !ex.translates(hop) {
            return Ok(kept);
        }
        let body = kept.or_else(|| host::buffer(Buffer::RequestBody, 0, host::ALL).ok());
        if let Some(body) = &body {
            room(light_enough(body).map_err(too_heavy)?)?;
        }
        Ok(body)
    }

    fn whole_request(&mut self, size: usize) -> Action {
        if self.send(size).is_some() {
            return Action::Continue;
        }
        log::error!("a try at {} could not be sent", self.cluster);
        let _refused = host::reply(503, "attache_not_sent", &Vec::new(), b"");
        Action::Pause
    }

    fn head(&mut self, end: bool) -> Option<Action> {
        let (exchange, _) = self.running.as_ref()?;
        let mut ex = exchange.try_borrow_mut().ok()?;
        let headers = host::headers(Map::Response).ok()?;
        let now = host::now();
        let (answer, head) = Answer::head(&mut ex, &headers.list(), end, now)?;
        cooldown::share(&mut ex, now);
        carry_out(&head)?;
        let action = match head.set {
            Some(new) => {
                host::set_headers(Map::Response, &new).ok()?;
                Action::Continue
            }
            None => Action::Pause,
        };
        let answer = Rc::new(RefCell::new(answer));
        let (holds, flows) = answer.try_borrow().map_or((false, false), |answer| (answer.holds(), answer.flows()));
        self.answer = Some(answer);
        if holds || flows && !end {
            drop(ex);
            self.watch((!holds).then_some(now));
        }
        Some(action)
    }

    fn watch(&mut self, shown: Option<u64>) {
        if let (Some((exchange, _)), Some(account), Some(answer)) = (&self.running, &self.account, &self.answer) {
            watch::begin(self.context, exchange, account, answer, shown);
            self.watched = true;
        }
    }

    fn unwatch(&mut self) {
        if std::mem::take(&mut self.watched) {
            vm::with(|vm| vm.watch.remove(&self.context));
        }
    }

    /// A piece of the body; `None` for the size at the trailers, where a stream's bytes have been read already.
    fn body(&mut self, size: Option<usize>, end: bool) -> Option<Action> {
        self.size = size.unwrap_or(self.size);
        let (exchange, _) = self.running.as_ref()?;
        let mut ex = exchange.try_borrow_mut().ok()?;
        let mut answer = self.answer.as_ref()?.try_borrow_mut().ok()?;
        // The time matters at the end and until the first content, and a stream has many pieces.
        let time = |answer: &Answer, ex: &Exchange| if end || answer.is_timed(ex) { host::now() } else { 0 };
        if answer.passes() {
            let now = time(&answer, &ex);
            let size = size.unwrap_or(0);
            answer.pass(&mut ex, size, end, now, |last| host::buffer(Buffer::ResponseBody, size - last, last).ok());
            drop((ex, answer));
            if end {
                self.unwatch();
            }
            return Some(Action::Continue);
        }
        let waited = answer.holds();
        // What the buffer has, and what of it is new.
        let all = size.unwrap_or(host::ALL);
        let new = match size {
            None if !answer.collects() => 0,
            _ => all - answer.staged().min(all),
        };
        let (body, now) = if answer.collects() && !end {
            if all <= answer.room(&ex) {
                return Some(Action::Pause);
            }
            let now = host::now();
            let last = |last: usize| host::buffer(Buffer::ResponseBody, all - last, last).ok();
            (answer.overflow(&mut ex, all, now, last), now)
        } else {
            let now = time(&answer, &ex);
            // At trailers the size is not told, but with the piece before.
            let room = account::has_room(new.min(self.size).saturating_mul(COPIES));
            let chunk =
                if new == 0 || !room { Vec::new() } else { host::buffer(Buffer::ResponseBody, all - new, new).ok()? };
            let room = room && (!answer.retells(&ex) || account::has_room(weight(&chunk)));
            if room {
                (answer.body(&mut ex, &chunk, end, now), now)
            } else {
                watch::give_up(self.context);
                (answer.no_room(&mut ex, end, now), now)
            }
        };
        cooldown::share(&mut ex, now);
        let (waits, passes) = (answer.holds(), answer.passes());
        drop((ex, answer));
        if end || matches!(body, Body::Fail(_)) {
            self.unwatch();
        } else if waited && !waits {
            watch::shown(self.context, now);
        } else if passes {
            self.watch(Some(now));
        }
        match body {
            Body::Keep => {}
            Body::Hold => return Some(Action::Pause),
            Body::Stage(new) => {
                host::set_buffer(Buffer::ResponseBody, all, &new).ok()?;
                return Some(Action::Pause);
            }
            Body::Replace(new) if new.is_empty() && (all == 0 || size.is_none()) => {}
            Body::Replace(_) if size.is_none() => {
                // The body has passed and is out of reach, and what is missing is its end: nobody may take it for whole.
                let (exchange, _) = self.running.as_ref()?;
                watch::cut(&mut *exchange.try_borrow_mut().ok()?);
                return Some(Action::Pause);
            }
            Body::Replace(new) => host::set_buffer(Buffer::ResponseBody, all, &new).ok()?,
            Body::Show(head) => host::set_headers(Map::Response, &head).ok()?,
            Body::Whole(head, new) => {
                host::set_headers(Map::Response, &head).ok()?;
                host::set_buffer(Buffer::ResponseBody, all, &new).ok()?;
            }
            Body::Fail(head) => {
                host::set_headers(Map::Response, head.set.as_ref()?).ok()?;
                carry_out(&head)?;
            }
        }
        Some(Action::Continue)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.unwatch();
    }
}

/// What a judgement means beyond its own try: who is next. The host's context is the try's.
pub(crate) fn carry_out(head: &Head) -> Option<()> {
    if let Some(next) = &head.next {
        host::set_property("next", next.as_bytes()).ok()?;
    }
    Some(())
}

impl Owner for Attempt {
    fn account(&self) -> Option<Rc<Account>> {
        self.account.clone()
    }
}

impl Context for Attempt {}

impl HttpContext for Attempt {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if self.begin().is_none() {
            log::error!("a try at {} belongs to no request in flight", self.cluster);
            // Nothing may reach a provider with the client's own head.
            let _refused = host::reply(503, "attache_no_exchange", &Vec::new(), b"");
        }
        Action::Pause
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if end { self.whole_request(size) } else { Action::Pause }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers no body callback is the last one.
        self.whole_request(host::ALL)
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        self.head(end).unwrap_or(Action::Continue)
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.body(Some(size), end).unwrap_or(Action::Continue)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        // With trailers no body callback is the last one. An answer that waits for its end is still in the buffer.
        self.body(None, true).unwrap_or(Action::Continue)
    }
}
