//! The file as seen by its one owner.

use sidecar_api::v1::Usage;
use sidecar_api::v1::r#try::Outcome;

use super::super::AdmissionId;
use super::*;

fn labels() -> Labels {
    Labels::new(None, None, ["openai".to_owned(), "anthropic".to_owned()], None)
}

fn open(dir: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(&dir.path().join("attache.db"), labels()).unwrap()
}

fn entry(counter: u64) -> Entry {
    let attempt = |provider: &str, outcome: Outcome| Try {
        provider: provider.to_owned(),
        model: "gpt-4.1".to_owned(),
        outcome: outcome.into(),
        usage: Some(Usage { input_tokens: 10, output_tokens: 3, estimated: true, ..Usage::default() }),
        ..Try::default()
    };
    let settlement = Settlement {
        counter,
        key: "prod".to_owned(),
        asked_model: "gpt-4.1".to_owned(),
        dialect: "openai_chat".to_owned(),
        status: 200,
        started_unix_nanos: u64::MAX,
        tries: vec![attempt("anthropic", Outcome::Error), attempt("openai", Outcome::Ok)],
        ..Settlement::default()
    };
    Entry { id: AdmissionId::new([7; 16], counter), settlement }
}

#[test]
fn what_a_commit_returns_is_what_the_store_grew_by() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    let first = ledger.record(&[entry(1), entry(2)]).unwrap();
    assert_eq!(ledger.totals().unwrap(), first.totals);
    assert_eq!(first.totals.failovers.values().sum::<u64>(), 2);
    let second = ledger.record(&[entry(3)]).unwrap();
    assert_eq!(second.totals.requests.values().sum::<u64>(), 1);
    assert_eq!(ledger.totals().unwrap().requests.values().sum::<u64>(), 3);
    let sums = ledger.totals().unwrap().usage.values().fold([0; 5], |mut sums, row| {
        sums.iter_mut().zip(row.tokens).for_each(|(sum, tokens)| *sum += tokens);
        sums
    });
    assert_eq!(sums, [60, 18, 0, 0, 0]);
}

#[test]
fn a_settlement_counts_once_within_a_batch_across_batches_and_across_openings() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    assert_eq!(ledger.record(&[entry(1), entry(1)]).unwrap().duplicates, 1);
    assert_eq!(ledger.record(&[entry(1)]).unwrap().duplicates, 1);
    drop(ledger);
    let mut ledger = open(&dir);
    let again = ledger.record(&[entry(1)]).unwrap();
    assert_eq!(again, Recorded { duplicates: 1, ..Recorded::default() });
    assert_eq!(ledger.settlements().unwrap(), 1);
    assert_eq!(ledger.totals().unwrap().requests.values().sum::<u64>(), 1);
}

#[test]
fn generations_grow_across_openings() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir).next_generation().unwrap();
    let second = open(&dir).next_generation().unwrap();
    assert!(second > first);
}

#[test]
fn expired_rows_go_with_later_commits_and_their_sums_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    let batch: Vec<_> = (0..5).map(entry).collect();
    ledger.record(&batch).unwrap();
    ledger.connection.execute("UPDATE settlement SET settled_at = 1 WHERE id < 5", []).unwrap();
    ledger.record(&[entry(10)]).unwrap();
    assert_eq!(ledger.settlements().unwrap(), 4, "one came, two of the four expired ones went");
    ledger.record(&[entry(11), entry(12)]).unwrap();
    assert_eq!(ledger.settlements().unwrap(), 4, "the fifth has not expired");
    let attempts: i64 = ledger.connection.query_row("SELECT count(*) FROM attempt", [], |row| row.get(0)).unwrap();
    assert_eq!(attempts, 8, "tries go with their settlement");
    assert_eq!(ledger.totals().unwrap().requests.values().sum::<u64>(), 8);
}

#[test]
fn a_commit_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    ledger.connection.busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(dir.path().join("attache.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    ledger.record(&[entry(1)]).unwrap_err();
    ledger.probe().unwrap_err();
    other.execute_batch("ROLLBACK").unwrap();
    ledger.probe().unwrap();
    assert_eq!(ledger.settlements().unwrap(), 0);
    assert_eq!(ledger.record(&[entry(1)]).unwrap().duplicates, 0);
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir).connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
    Sqlite::open(&dir.path().join("attache.db"), labels()).unwrap_err();
}

#[test]
fn the_file_is_synced_at_every_commit() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(&dir);
    let text = |name| ledger.connection.pragma_query_value(None, name, |row| row.get::<_, String>(0)).unwrap();
    let number = |name| ledger.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((text("journal_mode").as_str(), number("synchronous")), ("wal", 2));
}
