use super::super::price::Service;
use super::super::size::Size;
use super::super::{Limit, Mode, Rated};
use super::*;
use crate::config::schema::UnknownPrice;

const NO: Refused = Refused { used: 10, most: 10, ends: Some(9), need: 1, until: 9 };

/// Not used up: less may fit.
const HALF: Refused = Refused { used: 5, ..NO };

fn account(id: u64, exhausted: Exhausted, provider: Option<&str>) -> Account {
    let limit = Limit { counted: Counted::Requests, most: 10, window: None, mode: Mode::Strict, exhausted };
    Account { id, scope: format!("key {id}"), limit, provider: provider.map(str::to_owned), of_pool: None }
}

fn pooled(id: u64, pool: &str) -> Account {
    Account { of_pool: Some(pool.to_owned()), ..account(id, Exhausted::Block, None) }
}

fn governor(accounts: Vec<Account>) -> Governor {
    Governor::new(Rc::from(accounts))
}

/// Two tries, one at each of two providers.
fn tries() -> [Candidate<'static>; 2] {
    ["a", "b"].map(Candidate::counting)
}

/// These accounts are used up, all others have enough.
fn without(over: &[u64]) -> impl Fn(u64, u64) -> Standing {
    move |id, _| if over.contains(&id) { Standing::Refused(NO) } else { Standing::Fits }
}

fn ids(governor: &Governor) -> Vec<u64> {
    governor.needs().iter().map(|(at, _)| governor.accounts()[*at].id).collect()
}

fn over(decision: Decision) -> Vec<u64> {
    let Decision::Refuse(Refusal::Over(over)) = decision else { panic!("{decision:?}") };
    over.iter().map(|over| over.account.id).collect()
}

#[test]
fn what_fits_goes_and_what_is_short_is_drawn_at_once() {
    let mut governor = governor(vec![account(1, Exhausted::Block, None), account(2, Exhausted::Block, None)]);
    assert_eq!(governor.decide(&tries(), |_, _| Standing::Short), Decision::Draw(vec![(1, 1), (2, 1)]));
    assert_eq!(governor.decide(&tries(), without(&[])), Decision::Go);
    assert_eq!(ids(&governor), [1, 2]);
    assert_eq!((governor.exceeded().count(), governor.downgraded()), (0, false));
}

#[test]
fn block_refuses_and_names_the_limit() {
    let mut governor = governor(vec![account(1, Exhausted::Shadow, None), account(2, Exhausted::Block, None)]);
    assert_eq!(over(governor.decide(&tries(), without(&[1, 2]))), [2]);
}

#[test]
fn shadow_and_alert_only_go_on_and_are_charged_and_recorded() {
    for rule in [Exhausted::Shadow, Exhausted::AlertOnly] {
        let mut governor = governor(vec![account(1, rule.clone(), None), account(2, Exhausted::Block, None)]);
        assert_eq!(governor.decide(&tries(), without(&[1])), Decision::Go);
        assert_eq!((ids(&governor), governor.exceeded().collect::<Vec<_>>()), (vec![1, 2], vec![1]));
        assert!(!governor.downgraded());
        // One that counts for a single provider does not cost it its tries either.
        let mut governor = self::governor(vec![account(1, rule, Some("a"))]);
        assert_eq!(governor.decide(&tries(), without(&[1])), Decision::Go);
        assert!(tries().iter().all(|one| governor.keeps(0, one)));
    }
}

