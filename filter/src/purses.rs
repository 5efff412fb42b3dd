//! What this worker may spend, what models cost, and the requests that wait for either.
//!
//! A request that needs more than is held waits, as it does for its key's record. What all requests of a callback miss is
//! asked in one call; several that miss the same stand in one line (`lines`). An answer that is late or lost is asked for
//! again. The tick refills what runs low before anybody waits, gives back what nobody uses, and hears whether any record
//! has changed.
//!
//! Does not: decide about limits (`govern`), or know what is held (`engine::govern::Wallet`).
//!
//! Decision: rates that have ended are used until fresh ones are here, and those are asked for in the background: a price
//! is news to nobody within a minute. Rates of an older generation are not, since the configuration has changed.

use std::rc::Rc;

use engine::config::schema::AuthMode;
use engine::config::snapshot::Snapshot;
use engine::govern::{Draw, Held, Lease, Rated, Standing, Wallet};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sidecar_api::v1;

use crate::lines::Lines;
use crate::metrics::Counter;
use crate::missing::{Missing, Model, Named, Tally};
use crate::patience::nanos;
use crate::settlement::{Nonce, Settlements};
use crate::vm::Vm;
use crate::{calls, host, vm};

/// Models whose rates are kept, and that are asked for; the one that was used least recently makes room.
const RATES: usize = 1024;
/// Longest name of a model in bytes, as in a configuration. A longer one comes from a client: nobody knows its rates, and
/// nobody is asked, so 256 models make a question of 140 kB at most where the sidecar reads 16 MiB.
const LONGEST: usize = 256;
/// Models whose rates, and accounts whose leases are asked for in one call; the sidecar takes no more.
const AT_ONCE: usize = 256;
/// Nanoseconds after which a question for rates may be asked again that nobody has answered, and for which an account
/// that nobody knew is taken to be gone.
const LOST: u64 = 3_000_000_000;

/// What one call has asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    missing: Vec<Missing>,
    /// Whose leases the answer grants.
    holder: Option<Nonce>,
}

impl Asked {
    /// The store is asked, and not only what the sidecar has in memory.
    pub(crate) fn draws(&self) -> bool {
        self.missing.iter().any(|missing| matches!(missing, Missing::Account(_)))
    }

    /// A prompt is counted, which takes as long as the prompt is.
    pub(crate) fn counts(&self) -> bool {
        self.missing.iter().any(|missing| matches!(missing, Missing::Count(_)))
    }

    /// The VM has another name since: leases of the former one are others' by now.
    fn is_former(&self, settlements: &Settlements) -> bool {
        self.holder != settlements.holder()
    }

    /// What the answer says something of. Nobody waits for a lease of a former name.
    fn about(&self, settlements: &Settlements) -> Vec<Missing> {
        let former = self.is_former(settlements);
        let about = |missing: &&Missing| !(former && matches!(missing, Missing::Account(_)));
        self.missing.iter().filter(about).cloned().collect()
    }
}

struct Kept {
    rated: Rc<Rated>,
    expires: u64,
    generation: u64,
    used: u64,
}

/// Makes room for one more, at the cost of the oldest.
fn make_room<V>(map: &mut HashMap<Model, V, FixedState>, age: impl Fn(&V) -> u64) {
    if map.len() >= RATES
        && let Some(oldest) = map.iter().min_by_key(|(_, value)| age(value)).map(|(model, _)| model.clone())
    {
        map.remove(&oldest);
    }
}

/// Can the sidecar be asked about a model of this name?
pub(crate) fn is_askable(model: &str) -> bool {
    model.len() <= LONGEST
}

