use std::collections::BTreeSet;

use super::memory::Memory;
use super::*;

const A: Holder = [1; 16];
const B: Holder = [2; 16];
const ACME: Holder = [8; 16];
const OTHER: Holder = [9; 16];
/// An account with a limit of 100 a minute, and two children of one with 100 a minute.
const ALONE: u64 = 1;
const SHARED: u64 = 2;
const OF_ACME: u64 = 3;
const OF_OTHER: u64 = 4;
/// Five at once, alone and for two customers together.
const SLOTS: u64 = 5;
const SHARED_SLOTS: u64 = 6;
const SLOTS_OF_ACME: u64 = 7;
const SLOTS_OF_OTHER: u64 = 8;
const NOW: u64 = 90 * SECOND;

#[derive(Default)]
struct Store {
    rows: Memory,
    silent: BTreeSet<Holder>,
}

struct Config(BTreeSet<Holder>);

impl Terms for Config {
    fn account(&self, id: u64, now: u64) -> Option<Account> {
        let start = now / (60 * SECOND) * 60 * SECOND;
        let minute = Account { most: 100, window: Some((start, start + 60 * SECOND)), parent: None };
        let slots = Account { most: 5, window: None, parent: None };
        Some(match id {
            ALONE | SHARED => minute,
            OF_ACME => Account { parent: Some((SHARED, ACME)), ..minute },
            OF_OTHER => Account { parent: Some((SHARED, OTHER)), ..minute },
            SLOTS | SHARED_SLOTS => slots,
            SLOTS_OF_ACME => Account { parent: Some((SHARED_SLOTS, ACME)), ..slots },
            SLOTS_OF_OTHER => Account { parent: Some((SHARED_SLOTS, OTHER)), ..slots },
            _ => return None,
        })
    }
    fn is_silent(&self, holder: &Holder) -> bool {
        self.0.contains(holder)
    }
}

impl Store {
    fn ask(&mut self, holder: &Holder, ask: Draw, now: u64) -> Lease {
        let terms = Config(self.silent.clone());
        draw(&mut self.rows, &terms, holder, &[ask], now, &mut Vec::new()).unwrap()[0]
    }

    /// A holder that has heard of everything asks for so much more.
    fn more(&mut self, holder: &Holder, account: u64, need: u64, want: u64) -> Lease {
        let window = if account >= SLOTS { 0 } else { 60 };
        let received = self.rows.portion(account, window, holder).unwrap();
        let (received, returned) = (received.granted, received.returned);
        self.ask(holder, Draw { account, window, received, returned, need, want }, NOW)
    }

    fn spend(&mut self, holder: &Holder, account: u64, amount: u64) -> Vec<Event> {
        let mut events = Vec::new();
        let charge = Charge { account, window: 60, amount };
        settle(&mut self.rows, &Config(BTreeSet::new()), holder, &[charge], NOW, &mut events).unwrap();
        events
    }
}

#[test]
fn no_more_is_granted_than_the_limit() {
    let mut store = Store::default();
    assert_eq!(store.more(&A, ALONE, 10, 1000).portion.granted, 12, "most stays for others");
    assert_eq!(store.more(&B, ALONE, 1, 1000).portion.granted, 5, "shares shrink");
    assert_eq!(store.more(&B, ALONE, 83, 0).portion.granted, 88, "but what is needed is granted while it fits");
    let lease = store.more(&B, ALONE, 1, 1000);
    assert!(lease.refused);
    assert_eq!(store.rows.balance(ALONE, 60).unwrap().committed, 100);
}

#[test]
fn a_lost_answer_is_given_again_and_a_doubled_question_grants_nothing() {
    let mut store = Store::default();
    let ask = Draw { account: ALONE, need: 12, want: 12, ..Draw::default() };
    for _ in 0..3 {
        assert_eq!(store.ask(&A, ask, NOW).portion.granted, 12);
    }
    assert_eq!(store.rows.balance(ALONE, 60).unwrap().committed, 12);
}

