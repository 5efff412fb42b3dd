//! What this worker may spend, what models cost, and the requests that wait for either.
//!
//! A request that needs more than is held waits, as it does for its key's record. What all requests of a callback miss is
//! asked in one call; several that miss the same wait for the same answer. The tick refills what runs low before anybody
//! waits, gives back what nobody uses, and hears whether any record has changed.
//!
//! Does not: decide about limits (`govern`), or know what is held (`engine::govern::Wallet`).
//!
//! Decision: rates that have ended are used until fresh ones are here, and those are asked for in the background: a price
//! is news to nobody within a minute. Rates of an older generation are not, since the configuration has changed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use engine::config::schema::AuthMode;
use engine::config::snapshot::Snapshot;
use engine::govern::{Draw, Held, Lease, Rated, Standing, Wallet};
use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};
use sidecar_api::v1;

use crate::metrics::Counter;
use crate::request::Request;
use crate::vm::Vm;
use crate::wake::Cause;
use crate::{admission, calls, vm};

/// Models whose rates are kept; when they are that many, all go.
const RATES: usize = 1024;
/// Models whose rates, and accounts whose leases are asked for in one call; the sidecar takes no more.
const AT_ONCE: usize = 256;
/// Nanoseconds after which a question for rates may be asked again that nobody has answered, and for which an account
/// that nobody knew is taken to be gone.
const LOST: u64 = 3_000_000_000;

/// A provider and its name of a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Model(pub(crate) String, pub(crate) String);

/// The same, to look up with.
#[derive(Hash)]
struct Named<'a>(&'a str, &'a str);

impl Equivalent<Model> for Named<'_> {
    fn equivalent(&self, model: &Model) -> bool {
        self.0 == model.0 && self.1 == model.1
    }
}

/// What a request misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The sidecar has not said hello yet, so nothing can be drawn.
    Nonce,
    /// A lease, or more of it.
    Account(u64),
    /// Rates.
    Rates(Model),
    /// The tokens of its prompt.
    Count(Tally),
}

/// The tokens of a prompt, once they are counted; 0: nobody can. Whoever waits for them and the question share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Rc<Cell<Option<u64>>>);