/// Purses, rates and waiting requests of one VM.
pub(crate) struct Purses {
    pub(crate) wallet: Wallet,
    rates: HashMap<Model, Kept, FixedState>,
    /// Rates that were asked for, when, and whether the answer is still to come.
    coming: HashMap<Model, (u64, bool), FixedState>,
    pub(crate) lines: Lines,
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
            lines: Lines::default(),
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
        let kept = self.rates.get_mut(&Named(provider, model)).filter(|kept| kept.generation >= generation)?;
        kept.used = now;
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
        if is_askable(model) && asked.is_none_or(|(since, _)| now.saturating_sub(*since) >= LOST) {
            self.ask(Model(provider.to_owned(), model.to_owned()), now);
        }
    }

    fn ask(&mut self, model: Model, now: u64) {
        make_room(&mut self.coming, |(since, _)| *since);
        self.coming.insert(model.clone(), (now, true));
        self.models.push(model);
    }

    /// How so much stands to this account for a request with this place in the lines; `None`: it has none yet. What fits
    /// belongs to those who came before.
    pub(crate) fn standing(&self, ticket: Option<u64>, account: u64, amount: u64, now: u64) -> Standing {
        match self.wallet.standing(account, amount, now) {
            Standing::Short if self.gone.iter().any(|(gone, _)| *gone == account) => Standing::Fits,
            Standing::Fits if self.lines.is_behind(ticket, &Missing::Account(account)) => Standing::Short,
            standing @ (Standing::Fits | Standing::Short | Standing::Refused(_)) => standing,
        }
    }

    /// So much of this account will be asked for, unless somebody asks who came before.
    pub(crate) fn draw(&mut self, ticket: Option<u64>, account: u64, need: u64, now: u64) {
        if !self.lines.is_behind(ticket, &Missing::Account(account)) {
            self.draws.extend(self.wallet.draw(account, need, now));
        }
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

    /// The VM has another name at the sidecar, and no lease any more. Who waits for one looks again.
    pub(crate) fn renew(&mut self) {
        self.wallet = Wallet::default();
        self.draws.clear();
        self.touched.clear();
        self.lines.renewed();
    }

    fn question(&mut self, holder: Option<Nonce>) -> (v1::AdmitRequest, Asked) {
        let nonce = holder.as_deref().unwrap_or_default();
        // In a call of its own: counting takes longer than all else.
        if let Some((tally, count)) = self.counts.pop() {
            let question =
                v1::AdmitRequest { vm_nonce: nonce.to_vec(), count: Some(count), ..v1::AdmitRequest::default() };
            return (question, Asked { missing: vec![Missing::Count(tally)], holder });
        }
        let draws: Vec<_> = self.draws.drain(..self.draws.len().min(AT_ONCE)).collect();
        let models: Vec<_> = self.models.drain(..self.models.len().min(AT_ONCE)).collect();
        let accounts = draws.iter().map(|draw| Missing::Account(draw.account));
        let missing = accounts.chain(models.iter().cloned().map(Missing::Rates)).collect();
        let question = v1::AdmitRequest {
            vm_nonce: nonce.to_vec(),
            draws: draws.iter().map(Into::into).collect(),
            rates: models.into_iter().map(|Model(provider, model)| v1::ModelName { provider, model }).collect(),
            ..v1::AdmitRequest::default()
        };
        (question, Asked { missing, holder })
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
            if !self.rates.contains_key(&model) {
                make_room(&mut self.rates, |kept| kept.used);
            }
            self.coming.remove(&model);
            heard.push(Missing::Rates(model.clone()));
            let kept = Kept { rated: Rc::new(rated), expires, generation: answer.generation, used: now };
            self.rates.insert(model, kept);
        }
        heard
    }

    /// There will be no answer.
    fn lose(&mut self, asked: &[Missing], now: u64) {
        for missing in asked {
            self.lines.lost(missing, now);
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
            let snapshot = vm.snapshot.clone()?;
            due.then(|| {
                vm.metrics.add(Counter::Draws);
                (purses.question(vm.settlements.holder()), snapshot)
            })
        });
        question.flatten()
    };
    while let Some(((question, asked), snapshot)) = next() {
        if let Err(asked) = calls::draw(&question, asked, context, &snapshot.sidecar) {
            lost(&asked, now);
        }
    }
}

/// The answer to what was asked at `sent`.
pub(crate) fn answered(asked: &Asked, mut answer: v1::AdmitResponse, sent: u64, now: u64) {
    vm::with(|vm| {
        let Vm { purses, settlements, .. } = vm;
        let tokens = answer.tokens;
        if asked.is_former(settlements) {
            answer.leases.clear();
        }
        let mut heard = purses.learn(answer, sent, now);
        let about = asked.about(settlements);
        for missing in &about {
            if let Missing::Count(tally) = missing {
                tally.set(tokens);
                heard.push(missing.clone());
            }
        }
        heard.iter().for_each(|missing| purses.lines.answered(missing, now));
        let unheard: Vec<_> = about.into_iter().filter(|missing| !heard.contains(missing)).collect();
        purses.lose(&unheard, now);
    });
}

/// There will be no answer: those who wait for it ask again.
pub(crate) fn lost(asked: &Asked, now: u64) {
    vm::with(|vm| vm.purses.lose(&asked.about(&vm.settlements), now));
}

/// The sidecar said hello.
pub(crate) fn greeted(now: u64) {
    vm::with(|vm| {
        if !vm.settlements.nonce().is_empty() {
            vm.purses.lines.answered(&Missing::Nonce, now);
        }
    });
}

/// A context is over, and with it its calls: what it has asked others ask again.
pub(crate) fn orphaned(context: u32) {
    let orphans = vm::with(|vm| vm.calls.orphaned(context)).unwrap_or_default();
    if orphans.is_empty() {
        return;
    }
    let now = host::now();
    vm::with(|vm| {
        let Vm { purses, settlements, .. } = vm;
        for asked in orphans {
            let about = asked.about(settlements);
            purses.lose(&about, now);
            about.iter().for_each(|missing| purses.lines.orphaned(missing));
        }
    });
}

/// Refills, gives back, polls; and gives up on answers that never came. What it asks, [`flush`] sends.
pub(crate) fn tick(snapshot: &Snapshot, now: u64) {
    let period = nanos(snapshot.govern.poll);
    let keyed = snapshot.auth != AuthMode::Open || snapshot.govern.keyless || !snapshot.govern.sources.is_empty();
    vm::with(|vm| {
        let Vm { purses, settlements, calls, .. } = vm;
        purses.lines.tick(&snapshot.sidecar, calls.grants_nothing(&snapshot.sidecar, now), now);
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
