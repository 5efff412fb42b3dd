//! Admit, as a filter calls it.

use std::collections::HashSet;

use sidecar_api::v1::AdmitRequest;
use sidecar_api::v1::admit_response::Verdict;
use tonic::Code;

use super::support::{Place, ask, hello};

#[tokio::test]
async fn a_known_key_gets_its_record() {
    let place = Place::new();
    let server = place.start().await;
    let answer = place.client().admit(ask("vk-prod")).await.unwrap().into_inner();
    assert_eq!(answer.verdict(), Verdict::Admitted);
    let record = answer.key.unwrap();
    assert_eq!((record.name.as_str(), record.team.as_str()), ("prod", "search"));
    assert_eq!((record.models, record.models_set), (vec!["gpt-4.1".to_owned()], true));
    assert_eq!(answer.ttl_ms, 7000);
    assert!(answer.vm_nonce.is_empty(), "nobody said hello");
    server.stop().await;
}

#[tokio::test]
async fn unknown_and_disabled_keys_are_told_apart_and_may_be_remembered() {
    let place = Place::new();
    let server = place.start().await;
    for (key, verdict) in [("vk-nobody", Verdict::UnknownKey), ("vk-former", Verdict::Disabled)] {
        let answer = place.client().admit(ask(key)).await.unwrap().into_inner();
        assert_eq!((answer.verdict(), answer.key, answer.ttl_ms), (verdict, None, 7000));
    }
    server.stop().await;
}

#[tokio::test]
async fn every_hello_gets_a_nonce_of_its_own() {
    let place = Place::new();
    let server = place.start().await;
    let mut client = place.client();
    let mut nonces = HashSet::new();
    for _ in 0..100 {
        let answer = client.admit(hello()).await.unwrap().into_inner();
        assert_eq!((answer.verdict(), answer.vm_nonce.len()), (Verdict::Unspecified, 16));
        assert!(nonces.insert(answer.vm_nonce));
    }
    server.stop().await;
}

#[tokio::test]
async fn hello_and_a_key_may_come_together() {
    let place = Place::new();
    let server = place.start().await;
    let answer = place.client().admit(AdmitRequest { hello: true, ..ask("vk-prod") }).await.unwrap().into_inner();
    assert_eq!((answer.verdict(), answer.vm_nonce.len()), (Verdict::Admitted, 16));
    server.stop().await;
}

#[tokio::test]
async fn a_question_without_sense_is_refused() {
    let place = Place::new();
    let server = place.start().await;
    for key_sha256 in [vec![], vec![0; 31], b"vk-prod".to_vec()] {
        let refused = place.client().admit(AdmitRequest { key_sha256, ..AdmitRequest::default() }).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_generation_stays_while_it_runs_and_grows_over_a_restart() {
    let place = Place::new();
    let server = place.start().await;
    let first = place.client().admit(hello()).await.unwrap().into_inner().generation;
    assert!(first > 0);
    assert_eq!(place.client().admit(ask("vk-prod")).await.unwrap().into_inner().generation, first);
    server.stop().await;
    let server = place.start().await;
    assert!(place.client().admit(hello()).await.unwrap().into_inner().generation > first);
    server.stop().await;
}
