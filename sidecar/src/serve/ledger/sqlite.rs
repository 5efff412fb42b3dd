//! The embedded ledger: one SQLite file in WAL mode with `synchronous=FULL`.
//!
//! Does not: run on its own; [`super::writer`] is its only user while the sidecar serves. Others may read the file.
//!
//! Decision: every commit is synced before it is acknowledged. Rejected: `synchronous=NORMAL`, which loses the last
//! commits at a power cut although they were acknowledged. Whether a synced page survives one is up to the disk.
//!
//! Decision: rows of single settlements go after [`RETENTION`]; each commit removes up to twice as many expired rows as
//! it brings, so the file stops growing without a timer or a pause. Sums stay. So it is with windows that are over.
//!
//! Decision: a file has one owner at a time, by a lock beside it. Two sidecars would each believe their own memory of who
//! is alive and grant the same slots.

pub mod clock;
mod lessons;
mod owner;
mod rows;
mod sums;
mod windows;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use self::windows::Windows;
use super::book::{self, Balance, Terms};
use super::tally::{self, Labels};
use super::{Group, Ledger, LedgerError, Lesson, Recorded, Totals};
use crate::serve::clock::Kept;

/// How long the row of a settlement is kept. Far beyond any resend, so a double is always recognised.
pub const RETENTION: Duration = Duration::from_hours(7 * 24);
/// How long a commit waits for somebody else's lock on the file before it fails and the settlements are sent again.
const BUSY: Duration = Duration::from_secs(1);
const SECOND: u64 = 1_000_000_000;
/// Shape of the file; an older one is brought up, a newer one is refused.
const VERSION: i64 = 4;

/// An open file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    labels: Labels,
    /// The ledger's time, in Unix nanoseconds: the latest that any commit had.
    clock: u64,
    /// Goes last: then the next owner may come.
    _owner: File,
}

impl Sqlite {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// It cannot be opened, another process has it open, or a newer version wrote it.
    pub fn open(path: &Path, labels: Labels) -> Result<Self, LedgerError> {
        let owner = owner::lock(path)?;
        owner::close_to_others(path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // One step: a file is of one version or of the other, whenever the process ends.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version > VERSION {
            return Err(LedgerError::new(format!("{} has version {version}, known is {VERSION}", path.display())));
        }
        if version == 1 {
            transaction.execute_batch(include_str!("from_1.sql"))?;
        }
        if (1..=2).contains(&version) {
            transaction.execute_batch(include_str!("from_2.sql"))?;
        }
        if (1..=3).contains(&version) {
            transaction.execute_batch(include_str!("from_3.sql"))?;
        }
        transaction.execute_batch(include_str!("schema.sql"))?;
        if version == 1 {
            transaction.execute_batch(include_str!("from_1_rows.sql"))?;
        }
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
        // Thirty statements of this file, and those of the libraries it is read with.
        connection.set_prepared_statement_cache_capacity(64);
        let clock = clock::kept(&connection)?.time;
        let mut this = Self { connection, labels, clock, _owner: owner };
        let totals = this.totals()?;
        let places = sums::places(&this.connection)?;
        this.labels.keep(&totals, places, clock / SECOND);
        Ok(this)
    }

    /// How an account stands in a window; all zero if nobody has asked.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn balance(&self, account: u64, window: u64) -> Result<Balance, LedgerError> {
        Ok(windows::balance(&self.connection, account, window)?.unwrap_or_default())
    }

    /// What is kept of the ledger's clock.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn kept(&self) -> Result<Kept, LedgerError> {
        Ok(clock::kept(&self.connection)?)
    }

    /// Sets the ledger's clock back, since it ran ahead. Windows that have not begun by this time (Unix nanoseconds)
    /// end. What was used of them, or is still leased, counts in the present window, in which it was used in truth.
    ///
    /// # Errors
    /// The clock is not ahead, or the file cannot be written; then nothing has changed.
    pub fn set_back(&mut self, terms: &dyn Terms, now: u64) -> Result<Vec<clock::Future>, LedgerError> {
        if now >= self.clock {
            return Err(LedgerError::new("its clock is not ahead; nothing is changed"));
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let closed = clock::set_back(&transaction, terms, (self.clock, now))?;
        transaction.commit()?;
        self.clock = now;
        Ok(closed)
    }

    /// Rows of single settlements.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn settlements(&self) -> Result<u64, LedgerError> {
        Ok(self.connection.query_row("SELECT count(*) FROM settlement", [], |row| count(row, 0))?)
    }
}

