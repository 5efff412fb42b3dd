//! An account that several shards draw from: what a shard's own tells the one they share.
//!
//! Does not: draw; that is [`super::draw`], with the shard as the holder.

use super::super::LedgerError;
use super::{Account, Event, Holder, Portion, Rows, store, tell};

/// A holder gave back, or has nothing to ask: what is free of the allotment goes back, too.
pub(super) fn repay(rows: &mut dyn Rows, shared: &Shared, events: &mut Vec<Event>) -> Result<(), LedgerError> {
    let mut balance = rows.balance(shared.child, shared.window)?;
    let free = balance.capacity().saturating_sub(balance.committed);
    if free > 0 {
        balance.repaid = balance.repaid.saturating_add(free);
        rows.set_balance(shared.child, shared.window, &balance)?;
    }
    report(rows, shared, events)
}

/// Tells the parent how the shard stands. Cumulative: if this step is not taken, the next makes up for it.
pub(super) fn report(rows: &mut dyn Rows, shared: &Shared, events: &mut Vec<Event>) -> Result<(), LedgerError> {
    let Shared { child, window, parent, shard, most } = shared;
    let mut balance = rows.balance(*child, *window)?;
    if balance.committed > balance.capacity() {
        // Requests have used more than was reserved for them: nobody else may have that any more, limit or not.
        balance.allotted = balance.repaid.saturating_add(balance.committed);
        rows.set_balance(*child, *window, &balance)?;
    }
    let before = rows.portion(*parent, *window, shard)?;
    let after = Portion {
        granted: before.granted.max(balance.allotted),
        spent: before.spent.max(balance.used),
        returned: before.returned.max(balance.repaid),
    };
    if after != before {
        store(rows, *parent, *window, shard, &before, &after)?;
    }
    let mut balance = rows.balance(*parent, *window)?;
    if tell(&mut balance, *parent, *window, *most, false, events) {
        rows.set_balance(*parent, *window, &balance)?;
    }
    Ok(())
}

/// A shard's account and the one that it draws from.
pub(super) struct Shared {
    pub(super) child: u64,
    pub(super) window: u64,
    pub(super) parent: u64,
    pub(super) shard: Holder,
    most: u64,
}

impl Shared {
    pub(super) fn new(child: u64, window: u64, account: &Account) -> Option<Self> {
        let most = account.most;
        account.parent.map(|(parent, shard)| Self { child, window, parent, shard, most })
    }
}
