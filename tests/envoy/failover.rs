//! Failover over TLS and HTTP/2: whatever the first provider does, every client gets the second one's whole answer, and
//! both providers received exactly what they should have.

use tests::client::Call;
use tests::mock::vendor::Vendor;
use tests::mock::{Fault, HostSpec};

use crate::world::{ANTHROPIC_LANE, CASES, Case, Lane, NO_RESTS, OPENAI_LANE, World};

/// Every way a key travels: bearer, Anthropic's header, and two custom ones, one a format.
const LANES: [Lane; 4] = [
    OPENAI_LANE,
    ANTHROPIC_LANE,
    Lane {
        provider: "azure",
        host: "azure.example.test",
        path: "/openai/v1/chat/completions",
        credential: ("api-key", "sk-azure"),
        vendor: Vendor::OpenAi,
    },
    Lane {
        provider: "goog",
        host: "goog.example.test",
        path: "/v1/messages",
        credential: ("x-goog-api-key", "sk-goog"),
        vendor: Vendor::Anthropic,
    },
];

const PROVIDERS: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
  azure:
    base_url: https://azure.example.test/openai/v1
    format: openai_chat
    auth_header: {name: api-key}
    keys: [{name: k1, secret: "{{sk-azure}}", models: ["*"]}]
  goog:
    base_url: https://goog.example.test/v1
    format: anthropic
    auth_header: {name: x-goog-api-key}
    keys: [{name: k1, secret: "{{sk-goog}}", models: ["*"]}]
"#;

/// What the first provider does.
#[derive(Debug, Clone)]
enum Trouble {
    Fault(Fault),
    Refused,
}

fn quick_troubles() -> Vec<Trouble> {
    let faults = [Fault::status(503), Fault::status(429), Fault::status(529), Fault::RstBeforeHeaders, Fault::Abort];
    faults.into_iter().map(Trouble::Fault).chain([Trouble::Refused]).collect()
}

impl Trouble {
    fn begin(&self, world: &World, first: Lane) {
        let host = world.mock.host(first.host);
        match self {
            Self::Fault(fault) => host.fault(fault.clone().always()),
            Self::Refused => host.refuse(),
        }
    }
}

/// A model for each ordered pair, `FIRST-SECOND`, served by the first, then the second.
async fn world(more: &str) -> World {
    let mut yaml = format!("{PROVIDERS}{NO_RESTS}{more}models:\n");
    for (first, second) in pairs() {
        let candidate = |lane: Lane, priority| {
            format!("{{provider: {}, model: {}, priority: {priority}}}", lane.provider, model_of(lane))
        };
        let (a, b) = (candidate(first, 0), candidate(second, 1));
        yaml.push_str(&format!("  {}: {{candidates: [{a}, {b}]}}\n", pair_name(first, second)));
    }
    let hosts = LANES.map(|lane| HostSpec::tls(lane.host));
    World::with(&hosts, &yaml, |_| {}).await
}

fn pairs() -> impl Iterator<Item = (Lane, Lane)> {
    LANES.into_iter().flat_map(|a| LANES.into_iter().map(move |b| (a, b))).filter(|(a, b)| a.host != b.host)
}

fn pair_name(first: Lane, second: Lane) -> String {
    format!("{}-{}", first.provider, second.provider)
}

fn model_of(lane: Lane) -> String {
    format!("m-{}", lane.provider)
}

/// What a client may not get through to a provider.
fn hostile(call: Call) -> Call {
    call.header("authorization", "Bearer sk-client")
        .header("api-key", "sk-client")
        .header("x-goog-api-key", "sk-client")
        .header("x-amz-security-token", "sk-client")
        .header("cookie", "session=sk-client")
        .header("x-forwarded-for", "10.0.0.1")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("x-envoy-max-retries", "0")
        .header("x-attache-provider", "none")
}

