use super::*;

const S: u64 = 1_000_000_000;

fn lease(granted: u64) -> Lease {
    Lease { account: 7, window: 60, ends_in: Some(60 * S), granted, most: 1000, ..Lease::default() }
}

/// A wallet with a lease on account 7.
fn wallet(granted: u64) -> Wallet {
    let mut wallet = Wallet::default();
    assert_eq!(wallet.standing(7, 1, S), Standing::Short);
    wallet.draw(7, 1, S).unwrap();
    wallet.answered(&lease(granted), S, S);
    wallet
}

#[test]
fn what_is_reserved_comes_back_less_what_was_used() {
    let mut wallet = wallet(10);
    assert_eq!(wallet.standing(7, 10, S), Standing::Fits);
    let held = wallet.reserve(7, 10, S);
    assert_eq!(wallet.standing(7, 1, S), Standing::Short);
    assert_eq!(wallet.settle(held, 4), Some(Charge { account: 7, window: 60, amount: 4 }));
    assert_eq!(wallet.standing(7, 6, S), Standing::Fits);
    assert_eq!(wallet.standing(7, 7, S), Standing::Short);
}

#[test]
fn an_answer_that_comes_twice_or_late_counts_once() {
    let mut wallet = wallet(10);
    wallet.answered(&lease(10), S, S);
    wallet.answered(&lease(6), S, S);
    assert_eq!(wallet.standing(7, 10, S), Standing::Fits);
    assert_eq!(wallet.standing(7, 11, S), Standing::Short);
}

#[test]
fn a_lease_ends_with_its_window_counted_from_the_question() {
    let mut wallet = wallet(10);
    assert_eq!(wallet.standing(7, 1, 61 * S - 1), Standing::Fits);
    assert_eq!(wallet.standing(7, 1, 61 * S), Standing::Short);
    let held = wallet.reserve(7, 3, 61 * S - 1);
    wallet.answered(&Lease { window: 120, ..lease(5) }, 61 * S, 61 * S);
    let charge = wallet.settle(held, 3).unwrap();
    assert_eq!(charge.window, 60, "it is charged to the window it was reserved in");
    assert_eq!(wallet.standing(7, 5, 61 * S), Standing::Fits, "and not to the one after it");
}

#[test]
fn who_was_refused_does_not_ask_again_at_once_and_asks_for_less_at_once() {
    let mut wallet = wallet(0);
    let draw = wallet.draw(7, 5, S).unwrap();
    assert_eq!((draw.need, draw.received), (5, 0));
    wallet.answered(&Lease { refused: true, used: 998, ..lease(0) }, S, S);
    let Standing::Refused(refused) = wallet.standing(7, 5, S) else { panic!("it was refused") };
    assert_eq!((refused.used, refused.most, refused.ends), (998, 1000, Some(61 * S)));
    assert_eq!(wallet.standing(7, 4, S), Standing::Short);
    assert_eq!(wallet.standing(7, 5, 2 * S), Standing::Short, "others may have given back");
}

#[test]
fn a_lease_nobody_uses_goes_back_and_is_told_until_it_is_heard() {
    let mut wallet = wallet(10);
    let held = wallet.reserve(7, 3, S);
    assert_eq!(wallet.tidy(5 * S), []);
    let told = wallet.tidy(12 * S);
    assert_eq!(told, [Draw { account: 7, window: 60, received: 10, returned: 7, need: 0, want: 0 }]);
    assert_eq!(wallet.tidy(13 * S), told, "nobody has heard it");
    wallet.answered(&Lease { returned: 7, ..lease(10) }, 13 * S, 13 * S);
    assert_eq!(wallet.tidy(14 * S), []);
    wallet.settle(held, 1);
    assert_eq!(wallet.standing(7, 2, 13 * S), Standing::Fits, "what was reserved and not used stays");
}

#[test]
fn a_question_is_asked_once_until_it_is_lost() {
    let mut wallet = Wallet::default();
    assert!(wallet.draw(7, 5, S).is_some());
    assert!(wallet.draw(7, 5, S).is_none());
    assert!(wallet.draw(7, 6, S).is_some(), "somebody needs more");
    wallet.lost(7);
    assert!(wallet.draw(7, 5, S).is_some());
    assert!(wallet.draw(7, 5, 5 * S).is_some(), "nobody said that it was lost");
}

#[test]
fn what_was_granted_and_never_heard_of_is_asked_for_and_goes_back() {
    let mut wallet = Wallet::default();
    wallet.draw(7, 5, S).unwrap();
    wallet.lost(7);
    let ask = Draw { account: 7, ..Draw::default() };
    assert_eq!(wallet.tidy(2 * S), [ask]);
    wallet.answered(&lease(20), 2 * S, 2 * S);
    assert_eq!(wallet.tidy(2 * S), [], "it was for a request a moment ago");
    assert_eq!(wallet.tidy(12 * S), [Draw { window: 60, received: 20, returned: 20, ..ask }]);
}