#[test]
fn what_is_given_back_is_there_for_others() {
    let mut store = Store::default();
    store.more(&A, ALONE, 100, 100);
    assert!(store.more(&B, ALONE, 1, 1).refused);
    store.spend(&A, ALONE, 30);
    let back = Draw { account: ALONE, window: 60, received: 100, returned: 60, need: 0, want: 0 };
    store.ask(&A, back, NOW);
    store.ask(&A, Draw { returned: 20, ..back }, NOW);
    assert_eq!(
        store.rows.balance(ALONE, 60).unwrap(),
        Balance { committed: 40, used: 30, holders: 1, told: 8, ..Balance::default() }
    );
    assert_eq!(store.more(&B, ALONE, 60, 60).portion.granted, 60);
    assert!(store.more(&B, ALONE, 1, 1).refused);
}

#[test]
fn a_question_from_before_it_gave_back_grants_nothing() {
    let mut store = Store::default();
    let ask = Draw { account: ALONE, need: 5, want: 5, ..Draw::default() };
    store.ask(&A, ask, NOW);
    let back = Draw { account: ALONE, window: 60, received: 5, returned: 5, need: 0, want: 0 };
    store.ask(&A, back, NOW);
    let late = store.ask(&A, Draw { returned: 0, need: 5, want: 10, ..back }, NOW);
    assert!(!late.refused && late.portion.granted == 5, "nobody hears of it: {late:?}");
    assert_eq!(store.rows.balance(ALONE, 60).unwrap().committed, 0);
    assert_eq!(store.ask(&A, Draw { need: 5, want: 5, ..back }, NOW).portion.granted, 10);
}

#[test]
fn a_window_that_is_over_limits_nothing_and_a_clock_that_went_back_grants_nothing() {
    let mut store = Store::default();
    store.more(&A, ALONE, 100, 100);
    let later = NOW + 60 * SECOND;
    let ask = Draw { account: ALONE, window: 60, received: 100, returned: 5, need: 100, want: 100 };
    let lease = store.ask(&A, ask, later);
    assert_eq!((lease.window, lease.portion.granted, lease.ends_in), (120, 100, Some(30 * SECOND)));
    assert_eq!(store.rows.balance(ALONE, 60).unwrap().committed, 95, "what came back late is booked where it belongs");
    let ask = Draw { account: ALONE, window: 120, received: 100, returned: 0, need: 1, want: 1 };
    assert!(store.ask(&A, ask, NOW).refused, "5 are free in the former window");
    assert_eq!(store.rows.balance(ALONE, 60).unwrap().committed, 95);
}

#[test]
fn who_spends_more_than_was_granted_is_charged_for_it() {
    let mut store = Store::default();
    store.more(&A, ALONE, 50, 50);
    store.spend(&A, ALONE, 80);
    assert_eq!(store.rows.balance(ALONE, 60).unwrap().committed, 80);
    assert!(store.more(&B, ALONE, 21, 0).refused);
}

#[test]
fn each_threshold_is_told_once_a_window() {
    let mut store = Store::default();
    let percents = |events: Vec<Event>| events.into_iter().map(|event| event.percent).collect::<Vec<_>>();
    store.more(&A, ALONE, 100, 100);
    assert_eq!(percents(store.spend(&A, ALONE, 49)), [0; 0]);
    assert_eq!(percents(store.spend(&A, ALONE, 31)), [50, 80]);
    assert_eq!(percents(store.spend(&A, ALONE, 1)), [0; 0]);
    let mut events = Vec::new();
    let ask = Draw { account: ALONE, need: 20, ..Draw::default() };
    for _ in 0..2 {
        draw(&mut store.rows, &Config(BTreeSet::new()), &B, &[ask], NOW, &mut events).unwrap();
    }
    assert_eq!(percents(events), [100], "a refusal is the end, even if a little is left");
}

#[test]
fn what_customers_share_is_never_granted_twice() {
    let mut store = Store::default();
    assert_eq!(store.more(&A, OF_ACME, 60, 60).portion.granted, 60);
    assert_eq!(store.more(&B, OF_OTHER, 40, 40).portion.granted, 40);
    assert!(store.more(&A, OF_ACME, 1, 1).refused);
    store.spend(&A, OF_ACME, 10);
    assert_eq!(store.rows.balance(SHARED, 60).unwrap().used, 10);
    // A gives 50 back, its shard does, and the other shard gets them.
    let back = Draw { account: OF_ACME, window: 60, received: 60, returned: 50, need: 0, want: 0 };
    store.ask(&A, back, NOW);
    assert_eq!(store.rows.balance(SHARED, 60).unwrap().committed, 50);
    assert_eq!(store.more(&B, OF_OTHER, 50, 50).portion.granted, 90);
    assert!(store.more(&A, OF_ACME, 1, 1).refused);
}

