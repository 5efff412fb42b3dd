//! Finished exchanges on their way to the sidecar: a bounded queue, sent in batches from the tick, kept until confirmed.
//!
//! Decision: at most one batch under way, sent again until it is confirmed; the sidecar drops doubles by admission id.
//! Rejected: one fire-and-forget call a request, which costs a third of a request's CPU and is lost in silence while the
//! sidecar is away.

use std::collections::VecDeque;
use std::rc::Rc;

use engine::exchange::{Outcome, Settled};
use engine::govern::Charge;
use prost::Message;
use sidecar_api::v1 as api;

use crate::host;
use crate::metrics::{Counter, Metrics};
use crate::{calls, vm};

/// Settlements kept while the sidecar is away; beyond it the oldest are dropped and counted.
const QUEUE: usize = 65_536;
/// Bytes of them. One takes a few hundred, so the number above is what binds; with long names it is this.
const QUEUED: usize = 32 << 20;
/// Settlements a batch.
const BATCH: usize = 512;
/// Nanoseconds after which a batch without an answer counts as lost (its call has a shorter timeout).
const PATIENCE: u64 = 3_000_000_000;
/// Nanoseconds between two tries of a batch.
const PAUSE: u64 = 100_000_000;

/// The settlements at the head of the queue that are under way.
#[derive(Debug, Clone, Copy)]
struct Batch {
    /// An answer that was waited for in vain may still come; it must not be taken for that of the batch after it.
    id: u64,
    count: usize,
    since: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in the ledger.
    Durable,
    /// The sidecar was away, slow or busy: send it again.
    Lost,
    /// The sidecar will never take it: sending it again would hold up all that follow.
    Refused,
}

/// Half of the admission id, from the sidecar.
pub(crate) type Nonce = Rc<[u8]>;

/// The queue of one VM.
#[derive(Debug, Default)]
pub(crate) struct Settlements {
    /// Each one a request of its own without the nonce: written one behind the other they are one request. Those that
    /// charge a lease have its nonce.
    queue: VecDeque<(Option<Nonce>, Vec<u8>)>,
    /// Their bytes.
    bytes: usize,
    /// Without it nothing can be sent.
    nonce: Option<Nonce>,
    under_way: Option<Batch>,
    batches: u64,
    hello: Option<u64>,
    not_before: u64,
}

impl Settlements {
    /// `holder`: whose leases it charges; `None`: it charges none, or those of the present nonce.
    pub(crate) fn push(
        &mut self,
        holder: Option<Nonce>,
        number: u64,
        settled: Settled,
        charges: &[Charge],
        metrics: &mut Metrics,
    ) {
        let alone = api::SettleRequest { vm_nonce: Vec::new(), settlements: vec![message(number, settled, charges)] };
        let alone = alone.encode_to_vec();
        while self.queue.len() >= QUEUE || self.bytes + alone.len() > QUEUED {
            metrics.add(Counter::SettlementsDropped);
            // A head that is under way must stay where the answer will look for it.
            let oldest = if self.under_way.is_none() { self.queue.pop_front() } else { None };
            let Some((_, oldest)) = oldest else { return };
            self.bytes -= oldest.len();
        }
        self.bytes += alone.len();
        self.queue.push_back((holder, alone));
    }

    /// What the sidecar calls this VM; empty until it has said hello.
    pub(crate) fn nonce(&self) -> &[u8] {
        self.nonce.as_deref().unwrap_or_default()
    }

    /// The same, to be kept.
    pub(crate) fn holder(&self) -> Option<Nonce> {
        self.nonce.clone()
    }

    /// The sidecar shall call this VM something else. What waits goes under the name it had.
    pub(crate) fn renew(&mut self) {
        let former = self.nonce.take();
        self.queue.iter_mut().for_each(|(nonce, _)| *nonce = nonce.take().or_else(|| former.clone()));
    }

    /// Nothing waits to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The sidecar said hello.
    pub(crate) fn greeted(&mut self, nonce: Option<Vec<u8>>) {
        self.hello = None;
        if let Some(nonce) = nonce.filter(|n| !n.is_empty() && self.nonce.is_none()) {
            self.nonce = Some(nonce.into());
        }
    }

    /// A batch came to its end.
    pub(crate) fn ended(&mut self, id: u64, fate: Fate, now: u64, metrics: &mut Metrics) {
        let Some(batch) = self.under_way.take_if(|batch| batch.id == id) else { return };
        let counter = match fate {
            Fate::Lost => {
                self.not_before = now.saturating_add(PAUSE);
                return;
            }
            Fate::Durable => Counter::Settled,
            Fate::Refused => {
                log::error!("the sidecar refused {} settlements", batch.count);
                Counter::SettlementsDropped
            }
        };
        let gone = self.queue.drain(..batch.count.min(self.queue.len()));
        self.bytes -= gone.map(|(_, alone)| alone.len()).sum::<usize>();
        metrics.add_many(counter, batch.count);
    }

