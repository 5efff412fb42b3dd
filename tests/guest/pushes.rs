//! Configurations that follow one another in one VM, in the order in which Envoy makes and drops their root contexts.

use std::cell::RefCell;
use std::rc::Rc;

use prost::Message as _;
use sidecar_api::v1;
use sidecar_api::v1::admit_response::Verdict;
use wasmtime::Result;

use crate::fixture::{CONFIG, Dialect, LANES, Sidecar, chat, healthy, start, with_key};
use crate::gateway::{Gateway, Outcome};
use crate::host::guest;

/// A VM whose sidecar is this one.
fn gateway(sidecar: &Sidecar) -> Gateway {
    let mut gateway = start(guest(), None).unwrap().expect("a good configuration");
    gateway.sidecar = Box::new(sidecar.clone().script());
    gateway
}

/// Time for some batches.
fn ticks(gateway: &mut Gateway) {
    for _ in 0..8 {
        gateway.vm.world().now += 200_000_000;
        gateway.tick().unwrap();
    }
}

/// Who serves the model `both` first.
fn first(gateway: &mut Gateway) -> String {
    let outcome = gateway.exchange(&chat(Dialect::OpenAi, "both", true)).unwrap();
    assert!(outcome.whole && outcome.status() == "200", "{outcome:?}");
    outcome.tries[0].lane.clone()
}

