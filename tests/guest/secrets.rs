//! What stands in the module's memory after it has seen keys: nothing of them, in use or freed.
//!
//! Does not: cover `client_keys: pass`, where a client's own provider key is what the module is told to hand on.

use crate::fixture::{Dialect, KEY, chat, healthy, json, start, with_key};
use crate::gateway::{Answer, Gateway, Message};
use crate::host::abi;
use crate::host::guest;

/// What Envoy puts in for a provider.
const INJECTED: &str = "sk-planted-and-unlike-any-other-7Qm3";
/// A key that nobody knows, and what else a client may send by mistake.
const STRANGE: &str = "vk-stranger-than-all-others-Zk81";
const COOKIE: &str = "session-of-somebody-else-Tt90";

fn gateway() -> Gateway {
    let mut gateway = start(guest(), None).unwrap().expect("the configuration is good");
    gateway.injected = abi::headers(&[("authorization", &format!("Bearer {INJECTED}")), ("x-api-key", INJECTED)]);
    gateway
}

fn settle(gateway: &mut Gateway) {
    for _ in 0..3 {
        gateway.vm.world().now += 200_000_000;
        gateway.tick().unwrap();
    }
}

fn nothing_of(gateway: &mut Gateway, secrets: &[&str], when: &str) {
    for secret in secrets {
        assert_eq!(gateway.vm.copies(secret.as_bytes()), 0, "{when}: {secret} stands in linear memory");
        // Not even most of it: an allocator may have written its own words over the first bytes of what was freed.
        let tail = &secret.as_bytes()[secret.len() / 2..];
        assert_eq!(gateway.vm.copies(tail), 0, "{when}: half of {secret} stands in linear memory");
    }
}

#[test]
fn the_search_finds_what_is_there() {
    let mut gateway = gateway();
    gateway.exchange(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    assert!(gateway.vm.copies(b"gpt-4o-mini") > 0, "a model's name may stay");
}

#[test]
fn no_key_stays_in_memory_after_its_request() {
    let mut gateway = gateway();
    gateway.provider = Box::new(|seen| match seen.lane.as_str() {
        "openai_k1" => Answer::Whole(json("503", r#"{"error": {"message": "overloaded"}}"#)),
        _ => healthy(seen),
    });
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        for model in ["gpt", "claude", "both"] {
            for header in ["authorization", "x-api-key", "x-attache-key", "x-bf-vk"] {
                for stream in [false, true] {
                    let mut request = chat(dialect, model, stream);
                    request.headers.retain(|(name, _)| !["authorization", "x-api-key"].contains(&name.as_str()));
                    let bearer = if header == "authorization" { "Bearer " } else { "" };
                    request.headers.push((header.to_owned(), format!("{bearer}{KEY}").into_bytes()));
                    request.headers.push(("cookie".to_owned(), COOKIE.as_bytes().to_vec()));
                    let outcome = gateway.exchange(&request).unwrap();
                    assert_eq!(outcome.status(), "200", "{outcome:?}");
                }
                nothing_of(&mut gateway, &[KEY, COOKIE, INJECTED], &format!("{dialect:?} {model} {header}"));
            }
        }
    }
    settle(&mut gateway);
    nothing_of(&mut gateway, &[KEY, COOKIE, INJECTED], "settled");
}

#[test]
fn no_key_stays_in_memory_while_its_request_waits_or_after_it_is_refused() {
    let mut gateway = gateway();
    gateway.exchange(&with_key(Dialect::OpenAi, "gpt", false, STRANGE)).unwrap();
    nothing_of(&mut gateway, &[STRANGE], "a stranger was refused");
    let known = std::mem::replace(&mut gateway.sidecar, Box::new(|_| None));
    let plan = gateway.begin(&with_key(Dialect::Anthropic, "gpt", false, KEY)).unwrap();
    nothing_of(&mut gateway, &[KEY], "the sidecar has not answered");
    gateway.sidecar = known;
    gateway.complete(plan).unwrap();
    nothing_of(&mut gateway, &[KEY], "it has");
    let odd = Message { chunks: vec![b"{".to_vec()], ..chat(Dialect::OpenAi, "gpt", false) };
    assert_eq!(gateway.exchange(&odd).unwrap().status(), "400");
    let mut nowhere = chat(Dialect::OpenAi, "gpt", false);
    nowhere.headers.iter_mut().filter(|(name, _)| name == ":path").for_each(|(_, value)| *value = b"/nowhere".to_vec());
    assert_eq!(gateway.exchange(&nowhere).unwrap().status(), "404");
    nothing_of(&mut gateway, &[KEY], "refused for other reasons");
}
