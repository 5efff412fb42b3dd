//! Same format on both sides: the provider gets the client's bytes but for the named edits, the client the provider's.

use serde_json::json;
use tests::client::{Client, Dialect};
use tests::said::Said;

use crate::world::{ANTHROPIC, ANTHROPIC_LANE, CASES, OPENAI, OPENAI_LANE, TWO_VENDORS, World};

const MODELS: &str = r#"
models:
  gpt-4o-mini: {candidates: [{provider: openai}]}
  claude-3-5-haiku: {candidates: [{provider: anthropic}]}
  alias: {candidates: [{provider: openai, model: gpt-4o-mini}]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_with_odd_spelling_and_unknown_members_arrives_byte_by_byte() {
    let world = World::start(&format!("{TWO_VENDORS}{MODELS}")).await;
    let odd = "{ \"x_vendor\" : {\"b\":1.10, \"a\":[1e3,\t-0.0]},\r\n \"messages\":[{\"content\":\"na\\u00efve \\\"x\\\" ✓\",\
               \"role\":\"user\"}],\"temperature\":0.70,  \"model\":\"MODEL\", \"seed\": 12345678901234567890 }\n";
    let anthropic = odd.replace("\"seed\": 12345678901234567890", "\"max_tokens\" : 5");
    let sent = [
        (Dialect::OpenAi, OPENAI, odd, "gpt-4o-mini"),
        (Dialect::Anthropic, ANTHROPIC, anthropic.as_str(), "claude-3-5-haiku"),
    ];
    for (dialect, host, body, model) in sent {
        let body = body.replace("MODEL", model);
        let answer = world.send(&dialect.raw(body.clone().into_bytes())).await;
        Said::read(dialect, false, &answer).unwrap();
        let received = world.mock.journal().records(Some(host)).remove(0);
        assert_eq!(String::from_utf8_lossy(&received.body), body);
    }
    // An alias changes the name and not a byte more.
    world.send(&Dialect::OpenAi.raw(odd.replace("MODEL", "alias").into_bytes())).await;
    let received = world.mock.journal().records(Some(OPENAI)).remove(1);
    assert_eq!(String::from_utf8_lossy(&received.body), odd.replace("MODEL", "gpt-4o-mini"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requests_own_fallbacks_are_honoured_and_stripped() {
    let world = World::start(TWO_VENDORS).await;
    for case in CASES {
        let mut body = case.call("openai/gpt-4o", "plan b").json();
        body["fallbacks"] = json!(["anthropic/claude-3-5-haiku"]);
        let call = case.dialect.call(&body);
        let answer = world.send(&call).await;
        OPENAI_LANE.check_answer(case, &answer, "gpt-4o", "plan b");
        world.mock.host(OPENAI).refuse();
        let answer = world.send(&call).await;
        ANTHROPIC_LANE.check_answer(case, &answer, "claude-3-5-haiku", "plan b");
        for (lane, model) in [(OPENAI_LANE, "gpt-4o"), (ANTHROPIC_LANE, "claude-3-5-haiku")] {
            let records = world.received(lane.host, "plan b");
            assert_eq!(records.len(), 1);
            // Unknown to both vendors: it would be refused.
            lane.check(&records[0], model);
            assert!(records[0].json().get("fallbacks").is_none());
        }
        world.mock.reset().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_shown_in_an_openai_stream_to_those_who_asked_only() {
    let world = World::start(TWO_VENDORS).await;
    for (lane, model) in [(OPENAI_LANE, "gpt-4o-mini"), (ANTHROPIC_LANE, "claude-3-5-haiku")] {
        for asked in [false, true] {
            let mut body = CASES[1].call(&format!("{}/{model}", lane.provider), "count").json();
            if asked {
                body["stream_options"] = json!({"include_usage": true});
            }
            let answer = world.send(&Dialect::OpenAi.call(&body)).await;
            let said = Said::read(Dialect::OpenAi, true, &answer).unwrap();
            assert_eq!(said.usage.is_some(), asked, "{}: {}", lane.provider, answer.text());
            assert_eq!(answer.text().contains("_tokens\""), asked, "{}: {}", lane.provider, answer.text());
        }
    }
    // The books have it in any case.
    assert_eq!(world.ledger().wait_for(4).await.unwrap(), 4);
    for settled in world.ledger().all().unwrap() {
        let (input, output) = settled.tries[0].tokens;
        assert!(input == 15 && output > 50, "{settled:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_errors_status_and_words_come_through_in_the_clients_dialect() {
    let world = World::start(TWO_VENDORS).await;
    for (lane, model) in [(OPENAI_LANE, "gpt-4o-mini"), (ANTHROPIC_LANE, "claude-3-5-haiku")] {
        for case in CASES {
            let fault = tests::mock::Fault::Status { status: 400, body: None, retry_after: None };
            world.mock.host(lane.host).fault(fault.next(1));
            let answer = world.send(&case.call(&format!("{}/{model}", lane.provider), "bad")).await;
            assert_eq!(answer.status, 400, "{case:?}");
            let (kind, message) = Said::error(case.dialect, &answer).unwrap_or_else(|e| panic!("{case:?}: {e:#}"));
            assert_eq!((kind.as_str(), message.as_str()), ("invalid_request_error", "made-up failure 400"), "{case:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_over_http_2_is_served_the_same() {
    let world = World::start(TWO_VENDORS).await;
    let client = Client::h2c(world.stack.listen());
    for (lane, model) in [(OPENAI_LANE, "gpt-4o-mini"), (ANTHROPIC_LANE, "claude-3-5-haiku")] {
        let marks: Vec<_> = CASES.into_iter().map(|case| (case, format!("over h2 {case:?}"))).collect();
        let calls = marks.iter().map(|(case, mark)| case.call(&format!("{}/{model}", lane.provider), mark)).collect();
        for ((case, mark), answer) in marks.iter().zip(client.all(calls).await.unwrap()) {
            lane.check_answer(*case, &answer, model, mark);
            lane.check(&world.received(lane.host, mark)[0], model);
        }
    }
}
