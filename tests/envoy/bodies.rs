//! Very many of the largest bodies at once, and providers that never end what they began. Example: a hundred requests of
//! nearly `limits.body`, whose last bytes come together.
//!
//! Does not: bound what Envoy itself buffers; that is the overload manager's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tests::client::{Client, Dialect};
use tests::mock::{Fault, HostSpec};
use tests::said::Said;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hostile::Calm;
use crate::world::{ANTHROPIC, OPENAI, World};

const ANY_MODEL: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
"#;

/// Just under the default of `limits.body`.
const LARGE: usize = (32 << 20) - (64 << 10);

/// Nobody waits longer for any answer.
const HANG: Duration = Duration::from_secs(400);

async fn world(yaml: &str, workers: u32) -> World {
    let hosts = [OPENAI, ANTHROPIC].map(HostSpec::tls);
    let world = World::with(&hosts, &format!("{ANY_MODEL}{yaml}"), |options| options.workers = workers).await;
    world.mock.journal().counts_only(true);
    world
}

/// A chat with this model, and as much text as makes it so long.
fn chat(model: &str, size: usize) -> Vec<u8> {
    let head = format!(r#"{{"model":"{model}","max_tokens":5,"messages":[{{"role":"user","content":""#);
    let mut body = head.into_bytes();
    body.resize(size - 4, b'a');
    body.extend_from_slice(br#""}]}"#);
    body
}

/// A request whose last byte is still to be sent.
async fn all_but_one(to: SocketAddr, body: Arc<Vec<u8>>) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..body.len() - 1]).await.unwrap();
    stream
}

/// The status, and what was said if it is no good one.
async fn last_byte(mut stream: TcpStream) -> String {
    stream.write_all(b"}").await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end as well; without one the status is none.
    let _ = tokio::time::timeout(HANG, stream.read_to_end(&mut answer)).await.expect("no answer");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).unwrap_or("none");
    let said = text.split("\r\n\r\n").nth(1).unwrap_or_default();
    if status == "200" { status.to_owned() } else { format!("{status} {said}") }
}

/// So many of them at once, on connections of their own, with these models by turns; how often which answer came.
async fn together(world: &World, models: &[&str], n: usize) -> BTreeMap<String, usize> {
    let bodies: Vec<_> = models.iter().map(|model| Arc::new(chat(model, LARGE))).collect();
    let to = world.stack.listen();
    let sent = (0..n).map(|i| tokio::spawn(all_but_one(to, Arc::clone(&bodies[i % bodies.len()]))));
    let mut waiting = Vec::new();
    for stream in sent.collect::<Vec<_>>() {
        waiting.push(stream.await.unwrap());
    }
    let mut statuses = BTreeMap::new();
    for status in waiting.into_iter().map(|stream| tokio::spawn(last_byte(stream))).collect::<Vec<_>>() {
        *statuses.entry(status.await.unwrap()).or_insert(0) += 1;
    }
    println!("{n} of {LARGE} bytes to {models:?}: {statuses:?}, Envoy has {} MiB", world.stack.envoy_memory() >> 20);
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_of_the_largest_bodies_at_once_are_served_in_their_format_and_in_another() {
    let world = world("", 2).await;
    let calm = Calm::of(&world).await;
    let statuses = together(&world, &["openai/m", "anthropic/m"], 100).await;
    assert_eq!(statuses, BTreeMap::from([("200".to_owned(), 100)]));
    calm.still(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_gateway_keeps_no_body_while_it_waits() {
    let world = world("strict: true\nglobal: {limits: [{requests: 1000000, per: 1h}]}\n", 1).await;
    let calm = Calm::of(&world).await;
    let statuses = together(&world, &["openai/m", "anthropic/m"], 36).await;
    assert_eq!(statuses, BTreeMap::from([("200".to_owned(), 36)]));
    calm.still(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_ends_no_event_costs_the_largest_streams_and_nobody_else() {
    let world = world("", 1).await;
    let calm = Calm::of(&world).await;
    let begun = [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\"}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hel\"}}\n\n",
        &format!("event: content_block_delta\ndata: {}", "x".repeat(1_000_000)),
    ];
    let fault = Fault::Says { events: begun.map(str::to_owned).to_vec(), ms: 0, hang: true };
    world.mock.host(ANTHROPIC).fault(fault.always());
    let hogs = (0..500).map(|_| {
        let client = Client::h1(world.stack.listen());
        let call = Dialect::OpenAi.chat("anthropic/m", "hog", true);
        tokio::spawn(async move { client.send(&call).await.is_ok_and(|answer| answer.text().contains("hel")) })
    });
    let hogs: Vec<_> = hogs.collect();
    let ended = async || world.stack.stat("wasmcustom.attache_filter_memory_ended_total").await.unwrap_or_default();
    crate::world::until(&world, "streams that are ended", async || ended().await > 150).await;
    // Whoever else streams does not notice.
    for model in ["openai/m", "openai/n"] {
        let call = Dialect::Anthropic.chat(model, "small", true);
        let answer = world.send(&call).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Said::read(Dialect::Anthropic, true, &answer).unwrap();
    }
    let cut = ended().await;
    println!("{cut} of 500 were ended, Envoy has {} MiB", world.stack.envoy_memory() >> 20);
    assert!(cut < 400, "{cut} were ended, though 256 MiB may be kept");
    hogs.iter().for_each(tokio::task::JoinHandle::abort);
    world.mock.host(ANTHROPIC).clear();
    calm.still(&world).await;
}
