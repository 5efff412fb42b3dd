//! Requests that cost more than they weigh, each beside a victim: 100 % served, and as fast as in quiet.

use tests::client::Call;

use crate::arena::{Arena, Ends};
use crate::bodies::{ANTHROPIC, Kind, OPENAI};

const MIB: usize = 1 << 20;

fn call(kind: &Kind, model: &str, size: usize) -> Call {
    kind.dialect.raw(kind.body(model, size)).key("vk-attacker")
}

fn may(kind: &Kind) -> Ends {
    if kind.names.is_empty() { Ends::Served } else { Ends::ServedOr(kind.names) }
}

/// A table in one direction: all its bombs, one after another, two at a time.
async fn play(arena: &Arena, kinds: &[Kind], model: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for kind in kinds {
        let name = format!("{:?} {} for {model}", kind.dialect, kind.name);
        let (call, may) = (call(kind, model, MIB), may(kind));
        let ends = arena.play(&name, true, || arena.send(&call, 4, &may)).await;
        wrong.extend(ends);
    }
    wrong
}

fn told(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} attacks did harm:\n{}", wrong.len(), wrong.join("\n"));
}

/// All bombs of one dialect, for a provider of another format and for one of its own.
async fn harmless(kinds: &[Kind], models: [&str; 2]) {
    let arena = Arena::start("").await;
    let mut wrong = Vec::new();
    for model in models {
        wrong.extend(play(&arena, kinds, model).await);
    }
    told(&wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_of_a_client_of_openai_harms_another_tenant() {
    harmless(OPENAI, ["claude", "chat"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_of_a_client_of_anthropic_harms_another_tenant() {
    harmless(ANTHROPIC, ["chat", "claude"]).await;
}

/// The largest body there is. It may hold a worker for a while, so the percentile is not judged; nobody may fail.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_body_of_a_kind_costs_nobody_an_answer() {
    let arena = Arena::start("").await;
    let mut wrong = Vec::new();
    let of = |kinds: &'static [Kind], name: &str| kinds.iter().find(|kind| kind.name == name).unwrap();
    let rows = [
        (of(OPENAI, "functions"), "claude", 31 * MIB),
        (of(OPENAI, "tools"), "claude", 31 * MIB),
        (of(OPENAI, "unknown members"), "claude", 31 * MIB),
        (of(OPENAI, "empty text parts"), "claude", 31 * MIB),
        (of(OPENAI, "unicode escapes"), "claude", 31 * MIB),
        (of(OPENAI, "many system messages"), "claude", 4 * MIB),
        (of(OPENAI, "fallbacks that all differ"), "chat", 3 * MIB),
        (of(OPENAI, "a wide response format"), "claude", 31 * MIB),
        (of(ANTHROPIC, "unknown members"), "chat", 31 * MIB),
        (of(ANTHROPIC, "citations"), "chat", 31 * MIB),
        (of(ANTHROPIC, "results of tools"), "chat", 31 * MIB),
    ];
    for (kind, model, size) in rows {
        let name = format!("{:?} {} for {model}, {} MiB", kind.dialect, kind.name, size / MIB);
        let call = call(kind, model, size - 4096);
        let may = if kind.names.is_empty() { Ends::Status(&[200, 413]) } else { may(kind) };
        wrong.extend(arena.play(&name, false, || arena.send(&call, 1, &may)).await);
    }
    told(&wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_headers_cost_the_other_tenants_nothing() {
    let arena = Arena::start("").await;
    let mut wrong = Vec::new();
    for dialect in tests::client::DIALECTS {
        let chat = || dialect.chat("chat", "hi", false).key("vk-attacker");
        let many = (0..60).fold(chat(), |call, n| call.header(&format!("x-{n}"), &"v".repeat(900)));
        let long =
            chat().header("anthropic-beta", &"a,".repeat(20_000)).header("openai-organization", &"o".repeat(9_000));
        let agents = chat().header("user-agent", &"a".repeat(40_000)).header("cookie", &"c=d;".repeat(3_000));
        for (name, call) in [("many", many), ("long", long), ("agents", agents)] {
            let name = format!("{dialect:?} {name} headers");
            // Envoy's own bounds answer 431 before the module; its parser has no dialect, but the module gives it one.
            let may = Ends::Status(&[200, 400, 431]);
            wrong.extend(arena.play(&name, true, || arena.send(&call, 40, &may)).await);
        }
    }
    told(&wrong);
}