#[test]
fn slots_of_a_silent_holder_come_back_when_they_are_needed() {
    let mut store = Store::default();
    store.more(&A, SLOTS, 5, 5);
    assert!(store.more(&B, SLOTS, 1, 1).refused);
    store.silent.insert(A);
    let lease = store.more(&B, SLOTS, 1, 1);
    assert_eq!((lease.refused, lease.window, lease.ends_in), (false, 0, None));
    assert_eq!(store.more(&A, SLOTS, 0, 0).portion, Portion { granted: 5, spent: 0, returned: 5 }, "and it is told so");
}

#[test]
fn an_account_nobody_knows_is_gone() {
    assert!(Store::default().more(&A, 99, 1, 1).gone);
}

#[test]
fn a_shard_that_was_thought_gone_learns_that_its_slots_were_taken_back() {
    let mut store = Store::default();
    assert!(!store.more(&A, SLOTS_OF_ACME, 4, 4).refused);
    store.silent.insert(ACME);
    assert!(!store.more(&B, SLOTS_OF_OTHER, 5, 5).refused, "nobody knows acme any more");
    store.silent.remove(&ACME);
    assert!(store.more(&B, SLOTS_OF_ACME, 1, 1).refused, "what was allotted to it is not there any more");
    assert_eq!(store.rows.balance(SHARED_SLOTS, 0).unwrap().committed, 5);
}

#[test]
fn a_store_that_has_forgotten_believes_what_holders_tell() {
    let mut store = Store::default();
    let ask = Draw { account: ALONE, window: 60, received: 60, returned: 10, need: 30, want: 30 };
    let lease = store.ask(&A, ask, NOW);
    assert_eq!((lease.refused, lease.portion.granted, lease.portion.returned), (false, 90, 10));
    assert_eq!(store.rows.balance(ALONE, 60).unwrap().committed, 80);
    assert!(store.more(&B, ALONE, 21, 0).refused);
}

impl Store {
    fn end(&mut self, holder: &Holder, account: u64, most: u64) {
        let window = if account >= SLOTS { 0 } else { 60 };
        let ceiling = Ceiling { account, window, most };
        self.silent.insert(*holder);
        end(&mut self.rows, &Config(BTreeSet::new()), holder, &[ceiling], NOW, &mut Vec::new()).unwrap();
    }
}

#[test]
fn what_a_dead_holder_never_used_comes_back_and_what_it_may_have_used_does_not() {
    let mut store = Store::default();
    store.more(&A, ALONE, 100, 100);
    store.spend(&A, ALONE, 20);
    for _ in 0..2 {
        store.end(&A, ALONE, 45);
        assert_eq!(store.rows.balance(ALONE, 60).unwrap().committed, 45, "20 settled, 25 may have been used");
    }
    assert_eq!(store.more(&B, ALONE, 55, 55).portion.granted, 55);
    assert!(store.more(&B, ALONE, 1, 1).refused);
    // It only stood still: what it had under way is settled within its ceiling, and it gets nothing more.
    store.spend(&A, ALONE, 25);
    assert_eq!(store.rows.balance(ALONE, 60).unwrap().committed, 100);
    let late = store.ask(&A, Draw { account: ALONE, window: 60, received: 100, need: 1, want: 9, returned: 0 }, NOW);
    assert_eq!(late.portion.granted, 100, "{late:?}");
}

#[test]
fn what_a_dead_holder_had_of_a_shared_limit_is_there_for_other_shards() {
    let mut store = Store::default();
    store.more(&A, OF_ACME, 100, 100);
    assert!(store.more(&B, OF_OTHER, 1, 1).refused);
    store.end(&A, OF_ACME, 30);
    assert_eq!(store.more(&B, OF_OTHER, 70, 70).portion.granted, 70);
    assert!(store.more(&B, OF_OTHER, 1, 1).refused);
    store.silent.remove(&A);
    store.more(&A, SLOTS_OF_ACME, 5, 5);
    assert!(store.more(&B, SLOTS_OF_OTHER, 1, 1).refused);
    store.end(&A, SLOTS_OF_ACME, u64::MAX);
    assert_eq!(store.more(&B, SLOTS_OF_OTHER, 5, 5).portion.granted, 5, "slots come back whole");
}
