//! Real traffic: recorded exchanges sent and answered as they were. The same format on both sides must not change them;
//! across formats they must come out well formed.
//!
//! Recordings are no part of the repository; where they are absent this says so and proves nothing.

use std::path::PathBuf;

use tests::client::{DIALECTS, Dialect};
use tests::mock::{Exchange, HostSpec, replay};
use tests::said::{Said, events};

use crate::world::{ANTHROPIC, OPENAI, World};

const ANY_MODEL: &str = r#"
providers:
  openai: {keys: [{name: k1, secret: "{{sk-openai}}", models: ["*"]}]}
  anthropic: {keys: [{name: k1, secret: "{{sk-ant}}", models: ["*"]}]}
"#;

/// The folder of a dialect's recordings, its provider's name and host.
fn home(dialect: Dialect) -> (&'static str, &'static str, &'static str) {
    match dialect {
        Dialect::OpenAi => ("openai_chat", "openai", OPENAI),
        Dialect::Anthropic => ("anthropic", "anthropic", ANTHROPIC),
    }
}

/// Chats with a text body on both sides, by name.
fn recorded(dialect: Dialect) -> Vec<(PathBuf, Exchange)> {
    let Some(root) = replay::recordings() else {
        println!("no recordings on this machine: nothing replayed");
        return Vec::new();
    };
    let entries = std::fs::read_dir(root.join(home(dialect).0)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = paths.into_iter().filter_map(|path| Some((path.clone(), Exchange::read(&path).ok()?)));
    // A 429 sends the key to rest, and that is another story.
    let chats = read.filter(|(_, e)| e.request_path.ends_with(&dialect.path()[3..]) && e.status != 429);
    let chats: Vec<_> = chats.collect();
    assert!(chats.len() > 50, "{} recordings are not all", chats.len());
    chats
}

/// The request with its model asked of `provider`, and the model.
fn asked_of(provider: &str, request: &[u8]) -> Option<(Vec<u8>, String)> {
    let text = std::str::from_utf8(request).ok()?;
    let model = serde_json::from_str::<serde_json::Value>(text).ok()?["model"].as_str()?.to_owned();
    let quoted = format!("\"{model}\"");
    let at = text.find("\"model\"").map(|at| at + 7)?;
    let (before, after) = text.split_at(at);
    let renamed = after.replacen(&quoted, &format!("\"{provider}/{model}\""), 1);
    Some((format!("{before}{renamed}").into_bytes(), model))
}

async fn world() -> World {
    World::with(&[OPENAI, ANTHROPIC].map(HostSpec::tls), ANY_MODEL, |_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_format_changes_neither_request_nor_answer() {
    let world = world().await;
    for dialect in DIALECTS {
        let (_, provider, host) = home(dialect);
        for (path, exchange) in recorded(dialect) {
            let Some((body, model)) = asked_of(provider, &exchange.request) else { continue };
            let about = path.display();
            let (status, expected, streamed) = (exchange.status, exchange.response.clone(), exchange.streamed());
            let request = exchange.request.clone();
            // What may be retried is tried again; the answer is the same.
            world.mock.host(host).replay(exchange);
            let answer = world.send(&dialect.raw(body)).await;
            assert_eq!(answer.status, status, "{about}: {}", answer.text());
            let sent = world.mock.journal().records(Some(host)).pop().unwrap();
            let asks_usage = String::from_utf8_lossy(&request).contains("include_usage");
            if dialect == Dialect::OpenAi && sent.json()["stream"] == true && !asks_usage {
                // The one edit but for the model's name: usage is asked for, and hidden again.
                assert_eq!(sent.json()["stream_options"]["include_usage"], true, "{about}");
            } else {
                let (sent, request) = (String::from_utf8_lossy(&sent.body), String::from_utf8_lossy(&request));
                assert_eq!(sent, request, "{about} {model}");
            }
            let received = answer.body();
            if streamed && dialect == Dialect::OpenAi && !asks_usage {
                let shown = String::from_utf8_lossy(&received);
                let lost = events(&expected)
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|(_, data)| !shown.contains(data.as_str()));
                let lost: Vec<_> = lost.map(|(_, data)| data).collect();
                let hidden = |data: &String| data.contains("\"choices\":[]") || data.contains("\"choices\": []");
                assert!(lost.iter().all(hidden), "{about}: lost {lost:#?}");
            } else if status == 401 {
                // The one answer that does not pass: it is about our key, and may quote it.
                let (_, message) = Said::error(dialect, &answer).unwrap_or_else(|e| panic!("{about}: {e:#}"));
                assert!(message.contains("status 401"), "{about}: {message}");
            } else {
                assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(&expected), "{about}");
            }
            world.mock.journal().clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn across_formats_a_recorded_answer_is_well_formed() {
    let world = world().await;
    for (client, provider) in [(Dialect::OpenAi, Dialect::Anthropic), (Dialect::Anthropic, Dialect::OpenAi)] {
        let (_, name, host) = home(provider);
        for (path, exchange) in recorded(provider) {
            let about = path.display();
            let (status, streamed) = (exchange.status, exchange.streamed());
            let failed = streamed && String::from_utf8_lossy(&exchange.response).contains("\"error\":");
            world.mock.host(host).replay(exchange);
            let answer = world.send(&client.chat(&format!("{name}/any"), "hi", streamed)).await;
            if status == 200 {
                if failed {
                    assert!(ends_in_an_error(&answer.body()), "{about}: {}", answer.text());
                } else {
                    Said::read(client, streamed, &answer).unwrap_or_else(|e| panic!("{about}: {e:#}"));
                }
            } else {
                assert_eq!(answer.status, status, "{about}: {}", answer.text());
                Said::error(client, &answer).unwrap_or_else(|e| panic!("{about}: {e:#}"));
            }
        }
    }
}

/// A provider may fail in mid-stream; then so must the stream that the client sees.
fn ends_in_an_error(body: &[u8]) -> bool {
    let last = events(body).unwrap_or_default().pop();
    let body = last.and_then(|(_, data)| serde_json::from_str::<serde_json::Value>(&data).ok());
    body.is_some_and(|body| body["error"]["message"].is_string())
}
