//! Keys that end, keys that replace others, and those who need none.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use engine::config::snapshot::Former;
use sha2::{Digest as _, Sha256};
use sidecar::serve::Server;
use sidecar_api::v1::admit_response::Verdict;
use sidecar_api::v1::{AdmitRequest, AdmitResponse, Claim, Identity};

use super::support::{Place, ask};

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

async fn admit(place: &Place, request: AdmitRequest) -> AdmitResponse {
    place.client().admit(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_key_ends_by_itself_and_nobody_keeps_its_record_longer() {
    let place = Place::new();
    let mut loaded = place.loaded();
    let end = now() + 3;
    Arc::make_mut(&mut loaded.virtual_keys)[0].expires = Some(end);
    let server = Server::start(&loaded).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let before = now();
        let answer = admit(&place, ask("vk-prod")).await;
        if answer.verdict() == Verdict::Disabled {
            assert!(now() >= end, "too early");
            break;
        }
        let left = end.saturating_sub(before) * 1000;
        assert!(before < end && u64::from(answer.ttl_ms) <= left, "{} of {left} ms", answer.ttl_ms);
        assert!(Instant::now() < deadline, "it never ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_replaced_key_is_good_for_its_grace() {
    let place = Place::new();
    let mut loaded = place.loaded();
    let hex = |key: &str| Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let former = |key: &str, until| Some(Former { secret: format!("sha256:{}", hex(key)), until });
    Arc::make_mut(&mut loaded.virtual_keys)[0].former = former("vk-old", now() + 3600);
    let server = Server::start(&loaded).await.unwrap();
    for key in ["vk-prod", "vk-old"] {
        assert_eq!(admit(&place, ask(key)).await.key.map(|key| key.name).as_deref(), Some("prod"), "{key}");
    }
    server.stop().await;
    Arc::make_mut(&mut loaded.virtual_keys)[0].former = former("vk-old", now());
    let server = Server::start(&loaded).await.unwrap();
    assert_eq!(admit(&place, ask("vk-old")).await.verdict(), Verdict::UnknownKey);
    assert_eq!(admit(&place, ask("vk-prod")).await.verdict(), Verdict::Admitted);
    server.stop().await;
}

#[tokio::test]
async fn a_workload_is_known_by_its_name() {
    let place = Place::with(
        r#"
customers: { acme: { limits: [{ requests: 10, per: 1d }] } }
teams: { search: { customer: acme, limits: [{ requests: 5, per: 1h }] } }
identities:
  - { from: peer, match: "spiffe://cluster.local/ns/{team}/sa/*", team: "{team}" }
  - { from: { jwt: sub, provider: idp }, match: "*", key: prod }
"#,
    );
    let server = place.start().await;
    let ask = |identity| AdmitRequest { identity: Some(identity), ..AdmitRequest::default() };
    let peer = |name: &str| Identity { peer: name.to_owned(), ..Identity::default() };
    let answer = admit(&place, ask(peer("spiffe://cluster.local/ns/search/sa/web"))).await;
    assert_eq!((answer.verdict(), answer.ttl_ms), (Verdict::Admitted, 7000));
    let record = answer.key.unwrap();
    assert_eq!((record.team.as_str(), record.customer.as_str()), ("search", "acme"));
    let mut most: Vec<u64> = record.accounts.iter().map(|account| account.most).collect();
    most.sort_unstable();
    assert_eq!(most, [5, 10], "its team's and its customer's");
    let claim = Claim { provider: "idp".to_owned(), name: "sub".to_owned(), value: "anybody".to_owned() };
    let answer = admit(&place, ask(Identity { claims: vec![claim], ..Identity::default() })).await;
    assert_eq!(answer.key.map(|key| key.name).as_deref(), Some("prod"));
    assert_eq!(admit(&place, ask(peer("spiffe://elsewhere/x"))).await.verdict(), Verdict::UnknownKey);
    server.stop().await;
}
