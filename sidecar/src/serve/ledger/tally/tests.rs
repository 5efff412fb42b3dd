//! Sums as seen from one settlement at a time.

use sidecar_api::v1::r#try::Outcome;

use super::*;

fn labels() -> Labels {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Labels::new(Names {
        customers: vec!["acme".to_owned()],
        keys: own(&["prod"]),
        teams: own(&["search"]),
        models: own(&["gpt-4.1"]),
        providers: own(&["openai", "anthropic"]),
        dialects: own(&["openai_chat"]),
    })
}

fn attempt(provider: &str, model: &str, outcome: Outcome, input: u64) -> Try {
    Try {
        provider: provider.to_owned(),
        model: model.to_owned(),
        outcome: outcome.into(),
        usage: Some(Usage { input_tokens: input, output_tokens: 2, ..Usage::default() }),
        ..Try::default()
    }
}

fn settlement(model: &str, status: u32, tries: Vec<Try>) -> Settlement {
    Settlement {
        key: "prod".to_owned(),
        team: "search".to_owned(),
        asked_model: model.to_owned(),
        dialect: "openai_chat".to_owned(),
        status,
        duration_micros: 1_500_000,
        tries,
        ..Settlement::default()
    }
}

fn sums(recorded: &Recorded, provider: &str, model: &str) -> Sums {
    let place = UsageLabels {
        key: "prod".to_owned(),
        team: "search".to_owned(),
        provider: provider.to_owned(),
        model: model.to_owned(),
    };
    recorded.totals.usage.get(&place).copied().unwrap_or_default()
}

#[test]
fn a_failover_is_a_change_of_provider_between_two_tries() {
    let mut recorded = Recorded::default();
    let tries = vec![
        attempt("openai", "gpt-4.1", Outcome::Error, 0),
        attempt("openai", "gpt-4.1", Outcome::NoAnswer, 0),
        attempt("anthropic", "claude", Outcome::Cut, 5),
        attempt("openai", "gpt-4.1", Outcome::Ok, 7),
    ];
    add(&mut labels(), &mut recorded, &settlement("gpt-4.1", 200, tries), 0);
    let hop = |from: &str, to: &str| recorded.totals.failovers.get(&(from.to_owned(), to.to_owned())).copied();
    assert_eq!((hop("openai", "anthropic"), hop("anthropic", "openai")), (Some(1), Some(1)));
    assert_eq!(recorded.totals.failovers.len(), 2);
    assert_eq!(
        sums(&recorded, "openai", "gpt-4.1"),
        Sums { requests: 1, errors: 0, tries: [1, 1, 1, 0], tokens: [7, 6, 0, 0, 0], ..Sums::default() }
    );
    assert_eq!(
        sums(&recorded, "anthropic", "claude"),
        Sums { requests: 0, errors: 0, tries: [0, 0, 0, 1], tokens: [5, 2, 0, 0, 0], ..Sums::default() }
    );
}

#[test]
fn a_request_without_tries_counts_at_no_provider() {
    let mut recorded = Recorded::default();
    add(&mut labels(), &mut recorded, &settlement("gpt-4.1", 413, vec![]), 0);
    assert_eq!(sums(&recorded, "", ""), Sums { requests: 1, errors: 1, ..Sums::default() });
    let timing =
        Timing { model: "gpt-4.1".to_owned(), duration: 1.5, first_byte: None, first_content: None, overhead: None };
    assert_eq!(recorded.timings, [timing]);
}

#[test]
fn a_client_that_left_before_a_status_has_class_none_and_is_an_error() {
    let mut recorded = Recorded::default();
    add(
        &mut labels(),
        &mut recorded,
        &settlement("gpt-4.1", 0, vec![attempt("openai", "gpt-4.1", Outcome::Cut, 1)]),
        0,
    );
    assert_eq!(recorded.totals.requests.keys().next().unwrap().status_class, "none");
    assert_eq!(sums(&recorded, "openai", "gpt-4.1").errors, 1);
}

#[test]
fn a_name_that_no_provider_answered_for_is_other() {
    let (mut labels, mut recorded) = (labels(), Recorded::default());
    for n in 0..2000 {
        add(&mut labels, &mut recorded, &settlement(&format!("junk-{n}"), 404, vec![]), 0);
    }
    let models: Vec<_> = recorded.totals.requests.keys().map(|labels| labels.model.as_str()).collect();
    assert_eq!(models, [OTHER]);
    let good = settlement("fresh", 200, vec![attempt("openai", "fresh", Outcome::Ok, 1)]);
    add(&mut labels, &mut recorded, &good, 0);
    assert_eq!(sums(&recorded, "openai", "fresh").requests, 1);
}

#[test]
fn a_claim_of_absurd_usage_cannot_overflow_the_store() {
    let mut recorded = Recorded::default();
    add(
        &mut labels(),
        &mut recorded,
        &settlement("gpt-4.1", 200, vec![attempt("openai", "gpt-4.1", Outcome::Ok, u64::MAX)]),
        0,
    );
    assert_eq!(sums(&recorded, "openai", "gpt-4.1").tokens[0], MOST_TOKENS);
}

#[test]
fn an_unknown_outcome_counts_as_an_error() {
    let mut recorded = Recorded::default();
    let mut odd = attempt("openai", "gpt-4.1", Outcome::Ok, 0);
    odd.outcome = 99;
    add(&mut labels(), &mut recorded, &settlement("gpt-4.1", 502, vec![odd]), 0);
    assert_eq!(sums(&recorded, "openai", "gpt-4.1").tries, [0, 1, 0, 0]);
}

#[test]
fn a_loss_is_counted_by_provider_and_never_under_a_name_of_its_own() {
    let (mut labels, mut recorded) = (labels(), Recorded::default());
    let mut lossy = attempt("anthropic", "claude", Outcome::Ok, 1);
    lossy.dropped = vec!["top_k".to_owned(), "made-up".to_owned()];
    (lossy.cooled, lossy.skipped_events) = (true, 3);
    add(&mut labels, &mut recorded, &settlement("gpt-4.1", 200, vec![lossy]), 0);
    let dropped: Vec<_> = recorded.totals.dropped.iter().map(|((p, f), n)| (p.as_str(), f.as_str(), *n)).collect();
    assert_eq!(dropped, [("anthropic", OTHER, 1), ("anthropic", "top_k", 1)]);
    let sums = sums(&recorded, "anthropic", "claude");
    assert_eq!((sums.cooldowns, sums.skipped_events), (1, 3));
}

#[test]
fn failures_are_counted_by_a_closed_list() {
    let mut recorded = Recorded::default();
    let failed = |word: &str| Try { disposition: word.to_owned(), ..attempt("openai", "gpt-4.1", Outcome::Error, 0) };
    let tries = vec![failed("hard_down"), failed("made-up"), failed("hard_down"), failed("")];
    add(&mut labels(), &mut recorded, &settlement("gpt-4.1", 401, tries), 0);
    let failures: Vec<_> = recorded.totals.failures.iter().map(|((p, d), n)| (p.as_str(), d.as_str(), *n)).collect();
    assert_eq!(failures, [("openai", "hard_down", 2), ("openai", OTHER, 1)]);
}
