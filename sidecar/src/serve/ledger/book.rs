//! Who may spend how much of each limit: leases and balances, as rows of whatever store there is.
//!
//! Does not: know SQL, keys, prices or calendars. A store brings [`Rows`] within one transaction of one shard; whoever
//! knows the configuration brings [`Terms`].
//!
//! For each (account, window, holder) three numbers only grow: granted, spent (settled) and returned. A lease commits
//! `max(granted - returned, spent)`, a balance is the sum over its leases, and a grant keeps it within the limit. So what
//! is lost, doubled or late changes nothing, and a holder that is killed has its rest charged until the window ends.
//!
//! Decision: a scope that several customers share is an account of its own; each customer's shard draws an allotment from
//! it, as a holder does, with the same code. Rejected: one step over all shards, which a cluster of stores cannot take.

use std::time::Duration;

use super::LedgerError;

mod back;
mod end;
#[cfg(test)]
pub(crate) mod memory;
mod rows;
mod shared;

use shared::{Shared, repay, report};

pub use back::{agree, end_early};
pub use end::end;
pub use rows::{Account, Balance, Holder, Label, Portion, Rows, Terms};

/// Shares of what is left that a limit's used part is told at.
pub const THRESHOLDS: [u8; 4] = [50, 80, 90, 100];

pub use engine::govern::{Ceiling, Charge, Draw};

/// What it gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lease {
    /// Of which account.
    pub account: u64,
    /// Unix seconds of the window's start; 0 for concurrent requests.
    pub window: u64,
    /// Nanoseconds until it ends; `None` for concurrent requests.
    pub ends_in: Option<u64>,
    /// The holder's portion.
    pub portion: Portion,
    /// What was needed did not fit.
    pub refused: bool,
    /// Settled in this window, by everybody.
    pub used: u64,
    /// The limit.
    pub most: u64,
    /// Nobody knows this account.
    pub gone: bool,
    /// The holder has seen a later window: the clock was set back.
    pub back: bool,
}

impl Lease {
    /// The clock is so far behind the ledger's: the window lasts until it has caught up, and so does the lease. One that had
    /// ended when it arrived would be asked for again and again.
    pub fn wait_for_the_clock(&mut self, behind: Duration) {
        let behind = u64::try_from(behind.as_nanos()).unwrap_or(u64::MAX);
        self.ends_in = self.ends_in.map(|left| left.saturating_add(behind));
    }
}

/// A limit's used part has passed a threshold, or did not take a request any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Of which account.
    pub account: u64,
    /// In which window (Unix seconds).
    pub window: u64,
    /// One of [`THRESHOLDS`].
    pub percent: u8,
    /// Settled so far.
    pub used: u64,
    /// The limit.
    pub most: u64,
}

const SECOND: u64 = 1_000_000_000;
/// Beyond its need a holder gets this part of an equal share: a limit of few requests is to be used to the last.
const SHARES: u64 = 8;

/// One holder's draws, in one transaction. Events are told once a window.
///
/// # Errors
/// The store failed: nothing was granted.
pub fn draw(
    rows: &mut dyn Rows,
    terms: &dyn Terms,
    holder: &Holder,
    draws: &[Draw],
    now: u64,
    events: &mut Vec<Event>,
) -> Result<Vec<Lease>, LedgerError> {
    draws.iter().map(|draw| draw_one(rows, terms, holder, draw, now, events)).collect()
}

fn draw_one(
    rows: &mut dyn Rows,
    terms: &dyn Terms,
    holder: &Holder,
    draw: &Draw,
    now: u64,
    events: &mut Vec<Event>,
) -> Result<Lease, LedgerError> {
    let Some(account) = terms.account(draw.account, now) else {
        give_back(rows, holder, draw)?;
        return Ok(Lease { account: draw.account, gone: true, ..Lease::default() });
    };
    let window = start(&account);
    if draw.window != window {
        give_back(rows, holder, draw)?;
    }
    let capacity = match account.parent {
        None => account.most,
        Some(parent) => {
            let over = rows.portion(draw.account, window, holder)?.overspent();
            let (need, want) = (draw.need.saturating_sub(over), draw.want.saturating_sub(over));
            allot(rows, terms, parent, &Draw { need, want, ..*draw }, window, now, events)?
        }
    };
    let mut lease = grant(rows, terms, holder, draw, (window, account.parent.is_some()), capacity)?;
    if lease.refused && account.parent.is_none() {
        let mut balance = rows.balance(draw.account, window)?;
        if tell(&mut balance, draw.account, window, account.most, true, events) {
            rows.set_balance(draw.account, window, &balance)?;
        }
    }
    if let Some(shared) = Shared::new(draw.account, window, &account) {
        if draw.need.max(draw.want) == 0 {
            repay(rows, &shared, events)?;
        }
        // What everybody used is known to the account they share.
        lease.used = rows.balance(shared.parent, window)?.used;
    }
    lease.most = account.most;
    lease.ends_in = account.window.map(|(_, end)| end.saturating_sub(now).max(1));
    Ok(lease)
}

