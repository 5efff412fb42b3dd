//! Virtual keys: whose they are, what they may ask, which candidates of their own they have; and what never leaves.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::client::{Call, DIALECTS, Dialect};
use tests::said::Said;

use crate::world::{ANTHROPIC, ANTHROPIC_LANE, CASES, OPENAI, OPENAI_LANE, TWO_VENDORS, World};

const KEYS: &str = r#"
models:
  fast: {candidates: [{provider: openai, model: gpt-4o-mini}]}
virtual_keys:
- {name: prod, secret: "{{vk-prod}}"}
- {name: narrow, secret: "{{vk-narrow}}", models: [fast]}
- {name: off, secret: "{{vk-off}}", disabled: true}
- name: split
  secret: "{{vk-split}}"
  models: ["*"]
  candidates:
  - {provider: openai, models: [gpt-4o-mini], weight: 0.8}
  - {provider: anthropic, models: [claude-3-5-haiku], weight: 0.2}
- name: economy
  secret: "{{vk-economy}}"
  models: [gpt-4o]
  candidates: [{provider: openai, models: [gpt-4o-mini]}]
- name: premium
  secret: "{{vk-premium}}"
  models: [gpt-4o]
  candidates: [{provider: openai, models: [gpt-4o]}]
- name: strict
  secret: "{{vk-strict}}"
  models: ["*"]
  substitute: false
  candidates: [{provider: openai, models: [gpt-4o]}]
"#;

