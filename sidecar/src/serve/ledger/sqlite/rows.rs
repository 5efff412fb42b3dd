//! Rows of single settlements.
//!
//! Does not: decide anything. What is a double the file knows by its index.

use rusqlite::{OptionalExtension, Transaction, params};
use sidecar_api::v1::{Settlement, Try};

use super::super::{Entry, tally};
use super::int;

/// False if it was there before. `now`: the ledger's, in Unix seconds.
pub(super) fn insert(transaction: &Transaction<'_>, entry: &Entry, now: u64) -> rusqlite::Result<bool> {
    let Settlement { counter: _, tries, .. } = &entry.settlement;
    let it = &entry.settlement;
    let id: Option<i64> = transaction
        .prepare_cached(
            "INSERT INTO settlement (admission_id, key, team, customer, asked_model, dialect, stream, status, \
             client_gone, started_unix_nanos, duration_micros, first_byte_micros, operation, first_content_micros, \
             overhead_micros, downgraded, settled_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
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
                it.downgraded,
                int(now),
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
             estimated, dropped, skipped_events, cooled, disposition, cost) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
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
            it.cost.map(int),
        ])?;
    Ok(())
}