fn start(account: &Account) -> u64 {
    account.window.map_or(0, |(start, _)| start / SECOND)
}

/// The shard's allotment, enlarged if the draw does not fit into it.
fn allot(
    rows: &mut dyn Rows,
    terms: &dyn Terms,
    (parent, shard): (u64, Holder),
    draw: &Draw,
    window: u64,
    now: u64,
    events: &mut Vec<Event>,
) -> Result<u64, LedgerError> {
    let balance = rows.balance(draw.account, window)?;
    let free = balance.capacity().saturating_sub(balance.committed);
    let wanted = draw.need.max(draw.want);
    // Slots may have been taken back from the shard while nobody knew it; of a window's allotment nothing ever is.
    if free >= wanted && window > 0 {
        return Ok(balance.capacity());
    }
    // What in-flight requests have overspent is missing too.
    let missing = balance.committed.saturating_add(draw.need).saturating_sub(balance.capacity());
    let ask = Draw {
        account: parent,
        window,
        received: balance.allotted,
        returned: balance.repaid,
        need: if draw.need > free { missing } else { 0 },
        want: wanted.saturating_sub(free),
    };
    let lease = draw_one(rows, terms, &shard, &ask, now, events)?;
    // A step of its own: if it is not taken, the parent hands the same out again.
    let mut balance = rows.balance(draw.account, window)?;
    // Another shard's clock may be in another window already, whose allotment is none for this one.
    if lease.window == window {
        balance.allotted = balance.allotted.max(lease.portion.granted);
        balance.repaid = balance.repaid.max(lease.portion.returned);
        rows.set_balance(draw.account, window, &balance)?;
    }
    Ok(balance.capacity())
}

/// One account's part of a draw: what came back, what was never heard of, and then what fits.
fn grant(
    rows: &mut dyn Rows,
    terms: &dyn Terms,
    holder: &Holder,
    draw: &Draw,
    (window, allotted): (u64, bool),
    capacity: u64,
) -> Result<Lease, LedgerError> {
    let mut portion = rows.portion(draw.account, window, holder)?;
    let mut balance = rows.balance(draw.account, window)?;
    let (received, returned) = if draw.window == window { (draw.received, draw.returned) } else { (0, 0) };
    let before = portion;
    // A store that lost its file, or was restored from an older one, believes what holders tell.
    if window == 0 {
        // But for slots, which others may have by now.
        portion.returned = portion.returned.saturating_add(received.saturating_sub(portion.granted));
    }
    portion.granted = portion.granted.max(received);
    portion.returned = portion.returned.max(returned.min(portion.granted));
    change(&mut balance, &before, &portion);

    let unheard = portion.granted.saturating_sub(received);
    let need = draw.need.saturating_sub(unheard);
    let want = draw.want.max(draw.need).saturating_sub(unheard);
    // Who has seen a later window has seen a clock that was set back since.
    let ahead = draw.window > window;
    // Asked before it gave back, and late; or it does not know yet what was taken from it. Either way it would not use it.
    let late = draw.window == window && draw.returned < before.returned;
    // Who asks and counts as silent has died, and nobody hears what it is granted.
    let stale = late || terms.is_silent(holder);
    let over = portion.overspent();
    if need > capacity.saturating_sub(balance.committed) && window == 0 {
        take_back(rows, terms, draw.account, Some(holder), &mut balance)?;
    }
    let free = capacity.saturating_sub(balance.committed.saturating_sub(over));
    let others = balance.holders.saturating_sub(u64::from(portion.is_open()));
    // What was allotted is for this draw: what stayed behind would be kept from the other shards.
    let share = if allotted { free } else { free / others.saturating_add(1).saturating_mul(SHARES) };
    let more = if ahead || stale { 0 } else { want.min(share.max(need)).min(free) };
    let refused = draw.need > 0 && (ahead || more < need) && !stale;
    if !refused {
        let before = portion;
        portion.granted = portion.granted.saturating_add(more);
        change(&mut balance, &before, &portion);
    }
    rows.set_portion(draw.account, window, holder, &portion)?;
    rows.set_balance(draw.account, window, &balance)?;
    Ok(Lease { account: draw.account, window, portion, refused, used: balance.used, back: ahead, ..Lease::default() })
}

/// A lease of another window than the present one: what of it came back.
fn give_back(rows: &mut dyn Rows, holder: &Holder, draw: &Draw) -> Result<(), LedgerError> {
    if draw.window == 0 || draw.returned == 0 {
        return Ok(());
    }
    let before = rows.portion(draw.account, draw.window, holder)?;
    let after = Portion { returned: before.returned.max(draw.returned.min(before.granted)), ..before };
    store(rows, draw.account, draw.window, holder, &before, &after)
}

