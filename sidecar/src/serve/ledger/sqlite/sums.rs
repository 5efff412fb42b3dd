//! Rows of sums over settlements.
//!
//! Does not: bound their number; [`tally`](super::tally) has done so.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, params};

use super::super::tally::{FORMER, Kind, Place};
use super::super::{CostLabels, LedgerError, RequestLabels, Sums, Totals, UsageLabels};
use super::{count, int};

/// All of them.
pub(super) fn read(connection: &Connection) -> Result<Totals, LedgerError> {
    let mut totals = Totals::default();
    let mut query =
        connection.prepare("SELECT key, team, model, status_class, dialect, requests FROM request_count")?;
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
    let mut query = connection.prepare(
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
        let mut query = connection.prepare(select)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            sums.insert((row.get(0)?, row.get(1)?), count(row, 2)?);
        }
    }
    let mut query = connection.prepare("SELECT customer, key, team, provider, model, nano_dollars FROM cost_count")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let usage = UsageLabels { key: row.get(1)?, team: row.get(2)?, provider: row.get(3)?, model: row.get(4)? };
        totals.costs.insert(CostLabels { customer: row.get(0)?, usage }, count(row, 5)?);
    }
    Ok(totals)
}

/// Adds those of a commit.
pub(super) fn add(transaction: &Transaction<'_>, totals: &Totals) -> rusqlite::Result<()> {
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
    let mut add = transaction.prepare_cached(
        "INSERT INTO cost_count VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO UPDATE SET nano_dollars = nano_dollars + excluded.nano_dollars",
    )?;
    for (CostLabels { customer, usage }, cost) in &totals.costs {
        let UsageLabels { key, team, provider, model } = usage;
        add.execute(params![customer, key, team, provider, model, int(*cost)])?;
    }
    Ok(())
}

/// Tables of sums with labels that clients bring: their labels, and what is summed.
const TABLES: [(&str, &[&str], &[&str]); 3] = [
    ("request_count", &["key", "team", "model", "status_class", "dialect"], &["requests"]),
    (
        "usage_count",
        &["key", "team", "provider", "model"],
        &[
            "requests",
            "errors",
            "tries_ok",
            "tries_error",
            "tries_no_answer",
            "tries_cut",
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "reasoning_tokens",
            "cooldowns",
            "skipped_events",
        ],
    ),
    ("cost_count", &["customer", "key", "team", "provider", "model"], &["nano_dollars"]),
];

/// Places of names, as they were kept.
pub(super) fn places(connection: &Connection) -> rusqlite::Result<Vec<(Kind, String, Place)>> {
    let mut select = connection.prepare("SELECT kind, name, tenant, used FROM label")?;
    let mut rows = select.query([])?;
    let mut places = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(kind) = Kind::of_word(&row.get::<_, String>(0)?) {
            places.push((kind, row.get(1)?, Place { tenant: row.get(2)?, used: count(row, 3)? }));
        }
    }
    Ok(places)
}

/// Keeps places, and gives up those that were lost: what was counted under such a name is [`FORMER`]'s. Says which.
pub(super) fn keep_places(
    transaction: &Transaction<'_>,
    changed: &BTreeMap<(Kind, String), Option<Place>>,
) -> rusqlite::Result<Vec<(Kind, String)>> {
    let mut lost = Vec::new();
    for ((kind, name), place) in changed {
        if let Some(Place { tenant, used }) = place {
            transaction.prepare_cached("INSERT OR REPLACE INTO label VALUES (?1, ?2, ?3, ?4)")?.execute(params![
                kind.word(),
                name,
                tenant,
                int(*used)
            ])?;
            continue;
        }
        transaction
            .prepare_cached("DELETE FROM label WHERE kind = ?1 AND name = ?2")?
            .execute(params![kind.word(), name])?;
        for (table, labels, sums) in TABLES {
            if labels.contains(&kind.word()) {
                give_up(transaction, (table, labels, sums), kind.word(), name)?;
            }
        }
        lost.push((*kind, name.clone()));
    }
    Ok(lost)
}

fn give_up(
    transaction: &Transaction<'_>,
    (table, labels, sums): (&str, &[&str], &[&str]),
    column: &str,
    name: &str,
) -> rusqlite::Result<()> {
    let columns = [labels, sums].concat().join(", ");
    let of = labels.iter().map(|label| if *label == column { "?2" } else { *label });
    let sum = sums.iter().map(|sum| format!("sum({sum})"));
    let select = of.map(str::to_owned).chain(sum).collect::<Vec<_>>().join(", ");
    let group = labels.iter().filter(|label| **label != column).copied().collect::<Vec<_>>().join(", ");
    let add = sums.iter().map(|sum| format!("{sum} = {sum} + excluded.{sum}")).collect::<Vec<_>>().join(", ");
    let fold = format!(
        "INSERT INTO {table} ({columns}) SELECT {select} FROM {table} WHERE {column} = ?1 GROUP BY {group} \
         ON CONFLICT DO UPDATE SET {add}"
    );
    transaction.execute(&fold, [name, FORMER])?;
    transaction.execute(&format!("DELETE FROM {table} WHERE {column} = ?1"), [name])?;
    Ok(())
}
