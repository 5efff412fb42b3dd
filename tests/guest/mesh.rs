//! Who asks without a key: what the mesh says, and nobody.

use sidecar_api::v1::account::Counted;

use crate::bank::{Bank, account};
use crate::fixture::{CONFIG, Dialect, chat};
use crate::quota::{ticks, with};

const MESH: &str =
    r#""govern": {"unknown_price": "deny", "refund": false, "exact": false, "sources": ["peer"], "keyless": true}, "#;

#[test]
fn the_mesh_says_who_asks_where_no_key_does() {
    let required = CONFIG.replacen(r#""version": 1,"#, &format!(r#""version": 1, {MESH}"#), 1);
    let bank = Bank::new(vec![account(1, Counted::Requests, 100)]);
    let mut gateway = with(&bank, &required);
    let mut bare = chat(Dialect::OpenAi, "gpt", false);
    bare.headers.retain(|(name, _)| name != "authorization");
    let mut as_peer = |peer: &str| {
        let stream = gateway.vm.stream();
        let attributes = &mut gateway.vm.world().streams.get_mut(&stream).unwrap().attributes;
        attributes.insert(b"connection\0uri_san_peer_certificate".to_vec(), peer.as_bytes().to_vec());
        let plan = gateway.vm.open(gateway.plan, stream).unwrap();
        gateway.send(plan, &bare).unwrap();
        let outcome = gateway.complete(plan).unwrap();
        ticks(&mut gateway, 3);
        outcome
    };
    assert_eq!(as_peer("spiffe://indexer").status(), "200");
    assert_eq!(as_peer("spiffe://indexer").status(), "200");
    assert_eq!(as_peer("https://stranger").status(), "401", "an identity that nobody knows is none");
    let books = bank.0.borrow();
    assert_eq!(books.settled.iter().map(|settled| settled.key.as_str()).collect::<Vec<_>>(), ["indexer"; 2]);
    let identities = books.asked.iter().filter_map(|asked| asked.identity.as_ref());
    assert_eq!(
        identities.map(|identity| identity.peer.as_str()).collect::<Vec<_>>(),
        ["spiffe://indexer", "https://stranger"]
    );
    assert!(books.asked.iter().all(|asked| !asked.anonymous), "a key is required: nobody is nobody");
}

#[test]
fn who_has_neither_is_under_everybodys_limits() {
    let optional = CONFIG.replace(r#""required""#, r#""optional""#);
    let optional = optional.replacen(r#""version": 1,"#, &format!(r#""version": 1, {MESH}"#), 1);
    let bank = Bank::new(Vec::new());
    bank.0.borrow_mut().anonymous = Some(vec![account(1, Counted::Requests, 1)]);
    let mut gateway = with(&bank, &optional);
    let mut bare = chat(Dialect::OpenAi, "gpt", false);
    bare.headers.retain(|(name, _)| name != "authorization");
    assert_eq!([0, 1].map(|_| gateway.exchange(&bare).unwrap().status().to_owned()), ["200", "429"]);
    ticks(&mut gateway, 3);
    assert_eq!(bank.0.borrow().settled[0].key, "");
}