/// For an account that nobody asks about any more: slots of holders that have fallen silent come back, and what a shard does
/// not need goes to the others. To be called from time to time for accounts of concurrent requests and for those with a
/// parent, as long as there is something of them.
///
/// # Errors
/// The store failed.
pub fn tidy(
    rows: &mut dyn Rows,
    terms: &dyn Terms,
    account: u64,
    now: u64,
    events: &mut Vec<Event>,
) -> Result<(), LedgerError> {
    let Some(it) = terms.account(account, now) else { return Ok(()) };
    if it.window.is_none() {
        let mut balance = rows.balance(account, 0)?;
        take_back(rows, terms, account, None, &mut balance)?;
        rows.set_balance(account, 0, &balance)?;
    }
    let Some(shared) = Shared::new(account, start(&it), &it) else { return Ok(()) };
    // What was allotted and never heard of goes back with the rest.
    let granted = rows.portion(shared.parent, shared.window, &shared.shard)?.granted;
    let mut balance = rows.balance(account, shared.window)?;
    if granted > balance.allotted {
        balance.allotted = granted;
        rows.set_balance(account, shared.window, &balance)?;
    }
    repay(rows, &shared, events)
}

/// Slots of holders that have fallen silent.
fn take_back(
    rows: &mut dyn Rows,
    terms: &dyn Terms,
    account: u64,
    asking: Option<&Holder>,
    balance: &mut Balance,
) -> Result<(), LedgerError> {
    for (holder, portion) in rows.portions(account, 0)? {
        if Some(&holder) != asking && portion.is_open() && terms.is_silent(&holder) {
            let after = Portion { returned: portion.granted, ..portion };
            change(balance, &portion, &after);
            rows.set_portion(account, 0, &holder, &after)?;
        }
    }
    Ok(())
}

/// One holder's charges, in the transaction that makes their settlement durable.
///
/// # Errors
/// The store failed: nothing was charged.
pub fn settle(
    rows: &mut dyn Rows,
    terms: &dyn Terms,
    holder: &Holder,
    charges: &[Charge],
    now: u64,
    events: &mut Vec<Event>,
) -> Result<(), LedgerError> {
    let mut shared = Vec::new();
    for charge in charges {
        let account = terms.account(charge.account, now);
        let present = account.as_ref().map_or(0, start);
        // One that has not begun was closed when the clock was set back.
        let closed = charge.window > present && present > 0;
        let window = if charge.window > 0 && !closed { charge.window } else { present };
        if window == 0 {
            continue;
        }
        let before = rows.portion(charge.account, window, holder)?;
        let after = Portion { spent: before.spent.saturating_add(charge.amount), ..before };
        store(rows, charge.account, window, holder, &before, &after)?;
        let Some(account) = account else { continue };
        if account.parent.is_some() {
            shared.extend(Shared::new(charge.account, window, &account));
            continue;
        }
        let mut balance = rows.balance(charge.account, window)?;
        if tell(&mut balance, charge.account, window, account.most, false, events) {
            rows.set_balance(charge.account, window, &balance)?;
        }
    }
    // Not before all of them are written: elsewhere is another step, and what makes doubles known is in this one.
    shared.iter().try_for_each(|shared| report(rows, shared, events))
}

fn store(
    rows: &mut dyn Rows,
    account: u64,
    window: u64,
    holder: &Holder,
    before: &Portion,
    after: &Portion,
) -> Result<(), LedgerError> {
    let mut balance = rows.balance(account, window)?;
    change(&mut balance, before, after);
    rows.set_portion(account, window, holder, after)?;
    rows.set_balance(account, window, &balance)
}

/// The balance after one of its portions has changed.
fn change(balance: &mut Balance, before: &Portion, after: &Portion) {
    let moved = |sum: u64, from: u64, to: u64| sum.saturating_sub(from).saturating_add(to);
    balance.committed = moved(balance.committed, before.committed(), after.committed());
    balance.used = moved(balance.used, before.spent, after.spent);
    balance.holders = moved(balance.holders, u64::from(before.is_open()), u64::from(after.is_open()));
}

/// True if a threshold was passed that had not been told. `full`: a request did not fit any more.
fn tell(balance: &mut Balance, account: u64, window: u64, most: u64, full: bool, events: &mut Vec<Event>) -> bool {
    let mut news = false;
    for (bit, percent) in THRESHOLDS.into_iter().enumerate() {
        let passed = u128::from(balance.used) * 100 >= u128::from(most) * u128::from(percent) && most > 0;
        let mask = 1_u8 << bit;
        if (passed || (full && percent == 100)) && balance.told & mask == 0 {
            balance.told |= mask;
            news = true;
            events.push(Event { account, window, percent, used: balance.used, most });
        }
    }
    news
}

#[cfg(test)]
mod tests;
