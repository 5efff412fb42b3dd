//! What an operator sees: sockets, pages, a blocked store, a drain.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use engine::config::snapshot::Address;
use sidecar::serve::Server;
use sidecar_api::v1::admit_response::Verdict;
use tonic::Code;

use super::support::{Place, ask, batch, client, hello, page, url};

/// For what a busy machine does in its own time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store is ready if it writes within half a second, which one disk that syncs for everybody need not do every time.
async fn becomes_ready(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    while page(server, "/readyz").await.0 != 200 {
        assert!(Instant::now() < deadline, "it is never ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn metrics_are_well_formed_and_know_a_model_with_a_dot() {
    let place = Place::new();
    let server = place.start().await;
    place.client().settle(batch(&[1; 16], [1])).await.unwrap();
    place.client().admit(ask("vk-nobody")).await.unwrap();
    let (status, head, text) = page(&server, "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("text/plain"), "{head}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(name.starts_with("attache_") && labels.ends_with('}'), "{line}");
    }
    for line in [
        r#"attache_requests_total{dialect="openai_chat",key="prod",model="gpt-4.1",status_class="2xx",team="search"} 1"#,
        r#"attache_attempts_total{key="prod",model="gpt-4.1",outcome="error",provider="anthropic",team="search"} 1"#,
        r#"attache_failovers_total{from_provider="anthropic",to_provider="openai"} 1"#,
        r#"attache_tokens_total{key="prod",kind="output",model="gpt-4.1",provider="openai",team="search"} 5"#,
        r#"attache_admits_total{verdict="unknown_key"} 1"#,
        r#"attache_request_duration_seconds_count{model="gpt-4.1"} 1"#,
        r#"attache_first_byte_seconds_bucket{model="gpt-4.1",le="0.01"} 1"#,
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_blocked_store_is_not_ready_but_alive_and_still_admits() {
    let place = Place::new();
    let server = place.start().await;
    becomes_ready(&server).await;
    let other = place.sql();
    // A question that was given up on may still be in the writer's hands.
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(page(&server, "/readyz").await.0, 503);
    assert_eq!(page(&server, "/healthz").await.0, 200);
    place.client().admit(ask("vk-prod")).await.unwrap();
    other.execute_batch("ROLLBACK").unwrap();
    becomes_ready(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_settlement_in_flight_is_finished_before_the_end() {
    let place = Place::new();
    let server = place.start().await;
    let mut settling = place.client();
    let mut asking = settling.clone();
    let other = place.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut settled = Box::pin(settling.settle(batch(&[1; 16], 1..=3)));
    tokio::select! {
        biased;
        early = &mut settled => panic!("answered while the store was blocked: {early:?}"),
        // Sent after it on the same connection: when this is answered, that has arrived.
        greeted = asking.admit(hello()) => assert!(greeted.is_ok()),
    }
    let stop = async {
        server.stop().await;
        place.settled()
    };
    let release = async {
        tokio::task::yield_now().await;
        other.execute_batch("ROLLBACK").unwrap();
    };
    let (settled, stored, ()) = tokio::join!(settled, stop, release);
    settled.unwrap();
    assert_eq!(stored, (3, 3), "it stopped before it was done");
    assert!(!place.socket().exists());
    assert_eq!(asking.admit(hello()).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group() {
    let place = Place::new();
    let server = place.start().await;
    let meta = std::fs::metadata(place.socket()).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o660);
    server.stop().await;
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let place = Place::new();
    std::fs::create_dir_all(place.socket().parent().unwrap()).unwrap();
    drop(UnixListener::bind(place.socket()).unwrap());
    let server = place.start().await;
    let refused = Server::start(&place.loaded()).await.unwrap_err();
    assert!(format!("{refused:#}").contains("another process listens there"), "{refused:#}");
    place.client().admit(hello()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_socket_whose_file_is_gone_is_bound_anew_and_those_who_are_connected_stay() {
    let place = Place::new();
    let server = place.start().await;
    becomes_ready(&server).await;
    let mut connected = place.client();
    connected.admit(hello()).await.unwrap();
    std::fs::remove_file(place.socket()).unwrap();
    becomes_ready(&server).await;
    place.client().admit(hello()).await.unwrap();
    connected.admit(hello()).await.unwrap();

    // Somebody else listens there: this process is not ready, and takes nothing away.
    std::fs::remove_file(place.socket()).unwrap();
    let other = UnixListener::bind(place.socket()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let (status, _, said) = loop {
        let answer = page(&server, "/readyz").await;
        if answer.0 != 200 || Instant::now() > deadline {
            break answer;
        }
    };
    assert!(status == 503 && said.contains("is not this process's socket any more"), "{said}");
    assert_eq!(page(&server, "/healthz").await.0, 200);
    drop(other);
    becomes_ready(&server).await;
    place.client().admit(hello()).await.unwrap();
    server.stop().await;
    assert!(!place.socket().exists());
}

#[tokio::test]
async fn pages_are_served_although_many_connections_say_nothing() {
    let place = Place::new();
    let server = place.start().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(tokio::net::TcpStream::connect(server.admin()).await.unwrap());
    }
    assert_eq!(page(&server, "/healthz").await.0, 200, "their time ends");
    let mut long = tokio::net::TcpStream::connect(server.admin()).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let _refused_early = tokio::io::AsyncWriteExt::write_all(&mut long, head.as_bytes()).await;
    let mut answer = Vec::new();
    let _reset = tokio::io::AsyncReadExt::read_to_end(&mut long, &mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    drop(silent);
    server.stop().await;
}

#[tokio::test]
async fn a_second_sidecar_does_not_open_the_same_store() {
    let place = Place::new();
    let server = place.start().await;
    let mut loaded = place.loaded();
    loaded.snapshot.sidecar.address = Address::Tcp("127.0.0.1".to_owned(), 0);
    let refused = Server::start(&loaded).await.unwrap_err();
    assert!(format!("{refused:#}").contains("another process has this store open; stop it first"), "{refused:#}");
    server.stop().await;
    Server::start(&loaded).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_removed() {
    let place = Place::new();
    std::fs::create_dir_all(place.socket().parent().unwrap()).unwrap();
    std::fs::write(place.socket(), "precious").unwrap();
    Server::start(&place.loaded()).await.unwrap_err();
    assert_eq!(std::fs::read_to_string(place.socket()).unwrap(), "precious");
}

#[tokio::test]
async fn tcp_serves_the_same_calls() {
    let place = Place::new();
    let mut loaded = place.loaded();
    loaded.snapshot.sidecar.address = Address::Tcp("127.0.0.1".to_owned(), 0);
    let server = Server::start(&loaded).await.unwrap();
    let mut client = client(url(&server));
    let nonce = client.admit(hello()).await.unwrap().into_inner().vm_nonce;
    client.settle(batch(&nonce, [1])).await.unwrap();
    assert_eq!(place.settled(), (1, 1));
    server.stop().await;
}

#[tokio::test]
async fn run_ends_when_told_to() {
    let place = Place::new();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(sidecar::serve::run(place.read(), None, async {
        let _told = stopped.await;
    }));
    while place.client().admit(hello()).await.is_err() {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert!(!place.socket().exists());
}

#[tokio::test]
async fn a_changed_key_is_answered_anew_under_a_new_generation() {
    let place = Place::new();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(sidecar::serve::run(place.read(), None, async {
        let _told = stopped.await;
    }));
    let ask = || async { Ok::<_, tonic::Status>(place.client().admit(ask("vk-former")).await?.into_inner()) };
    let first = loop {
        if let Ok(answer) = ask().await {
            break answer;
        }
    };
    assert_eq!(first.verdict(), Verdict::Disabled);
    let file = place.file();
    let yaml = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, yaml.replace(", disabled: true", "")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let second = loop {
        let answer = ask().await.unwrap();
        if answer.verdict() == Verdict::Admitted {
            break answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(second.generation > first.generation);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}
