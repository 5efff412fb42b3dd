//! Law: where models are restricted no row of the table gets a member by which it would serve others.

use std::rc::Rc;

use engine::config::snapshot::{KeyCandidate, Names, Snapshot, VirtualKey};
use engine::cooldown::Cooldowns;
use engine::draw::Draw;
use engine::exchange::{Exchange, Fit, intake};
use engine::route::{Ask, Plan, Refusal, plan};
use serde_json::{Value, json};
use wire::provider::{Base, find, names};
use wire::scan::routing::ROUTING;
use wire::scan::scan;

use crate::support::{CHAT, MESSAGES, Pairs, SECOND, hop, pairs, snapshot};

/// One provider of this row whose key may be used for `models`; another by which nobody is misled.
fn of_row(row: &str, like: bool, models: &[&str], strict: bool) -> Rc<Snapshot> {
    let mut provider = json!({"keys": [{"name": "k1", "models": models}]});
    if let Some(Base::Own(_)) = find(row).map(|row| row.base) {
        provider["base_url"] = json!("https://own.example.com/v1");
    }
    if like {
        provider["like"] = json!(row);
        provider["base_url"] = json!("https://own.example.com/v1");
    }
    let name = if like { "mine" } else { row };
    snapshot(json!({"version": 1, "strict": strict, "providers": {name: provider}}))
}

fn head(s: &Snapshot) -> Pairs {
    let path = if s.providers[0].format.name() == "anthropic" { MESSAGES } else { CHAT };
    pairs(&[(":method", "POST"), (":path", path)])
}

/// What the provider is sent of this body, and what is said to be missing; or why nobody is asked.
fn sent(s: &Rc<Snapshot>, key: Option<&VirtualKey>, more: &Value) -> Result<(Value, Vec<String>), Refusal> {
    let mut body = json!({"model": "cheap", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let bytes = serde_json::to_vec(&body).unwrap();
    let (intake, scan) = (intake(s, &head(s)).unwrap_or_else(|(_, fault)| panic!("{fault:?}")), scan(&bytes).unwrap());
    let model = format!("{}/cheap", s.providers[0].name);
    let mut fit = Fit::new(s, intake.inbound, intake.operation, &bytes, &scan).by(key);
    let ask = Ask { model: &model, fallbacks: &[], key };
    let planned = plan(s, ask, &Cooldowns::default(), SECOND, &mut Draw::new(1), &mut |hop| fit.takes(hop));
    if let Some(refusal) = fit.refused() {
        return Err(refusal);
    }
    planned?;
    let lane = &s.lanes[0].cluster;
    let plan = Plan { hops: vec![hop(s, lane, "cheap")] };
    let mut ex = Exchange::new(Rc::clone(s), intake, scan, key.cloned().map(Rc::new), plan, SECOND);
    let at = ex.begin(lane, SECOND).unwrap();
    let outgoing = ex.outgoing(at, || Some(bytes.clone())).unwrap_or_else(|fault| panic!("{fault:?}"));
    let sent = outgoing.body.unwrap_or(bytes);
    Ok((serde_json::from_slice(&sent).unwrap(), ex.tries[0].dropped.clone()))
}

fn listed(provider: &str) -> [VirtualKey; 2] {
    let name = |model: &str| format!("{provider}/{model}");
    let candidate = KeyCandidate {
        provider: provider.to_owned(),
        models: vec!["cheap".to_owned(), "fine".to_owned()],
        weight: 1.0,
        ..KeyCandidate::default()
    };
    [
        VirtualKey { models: Some(Names::new(&[name("cheap"), name("fine")])), ..VirtualKey::default() },
        VirtualKey { candidates: vec![candidate], ..VirtualKey::default() },
    ]
}

fn param(refusal: &Refusal) -> (u16, String) {
    let fault = refusal.fault(SECOND);
    (fault.status, fault.param.unwrap_or_default())
}

#[test]
fn every_row_withholds_every_member_that_routes_from_who_is_restricted() {
    let mut cases = 0;
    for (row, like) in names().flat_map(|row| [(row, false), (row, true)]) {
        let (open, closed) = (of_row(row, like, &["*"], false), of_row(row, like, &["cheap", "fine"], false));
        let strict = of_row(row, like, &["*"], true);
        let name = open.providers[0].name.clone();
        let keys = listed(&name);
        let restricted = [(&closed, None), (&open, Some(&keys[0])), (&open, Some(&keys[1]))];
        for member in ROUTING.iter().copied() {
            let more = json!({member: {"order": ["dear"], "models": ["dear"]}});
            let (body, dropped) = sent(&open, None, &more).unwrap();
            assert_eq!((&body[member], dropped.len()), (&more[member], 0), "{row}: {member} of who may ask for all");
            for (s, key) in restricted {
                let (body, dropped) = sent(s, key, &more).unwrap();
                assert_eq!(body.get(member), None, "{row}: {member}");
                assert_eq!((&body["model"], body["messages"].is_array()), (&json!("cheap"), true), "{row}: {body}");
                assert!(dropped.iter().any(|name| name.starts_with(member)), "{row}: {member} is not in {dropped:?}");
                cases += 1;
            }
            assert_eq!(sent(&strict, Some(&keys[0]), &more), Err(Refusal::Unfit), "{row}: {member}");
        }
        for (s, key) in restricted {
            let told = |more: &Value| sent(s, key, more).map_err(|refusal| param(&refusal));
            for (more, at) in [
                (json!({"models": ["fine", "dear"]}), "models[1]"),
                (json!({"models": "dear"}), "models"),
                (json!({"draft_model": "dear"}), "draft_model"),
                (
                    json!({"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "dear"}]}),
                    "tools[0].model",
                ),
                (json!({"tools": [{"type": "openrouter:advisor", "parameters": {"model": "dear"}}]}), "tools[0].model"),
                (json!({"tools": [{"type": "openrouter:fusion"}]}), "tools[0]"),
            ] {
                let (status, param) = told(&more).unwrap_err();
                assert!(matches!(status, 403 | 404), "{row}: {more}: {status}");
                assert_eq!(param, at, "{row}: {more}");
                assert!(sent(&open, None, &more).is_ok(), "{row}: {more} of who may ask for all");
            }
            let fine = json!({"models": ["cheap", "fine"], "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"properties": {"model": {"type": "string"}}}}},
                {"name": "f", "input_schema": {"properties": {"model": {"const": "dear"}}}},
                {"type": "advisor_20260301", "name": "advisor", "model": "fine"}]});
            assert_eq!(sent(s, key, &fine).unwrap().0["models"], fine["models"], "{row}: names on the list pass");
        }
    }
    assert!(cases > 2000, "{cases}");
}

#[test]
fn what_narrows_the_choice_of_a_server_stays() {
    let s = of_row("openrouter", true, &["cheap"], false);
    let more = json!({"provider": {"order": ["dear"], "data_collection": "deny", "zdr": true, "only": ["x"]}});
    let (body, dropped) = sent(&s, None, &more).unwrap();
    assert_eq!(body["provider"], json!({"data_collection": "deny", "zdr": true}));
    assert_eq!(dropped, ["provider.order", "provider.only"]);
    let strict = of_row("openrouter", false, &["cheap"], true);
    assert_eq!(sent(&strict, None, &more), Err(Refusal::Unfit));
    let narrow = json!({"provider": {"data_collection": "deny"}});
    assert_eq!(sent(&strict, None, &narrow).unwrap().0["provider"], narrow["provider"]);
}
