use wire::format::{anthropic::Anthropic, openai_chat::OpenAiChat};

use super::*;
use crate::govern::{Account, Exhausted, Lease, Limit, Mode, Standing, Wallet};

/// 2026-11-21T12:00:00Z.
const NOW: u64 = 1_795_262_400 * SECOND;
const DAY: u64 = 86_400 * SECOND;

fn over(counted: Counted, window: Option<&str>, used: u64, most: u64, ends: Option<u64>) -> Over {
    let window = window.and_then(Window::parse);
    let limit = Limit { counted, most, window, mode: Mode::Strict, exhausted: Exhausted::Block };
    let account = Account { id: 7, scope: "key prod".to_owned(), limit, provider: None, of_pool: None };
    let mut wallet = Wallet::default();
    wallet.draw(7, 5, NOW).unwrap();
    wallet.answered(
        &Lease { account: 7, window: 1, ends_in: ends, refused: true, used, most, ..Lease::default() },
        NOW,
        NOW,
    );
    let Standing::Refused(refused) = wallet.standing(7, 5, NOW) else { panic!("it was refused") };
    Over { account, refused, need: 5 }
}

fn told(over: Over, inbound: &dyn Inbound) -> (Fault, Vec<(String, String)>) {
    let (fault, headers) = limited(&Refusal::Over(vec![over]), inbound, NOW);
    (fault, headers.into_iter().map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect())
}

fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_budget_says_whose_how_much_and_when_and_is_not_to_be_retried() {
    let budget = || over(Counted::Money, Some("1M"), 600 * SECOND, 600 * SECOND, Some(3 * DAY - SECOND));
    for inbound in [&OpenAiChat as &dyn Inbound, &Anthropic] {
        let (fault, headers) = told(budget(), inbound);
        assert_eq!(
            fault.message,
            "The limit of key prod is used up: 600 of 600 dollars a month (1M); it resets in 3 days."
        );
        assert_eq!(fault.kind, FaultKind::QuotaExceeded);
        assert_eq!(fault.retry_after, Some(3 * 86_400 - 1));
        assert_eq!(headers, pairs(&[("x-should-retry", "false"), ("x-attache-limit", "key prod;money;1M")]));
    }
    assert_eq!(
        [OpenAiChat.status(&told(budget(), &OpenAiChat).0), Anthropic.status(&told(budget(), &Anthropic).0)],
        [429, 402]
    );
}

#[test]
fn a_rate_limit_is_told_in_the_dialects_own_headers() {
    let rate = || over(Counted::Requests, Some("1h"), 9_998, 10_000, Some(90 * SECOND));
    let (fault, headers) = told(rate(), &OpenAiChat);
    assert_eq!(
        fault.message,
        "The limit of key prod has no room for a request that may take 5: 9998 of 10000 requests an hour (1h) are \
         used; it resets in 90 seconds."
    );
    assert_eq!((fault.kind, fault.retry_after), (FaultKind::RateLimited, Some(90)));
    let limit = ("x-attache-limit", "key prod;requests;1h");
    assert_eq!(
        headers,
        pairs(&[
            ("x-ratelimit-limit-requests", "10000"),
            ("x-ratelimit-remaining-requests", "2"),
            ("x-ratelimit-reset-requests", "1m30s"),
            limit
        ])
    );
    assert_eq!(
        told(rate(), &Anthropic).1,
        pairs(&[
            ("anthropic-ratelimit-requests-limit", "10000"),
            ("anthropic-ratelimit-requests-remaining", "2"),
            ("anthropic-ratelimit-requests-reset", "2026-11-21T12:01:30Z"),
            limit
        ])
    );
    let input = told(over(Counted::InputTokens, Some("30s"), 7, 7, Some(30 * SECOND)), &Anthropic);
    assert_eq!(input.1[0], ("anthropic-ratelimit-input-tokens-limit".to_owned(), "7".to_owned()));
    assert!(input.0.message.contains("7 of 7 input tokens in 30 seconds (30s)"), "{}", input.0.message);
}

#[test]
fn requests_at_once_are_to_be_tried_again_soon() {
    let (fault, headers) = told(over(Counted::Concurrent, None, 0, 8, None), &OpenAiChat);
    assert_eq!(fault.message, "The limit of key prod is reached: 8 requests at once.");
    assert_eq!((fault.kind, fault.retry_after), (FaultKind::RateLimited, Some(1)));
    assert_eq!(headers, pairs(&[("x-attache-limit", "key prod;concurrent;")]));
}

