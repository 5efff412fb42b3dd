//! What one worker holds of one account in one window, and how much more it asks for.
//!
//! Decision: both sides count upwards (received, returned, spent) and nothing is ever taken off a number, so a message
//! that is lost, doubled or late changes nothing. Rejected: remainders on the wire, of which a doubled one grants twice.

/// A draw that drained its lease faster than this (nanoseconds) is followed by one twice as large.
const QUICK: u64 = 1_000_000_000;
/// One that lasted longer than this is followed by one half as large.
const SLOW: u64 = 10_000_000_000;
/// Nanoseconds after which a refusal is asked about again: others may have given back.
pub(super) const REFUSAL: u64 = 1_000_000_000;
/// Nanoseconds after which an unanswered draw may be sent again.
const LOST: u64 = 3_000_000_000;
/// A first draw asks for this many requests like the one that waits.
const AHEAD: u64 = 4;

/// What the sidecar answered to a draw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lease {
    /// Of which account.
    pub account: u64,
    /// The present window: Unix seconds of its start; 0 for concurrent requests.
    pub window: u64,
    /// Nanoseconds until it ends, from when the worker asked. `None` for concurrent requests.
    pub ends_in: Option<u64>,
    /// All that was granted to this worker in this window.
    pub granted: u64,
    /// All that counts as given back.
    pub returned: u64,
    /// What was needed did not fit.
    pub refused: bool,
    /// Settled in this window, by everybody.
    pub used: u64,
    /// The limit.
    pub most: u64,
    /// A later window than this was seen, which has not begun: the ledger's clock was set back.
    pub back: bool,
}

/// What a worker tells and asks of one account; see `Draw` in `sidecar.proto`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Draw {
    /// Of which account.
    pub account: u64,
    /// Window of what is held; 0 if nothing is.
    pub window: u64,
    /// All that was granted in it, as far as the worker has heard.
    pub received: u64,
    /// All that was given back in it.
    pub returned: u64,
    /// The least it needs more; 0 if no request waits.
    pub need: u64,
    /// What it would like more.
    pub want: u64,
}

/// The sidecar has said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Settled in this window, by everybody.
    pub used: u64,
    /// The limit.
    pub most: u64,
    /// Nanoseconds of the worker's clock at which the window ends; `None` for concurrent requests.
    pub ends: Option<u64>,
    /// What was needed; less may still fit.
    pub(super) need: u64,
    /// When to ask again.
    pub(super) until: u64,
}

/// What one worker holds of one account.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Purse {
    pub(super) window: u64,
    /// By the worker's clock; at this time nothing is left.
    pub(super) ends: u64,
    received: u64,
    pub(super) returned: u64,
    /// What the sidecar has heard of `returned`.
    confirmed: u64,
    pub(super) spent: u64,
    pub(super) reserved: u64,
    /// How much to ask for.
    size: u64,
    /// What was reserved last.
    pub(super) usual: u64,
    granted_at: u64,
    /// When something was last reserved.
    pub(super) used_at: u64,
    /// A draw is on its way, sent at this time.
    pub(super) asked: Option<u64>,
    /// One sent then was never answered, and may have been granted all the same.
    unheard: Option<u64>,
    /// What that draw needs: a second request that waits may need another.
    pub(super) asked_for: u64,
    pub(super) refused: Option<Refused>,
    /// The wallet has forgotten purses, this one perhaps: what the sidecar says was granted may be spent, and is asked
    /// for before anything else.
    pub(super) forgotten: bool,
    /// What `spent` and `reserved` together do not exceed, as far as the other workers know; `None`: they know nothing.
    pub(super) ceiling: Option<u64>,
    /// How far beyond a need the next ceiling goes.
    ahead: u64,
    /// What is held has changed since the ceiling was last looked at.
    pub(super) is_touched: bool,
}

impl Purse {
    pub(super) fn new(forgotten: bool) -> Self {
        Self { forgotten, ..Self::default() }
    }

