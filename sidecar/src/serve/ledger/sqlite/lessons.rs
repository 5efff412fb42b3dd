//! What was learned of models.
//!
//! Does not: know what it means.

use rusqlite::{Connection, Transaction, params};

use super::super::{LedgerError, Lesson};
use crate::serve::calibrate::MODELS;

/// Keeps them in place of former ones; beyond the number that is remembered the oldest go.
pub(super) fn keep(transaction: &Transaction<'_>, lessons: &[Lesson]) -> Result<(), LedgerError> {
    if lessons.is_empty() {
        return Ok(());
    }
    let mut replace = transaction
        .prepare_cached("INSERT OR REPLACE INTO calibration (provider, model, learned) VALUES (?1, ?2, ?3)")?;
    for Lesson { provider, model, learned } in lessons {
        let text = serde_json::to_string(learned).map_err(|error| LedgerError::new(error.to_string()))?;
        replace.execute(params![provider, model, text])?;
    }
    transaction
        .prepare_cached(
            "DELETE FROM calibration WHERE id <= (SELECT id FROM calibration ORDER BY id DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([i64::try_from(MODELS).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// All of them, oldest first. What cannot be read any more is learned anew.
pub(super) fn read(connection: &Connection) -> Result<Vec<Lesson>, LedgerError> {
    let mut lessons = Vec::new();
    let mut query = connection.prepare("SELECT provider, model, learned FROM calibration ORDER BY id")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if let Ok(learned) = serde_json::from_str(&row.get::<_, String>(2)?) {
            lessons.push(Lesson { provider: row.get(0)?, model: row.get(1)?, learned });
        }
    }
    Ok(lessons)
}
