//! Large bodies whose last bytes come together: one is taken up a tick, and small ones are not kept waiting.

use crate::fixture::{Dialect, chat, healthy, start};
use crate::gateway::{Gateway, LARGE, Message};
use crate::host::guest;

fn large() -> Message {
    let body = format!(
        r#"{{"model":"claude","max_tokens":9,"messages":[{{"role":"user","content":"{}"}}]}}"#,
        "a".repeat(LARGE)
    );
    let mut request = chat(Dialect::OpenAi, "claude", false);
    for (name, value) in &mut request.headers {
        if name == "content-length" {
            *value = body.len().to_string().into_bytes();
        }
    }
    Message { chunks: vec![body.into_bytes()], ..request }
}

/// Neither let go nor answered.
fn waits(gateway: &mut Gateway, plan: u32) -> bool {
    let context = gateway.vm.context(plan);
    context.local.is_none() && context.request.held()
}

#[test]
fn large_bodies_are_taken_up_one_a_tick_and_small_ones_at_once() {
    let mut gateway = start(guest(), None).unwrap().expect("the configuration is good");
    gateway.provider = Box::new(healthy);
    // The key is known from here on.
    gateway.exchange(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    let plans: Vec<u32> = (0..4).map(|_| gateway.begin(&large()).unwrap()).collect();
    let small = gateway.begin(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    let waiting = |gateway: &mut Gateway| plans.iter().map(|plan| waits(gateway, *plan)).collect::<Vec<_>>();
    assert_eq!(waiting(&mut gateway), [false, true, true, true]);
    assert!(!waits(&mut gateway, small), "a small body waits");
    // Whoever leaves takes nobody's turn.
    gateway.leave(plans[1]).unwrap();
    gateway.tick().unwrap();
    assert!(!waits(&mut gateway, plans[2]) && waits(&mut gateway, plans[3]));
    let late = gateway.begin(&large()).unwrap();
    gateway.tick().unwrap();
    assert!(!waits(&mut gateway, plans[3]) && waits(&mut gateway, late));
    gateway.tick().unwrap();
    for plan in [plans[0], plans[2], plans[3], late, small] {
        assert_eq!(gateway.complete(plan).unwrap().status(), "200");
    }
    // After a tick without any the next is taken up as it comes.
    gateway.tick().unwrap();
    let next = gateway.begin(&large()).unwrap();
    assert!(!waits(&mut gateway, next));
}