impl Ledger for Sqlite {
    fn commit(&mut self, group: &Group, terms: &dyn Terms, now: u64) -> Result<Recorded, LedgerError> {
        let behind = Duration::from_nanos(self.clock.saturating_sub(now));
        let now = now.max(self.clock);
        let mut recorded = Recorded { at: now, ..Recorded::default() };
        // Immediate: a lock that somebody else holds is waited for at the start, not found half-way.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut windows = Windows::new(&transaction, terms, now);
        for (position, entry) in group.settlements.iter().enumerate() {
            if !rows::insert(&transaction, entry, now / SECOND)? {
                recorded.duplicates += 1;
                continue;
            }
            let it = &entry.settlement;
            recorded.new.push(position);
            tally::add(&mut self.labels, &mut recorded, it, now / SECOND);
            let charges: Vec<_> = it.charges.iter().map(charge).collect();
            book::settle(&mut windows, terms, &entry.id.holder(), &charges, now, &mut recorded.events)?;
        }
        for it in &group.ended {
            book::end(&mut windows, terms, &it.holder, &it.ceilings, now, &mut recorded.events)?;
        }
        for ask in &group.asks {
            let mut leases = book::draw(&mut windows, terms, &ask.holder, &ask.draws, now, &mut recorded.events)?;
            leases.iter_mut().for_each(|lease| lease.wait_for_the_clock(behind));
            recorded.leases.push(leases);
        }
        let most = group.len().saturating_mul(2);
        recorded.balances = windows.store()?;
        windows.expire(most)?;
        sums::add(&transaction, &recorded.totals)?;
        recorded.lost = sums::keep_places(&transaction, self.labels.unsaved())?;
        lessons::keep(&transaction, &group.lessons)?;
        expire(&transaction, most, now / SECOND)?;
        clock::keep(&transaction, now, group.anchor)?;
        transaction.commit()?;
        self.labels.saved();
        self.clock = now;
        Ok(recorded)
    }

    fn totals(&self) -> Result<Totals, LedgerError> {
        sums::read(&self.connection)
    }

    fn lessons(&self) -> Result<Vec<Lesson>, LedgerError> {
        lessons::read(&self.connection)
    }

    /// One more than the last, and never less than the time in seconds: a filter outlives a store that was deleted.
    fn next_generation(&mut self) -> Result<u64, LedgerError> {
        let next = "INSERT INTO meta (name, value) VALUES ('generation', unixepoch()) \
                    ON CONFLICT (name) DO UPDATE SET value = max(value + 1, unixepoch()) RETURNING value";
        Ok(self.connection.query_row(next, [], |row| count(row, 0))?)
    }

    fn relabel(&mut self, names: tally::Names) {
        self.labels.replace(names, self.clock / SECOND);
    }

    fn probe(&mut self) -> Result<(), LedgerError> {
        let write = "INSERT INTO meta (name, value) VALUES ('probed_at', unixepoch()) \
                     ON CONFLICT (name) DO UPDATE SET value = unixepoch()";
        self.connection.execute(write, [])?;
        Ok(())
    }
}

/// Looks at the `most` oldest rows only, so its cost does not grow with the file.
fn expire(transaction: &Transaction<'_>, most: usize, now: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM settlement WHERE id IN (SELECT id FROM (SELECT id, settled_at FROM settlement ORDER BY id \
             LIMIT ?1) WHERE settled_at < ?2)",
        )?
        .execute(params![i64::try_from(most).unwrap_or(i64::MAX), int(now.saturating_sub(RETENTION.as_secs()))])?;
    Ok(())
}

fn charge(it: &sidecar_api::v1::Charge) -> book::Charge {
    book::Charge { account: it.account, window: it.window, amount: it.amount }
}

/// SQLite's integers are signed. What does not fit is no real count or time.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests;
