//! The ledger's clock in the file, and how it is set back.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};

use super::super::LedgerError;
use super::super::book::{self, Balance, Terms};
use super::windows::{self, Windows};
use super::{SECOND, count, int};
use crate::serve::clock::{Anchor, Kept};

/// A window that has not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Future {
    /// Whose.
    pub account: u64,
    /// Unix seconds of its start.
    pub window: u64,
    /// How it stands.
    pub balance: Balance,
}

/// What the store at this path says of its clock, and the windows that have not begun at this time (Unix nanoseconds). A
/// running sidecar does not mind.
///
/// # Errors
/// There is no store, or it cannot be read.
pub fn look(path: &Path, now: u64) -> Result<(Kept, Vec<Future>), LedgerError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Ok((kept(&connection)?, future(&connection, now)?))
}

/// What is kept of it.
pub(super) fn kept(connection: &Connection) -> rusqlite::Result<Kept> {
    let mut select = connection.prepare("SELECT value FROM meta WHERE name = ?1")?;
    let mut value = |name: &str| select.query_row([name], |row| count(row, 0)).optional();
    let time = value("clock")?.unwrap_or(0);
    let anchor = match (value("anchor_time")?, value("anchor_boot")?, value("anchor_boot_id")?) {
        (Some(time), Some(boot), Some(boot_id)) => Some(Anchor { time, boot, boot_id }),
        _ => None,
    };
    Ok(Kept { time, anchor })
}

/// Keeps the time of a commit, and from where it goes on after a restart.
pub(super) fn keep(transaction: &Transaction<'_>, now: u64, anchor: Option<Anchor>) -> rusqlite::Result<()> {
    let mut keep = transaction.prepare_cached(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )?;
    keep.execute(params!["clock", int(now)])?;
    if let Some(Anchor { time, boot, boot_id }) = anchor {
        for (name, value) in [("anchor_time", time), ("anchor_boot", boot), ("anchor_boot_id", boot_id)] {
            keep.execute(params![name, int(value)])?;
        }
    }
    Ok(())
}

/// Windows that have not begun, by account and start.
fn future(connection: &Connection, now: u64) -> rusqlite::Result<Vec<Future>> {
    let mut select =
        connection.prepare("SELECT account, window FROM balance WHERE window > ?1 ORDER BY account, window")?;
    let found =
        select.query_map([int(now / SECOND)], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), count(row, 1)?)))?;
    let found: Vec<(u64, u64)> = found.collect::<Result<_, _>>()?;
    let future = |(account, window)| {
        let balance = windows::balance(connection, account, window)?.unwrap_or_default();
        Ok(Future { account, window, balance })
    };
    found.into_iter().map(future).collect()
}

/// Sets the clock from one time to an earlier one. Says which windows it has closed.
pub(super) fn set_back(
    transaction: &Transaction<'_>,
    terms: &dyn Terms,
    (from, to): (u64, u64),
) -> Result<Vec<Future>, LedgerError> {
    let closed = future(transaction, to)?;
    let mut rows = Windows::new(transaction, terms, to);
    for it in &closed {
        let present = terms.account(it.account, to).and_then(|account| account.window);
        let theirs = terms.account(it.account, it.window.saturating_mul(SECOND)).and_then(|account| account.window);
        if let (Some((start, _)), Some((_, end))) = (present, theirs) {
            // In truth it lasted until so long before its end. If that is before the present window, nothing of it counts.
            if end.saturating_sub(from - to) > start {
                book::end_early(&mut rows, it.account, it.window, start / SECOND)?;
            }
        }
    }
    for it in &closed {
        let account = terms.account(it.account, to);
        if let Some((parent, window)) = account.and_then(|account| Some((account.parent?, account.window?))) {
            book::agree(&mut rows, it.account, parent, window.0 / SECOND)?;
        }
    }
    rows.store()?;
    let now = int(to / SECOND);
    for delete in [
        "DELETE FROM balance WHERE window > ?1",
        "DELETE FROM portion WHERE window > ?1",
        "DELETE FROM expiry WHERE window > ?1",
        "DELETE FROM meta WHERE name LIKE 'anchor%' AND ?1 > 0",
        "UPDATE settlement SET settled_at = ?1 WHERE settled_at > ?1",
    ] {
        transaction.execute(delete, [now])?;
    }
    keep(transaction, to, None)?;
    Ok(closed)
}

#[cfg(test)]
mod tests;
