//! What a gateway goes through, as scripts: each is played as it should be, and again under every fault of the host.

use std::collections::BTreeMap;

use wasmtime::Result;

use crate::fixture::{CONFIG, Dialect, KEY, Sidecar, chat, healthy, json, leaked, start, with_key};
use crate::gateway::{Answer, Gateway, Message, Outcome};
use crate::host::abi::NOT_FOUND;
use crate::host::guest;
use crate::quota;

/// One script and what comes out of it when nothing fails.
pub struct Story {
    pub name: &'static str,
    pub play: fn(&mut Gateway) -> Result<Vec<Outcome>>,
    expect: fn(&[Outcome]),
    /// No request of it may reach a provider, whatever fails.
    pub denied: bool,
}

pub const STORIES: &[Story] = &[
    Story { name: "a key is seen for the first time, then held", play: held, expect: held_ends, denied: false },
    Story { name: "a stream in the client's own format", play: stream, expect: whole, denied: false },
    Story { name: "an answer in another format", play: foreign, expect: whole, denied: false },
    Story { name: "a stream in another format", play: foreign_stream, expect: whole, denied: false },
    Story { name: "failover to another format", play: failover, expect: failover_ends, denied: false },
    Story { name: "a key is rate limited and rests", play: rest, expect: rest_ends, denied: false },
    Story { name: "nobody answers", play: outage, expect: outage_ends, denied: false },
    Story { name: "everybody answers with an error", play: errors, expect: errors_end, denied: false },
    Story { name: "an error without a body", play: bodiless, expect: bodiless_ends, denied: false },
    Story { name: "a stranger asks, with and without a key", play: stranger, expect: stranger_ends, denied: true },
    Story { name: "the sidecar is away", play: away, expect: away_ends, denied: true },
    Story { name: "the client leaves before it is admitted", play: impatient, expect: impatient_ends, denied: false },
    Story { name: "two wait for the same key", play: crowd, expect: whole, denied: false },
    Story { name: "models are listed", play: models, expect: whole, denied: true },
    Story { name: "settlements are refused, then taken", play: settle, expect: whole, denied: false },
    Story { name: "a stream is cut", play: cut, expect: cut_ends, denied: false },
    Story { name: "a body that is no request", play: malformed, expect: malformed_ends, denied: true },
    Story { name: "a bad configuration comes, then a good one", play: reconfigure, expect: whole, denied: false },
    Story { name: "tokens are counted, and estimated", play: count, expect: count_ends, denied: false },
    Story { name: "a strict gateway drops nothing", play: strict, expect: strict_ends, denied: true },
    Story { name: "the module is replaced", play: crate::pushes::replaced, expect: whole, denied: false },
    Story { name: "a key is within its limits", play: quota::within, expect: whole, denied: false },
    Story { name: "a key is beyond a limit", play: quota::beyond, expect: quota::beyond_ends, denied: true },
    Story { name: "both sides send trailers", play: trailers, expect: whole, denied: false },
];

#[test]
fn every_story_ends_as_told() {
    for story in STORIES {
        println!("{}", story.name);
        let mut gateway = start(guest(), None).unwrap().expect("the configuration is good");
        let outcomes = (story.play)(&mut gateway).unwrap();
        (story.expect)(&outcomes);
        assert!(!story.denied || outcomes.iter().all(|outcome| outcome.tries.is_empty()));
        // Nobody has written to shared data yet; anything else is a call made in vain.
        let world = gateway.vm.world();
        let vain = world.refusals.iter().filter(|refusal| **refusal != ("proxy_get_shared_data", NOT_FOUND));
        assert_eq!(vain.collect::<Vec<_>>(), Vec::<&(&str, u32)>::new());
        assert!(gateway.vm.world().contexts.is_empty(), "all streams have ended");
    }
}

/// Workers share nothing but Envoy's shared data.
#[test]
fn what_one_worker_has_learned_another_knows() {
    let mut one = start(guest(), None).unwrap().expect("the configuration is good");
    rest(&mut one).unwrap();
    let mut other = start(guest(), None).unwrap().expect("the configuration is good");
    other.vm.world().now = one.vm.world().now;
    other.vm.world().shared = one.vm.world().shared.clone();
    other.sidecar = Box::new(|call| panic!("the sidecar was asked: {}", call.method));
    let outcome = other.exchange(&chat(Dialect::OpenAi, "both", false)).unwrap();
    assert_eq!((outcome.status(), lanes(&outcome)), ("200", vec!["openai_k2"]), "k1 rests and the key is known");
}

fn lanes(outcome: &Outcome) -> Vec<&str> {
    outcome.tries.iter().map(|seen| seen.lane.as_str()).collect()
}

