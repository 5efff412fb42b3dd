//! All purses of one worker: reserved from before a request, settled after it, refilled in the background.
//!
//! Does not: send anything. It says what to draw; the host sends it and brings the answer, or says that it is lost.
//!
//! Decision: leases belong to a worker, in its own memory, so reserving from any number of accounts is one step that
//! nobody can come between. Rejected: one lease for all workers of an Envoy in shared data, where each request would cost
//! a compare-and-swap an account, and a killed worker could not be told from a slow one.

use std::collections::BTreeMap;

use super::member::Ceiling;
use super::purse::{Draw, Lease, Purse, Refused};

/// Nanoseconds without a request after which a lease goes back.
const IDLE: u64 = 10_000_000_000;
/// Nanoseconds that slots of concurrent requests last without word from the sidecar; it waits twice as long before it
/// gives them to others.
const SLOTS: u64 = 30_000_000_000;
/// Purses kept; beyond it those that hold nothing go.
const PURSES: usize = 65_536;

/// How an amount stands to a purse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can be reserved.
    Fits,
    /// More must be drawn first.
    Short,
    /// The sidecar said no a moment ago.
    Refused(Refused),
}

/// Something reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// From which account.
    pub account: u64,
    /// In which window.
    pub window: u64,
    /// How much.
    pub amount: u64,
}

impl Held {
    /// What a settlement takes that has used so much of it. Nothing for a slot of concurrent requests, which is free again.
    #[must_use]
    pub fn charge(&self, actual: u64) -> Option<Charge> {
        (actual > 0).then_some(Charge { account: self.account, window: self.window, amount: actual })
    }
}

/// What a settlement takes from one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// From which account.
    pub account: u64,
    /// In which window; 0: the present one.
    pub window: u64,
    /// How much.
    pub amount: u64,
}

/// All purses of one worker, by account.
///
/// Decision: a purse whose window is over by this worker's clock is kept: the sidecar's clock may have another opinion, and
/// who has forgotten what it spent would take what the sidecar says was granted for new. Rejected: forgetting it after a
/// while, which overran a limit each time a clock was corrected by more than that.
#[derive(Debug, Default)]
pub struct Wallet {
    purses: BTreeMap<u64, Purse>,
    /// Purses had to go; one that seems new may have been among them.
    forgetful: bool,
    /// When there are more than this it is looked again for some that can go.
    most: usize,
    /// Accounts whose ceilings may have room.
    touched: Vec<u64>,
}

impl Wallet {
    /// Can so much be reserved?
    #[must_use]
    pub fn standing(&self, account: u64, amount: u64, now: u64) -> Standing {
        let Some(purse) = self.purses.get(&account) else { return Standing::Short };
        if now < purse.ends && purse.remaining(now) >= amount {
            return Standing::Fits;
        }
        purse.refusal(amount, now).map_or(Standing::Short, Standing::Refused)
    }

    /// Reserves so much, whether it fits or not: the caller has asked, or goes on in spite of the limit. What is settled
    /// counts either way.
    pub fn reserve(&mut self, account: u64, amount: u64, now: u64) -> Held {
        let Some(purse) = self.purses.get_mut(&account).filter(|purse| now < purse.ends) else {
            return Held { account, window: 0, amount: 0 };
        };
        purse.reserved = purse.reserved.saturating_add(amount);
        purse.used_at = now;
        purse.usual = amount;
        Held { account, window: purse.window, amount }
    }

    /// The request is over and has used `actual`. Nothing for a slot of concurrent requests, which is free again.
    pub fn settle(&mut self, held: Held, actual: u64) -> Option<Charge> {
        if let Some(purse) = self.purses.get_mut(&held.account).filter(|purse| purse.window == held.window) {
            purse.reserved = purse.reserved.saturating_sub(held.amount);
            purse.spent = purse.spent.saturating_add(actual);
            touch(&mut self.touched, held.account, purse);
        }
        held.charge(actual)
    }

    /// The ceiling that must be known to others before so much is reserved; `None`: the present one holds.
    pub fn raise(&mut self, account: u64, amount: u64) -> Option<Ceiling> {
        let purse = self.purses.get_mut(&account)?;
        let most = purse.raise(amount)?;
        Some(Ceiling { account, window: purse.window, most })
    }