#[test]
fn a_clock_that_was_corrected_neither_forgets_what_was_spent_nor_waits_for_the_past() {
    let mut wallet = wallet(10);
    let held = wallet.reserve(7, 10, S);
    wallet.settle(held, 10);
    wallet.tidy(9000 * S);
    let draw = wallet.draw(7, 5, 9000 * S).unwrap();
    assert_eq!((draw.window, draw.received), (60, 10));
    wallet.answered(&lease(10), 9000 * S, 9000 * S);
    assert_eq!(wallet.standing(7, 1, 9000 * S), Standing::Short, "the sidecar's window goes on, and what was spent is");
    wallet.draw(7, 5, 9000 * S).unwrap();
    assert!(wallet.draw(7, 5, 2 * S).is_some(), "an hour is no answer");
    wallet.answered(&Lease { refused: true, ..lease(10) }, 2 * S, 9000 * S);
    assert_eq!(wallet.standing(7, 5, 3 * S), Standing::Short);
}

#[test]
fn requests_that_come_slowly_find_a_lease_too() {
    let mut wallet = wallet(4);
    let mut granted = 4;
    for round in 1..20 {
        let now = round * 8 * S;
        let lasts = |granted| Lease { ends_in: Some(9000 * S), ..lease(granted) };
        assert_eq!(wallet.standing(7, 3, now), Standing::Fits, "round {round}");
        let held = wallet.reserve(7, 3, now);
        if let Some(draw) = wallet.refill(7, now) {
            granted += draw.want;
            wallet.answered(&lasts(granted), now, now);
        }
        wallet.settle(held, 2);
    }
}

#[test]
fn slots_that_expired_unheard_of_go_back() {
    let mut wallet = Wallet::default();
    wallet.draw(7, 1, S).unwrap();
    wallet.answered(&Lease { window: 0, ends_in: None, ..lease(4) }, S, S);
    wallet.reserve(7, 1, S);
    assert_eq!(wallet.standing(7, 1, 40 * S), Standing::Short);
    assert_eq!(wallet.tidy(40 * S), [Draw { account: 7, window: 0, received: 4, returned: 3, need: 0, want: 0 }]);
}

#[test]
fn who_has_forgotten_counts_what_it_was_granted_as_spent() {
    let mut wallet = wallet(10);
    let held = wallet.reserve(7, 10, S);
    wallet.settle(held, 10);
    for account in 100..100 + u64::try_from(PURSES).unwrap() {
        wallet.draw(account, 1, 70 * S);
        wallet.answered(&Lease { account, window: 120, ..lease(1) }, 70 * S, 70 * S);
    }
    assert_eq!(wallet.standing(7, 1, S), Standing::Short);
    let ask = wallet.draw(7, 5, 70 * S).unwrap();
    assert_eq!(ask, Draw { account: 7, ..Draw::default() }, "first it asks what it has been granted");
    wallet.answered(&lease(10), 70 * S, 70 * S);
    assert_eq!(wallet.standing(7, 1, 70 * S), Standing::Short);
    assert_eq!(wallet.draw(7, 5, 70 * S).unwrap().received, 10);
}

#[test]
fn a_lease_is_refilled_before_it_is_empty() {
    let mut wallet = Wallet::default();
    wallet.draw(7, 25, S).unwrap();
    wallet.answered(&lease(100), S, S);
    for _ in 0..7 {
        wallet.reserve(7, 10, S);
    }
    assert!(wallet.refill(7, S).is_none());
    wallet.reserve(7, 1, S);
    let draw = wallet.refill(7, S).unwrap();
    assert_eq!((draw.need, draw.want, draw.received), (0, 71, 100));
}

#[test]
fn slots_last_as_long_as_the_sidecar_is_heard_of() {
    let slots = |granted, returned| Lease { window: 0, ends_in: None, returned, ..lease(granted) };
    let mut wallet = Wallet::default();
    wallet.draw(7, 1, S).unwrap();
    wallet.answered(&slots(4, 0), S, S);
    let held = wallet.reserve(7, 1, S);
    assert_eq!(wallet.standing(7, 3, 30 * S), Standing::Fits);
    assert_eq!(wallet.standing(7, 1, 31 * S), Standing::Short);
    // It had fallen silent: its slots were given to others, and one more is granted.
    wallet.draw(7, 1, 100 * S).unwrap();
    wallet.answered(&slots(6, 4), 100 * S, 100 * S);
    assert_eq!(wallet.standing(7, 1, 100 * S), Standing::Fits);
    assert_eq!(wallet.standing(7, 2, 100 * S), Standing::Short, "the request in flight still has its slot");
    assert_eq!(wallet.settle(held, 0), None);
    assert_eq!(wallet.standing(7, 2, 100 * S), Standing::Fits);
}

