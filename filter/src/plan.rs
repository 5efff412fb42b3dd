//! The downstream role: Envoy's callbacks for one request, and what the client sees when no provider answered.

use std::cell::RefCell;
use std::rc::Rc;

use engine::exchange::{Exchange, Headers, Reply, bodiless, local_reply, refusal};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::account::{Account, Owner};
use crate::host::{self, Buffer, Map};
use crate::request::{Planned, Request, State};
use crate::{account, calls, cooldown, pending, purses, vm, wake};

/// The host's callbacks for one request.
pub(crate) struct Plan {
    account: Rc<Account>,
    request: Rc<RefCell<Request>>,
    /// A reply that Envoy made up, to be put into the client's dialect.
    rewrite: Option<Vec<u8>>,
}

impl Plan {
    pub(crate) fn new(context: u32, account: Rc<Account>) -> Self {
        let request = Request::new(context, Rc::clone(&account));
        Self { account, request: Rc::new(RefCell::new(request)), rewrite: None }
    }

    fn context(&self) -> u32 {
        self.request.try_borrow().map_or(0, |request| request.context)
    }

    fn running(&self) -> Option<(u64, Rc<RefCell<Exchange>>)> {
        match &self.request.try_borrow().ok()?.state {
            State::Running(number, exchange) => Some((*number, Rc::clone(exchange))),
            State::Waiting | State::Replied => None,
        }
    }

    /// A response that no try and not we made: Envoy's own.
    fn envoys_own(&mut self, end: bool) -> Option<()> {
        let headers = host::headers(Map::Response).ok()?;
        let status = headers.list().into_iter().find(|(name, _)| *name == b":status").map(|(_, value)| value)?;
        let status: u16 = std::str::from_utf8(status).ok()?.parse().ok()?;
        // A try whose head came and was held has been reached: what came of it could not be used.
        let begun = |ex: &Exchange| status == 503 && ex.tries.last().is_some_and(|current| current.status.is_some());
        let cut = self.running().is_some_and(|(_, exchange)| exchange.try_borrow().is_ok_and(|ex| begun(&ex)));
        let fault = local_reply(if cut { 502 } else { status });
        let (inbound, request_id) = match self.running() {
            Some((_, exchange)) => {
                let mut ex = exchange.try_borrow_mut().ok()?;
                // What Envoy says of its own limits (413, 500) is not the lane's doing.
                if matches!(status, 502..=504) {
                    let now = host::now();
                    ex.unanswered(now);
                    cooldown::share(&mut ex, now);
                }
                ex.status = Some(ex.inbound.status(&fault));
                if let Some(trail) = ex.trail() {
                    host::set_header(Map::Response, "x-attache-trail", trail.as_bytes()).ok()?;
                }
                (ex.inbound, ex.request_id.clone())
            }
            None => {
                let request = self.request.try_borrow().ok()?;
                (request.inbound(), request.request_id.clone())
            }
        };
        let Reply { status: told, headers, body } = refusal(inbound, &request_id, &fault);
        if told != status {
            host::set_header(Map::Response, ":status", told.to_string().as_bytes()).ok()?;
        }
        if !end {
            for (name, value) in headers {
                host::set_header(Map::Response, &name, &value).ok()?;
            }
            host::set_header(Map::Response, "content-length", body.len().to_string().as_bytes()).ok()?;
            self.rewrite = Some(body);
        }
        Some(())
    }

    /// An error that comes without words of its own is told with ours: the last try's, whose answer was held and was
    /// none, one that has no body (`end`), or one whose words are not for clients. True if it was.
    fn worded(&self, end: bool) -> bool {
        let Some((_, exchange)) = self.running() else { return false };
        let Ok(mut ex) = exchange.try_borrow_mut() else { return false };
        let wordless = end || ex.hides();
        let (status, fault) = match (ex.verdict.take(), ex.status.filter(|status| *status >= 400)) {
            (Some(fault), _) => (ex.inbound.status(&fault), fault),
            (None, Some(status)) if wordless => {
                let fault = bodiless(status);
                (ex.inbound.status(&fault), fault)
            }
            (None, _) => return false,
        };
        let mut headers: Headers = host::headers(Map::Response)
            .unwrap_or_default()
            .list()
            .into_iter()
            .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?.to_owned(), value.to_vec())))
            .filter(|(name, _)| name.starts_with("x-") || name == "request-id" || name == "retry-after")
            .collect();
        (ex.status, ex.delivered) = (Some(status), true);
        // Its own id says more than ours, if it has one.
        let reply = refusal(ex.inbound, &ex.request_id, &fault);
        for (name, value) in reply.headers {
            if !headers.iter().any(|(have, _)| *have == name) {
                headers.push((name, value));
            }
        }
        host::reply(status, "attache_worded", &headers, &reply.body).is_ok()
    }

    fn whole_request(&self) -> Action {
        let size = self.request.try_borrow().map_or(0, |request| request.size());
        if vm::with(|vm| vm.turns.must_wait(&self.request, size)) == Some(true) {
            return Action::Pause;
        }
        let planned = self.request.try_borrow_mut().map(|mut request| (request.body(), request.context));
        match planned {
            Ok((Planned::Go, _)) => Action::Continue,
            Ok((Planned::NotYet, context)) => {
                let now = host::now();
                purses::flush(context, now);
                // However many come, those who wait get ahead faster.
                wake::go_on(context, now);
                Action::Pause
            }
            Ok((Planned::Replied, _)) | Err(_) => Action::Pause,
        }
    }

    fn delivered(&self) {
        if let Some((_, exchange)) = self.running()
            && let Ok(mut ex) = exchange.try_borrow_mut()
        {
            ex.delivered = true;
        }
    }
}

