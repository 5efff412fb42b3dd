//! The streams of the outage: so many at any time, each read to its end and judged by what its client was promised.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tests::client::{Client, DIALECTS, Dialect};
use tests::mock::vendor::text;
use tests::said::{Said, text_so_far};

pub(crate) const KEY: &str = "vk-demo";
pub(crate) const MODEL: &str = "chat";

/// How a stream ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Whole,
    /// Nothing had been shown: a failure that failover should have hidden.
    BeforeContent,
    /// Something had been shown, then an error event in the client's dialect.
    ErrorEvent,
    /// Something had been shown, then the body broke off, which no client takes for an end.
    BrokenOff,
    /// It looked whole, and was not what the provider said.
    Wrong,
}

/// One stream that did not end well.
pub(crate) struct Bad {
    pub(crate) end: End,
    pub(crate) provider: String,
    /// Streams that were begun before it.
    pub(crate) number: u64,
    pub(crate) told: String,
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { end, provider, number, told } = self;
        write!(f, "stream {number}: {end:?} at {provider:?}: {told}")
    }
}

/// What all streams have come to.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) begun: AtomicU64,
    /// Streams that show content now.
    pub(crate) live: AtomicU64,
    pub(crate) whole: AtomicU64,
    pub(crate) over: AtomicBool,
    pub(crate) bad: Mutex<Vec<Bad>>,
}

impl Tally {
    pub(crate) fn count(number: &AtomicU64) -> u64 {
        number.load(Ordering::SeqCst)
    }

    pub(crate) fn ended(&self, end: End) -> usize {
        self.bad.lock().unwrap().iter().filter(|bad| bad.end == end).count()
    }
}

/// One stream after the other until it is over.
pub(crate) async fn streams(client: Client, tally: Arc<Tally>, hosts: &[(&str, &str)], delay: Duration) {
    tokio::time::sleep(delay).await;
    while !tally.over.load(Ordering::SeqCst) {
        let number = tally.begun.fetch_add(1, Ordering::SeqCst);
        let (dialect, mark) = (DIALECTS[usize::from(number % 2 == 1)], format!("stream {number}."));
        let (end, provider, told) = one(&client, &tally, dialect, &mark, hosts).await;
        if end == End::Whole {
            tally.whole.fetch_add(1, Ordering::SeqCst);
        } else {
            tally.bad.lock().unwrap().push(Bad { end, provider, number, told });
        }
    }
}

async fn one(
    client: &Client,
    tally: &Tally,
    dialect: Dialect,
    mark: &str,
    hosts: &[(&str, &str)],
) -> (End, String, String) {
    let live = match client.open(&dialect.chat(MODEL, mark, true).key(KEY)).await {
        Ok(live) => live,
        Err(error) => return (End::BeforeContent, String::new(), format!("{error:#}")),
    };
    tally.live.fetch_add(1, Ordering::SeqCst);
    let answer = live.finish().await;
    tally.live.fetch_sub(1, Ordering::SeqCst);
    let (provider, model) = (answer.header("x-attache-provider").to_owned(), answer.header("x-attache-model"));
    let host = hosts.iter().find(|(name, _)| *name == provider).map_or("", |(_, host)| *host);
    let body = answer.body();
    let end = match Said::read(dialect, true, &answer) {
        Ok(said) if said.text == text(host, model, mark) => return (End::Whole, provider, String::new()),
        _ if answer.status != 200 || text_so_far(dialect, &body).is_empty() => End::BeforeContent,
        _ if answer.broken.is_some() => End::BrokenOff,
        Err(_) if is_error_event(dialect, &body) => End::ErrorEvent,
        _ => End::Wrong,
    };
    (end, provider, format!("{} {:?} {}", answer.status, answer.broken, answer.text()))
}

/// Is its last event an error?
fn is_error_event(dialect: Dialect, body: &[u8]) -> bool {
    let events = tests::said::events(body).unwrap_or_default();
    let mut errors = events.iter().filter(|(event, data)| match dialect {
        Dialect::OpenAi => data.starts_with("{\"error\""),
        Dialect::Anthropic => event == "error",
    });
    errors.next_back().is_some()
}
