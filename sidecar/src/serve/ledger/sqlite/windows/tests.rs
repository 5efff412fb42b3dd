//! The book in the file, against the same book in memory, over restarts, and as it grows old.

use std::collections::BTreeSet;

use rusqlite::Connection;
use sidecar_api::v1;

use super::super::super::book::memory::Memory;
use super::super::super::book::{Account, Charge, Draw, Lease};
use super::super::super::{AdmissionId, Ask, Entry, Group, Ledger, Recorded};
use super::super::{Labels, Sqlite};
use super::*;

const DAY: u64 = 24 * 3600;
const SHORT: u64 = 5;
/// A customer's share of what two customers have together: that many beyond the id of the account that they share.
const ACME: u64 = 100;
const OTHER: u64 = 200;

/// Accounts 1 to 3 have a minute, 4 and 5 are of concurrent requests; 2, 3 and 5 are shared. 6 is gone.
struct Config {
    most: u64,
    /// Seconds of a window.
    length: u64,
    silent: BTreeSet<Holder>,
}

impl Config {
    fn of(most: u64) -> Self {
        Self { most, length: 60, silent: BTreeSet::new() }
    }
}

impl Terms for Config {
    fn account(&self, id: u64, now: u64) -> Option<Account> {
        let length = self.length * SECOND;
        let start = now / length * length;
        let window = (id % 100 < 4).then_some((start, start + length));
        let parent = (id > 100).then_some((id % 100, if id > OTHER { [201; 16] } else { [202; 16] }));
        (id % 100 < 6).then_some(Account { most: self.most, window, parent })
    }
    fn is_silent(&self, holder: &Holder) -> bool {
        self.silent.contains(holder)
    }
    fn label(&self, id: u64) -> Option<Label> {
        Some(Label { scope: "team".to_owned(), name: format!("of {id}"), ..Label::default() })
    }
}

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn open(&self) -> Sqlite {
        Sqlite::open(&self.0.path().join("attache.db"), Labels::new(super::super::tally::Names::default())).unwrap()
    }
    /// Without syncs: thousands of commits are compared, and nobody pulls the plug.
    fn quick(&self) -> Sqlite {
        let file = self.open();
        file.connection.pragma_update(None, "synchronous", "OFF").unwrap();
        file
    }
    fn count(&self, query: &str) -> i64 {
        let file = Connection::open(self.0.path().join("attache.db")).unwrap();
        file.query_row(query, [], |row| row.get(0)).unwrap()
    }
}

fn ask(file: &mut Sqlite, terms: &Config, worker: u8, draw: Draw, now: u64) -> (Lease, Recorded) {
    let group = Group { asks: vec![Ask { holder: [worker; 16], draws: vec![draw] }], ..Group::default() };
    let recorded = file.commit(&group, terms, now).unwrap();
    (recorded.leases[0][0], recorded)
}

fn settlement(worker: u8, counter: u64, charges: &[Charge]) -> Entry {
    let charges = charges.iter().map(|c| v1::Charge { account: c.account, window: c.window, amount: c.amount });
    let settlement = v1::Settlement { counter, charges: charges.collect(), ..v1::Settlement::default() };
    Entry { id: AdmissionId::new([worker; 16], counter), settlement }
}

fn settle(file: &mut Sqlite, terms: &Config, entries: Vec<Entry>, now: u64) -> Recorded {
    file.commit(&Group { settlements: entries, ..Group::default() }, terms, now).unwrap()
}