#[test]
fn going_on_in_spite_of_a_limit_is_charged() {
    let mut wallet = wallet(2);
    let held = wallet.reserve(7, 5, S);
    assert_eq!(wallet.settle(held, 5), Some(Charge { account: 7, window: 60, amount: 5 }));
    let held = wallet.reserve(8, 5, S);
    assert_eq!(wallet.settle(held, 5), Some(Charge { account: 8, window: 0, amount: 5 }), "nothing is known of it");
}

#[test]
fn a_clock_that_was_set_back_is_followed_and_what_was_granted_before_counts_as_spent() {
    let mut wallet = Wallet::default();
    wallet.draw(7, 3, S);
    wallet.answered(&lease(5), S, S);
    let early = wallet.reserve(7, 3, S);
    assert_eq!(wallet.settle(early, 3), Some(Charge { account: 7, window: 60, amount: 3 }));
    // The ledger's clock is ahead for a while.
    wallet.draw(7, 3, 2 * S);
    wallet.answered(&Lease { window: 6000, ..lease(4) }, 2 * S, 2 * S);
    let ahead = wallet.reserve(7, 4, 2 * S);
    assert_eq!(ahead.window, 6000);
    // It is set back; the worker tells what it knows, and hears that this window has not begun.
    wallet.draw(7, 1, 3 * S);
    let back = Lease { refused: true, back: true, ..lease(9) };
    wallet.answered(&back, 3 * S, 3 * S);
    assert_eq!(wallet.standing(7, 1, 3 * S), Standing::Short, "nine were granted, and nobody knows how many are left");
    let draw = wallet.draw(7, 1, 3 * S).unwrap();
    assert_eq!((draw.window, draw.received, draw.need), (60, 9, 1));
    wallet.answered(&lease(11), 3 * S, 3 * S);
    assert_eq!(wallet.standing(7, 2, 3 * S), Standing::Fits);
    assert_eq!(wallet.standing(7, 3, 3 * S), Standing::Short);
    assert_eq!(wallet.settle(ahead, 4), Some(Charge { account: 7, window: 6000, amount: 4 }), "as it was reserved");
    assert_eq!(wallet.standing(7, 2, 3 * S), Standing::Fits);
}

#[test]
fn nothing_is_reserved_beyond_a_ceiling_that_others_know() {
    let mut wallet = wallet(1000);
    let (mut raised, mut ceiling) = (0, 0);
    let mut held = Vec::new();
    for used in 1..=200 {
        if let Some(news) = wallet.raise(7, 1) {
            assert_eq!((news.account, news.window), (7, 60));
            assert!(news.most >= used && ceiling < used, "raised to {} for {used}", news.most);
            wallet.raised(&[news], &[]);
            (raised, ceiling) = (raised + 1, news.most);
        }
        assert!(used <= ceiling);
        held.push(wallet.reserve(7, 1, S));
    }
    assert!(raised < 9, "{raised} raises for 200 requests");
    // Half of them are over: 60 were used and 100 may still be.
    held.drain(..100).enumerate().for_each(|(at, held)| _ = wallet.settle(held, u64::from(at < 60)));
    let kept = Ceiling { account: 7, window: 60, most: 160 };
    assert_eq!(wallet.lower(), [(kept, true)]);
    assert_eq!(wallet.lower(), [], "nothing has happened since");
    assert!(wallet.raise(7, 1).is_some(), "the lowered ceiling has no room");
}

#[test]
fn a_ceiling_goes_with_what_it_is_of() {
    let mut wallet = wallet(10);
    let raise = wallet.raise(7, 4).unwrap();
    assert_eq!(raise.most, 10, "there is no use in a ceiling beyond the lease");
    wallet.raised(&[raise], &[]);
    let held = wallet.reserve(7, 4, S);
    wallet.settle(held, 4);
    wallet.tidy(12 * S);
    let [(ceiling, false)] = wallet.lower()[..] else { panic!("all else was given back") };
    assert_eq!(ceiling.account, 7);
    assert!(wallet.raise(7, 0).is_some(), "others know nothing of it any more");
    wallet.raised(&[ceiling], &[7]);
    assert!(wallet.raise(7, 0).is_some(), "nor where its place was needed");
    wallet.answered(&Lease { window: 120, ..lease(5) }, 61 * S, 61 * S);
    assert_eq!(wallet.raise(7, 1).unwrap().window, 120, "another window has a ceiling of its own");
}

#[test]
fn slots_are_known_to_be_held_and_no_more() {
    let mut wallet = Wallet::default();
    wallet.draw(5, 1, S);
    wallet.answered(&Lease { account: 5, granted: 4, most: 4, ..Lease::default() }, S, S);
    let raise = wallet.raise(5, 1).unwrap();
    wallet.raised(&[raise], &[]);
    assert_eq!(wallet.raise(5, 1), None);
    let held = wallet.reserve(5, 1, S);
    wallet.settle(held, 0);
    assert_eq!(wallet.lower(), []);
}
