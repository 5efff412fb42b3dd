//! What Envoy does around the module: routes by `wasm.next`, runs one upstream filter per try, retries, answers calls.
//!
//! Does not: count time or run streams at once; every exchange is played to its end, callback by callback.
//! A chunk goes through both roles before the next one comes, as on one worker.

use std::collections::BTreeMap;

use wasmtime::Result;

use crate::host::abi::{self, Headers, value};
use crate::host::side::Piece;
use crate::host::world::{Call, Fault, Local, Way};
use crate::host::{Guest, Vm};

/// A body of so many bytes takes turns: `filter/src/turns.rs`.
pub const LARGE: usize = 1 << 20;

/// One message, in either direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub headers: Headers,
    pub chunks: Vec<Vec<u8>>,
    pub trailers: Option<Headers>,
}

impl Message {
    pub fn new(headers: &[(&str, &str)], chunks: &[&[u8]]) -> Self {
        let chunks = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        Self { headers: abi::headers(headers), chunks, trailers: None }
    }

    pub fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    pub fn header(&self, name: &str) -> &str {
        std::str::from_utf8(value(&self.headers, name).unwrap_or_default()).unwrap_or_default()
    }

    pub fn pieces(&self) -> Vec<Piece> {
        let (last, trailers) = (self.chunks.len(), self.trailers.is_some());
        let mut pieces = vec![Piece::Head(self.headers.clone(), last == 0 && !trailers)];
        for (n, chunk) in self.chunks.iter().enumerate() {
            pieces.push(Piece::Body(chunk.clone(), n + 1 == last && !trailers));
        }
        pieces.extend(self.trailers.clone().map(Piece::Trailers));
        pieces
    }

    pub fn push(&mut self, piece: Piece) {
        match piece {
            Piece::Head(headers, _) => self.headers = headers,
            Piece::Body(bytes, _) => self.chunks.push(bytes),
            Piece::Trailers(trailers) => self.trailers = Some(trailers),
        }
    }
}

/// What a provider does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    Whole(Message),
    /// It ends after the last chunk without being over.
    Cut(Message),
    Refused,
}

/// One try, as the provider got it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub lane: String,
    pub message: Message,
}

/// What became of an exchange.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the client got; no headers if nothing.
    pub client: Message,
    pub tries: Vec<Seen>,
    /// The client got all of it.
    pub whole: bool,
}

impl Outcome {
    pub fn status(&self) -> &str {
        self.client.header(":status")
    }
}

/// The sidecar's answer to a call: a message, or a gRPC status; `None` leaves it waiting.
pub type Reply = Option<std::result::Result<Vec<u8>, u32>>;

/// One worker with its plugins, and the scripts of those around it.
pub struct Gateway {
    pub vm: Vm,
    pub plan: u32,
    pub lanes: BTreeMap<String, u32>,
    pub provider: Box<dyn FnMut(&Seen) -> Answer>,
    pub sidecar: Box<dyn FnMut(&Call) -> Reply>,
    /// What Envoy's credential injector adds behind the filter. A provider of these tests does not look at it.
    pub injected: Headers,
}

impl Gateway {
    /// Starts the worker; `None` if the guest refused a configuration, so that Envoy would not serve with it.
    pub fn start(guest: &Guest, plan: &str, lanes: &[(&str, &str)], fault: Option<Fault>) -> Result<Option<Self>> {
        let mut vm = Vm::new(guest, fault)?;
        let (plan, mut accepted) = vm.plugin("plan", plan.as_bytes())?;
        let mut roots = BTreeMap::new();
        for (lane, configuration) in lanes {
            let (root, ok) = vm.plugin("attempt", configuration.as_bytes())?;
            roots.insert((*lane).to_owned(), root);
            accepted &= ok;
        }
        vm.world().started = true;
        let gateway = Self {
            vm,
            plan,
            lanes: roots,
            provider: Box::new(|_| Answer::Refused),
            sidecar: Box::new(|_| None),
            injected: Headers::new(),
        };
        Ok(accepted.then_some(gateway))
    }

    /// One exchange from the first header to the last callback.
    pub fn exchange(&mut self, request: &Message) -> Result<Outcome> {
        if request.chunks.iter().map(Vec::len).sum::<usize>() >= LARGE {
            // It would take turns with the large body before it.
            self.tick()?;
        }
        let plan = self.begin(request)?;
        self.complete(plan)
    }