#[test]
fn a_push_that_is_taken_back_while_the_former_configuration_has_streams_is_taken_back() {
    let sidecar = Sidecar::default();
    let mut gateway = gateway(&sidecar);
    assert!(first(&mut gateway).starts_with("openai"));
    let former = gateway.plan;
    let moved = CONFIG.replace(r#""model": "gpt-4o-mini"},"#, r#""model": "gpt-4o-mini", "priority": 2},"#);
    assert_ne!(moved, CONFIG);
    let (pushed, accepted) = gateway.vm.plugin("plan", moved.as_bytes()).unwrap();
    assert!(accepted);
    gateway.plan = pushed;
    assert!(first(&mut gateway).starts_with("anthropic"));
    // Envoy finds the former root context alive and does not configure it again.
    gateway.plan = former;
    assert!(first(&mut gateway).starts_with("openai"));
    // And the tick that settles is that of a root context which is there.
    gateway.vm.drop_root(pushed).unwrap();
    ticks(&mut gateway);
    assert_eq!(sidecar.seen.borrow().settled.len(), 3);
}

#[test]
fn settlements_go_on_when_a_push_is_taken_back_and_nobody_asks_for_anything() {
    let sidecar = Sidecar::default();
    let mut gateway = gateway(&sidecar);
    first(&mut gateway);
    let (pushed, _) = gateway.vm.plugin("plan", CONFIG.replace("30s", "31s").as_bytes()).unwrap();
    gateway.vm.drop_root(pushed).unwrap();
    ticks(&mut gateway);
    assert_eq!(sidecar.seen.borrow().settled.len(), 1);
}

/// An exchange, and the module that served it is replaced before it has settled.
pub fn replaced(gateway: &mut Gateway) -> Result<Vec<Outcome>> {
    let outcome = gateway.exchange(&chat(Dialect::OpenAi, "gpt", true))?;
    gateway.vm.drop_root(gateway.plan)?;
    for _ in 0..4 {
        gateway.vm.world().now += 200_000_000;
        gateway.tick()?;
    }
    Ok(vec![outcome])
}

#[test]
fn the_last_root_context_of_a_module_goes_when_it_has_settled() {
    let sidecar = Sidecar::default();
    let mut gateway = gateway(&sidecar);
    *sidecar.refuse.borrow_mut() = 2;
    first(&mut gateway);
    let plan = gateway.plan;
    gateway.vm.drop_root(plan).unwrap();
    assert!(gateway.vm.root(plan).pending, "a settlement would be lost");
    gateway.tick().unwrap();
    assert!(gateway.vm.world().roots.contains_key(&plan));
    ticks(&mut gateway);
    assert_eq!(sidecar.seen.borrow().settled.len(), 1);
    assert!(!gateway.vm.world().roots.contains_key(&plan), "it never goes");
}

#[test]
fn the_clusters_of_a_module_are_its_own() {
    let of = |text: &str| text.replacen('{', r#"{"module": "@12ab", "#, 1);
    let lanes: Vec<_> = LANES
        .iter()
        .map(|(lane, text)| (format!("{lane}@12ab"), text.replace(lane, &format!("{lane}@12ab"))))
        .collect();
    let lanes: Vec<_> = lanes.iter().map(|(lane, text)| (lane.as_str(), text.as_str())).collect();
    let mut gateway = Gateway::start(guest(), &of(CONFIG), &lanes, None).unwrap().expect("a good configuration");
    gateway.provider = Box::new(healthy);
    gateway.sidecar = Box::new(Sidecar::default().script());
    assert_eq!(first(&mut gateway).split_once('@'), Some(("openai_k1", "12ab")));
}

/// What the sidecar says of every key, with its generation; silent if there is nothing.
type Says = Rc<RefCell<Option<(Verdict, u64)>>>;

/// A VM with this `on_failure`, which knows the key of the fixture.
fn knowing(on_failure: &str) -> (Gateway, Says) {
    let configuration =
        CONFIG.replace(r#""key_ttl": "30s""#, &format!(r#""key_ttl": "30s", "on_failure": "{on_failure}""#));
    let mut gateway = Gateway::start(guest(), &configuration, LANES, None).unwrap().expect("a good configuration");
    let says: Says = Rc::new(RefCell::new(Some((Verdict::Admitted, 1))));
    let said = Rc::clone(&says);
    gateway.provider = Box::new(healthy);
    gateway.sidecar = Box::new(move |call| {
        let (verdict, generation) = (*said.borrow()).ok_or(14_u32).ok()?;
        if call.method == sidecar_api::SETTLE {
            return Some(Ok(v1::SettleResponse { generation }.encode_to_vec()));
        }
        let key =
            (verdict == Verdict::Admitted).then(|| v1::KeyRecord { name: "known".to_owned(), ..Default::default() });
        let (vm_nonce, ttl_ms) = (vec![7; sidecar_api::NONCE_LEN], 30_000);
        Some(Ok(v1::AdmitResponse { verdict: verdict.into(), key, ttl_ms, generation, vm_nonce, ..Default::default() }
            .encode_to_vec()))
    });
    assert_eq!(ask(&mut gateway), "200");
    (gateway, says)
}

/// The status that the known key gets, be it only when the tick gives up on the sidecar.
fn ask(gateway: &mut Gateway) -> String {
    let plan = gateway.begin(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    for _ in 0..55 {
        gateway.vm.world().now += 100_000_000;
        gateway.tick().unwrap();
    }
    gateway.complete(plan).unwrap().status().to_owned()
}

/// The sidecar has revoked the key, the worker has heard of the generation, and then there is silence.
fn revoked_in_silence(on_failure: &str) -> (Gateway, Says) {
    let (mut gateway, says) = knowing(on_failure);
    *says.borrow_mut() = Some((Verdict::Disabled, 2));
    gateway.exchange(&with_key(Dialect::OpenAi, "gpt", false, "vk-another")).unwrap();
    *says.borrow_mut() = None;
    (gateway, says)
}

#[test]
fn a_revoked_key_is_refused_once_the_generation_is_heard_of() {
    let (mut gateway, says) = revoked_in_silence("deny");
    *says.borrow_mut() = Some((Verdict::Disabled, 2));
    assert_eq!(ask(&mut gateway), "403");
}

#[test]
fn while_the_sidecar_is_silent_a_key_lasts_as_long_as_its_record_and_no_longer() {
    for (on_failure, afterwards) in [("deny", "503"), ("allow", "200")] {
        let (mut gateway, _) = revoked_in_silence(on_failure);
        assert_eq!(ask(&mut gateway), "200", "{on_failure}: nobody knows that it is this key which has changed");
        gateway.vm.world().now += 30_000_000_000;
        assert_eq!(ask(&mut gateway), afterwards, "{on_failure}");
    }
}