impl PartialEq for Tally {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tally {}

impl Tally {
    pub(crate) fn get(&self) -> Option<u64> {
        self.0.get()
    }
}

/// What one call has asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked(Vec<Missing>);

struct Kept {
    rated: Rc<Rated>,
    expires: u64,
    generation: u64,
}

struct Waiting {
    request: Rc<RefCell<Request>>,
    missing: Vec<Missing>,
    /// When it began to wait, of all its waiting the first time.
    since: u64,
}

/// Purses, rates and waiting requests of one VM.
pub(crate) struct Purses {
    pub(crate) wallet: Wallet,
    rates: HashMap<Model, Kept, FixedState>,
    /// Rates that were asked for, when, and whether the answer is still to come.
    coming: HashMap<Model, (u64, bool), FixedState>,
    waiting: Vec<Waiting>,
    /// To be asked at the end of the callback.
    draws: Vec<Draw>,
    models: Vec<Model>,
    counts: Vec<(Tally, v1::Count)>,
    /// Accounts that nobody knows any more, and since when: they limit nothing. Records that name them are old.
    gone: Vec<(u64, u64)>,
    /// Accounts that were reserved from since the last tick.
    touched: Vec<u64>,
    polled: u64,
    /// The sidecar is to be heard of, though nothing is asked.
    poll: bool,
}

impl Purses {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            wallet: Wallet::default(),
            rates: HashMap::with_hasher(FixedState::with_seed(seed)),
            coming: HashMap::with_hasher(FixedState::with_seed(seed)),
            waiting: Vec::new(),
            draws: Vec::new(),
            models: Vec::new(),
            counts: Vec::new(),
            gone: Vec::new(),
            touched: Vec::new(),
            polled: 0,
            poll: false,
        }
    }

    /// What is known of a model; if it has ended, it will be asked for.
    pub(crate) fn rated(&mut self, provider: &str, model: &str, generation: u64, now: u64) -> Option<Rc<Rated>> {
        let kept = self.rates.get(&Named(provider, model)).filter(|kept| kept.generation >= generation)?;
        let rated = Rc::clone(&kept.rated);
        if kept.expires <= now {
            self.would_like(provider, model, now);
        }
        Some(rated)
    }

    /// Rates of this model will be asked for: a request waits for them.
    pub(crate) fn want(&mut self, model: Model, now: u64) {
        let coming = |(since, coming): &(u64, bool)| *coming && now.saturating_sub(*since) < LOST;
        if !self.coming.get(&model).is_some_and(coming) {
            self.ask(model, now);
        }
    }

    /// The same, and nobody waits.
    pub(crate) fn would_like(&mut self, provider: &str, model: &str, now: u64) {
        let asked = self.coming.get(&Named(provider, model));
        if asked.is_none_or(|(since, _)| now.saturating_sub(*since) >= LOST) {
            self.ask(Model(provider.to_owned(), model.to_owned()), now);
        }
    }

    fn ask(&mut self, model: Model, now: u64) {
        if self.coming.len() >= RATES {
            self.coming.clear();
        }
        if self.models.len() < AT_ONCE {
            self.coming.insert(model.clone(), (now, true));
            self.models.push(model);
        }
    }

    /// How so much stands to this account.
    pub(crate) fn standing(&self, account: u64, amount: u64, now: u64) -> Standing {
        match self.wallet.standing(account, amount, now) {
            Standing::Short if self.gone.iter().any(|(gone, _)| *gone == account) => Standing::Fits,
            standing @ (Standing::Fits | Standing::Short | Standing::Refused(_)) => standing,
        }
    }

    /// So much of this account will be asked for.
    pub(crate) fn draw(&mut self, account: u64, need: u64, now: u64) {
        self.draws.extend(self.wallet.draw(account, need, now));
    }

    /// Reserves, whether it fits or not.
    pub(crate) fn reserve(&mut self, account: u64, amount: u64, now: u64) -> Held {
        self.touched.push(account);
        self.wallet.reserve(account, amount, now)
    }

    /// The tokens of this body will be asked for.
    pub(crate) fn count(&mut self, tally: Tally, models: Vec<Model>, body: Vec<u8>) {
        let models = models.into_iter().map(|Model(provider, model)| v1::ModelName { provider, model }).collect();
        self.counts.push((tally, v1::Count { models, body }));
    }

    /// This request waits.
    pub(crate) fn wait(&mut self, request: Rc<RefCell<Request>>, missing: Vec<Missing>, since: u64) {
        self.waiting.push(Waiting { request, missing, since });
    }

    /// Those that wait for any of it.
    fn waken(&mut self, these: &[Missing]) -> Vec<Rc<RefCell<Request>>> {
        let woken = self.waiting.extract_if(.., |w| w.missing.iter().any(|missing| these.contains(missing)));
        woken.map(|waiting| waiting.request).collect()
    }

    fn question(&mut self, nonce: &[u8]) -> (v1::AdmitRequest, Asked) {
        // In a call of its own: counting takes longer than all else.
        if let Some((tally, count)) = self.counts.pop() {
            let question =
                v1::AdmitRequest { vm_nonce: nonce.to_vec(), count: Some(count), ..v1::AdmitRequest::default() };
            return (question, Asked(vec![Missing::Count(tally)]));
        }
        let draws: Vec<_> = self.draws.drain(..self.draws.len().min(AT_ONCE)).collect();
        let models = std::mem::take(&mut self.models);
        let accounts = draws.iter().map(|draw| Missing::Account(draw.account));
        let asked = accounts.chain(models.iter().cloned().map(Missing::Rates)).collect();
        let question = v1::AdmitRequest {
            vm_nonce: nonce.to_vec(),
            draws: draws.iter().map(Into::into).collect(),
            rates: models.into_iter().map(|Model(provider, model)| v1::ModelName { provider, model }).collect(),
            ..v1::AdmitRequest::default()
        };
        (question, Asked(asked))
    }

    /// What of that is no longer missing.
    fn learn(&mut self, answer: v1::AdmitResponse, sent: u64, now: u64) -> Vec<Missing> {
        let mut heard = Vec::with_capacity(answer.leases.len() + answer.rates.len());
        for said in &answer.leases {
            heard.push(Missing::Account(said.account));
            if said.gone {
                self.wallet.gone(said.account);
                self.gone.push((said.account, now));
            } else {
                self.wallet.answered(&Lease::from(said), sent, now);
            }
        }
        let expires = now.saturating_add(u64::from(answer.ttl_ms).saturating_mul(1_000_000));
        for said in answer.rates {
            let rated = Rated::from(said);
            let model = Model(rated.provider.clone(), rated.model.clone());
            if self.rates.len() >= RATES && !self.rates.contains_key(&model) {
                self.rates.clear();
            }
            self.coming.remove(&model);
            heard.push(Missing::Rates(model.clone()));
            let kept = Kept { rated: Rc::new(rated), expires, generation: answer.generation };
            self.rates.insert(model, kept);
        }
        heard
    }

    /// There will be no answer.
    fn lose(&mut self, asked: &[Missing]) {
        for missing in asked {
            match missing {
                Missing::Nonce | Missing::Count(_) => {}
                Missing::Account(account) => self.wallet.lost(*account),
                Missing::Rates(model) => {
                    if let Some((_, coming)) = self.coming.get_mut(model) {
                        *coming = false;
                    }
                }
            }
        }
    }
}