/// The response is one of Envoy's plain texts. Where a body outgrows Envoy's limit and ours at once, both reply to it and
/// Envoy takes its own.
fn plain() -> bool {
    let headers = host::headers(Map::Response).unwrap_or_default();
    headers.list().iter().any(|(name, value)| *name == b"content-type" && value.starts_with(b"text/plain"))
}

/// It was not the client who ended the stream, but the provider's side.
fn torn() -> bool {
    host::property("response\0code_details").is_ok_and(|details| details.starts_with(b"upstream_"))
}

impl Owner for Plan {
    fn account(&self) -> Option<Rc<Account>> {
        Some(Rc::clone(&self.account))
    }
}

impl Context for Plan {
    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        calls::answered(self.context(), token, status, size);
    }
}

impl HttpContext for Plan {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        #[cfg(feature = "trap")]
        crate::trap::spring();
        if let Ok(mut request) = self.request.try_borrow_mut()
            && matches!(request.head(&self.request, end), Planned::NotYet)
            && !end
        {
            vm::with(|vm| vm.uploads.begin(request.context, &self.request, request.arrived));
        }
        Action::Pause
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        let context = self.context();
        vm::with(|vm| if end { vm.uploads.done(context, size) } else { vm.uploads.grown(context, size) });
        let large = self.request.try_borrow_mut().is_ok_and(|mut request| request.too_large(size));
        if end && !large { self.whole_request() } else { Action::Pause }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // With trailers no body callback is the last one. No provider is meant to see them.
        if host::set_headers(Map::RequestTrailers, &Vec::new()).is_err() {
            log::warn!("request trailers could not be removed");
        }
        let context = self.context();
        vm::with(|vm| vm.uploads.done(context, host::ALL));
        self.whole_request()
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        let replied =
            self.request.try_borrow().is_ok_and(|request| matches!(request.state, State::Replied)) && !plain();
        let answered = self.running().is_some_and(|(_, exchange)| {
            exchange.try_borrow_mut().is_ok_and(|mut ex| {
                let answering = ex.answering.is_some();
                if answering {
                    let now = host::now();
                    cooldown::served(&ex, now);
                    if let Some(told) = ex.delivering(end, now)
                        && host::set_header(Map::Response, ":status", told.to_string().as_bytes()).is_err()
                    {
                        log::warn!("a status could not be put into the client's dialect");
                    }
                    if ex.sealed && host::remove_header(Map::Response, "x-envoy-ratelimited").is_err() {
                        log::warn!("x-envoy-ratelimited could not be removed");
                    }
                }
                answering
            })
        });
        if !replied && !answered && self.envoys_own(end).is_none() {
            log::warn!("a reply of Envoy's own could not be rewritten");
        }
        if answered && self.worded(end) {
            return Action::Pause;
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        if let Some(body) = &mut self.rewrite
            && host::set_buffer(Buffer::ResponseBody, size, &std::mem::take(body)).is_err()
        {
            log::warn!("a reply of Envoy's own could not be rewritten");
        }
        if end {
            self.delivered();
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.delivered();
        Action::Continue
    }

    fn on_log(&mut self) {
        let (context, held) = self.request.try_borrow_mut().map_or_else(
            |_| Default::default(),
            |mut request| {
                request.leave(&self.request);
                (request.context, request.take_held())
            },
        );
        if let Some((number, exchange)) = self.running() {
            let now = host::now();
            let settled = exchange.try_borrow_mut().map(|mut ex| {
                ex.torn |= !ex.delivered && torn();
                ex.settle(now)
            });
            vm::with(|vm| vm.exchanges.remove(&number));
            if let Ok(settled) = settled {
                vm::with(|vm| {
                    vm.metrics.settle(&settled, now);
                    let (holder, charges) = held.settle(vm, &settled.amounts);
                    account::shared(|| vm.settlements.push(holder, number, settled, &charges, &mut vm.metrics));
                });
            }
        }
        vm::with(|vm| vm.uploads.forget(context));
        pending::orphaned(context);
        purses::orphaned(context);
    }
}
