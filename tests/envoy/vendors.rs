//! A vendor with many keys has an outage: no plan spends all its tries there while another vendor is well.

use tests::client::{Call, Client, DIALECTS};
use tests::mock::Fault;
use tests::said::Said;

use crate::world::{ANTHROPIC, NO_RESTS, OPENAI, World};

const KEYS: &str = r#"
providers:
  openai:
    keys:
    - {name: k1, secret: "{{sk-one}}", models: ["*"]}
    - {name: k2, secret: "{{sk-two}}", models: ["*"]}
    - {name: k3, secret: "{{sk-three}}", models: ["*"]}
    - {name: k4, secret: "{{sk-four}}", models: ["*"]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
models:
  chat:
    candidates:
    - {provider: openai, model: gpt-4o-mini, weight: 0.8}
    - {provider: anthropic, model: claude-3-5-haiku, weight: 0.2}
"#;

/// Requests of each kind of outage.
const REQUESTS: usize = 40;

/// What the first vendor does, and how many of its keys a request asks before the other vendor.
fn outages() -> Vec<(Option<Fault>, usize)> {
    let limited = Fault::Status { status: 429, body: None, retry_after: None };
    vec![
        (Some(Fault::status(503)), 1),
        (Some(Fault::status(500)), 1),
        (Some(Fault::status(404)), 1),
        (Some(Fault::Instead { headers: Vec::new(), body: Vec::new() }), 1),
        (Some(Fault::RstBeforeHeaders), 1),
        (Some(Fault::Hang), 1),
        // Refused connections.
        (None, 1),
        // Limits are a key's: the vendor's others are asked first, and the last try is for the other vendor.
        (Some(limited), 3),
        (Some(Fault::status(401)), 3),
    ]
}

async fn outage(world: &World, fault: Option<&Fault>, keys: usize) {
    let host = world.mock.host(OPENAI);
    match fault {
        Some(fault) => host.fault(fault.clone().always()),
        None => host.refuse(),
    }
    let tasks: Vec<_> = (0..REQUESTS)
        .map(|n| {
            let (dialect, stream) = (DIALECTS[n % 2], n % 4 < 2);
            let call: Call = dialect.chat("chat", "outage", stream);
            let client = Client::h1(world.stack.listen());
            tokio::spawn(async move { (dialect, stream, client.send(&call).await.unwrap()) })
        })
        .collect();
    let mut drawn = 0;
    for task in tasks {
        let (dialect, stream, answer) = task.await.unwrap();
        let trail = answer.header("x-attache-trail");
        assert_eq!(answer.status, 200, "{fault:?}: {trail} {}", answer.text());
        Said::read(dialect, stream, &answer).unwrap();
        assert_eq!(answer.header("x-attache-provider"), "anthropic", "{fault:?}");
        if !trail.is_empty() {
            drawn += 1;
            assert_eq!(trail.matches("openai/").count(), keys, "{fault:?}: {trail}");
        }
    }
    assert!(drawn > REQUESTS / 2, "{fault:?}: the vendor was asked first {drawn} times");
    host.clear();
    host.accept().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_a_vendor_with_four_keys_is_nobodys() {
    let world = World::start(&format!("{KEYS}{NO_RESTS}timeouts: {{first_content: 3s, complete: 3s}}\n")).await;
    for (fault, keys) in outages() {
        outage(&world, fault.as_ref(), keys).await;
    }
    assert!(!world.received(ANTHROPIC, "outage").is_empty());
}

/// With the defaults keys rest after failures, and nobody notices either.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_that_keys_come_to_rest() {
    let world = World::start(KEYS).await;
    world.mock.host(OPENAI).fault(Fault::status(503).always());
    for n in 0..REQUESTS {
        let answer = world.send(&DIALECTS[n % 2].chat("chat", "rest", n % 4 < 2)).await;
        assert_eq!(answer.status, 200, "{n}: {}", answer.header("x-attache-trail"));
    }
}
