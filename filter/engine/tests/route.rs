//! Who serves what: aliases, prefixes, bare names, a key's own candidates, fallbacks, rests, retry bounds.
#![cfg(test)]

use engine::config::snapshot::{KeyCandidate, Names, Snapshot, VirtualKey};
use engine::cooldown::{Cooldowns, Mark, Place};
use engine::draw::Draw;
use engine::route::{Ask, Plan, Refusal, listed, plan};
use serde_json::json;

fn snapshot() -> Snapshot {
    let config = json!({
        "version": 1,
        "providers": {
            "openai": {"keys": [
                {"name": "k1", "weight": 3, "models": ["gpt-4o-mini", "gpt-4o"]},
                {"name": "k2", "weight": 1, "models": ["*"]}
            ]},
            "anthropic": {"keys": [{"name": "k1", "models": ["claude-*", "shared"]}]},
            "groq": {"keys": [{"name": "k1", "models": ["shared"]}]}
        },
        "models": {"chat": {"candidates": [
            {"provider": "openai", "model": "gpt-4o-mini", "weight": 9},
            {"provider": "anthropic", "model": "claude-3-5-haiku", "weight": 1},
            {"provider": "groq", "model": "shared", "priority": 1}
        ]}},
        "retry": {"max": 10}
    });
    engine::config::load(config).unwrap_or_else(|faults| panic!("{faults:?}")).snapshot
}

fn planned(s: &Snapshot, ask: Ask<'_>, rest: &Cooldowns, seed: u64) -> Result<Plan, Refusal> {
    plan(s, ask, rest, 1, &mut Draw::new(seed), &mut |_| true)
}

fn ask(model: &str) -> Ask<'_> {
    Ask { model, fallbacks: &[], key: None }
}

fn hops(s: &Snapshot, plan: &Plan) -> Vec<String> {
    plan.hops.iter().map(|h| format!("{}:{}", s.lanes[h.lane].cluster, h.model)).collect()
}

fn key(candidates: Vec<KeyCandidate>, models: Option<Names>, substitute: bool) -> VirtualKey {
    VirtualKey { name: "vk".into(), models, candidates, substitute, ..VirtualKey::default() }
}

fn own(provider: &str, models: &[&str], weight: f64) -> KeyCandidate {
    let models = models.iter().map(|m| (*m).into()).collect();
    KeyCandidate { provider: provider.into(), models, weight, ..KeyCandidate::default() }
}

/// The provider said when to come back.
fn tell(s: &Snapshot, rest: &mut Cooldowns, lane: usize, until: u64) {
    assert!(rest.note(Place { lane: &s.lanes[lane], model: "gpt-4o" }, Mark::Until(until), &s.lanes, &s.retry.rest, 1));
}

#[test]
fn the_first_hop_is_drawn_by_weight_and_the_rest_follow_by_priority_and_weight() {
    let s = snapshot();
    let mut first = std::collections::BTreeMap::new();
    for seed in 0..4000 {
        let hops = hops(&s, &planned(&s, ask("chat"), &Cooldowns::default(), seed).unwrap());
        assert_eq!(hops.len(), 4, "{hops:?}");
        assert_eq!(hops[3], "groq_k1:shared", "the lower priority comes last");
        *first.entry(hops[0].clone()).or_insert(0) += 1;
    }
    // 9/10 of three quarters, 9/10 of one quarter, 1/10.
    for (hop, share) in
        [("openai_k1:gpt-4o-mini", 0.675), ("openai_k2:gpt-4o-mini", 0.225), ("anthropic_k1:claude-3-5-haiku", 0.1)]
    {
        let seen = f64::from(first[hop]) / 4000.0;
        assert!((seen - share).abs() < 0.03, "{hop}: {seen}, expected {share}");
    }
}

