//! Header lists of clients and providers.
//!
//! Envoy bounds a head to 60 KiB and 100 headers unless it is told otherwise; operators may tell it otherwise.

use super::{Case, Cost, gateway, hold, measure};
use crate::fixture::{Dialect, chat, json};
use crate::gateway::{Answer, Message};
use crate::host::abi::{self, Headers};

/// Names that are read, removed or passed on; `#` is counted up.
const NAMES: &[&str] = &[
    "x-#",
    "x-attache-#",
    "x-envoy-#",
    "x-attache-tag",
    "authorization",
    "x-api-key",
    "cookie",
    "anthropic-beta",
    "x-forwarded-client-cert",
    "x-ratelimit-#",
    "anthropic-ratelimit-#",
    "retry-after",
    "set-cookie",
    "server-timing",
];

/// Bytes of the longest list: the host removes a header by looking at all of them, which no count of ours sees.
const MOST: usize = 256 << 10;

/// Headers of about so many bytes together: many of one value, or one of a long value.
fn list(name: &str, many: bool, size: usize) -> Headers {
    let size = size.min(MOST);
    if !many {
        return vec![(name.replace('#', "0"), vec![b'a'; size])];
    }
    let count = size / (name.len() + 16);
    (0..count).map(|n| (name.replace('#', &n.to_string()), b"Bearer a, b;c=d".to_vec())).collect()
}

fn cases(
    run: impl Fn(Headers) -> wasmtime::Result<Cost> + Copy + Send + Sync + 'static,
    whose: &str,
) -> Vec<Case<'static>> {
    let mut cases = Vec::new();
    for name in NAMES {
        for many in [false, true] {
            let kind = if many { "many" } else { "long" };
            let run = Box::new(move |size| run(list(name, many, size)));
            cases.push(Case { name: format!("{whose}: {name}, {kind}"), known: false, run });
        }
    }
    cases
}

#[test]
fn headers_of_a_request() {
    let run = |headers: Headers| {
        let mut gateway = gateway(&["anthropic"]);
        let mut request = chat(Dialect::Anthropic, "m", false);
        let sent = abi::encode_pairs(&headers);
        request.headers.extend(headers);
        measure(&mut gateway, &request, &sent).map(|(cost, _)| cost)
    };
    hold(&cases(run, "a client's headers"));
}

#[test]
fn headers_of_an_answer() {
    let run = |headers: Headers| {
        let mut gateway = gateway(&["openai"]);
        let sent = abi::encode_pairs(&headers);
        gateway.provider = Box::new(move |_| {
            let answer = json("200", r#"{"choices":[{"message":{"content":"A"}}]}"#);
            Answer::Whole(Message { headers: [answer.headers, headers.clone()].concat(), ..answer })
        });
        measure(&mut gateway, &chat(Dialect::OpenAi, "m", false), &sent).map(|(cost, _)| cost)
    };
    hold(&cases(run, "a provider's headers"));
}
