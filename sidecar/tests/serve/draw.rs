//! Draws, as a filter asks for them: granted once, kept over a restart, and told in the metrics.

use sidecar_api::v1::{Account, AdmitRequest, Charge, Draw, Lease, ModelName};
use tonic::Code;

use super::support::{Client, Place, ask, batch, hello, page};

const LIMITS: &str = r#"
global: {limits: [{requests: 1000, per: 1Y}]}
customers: {acme: {limits: [{money: 5, per: 1Y}]}}
teams: {search: {customer: acme, limits: [{requests: 100, per: 1Y}]}}
prices: [{provider: openai, model: gpt-4.1, input: 2, output: 8}]
"#;

async fn greet(client: &mut Client) -> Vec<u8> {
    client.admit(hello()).await.unwrap().into_inner().vm_nonce
}

async fn accounts(client: &mut Client) -> Vec<Account> {
    client.admit(ask("vk-prod")).await.unwrap().into_inner().key.unwrap().accounts
}

fn team(accounts: &[Account]) -> u64 {
    accounts.iter().find(|account| account.scope == "team search").unwrap().id
}

fn draws(nonce: &[u8], draws: Vec<Draw>) -> AdmitRequest {
    AdmitRequest { vm_nonce: nonce.to_vec(), draws, ..AdmitRequest::default() }
}

async fn draw(client: &mut Client, nonce: &[u8], draw: Draw) -> Lease {
    client.admit(draws(nonce, vec![draw])).await.unwrap().into_inner().leases[0]
}