/// A generator whose every run is told by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn the_file_and_the_memory_agree_whatever_is_drawn_and_settled() {
    for seed in 1..=30_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let dir = Dir::new();
        let (mut file, mut memory) = (dir.quick(), Memory::default());
        // Short windows, so that none of them and no slot is old enough to be tidied away.
        let mut terms = Config { length: SHORT, ..Config::of(1000) };
        let (mut now, mut counter) = (1_000_000 * SECOND, 0);
        for step in 0..150 {
            now += dice.roll(2) * SECOND;
            match dice.roll(20) {
                0 => terms.most = 200 + dice.roll(2000),
                1 => terms.silent = (0..dice.roll(4)).map(|_| [u8::try_from(dice.roll(4)).unwrap(); 16]).collect(),
                2 => {
                    drop(file);
                    file = dir.quick();
                }
                _ => {}
            }
            let mut group = Group::default();
            for _ in 0..dice.roll(4) {
                counter += 1;
                let amount = if dice.roll(50) == 0 { u64::MAX / 3 } else { dice.roll(60) };
                let charges: Vec<_> = (0..dice.roll(4)).map(|_| charge(&mut dice, amount, now)).collect();
                group.settlements.push(settlement(u8::try_from(dice.roll(4)).unwrap(), counter, &charges));
            }
            for _ in 0..dice.roll(4) {
                let holder = [u8::try_from(dice.roll(4)).unwrap(); 16];
                let draws = (0..=dice.roll(3)).map(|_| draw(&mut dice, &mut memory, &holder, now)).collect();
                group.asks.push(Ask { holder, draws });
            }
            let recorded = file.commit(&group, &terms, now).unwrap();
            let mut events = Vec::new();
            for entry in &group.settlements {
                let charges: Vec<_> = entry.settlement.charges.iter().map(super::super::charge).collect();
                book::settle(&mut memory, &terms, &entry.id.holder(), &charges, now, &mut events).unwrap();
            }
            let leases: Vec<_> = group
                .asks
                .iter()
                .map(|ask| book::draw(&mut memory, &terms, &ask.holder, &ask.draws, now, &mut events).unwrap())
                .collect();
            assert_eq!((recorded.leases, recorded.events), (leases, events), "seed {seed}, step {step}");
        }
        check(&file, &memory, seed);
    }
}

fn account(dice: &mut Dice) -> u64 {
    match dice.roll(6) + 1 {
        shared @ (2 | 3 | 5) => shared + [ACME, OTHER][usize::try_from(dice.roll(2)).unwrap()],
        other => other,
    }
}

/// Of the present window, a former one, or of no lease at all.
fn charge(dice: &mut Dice, amount: u64, now: u64) -> Charge {
    let present = now / (SHORT * SECOND) * SHORT;
    let account = account(dice);
    let window =
        if account % 100 > 3 { 0 } else { [present, present - SHORT, 0][usize::try_from(dice.roll(3)).unwrap()] };
    Charge { account, window, amount }
}

/// As a worker asks that has heard of everything, of nothing, or of a part; by chance in a window that is over.
fn draw(dice: &mut Dice, memory: &mut Memory, holder: &Holder, now: u64) -> Draw {
    let present = now / (SHORT * SECOND) * SHORT;
    let account = account(dice);
    let window = if account % 100 > 3 { 0 } else { present - SHORT * dice.roll(2) };
    let held = memory.portion(account, window, holder).unwrap();
    let received = held.granted - dice.roll(2) * dice.roll(held.granted + 1);
    let returned = dice.roll(received + 1).max(held.returned.min(received));
    Draw { account, window, received, returned, need: dice.roll(3) * dice.roll(50), want: dice.roll(100) }
}