/// Sends what was asked for since the last time. `context`: the one whose callback this is.
pub(crate) fn flush(context: u32, now: u64) {
    let next = || {
        let question = vm::with(|vm| {
            let purses = &mut vm.purses;
            let due = std::mem::take(&mut purses.poll)
                || !(purses.draws.is_empty() && purses.models.is_empty() && purses.counts.is_empty());
            let deadline = vm.snapshot.as_ref()?.sidecar.deadline;
            due.then(|| {
                vm.metrics.add(Counter::Draws);
                (purses.question(vm.settlements.nonce()), deadline)
            })
        });
        question.flatten()
    };
    while let Some(((question, asked), deadline)) = next() {
        if let Err(asked) = calls::draw(&question, asked, context, deadline) {
            answered(&asked, None, now, now);
        }
    }
}

/// The answer to what was asked at `sent`; `None`: it is lost.
pub(crate) fn answered(asked: &Asked, answer: Option<v1::AdmitResponse>, sent: u64, now: u64) {
    vm::with(|vm| {
        let Vm { purses, ready, .. } = vm;
        let mut heard = Vec::new();
        if let Some(answer) = answer {
            for missing in &asked.0 {
                if let Missing::Count(tally) = missing {
                    tally.0.set(Some(answer.tokens));
                    heard.push(missing.clone());
                }
            }
            heard.extend(purses.learn(answer, sent, now));
        }
        let (here, lost): (Vec<_>, Vec<_>) = asked.0.iter().cloned().partition(|missing| heard.contains(missing));
        purses.lose(&lost);
        ready.extend(purses.waken(&lost).into_iter().map(|request| (request, Cause::Lost)));
        ready.extend(purses.waken(&here).into_iter().map(|request| (request, Cause::Drawn)));
    });
}

/// The sidecar said hello.
pub(crate) fn greeted() {
    vm::with(|vm| {
        if !vm.settlements.nonce().is_empty() {
            let woken = vm.purses.waken(&[Missing::Nonce]);
            vm.ready.extend(woken.into_iter().map(|request| (request, Cause::Drawn)));
        }
    });
}

/// A request is over: it waits for nothing any more, and what it has asked others ask again.
pub(crate) fn forget(request: &Rc<RefCell<Request>>, context: u32) {
    vm::with(|vm| {
        vm.purses.waiting.retain(|waiting| !Rc::ptr_eq(&waiting.request, request));
        for asked in vm.calls.orphaned(context) {
            vm.purses.lose(&asked.0);
            let woken = vm.purses.waken(&asked.0);
            vm.ready.extend(woken.into_iter().map(|request| (request, Cause::Drawn)));
        }
    });
}

/// Refills, gives back, polls; and gives up on answers that never came. What it asks, [`flush`] sends.
pub(crate) fn tick(snapshot: &Snapshot, now: u64) {
    let patience = admission::patience(snapshot);
    let period = u64::try_from(snapshot.govern.poll.as_nanos()).unwrap_or(u64::MAX);
    let keyed = snapshot.auth != AuthMode::Open || snapshot.govern.keyless || !snapshot.govern.sources.is_empty();
    vm::with(|vm| {
        let Vm { purses, ready, settlements, .. } = vm;
        let late = purses.waiting.extract_if(.., |waiting| now.saturating_sub(waiting.since) > patience);
        ready.extend(late.map(|waiting| (waiting.request, Cause::Lost)));
        // One that stands there twice is asked for once: then its answer is on its way.
        for account in std::mem::take(&mut purses.touched) {
            purses.draws.extend(purses.wallet.refill(account, now));
        }
        purses.gone.retain(|(_, since)| now.saturating_sub(*since) < LOST);
        if keyed && !settlements.nonce().is_empty() && now.saturating_sub(purses.polled) >= period {
            purses.polled = now;
            purses.poll = true;
            purses.draws.extend(purses.wallet.tidy(now));
        }
    });
}

/// This VM goes: what it holds and has not reserved goes back.
pub(crate) fn leave(root: u32, now: u64) {
    vm::with(|vm| {
        let back = vm.purses.wallet.leave(now);
        vm.purses.draws.extend(back);
    });
    flush(root, now);
}
