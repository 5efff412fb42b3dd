use super::super::price::{Class, Tier};
use super::super::{Exhausted, Limit, Mode};
use super::*;

fn account(counted: Counted, mode: Mode, exhausted: Exhausted, provider: Option<&str>) -> Account {
    let limit = Limit { counted, most: 100, window: None, mode, exhausted };
    Account { id: 1, scope: "key k".to_owned(), limit, provider: provider.map(str::to_owned), of_pool: None }
}

fn strict(counted: Counted, provider: Option<&str>) -> Account {
    account(counted, Mode::Strict, Exhausted::Block, provider)
}

const SIZE: Size = Size {
    input_worst: Some(1000),
    way: "tools",
    input_expected: 200,
    output_worst: Some(500),
    output_expected: 50,
    long_cache: false,
    media: false,
    audio: false,
};

/// So many nano-dollars a token of prompt and of answer.
fn rated(input: u64, output: u64, known: bool) -> Rated {
    let tier = Tier { input: input * 1000, output: output * 1000, ..Tier::default() };
    let rates = Rates { standard: vec![tier], ..Rates::default() };
    Rated { provider: "p".to_owned(), model: "m".to_owned(), rates, known }
}

fn one(provider: &'static str, rated: &Rated, size: &Size) -> Candidate<'static> {
    Candidate::new(provider, Some(rated), size, Service::default(), UnknownPrice::Deny)
}

fn needs(account: &Account, tries: &[Candidate<'_>]) -> Option<u64> {
    need(account, tries).expect("it is bounded")
}

#[test]
fn a_strict_limit_needs_the_worst_case_of_every_try() {
    let (cheap, dear) = (rated(1, 2, true), rated(3, 10, true));
    let tries = [one("a", &cheap, &SIZE), one("b", &dear, &SIZE), one("b", &dear, &SIZE)];
    let all = [
        (Counted::Requests, 1),
        (Counted::Concurrent, 1),
        (Counted::InputTokens, 3000),
        (Counted::OutputTokens, 1500),
        (Counted::TotalTokens, 4500),
        // The dearest try, as often as one is made: each of them may be billed whole.
        (Counted::Money, 3 * (3000 + 5000)),
    ];
    for (counted, expected) in all {
        assert_eq!(needs(&strict(counted, None), &tries), Some(expected), "{counted:?}");
    }
}

#[test]
fn a_limit_of_one_provider_needs_what_tries_there_can_take() {
    let (cheap, dear) = (rated(1, 2, true), rated(3, 10, true));
    let tries = [one("a", &cheap, &SIZE), one("b", &dear, &SIZE), one("a", &cheap, &SIZE)];
    assert_eq!(needs(&strict(Counted::Money, Some("a")), &tries), Some(2 * (1000 + 1000)));
    assert_eq!(needs(&strict(Counted::Money, Some("b")), &tries), Some(3000 + 5000));
    assert_eq!(needs(&strict(Counted::Requests, Some("c")), &tries), None, "nobody is asked there");
}

#[test]
fn an_elastic_limit_and_one_that_binds_nobody_need_what_is_usual() {
    let dear = rated(3, 10, true);
    let tries = [one("a", &dear, &SIZE), one("a", &dear, &SIZE)];
    let elastic = account(Counted::Money, Mode::Elastic, Exhausted::Block, None);
    let shadow = account(Counted::Money, Mode::Strict, Exhausted::Shadow, None);
    for account in [elastic, shadow] {
        assert_eq!(needs(&account, &tries), Some(600 + 500 + 600));
    }
}

#[test]
fn what_nothing_bounds_is_named_and_matters_to_strict_limits_only() {
    let priced = rated(1, 1, true);
    let cases = [
        (Size { output_worst: None, ..SIZE }, Counted::OutputTokens, Missing::MaxTokens),
        (Size { output_worst: None, ..SIZE }, Counted::Money, Missing::MaxTokens),
        (Size { input_worst: None, ..SIZE }, Counted::InputTokens, Missing::Text("tools")),
    ];
    for (size, counted, missing) in cases {
        let tries = [one("a", &priced, &size)];
        assert_eq!(need(&strict(counted, None), &tries), Err(missing));
        assert!(need(&account(counted, Mode::Elastic, Exhausted::Block, None), &tries).is_ok());
        assert!(need(&strict(Counted::Requests, None), &tries).is_ok());
    }
    let tier = Service { class: Class::Unknown, ..Service::default() };
    let tries = [Candidate::new("a", Some(&priced), &SIZE, tier, UnknownPrice::Deny)];
    assert_eq!(need(&strict(Counted::Money, None), &tries), Err(Missing::ServiceTier));
}

#[test]
fn a_price_nobody_knows_is_denied_free_or_estimated() {
    let usage = Usage { input: Some(10), output: Some(1), ..Usage::default() };
    let cost = |rated: &Rated, rule| rated.cost(&usage, Service::default(), rule);
    let (known, estimate) = (rated(1, 2, true), rated(1, 2, false));
    let nothing = Rated { rates: Rates::default(), ..estimate.clone() };
    for rule in [UnknownPrice::Deny, UnknownPrice::Estimate, UnknownPrice::Free] {
        assert_eq!(cost(&known, rule), Some(12), "{rule:?}");
    }
    assert_eq!(cost(&estimate, UnknownPrice::Estimate), Some(12));
    assert_eq!(cost(&estimate, UnknownPrice::Free), Some(0));
    assert_eq!(cost(&estimate, UnknownPrice::Deny), None);
    assert_eq!(cost(&nothing, UnknownPrice::Estimate), None, "there is no estimate");
    let unpriced = |rule| Candidate::new("a", Some(&nothing), &SIZE, Service::default(), rule).unpriced;
    assert!(unpriced(UnknownPrice::Deny) && unpriced(UnknownPrice::Estimate) && !unpriced(UnknownPrice::Free));
    let free = Candidate::new("a", Some(&nothing), &SIZE, Service::default(), UnknownPrice::Free);
    assert_eq!(needs(&strict(Counted::Money, None), &[free]), Some(0));
}

#[test]
fn counting_tokens_is_a_request_and_uses_none() {
    let tries = [Candidate::counting("a")];
    assert_eq!(needs(&strict(Counted::Requests, None), &tries), Some(1));
    for counted in [Counted::InputTokens, Counted::TotalTokens, Counted::Money] {
        assert_eq!(needs(&strict(counted, None), &tries), Some(0));
    }
}