async fn world() -> World {
    World::start(&format!("{TWO_VENDORS}{KEYS}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_its_own_candidates_splits_backs_up_and_says_what_it_substituted() {
    let world = world().await;
    let call = |case: crate::world::Case, mark: &str| case.call("gpt-4o-mini", mark).key("vk-split");
    let mut served: BTreeMap<String, u32> = BTreeMap::new();
    for i in 0..100 {
        for case in CASES {
            let mark = format!("split {case:?} {i}.");
            let answer = world.send(&call(case, &mark)).await;
            let provider = answer.header("x-attache-provider").to_owned();
            let (lane, model) = match provider.as_str() {
                "openai" => (OPENAI_LANE, "gpt-4o-mini"),
                _ => (ANTHROPIC_LANE, "claude-3-5-haiku"),
            };
            lane.check_answer(case, &answer, model, &mark);
            lane.check(&world.received(lane.host, &mark)[0], model);
            let substituted = answer.headers.get("x-attache-substituted").map(|v| v.as_bytes().to_vec());
            let expected = (provider == "anthropic").then(|| "gpt-4o-mini->claude-3-5-haiku".as_bytes().to_vec());
            assert_eq!(substituted, expected);
            *served.entry(provider).or_default() += 1;
        }
    }
    // 400 draws at 0.8: six standard deviations are 48.
    assert!((272..=368).contains(&served["openai"]), "{served:?}");

    for (down, backup, model) in [(OPENAI, ANTHROPIC_LANE, "claude-3-5-haiku"), (ANTHROPIC, OPENAI_LANE, "gpt-4o-mini")]
    {
        world.mock.host(down).refuse();
        for case in CASES {
            backup.check_answer(case, &world.send(&call(case, "backup")).await, model, "backup");
        }
        world.mock.reset().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_gets_the_small_or_the_big_model_by_key() {
    let world = world().await;
    for case in CASES {
        for (key, model) in [("vk-economy", "gpt-4o-mini"), ("vk-premium", "gpt-4o")] {
            let answer = world.send(&case.call("gpt-4o", key).key(key)).await;
            OPENAI_LANE.check_answer(case, &answer, model, key);
            OPENAI_LANE.check(&world.received(OPENAI, key)[0], model);
        }
        world.mock.journal().clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_gets_what_it_may_ask_and_nothing_else() {
    let world = world().await;
    for dialect in DIALECTS {
        let permission = if dialect == Dialect::OpenAi { "" } else { "permission_error" };
        let cases = [
            ("vk-narrow", "fast", 200, ""),
            ("vk-narrow", "openai/gpt-4o-mini", 403, permission),
            ("vk-economy", "gpt-4o-mini", 403, permission),
            ("vk-strict", "gpt-4o", 200, ""),
            ("vk-strict", "gpt-4o-mini", 403, permission),
            ("vk-off", "fast", 403, permission),
            ("vk-prod", "openai/gpt-4o-mini", 200, ""),
            ("vk-prod", "openai/gpt-3", 404, ""),
            ("vk-prod", "nobody/gpt-4o", 404, ""),
            ("vk-nobody", "fast", 401, "authentication_error"),
        ];
        for (key, model, status, kind) in cases {
            let answer = world.send(&dialect.chat(model, "may I", false).key(key)).await;
            assert_eq!(answer.status, status, "{dialect:?} {key} {model}: {}", answer.text());
            if status != 200 {
                let (found, message) = Said::error(dialect, &answer).unwrap();
                assert!(kind.is_empty() || dialect == Dialect::OpenAi || found == kind, "{key} {model}: {found}");
                assert!(!message.contains(key), "the key itself is repeated: {message}");
            }
        }
        let missing = world.send(&dialect.chat("fast", "no key", false)).await;
        assert_eq!(missing.status, 401);
        Said::error(dialect, &missing).unwrap();
    }
    let served: Vec<_> =
        world.mock.journal().records(None).iter().map(|record| record.json()["model"].clone()).collect();
    assert_eq!(served.len(), 6, "refused requests reach no provider: {served:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_header_a_key_may_come_in_works_and_none_reaches_a_provider() {
    let world = world().await;
    for name in ["authorization", "x-api-key", "x-attache-key", "x-bf-vk"] {
        let value = if name == "authorization" { "Bearer vk-prod" } else { "vk-prod" };
        for (model, lane) in [("gpt-4o-mini", OPENAI_LANE), ("claude-3-5-haiku", ANTHROPIC_LANE)] {
            for case in CASES {
                let asked = format!("{}/{model}", lane.provider);
                let answer = world.send(&case.call(&asked, name).header(name, value)).await;
                lane.check_answer(case, &answer, model, name);
            }
            let records = world.received(lane.host, name);
            assert_eq!(records.len(), 4);
            records.iter().for_each(|record| lane.check(record, model));
            world.mock.journal().clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_own_bearer_never_reaches_a_provider() {
    // Nobody needs a key here, so the bearer is nobody's virtual key.
    let open = World::start(TWO_VENDORS).await;
    for case in CASES {
        for (model, lane) in [("gpt-4o-mini", OPENAI_LANE), ("claude-3-5-haiku", ANTHROPIC_LANE)] {
            let call = case.call(&format!("{}/{model}", lane.provider), "own key").key("sk-client-secret");
            lane.check_answer(case, &open.send(&call).await, model, "own key");
            lane.check(&open.received(lane.host, "own key")[0], model);
            open.mock.journal().clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_own_key_is_passed_to_its_own_vendor_only_and_only_if_that_is_configured() {
    let yaml = r#"
client_keys: pass
providers:
  openai: {keys: [{name: own, models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
models:
  both: {candidates: [{provider: openai, model: gpt-4o}, {provider: anthropic, model: claude-3-5-haiku, priority: 1}]}
"#;
    let world = World::start(yaml).await;
    let own = crate::world::Lane { credential: ("authorization", "Bearer sk-client"), ..OPENAI_LANE };
    for case in CASES.into_iter().filter(|case| case.dialect == Dialect::OpenAi) {
        own.check_answer(case, &world.send(&case.call("both", "own").key("sk-client")).await, "gpt-4o", "own");
        own.check(&world.received(OPENAI, "own")[0], "gpt-4o");
        world.mock.host(OPENAI).fault(tests::mock::Fault::status(503).next(1));
        let answer = world.send(&case.call("both", "next").key("sk-client")).await;
        ANTHROPIC_LANE.check_answer(case, &answer, "claude-3-5-haiku", "next");
        ANTHROPIC_LANE.check(&world.received(ANTHROPIC, "next")[0], "claude-3-5-haiku");
        world.mock.journal().clear();
    }
    // A client of the other dialect has no key for this vendor.
    world.send(&CASES[2].call("openai/gpt-4o", "foreign").key("sk-client")).await;
    assert!(world.received(OPENAI, "foreign").iter().all(|record| record.credentials().is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_keys_are_optional_none_is_fine_and_a_wrong_one_is_not() {
    let world = World::start(&format!("auth: optional\n{TWO_VENDORS}{KEYS}")).await;
    for case in CASES {
        let ask = || case.call("openai/gpt-4o", "optional");
        OPENAI_LANE.check_answer(case, &world.send(&ask()).await, "gpt-4o", "optional");
        OPENAI_LANE.check_answer(case, &world.send(&ask().key("vk-prod")).await, "gpt-4o", "optional");
        assert_eq!(world.send(&ask().key("vk-nobody")).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_curl_works_without_any_key() {
    let world = World::start(TWO_VENDORS).await;
    let body = json!({"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]});
    for path in ["/v1/chat/completions", "/openai/v1/chat/completions"] {
        let call = Call { path: path.into(), ..Dialect::OpenAi.call(&body) };
        OPENAI_LANE.check_answer(CASES[0], &world.send(&call).await, "gpt-4o-mini", "hello");
    }
    for path in ["/v1/messages", "/anthropic/v1/messages"] {
        let call = Call { path: path.into(), ..Dialect::Anthropic.chat("anthropic/claude-3-5-haiku", "hello", false) };
        ANTHROPIC_LANE.check_answer(CASES[2], &world.send(&call).await, "claude-3-5-haiku", "hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_lists_what_this_key_may_ask() {
    let world = world().await;
    let ids = |answer: &Value| -> Vec<String> {
        let list = answer["data"].as_array().unwrap_or_else(|| panic!("{answer}"));
        list.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    let openai = |key: &str| Call::get("/v1/models").header("authorization", &format!("Bearer {key}"));
    let anthropic =
        |key: &str| Call::get("/v1/models").header("x-api-key", key).header("anthropic-version", "2023-06-01");
    for (key, expected) in [("vk-narrow", vec!["fast"]), ("vk-economy", vec!["gpt-4o"])] {
        let answer = world.send(&openai(key)).await.json();
        assert_eq!(
            (ids(&answer), &answer["object"]),
            (expected.iter().map(ToString::to_string).collect(), &json!("list"))
        );
        let answer = world.send(&anthropic(key)).await.json();
        assert_eq!(ids(&answer), expected);
        assert_eq!(answer["data"][0]["type"], "model", "{answer}");
    }
    let all = ids(&world.send(&openai("vk-prod")).await.json());
    assert!(
        ["fast", "openai/gpt-4o", "anthropic/claude-sonnet-4"].iter().all(|m| all.contains(&(*m).to_owned())),
        "{all:?}"
    );
    assert_eq!(world.send(&openai("vk-nobody")).await.status, 401);
}
