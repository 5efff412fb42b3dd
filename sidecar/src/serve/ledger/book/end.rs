//! A holder that spends nothing any more: its VM has died.
//!
//! Does not: know who has died; the workers of its Envoy do (`engine::govern::Member`).
//!
//! For example: 100 requests were granted to it, and it says through its heirs that it used 40 at most. 60 are free.

use super::super::LedgerError;
use super::shared::{Shared, repay};
use super::{Ceiling, Event, Holder, Portion, Rows, Terms, store};

/// Takes back what was granted to this holder beyond the most it has used; slots of concurrent requests come back whole.
/// What it has settled, or settles late, is within that. Cumulative: a report that comes twice changes nothing.
///
/// # Errors
/// The store failed: nothing came back.
pub fn end(
    rows: &mut dyn Rows,
    terms: &dyn Terms,
    holder: &Holder,
    ceilings: &[Ceiling],
    now: u64,
    events: &mut Vec<Event>,
) -> Result<(), LedgerError> {
    for Ceiling { account, window, most } in ceilings {
        let before = rows.portion(*account, *window, holder)?;
        let back = if *window == 0 { before.granted } else { before.granted.saturating_sub(*most) };
        let after = Portion { returned: before.returned.max(back), ..before };
        if after != before {
            store(rows, *account, *window, holder, &before, &after)?;
        }
        // What its shard does not need is there for the others, too.
        let shared = terms.account(*account, now).and_then(|it| Shared::new(*account, *window, &it));
        shared.iter().try_for_each(|shared| repay(rows, shared, events))?;
    }
    Ok(())
}
