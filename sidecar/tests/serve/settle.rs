//! Settle, as a filter calls it.

use tonic::Code;

use super::support::{Place, batch, hello, page, settlement};

#[tokio::test]
async fn a_settlement_counts_once_however_often_it_is_sent() {
    let place = Place::new();
    let server = place.start().await;
    let mut client = place.client();
    let greeted = client.admit(hello()).await.unwrap().into_inner();
    let nonce = greeted.vm_nonce;
    for counters in [1..=3, 1..=3, 2..=4] {
        let answer = client.settle(batch(&nonce, counters)).await.unwrap().into_inner();
        assert_eq!(answer.generation, greeted.generation);
    }
    assert_eq!(place.settled(), (4, 4));
    server.stop().await;

    let server = place.start().await;
    client.settle(batch(&nonce, 3..=5)).await.unwrap();
    assert_eq!(place.settled(), (5, 5), "doubles are known over a restart");
    let (_, _, text) = page(&server, "/metrics").await;
    assert!(text.contains("\nattache_settlements_total 5\n"), "{text}");
    assert!(text.contains("\nattache_settlements_duplicate_total 2\n"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn equal_counters_of_different_workers_are_different_settlements() {
    let place = Place::new();
    let server = place.start().await;
    let mut client = place.client();
    for nonce in [[1; 16], [2; 16]] {
        client.settle(batch(&nonce, [7])).await.unwrap();
    }
    assert_eq!(place.settled(), (2, 2));
    server.stop().await;
}

#[tokio::test]
async fn what_is_acknowledged_is_in_the_store_with_all_it_said() {
    let place = Place::new();
    let server = place.start().await;
    place.client().settle(batch(&[1; 16], [1, 2])).await.unwrap();
    let usage: [i64; 6] = place
        .sql()
        .query_row(
            "SELECT sum(requests), sum(errors), sum(tries_ok), sum(tries_error), sum(input_tokens), \
             sum(output_tokens) FROM usage_count WHERE key = 'prod' AND model = 'gpt-4.1'",
            [],
            |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?]),
        )
        .unwrap();
    assert_eq!(usage, [2, 0, 2, 2, 40, 20]);
    let hops = "SELECT failovers FROM failover_count WHERE from_provider = 'anthropic' AND to_provider = 'openai'";
    assert_eq!(place.count(hops), 2);
    assert_eq!(place.count("SELECT count(*) FROM attempt WHERE provider_key = 'main'"), 4);
    assert_eq!(place.count("SELECT sum(duration_micros) FROM settlement"), 80_000);
    server.stop().await;
}

#[tokio::test]
async fn a_batch_that_nobody_could_recognise_again_is_refused_as_a_whole() {
    let place = Place::new();
    let server = place.start().await;
    for nonce in [vec![], vec![1; 15], vec![1; 17]] {
        let refused = place.client().settle(batch(&nonce, [1])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    assert_eq!(place.settled(), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_batch_that_failed_counts_when_it_is_sent_again() {
    let place = Place::new();
    let server = place.start().await;
    let mut client = place.client();
    let other = place.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(client.settle(batch(&[1; 16], [1])).await.unwrap_err().code(), Code::Unavailable);
    other.execute_batch("ROLLBACK").unwrap();
    client.settle(batch(&[1; 16], [1])).await.unwrap();
    assert_eq!(place.settled(), (1, 1));
    server.stop().await;
}

#[tokio::test]
async fn names_no_client_should_send_do_no_harm() {
    let place = Place::new();
    let server = place.start().await;
    let mut request = batch(&[1; 16], []);
    for (counter, model) in (0..).zip(["", "\"}\n\\", "x\0y", &"long".repeat(10_000), "'); DROP TABLE settlement; --"])
    {
        let mut odd = settlement(counter);
        model.clone_into(&mut odd.asked_model);
        odd.tries.iter_mut().for_each(|attempt| model.clone_into(&mut attempt.model));
        odd.started_unix_nanos = u64::MAX;
        odd.duration_micros = u64::MAX;
        request.settlements.push(odd);
    }
    place.client().settle(request).await.unwrap();
    assert_eq!(place.settled(), (5, 5));
    assert!(place.count("SELECT max(length(asked_model)) FROM settlement") <= 256);
    let (status, _, text) = page(&server, "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains(r#"model="\"}\n\\""#), "{text}");
    server.stop().await;
}
