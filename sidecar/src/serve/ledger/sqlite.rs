//! The embedded ledger: one SQLite file in WAL mode with `synchronous=FULL`.
//!
//! Does not: run on its own; [`super::writer`] is its only user while the sidecar serves. Others may read the file.
//!
//! Decision: every commit is synced before it is acknowledged. Rejected: `synchronous=NORMAL`, which loses the last
//! commits at a power cut although they were acknowledged. Whether a synced page survives one is up to the disk.
//!
//! Decision: rows of single settlements go after [`RETENTION`]; each commit removes up to twice as many expired rows as
//! it brings, so the file stops growing without a timer or a pause. Sums stay.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use sidecar_api::v1::{Settlement, Try};

use super::tally::{self, Labels};
use super::{Entry, Ledger, LedgerError, Recorded, RequestLabels, Sums, Totals, UsageLabels};

/// How long the row of a settlement is kept. Far beyond any resend, so a double is always recognised.
pub const RETENTION: Duration = Duration::from_hours(7 * 24);
/// How long a commit waits for somebody else's lock on the file before it fails and the settlements are sent again.
const BUSY: Duration = Duration::from_secs(1);
/// Shape of the file; an older one is brought up, a newer one is refused.
const VERSION: i64 = 3;

/// An open file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    labels: Labels,
}

impl Sqlite {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// It cannot be opened, or a newer version wrote it.
    pub fn open(path: &Path, labels: Labels) -> Result<Self, LedgerError> {
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
        transaction.execute_batch(include_str!("schema.sql"))?;
        if version == 1 {
            transaction.execute_batch(include_str!("from_1_rows.sql"))?;
        }
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
        let mut this = Self { connection, labels };
        let totals = this.totals()?;
        this.labels.keep(&totals);
        Ok(this)
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
    fn record(&mut self, batch: &[Entry]) -> Result<Recorded, LedgerError> {
        let mut recorded = Recorded::default();
        // Immediate: a lock that somebody else holds is waited for at the start, not found half-way.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for entry in batch {
            if insert(&transaction, entry)? {
                tally::add(&mut self.labels, &mut recorded, &entry.settlement);
            } else {
                recorded.duplicates += 1;
            }
        }
        add_totals(&transaction, &recorded.totals)?;
        expire(&transaction, batch.len().saturating_mul(2))?;
        transaction.commit()?;
        Ok(recorded)
    }

    fn totals(&self) -> Result<Totals, LedgerError> {
        let mut totals = Totals::default();
        let mut query =
            self.connection.prepare("SELECT key, team, model, status_class, dialect, requests FROM request_count")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let labels = RequestLabels {
                key: row.get(0)?,
                team: row.get(1)?,
                model: row.get(2)?,
                status_class: row.get(3)?,
                dialect: row.get(4)?,
            };
            totals.requests.insert(labels, count(row, 5)?);
        }
        let mut query = self.connection.prepare(
            "SELECT key, team, provider, model, requests, errors, cooldowns, skipped_events, tries_ok, tries_error, \
             tries_no_answer, tries_cut, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, \
             reasoning_tokens FROM usage_count",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let labels = UsageLabels { key: row.get(0)?, team: row.get(1)?, provider: row.get(2)?, model: row.get(3)? };
            let mut sums = Sums {
                requests: count(row, 4)?,
                errors: count(row, 5)?,
                cooldowns: count(row, 6)?,
                skipped_events: count(row, 7)?,
                ..Sums::default()
            };
            for (column, sum) in (8..).zip(sums.tries.iter_mut().chain(&mut sums.tokens)) {
                *sum = count(row, column)?;
            }
            totals.usage.insert(labels, sums);
        }
        let pairs = [
            (&mut totals.failovers, "SELECT from_provider, to_provider, failovers FROM failover_count"),
            (&mut totals.dropped, "SELECT provider, field, dropped FROM dropped_count"),
            (&mut totals.failures, "SELECT provider, disposition, failures FROM failure_count"),
        ];
        for (sums, select) in pairs {
            let mut query = self.connection.prepare(select)?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                sums.insert((row.get(0)?, row.get(1)?), count(row, 2)?);
            }
        }
        Ok(totals)
    }

    /// One more than the last, and never less than the time in seconds: a filter outlives a store that was deleted.
    fn next_generation(&mut self) -> Result<u64, LedgerError> {
        let next = "INSERT INTO meta (name, value) VALUES ('generation', unixepoch()) \
                    ON CONFLICT (name) DO UPDATE SET value = max(value + 1, unixepoch()) RETURNING value";
        Ok(self.connection.query_row(next, [], |row| count(row, 0))?)
    }

    fn relabel(&mut self, names: tally::Names) {
        self.labels.add(names);
    }

    fn probe(&mut self) -> Result<(), LedgerError> {
        let write = "INSERT INTO meta (name, value) VALUES ('probed_at', unixepoch()) \
                     ON CONFLICT (name) DO UPDATE SET value = unixepoch()";
        self.connection.execute(write, [])?;
        Ok(())
    }
}

