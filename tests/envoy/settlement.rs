//! The books: every finished request once, whatever happens to the sidecar and whatever the client calls itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tests::client::{Client, Dialect};
use tests::ledger::{Outcome, Tried};
use tests::mock::vendor::{text, tokens};
use tests::mock::{Fault, HostSpec};
use tests::said::Said;

use crate::world::{ANTHROPIC, CASES, OPENAI, TWO_VENDORS, World};

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_of_the_sidecar_under_load_lose_and_double_nothing() {
    let yaml = "providers:\n  local: {base_url: \"http://local.example.test/v1\", allow_insecure: true, format: openai_chat, \
                auth_header: {name: api-key}, keys: [{name: k, secret: \"{{sk}}\", models: [\"*\"]}]}\n";
    let world = World::with(&[HostSpec::plain("local.example.test")], yaml, |_| {}).await;
    world.mock.journal().counts_only(true);
    let (stop, finished) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = (0..8).map(|_| {
        let (client, stop, finished) = (Client::h1(world.stack.listen()), Arc::clone(&stop), Arc::clone(&finished));
        let call = Dialect::OpenAi.chat("local/m", "count me", false);
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let answer = client.send(&call).await.unwrap();
                Said::read(Dialect::OpenAi, false, &answer).unwrap();
                finished.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    });
    let load: Vec<_> = load.collect();
    for kill in 0..20 {
        // At changing moments of a batch's life.
        tokio::time::sleep(Duration::from_millis(50 + 17 * kill)).await;
        world.stack.kill_sidecar();
        tokio::time::sleep(Duration::from_millis(5 * kill)).await;
        world.stack.start_sidecar().await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    let finished = finished.load(Ordering::Relaxed);
    assert!(finished > 1_000, "{finished} requests are no load");
    assert_eq!(world.mock.journal().count("local.example.test", ""), finished);
    assert_eq!(world.ledger().wait_for(finished).await.unwrap(), finished, "settled, of {finished} finished");
    let total = world.stack.metric("attache_requests_total", &[]).await.unwrap();
    assert_eq!(total, finished as f64, "the metric forgets nothing either");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_with_one_request_id_are_a_hundred() {
    let world = World::start(TWO_VENDORS).await;
    let call = Dialect::OpenAi.chat("openai/gpt-4o-mini", "same", false);
    let call = call.header("x-request-id", "00000000-0000-4000-8000-000000000000");
    for answer in world.client.all(vec![call; 100]).await.unwrap() {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(world.ledger().wait_for(100).await.unwrap(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_lists_every_try_and_what_it_used() {
    let yaml = format!(
        "{TWO_VENDORS}models:\n  both: {{candidates: [{{provider: openai, model: gpt-4o}}, \
         {{provider: anthropic, model: claude-3-5-haiku, priority: 1}}]}}\n\
         virtual_keys: [{{name: team-a, secret: \"{{{{vk-a}}}}\"}}]\n"
    );
    let world = World::start(&yaml).await;
    world.mock.host(OPENAI).fault(Fault::status(503).always());
    for case in CASES {
        let answer = world.send(&case.call("both", "book it").key("vk-a")).await;
        Said::read(case.dialect, case.stream, &answer).unwrap();
    }
    let ledger = world.ledger();
    assert_eq!(ledger.wait_for(4).await.unwrap(), 4);
    let all = ledger.all().unwrap();
    let (input, output) = tokens("book it", &text(ANTHROPIC, "claude-3-5-haiku", "book it"));
    for case in CASES {
        let dialect = if case.dialect == Dialect::OpenAi { "openai_chat" } else { "anthropic" };
        let mine: Vec<_> = all.iter().filter(|s| s.dialect == dialect && s.stream == case.stream).collect();
        assert_eq!(mine.len(), 1, "{case:?}: {all:#?}");
        let settled = mine[0];
        assert_eq!((settled.key.as_str(), settled.asked_model.as_str(), settled.status), ("team-a", "both", 200));
        assert!(!settled.client_gone, "{settled:?}");
        let tried = |provider: &str, status, outcome, tokens| Tried {
            provider: provider.to_owned(),
            status,
            outcome,
            tokens,
            estimated: false,
            disposition: if outcome == Outcome::Ok { String::new() } else { "transient".to_owned() },
        };
        let expected = [
            tried("openai", 503, Outcome::Error, (0, 0)),
            tried("anthropic", 200, Outcome::Ok, (input as u32, output as u32)),
        ];
        assert_eq!(settled.tries, expected, "{case:?}");
    }
    let failovers = world.stack.metric("attache_failovers_total", &["\"openai\"", "\"anthropic\""]).await.unwrap();
    assert_eq!(failovers, 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_early_is_settled_too() {
    let world = World::start(TWO_VENDORS).await;
    world.mock.host(OPENAI).fault(Fault::Drip { ms: 50 }.always());
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        let mut live = world.client.open(&dialect.chat("openai/gpt-4o-mini", "bye", true)).await.unwrap();
        for _ in 0..3 {
            live.next().await.unwrap().unwrap();
        }
        drop(live);
    }
    let ledger = world.ledger();
    assert_eq!(ledger.wait_for(2).await.unwrap(), 2);
    for settled in ledger.all().unwrap() {
        assert!(settled.client_gone, "{settled:?}");
        let tried = &settled.tries[0];
        assert_eq!(
            (tried.provider.as_str(), tried.status, tried.outcome),
            ("openai", 200, Outcome::Cut),
            "{settled:?}"
        );
        assert!(tried.estimated && tried.tokens.0 > 0 && tried.tokens.1 > 0, "{settled:?}");
    }
}