/// Sends `each` requests of every case, all at once, and checks every answer and every request at both providers.
async fn all_served_by_the_second(world: &World, first: Lane, second: Lane, each: usize, about: &str) {
    let mut expected: Vec<(Case, String)> = Vec::new();
    for case in CASES {
        expected.extend((0..each).map(|i| (case, format!("{about} {case:?} #{i}."))));
    }
    let name = pair_name(first, second);
    let calls = expected.iter().map(|(case, mark)| hostile(case.call(&name, mark))).collect();
    let answers = world.client.all(calls).await.unwrap_or_else(|e| panic!("{about}: {e:#}"));
    for ((case, mark), answer) in expected.iter().zip(&answers) {
        second.check_answer(*case, answer, &model_of(second), mark);
        assert_eq!(answer.header("x-attache-attempts"), "2", "{mark}");
        let at_second = world.received(second.host, mark);
        assert_eq!(at_second.len(), 1, "{mark}: one request, one try at the second provider");
        second.check(&at_second[0], &model_of(second));
        for record in world.received(first.host, mark) {
            first.check(&record, &model_of(first));
        }
    }
}

async fn no_breaker_was_in_the_way(world: &World) {
    assert_eq!(world.stack.stat("upstream_rq_retry_overflow").await.unwrap(), 0);
    assert_eq!(world.stack.stat("upstream_rq_pending_overflow").await.unwrap(), 0);
    assert_eq!(world.stack.stat("retry_or_shadow_abandoned").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_after_another_is_served_for_every_pair_of_auth_schemes() {
    let world = world("").await;
    for trouble in quick_troubles() {
        for (first, second) in pairs() {
            trouble.begin(&world, first);
            let about = format!("{trouble:?} {}", pair_name(first, second));
            all_served_by_the_second(&world, first, second, 1, &about).await;
            world.mock.reset().unwrap();
        }
    }
    no_breaker_was_in_the_way(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_at_once_are_served() {
    let world = world("").await;
    for trouble in quick_troubles() {
        for (first, second) in [(OPENAI_LANE, ANTHROPIC_LANE), (ANTHROPIC_LANE, OPENAI_LANE)] {
            trouble.begin(&world, first);
            all_served_by_the_second(&world, first, second, 16, &format!("64 {trouble:?} {}", first.host)).await;
            world.mock.reset().unwrap();
        }
    }
    no_breaker_was_in_the_way(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_provider_is_left_behind_in_time() {
    let world = world("timeouts: {first_content: 2s, complete: 2s}\n").await;
    for (first, second) in [(OPENAI_LANE, ANTHROPIC_LANE), (ANTHROPIC_LANE, OPENAI_LANE), (LANES[2], LANES[3])] {
        for each in [1, 16] {
            Trouble::Fault(Fault::Hang).begin(&world, first);
            all_served_by_the_second(&world, first, second, each, &format!("hang {each} {}", first.host)).await;
            world.mock.reset().unwrap();
        }
    }
    no_breaker_was_in_the_way(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_provider_that_is_down_for_long_costs_nobody_an_answer() {
    let world = world("").await;
    let (first, second) = (OPENAI_LANE, ANTHROPIC_LANE);
    // It had been well: connections are pooled.
    let warm = CASES.map(|case| case.call(&pair_name(first, second), "warm"));
    for (case, answer) in CASES.into_iter().zip(world.client.all(warm.to_vec()).await.unwrap()) {
        first.check_answer(case, &answer, &model_of(first), "warm");
    }
    Trouble::Refused.begin(&world, first);
    for round in 0..4 {
        all_served_by_the_second(&world, first, second, 16, &format!("outage, round {round}")).await;
    }
    world.mock.reset().unwrap();
    let answer = world.send(&CASES[0].call(&pair_name(first, second), "back")).await;
    first.check_answer(CASES[0], &answer, &model_of(first), "back");
    no_breaker_was_in_the_way(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused_and_the_next_provider_serves() {
    let world = world("").await;
    for (first, second) in [(OPENAI_LANE, ANTHROPIC_LANE), (ANTHROPIC_LANE, OPENAI_LANE)] {
        world.mock.host(first.host).wrong_name(true).unwrap();
        all_served_by_the_second(&world, first, second, 1, &format!("wrong name {}", first.host)).await;
        assert!(world.mock.journal().records(Some(first.host)).is_empty(), "nothing may be sent to a stranger");
        world.mock.reset().unwrap();
    }
    assert!(world.stack.stat("ssl.fail_verify_san").await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_providers_fail_the_client_learns_it_in_its_own_dialect() {
    let world = world("").await;
    for (first, second) in [(OPENAI_LANE, ANTHROPIC_LANE), (ANTHROPIC_LANE, OPENAI_LANE)] {
        for trouble in [Trouble::Fault(Fault::status(503)), Trouble::Refused] {
            trouble.begin(&world, first);
            trouble.begin(&world, second);
            for case in CASES {
                let answer = world.send(&case.call(&pair_name(first, second), "nobody")).await;
                // Within a format the last provider's own word stands.
                let own = matches!(trouble, Trouble::Fault(_)) && second.vendor == Vendor::Anthropic;
                let expected = if own { 503 } else { case.dialect.overloaded() };
                assert_eq!(answer.status, expected, "{case:?} {trouble:?} {}", second.host);
                tests::said::Said::error(case.dialect, &answer)
                    .unwrap_or_else(|e| panic!("{case:?} {trouble:?}: {e:#}"));
                assert!(answer.headers.get("x-envoy-ratelimited").is_none());
            }
            world.mock.reset().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_are_bounded_and_repeated_as_configured() {
    let yaml = format!(
        "{PROVIDERS}retry: {{per_candidate: 2, max: 3, rest: {{failures: 0}}}}\nmodels:\n  m: {{candidates: [{{provider: openai}}, \
         {{provider: anthropic, priority: 1}}, {{provider: azure, priority: 2}}]}}\n"
    );
    let world = World::with(&LANES.map(|lane| HostSpec::tls(lane.host)), &yaml, |_| {}).await;
    let (first, second) = (OPENAI_LANE, ANTHROPIC_LANE);
    for case in CASES {
        // It stumbles once: its own second try serves.
        world.mock.host(first.host).fault(Fault::status(503).next(1));
        let answer = world.send(&case.call("m", "once")).await;
        first.check_answer(case, &answer, "m", "once");
        assert_eq!(answer.header("x-attache-attempts"), "2");
        // All are down: two tries, then one at the second, and no more.
        for lane in LANES {
            world.mock.host(lane.host).fault(Fault::status(503).always());
        }
        let answer = world.send(&case.call("m", "never")).await;
        assert_eq!((answer.status, answer.header("x-attache-attempts")), (503, "3"), "{case:?}");
        let asked = LANES.map(|lane| world.received(lane.host, "never").len());
        assert_eq!(asked, [2, 1, 0, 0], "{case:?} {}", second.host);
        world.mock.reset().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_whose_name_leads_nowhere_is_passed_over() {
    let yaml = format!(
        "{PROVIDERS}  lost: {{base_url: \"https://nowhere.invalid/v1\", format: openai_chat, auth_header: {{name: api-key}}, \
         keys: [{{name: k1, secret: \"{{{{sk-lost}}}}\", models: [\"*\"]}}]}}\n\
         models:\n  m: {{candidates: [{{provider: lost}}, {{provider: openai, priority: 1}}]}}\n"
    );
    let world = World::with(&LANES.map(|lane| HostSpec::tls(lane.host)), &yaml, |_| {}).await;
    for case in CASES {
        let answer = world.send(&case.call("m", "lost")).await;
        OPENAI_LANE.check_answer(case, &answer, "m", "lost");
        OPENAI_LANE.check(&world.received(OPENAI_LANE.host, "lost")[0], "m");
        world.mock.journal().clear();
    }
}