    /// Nothing is known here that is worth remembering, but for what was spent.
    pub(super) fn is_done(&self, now: u64) -> bool {
        let held = self.remaining(now) > 0 || (self.window == 0 && self.holds());
        let untold = self.is_untold(now) && self.is_live(now);
        self.reserved == 0 && !held && !untold && !self.waits(0, now)
    }

    /// What may still be reserved.
    pub(super) fn remaining(&self, now: u64) -> u64 {
        if now >= self.ends {
            return 0;
        }
        let gone = self.returned.saturating_add(self.spent).saturating_add(self.reserved);
        self.received.saturating_sub(gone)
    }

    /// Something is held that could be given back.
    pub(super) fn holds(&self) -> bool {
        self.received > self.returned.saturating_add(self.spent)
    }

    /// So much more may be reserved only under this ceiling; `None`: the present one holds. The next goes twice as far, so a
    /// busy account is raised a few times a beat.
    pub(super) fn raise(&mut self, amount: u64) -> Option<u64> {
        if self.window == 0 {
            // Slots of concurrent requests come back whole.
            return self.ceiling.is_none().then_some(u64::MAX);
        }
        let used = self.spent.saturating_add(self.reserved).saturating_add(amount);
        if self.ceiling.is_some_and(|most| used <= most) {
            return None;
        }
        self.ahead = self.ahead.max(amount).saturating_mul(2);
        Some(used.saturating_add(self.ahead).min(self.received.max(used)))
    }

    /// The least ceiling that holds, where others know another; false: nothing is left that could go back.
    pub(super) fn lower(&mut self) -> Option<(u64, bool)> {
        self.is_touched = false;
        self.ahead = 0;
        let before = self.ceiling?;
        let used = if self.window == 0 { before } else { self.spent.saturating_add(self.reserved) };
        let keep = self.reserved > 0 || self.holds();
        self.ceiling = keep.then_some(used);
        (used != before || !keep).then_some((used, keep))
    }

    /// What was given back has not arrived, as far as anybody knows; or something was granted that nobody has heard of.
    pub(super) fn is_untold(&self, now: u64) -> bool {
        self.returned > self.confirmed || self.unheard.is_some() || (self.asked.is_some() && !self.waits(0, now))
    }

    /// Its window goes on, or may do so.
    pub(super) fn is_live(&self, now: u64) -> bool {
        now < self.ends || self.window == 0 || self.unheard.is_some()
    }

    /// There will be no answer.
    pub(super) fn lost(&mut self) {
        self.unheard = self.asked.take().or(self.unheard);
        self.asked_for = 0;
    }

    /// An answer is on its way to whoever needs so much. A question from the future is one before the clock went back.
    pub(super) fn waits(&self, need: u64, now: u64) -> bool {
        self.asked_for >= need && self.asked.is_some_and(|since| since <= now && now - since < LOST)
    }

    /// The sidecar said no to so much a moment ago.
    pub(super) fn refusal(&self, need: u64, now: u64) -> Option<Refused> {
        // What lies further ahead was said before the clock went back.
        self.refused.filter(|it| now < it.until && it.until - now <= REFUSAL && need >= it.need)
    }

    /// Less than 30 of 100 are left of what it usually holds, or not enough for another request like the last.
    pub(super) fn is_low(&self, now: u64) -> bool {
        let left = self.remaining(now);
        left < self.usual || left.saturating_mul(10) < self.size.saturating_mul(3)
    }

    /// Asks for at least `need` more than is left.
    pub(super) fn draw(&mut self, account: u64, need: u64, now: u64) -> Draw {
        let over = now >= self.ends;
        let left = self.remaining(now);
        if need > 0 {
            // What is granted for who waits is not idle.
            self.used_at = now;
        }
        if self.forgotten {
            self.asked = Some(now);
            self.asked_for = need;
            return self.tell(account);
        }
        // However slowly they come, the next one should find a lease.
        self.size = self.size.max(need.saturating_mul(AHEAD)).max(self.usual.saturating_mul(2));
        self.asked = Some(now);
        self.asked_for = need;
        Draw {
            account,
            window: self.window,
            received: self.received,
            returned: self.returned,
            need: if need == 0 { 0 } else { self.short(need, now) },
            want: if over { self.size } else { self.size.saturating_sub(left) },
        }
    }

