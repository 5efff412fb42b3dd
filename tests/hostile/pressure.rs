//! Envoy's own memory: bodies that never end, connections that never ask.

use std::time::Duration;

use tests::client::Dialect;
use tests::raw::Raw;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::arena::Arena;

const MIB: usize = 1 << 20;

fn head(dialect: Dialect, length: usize) -> String {
    let key = match dialect {
        Dialect::OpenAi => "authorization: Bearer vk-attacker",
        Dialect::Anthropic => "anthropic-version: 2023-06-01\r\nx-api-key: vk-attacker",
    };
    let path = dialect.path();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\n{key}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// The status line and all that follows, until the connection ends or is silent for long.
async fn read(socket: &mut TcpStream) -> String {
    let mut out = Vec::new();
    let mut more = [0; 4_096];
    while let Ok(Ok(n)) = tokio::time::timeout(Duration::from_secs(2), socket.read(&mut more)).await {
        if n == 0 {
            break;
        }
        out.extend_from_slice(&more[..n]);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Sixty bodies of 31 MiB, all but their last byte. Half of the heap is theirs; the slowest are refused, and Envoy never
/// takes more than the heap.
#[tokio::test(flavor = "multi_thread")]
async fn half_sent_bodies_take_no_more_than_their_part_of_the_heap() {
    const BODIES: usize = 60;
    const HEAP: u64 = 256 << 20;
    let arena = Arena::start("limits: {heap: 256MiB}\n").await;
    let before = arena.stack.envoy_memory();
    let body = vec![b' '; 31 * MIB];
    let attack = async || {
        let (mut wrong, mut sockets, mut most) = (Vec::new(), Vec::new(), 0);
        for n in 0..BODIES {
            let dialect = if n % 2 == 0 { Dialect::OpenAi } else { Dialect::Anthropic };
            let mut socket = TcpStream::connect(arena.stack.listen()).await.unwrap();
            socket.write_all(head(dialect, body.len() + 1).as_bytes()).await.unwrap();
            // A refused one is closed while the rest of it is being sent.
            let _ = tokio::time::timeout(Duration::from_secs(10), socket.write_all(&body)).await;
            sockets.push((dialect, socket));
            most = most.max(arena.stack.envoy_memory());
        }
        let taken = most.saturating_sub(before);
        println!("{} MiB before, {} more at most", before >> 20, taken >> 20);
        if taken > HEAP {
            wrong.push(format!("Envoy took {} MiB", taken >> 20));
        }
        let (mut open, mut told) = (0, 0);
        for (dialect, mut socket) in sockets {
            let text = read(&mut socket).await;
            match text.as_str() {
                "" => open += 1,
                text if text.contains("bodies_too_large")
                    || dialect == Dialect::Anthropic && text.contains("overloaded_error") =>
                {
                    told += 1
                }
                other => wrong.push(other.chars().take(300).collect()),
            }
        }
        println!("{told} were told why, {open} are open or were reset");
        if told == 0 {
            wrong.push("nobody was refused in words".to_owned());
        }
        wrong
    };
    let wrong = arena.play("half-sent bodies", false, attack).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What was refused is given back, and a large body is served again.
    let text = "a".repeat(20 * MIB);
    let call = Dialect::OpenAi.chat("chat", &text, false).key("vk-attacker");
    assert_eq!(arena.client.send(&call).await.unwrap().status, 200);
}

/// A byte a second is slower than the least rate, whatever came before; both dialects hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_ended_with_408() {
    let arena = Arena::start("").await;
    let attack = async || {
        let tasks: Vec<_> = (0..40)
            .map(|n| {
                let addr = arena.stack.listen();
                tokio::spawn(async move {
                    let dialect = if n % 2 == 0 { Dialect::OpenAi } else { Dialect::Anthropic };
                    let mut raw = Raw::connect(addr).await.unwrap();
                    raw.write(head(dialect, 31 * MIB).as_bytes()).await;
                    // Nothing at all, a little, and much at first.
                    raw.write(&vec![b' '; [0, 1_000, 4 * MIB][n % 3]]).await;
                    for _ in 0..60 {
                        raw.write(b" ").await;
                        match raw.answer().await {
                            // Silence so far: it waits two seconds.
                            Err(_) => {}
                            Ok(Some(answer)) if answer.status == 408 && answer.body.contains("bytes a second") => {
                                return None;
                            }
                            other => return Some(format!("{dialect:?} {n}: {other:?}")),
                        }
                    }
                    Some(format!("{dialect:?} {n}: never ended"))
                })
            })
            .collect();
        let mut wrong = Vec::new();
        for task in tasks {
            wrong.extend(task.await.unwrap());
        }
        wrong
    };
    let wrong = arena.play("dripping bodies", true, attack).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A body that comes slowly but steadily is nobody's attack.
#[tokio::test(flavor = "multi_thread")]
async fn a_steady_body_above_the_least_rate_is_served_however_long_it_takes() {
    let arena = Arena::start("limits: {body_rate: 64}\n").await;
    let body = br#"{"model":"chat","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;
    let padded = [vec![b' '; 13 * 256], body.to_vec()].concat();
    let mut socket = TcpStream::connect(arena.stack.listen()).await.unwrap();
    socket.write_all(head(Dialect::OpenAi, padded.len()).as_bytes()).await.unwrap();
    // Thirteen seconds: more than a whole window.
    for piece in padded.chunks(256) {
        socket.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let text = read(&mut socket).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_do_no_harm() {
    let arena = Arena::start("").await;
    let before = arena.stack.envoy_memory();
    let attack = async || {
        let mut idle = Vec::new();
        for n in 0..2_000 {
            let mut socket = TcpStream::connect(arena.stack.listen()).await.unwrap();
            // Some have begun to speak.
            if n % 4 == 0 {
                let _ = socket.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-a: ").await;
            }
            idle.push(socket);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let grown = arena.stack.envoy_memory().saturating_sub(before);
        println!("{} KiB for {} idle connections", grown >> 10, idle.len());
        // 64 KiB each would be 128 MiB.
        if grown > 128 << 20 { vec![format!("Envoy grew by {} MiB", grown >> 20)] } else { Vec::new() }
    };
    let wrong = arena.play("idle connections", true, attack).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Connections beyond their number are closed, and those that are there go on.
#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_their_number_are_closed_at_once() {
    let arena = Arena::start("limits: {connections: 100}\n").await;
    let attack = async || {
        // The victim's own connections are older.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut sockets = Vec::new();
        for _ in 0..300 {
            sockets.push(TcpStream::connect(arena.stack.listen()).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut closed = 0;
        for socket in &mut sockets {
            let mut byte = [0];
            let read = tokio::time::timeout(Duration::from_millis(5), socket.read(&mut byte)).await;
            closed += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
        }
        if closed >= 200 { Vec::new() } else { vec![format!("only {closed} were closed")] }
    };
    let wrong = arena.play("too many connections", false, attack).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