fn check(file: &Sqlite, memory: &Memory, seed: u64) {
    let rows = |query: &str| -> i64 { file.connection.query_row(query, [], |row| row.get(0)).unwrap() };
    let balances: Vec<_> = memory.balances.iter().filter(|(_, balance)| **balance != Balance::default()).collect();
    let portions: Vec<_> = memory.portions.iter().filter(|(_, portion)| **portion != Portion::default()).collect();
    for ((account, window), balance) in &balances {
        assert_eq!(file.balance(*account, *window).unwrap(), **balance, "seed {seed}, account {account} in {window}");
    }
    let mut query = file
        .connection
        .prepare("SELECT granted, spent, returned FROM portion WHERE account = ?1 AND window = ?2 AND holder = ?3")
        .unwrap();
    for ((account, window, holder), expected) in &portions {
        let found = query.query_row(params![bits(*account), bits(*window), holder], |row| portion(row, 0)).unwrap();
        assert_eq!(found, **expected, "seed {seed}, account {account} in {window}");
    }
    assert_eq!(rows("SELECT count(*) FROM balance"), i64::try_from(balances.len()).unwrap(), "seed {seed}");
    assert_eq!(rows("SELECT count(*) FROM portion"), i64::try_from(portions.len()).unwrap(), "seed {seed}");
}

#[test]
fn an_answer_that_was_lost_with_the_process_is_given_again() {
    let dir = Dir::new();
    let terms = Config::of(100);
    let first = Draw { account: 1, need: 20, want: 20, ..Draw::default() };
    let now = 90 * SECOND;
    let (granted, _) = ask(&mut dir.open(), &terms, 1, first, now);
    assert_eq!(granted.portion.granted, 20);
    let mut file = dir.open();
    assert_eq!(ask(&mut file, &terms, 1, first, now).0, granted, "the same, not as much again");
    assert_eq!(file.balance(1, 60).unwrap().committed, 20);
    let shared = Draw { account: 2 + ACME, need: 20, want: 20, ..Draw::default() };
    let (granted, _) = ask(&mut file, &terms, 1, shared, now);
    drop(file);
    let mut file = dir.open();
    assert_eq!(ask(&mut file, &terms, 1, shared, now).0, granted);
    assert!(file.balance(2, 60).unwrap().committed <= 40, "its shard has no more than it asked for");
}

#[test]
fn a_settlement_that_comes_again_takes_nothing_again() {
    let dir = Dir::new();
    let terms = Config::of(100);
    let charge = Charge { account: 1, window: 60, amount: 7 };
    for round in 0..3 {
        let once = || settlement(1, 1, &[charge, charge]);
        let recorded = settle(&mut dir.open(), &terms, vec![once(), once()], 90 * SECOND);
        assert_eq!(recorded.new.len(), usize::from(round == 0));
        assert_eq!(dir.open().balance(1, 60).unwrap().used, 14);
    }
}

#[test]
fn a_changed_maximum_keeps_the_balance() {
    let dir = Dir::new();
    let mut file = dir.open();
    let more = |need| Draw { account: 1, window: 60, received: 80, returned: 0, need, want: need };
    let now = 90 * SECOND;
    ask(&mut file, &Config::of(100), 1, Draw { account: 1, need: 80, want: 80, ..Draw::default() }, now);
    assert!(ask(&mut file, &Config::of(90), 1, more(11), now).0.refused);
    assert!(ask(&mut file, &Config::of(10), 1, more(1), now).0.refused);
    let (lease, _) = ask(&mut file, &Config::of(200), 1, more(120), now);
    assert_eq!((lease.refused, lease.portion.granted, lease.most), (false, 200, 200));
}

#[test]
fn the_ledgers_time_does_not_go_back_even_over_a_restart() {
    let dir = Dir::new();
    let terms = Config::of(100);
    let draw = Draw { account: 1, need: 100, want: 100, ..Draw::default() };
    assert_eq!(ask(&mut dir.open(), &terms, 1, draw, 130 * SECOND).0.window, 120);
    let (lease, _) = ask(&mut dir.open(), &terms, 2, draw, 50 * SECOND);
    assert_eq!((lease.window, lease.refused), (120, true));
}