#[tokio::test]
async fn a_lease_is_granted_for_each_draw_in_their_order_and_settled() {
    let place = Place::with(LIMITS);
    let server = place.start().await;
    let mut client = place.client();
    let nonce = greet(&mut client).await;
    let accounts = accounts(&mut client).await;
    let scopes: Vec<_> = accounts.iter().map(|account| account.scope.as_str()).collect();
    assert_eq!(scopes, ["global", "customer acme", "team search"]);
    let all: Vec<_> = accounts.iter().map(|it| Draw { account: it.id, need: 3, want: 10, ..Draw::default() }).collect();
    let unknown = Draw { account: 1, need: 1, ..Draw::default() };
    let answer = client.admit(draws(&nonce, [all, vec![unknown]].concat())).await.unwrap().into_inner();
    assert_eq!(answer.leases.len(), 4);
    for (lease, account) in answer.leases.iter().zip(&accounts) {
        assert_eq!((lease.account, lease.granted >= 3, lease.refused), (account.id, true, false));
        assert_eq!((lease.most, lease.gone), (account.most, false));
        assert!(lease.window > 0 && lease.ends_in_ms > 0);
    }
    assert!(answer.leases[3].gone);

    let lease = answer.leases[2];
    let mut settled = batch(&nonce, [1]);
    settled.settlements[0].charges = vec![Charge { account: lease.account, window: lease.window, amount: 60 }];
    settled.settlements[0].customer = "acme".to_owned();
    settled.settlements[0].exceeded = vec![lease.account];
    for _ in 0..2 {
        client.settle(settled.clone()).await.unwrap();
    }
    let told = Draw { account: lease.account, window: lease.window, received: lease.granted, ..Draw::default() };
    assert_eq!(draw(&mut client, &nonce, told).await.used, 60, "once");
    let (_, _, text) = page(&server, "/metrics").await;
    for line in [
        r#"attache_limit_used{limit="requests 1Y",scope="team search"} 60"#,
        r#"attache_limit_max{limit="requests 1Y",scope="team search"} 100"#,
        r#"attache_limit_events_total{limit="requests 1Y",scope="team search",threshold="50"} 1"#,
        r#"attache_limit_exceeded_total{limit="requests 1Y",scope="team search"} 1"#,
        // 10 tokens at 2 and 5 at 8 dollars a million; nobody knows what the other try costs.
        r#"attache_cost_dollars_total{customer="acme",key="prod",model="gpt-4.1",provider="openai",team="search"} 0.00006"#,
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
    server.stop().await;
    assert_eq!(place.count("SELECT sum(cost) FROM attempt"), 60_000);
    assert_eq!(place.count("SELECT used FROM balance JOIN account ON id = account WHERE scope = 'team'"), 60);
}

#[tokio::test]
async fn what_was_granted_is_granted_again_after_a_restart_and_no_more() {
    let place = Place::with(LIMITS);
    let server = place.start().await;
    let mut client = place.client();
    let nonce = greet(&mut client).await;
    let account = team(&accounts(&mut client).await);
    let first = Draw { account, need: 40, want: 40, ..Draw::default() };
    let granted = draw(&mut client, &nonce, first).await;
    assert_eq!(granted.granted, 40);
    server.stop().await;
    let server = place.start().await;
    assert_eq!(draw(&mut client, &nonce, first).await.granted, 40, "as if the answer had been lost");
    let other = greet(&mut client).await;
    assert!(draw(&mut client, &other, Draw { account, need: 61, ..Draw::default() }).await.refused);
    assert_eq!(draw(&mut client, &other, Draw { account, need: 60, ..Draw::default() }).await.granted, 60);
    server.stop().await;
}

#[tokio::test]
async fn a_call_that_is_given_up_after_its_commit_is_made_up_for() {
    let place = Place::with(LIMITS);
    let server = place.start().await;
    let mut client = place.client();
    let nonce = greet(&mut client).await;
    let account = team(&accounts(&mut client).await);
    let first = Draw { account, need: 40, want: 40, ..Draw::default() };
    let committed = "SELECT sum(committed) FROM balance JOIN account ON id = account WHERE scope = 'team'";
    let (mut other, request) = (place.client(), draws(&nonce, vec![first]));
    let call = tokio::spawn(async move { other.admit(request).await });
    while place.count(committed) == 0 {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert_eq!(draw(&mut client, &nonce, first).await.granted, 40);
    assert_eq!(place.count(committed), 40);
    server.stop().await;
}

#[tokio::test]
async fn draws_that_are_nobodys_or_too_many_are_refused() {
    let place = Place::with(LIMITS);
    let server = place.start().await;
    let mut client = place.client();
    let many = vec![Draw::default(); 2000];
    for request in [draws(&[], vec![Draw::default()]), draws(&[1; 15], vec![Draw::default()]), draws(&[1; 16], many)] {
        assert_eq!(client.admit(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
    server.stop().await;
    assert_eq!(place.count("SELECT count(*) FROM balance"), 0);
}

#[tokio::test]
async fn a_nonce_alone_polls_and_who_has_no_key_meets_what_everybody_meets() {
    let place = Place::with(LIMITS);
    let server = place.start().await;
    let mut client = place.client();
    let nonce = greet(&mut client).await;
    let poll = client.admit(draws(&nonce, Vec::new())).await.unwrap().into_inner();
    assert!(poll.generation > 0 && poll.vm_nonce.is_empty() && poll.leases.is_empty());
    let anonymous = AdmitRequest { anonymous: true, ..AdmitRequest::default() };
    let record = client.admit(anonymous).await.unwrap().into_inner().key.unwrap();
    assert_eq!((record.name.as_str(), record.accounts.len()), ("", 1));
    assert_eq!(record.accounts[0].scope, "global");
    server.stop().await;
}

#[tokio::test]
async fn what_is_too_much_of_one_request_leaves_the_others_of_its_call_answered() {
    let place = Place::with(LIMITS);
    let server = place.start().await;
    let mut client = place.client();
    let nonce = greet(&mut client).await;
    let account = team(&accounts(&mut client).await);
    let name = |model: String| ModelName { provider: "openai".to_owned(), model };
    let mut rates = vec![name("x".repeat(1 << 20)), name("gpt-4.1".to_owned())];
    rates.extend((0..1000).map(|n| name(format!("invented-{n}"))));
    let first = Draw { account, need: 1, ..Draw::default() };
    let answer = client.admit(AdmitRequest { rates, ..draws(&nonce, vec![first]) }).await.unwrap().into_inner();
    assert!(!answer.leases[0].refused);
    assert_eq!((answer.rates[0].known, answer.rates[1].known, answer.rates.len()), (false, true, 256));
    server.stop().await;
}

#[tokio::test]
async fn rates_are_told_in_the_order_they_were_asked_for() {
    let place = Place::with(LIMITS);
    let server = place.start().await;
    let name = |model: &str| ModelName { provider: "openai".to_owned(), model: model.to_owned() };
    let rates = vec![name("nobody-knows-it"), name("gpt-4.1")];
    let request = AdmitRequest { vm_nonce: vec![1; 16], rates, ..AdmitRequest::default() };
    let rates = place.client().admit(request).await.unwrap().into_inner().rates;
    assert_eq!((rates[0].known, rates[0].standard.len()), (false, 0));
    assert_eq!((rates[1].known, rates[1].model.as_str()), (true, "gpt-4.1"));
    assert_eq!((rates[1].standard[0].input, rates[1].standard[0].output), (2_000_000, 8_000_000));
    server.stop().await;
}

#[tokio::test]
async fn a_reload_changes_the_limit_and_keeps_what_was_used() {
    let place = Place::with(LIMITS);
    let server = place.start().await;
    let mut client = place.client();
    let nonce = greet(&mut client).await;
    let account = team(&accounts(&mut client).await);
    let lease = draw(&mut client, &nonce, Draw { account, need: 90, ..Draw::default() }).await;
    let place = place.changed(&LIMITS.replace("requests: 100,", "requests: 200,"));
    server.reloader().reload(&place.read().1).await.unwrap();
    assert_eq!(team(&accounts(&mut client).await), account);
    let more = Draw { account, window: lease.window, received: 90, need: 110, ..Draw::default() };
    let lease = draw(&mut client, &nonce, more).await;
    assert_eq!((lease.granted, lease.most), (200, 200));
    let place = place.changed("");
    server.reloader().reload(&place.read().1).await.unwrap();
    assert!(draw(&mut client, &nonce, more).await.gone, "nobody limits it any more");
    server.stop().await;
}

#[tokio::test]
async fn an_admission_without_draws_does_not_wait_for_the_store() {
    let place = Place::with(LIMITS);
    let server = place.start().await;
    let mut client = place.client();
    let nonce = greet(&mut client).await;
    let account = team(&accounts(&mut client).await);
    let other = place.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    client.admit(ask("vk-prod")).await.unwrap();
    let request = draws(&nonce, vec![Draw { account, need: 1, ..Draw::default() }]);
    assert_eq!(client.admit(request.clone()).await.unwrap_err().code(), Code::Unavailable);
    other.execute_batch("ROLLBACK").unwrap();
    client.admit(request).await.unwrap();
    server.stop().await;
}