    /// How much more must be received before `need` fits. What in-flight requests have overspent counts too.
    fn short(&self, need: u64, now: u64) -> u64 {
        if self.window > 0 && now >= self.ends {
            return need;
        }
        let gone = self.returned.saturating_add(self.spent).saturating_add(self.reserved);
        gone.saturating_add(need).saturating_sub(self.received)
    }

    /// What is held and how much it was, without asking for more.
    pub(super) fn tell(&self, account: u64) -> Draw {
        Draw { account, window: self.window, received: self.received, returned: self.returned, need: 0, want: 0 }
    }

    /// Gives back what is left; slots of concurrent requests also when they have not been heard of for too long.
    pub(super) fn give_back(&mut self) {
        let gone = self.returned.saturating_add(self.spent).saturating_add(self.reserved);
        self.returned = self.returned.saturating_add(self.received.saturating_sub(gone));
        self.size = 0;
    }

    /// The sidecar answered what was asked at `sent`; `patience` is how long slots of concurrent requests last.
    pub(super) fn answered(&mut self, lease: &Lease, sent: u64, patience: u64, now: u64) {
        let ends = sent.saturating_add(lease.ends_in.unwrap_or(patience));
        // The answer to an earlier question says nothing of what was needed later. A question from the future is from before
        // the clock went back, so whatever was asked since comes after it.
        let answers = |asked: u64| sent >= asked || (asked > now && sent <= now);
        self.unheard = self.unheard.filter(|asked| !answers(*asked));
        let last = self.asked.is_some_and(answers);
        let need = self.asked_for;
        if last {
            self.asked = None;
            self.asked_for = 0;
        }
        // Nor does one about another window: what was short there is not what is short here.
        let about = self.window == 0 || lease.window <= self.window;
        let refused = (lease.refused && last && about).then(|| Refused {
            used: lease.used,
            most: lease.most,
            ends: lease.ends_in.map(|_| ends),
            need,
            until: now.saturating_add(REFUSAL).min(ends),
        });
        let refused = refused.or(self.refused.filter(|_| !last));
        let back = lease.back && lease.window > 0 && lease.window < self.window;
        if lease.window < self.window && !back {
            // Late; or the sidecar's clock went back, and it grants nothing until it is where it was.
            self.refused = refused;
            return;
        }
        if lease.window > self.window || back {
            let Self { size, usual, used_at, asked, asked_for, unheard, forgotten, .. } = *self;
            let kept = Self { size, usual, used_at, asked, asked_for, unheard, forgotten, ..Self::default() };
            // What was granted in a window that was left is not known any more: it counts as spent.
            *self = Self { window: lease.window, forgotten: kept.forgotten || back, ..kept };
        }
        if std::mem::take(&mut self.forgotten) && lease.window > 0 {
            self.spent = lease.granted.saturating_sub(lease.returned);
        }
        // Nothing was refused: whoever waits asks in this window.
        self.refused = refused.filter(|_| !back);
        // A later question may have been answered earlier.
        self.ends = self.ends.max(ends);
        self.returned = self.returned.max(lease.returned);
        self.confirmed = self.confirmed.max(lease.returned);
        if lease.granted > self.received {
            let lasted = now.saturating_sub(self.granted_at);
            if self.granted_at > 0 && lasted < QUICK {
                self.size = self.size.saturating_mul(2);
            } else if lasted > SLOW {
                self.size /= 2;
            }
            self.granted_at = now;
            self.received = lease.granted;
        }
    }
}
