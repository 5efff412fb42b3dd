//! The file as seen by its one owner.

use sidecar_api::v1::r#try::Outcome;
use sidecar_api::v1::{Settlement, Try, Usage};

use super::super::{AdmissionId, Entry, Sums};
use super::*;

fn labels() -> Labels {
    let providers = vec!["openai".to_owned(), "anthropic".to_owned()];
    Labels::new(tally::Names { providers, ..tally::Names::default() })
}

fn open(dir: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(&dir.path().join("attache.db"), labels()).unwrap()
}

/// Knows no account.
struct Nothing;

impl Terms for Nothing {
    fn account(&self, _: u64, _: u64) -> Option<book::Account> {
        None
    }
    fn is_silent(&self, _: &book::Holder) -> bool {
        false
    }
}

fn record(ledger: &mut Sqlite, batch: &[Entry]) -> Result<Recorded, LedgerError> {
    ledger.commit(&Group { settlements: batch.to_vec(), ..Group::default() }, &Nothing, 0)
}

fn entry(counter: u64) -> Entry {
    let attempt = |provider: &str, outcome: Outcome| Try {
        provider: provider.to_owned(),
        model: "gpt-4.1".to_owned(),
        outcome: outcome.into(),
        usage: Some(Usage { input_tokens: 10, output_tokens: 3, estimated: true, ..Usage::default() }),
        dropped: vec!["top_k".to_owned()],
        skipped_events: 1,
        cooled: true,
        disposition: if outcome == Outcome::Ok { String::new() } else { "transient".to_owned() },
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
    let first = record(&mut ledger, &[entry(1), entry(2)]).unwrap();
    assert_eq!(ledger.totals().unwrap(), first.totals);
    assert_eq!(first.totals.failovers.values().sum::<u64>(), 2);
    assert_eq!(first.totals.dropped.values().sum::<u64>(), 4);
    let failures = [(("anthropic".to_owned(), "transient".to_owned()), 2)];
    assert_eq!(first.totals.failures.clone().into_iter().collect::<Vec<_>>(), failures);
    let second = record(&mut ledger, &[entry(3)]).unwrap();
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
    assert_eq!(record(&mut ledger, &[entry(1), entry(1)]).unwrap().duplicates, 1);
    assert_eq!(record(&mut ledger, &[entry(1)]).unwrap().duplicates, 1);
    drop(ledger);
    let mut ledger = open(&dir);
    let again = record(&mut ledger, &[entry(1)]).unwrap();
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
    record(&mut ledger, &batch).unwrap();
    let record = |ledger: &mut Sqlite, batch: &[Entry], days: u64| {
        let group = Group { settlements: batch.to_vec(), ..Group::default() };
        ledger.commit(&group, &Nothing, days * 86_400 * SECOND).unwrap();
    };
    ledger.connection.execute("UPDATE settlement SET settled_at = 7 * 86400 WHERE id = 5", []).unwrap();
    record(&mut ledger, &[entry(9)], 7);
    assert_eq!(ledger.settlements().unwrap(), 6, "not before it is time, by the ledger's clock");
    record(&mut ledger, &[entry(10)], 8);
    assert_eq!(ledger.settlements().unwrap(), 5, "one came, two of the four expired ones went");
    record(&mut ledger, &[entry(11), entry(12)], 8);
    assert_eq!(ledger.settlements().unwrap(), 5, "the fifth has not expired");
    let attempts: i64 = ledger.connection.query_row("SELECT count(*) FROM attempt", [], |row| row.get(0)).unwrap();
    assert_eq!(attempts, 10, "tries go with their settlement");
    assert_eq!(ledger.totals().unwrap().requests.values().sum::<u64>(), 9);
}

#[test]
fn a_commit_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    ledger.connection.busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(dir.path().join("attache.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    record(&mut ledger, &[entry(1)]).unwrap_err();
    ledger.probe().unwrap_err();
    other.execute_batch("ROLLBACK").unwrap();
    ledger.probe().unwrap();
    assert_eq!(ledger.settlements().unwrap(), 0);
    assert_eq!(record(&mut ledger, &[entry(1)]).unwrap().duplicates, 0);
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

/// A file as version 1 left it, with a settlement and its sums.
const VERSION_1: &str = "
    CREATE TABLE settlement (id INTEGER PRIMARY KEY, admission_id BLOB NOT NULL UNIQUE, settled_at INTEGER NOT NULL
        DEFAULT (unixepoch()), key TEXT NOT NULL, team TEXT NOT NULL, customer TEXT NOT NULL, asked_model TEXT NOT NULL,
        dialect TEXT NOT NULL, stream INTEGER NOT NULL, status INTEGER NOT NULL, client_gone INTEGER NOT NULL,
        started_unix_nanos INTEGER NOT NULL, duration_micros INTEGER NOT NULL, first_byte_micros INTEGER NOT NULL);
    CREATE TABLE attempt (settlement INTEGER NOT NULL REFERENCES settlement (id) ON DELETE CASCADE, position INTEGER NOT
        NULL, provider TEXT NOT NULL, provider_key TEXT NOT NULL, model TEXT NOT NULL, status INTEGER NOT NULL, outcome
        INTEGER NOT NULL, billed INTEGER NOT NULL, duration_micros INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL, estimated INTEGER NOT NULL, PRIMARY KEY (settlement, position)) WITHOUT ROWID;
    CREATE TABLE request_count (key TEXT NOT NULL, model TEXT NOT NULL, status_class TEXT NOT NULL, dialect TEXT NOT NULL,
        requests INTEGER NOT NULL, PRIMARY KEY (key, model, status_class, dialect)) WITHOUT ROWID;
    CREATE TABLE usage_count (key TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL,
        errors INTEGER NOT NULL, tries_ok INTEGER NOT NULL, tries_error INTEGER NOT NULL, tries_no_answer INTEGER NOT
        NULL, tries_cut INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
        PRIMARY KEY (key, provider, model)) WITHOUT ROWID;
    CREATE TABLE failover_count (from_provider TEXT NOT NULL, to_provider TEXT NOT NULL, failovers INTEGER NOT NULL,
        PRIMARY KEY (from_provider, to_provider)) WITHOUT ROWID;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO settlement VALUES (1, x'00', unixepoch(), 'prod', '', '', 'gpt-4.1', 'openai_chat', 0, 200, 0, 1, 2, 3);
    INSERT INTO attempt VALUES (1, 0, 'openai', 'k1', 'gpt-4.1', 200, 1, 1, 9, 10, 3, 0, 0, 0, 0);
    INSERT INTO request_count VALUES ('prod', 'gpt-4.1', '2xx', 'openai_chat', 7);
    INSERT INTO usage_count VALUES ('prod', 'openai', 'gpt-4.1', 7, 1, 6, 1, 0, 0, 70, 21, 5, 4, 3);
    PRAGMA user_version = 1;";

#[test]
fn a_file_of_version_1_is_brought_up_and_forgets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    Connection::open(dir.path().join("attache.db")).unwrap().execute_batch(VERSION_1).unwrap();
    let mut ledger = open(&dir);
    let totals = ledger.totals().unwrap();
    let request = totals.requests.iter().next().unwrap();
    assert_eq!((request.0.key.as_str(), request.0.team.as_str(), *request.1), ("prod", "", 7));
    let sums = Sums { requests: 7, errors: 1, tries: [6, 1, 0, 0], tokens: [70, 21, 5, 4, 3], ..Sums::default() };
    assert_eq!(totals.usage.values().collect::<Vec<_>>(), [&sums]);
    let row = |column: &str| {
        let select = format!("SELECT {column} FROM settlement JOIN attempt ON settlement = id WHERE id = 1");
        ledger.connection.query_row(&select, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!((row("operation"), row("provider_key"), row("dropped")), ("chat".into(), "k1".into(), String::new()));
    assert_eq!(row("disposition"), "", "nobody asked then");
    record(&mut ledger, &[entry(1)]).unwrap();
    drop(ledger);
    assert_eq!(open(&dir).settlements().unwrap(), 2, "and stays as it is when it is opened again");
}

#[test]
fn what_was_learned_is_there_after_a_restart_and_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    // Beside its owner, as anybody may.
    let read =
        |dir: &tempfile::TempDir| lessons::read(&Connection::open(dir.path().join("attache.db")).unwrap()).unwrap();
    let mut lesson = |model: String, tokens: u32| {
        let learned =
            serde_json::from_value(serde_json::json!({"tokens": tokens, "prompts": 1, "answers": {}})).unwrap();
        let lessons = vec![Lesson { provider: "openai".to_owned(), model, learned }];
        ledger.commit(&Group { lessons: lessons.clone(), ..Group::default() }, &Nothing, 0).unwrap();
        lessons
    };
    lesson("m".to_owned(), 100_000);
    let last = lesson("m".to_owned(), 250_000);
    assert_eq!(read(&dir), last);
    let most = crate::serve::calibrate::MODELS;
    let all = (0..most + 50).map(|number| Lesson { model: format!("invented-{number}"), ..last[0].clone() }).collect();
    ledger.commit(&Group { lessons: all, ..Group::default() }, &Nothing, 0).unwrap();
    let kept = read(&dir);
    assert_eq!((kept.len(), kept[0].model.as_str()), (most, "invented-50"));
}

#[test]
fn places_of_names_last_over_a_restart_and_what_a_lost_one_used_stays_in_the_sums() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    let mut counter = 0;
    let mut used = |ledger: &mut Sqlite, model: &str, hour: u64| {
        counter += 1;
        let mut entry = entry(counter);
        entry.settlement.asked_model = model.to_owned();
        entry.settlement.tries.truncate(1);
        (entry.settlement.tries[0].model, entry.settlement.tries[0].outcome) = (model.to_owned(), Outcome::Ok.into());
        let group = Group { settlements: vec![entry], ..Group::default() };
        let recorded = ledger.commit(&group, &Nothing, hour * 3600 * SECOND).unwrap();
        (recorded.totals.requests.keys().next().unwrap().model.clone(), recorded.lost)
    };
    for n in 0..20 {
        assert_eq!(used(&mut ledger, &format!("m{n:02}"), 1).0, format!("m{n:02}"));
    }
    assert_eq!(used(&mut ledger, "more", 1), (tally::OTHER.to_owned(), vec![]));
    drop(ledger);
    let mut ledger = open(&dir);
    assert_eq!(used(&mut ledger, "more", 2).0, tally::OTHER, "the places stay taken");
    assert_eq!(used(&mut ledger, "m00", 20).0, "m00");
    assert_eq!(used(&mut ledger, "more", 25), ("more".to_owned(), vec![(tally::Kind::Model, "m01".to_owned())]));
    let totals = ledger.totals().unwrap();
    let requests = |model: &str| -> u64 {
        totals.requests.iter().filter(|(labels, _)| labels.model == model).map(|(_, requests)| requests).sum()
    };
    let kept = ["m00", "m01", tally::FORMER, tally::OTHER, "more"].map(requests);
    assert_eq!(kept, [2, 0, 1, 2, 1]);
    assert_eq!(totals.usage.values().map(|sums| sums.tokens[0]).sum::<u64>(), 10 * 24, "nothing is lost");
    drop(ledger);
    let again = used(&mut open(&dir), "m01", 25);
    assert_eq!(again, ("m01".to_owned(), vec![(tally::Kind::Model, "m02".to_owned())]), "it may come back");
}
