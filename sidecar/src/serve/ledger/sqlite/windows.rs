//! The book's rows in the file.
//!
//! Does not: decide who gets what; that is [`book`].
//!
//! Decision: a commit reads each row once and writes it once, at its end, however many of its settlements touch it. The
//! rows of a busy limit are in every settlement. Rejected: a statement for each step, which took most of a commit's time.
//!
//! Decision: ids and amounts are stored bit by bit, so every number a limit can have comes back as it was.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::super::book::{self, Balance, Holder, Label, Portion, Rows, Terms};
use super::super::{LedgerError, Standing};

/// Seconds after a window's end for which late settlements still find their worker's portion.
const PORTIONS: u64 = 24 * 3600;
/// Seconds between two looks at who holds slots of concurrent requests: longer than anybody is silent who lives.
const SLOTS: u64 = 120;
/// Seconds after it for which the balance can be read: a year and a month.
const BALANCES: u64 = 400 * 24 * 3600;
const SECOND: u64 = 1_000_000_000;

/// A row as it is now, and whether the file has it so.
#[derive(Debug)]
struct Row<T> {
    now: T,
    /// As it is in the file.
    then: Option<T>,
}

/// The book within one transaction.
pub(super) struct Windows<'a> {
    transaction: &'a Transaction<'a>,
    terms: &'a dyn Terms,
    now: u64,
    balances: BTreeMap<(u64, u64), Row<Balance>>,
    portions: BTreeMap<(u64, u64, Holder), Row<Portion>>,
}