#[test]
fn what_is_over_goes_with_later_commits() {
    let dir = Dir::new();
    let terms = Config::of(100);
    let mut file = dir.open();
    for (minute, worker) in [(1, 1), (1, 2), (2, 1), (3, 1)] {
        let draw = Draw { account: 1, need: 1, want: 1, ..Draw::default() };
        ask(&mut file, &terms, worker, draw, minute * 60 * SECOND);
    }
    let rows = || (dir.count("SELECT count(*) FROM portion"), dir.count("SELECT count(*) FROM balance"));
    assert_eq!(rows(), (4, 3));
    // A commit of one thing looks at two windows; each brings one of its own.
    let draw = Draw { account: 3 + ACME, need: 1, want: 1, ..Draw::default() };
    ask(&mut file, &terms, 1, draw, (DAY + 1000) * SECOND);
    assert_eq!(rows(), (1 + 2, 3 + 2), "three portions of two windows went, an allotment and its portion came");
    ask(&mut file, &terms, 1, draw, (DAY + 1000) * SECOND);
    assert_eq!(rows(), (2, 5));
    ask(&mut file, &terms, 1, draw, 400 * DAY * SECOND);
    assert_eq!(dir.count("SELECT count(*) FROM balance WHERE account = 1"), 3, "balances are read for longer");
    for _ in 0..3 {
        ask(&mut file, &terms, 1, draw, 402 * DAY * SECOND);
    }
    assert_eq!(dir.count("SELECT count(*) FROM balance WHERE account = 1"), 0);
}

#[test]
fn slots_of_a_customer_whose_workers_are_gone_come_back_to_all() {
    let dir = Dir::new();
    let mut file = dir.open();
    let draw = |account, need| Draw { account, need, want: need, ..Draw::default() };
    let now = 60 * SECOND;
    assert!(!ask(&mut file, &Config::of(5), 1, draw(5 + ACME, 5), now).0.refused);
    let terms = Config { silent: BTreeSet::from([[1; 16]]), ..Config::of(5) };
    assert!(ask(&mut file, &terms, 2, draw(5 + OTHER, 3), now).0.refused, "its shard has them");
    for (later, refused) in [(60, true), (130, true), (131, false)] {
        let (lease, _) = ask(&mut file, &terms, 2, draw(5 + OTHER, 3), now + later * SECOND);
        assert_eq!(lease.refused, refused, "after {later} seconds");
    }
    assert_eq!(file.balance(5, 0).unwrap().committed, 3);
    assert_eq!(dir.count("SELECT count(*) FROM portion WHERE holder = x'01010101010101010101010101010101'"), 0);
}

#[test]
fn a_human_can_read_what_an_account_is() {
    let dir = Dir::new();
    ask(&mut dir.open(), &Config::of(100), 1, Draw { account: 1, need: 1, ..Draw::default() }, SECOND);
    let named = "SELECT count(*) FROM balance JOIN account ON account = id WHERE scope = 'team' AND name = 'of 1'";
    assert_eq!(dir.count(named), 1);
}

#[test]
fn a_file_of_version_3_is_brought_up() {
    let dir = Dir::new();
    settle(&mut dir.open(), &Config::of(1), vec![settlement(1, 1, &[])], SECOND);
    let file = Connection::open(dir.0.path().join("attache.db")).unwrap();
    let tables = ["balance", "portion", "expiry", "account", "cost_count", "calibration"];
    tables.iter().for_each(|table| file.execute_batch(&format!("DROP TABLE {table}")).unwrap());
    file.execute_batch("ALTER TABLE settlement DROP COLUMN downgraded").unwrap();
    file.execute_batch("ALTER TABLE attempt DROP COLUMN cost; PRAGMA user_version = 3").unwrap();
    drop(file);
    let charge = Charge { account: 1, window: 60, amount: 7 };
    let recorded =
        settle(&mut dir.open(), &Config::of(10), vec![settlement(1, 1, &[]), settlement(1, 2, &[charge])], 0);
    assert_eq!((recorded.new, recorded.duplicates), (vec![1], 1));
    assert_eq!(dir.open().balance(1, 60).unwrap().used, 7);
}