#[test]
fn of_several_providers_all_are_named_and_the_first_that_is_back_counts() {
    let late = over(Counted::Money, Some("1d"), 5, 5, Some(DAY));
    let soon = over(Counted::Requests, Some("1m"), 5, 5, Some(10 * SECOND));
    let (fault, _) = limited(&Refusal::Over(vec![late, soon]), &OpenAiChat, NOW);
    assert_eq!((fault.kind, fault.retry_after), (FaultKind::RateLimited, Some(10)));
    assert!(fault.message.contains("dollars a day (1d)") && fault.message.contains("requests a minute (1m)"));
}

#[test]
fn a_request_without_bounds_is_told_what_to_say() {
    for (missing, param) in [
        (Missing::MaxTokens, "max_tokens"),
        (Missing::Text("messages"), "messages"),
        (Missing::Text("context_management"), "context_management"),
        (Missing::ServiceTier, "service_tier"),
    ] {
        let (fault, headers) = limited(&Refusal::Unbounded(missing), &OpenAiChat, NOW);
        assert_eq!((fault.status, fault.param.as_deref(), headers.len()), (400, Some(param), 0));
        assert!(missing == Missing::ServiceTier || fault.message.contains(&format!("`{param}`")), "{fault:?}");
    }
}

#[test]
fn dollars_have_as_many_decimals_as_it_takes() {
    let all = [0, 1, 123_000, SECOND, 600 * SECOND, 1_500_000_000].map(dollars);
    assert_eq!(all, ["0", "0.000000001", "0.000123", "1", "600", "1.5"]);
}

#[test]
fn a_span_is_rounded_up_to_what_people_say() {
    let all = [0, 1, 119, 120, 121, 7_200, 100_000, 172_800, 259_199].map(span);
    let expected =
        ["0 seconds", "1 second", "119 seconds", "2 minutes", "3 minutes", "2 hours", "28 hours", "2 days", "3 days"];
    assert_eq!(all, expected);
}

#[test]
fn what_is_larger_than_the_whole_limit_is_not_to_be_repeated() {
    let large = |counted, window: &str, used| Over { need: 2165, ..over(counted, Some(window), used, 100, Some(DAY)) };
    let (fault, headers) = told(large(Counted::TotalTokens, "1m", 0), &OpenAiChat);
    assert_eq!(
        fault.message,
        "The request may take 2165 tokens, and the limit of key prod is 100 tokens a minute (1m). It needs a smaller \
         `max_tokens`."
    );
    assert_eq!((fault.kind, fault.status, fault.retry_after), (FaultKind::InvalidRequest, 400, None));
    assert_eq!((fault.code.as_deref(), fault.param.as_deref()), (Some("request_exceeds_limit"), Some("max_tokens")));
    assert_eq!(headers, pairs(&[("x-attache-limit", "key prod;total_tokens;1m")]));
    assert_eq!(Anthropic.status(&fault), 400);
    let (fault, _) = told(large(Counted::InputTokens, "1d", 100), &OpenAiChat);
    assert_eq!((fault.status, fault.param.as_deref()), (400, Some("messages")), "also when it is used up");
    let (fault, _) = told(large(Counted::Money, "1M", 7), &Anthropic);
    assert!(fault.message.contains("0.000002165 dollars") && fault.status == 400, "{}", fault.message);
}

#[test]
fn what_may_fit_some_day_is_a_rate_limit() {
    let whole = || Over { need: 100, ..over(Counted::TotalTokens, Some("1m"), 1, 100, Some(DAY)) };
    let large = || Over { need: 101, ..whole() };
    let status = |over: Vec<Over>| limited(&Refusal::Over(over), &OpenAiChat, NOW).0.status;
    assert_eq!(status(vec![whole()]), 429);
    assert_eq!(status(vec![large(), whole()]), 429, "at another provider it does fit");
    assert_eq!(status(vec![large(), large()]), 400);
    let mut raised = large();
    raised.account.limit.most = 1000;
    assert_eq!(status(vec![raised]), 429, "one of the two is old");
    assert_eq!(status(vec![over(Counted::Requests, Some("1m"), 0, 0, Some(DAY))]), 429, "no request is too large");
}