    /// Others know of these; of those without a ceiling they know nothing any more.
    pub fn raised(&mut self, ceilings: &[Ceiling], without: &[u64]) {
        for ceiling in ceilings {
            if let Some(purse) = self.purses.get_mut(&ceiling.account).filter(|it| it.window == ceiling.window) {
                purse.ceiling = Some(ceiling.most);
                touch(&mut self.touched, ceiling.account, purse);
            }
        }
        for account in without {
            if let Some(purse) = self.purses.get_mut(account) {
                purse.ceiling = None;
            }
        }
    }

    /// Others know nothing of this worker any more, or not yet.
    pub fn unknown(&mut self) {
        self.purses.values_mut().for_each(|purse| purse.ceiling = None);
    }

    /// Ceilings that do not fit any more, as they are from now on, and whether each is to be kept. To be written before
    /// anything else is reserved.
    pub fn lower(&mut self) -> Vec<(Ceiling, bool)> {
        let mut lower = Vec::new();
        for account in std::mem::take(&mut self.touched) {
            let Some(purse) = self.purses.get_mut(&account) else { continue };
            let window = purse.window;
            lower.extend(purse.lower().map(|(most, keep)| (Ceiling { account, window, most }, keep)));
        }
        lower
    }

    /// What to ask so that `need` fits; `None` while the answer to such a question is on its way.
    pub fn draw(&mut self, account: u64, need: u64, now: u64) -> Option<Draw> {
        self.bound(now);
        let forgotten = self.forgetful;
        let purse = self.purses.entry(account).or_insert_with(|| Purse::new(forgotten));
        (!purse.waits(need, now)).then(|| purse.draw(account, need, now))
    }

    /// What to ask before anybody has to wait for it.
    pub fn refill(&mut self, account: u64, now: u64) -> Option<Draw> {
        let purse = self.purses.get_mut(&account)?;
        let quiet = !purse.waits(0, now) && purse.refusal(u64::MAX, now).is_none();
        (quiet && purse.is_low(now)).then(|| purse.draw(account, 0, now))
    }

    /// The answer to what was asked at `sent`.
    pub fn answered(&mut self, lease: &Lease, sent: u64, now: u64) {
        // Who does not know what it was for does not know what of it is spent.
        if let Some(purse) = self.purses.get_mut(&lease.account) {
            purse.answered(lease, sent, SLOTS, now);
        }
    }

    /// There will be no answer to this question.
    pub fn lost(&mut self, account: u64) {
        if let Some(purse) = self.purses.get_mut(&account) {
            purse.lost();
        }
    }

    /// Nobody knows this account any more. What was spent of it is kept, should it come back.
    pub fn gone(&mut self, account: u64) {
        self.lost(account);
    }

    /// What to tell from time to time, until it is heard: leases that nobody used for a while go back, slots of concurrent
    /// requests are still held.
    pub fn tidy(&mut self, now: u64) -> Vec<Draw> {
        let mut draws = Vec::new();
        for (account, purse) in self.purses.iter_mut().filter(|(_, it)| it.is_live(now)) {
            // It was used in the future: before the clock went back.
            purse.used_at = purse.used_at.min(now);
            if now - purse.used_at > IDLE {
                purse.give_back();
                touch(&mut self.touched, *account, purse);
            }
            if purse.is_untold(now) || (purse.window == 0 && purse.holds()) {
                draws.push(purse.tell(*account));
            }
        }
        draws
    }

    /// Gives back everything that is not reserved: the worker goes.
    pub fn leave(&mut self, now: u64) -> Vec<Draw> {
        let live = self.purses.iter_mut().filter(|(_, purse)| purse.remaining(now) > 0 || purse.is_untold(now));
        live.map(|(account, purse)| {
            purse.give_back();
            purse.tell(*account)
        })
        .collect()
    }

    /// Accounts are as many as keys; a worker that has met too many forgets those it holds nothing of.
    fn bound(&mut self, now: u64) {
        let before = self.purses.len();
        if before >= self.most.max(PURSES) {
            self.purses.retain(|_, purse| !purse.is_done(now));
            self.most = self.purses.len().saturating_mul(2);
            self.forgetful |= self.purses.len() < before;
        }
    }
}

/// What this one holds has changed.
fn touch(touched: &mut Vec<u64>, account: u64, purse: &mut Purse) {
    if purse.ceiling.is_some() && !std::mem::replace(&mut purse.is_touched, true) {
        touched.push(account);
    }
}

#[cfg(test)]
mod tests;