#[test]
fn downgrade_asks_for_another_plan_once_and_is_charged() {
    let list = vec!["small".to_owned()];
    let mut governor = governor(vec![account(1, Exhausted::Downgrade(list.clone()), None)]);
    let Decision::Downgrade { models, over } = governor.decide(&tries(), without(&[1])) else { panic!("it goes on") };
    assert_eq!((models, over.account.id), (list, 1));
    assert_eq!(governor.decide(&tries(), without(&[1])), Decision::Go);
    assert_eq!((ids(&governor), governor.downgraded()), (vec![1], true));
    assert_eq!(governor.exceeded().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_pool_stands_in_and_blocks_by_its_own_rule() {
    let accounts =
        || vec![account(1, Exhausted::Pool("spare".to_owned()), None), pooled(2, "spare"), pooled(3, "other")];
    let mut governor = governor(accounts());
    assert_eq!(governor.decide(&tries(), without(&[])), Decision::Go);
    assert_eq!(ids(&governor), [1], "nobody needs a pool yet");
    assert_eq!(governor.decide(&tries(), without(&[1])), Decision::Go);
    assert_eq!((ids(&governor), governor.downgraded()), (vec![2], true));
    let mut governor = self::governor(accounts());
    assert_eq!(over(governor.decide(&tries(), without(&[1, 2]))), [2]);
}

#[test]
fn a_provider_that_is_used_up_leaves_the_plan_and_the_last_one_is_named() {
    let mut governor = governor(vec![account(1, Exhausted::Block, Some("a")), account(2, Exhausted::Block, Some("b"))]);
    assert_eq!(governor.decide(&tries(), without(&[1])), Decision::Go);
    assert_eq!(tries().map(|one| governor.keeps(0, &one)), [false, true]);
    assert_eq!(ids(&governor), [2]);
    // What was decided stays, though there is room again.
    assert_eq!(over(governor.decide(&tries(), without(&[2]))), [1, 2]);
}

#[test]
fn where_money_counts_a_model_without_a_price_leaves_the_plan() {
    let money = |exhausted, provider| {
        let mut account = account(1, exhausted, provider);
        account.limit.counted = Counted::Money;
        governor(vec![account])
    };
    let mut unpriced = Candidate::counting("a");
    unpriced.unpriced = true;
    assert!(!money(Exhausted::Block, None).keeps(0, &unpriced));
    assert!(!money(Exhausted::Block, Some("a")).keeps(0, &unpriced));
    assert!(money(Exhausted::Block, Some("b")).keeps(0, &unpriced));
    assert!(money(Exhausted::Shadow, None).keeps(0, &unpriced));
    let refused = money(Exhausted::Block, None).decide(&[unpriced], without(&[]));
    assert_eq!(refused, Decision::Refuse(Refusal::Unpriced));
}

/// A try whose answer may have so many tokens.
fn answering(provider: &'static str, output: Option<u64>) -> Candidate<'static> {
    let size = Size { input_worst: Some(10), output_worst: output, ..Size::default() };
    Candidate::new(provider, Some(&Rated::default()), &size, Service::default(), UnknownPrice::Free)
}

fn tokens(exhausted: Exhausted) -> Governor {
    let mut account = account(1, exhausted, None);
    account.limit.counted = Counted::TotalTokens;
    governor(vec![account])
}

#[test]
fn what_does_not_fit_leaves_the_plan_the_dearest_first_and_of_equals_the_last() {
    let tries = [answering("a", Some(50)), answering("b", Some(90)), answering("a", Some(50))];
    let fits = |most| move |_, amount| if amount <= most { Standing::Fits } else { Standing::Refused(HALF) };
    for (most, kept) in [(300, [true; 3]), (120, [true, false, true]), (119, [true, false, false])] {
        let mut governor = tokens(Exhausted::Block);
        assert_eq!(governor.decide(&tries, fits(most)), Decision::Go, "{most}");
        assert_eq!([0, 1, 2].map(|place| governor.keeps(place, &tries[place])), kept, "{most}");
    }
    assert_eq!(over(tokens(Exhausted::Block).decide(&tries, fits(59))), [1], "not one fits");
    // What is used up is asked once.
    let mut asked = 0;
    let used_up = |_, _| {
        asked += 1;
        Standing::Refused(NO)
    };
    assert_eq!(over(tokens(Exhausted::Block).decide(&tries, used_up)), [1]);
    assert_eq!(asked, 1);
}

#[test]
fn what_nothing_bounds_leaves_the_plan_unless_it_is_all_there_is() {
    let mut governor = tokens(Exhausted::Block);
    let tries = [answering("a", None), answering("b", Some(5))];
    assert_eq!(governor.decide(&tries, without(&[])), Decision::Go);
    assert_eq!([0, 1].map(|place| governor.keeps(place, &tries[place])), [false, true]);
    let refused = tokens(Exhausted::Block).decide(&tries[..1], without(&[]));
    assert_eq!(refused, Decision::Refuse(Refusal::Unbounded(Missing::MaxTokens)));
}
