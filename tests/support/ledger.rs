//! The sidecar's database as somebody else reads it.
//!
//! Does not: go through the sidecar: what counts is what is on disk while it runs, dies and comes back.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rusqlite::{Connection, OpenFlags};
pub use sidecar_api::v1::r#try::Outcome;

/// A reader of the store.
#[derive(Debug)]
pub struct Ledger(Connection);

/// One row of a settled exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    pub key: String,
    pub asked_model: String,
    pub dialect: String,
    pub operation: String,
    pub stream: bool,
    pub status: u16,
    pub client_gone: bool,
    /// In order.
    pub tries: Vec<Tried>,
}

/// One try of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub provider: String,
    /// 0 without an answer.
    pub status: u16,
    pub outcome: Outcome,
    /// Tokens in and out.
    pub tokens: (u32, u32),
    pub estimated: bool,
    /// The kind of failure; empty if it was none.
    pub disposition: String,
}

impl Ledger {
    /// Opens it for reading.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(store: &Path) -> Result<Self> {
        let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(Self(connection))
    }

    /// How many exchanges are settled.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn count(&self) -> Result<u64> {
        let count: i64 = self.0.query_row("SELECT count(*) FROM settlement", [], |row| row.get(0))?;
        Ok(u64::try_from(count)?)
    }

    /// Whole answers of providers, and what all tries cost in nano-dollars.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn spent(&self) -> Result<(u64, u64)> {
        let sql = "SELECT count(*) FILTER (WHERE outcome = 1), coalesce(sum(cost), 0) FROM attempt";
        let (answers, cost) = self.0.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        Ok((u64::try_from(answers)?, u64::try_from(cost)?))
    }

    /// What is settled of all limits that count this, in all their windows: `money`, `requests` and so on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn used(&self, counted: &str) -> Result<u64> {
        let sql = "SELECT coalesce(sum(used), 0) FROM balance JOIN account ON account.id = balance.account \
                   WHERE counted = ?1";
        let used: i64 = self.0.query_row(sql, [counted], |row| row.get(0))?;
        Ok(u64::try_from(used)?)
    }

    /// What is settled of the limit of this key that counts this, in all its windows.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn used_by(&self, key: &str, counted: &str) -> Result<u64> {
        let sql = "SELECT coalesce(sum(used), 0) FROM balance JOIN account ON account.id = balance.account \
                   WHERE account.name = ?1 AND counted = ?2";
        let used: i64 = self.0.query_row(sql, [key, counted], |row| row.get(0))?;
        Ok(u64::try_from(used)?)
    }

    /// Tokens in, tokens out and nano-dollars of all tries of this key, and how many of them say that they are estimated.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn sums_of(&self, key: &str) -> Result<[u64; 4]> {
        let sql = "SELECT coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cost), 0), \
                   coalesce(sum(estimated), 0) FROM attempt JOIN settlement ON settlement.id = settlement WHERE key = ?1";
        let sums = self.0.query_row(sql, [key], |row| {
            Ok([row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?])
        })?;
        Ok(sums.map(|sum| u64::try_from(sum).unwrap_or_default()))
    }

    /// Waits until so many are settled, and then a moment longer for any that would be too many.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn wait_for(&self, expected: u64) -> Result<u64> {
        for _ in 0..600 {
            // A store that was never opened before has no tables for a moment.
            if self.count().is_ok_and(|count| count >= expected) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.count()
    }

    /// All exchanges in the order they were settled.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn all(&self) -> Result<Vec<Settled>> {
        let columns = "id, key, asked_model, dialect, stream, status, client_gone, operation";
        let mut statement = self.0.prepare(&format!("SELECT {columns} FROM settlement ORDER BY id"))?;
        let rows = statement.query_map([], |row| {
            let settled = Settled {
                key: row.get(1)?,
                asked_model: row.get(2)?,
                dialect: row.get(3)?,
                stream: row.get(4)?,
                status: row.get(5)?,
                client_gone: row.get(6)?,
                operation: row.get(7)?,
                tries: Vec::new(),
            };
            Ok((row.get::<_, i64>(0)?, settled))
        })?;
        let mut all = Vec::new();
        for row in rows {
            let (id, mut settled) = row?;
            settled.tries = self.tries(id)?;
            all.push(settled);
        }
        Ok(all)
    }

    fn tries(&self, id: i64) -> Result<Vec<Tried>> {
        let columns = "provider, status, outcome, input_tokens, output_tokens, estimated, disposition";
        let sql = format!("SELECT {columns} FROM attempt WHERE settlement = ?1 ORDER BY position");
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map([id], |row| {
            Ok(Tried {
                provider: row.get(0)?,
                status: row.get(1)?,
                outcome: Outcome::try_from(row.get::<_, i32>(2)?).unwrap_or(Outcome::Unspecified),
                tokens: (row.get(3)?, row.get(4)?),
                estimated: row.get(5)?,
                disposition: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