/// False if it was there before.
fn insert(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<bool> {
    let Settlement { counter: _, tries, .. } = &entry.settlement;
    let it = &entry.settlement;
    let id: Option<i64> = transaction
        .prepare_cached(
            "INSERT INTO settlement (admission_id, key, team, customer, asked_model, dialect, stream, status, \
             client_gone, started_unix_nanos, duration_micros, first_byte_micros, operation, first_content_micros, \
             overhead_micros) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
             ON CONFLICT (admission_id) DO NOTHING RETURNING id",
        )?
        .query_row(
            params![
                entry.id.as_bytes(),
                it.key,
                it.team,
                it.customer,
                it.asked_model,
                it.dialect,
                it.stream,
                it.status,
                it.client_gone,
                int(it.started_unix_nanos),
                int(it.duration_micros),
                int(it.first_byte_micros),
                it.operation,
                int(it.first_content_micros),
                int(it.overhead_micros),
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(id) = id else { return Ok(false) };
    for (position, attempt) in (0_i64..).zip(tries) {
        insert_try(transaction, id, position, attempt)?;
    }
    Ok(true)
}

fn insert_try(transaction: &Transaction<'_>, settlement: i64, position: i64, it: &Try) -> rusqlite::Result<()> {
    let [input, output, cache_read, cache_write, reasoning] = tally::tokens(it.usage.as_ref()).map(int);
    transaction
        .prepare_cached(
            "INSERT INTO attempt (settlement, position, provider, provider_key, model, status, outcome, billed, \
             duration_micros, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, \
             estimated, dropped, skipped_events, cooled, disposition) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(params![
            settlement,
            position,
            it.provider,
            it.key,
            it.model,
            it.status,
            it.outcome,
            it.billed,
            int(it.duration_micros),
            input,
            output,
            cache_read,
            cache_write,
            reasoning,
            it.usage.is_some_and(|usage| usage.estimated),
            it.dropped.join(","),
            int(it.skipped_events),
            it.cooled,
            it.disposition,
        ])?;
    Ok(())
}

fn add_totals(transaction: &Transaction<'_>, totals: &Totals) -> rusqlite::Result<()> {
    let mut add = transaction.prepare_cached(
        "INSERT INTO request_count VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO UPDATE SET requests = requests + excluded.requests",
    )?;
    for (labels, requests) in &totals.requests {
        let RequestLabels { key, team, model, status_class, dialect } = labels;
        add.execute(params![key, team, model, status_class, dialect, int(*requests)])?;
    }
    let mut add = transaction.prepare_cached(
        "INSERT INTO usage_count \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
         ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, errors = errors + excluded.errors, \
         tries_ok = tries_ok + excluded.tries_ok, tries_error = tries_error + excluded.tries_error, \
         tries_no_answer = tries_no_answer + excluded.tries_no_answer, tries_cut = tries_cut + excluded.tries_cut, \
         input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens, \
         cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens, \
         cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens, \
         reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens, \
         cooldowns = cooldowns + excluded.cooldowns, skipped_events = skipped_events + excluded.skipped_events",
    )?;
    for (labels, sums) in &totals.usage {
        let [ok, error, no_answer, cut] = sums.tries.map(int);
        let [input, output, cache_read, cache_write, reasoning] = sums.tokens.map(int);
        add.execute(params![
            labels.key,
            labels.team,
            labels.provider,
            labels.model,
            int(sums.requests),
            int(sums.errors),
            ok,
            error,
            no_answer,
            cut,
            input,
            output,
            cache_read,
            cache_write,
            reasoning,
            int(sums.cooldowns),
            int(sums.skipped_events),
        ])?;
    }
    let pairs = [
        (
            &totals.failovers,
            "INSERT INTO failover_count VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET failovers = failovers + excluded.failovers",
        ),
        (
            &totals.dropped,
            "INSERT INTO dropped_count VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET dropped = dropped + excluded.dropped",
        ),
        (
            &totals.failures,
            "INSERT INTO failure_count VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET failures = failures + excluded.failures",
        ),
    ];
    for (sums, insert) in pairs {
        let mut add = transaction.prepare_cached(insert)?;
        for ((one, other), count) in sums {
            add.execute(params![one, other, int(*count)])?;
        }
    }
    Ok(())
}

/// Looks at the `most` oldest rows only, so its cost does not grow with the file.
fn expire(transaction: &Transaction<'_>, most: usize) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM settlement WHERE id IN (SELECT id FROM (SELECT id, settled_at FROM settlement ORDER BY id \
             LIMIT ?1) WHERE settled_at < unixepoch() - ?2)",
        )?
        .execute(params![i64::try_from(most).unwrap_or(i64::MAX), int(RETENTION.as_secs())])?;
    Ok(())
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