#[test]
fn a_resting_lane_leaves_its_share_to_the_others_and_all_resting_is_a_429() {
    let s = snapshot();
    let mut rest = Cooldowns::default();
    tell(&s, &mut rest, 0, 5_000_000_001);
    for seed in 0..200 {
        let hops = hops(&s, &planned(&s, ask("openai/gpt-4o"), &rest, seed).unwrap());
        assert_eq!(hops, ["openai_k2:gpt-4o"]);
    }
    tell(&s, &mut rest, 1, 9_000_000_000);
    let refusal = planned(&s, ask("openai/gpt-4o"), &rest, 0).unwrap_err();
    assert_eq!(refusal, Refusal::Resting { until: 5_000_000_001 });
    let fault = refusal.fault(1);
    assert_eq!((fault.status, fault.retry_after), (429, Some(5)));
}

#[test]
fn bare_names_go_where_they_are_listed_and_nowhere_by_a_star() {
    let s = snapshot();
    let bare = |m| planned(&s, ask(m), &Cooldowns::default(), 0).map(|p| hops(&s, &p));
    assert_eq!(bare("shared").unwrap(), ["anthropic_k1:shared", "groq_k1:shared"]);
    assert_eq!(bare("claude-opus").unwrap(), ["anthropic_k1:claude-opus"]);
    assert!(bare("gpt-4o").unwrap().contains(&"openai_k2:gpt-4o".to_owned()), "the other key stands by");
    assert_eq!(bare("openai/o3").unwrap(), ["openai_k2:o3"], "only the key that may");
    for unknown in ["o3", "nobody/gpt-4o", "groq/gpt-4o", "openai/", "", "chatt"] {
        assert!(matches!(bare(unknown), Err(Refusal::UnknownModel { .. })), "{unknown}");
    }
    let fault = bare("chatt").unwrap_err().fault(1);
    assert_eq!(fault.status, 404);
    assert!(fault.message.contains("Did you mean `chat`?"), "{}", fault.message);
}

#[test]
fn a_keys_own_candidates_answer_any_model_it_may_ask() {
    let s = snapshot();
    let candidates = vec![own("openai", &["gpt-4o-mini"], 0.8), own("anthropic", &["claude-3-5-haiku"], 0.2)];
    let vk = key(candidates, None, true);
    let p = planned(&s, Ask { key: Some(&vk), ..ask("gpt-4o-mini") }, &Cooldowns::default(), 3).unwrap();
    let by: Vec<_> = p.hops.iter().map(|h| (h.model.as_str(), h.substituted)).collect();
    assert_eq!(by.len(), 3, "each backs up the other: {by:?}");
    assert!(by.contains(&("gpt-4o-mini", false)) && by.contains(&("claude-3-5-haiku", true)));

    let pinned = planned(&s, Ask { key: Some(&vk), ..ask("anthropic/claude-3-5-haiku") }, &Cooldowns::default(), 3);
    assert_eq!(hops(&s, &pinned.unwrap()), ["anthropic_k1:claude-3-5-haiku"], "an explicit provider is kept");

    let strict = key(vec![own("openai", &["gpt-4o-mini"], 1.0)], None, false);
    let refused = planned(&s, Ask { key: Some(&strict), ..ask("gpt-4o") }, &Cooldowns::default(), 3);
    assert_eq!(refused.unwrap_err().fault(1).status, 403);
}

#[test]
fn a_key_may_ask_only_what_its_list_says_and_sees_only_that() {
    let s = snapshot();
    let vk = key(Vec::new(), Some(Names::These(vec!["chat".into(), "anthropic/*".into()])), false);
    let may = |m| planned(&s, Ask { key: Some(&vk), ..ask(m) }, &Cooldowns::default(), 0).is_ok();
    assert!(may("chat") && may("anthropic/claude-opus") && !may("openai/gpt-4o") && !may("gpt-4o"));
    assert_eq!(listed(&s, Some(&vk)), ["chat", "anthropic/shared"]);
    assert_eq!(listed(&s, None), ["chat", "openai/gpt-4o-mini", "openai/gpt-4o", "anthropic/shared", "groq/shared"]);
}