    /// What to send now, if anything.
    fn due(&mut self, now: u64) -> Option<Due> {
        let lost = |since: u64| now.saturating_sub(since) > PATIENCE;
        if self.hello.is_some_and(lost) {
            self.hello = None;
        }
        if self.under_way.is_some_and(|batch| lost(batch.since)) {
            self.under_way = None;
        }
        if now < self.not_before {
            return None;
        }
        let Some(own) = &self.nonce else {
            return self.hello.is_none().then_some(Due::Hello);
        };
        if self.under_way.is_some() {
            return None;
        }
        let of = |nonce: &Option<Nonce>| nonce.clone().unwrap_or_else(|| Rc::clone(own));
        let nonce = of(&self.queue.front()?.0);
        let mut batch = api::SettleRequest { vm_nonce: nonce.to_vec(), settlements: Vec::new() }.encode_to_vec();
        let same = self.queue.iter().take(BATCH).take_while(|(other, _)| of(other) == nonce);
        let count = same.map(|(_, alone)| batch.extend_from_slice(alone)).count();
        self.batches = self.batches.wrapping_add(1);
        self.under_way = Some(Batch { id: self.batches, count, since: now });
        Some(Due::Batch(self.batches, batch))
    }
}

enum Due {
    Hello,
    Batch(u64, Vec<u8>),
}

/// Sends what is due.
pub(crate) fn tick() {
    let now = host::now();
    match vm::with(|vm| vm.settlements.due(now)).flatten() {
        None => {}
        Some(Due::Hello) => {
            let sent = calls::hello();
            vm::with(|vm| {
                vm.settlements.hello = sent.then_some(now);
                vm.settlements.not_before = now.saturating_add(PAUSE);
            });
        }
        Some(Due::Batch(id, bytes)) if calls::settle(id, &bytes) => {}
        Some(Due::Batch(id, _)) => {
            vm::with(|vm| vm.settlements.ended(id, Fate::Lost, now, &mut vm.metrics));
        }
    }
}

fn micros(nanos: u64) -> u64 {
    nanos / 1_000
}

fn message(number: u64, s: Settled, charges: &[Charge]) -> api::Settlement {
    use api::r#try::{Billed, Outcome as Ended};
    let tries = s.tries.into_iter().map(|t| api::Try {
        provider: t.provider,
        key: t.key,
        model: t.model,
        status: u32::from(t.status),
        outcome: match t.outcome {
            Outcome::Ok => Ended::Ok,
            Outcome::Error => Ended::Error,
            Outcome::NoAnswer => Ended::NoAnswer,
            Outcome::Cut => Ended::Cut,
        }
        .into(),
        billed: match t.billed {
            Some(true) => Billed::Yes,
            Some(false) => Billed::No,
            None => Billed::Unknown,
        }
        .into(),
        usage: t.usage.map(|u| api::Usage {
            input_tokens: u.usage.input.unwrap_or(0),
            output_tokens: u.usage.output.unwrap_or(0),
            cache_read_tokens: u.usage.cache_read.unwrap_or(0),
            cache_write_tokens: u.usage.cache_write.unwrap_or(0),
            reasoning_tokens: u.usage.reasoning.unwrap_or(0),
            estimated: u.estimated,
        }),
        duration_micros: micros(t.duration),
        dropped: t.dropped.iter().map(|label| (*label).to_owned()).collect(),
        skipped_events: t.skipped,
        cooled: t.cooled,
        disposition: t.disposition.map(|is| is.word().to_owned()).unwrap_or_default(),
        cost: t.cost,
        service: s.service.to_owned(),
    });
    api::Settlement {
        counter: number,
        key: s.key,
        asked_model: s.asked_model,
        dialect: s.dialect.to_owned(),
        stream: s.stream,
        status: u32::from(s.status),
        started_unix_nanos: s.started,
        duration_micros: micros(s.duration),
        first_byte_micros: micros(s.first_byte),
        client_gone: s.client_gone,
        tries: tries.collect(),
        team: s.team,
        customer: s.customer,
        operation: s.operation.to_owned(),
        first_content_micros: micros(s.first_content),
        overhead_micros: micros(s.overhead),
        charges: charges
            .iter()
            .map(|c| api::Charge { account: c.account, window: c.window, amount: c.amount })
            .collect(),
        request_bytes: s.bytes,
        exceeded: s.exceeded,
        downgraded: s.downgraded,
    }
}