fn body(outcome: &Outcome) -> String {
    String::from_utf8(outcome.client.body()).unwrap()
}

/// Every exchange brought the client a whole, good answer, and each try was well formed.
fn whole(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!(outcome.status(), "200", "{}", body(outcome));
        assert!(outcome.whole && !outcome.client.body().is_empty(), "{outcome:?}");
        for seen in &outcome.tries {
            let length = seen.message.body().len().to_string();
            assert_eq!(
                seen.message.header("content-length"),
                length,
                "a wrong length upsets the provider's connection"
            );
            assert!(!leaked(seen, KEY) && seen.message.header(":authority").starts_with("api."), "{seen:?}");
        }
        // The last word of a stream, or of an answer, in either dialect.
        let ends = ["data: [DONE]\n\n", "\"type\":\"message_stop\"}\n\n", "}"];
        assert!(ends.iter().any(|end| body(outcome).ends_with(end)), "{}", body(outcome));
    }
}

fn held(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let request = chat(Dialect::OpenAi, "gpt", false);
    Ok(vec![gateway.exchange(&request)?, gateway.exchange(&request)?])
}

fn held_ends(outcomes: &[Outcome]) {
    whole(outcomes);
    assert_eq!(outcomes.iter().map(lanes).collect::<Vec<_>>(), [["openai_k1"], ["openai_k1"]]);
}

fn stream(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let ask = |dialect, model| chat(dialect, model, true);
    Ok(vec![gateway.exchange(&ask(Dialect::OpenAi, "gpt"))?, gateway.exchange(&ask(Dialect::Anthropic, "claude"))?])
}

fn foreign(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let ask = |dialect, model| chat(dialect, model, false);
    Ok(vec![gateway.exchange(&ask(Dialect::OpenAi, "claude"))?, gateway.exchange(&ask(Dialect::Anthropic, "gpt"))?])
}

fn foreign_stream(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let ask = |dialect, model| chat(dialect, model, true);
    Ok(vec![gateway.exchange(&ask(Dialect::OpenAi, "claude"))?, gateway.exchange(&ask(Dialect::Anthropic, "gpt"))?])
}