#[test]
fn fallbacks_come_after_everything_and_a_bad_one_is_named() {
    let s = snapshot();
    let fallbacks = ["anthropic/claude-x".to_owned(), "groq/shared".to_owned()];
    let p = planned(&s, Ask { fallbacks: &fallbacks, ..ask("openai/o3") }, &Cooldowns::default(), 0).unwrap();
    assert_eq!(hops(&s, &p), ["openai_k2:o3", "anthropic_k1:claude-x", "groq_k1:shared"]);
    let bad = ["nobody/x".to_owned()];
    let fault = planned(&s, Ask { fallbacks: &bad, ..ask("chat") }, &Cooldowns::default(), 0).unwrap_err().fault(1);
    assert_eq!(fault.param.as_deref(), Some("fallbacks[0]"));
}

#[test]
fn tries_are_bounded_in_all_and_per_candidate() {
    let mut s = snapshot();
    s.retry.max = 3;
    s.retry.per_candidate = 2;
    let p = planned(&s, ask("openai/gpt-4o"), &Cooldowns::default(), 1).unwrap();
    let lanes: Vec<_> = p.hops.iter().map(|h| h.lane).collect();
    assert!(lanes.len() == 3 && lanes[0] == lanes[1] && lanes[1] != lanes[2], "{lanes:?}");
}

/// A vendor with more keys than there are tries does not take them all.
#[test]
fn the_tries_reach_as_many_providers_as_there_is_room_for() {
    let keys = |names: &[&str]| -> Vec<_> { names.iter().map(|name| json!({"name": name, "models": ["*"]})).collect() };
    let config = json!({
        "version": 1,
        "providers": {
            "openai": {"keys": keys(&["k1", "k2", "k3", "k4"])},
            "anthropic": {"keys": keys(&["k1"])},
            "groq": {"keys": keys(&["k1", "k2"])}
        },
        "models": {
            "two": {"candidates": [
                {"provider": "openai", "model": "m", "weight": 0.999},
                {"provider": "anthropic", "model": "m", "weight": 0.001}
            ]},
            "three": {"candidates": [
                {"provider": "openai", "model": "m"},
                {"provider": "anthropic", "model": "m", "priority": 1},
                {"provider": "groq", "model": "m", "priority": 2}
            ]}
        }
    });
    let s = engine::config::load(config).unwrap().snapshot;
    let fallbacks = ["two".to_owned()];
    let by_fallback = Ask { fallbacks: &fallbacks, ..ask("groq/m") };
    for (ask, tries, providers) in
        [(ask("two"), 4, 2), (ask("three"), 4, 3), (by_fallback, 4, 3), (ask("three"), 2, 2), (ask("three"), 1, 1)]
    {
        let mut s = s.clone();
        s.retry.max = tries;
        for seed in 0..200 {
            let plan = planned(&s, ask, &Cooldowns::default(), seed).unwrap();
            let asked: std::collections::BTreeSet<_> = plan.hops.iter().map(|hop| hop.provider(&s)).collect();
            assert_eq!((plan.hops.len(), asked.len()), (tries as usize, providers), "{:?}", hops(&s, &plan));
        }
    }
}

#[test]
fn a_clients_text_in_a_message_is_bounded_and_visible() {
    let s = snapshot();
    let nasty = format!("x\r\nset-cookie: a{}", "y".repeat(10_000));
    let fault = planned(&s, ask(&nasty), &Cooldowns::default(), 0).unwrap_err().fault(1);
    assert!(fault.message.len() < 300 && !fault.message.contains('\n'));
}

/// The key was refused at this time: it rests for a minute.
fn refuse(s: &Snapshot, rest: &mut Cooldowns, lane: usize, at: u64) {
    rest.note(Place { lane: &s.lanes[lane], model: "gpt-4o" }, Mark::Refused, &s.lanes, &s.retry.rest, at);
}

const MINUTE: u64 = 60_000_000_000;

#[test]
fn where_all_rest_those_are_asked_that_only_seem_to_be_down_the_first_one_back_first() {
    let s = snapshot();
    let mut rest = Cooldowns::default();
    refuse(&s, &mut rest, 0, 1_000_000_001);
    refuse(&s, &mut rest, 1, 1);
    for seed in 0..50 {
        let p = plan(&s, ask("openai/gpt-4o"), &rest, 2_000_000_000, &mut Draw::new(seed), &mut |_| true).unwrap();
        assert_eq!(hops(&s, &p), ["openai_k2:gpt-4o", "openai_k1:gpt-4o"]);
    }
    tell(&s, &mut rest, 1, 100 * MINUTE);
    let p = plan(&s, ask("openai/gpt-4o"), &rest, 2_000_000_000, &mut Draw::new(0), &mut |_| true).unwrap();
    assert_eq!(hops(&s, &p), ["openai_k1:gpt-4o"], "and none that the provider wants to be left alone");
}

