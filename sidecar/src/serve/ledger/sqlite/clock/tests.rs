//! A ledger that ran ahead is set back.

use super::super::super::book::{Account, Charge, Draw, Holder, Lease};
use super::super::super::tally::{Labels, Names};
use super::super::super::{AdmissionId, Ask, Entry, Group, Ledger};
use super::super::Sqlite;
use super::*;

const DAY: u64 = 86_400;
const TODAY: u64 = 20_000 * DAY;
const NOON: u64 = (TODAY + DAY / 2) * SECOND;
const AHEAD: u64 = 40 * DAY * SECOND;

/// Ten a day of account 1 and, shared by two shards, of accounts 101 and 201.
struct Config;

impl Terms for Config {
    fn account(&self, id: u64, now: u64) -> Option<Account> {
        let start = now / (DAY * SECOND) * DAY * SECOND;
        let parent = (id > 100).then(|| (1, [u8::try_from(id).unwrap(); 16]));
        (id % 100 == 1).then_some(Account { most: 10, window: Some((start, start + DAY * SECOND)), parent })
    }
    fn is_silent(&self, _: &Holder) -> bool {
        false
    }
}

fn open(dir: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(&dir.path().join("attache.db"), Labels::new(Names::default())).unwrap()
}

fn ask(file: &mut Sqlite, worker: u8, draw: Draw, now: u64) -> Lease {
    let group = Group { asks: vec![Ask { holder: [worker; 16], draws: vec![draw] }], ..Group::default() };
    file.commit(&group, &Config, now).unwrap().leases[0][0]
}

fn settle(file: &mut Sqlite, worker: u8, counter: u64, charge: Charge, now: u64) {
    let charge = sidecar_api::v1::Charge { account: charge.account, window: charge.window, amount: charge.amount };
    let settlement = sidecar_api::v1::Settlement { counter, charges: vec![charge], ..Default::default() };
    let entry = Entry { id: AdmissionId::new([worker; 16], counter), settlement };
    file.commit(&Group { settlements: vec![entry], ..Group::default() }, &Config, now).unwrap();
}

/// Four used today; then, by a clock that is 40 days ahead, three more and two leased.
fn ran_ahead(account: u64) -> (tempfile::TempDir, Sqlite, u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut file = open(&dir);
    let today = ask(&mut file, 1, Draw { account, need: 4, ..Draw::default() }, NOON);
    settle(&mut file, 1, 1, Charge { account, window: today.window, amount: 4 }, NOON);
    let then = ask(&mut file, 1, Draw { account, need: 5, ..Draw::default() }, NOON + AHEAD);
    assert!(!then.refused && then.window > today.window);
    settle(&mut file, 1, 2, Charge { account, window: then.window, amount: 3 }, NOON + AHEAD);
    (dir, file, then.window)
}

#[test]
fn what_a_window_that_has_not_begun_used_counts_in_the_present_one() {
    for account in [1, 101] {
        let (dir, mut file, window) = ran_ahead(account);
        let closed = file.set_back(&Config, NOON + SECOND).unwrap();
        assert!(closed.iter().any(|it| (it.account, it.window, it.balance.used) == (account, window, 3)), "{closed:?}");
        drop(file);
        let mut file = open(&dir);
        assert_eq!(file.kept().unwrap(), Kept { time: NOON + SECOND, anchor: None });
        assert_eq!(look(&dir.path().join("attache.db"), NOON).unwrap().1, [], "none is left");
        assert_eq!(file.balance(account, window).unwrap(), Balance::default());
        for account in [1, account] {
            let balance = file.balance(account, TODAY).unwrap();
            assert!(balance.used == 7 && balance.committed >= 9, "{account}: {balance:?}");
        }
        let lease = |file: &mut Sqlite, worker, need| {
            ask(file, worker, Draw { account, need, ..Draw::default() }, NOON + 2 * SECOND)
        };
        let rest = lease(&mut file, 2, 1);
        assert!(!rest.refused && rest.ends_in.unwrap() < DAY * SECOND, "{rest:?}");
        assert!(lease(&mut file, 3, 1).refused, "ten of ten are taken, and no more are granted");
    }
}

#[test]
fn who_has_seen_a_window_that_was_closed_is_told_and_what_it_settles_is_of_today() {
    let (_dir, mut file, window) = ran_ahead(1);
    file.set_back(&Config, NOON + SECOND).unwrap();
    let draw = Draw { account: 1, window, received: 5, returned: 0, need: 1, want: 1 };
    let lease = ask(&mut file, 1, draw, NOON + 2 * SECOND);
    assert!(lease.back && lease.window == TODAY, "{lease:?}");
    settle(&mut file, 1, 3, Charge { account: 1, window, amount: 2 }, NOON + 3 * SECOND);
    let today = file.balance(1, TODAY).unwrap();
    assert_eq!((today.used, today.committed), (9, 9), "it was leased, and is used now");
    assert_eq!(file.balance(1, window).unwrap(), Balance::default());
}

#[test]
fn days_that_are_over_in_truth_too_do_not_count_today() {
    let (_dir, mut file, _) = ran_ahead(1);
    // It stays ahead for two days, of which one uses everything.
    for day in 1..=2 {
        let now = NOON + AHEAD + day * DAY * SECOND;
        let lease = ask(&mut file, 1, Draw { account: 1, need: 10, ..Draw::default() }, now);
        settle(&mut file, 1, 10 + day, Charge { account: 1, window: lease.window, amount: 6 + day }, now);
    }
    file.set_back(&Config, NOON + 2 * DAY * SECOND).unwrap();
    assert_eq!(file.balance(1, TODAY + 2 * DAY).unwrap().used, 8, "the last one began today");
}

#[test]
fn a_clock_that_is_not_ahead_is_left_alone() {
    let (_dir, mut file, window) = ran_ahead(1);
    file.set_back(&Config, NOON + AHEAD).unwrap_err();
    assert_eq!(file.balance(1, window).unwrap().used, 3);
}