fn failover(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    gateway.provider = Box::new(|seen| match seen.lane.as_str() {
        "openai_k1" => Answer::Whole(json("503", r#"{"error": {"message": "overloaded"}}"#)),
        "anthropic_k1" => Answer::Refused,
        _ => healthy(seen),
    });
    Ok(vec![gateway.exchange(&chat(Dialect::OpenAi, "both", false))?])
}

fn failover_ends(outcomes: &[Outcome]) {
    whole(outcomes);
    assert_eq!(lanes(&outcomes[0]), ["openai_k1", "anthropic_k1", "openai_k2"], "another provider comes first");
}

fn rest(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    gateway.provider = Box::new(|seen| match seen.lane.as_str() {
        "openai_k1" => {
            let mut limited = json("429", r#"{"error": {"message": "slow down"}}"#);
            limited.headers.push(("retry-after".to_owned(), b"5".to_vec()));
            Answer::Whole(limited)
        }
        _ => healthy(seen),
    });
    let request = chat(Dialect::OpenAi, "both", false);
    let mut outcomes = vec![gateway.exchange(&request)?, gateway.exchange(&request)?];
    gateway.vm.world().now += 6_000_000_000;
    outcomes.push(gateway.exchange(&request)?);
    Ok(outcomes)
}

fn rest_ends(outcomes: &[Outcome]) {
    whole(outcomes);
    assert_eq!(lanes(&outcomes[0]), ["openai_k1", "openai_k2"]);
    assert_eq!(lanes(&outcomes[1]), ["openai_k2"], "while k1 rests");
    assert_eq!(lanes(&outcomes[2]), ["openai_k1", "openai_k2"], "its rest is over");
}

fn outage(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    gateway.provider = Box::new(|_| Answer::Refused);
    Ok(vec![gateway.exchange(&chat(Dialect::Anthropic, "both", true))?])
}

fn outage_ends(outcomes: &[Outcome]) {
    assert_eq!(outcomes[0].status(), "529", "what Anthropic's clients know as 503");
    assert_eq!(lanes(&outcomes[0]).len(), 3);
    assert!(body(&outcomes[0]).contains(r#""type":"error""#), "in the client's dialect: {}", body(&outcomes[0]));
}

fn errors(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    gateway.provider = Box::new(|_| Answer::Whole(json("500", r#"{"error": {"message": "out of order"}}"#)));
    Ok(vec![
        gateway.exchange(&chat(Dialect::OpenAi, "gpt", false))?,
        gateway.exchange(&chat(Dialect::Anthropic, "gpt", true))?,
    ])
}

fn errors_end(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!(outcome.status(), "500");
        assert_eq!(lanes(outcome).len(), 2);
        assert!(body(outcome).contains("out of order"));
        assert_eq!(outcome.client.header("x-envoy-ratelimited"), "", "Envoy's own affair");
    }
}

fn bodiless(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    gateway.provider = Box::new(|_| Answer::Whole(Message::new(&[(":status", "403"), ("server", "edge")], &[])));
    let ask = |model| chat(Dialect::OpenAi, model, true);
    Ok(vec![gateway.exchange(&ask("gpt"))?, gateway.exchange(&ask("claude"))?])
}

fn bodiless_ends(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!((outcome.status(), lanes(outcome).len(), outcome.whole), ("403", 1, true));
        assert!(body(outcome).contains("\"error\""), "in the client's dialect: {}", body(outcome));
    }
}

fn stranger(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let request = with_key(Dialect::OpenAi, "gpt", false, "sk-nobody-knows");
    let mut bare = chat(Dialect::OpenAi, "gpt", false);
    bare.headers.retain(|(name, _)| name != "authorization");
    Ok(vec![gateway.exchange(&request)?, gateway.exchange(&request)?, gateway.exchange(&bare)?])
}

fn stranger_ends(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!(outcome.status(), "401", "{}", body(outcome));
        assert!(outcome.tries.is_empty());
    }
}

fn away(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    gateway.sidecar = Box::new(|_| Some(Err(14)));
    let plan = gateway.begin(&chat(Dialect::OpenAi, "gpt", false))?;
    // As long as a restart may take.
    gateway.ticks(8, 200_000_000)?;
    Ok(vec![gateway.complete(plan)?])
}

fn away_ends(outcomes: &[Outcome]) {
    assert_eq!(outcomes[0].status(), "503");
    assert!(outcomes[0].tries.is_empty());
}

fn impatient(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    gateway.sidecar = Box::new(|_| None);
    let request = chat(Dialect::OpenAi, "gpt", false);
    let gone = gateway.exchange(&request)?;
    // Its answer comes when nobody waits any more; then the next client asks.
    gateway.sidecar = Box::new(Sidecar::default().script());
    gateway.tick()?;
    gateway.vm.world().now += 1_000_000_000;
    gateway.tick()?;
    Ok(vec![gone, gateway.exchange(&request)?])
}

fn impatient_ends(outcomes: &[Outcome]) {
    assert_eq!(outcomes[0].status(), "", "it left without an answer");
    assert!(outcomes[0].tries.is_empty());
    whole(&outcomes[1..]);
}

/// Two streams wait for one answer; the first of them leaves.
fn crowd(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let request = chat(Dialect::OpenAi, "gpt", false);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(gateway.begin(&request)?);
    }
    gateway.leave(waiting.remove(0))?;
    gateway.tick()?;
    waiting.into_iter().map(|plan| gateway.complete(plan)).collect()
}

fn models(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let mut request = chat(Dialect::OpenAi, "gpt", false);
    request.chunks.clear();
    request.headers.retain(|(name, _)| !matches!(name.as_str(), ":method" | ":path" | "content-length"));
    request.headers.extend([(":method".to_owned(), b"GET".to_vec()), (":path".to_owned(), b"/v1/models".to_vec())]);
    Ok(vec![gateway.exchange(&request)?])
}

fn settle(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let sidecar = Sidecar::default();
    *sidecar.refuse.borrow_mut() = 2;
    gateway.sidecar = Box::new(sidecar.clone().script());
    let outcome = gateway.exchange(&chat(Dialect::OpenAi, "gpt", false))?;
    for _ in 0..8 {
        gateway.vm.world().now += 200_000_000;
        gateway.tick()?;
    }
    if gateway.vm.world().fault.is_none() {
        let seen = sidecar.seen.borrow();
        assert_eq!((seen.settled.len(), seen.settled[0].tries.len()), (1, 1), "{seen:?}");
        assert_eq!((seen.settled[0].key.as_str(), seen.settled[0].status), ("known", 200));
        let metrics = gateway.vm.world().metrics.values();
        let told: BTreeMap<_, _> = metrics.map(|metric| (metric.name.as_str(), metric.value)).collect();
        let [requests, settled] = ["attache_filter_requests_total", "attache_filter_settled_total"].map(|n| told[n]);
        assert_eq!((requests, settled), (1, 1), "{told:?}");
    }
    Ok(vec![outcome])
}

fn cut(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for trailers in [None, Some(vec![("x-checksum".to_owned(), b"1".to_vec())])] {
        gateway.provider = Box::new(move |seen| match healthy(seen) {
            Answer::Whole(mut message) => {
                message.chunks.truncate(message.chunks.len() * 2 / 3);
                message.trailers.clone_from(&trailers);
                // With trailers it ends in good order, and still lacks its own last event.
                if trailers.is_some() { Answer::Whole(message) } else { Answer::Cut(message) }
            }
            other => other,
        });
        for model in ["gpt", "claude"] {
            outcomes.push(gateway.exchange(&chat(Dialect::OpenAi, model, true))?);
        }
    }
    Ok(outcomes)
}

fn cut_ends(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!(outcome.status(), "200");
        assert!(!outcome.whole && body(outcome).contains("hel"), "{}", body(outcome));
    }
}

fn malformed(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let bodies: [&[u8]; 4] = [b"{", b"[]", b"\xff\xfe", br#"{"model": "nobody-serves-this", "messages": []}"#];
    let send = |body: &&[u8]| {
        gateway.exchange(&Message { chunks: vec![body.to_vec()], ..chat(Dialect::Anthropic, "gpt", false) })
    };
    bodies.iter().map(send).collect()
}

fn malformed_ends(outcomes: &[Outcome]) {
    for (outcome, status) in outcomes.iter().zip(["400", "400", "400", "404"]) {
        assert_eq!(outcome.status(), status, "{}", body(outcome));
        assert!(outcome.tries.is_empty());
    }
}

fn reconfigure(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let request = chat(Dialect::OpenAi, "gpt", false);
    let plan = gateway.plan;
    let mut outcomes = Vec::new();
    for (configuration, good) in [(r#"{"role": "plan", "config": {"version": 2}}"#, false), (CONFIG, true)] {
        let accepted = gateway.vm.configure(plan, configuration.as_bytes())?;
        assert!(accepted == good || gateway.vm.world().fault.is_some());
        outcomes.push(gateway.exchange(&request)?);
    }
    Ok(outcomes)
}

fn count(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    gateway.provider = Box::new(|_| Answer::Whole(json("200", r#"{"input_tokens": 9}"#)));
    let ask = |model| {
        let mut request = chat(Dialect::Anthropic, model, false);
        request.headers.retain(|(name, _)| name != ":path");
        request.headers.push((":path".to_owned(), b"/v1/messages/count_tokens".to_vec()));
        request
    };
    Ok(vec![gateway.exchange(&ask("both"))?, gateway.exchange(&ask("gpt"))?])
}

fn count_ends(outcomes: &[Outcome]) {
    whole(outcomes);
    assert_eq!(lanes(&outcomes[0]), ["anthropic_k1"], "who cannot count is not asked");
    assert_eq!((lanes(&outcomes[1]).len(), outcomes[1].client.header("x-attache-estimated")), (0, "true"));
    assert_eq!(outcomes[1].client.header("request-id"), "5f2a");
}

fn strict(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let plan = gateway.plan;
    let configuration = CONFIG.replacen(r#""version": 1,"#, r#""version": 1, "strict": true,"#, 1);
    let accepted = gateway.vm.configure(plan, configuration.as_bytes())?;
    if !accepted {
        // A fault of the host: the former configuration serves, which is not the one this is about.
        return Ok(Vec::new());
    }
    let lossy = chat(Dialect::OpenAi, "claude", false);
    let body = String::from_utf8_lossy(&lossy.body()).replacen('{', r#"{"logit_bias": {"1": 1}, "#, 1);
    let mut headers = lossy.headers;
    headers.retain(|(name, _)| name != "content-length");
    Ok(vec![gateway.exchange(&Message { headers, chunks: vec![body.into_bytes()], trailers: None })?])
}

fn strict_ends(outcomes: &[Outcome]) {
    assert_eq!(outcomes[0].status(), "400");
    assert!(body(&outcomes[0]).contains("logit_bias"), "{}", body(&outcomes[0]));
}

fn trailers(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let trailers = Some(vec![("x-checksum".to_owned(), b"1".to_vec())]);
    let answer = trailers.clone();
    gateway.provider = Box::new(move |seen| match healthy(seen) {
        Answer::Whole(message) => Answer::Whole(Message { trailers: answer.clone(), ..message }),
        other => other,
    });
    let mut outcomes = Vec::new();
    for (model, stream) in [("gpt", false), ("gpt", true), ("claude", false), ("claude", true)] {
        let request = chat(Dialect::OpenAi, model, stream);
        outcomes.push(gateway.exchange(&Message { trailers: trailers.clone(), ..request })?);
    }
    Ok(outcomes)
}