    /// A client sends its request; nobody answers anything yet.
    pub fn begin(&mut self, request: &Message) -> Result<u32> {
        let stream = self.vm.stream();
        let plan = self.vm.open(self.plan, stream)?;
        self.send(plan, request)?;
        Ok(plan)
    }

    /// Plays a begun exchange to its end.
    pub fn complete(&mut self, plan: u32) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        if let Some(mut request) = self.sent(plan)? {
            let retries = request.header("x-envoy-max-retries").parse().unwrap_or(3);
            request.headers.retain(|(name, _)| !name.starts_with("x-envoy-"));
            self.route(plan, request, retries, &mut outcome)?;
        }
        if let Some(local) = self.vm.context(plan).local.take() {
            self.local(plan, local, &mut outcome)?;
        }
        self.leave(plan)?;
        Ok(outcome)
    }

    /// The stream ends, whatever state it is in.
    pub fn leave(&mut self, plan: u32) -> Result<()> {
        let stream = self.vm.context(plan).stream;
        self.vm.close(plan, true)?;
        self.vm.world().streams.remove(&stream);
        Ok(())
    }

    /// So many ticks, each so many nanoseconds after the one before.
    pub fn ticks(&mut self, times: u32, nanos: u64) -> Result<()> {
        (0..times).try_for_each(|_| {
            self.vm.world().now += nanos;
            self.tick()
        })
    }

    /// The root's timers, then the sidecar's answers to what they sent.
    pub fn tick(&mut self) -> Result<()> {
        let roots: Vec<u32> = self.vm.world().roots.iter().filter(|(_, r)| r.tick_ms > 0).map(|(id, _)| *id).collect();
        for root in roots {
            self.vm.tick(root)?;
        }
        while self.answer_call()? {}
        Ok(())
    }

    /// Plays tries until one answers the client.
    fn route(&mut self, plan: u32, mut request: Message, retries: u32, out: &mut Outcome) -> Result<()> {
        let stream = self.vm.context(plan).stream;
        for left in (0..=retries).rev() {
            let next = self.vm.world().streams.get(&stream).and_then(|s| s.state.get(&b"next"[..]).cloned());
            let lane = String::from_utf8(next.unwrap_or_default()).unwrap_or_default();
            let Some(root) = self.lanes.get(&lane).copied() else {
                return self.envoy_replies(plan, "503", "cluster_not_found", out);
            };
            let attempt = self.vm.open(root, stream)?;
            self.send(attempt, &request)?;
            let sent = self.sent(attempt)?;
            // What the filter did to the headers stays for the next try, and so does the credential that Envoy puts in
            // behind it; the body is pristine.
            request.headers = self.vm.context(attempt).request.headers.value.clone();
            request.headers.extend(self.injected.clone());
            self.vm.context(attempt).request.headers.value.extend(self.injected.clone());
            let answer = sent.map(|message| {
                let seen = Seen { lane, message };
                let answer = (self.provider)(&seen);
                out.tries.push(seen);
                answer
            });
            let done = match (self.vm.context(attempt).local.take(), answer) {
                // Not retried: an upstream filter's own reply goes to the client.
                (Some(local), _) => self.local(plan, local, out).map(|()| true)?,
                (None, Some(Answer::Whole(message))) => self.respond(plan, attempt, &message, left > 0, true, out)?,
                (None, Some(Answer::Cut(message))) => self.respond(plan, attempt, &message, left > 0, false, out)?,
                (None, Some(Answer::Refused) | None) => false,
            };
            self.vm.close(attempt, false)?;
            if done {
                return Ok(());
            }
        }
        self.envoy_replies(plan, "503", "upstream_reset_before_response_started", out)
    }

    /// Sends a message into a filter, as far as the filter's own reply lets it.
    pub fn send(&mut self, context: u32, message: &Message) -> Result<()> {
        for piece in message.pieces() {
            if self.vm.context(context).local.is_none() {
                self.vm.deliver(context, Way::Request, piece)?;
            }
        }
        Ok(())
    }

    /// What came out of the filter once the sidecar has answered what it answers; `None` if not all of it.
    fn sent(&mut self, context: u32) -> Result<Option<Message>> {
        while self.vm.context(context).request.held() && self.answer_call()? {}
        let context = self.vm.context(context);
        let whole = !context.request.held() && context.local.is_none();
        let mut message = Message::default();
        context.request.take().into_iter().for_each(|piece| message.push(piece));
        Ok(whole.then_some(message))
    }

    /// Brings an answer through both filters to the client. False if Envoy tries again instead.
    fn respond(
        &mut self,
        plan: u32,
        attempt: u32,
        answer: &Message,
        retry: bool,
        whole: bool,
        out: &mut Outcome,
    ) -> Result<bool> {
        let mut begun = false;
        for piece in answer.pieces() {
            // A cut answer never says that it is over.
            let piece = match piece {
                Piece::Head(headers, end) => Piece::Head(headers, end && whole),
                Piece::Body(bytes, end) => Piece::Body(bytes, end && whole),
                Piece::Trailers(trailers) => Piece::Trailers(trailers),
            };
            self.vm.deliver(attempt, Way::Response, piece)?;
            if let Some(local) = self.vm.context(attempt).local.take() {
                return self.local(plan, local, out).map(|()| true);
            }
            if self.vm.context(attempt).closed {
                return Ok(true);
            }
            for piece in self.vm.context(attempt).response.take() {
                if let (Piece::Head(headers, _), false) = (&piece, begun) {
                    if retry && retriable(headers) {
                        return Ok(false);
                    }
                    begun = true;
                    self.attribute(plan, "response\0code_details", "via_upstream");
                }
                self.show(plan, piece, out)?;
            }
        }
        Ok(begun || !retry)
    }

    fn show(&mut self, plan: u32, piece: Piece, out: &mut Outcome) -> Result<()> {
        self.vm.deliver(plan, Way::Response, piece)?;
        let mut passed = self.vm.context(plan).response.take();
        // A reply made while answering is not shown to the filters again.
        if let Some(local) = self.vm.context(plan).local.take() {
            passed = local_reply(local).pieces();
        }
        for piece in passed {
            out.whole |= matches!(piece, Piece::Head(_, true) | Piece::Body(_, true) | Piece::Trailers(_));
            out.client.push(piece);
        }
        Ok(())
    }

    /// A response of Envoy's own, which the plan role gets to see.
    fn envoy_replies(&mut self, plan: u32, status: &str, details: &str, out: &mut Outcome) -> Result<()> {
        let headers = abi::headers(&[(":status", status)]);
        self.local(plan, Local { headers, body: b"no healthy upstream".to_vec(), details: details.to_owned() }, out)
    }

    /// A local reply passes the encoder filters like any response.
    fn local(&mut self, plan: u32, local: Local, out: &mut Outcome) -> Result<()> {
        self.attribute(plan, "response\0code_details", &local.details);
        for piece in local_reply(local).pieces() {
            self.show(plan, piece, out)?;
        }
        Ok(())
    }

    fn attribute(&mut self, context: u32, path: &str, value: &str) {
        let stream = self.vm.context(context).stream;
        if let Some(stream) = self.vm.world().streams.get_mut(&stream) {
            stream.attributes.insert(path.as_bytes().to_vec(), value.as_bytes().to_vec());
        }
    }

    /// Answers the oldest call that the sidecar answers; false if there is none.
    fn answer_call(&mut self) -> Result<bool> {
        let calls = std::mem::take(&mut self.vm.world().calls);
        let mut waiting = calls.into_iter();
        let mut kept = Vec::new();
        let mut found = None;
        for call in waiting.by_ref() {
            match (self.sidecar)(&call) {
                Some(reply) => {
                    found = Some((call, reply));
                    break;
                }
                None => kept.push(call),
            }
        }
        kept.extend(waiting);
        self.vm.world().calls = kept;
        match found {
            Some((call, reply)) => self.vm.reply(&call, reply).map(|()| true),
            None => Ok(false),
        }
    }
}

/// What `sendLocalReply` makes of status, headers and body.
fn local_reply(local: Local) -> Message {
    let Local { mut headers, body, .. } = local;
    if body.is_empty() {
        return Message { headers, ..Message::default() };
    }
    headers.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
    if value(&headers, "content-type").is_none() {
        headers.push(("content-type".to_owned(), b"text/plain".to_vec()));
    }
    Message { headers, chunks: vec![body], trailers: None }
}

/// As the rendered policy: `5xx`, `retriable-status-codes` 429 and 529; never what says it is rate limited by Envoy.
fn retriable(headers: &Headers) -> bool {
    let status = value(headers, ":status").unwrap_or_default();
    value(headers, "x-envoy-ratelimited").is_none() && (status.starts_with(b"5") || status == b"429")
}
