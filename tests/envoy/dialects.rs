//! What differs between the dialects beside the body: statuses, the request's id, the count of tokens; and what a strict
//! gateway refuses rather than drops.

use serde_json::json;
use tests::client::{Call, DIALECTS, Dialect};
use tests::ledger::Outcome;
use tests::mock::Fault;
use tests::said::Said;

use crate::world::{ANTHROPIC, ANTHROPIC_LANE, CASES, OPENAI, OPENAI_LANE, TWO_VENDORS, World};

const BOTH: &str = r#"
models:
  both: {candidates: [{provider: openai, model: gpt-4o}, {provider: anthropic, model: claude-3-5-haiku, priority: 1}]}
"#;

fn answers(status: u16, body: &str) -> Fault {
    Fault::Status { status, body: Some(body.to_owned()), retry_after: None }
}

const EXHAUSTED: &str =
    r#"{"error": {"message": "pay", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_client_is_told_the_status_its_own_vendor_would_give() {
    let world = World::start(&format!("{TWO_VENDORS}timeouts: {{connect: 20s}}\n")).await;
    let openai = ("openai/gpt-4o", OPENAI);
    let anthropic = ("anthropic/claude-3-5-haiku", ANTHROPIC);
    let cases = [
        (Dialect::Anthropic, openai, Fault::status(503), 529, "overloaded_error"),
        (Dialect::Anthropic, openai, answers(429, EXHAUSTED), 402, "billing_error"),
        (Dialect::Anthropic, openai, Fault::rate_limited(1), 429, "rate_limit_error"),
        (Dialect::Anthropic, anthropic, Fault::status(529), 529, "overloaded_error"),
        (Dialect::OpenAi, anthropic, Fault::status(529), 503, "service_unavailable_error"),
        (Dialect::OpenAi, anthropic, Fault::status(500), 500, "server_error"),
        (Dialect::OpenAi, openai, answers(429, EXHAUSTED), 429, "insufficient_quota"),
    ];
    let mut judged = Vec::new();
    for (n, (dialect, (model, host), fault, told, kind)) in cases.iter().enumerate() {
        for stream in [false, true] {
            world.mock.host(host).fault(fault.clone().always());
            let answer = world.send(&dialect.chat(model, &format!("case {n} {stream}."), stream)).await;
            assert_eq!(answer.status, *told, "{dialect:?} {model} {fault:?}: {}", answer.text());
            let (said, _) = Said::error(*dialect, &answer).unwrap();
            assert_eq!(said, *kind, "{dialect:?} {model} {fault:?}");
            let Fault::Status { status, .. } = fault else { panic!("{fault:?}") };
            judged.push((*told, *status));
            world.mock.reset().unwrap();
            // A key that was rate limited rests for its second.
            if matches!(fault, Fault::Status { retry_after: Some(_), .. }) {
                tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
            }
        }
    }
    let ledger = world.ledger();
    assert_eq!(ledger.wait_for(judged.len() as u64).await.unwrap(), judged.len() as u64);
    let mut settled: Vec<_> = ledger.all().unwrap().iter().map(|s| (s.status, s.tries[0].status)).collect();
    // Two workers settle in an order of their own.
    settled.sort_unstable();
    judged.sort_unstable();
    assert_eq!(settled, judged, "the client's status, and the provider's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_of_another_dialect_is_still_retried() {
    let world = World::start(&format!("{TWO_VENDORS}{BOTH}")).await;
    for (status, body) in [(529, None), (402, None), (429, Some(EXHAUSTED))] {
        for case in CASES {
            let fault = Fault::Status { status, body: body.map(str::to_owned), retry_after: None };
            world.mock.host(OPENAI).fault(fault.next(1));
            let mark = format!("{status} {case:?}");
            ANTHROPIC_LANE.check_answer(case, &world.send(&case.call("both", &mark)).await, "claude-3-5-haiku", &mark);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_an_id_where_the_clients_sdk_looks_for_it() {
    let world =
        World::start(&format!("{TWO_VENDORS}auth: optional\nvirtual_keys: [{{name: a, secret: \"{{{{vk}}}}\"}}]\n"))
            .await;
    for dialect in DIALECTS {
        let header = if dialect == Dialect::OpenAi { "x-request-id" } else { "request-id" };
        for model in ["openai/gpt-4o", "anthropic/claude-3-5-haiku"] {
            for stream in [false, true] {
                let answer = world.send(&dialect.chat(model, "who", stream)).await;
                assert!(answer.header(header).starts_with("req_"), "the provider's own: {model} {:?}", answer.headers);
            }
        }
        let mut nowhere = dialect.chat("openai/gpt-4o", "who", false);
        nowhere.path = "/v1/nothing".to_owned();
        let stranger = dialect.chat("openai/gpt-4o", "who", false).key("vk-nobody");
        world.mock.host(OPENAI).refuse();
        let unreachable = dialect.chat("openai/gpt-4o", "who", false);
        for (call, status) in [(nowhere, 404), (stranger, 401), (unreachable, dialect.overloaded())] {
            let answer = world.send(&call).await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.header(header).len(), 36, "Envoy's: {:?}", answer.headers);
        }
        world.mock.reset().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_gateway_asks_only_who_takes_all_of_a_request() {
    let world = World::start(&format!("{TWO_VENDORS}{BOTH}strict: true\n")).await;
    let lossy = |model: &str| {
        let mut body = Dialect::OpenAi.chat(model, "bias", false).json();
        body["logit_bias"] = json!({"50256": -100});
        body["seed"] = json!(1);
        Dialect::OpenAi.call(&body)
    };
    OPENAI_LANE.check_answer(CASES[0], &world.send(&lossy("both")).await, "gpt-4o", "bias");
    world.mock.host(OPENAI).fault(Fault::status(503).always());
    let answer = world.send(&lossy("both")).await;
    assert_eq!((answer.status, answer.header("x-attache-attempts")), (503, "1"), "the other would have lost something");
    // What loses nothing has both.
    let answer = world.send(&CASES[0].call("both", "plain")).await;
    ANTHROPIC_LANE.check_answer(CASES[0], &answer, "claude-3-5-haiku", "plain");

    let answer = world.send(&lossy("anthropic/claude-3-5-haiku")).await;
    assert_eq!(answer.status, 400);
    let error = answer.json()["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`logit_bias`") && message.contains("`seed`"), "{error}");
    assert!(error["param"] == "logit_bias" || error["param"] == "seed", "{error}");
    assert!(world.received(ANTHROPIC, "bias").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relaxed_gateway_names_what_it_dropped() {
    let world = World::start(TWO_VENDORS).await;
    let mut body = Dialect::OpenAi.chat("anthropic/claude-3-5-haiku", "bias", false).json();
    body["logit_bias"] = json!({"50256": -100});
    let answer = world.send(&Dialect::OpenAi.call(&body)).await;
    assert_eq!((answer.status, answer.header("x-attache-dropped")), (200, "logit_bias"));
}

fn count(model: &str) -> Call {
    let body = format!(r#"{{"model": "{model}", "messages":  [{{"role": "user", "content": "count this"}}]}}"#);
    let mut call = Dialect::Anthropic.raw(body.into_bytes());
    call.path = "/v1/messages/count_tokens".to_owned();
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_by_the_provider_that_can_and_not_billed() {
    let world = World::start(&format!("{TWO_VENDORS}{BOTH}")).await;
    world.mock.host(ANTHROPIC).fault(answers(200, r#"{"input_tokens": 4711}"#).always());
    let answer = world.send(&count("both")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"input_tokens": 4711}"#));
    assert_eq!((answer.header("x-attache-provider"), answer.header("x-attache-estimated")), ("anthropic", ""));
    let received = world.mock.journal().records(None);
    assert_eq!(received.len(), 1, "only who can count was asked");
    let sent = String::from_utf8(count("both").body).unwrap().replace("both", "claude-3-5-haiku");
    assert_eq!(
        (received[0].path.as_str(), received[0].body.as_slice()),
        ("/v1/messages/count_tokens", sent.as_bytes())
    );

    let ledger = world.ledger();
    assert_eq!(ledger.wait_for(1).await.unwrap(), 1);
    let settled = ledger.all().unwrap().remove(0);
    assert_eq!((settled.operation.as_str(), settled.status), ("count_tokens", 200));
    let tried = &settled.tries[0];
    assert_eq!((tried.outcome, tried.tokens, tried.estimated), (Outcome::Ok, (0, 0), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_counts_the_answer_is_an_estimate_and_says_so() {
    let world = World::start(&format!("{TWO_VENDORS}{BOTH}")).await;
    let call = count("openai/gpt-4o");
    let answer = world.send(&call).await;
    assert_eq!((answer.status, answer.header("x-attache-estimated")), (200, "true"));
    assert_eq!(answer.json(), json!({"input_tokens": call.body.len().div_ceil(4)}));
    assert!(world.mock.journal().records(None).is_empty());
    let unknown = world.send(&count("nobody-serves-this")).await;
    assert_eq!(unknown.status, 404, "an estimate is no way around the configuration");
}
