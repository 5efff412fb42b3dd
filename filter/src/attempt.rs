//! The upstream role: one try at one provider. Sets the whole request head and body, shows the answer to the client in
//! its own dialect, and has the next hop ready before anything can fail.

use std::cell::RefCell;
use std::rc::Rc;

use engine::cooldown::Cooldowns;
use engine::exchange::{Answer, Body, Exchange, reply_headers};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::{self, Buffer, Map};
use crate::vm;

/// Shared data: all running cool-downs.
pub(crate) const COOLDOWNS: &str = "cooldowns";

/// One try.
pub(crate) struct Attempt {
    cluster: String,
    running: Option<(Rc<RefCell<Exchange>>, usize)>,
    answer: Option<Answer>,
}

impl Attempt {
    pub(crate) fn new(cluster: String) -> Self {
        Self { cluster, running: None, answer: None }
    }

    /// Finds the request this try belongs to and writes the hop after it.
    fn begin(&mut self) -> Option<()> {
        let number = host::property("exchange").ok()?;
        let exchange = vm::exchange(vm::word(&number))?;
        let hop = {
            let mut ex = exchange.try_borrow_mut().ok()?;
            let hop = ex.begin(&self.cluster, host::now())?;
            if let Some(next) = ex.cluster(ex.cursor) {
                host::set_property("next", next.as_bytes()).ok()?;
            }
            hop
        };
        self.running = Some((exchange, hop));
        Some(())
    }

    fn send(&mut self, size: usize) -> Option<()> {
        let (exchange, hop) = self.running.as_ref()?;
        let mut ex = exchange.try_borrow_mut().ok()?;
        match ex.outgoing(*hop, || host::buffer(Buffer::RequestBody, size).ok()) {
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
                let status = ex.inbound.status(&fault);
                let headers = reply_headers(ex.inbound, &ex.request_id, fault.retry_after);
                ex.abandon(status);
                host::reply(status, "attache_untranslatable", &headers, &ex.inbound.encode_fault(&fault)).ok()?;
            }
        }
        Some(())
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
        let (answer, head) = Answer::head(&mut ex, &headers, end, now)?;
        if let Some((lane, until)) = head.rest {
            let rested = host::update_shared(COOLDOWNS, |old| {
                let mut all = Cooldowns::parse(old);
                all.rest(&lane, until, now);
                all.to_bytes()
            });
            if rested.is_err() {
                log::warn!("cool-down of {lane} could not be shared");
            }
        }
        if let Some(next) = head.next {
            host::set_property("next", next.as_bytes()).ok()?;
        }
        let action = match head.set {
            Some(new) => {
                host::set_headers(Map::Response, &new).ok()?;
                Action::Continue
            }
            None => Action::Pause,
        };
        self.answer = Some(answer);
        Some(action)
    }

    fn body(&mut self, size: usize, end: bool) -> Option<Action> {
        let (exchange, _) = self.running.as_ref()?;
        let mut ex = exchange.try_borrow_mut().ok()?;
        let answer = self.answer.as_mut()?;
        if answer.holds() && !end {
            return Some(Action::Pause);
        }
        let chunk = if size == 0 { Vec::new() } else { host::buffer(Buffer::ResponseBody, size).ok()? };
        // The time matters at the end and until the first content, and a stream has many pieces.
        let now = if end || answer.is_timed(&ex) { host::now() } else { 0 };
        match answer.body(&mut ex, &chunk, end, now) {
            Body::Keep => {}
            Body::Hold => return Some(Action::Pause),
            // Nothing comes of nothing; and at trailers the body has passed, out of reach.
            Body::Replace(new) if size == 0 && new.is_empty() => {}
            Body::Replace(new) => host::set_buffer(Buffer::ResponseBody, size, &new).ok()?,
            Body::Whole(head, new) => {
                host::set_headers(Map::Response, &head).ok()?;
                host::set_buffer(Buffer::ResponseBody, size, &new).ok()?;
            }
        }
        Some(Action::Continue)
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
        self.body(size, end).unwrap_or(Action::Continue)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        // With trailers no body callback is the last one. A held answer is still in the buffer.
        let held = self.answer.as_ref().is_some_and(Answer::holds);
        self.body(if held { host::ALL } else { 0 }, true).unwrap_or(Action::Continue)
    }
}
