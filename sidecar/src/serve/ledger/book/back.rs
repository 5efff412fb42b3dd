//! A window that had begun by a clock that was ahead, and has not in truth.

use super::super::LedgerError;
use super::{Holder, Portion, Rows, store};

/// Ends a window before it has begun: what was used of it, or is leased, counts as used or leased in the present one. So a
/// limit is never granted twice for one stretch of time. E.g. 5 used of this month and 3 of a month that had not begun
/// are 8 used of this month. A lease of it stays taken until the present window ends, as that of a holder that is gone.
///
/// # Errors
/// The store failed.
pub fn end_early(rows: &mut dyn Rows, account: u64, from: u64, present: u64) -> Result<(), LedgerError> {
    let ended = rows.balance(account, from)?;
    let (mut committed, mut used) = (ended.committed, ended.used);
    for (holder, it) in rows.portions(account, from)? {
        let before = rows.portion(account, present, &holder)?;
        let after = Portion {
            granted: before.granted.saturating_add(it.committed()),
            spent: before.spent.saturating_add(it.spent),
            returned: before.returned,
        };
        store(rows, account, present, &holder, &before, &after)?;
        rows.set_portion(account, from, &holder, &Portion::default())?;
        committed = committed.saturating_sub(it.committed());
        used = used.saturating_sub(it.spent);
    }
    // Of holders whose rows have gone already.
    let mut balance = rows.balance(account, present)?;
    balance.committed = balance.committed.saturating_add(committed);
    balance.used = balance.used.saturating_add(used);
    balance.allotted = balance.allotted.saturating_add(ended.capacity());
    rows.set_balance(account, present, &balance)?;
    rows.set_balance(account, from, &super::Balance::default())
}

/// A shard's row of an account that shards share says again what the shard knows. Rows of the present window may have gone
/// while the clock was ahead of its end; the balance has stayed, and a shard that tells it anew would count twice.
///
/// # Errors
/// The store failed.
pub fn agree(
    rows: &mut dyn Rows,
    account: u64,
    (parent, shard): (u64, Holder),
    present: u64,
) -> Result<(), LedgerError> {
    let own = rows.balance(account, present)?;
    let told = Portion { granted: own.allotted, spent: own.used, returned: own.repaid };
    rows.set_portion(parent, present, &shard, &told)
}