impl Rows for Windows<'_> {
    fn balance(&mut self, account: u64, window: u64) -> Result<Balance, LedgerError> {
        if let Some(row) = self.balances.get(&(account, window)) {
            return Ok(row.now);
        }
        let then = balance(self.transaction, account, window)?;
        let now = then.unwrap_or_default();
        self.balances.insert((account, window), Row { now, then });
        Ok(now)
    }

    fn set_balance(&mut self, account: u64, window: u64, balance: &Balance) -> Result<(), LedgerError> {
        self.balance(account, window)?;
        if let Some(row) = self.balances.get_mut(&(account, window)) {
            row.now = *balance;
        }
        Ok(())
    }

    fn portion(&mut self, account: u64, window: u64, holder: &Holder) -> Result<Portion, LedgerError> {
        if let Some(row) = self.portions.get(&(account, window, *holder)) {
            return Ok(row.now);
        }
        let then = self
            .transaction
            .prepare_cached(
                "SELECT granted, spent, returned FROM portion WHERE account = ?1 AND window = ?2 AND holder = ?3",
            )?
            .query_row(params![bits(account), bits(window), holder], |row| portion(row, 0))
            .optional()?;
        let now = then.unwrap_or_default();
        self.portions.insert((account, window, *holder), Row { now, then });
        Ok(now)
    }

    fn set_portion(&mut self, account: u64, window: u64, holder: &Holder, it: &Portion) -> Result<(), LedgerError> {
        self.portion(account, window, holder)?;
        if let Some(row) = self.portions.get_mut(&(account, window, *holder)) {
            row.now = *it;
        }
        Ok(())
    }

    fn portions(&mut self, account: u64, window: u64) -> Result<Vec<(Holder, Portion)>, LedgerError> {
        self.store_portions()?;
        let mut query = self.transaction.prepare_cached(
            "SELECT holder, granted, spent, returned FROM portion WHERE account = ?1 AND window = ?2 ORDER BY holder",
        )?;
        let found = query.query_map([bits(account), bits(window)], |row| Ok((row.get(0)?, portion(row, 1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}

impl<'a> Windows<'a> {
    pub(super) fn new(transaction: &'a Transaction<'a>, terms: &'a dyn Terms, now: u64) -> Self {
        Self { transaction, terms, now, balances: BTreeMap::new(), portions: BTreeMap::new() }
    }

    /// Writes what has changed; says which balances have.
    pub(super) fn store(&mut self) -> Result<Vec<Standing>, LedgerError> {
        self.store_portions()?;
        let mut changed = Vec::new();
        for ((account, window), row) in &mut self.balances {
            if row.now == row.then.unwrap_or_default() {
                continue;
            }
            let Balance { committed, used, holders, allotted, repaid, told } = row.now;
            self.transaction
                .prepare_cached("INSERT OR REPLACE INTO balance VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
                .execute(params![
                    bits(*account),
                    bits(*window),
                    bits(committed),
                    bits(used),
                    bits(holders),
                    bits(allotted),
                    bits(repaid),
                    told
                ])?;
            if row.then.is_none() {
                if *window > 0 {
                    let end = end(self.terms, *account, *window, self.now);
                    note(self.transaction, end.saturating_add(BALANCES), *account, *window, false)?;
                }
                name(self.transaction, self.terms, *account)?;
            }
            row.then = Some(row.now);
            changed.push(Standing { account: *account, window: *window, balance: row.now });
        }
        Ok(changed)
    }

    fn store_portions(&mut self) -> Result<(), LedgerError> {
        for ((account, window, holder), row) in &mut self.portions {
            if row.now == row.then.unwrap_or_default() {
                continue;
            }
            let Portion { granted, spent, returned } = row.now;
            self.transaction
                .prepare_cached("INSERT OR REPLACE INTO portion VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                .execute(params![bits(*account), bits(*window), holder, bits(granted), bits(spent), bits(returned)])?;
            if row.then.is_none() {
                let (end, kept) = match window {
                    0 => (self.now / SECOND, SLOTS),
                    _ => (end(self.terms, *account, *window, self.now), PORTIONS),
                };
                note(self.transaction, end.saturating_add(kept), *account, *window, true)?;
            }
            row.then = Some(row.now);
        }
        Ok(())
    }

    /// Removes what is old, of so many windows at most. After [`Self::store`].
    pub(super) fn expire(&mut self, most: usize) -> Result<(), LedgerError> {
        let due: Vec<(i64, i64, i64, bool)> = self
            .transaction
            .prepare_cached("SELECT at, account, window, portions FROM expiry WHERE at < ?1 ORDER BY at LIMIT ?2")?
            .query_map(params![bits(self.now / SECOND), i64::try_from(most).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<Result<_, _>>()?;
        for (at, account, window, portions) in due {
            self.transaction
                .prepare_cached("DELETE FROM expiry WHERE at = ?1 AND account = ?2 AND window = ?3 AND portions = ?4")?
                .execute(params![at, account, window, portions])?;
            let delete = match (portions, window) {
                (true, 0) => {
                    self.tidy_slots(account.cast_unsigned())?;
                    continue;
                }
                (true, _) => "DELETE FROM portion WHERE account = ?1 AND window = ?2",
                (false, _) => "DELETE FROM balance WHERE account = ?1 AND window = ?2",
            };
            self.transaction.prepare_cached(delete)?.execute([account, window])?;
        }
        Ok(())
    }

    /// Concurrent requests have no window that ends: the rows of workers that are gone go, and it is looked again.
    fn tidy_slots(&mut self, account: u64) -> Result<(), LedgerError> {
        let (terms, now) = (self.terms, self.now);
        book::tidy(self, terms, account, now, &mut Vec::new())?;
        self.store()?;
        let mut left = false;
        for (holder, _) in self.portions(account, 0)? {
            if terms.is_silent(&holder) {
                self.portions.remove(&(account, 0, holder));
                self.transaction
                    .prepare_cached("DELETE FROM portion WHERE account = ?1 AND window = 0 AND holder = ?2")?
                    .execute(params![bits(account), holder])?;
            } else {
                left = true;
            }
        }
        if left {
            note(self.transaction, (self.now / SECOND).saturating_add(SLOTS), account, 0, true)?;
        }
        Ok(())
    }
}

/// One row; `None` if there is none.
pub(super) fn balance(connection: &Connection, account: u64, window: u64) -> rusqlite::Result<Option<Balance>> {
    connection
        .prepare_cached(
            "SELECT committed, used, holders, allotted, repaid, told FROM balance WHERE account = ?1 AND window = ?2",
        )?
        .query_row([bits(account), bits(window)], |row| {
            Ok(Balance {
                committed: number(row, 0)?,
                used: number(row, 1)?,
                holders: number(row, 2)?,
                allotted: number(row, 3)?,
                repaid: number(row, 4)?,
                told: row.get(5)?,
            })
        })
        .optional()
}

fn portion(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Portion> {
    Ok(Portion { granted: number(row, at)?, spent: number(row, at + 1)?, returned: number(row, at + 2)? })
}

/// Unix seconds of a window's end; the present time where nobody knows it, as of one that is over.
fn end(terms: &dyn Terms, account: u64, window: u64, now: u64) -> u64 {
    let present = terms.account(account, now).and_then(|account| account.window);
    present.filter(|(start, _)| start / SECOND == window).map_or(now, |(_, end)| end) / SECOND
}

fn note(transaction: &Transaction<'_>, at: u64, account: u64, window: u64, portions: bool) -> rusqlite::Result<()> {
    transaction.prepare_cached("INSERT OR IGNORE INTO expiry VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        bits(at),
        bits(account),
        bits(window),
        portions
    ])?;
    Ok(())
}

fn name(transaction: &Transaction<'_>, terms: &dyn Terms, account: u64) -> rusqlite::Result<()> {
    let Some(Label { shard, scope, name, counted, window }) = terms.label(account) else { return Ok(()) };
    transaction.prepare_cached("INSERT OR REPLACE INTO account VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        bits(account),
        shard,
        scope,
        name,
        counted,
        window
    ])?;
    Ok(())
}

fn bits(value: u64) -> i64 {
    value.cast_signed()
}

fn number(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(at)?.cast_unsigned())
}

#[cfg(test)]
mod tests;
