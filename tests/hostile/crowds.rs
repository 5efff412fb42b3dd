//! Many at once: what each alone may do, and together takes all memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tests::client::{Call, Client, Dialect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::arena::{Arena, Ends, KEYS, ended};
use crate::bodies::OPENAI;
use crate::sink::{Play, chunk, framed, stream_head};

const MIB: usize = 1 << 20;

/// The same call by so many clients at once, each on a connection of its own.
async fn crowd(arena: &Arena, call: &Call, clients: usize, may: &Ends) -> Vec<String> {
    let call = Arc::new(call.clone());
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (client, call, may) = (Client::h1(arena.stack.listen()), Arc::clone(&call), may.clone());
            tokio::spawn(async move { ended(&client, &call, &may).await.err() })
        })
        .collect();
    all(tasks).await
}

/// What went wrong in any of them, each kind once.
async fn all(tasks: Vec<JoinHandle<Option<String>>>) -> Vec<String> {
    let mut wrong = BTreeSet::new();
    for task in tasks {
        wrong.extend(task.await.unwrap());
    }
    wrong.into_iter().collect()
}

fn told(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the gateway keeps of a request while its provider thinks is not the client's text.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_clients_text_is_kept_while_a_provider_thinks() {
    let arena = Arena::start("").await;
    arena.sink.on("", Play::Right(Duration::from_secs(4)));
    let kind = |name: &str| OPENAI.iter().find(|kind| kind.name == name).unwrap();
    let mut wrong = Vec::new();
    for (name, model, size, clients) in [
        ("fallbacks that are all one", "chat", 31 * MIB - 4096, 10),
        ("members with long names", "claude", 31 * MIB - 4096, 16),
        ("members with long names", "claude", MIB, 60),
    ] {
        let kind = kind(name);
        let call = kind.dialect.raw(kind.body(model, size)).key("vk-attacker");
        let may = match model {
            "chat" => Ends::Refused(&[400], &["fallbacks"]),
            _ => Ends::Status(&[200, 400, 413, 503]),
        };
        let name = format!("{clients} times {name} of {} MiB", size / MIB);
        wrong.extend(arena.play(&name, false, || crowd(&arena, &call, clients, &may)).await);
    }
    told(&wrong);
}

/// One after another: what is remembered of a name is not the name.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_15_mib_leave_nothing_behind() {
    let arena = Arena::start("").await;
    let attack = async || {
        let mut wrong = Vec::new();
        for n in 0..64 {
            let body = format!(
                r#"{{"model":"oai/{n}{}","max_tokens":5,"messages":[{{"role":"user","content":"hi"}}]}}"#,
                "a".repeat(15 * MIB)
            );
            let call = Dialect::OpenAi.raw(body.into_bytes()).key("vk-attacker");
            wrong.extend(ended(&arena.client, &call, &Ends::Refused(&[400, 404], &["model"])).await.err());
        }
        wrong.dedup();
        wrong
    };
    told(&arena.play("64 names of 15 MiB", false, attack).await);
}

/// Events that a provider never finishes are counted together; their clients may be cut, the others may not.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_unfinished_events_harm_nobody_else() {
    const STREAMS: usize = 1_100;
    for provider in tests::client::DIALECTS {
        // All on one worker, whose memory they share.
        let arena = Arena::with(&format!("{KEYS}timeouts: {{idle: 20s}}\n"), 1).await;
        let (begin, _) = framed(provider);
        let mut bytes = stream_head();
        bytes.extend(begin.iter().flat_map(|event| chunk(event.as_bytes())));
        bytes.extend(chunk(&[b"data: {\"a\":\"".to_vec(), vec![b'x'; MIB - 4_096]].concat()));
        arena.sink.on("attack", Play::Raw { bytes: Arc::new(bytes), silent: true });
        // Asked in the other dialect, so that each event is translated.
        let (dialect, model) = match provider {
            Dialect::OpenAi => (Dialect::Anthropic, "chat"),
            Dialect::Anthropic => (Dialect::OpenAi, "claude"),
        };
        let call = Arc::new(dialect.chat(model, "attack", true).key("vk-attacker"));
        let all = Arc::new(Barrier::new(STREAMS));
        let attack = async || {
            let tasks: Vec<_> = (0..STREAMS)
                .map(|n| {
                    let (client, call, all) = (Client::h1(arena.stack.listen()), Arc::clone(&call), Arc::clone(&all));
                    tokio::spawn(async move {
                        // Not all in one moment: the machine that tests is no larger than the one that is tested.
                        tokio::time::sleep(Duration::from_millis(n as u64 * 5)).await;
                        let live = client.open(&call).await;
                        all.wait().await;
                        match live {
                            Err(error) => Some(format!("no answer: {error:#}")),
                            Ok(live) => {
                                let status = live.status;
                                let end = tokio::time::timeout(Duration::from_secs(60), live.finish()).await;
                                let may = [200, 502, 503, 529].contains(&status);
                                (end.is_err() || !may).then(|| format!("status {status}, ended {}", end.is_ok()))
                            }
                        }
                    })
                })
                .collect();
            self::all(tasks).await
        };
        told(&arena.play(&format!("{STREAMS} unfinished events of {provider:?}"), false, attack).await);
    }
}

/// Bodies that become whole in one moment while leases are drawn, under `strict`, where the gateway looks into each.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_wait_for_leases_do_not_take_all_memory() {
    const BODIES: usize = 40;
    let limited = r#"
strict: true
virtual_keys:
- {name: attacker, secret: "{{vk-attacker}}", models: ["*"], limits: [{total_tokens: 1000000000000, per: 1M}]}
- {name: victim, secret: "{{vk-victim}}", models: ["quiet"]}
"#;
    let arena = Arena::with(limited, 1).await;
    let body = format!(
        r#"{{"model":"claude","max_tokens":5,"messages":[{{"role":"user","content":"{}"}}]}}"#,
        "a".repeat(31 * MIB)
    );
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer vk-attacker\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (all_but, last) = body.as_bytes().split_at(body.len() - 1);
    let attack = async || {
        let mut sockets = Vec::new();
        for _ in 0..BODIES {
            let mut socket = TcpStream::connect(arena.stack.listen()).await.unwrap();
            socket.write_all(head.as_bytes()).await.unwrap();
            let _ = socket.write_all(all_but).await;
            sockets.push(socket);
        }
        let mut wrong = Vec::new();
        for socket in &mut sockets {
            let _ = socket.write_all(last).await;
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        for mut socket in sockets {
            let mut first = [0; 12];
            let read = tokio::time::timeout_at(deadline, socket.read_exact(&mut first)).await;
            let fine = matches!(&read, Ok(Ok(_)))
                && [b"200", b"400", b"408", b"413", b"503"].iter().any(|code| first.ends_with(*code));
            if !fine {
                wrong.push(format!("{read:?} {:?}", String::from_utf8_lossy(&first)));
            }
        }
        wrong.dedup();
        wrong
    };
    told(&arena.play(&format!("{BODIES} bodies of 31 MiB, the last bytes at once"), false, attack).await);
}