#[test]
fn a_lane_that_seems_to_be_down_is_asked_when_all_others_have_failed() {
    let s = snapshot();
    let mut rest = Cooldowns::default();
    refuse(&s, &mut rest, 0, 2);
    refuse(&s, &mut rest, 2, 1);
    for seed in 0..50 {
        let p = plan(&s, ask("chat"), &rest, 2_000_000_000, &mut Draw::new(seed), &mut |_| true).unwrap();
        let expected =
            ["openai_k2:gpt-4o-mini", "groq_k1:shared", "anthropic_k1:claude-3-5-haiku", "openai_k1:gpt-4o-mini"];
        assert_eq!(hops(&s, &p), expected, "whatever their priorities, and the first one back first");
    }
}

#[test]
fn a_lane_whose_rest_is_over_is_first_by_the_draw_or_else_last() {
    let mut s = snapshot();
    s.retry.per_candidate = 2;
    let mut rest = Cooldowns::default();
    refuse(&s, &mut rest, 0, 1);
    let mut firsts = 0;
    for seed in 0..200 {
        let p = plan(&s, ask("chat"), &rest, 2 * MINUTE, &mut Draw::new(seed), &mut |_| true).unwrap();
        let hops = hops(&s, &p);
        let at: Vec<_> = (0..hops.len()).filter(|i| hops[*i] == "openai_k1:gpt-4o-mini").collect();
        assert!(at == [0] || at == [hops.len() - 1], "once, and behind all others: {hops:?}");
        firsts += usize::from(at == [0]);
    }
    assert!((100..170).contains(&firsts), "its share is what it was: {firsts}");
    assert!(rest.claim(Place { lane: &s.lanes[0], model: "gpt-4o" }, 2 * MINUTE));
    let p = plan(&s, ask("chat"), &rest, 2 * MINUTE, &mut Draw::new(1), &mut |_| true).unwrap();
    assert_eq!(p.hops.iter().position(|hop| hop.lane == 0), Some(p.hops.len() - 1), "the others see it resting");
}

#[test]
fn a_name_that_is_asked_for_again_adds_nothing() {
    let lanes: Vec<_> = (0..4).map(|i| json!({"name": format!("k{i}"), "models": ["*"]})).collect();
    let config = json!({"version": 1, "providers": {"openai": {"keys": lanes}}, "retry": {"max": 32}});
    let s = engine::config::load(config).unwrap_or_else(|faults| panic!("{faults:?}")).snapshot;
    let fallbacks: Vec<String> = (0..16).map(|i| format!("openai/m{}", i % 5)).collect();
    let ask = Ask { fallbacks: &fallbacks, ..ask("openai/m0") };
    let plan = planned(&s, ask, &Cooldowns::default(), 1).unwrap();
    let names: std::collections::BTreeSet<_> = plan.hops.iter().map(|hop| (hop.lane, hop.model.as_str())).collect();
    assert_eq!((plan.hops.len(), names.len()), (5 * 4, 5 * 4), "each model once on each lane");
    assert!(plan.hops.iter().map(|hop| hop.model.as_str()).is_sorted(), "in the client's order");
}

#[test]
fn names_are_told_back_short() {
    let long = "é".repeat(128);
    let s = snapshot();
    for refusal in [
        planned(&s, ask(&long), &Cooldowns::default(), 1).unwrap_err(),
        planned(
            &s,
            Ask { key: Some(&key(vec![], Some(Names::new(&[])), false)), ..ask(&long) },
            &Cooldowns::default(),
            1,
        )
        .unwrap_err(),
    ] {
        let message = refusal.fault(1).message;
        assert!(message.contains(&format!("`{}...`", "é".repeat(64))), "{message}");
    }
}
