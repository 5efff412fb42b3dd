//! Framing that is meant to be misread, and requests that never come to an end: over a bare connection, since no HTTP
//! library would send them.

use tests::raw::{Plain, Raw};

use crate::hostile::{Calm, hostile_world};
use crate::world::World;

/// In the body of a second request that nobody but the attacker should see as one.
const SMUGGLED: &str = "smuggled";

fn chat(mark: &str) -> String {
    format!(r#"{{"model":"openai/gpt-4o","messages":[{{"role":"user","content":"{mark}"}}]}}"#)
}

/// A whole request with `framing` in place of the header that tells the body's length.
fn request(framing: &str, body: &str) -> Vec<u8> {
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n";
    format!("{head}{framing}\r\n\r\n{body}").into_bytes()
}

fn plain(body: &str) -> Vec<u8> {
    request(&format!("content-length: {}", body.len()), body)
}

/// At most two answers: what a packet of two requests can get.
async fn answers(world: &World, bytes: &[u8]) -> Vec<Plain> {
    let mut raw = Raw::connect(world.stack.listen()).await.unwrap();
    raw.write(bytes).await;
    let mut all = Vec::new();
    while all.len() < 2 {
        // Envoy closes after a refusal; one that stays open and silent has nothing more to say.
        let Ok(Some(answer)) = raw.answer().await else { break };
        all.push(answer);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn framing_that_can_be_read_in_two_ways_is_refused_and_smuggles_nothing() {
    let world = hostile_world().await;
    let calm = Calm::of(&world).await;
    let body = chat("first");
    let (size, hex) = (body.len(), format!("{:x}", body.len()));
    let second = String::from_utf8(plain(&chat(SMUGGLED))).unwrap();
    let chunked = format!("{hex}\r\n{body}\r\n0\r\n\r\n");
    let cases = [
        ("both lengths", format!("content-length: {size}\r\ntransfer-encoding: chunked"), format!("{chunked}{second}")),
        (
            "the chunks end early",
            "content-length: 4\r\ntransfer-encoding: chunked".into(),
            format!("0\r\n\r\n{second}"),
        ),
        ("two lengths", format!("content-length: {size}\r\ncontent-length: 0"), format!("{body}{second}")),
        ("a list of lengths", format!("content-length: {size}, 0"), format!("{body}{second}")),
        ("a signed length", format!("content-length: +{size}"), format!("{body}{second}")),
        ("a negative length", "content-length: -1".into(), format!("{body}{second}")),
        ("a length of letters", format!("content-length: 0x{hex}"), format!("{body}{second}")),
        ("a length too long", "content-length: 99999999999999999999999".into(), format!("{body}{second}")),
        ("an unknown coding", "transfer-encoding: chunked, identity".into(), format!("{chunked}{second}")),
        ("a coding in disguise", "transfer-encoding: xchunked".into(), format!("{chunked}{second}")),
        ("a space before the colon", format!("content-length : {size}"), format!("{body}{second}")),
        ("a chunk of letters", "transfer-encoding: chunked".into(), format!("zz\r\n{body}\r\n0\r\n\r\n{second}")),
        ("a signed chunk", "transfer-encoding: chunked".into(), format!("-1\r\n{body}\r\n0\r\n\r\n{second}")),
        ("an endless chunk", "transfer-encoding: chunked".into(), format!("ffffffffffffffffff\r\n{body}\r\n{second}")),
        ("a zero byte", format!("content-length: {size}\r\nx-odd: a\0b"), format!("{body}{second}")),
    ];
    for (name, framing, after) in cases {
        let answers = answers(&world, &request(&framing, &after)).await;
        // 501: a coding that Envoy does not know.
        let refused = answers.len() == 1 && [400, 501].contains(&answers[0].status);
        assert!(refused && answers[0].header("connection") == "close", "{name}: {answers:?}");
    }
    assert!(world.mock.journal().records(None).is_empty(), "no provider has heard of any of them");
    // Whereas these can be read in one way only, and what follows in the packet is the client's own second request: a
    // header that goes on in the next line, and a bare carriage return, which ends no line.
    let one_way = [
        (format!("content-length: {size}"), format!("{body}{second}")),
        ("transfer-encoding:\r\n chunked".into(), format!("{chunked}{second}")),
        (format!("content-length: {size}\r\nx-odd: a\rcontent-length: 0"), format!("{body}{second}")),
        (format!("content-length: {size}\r\nopenai-project: a\rcontent-length: 0"), format!("{body}{second}")),
    ];
    for (framing, after) in one_way {
        let answers = answers(&world, &request(&framing, &after)).await;
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200], "{framing}");
        let records = world.mock.journal().records(None);
        assert_eq!(records.len(), 2, "{framing}");
        assert!(records.iter().all(|r| r.header("content-length") == [r.body.len().to_string()]), "{records:?}");
        assert!(records.iter().all(|r| r.header("openai-project").is_empty()), "{records:?}");
        world.mock.journal().clear();
    }
    calm.still(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_reaches_nobody() {
    let world = hostile_world().await;
    let calm = Calm::of(&world).await;
    let whole = plain(&chat("half"));
    let chunked = request("transfer-encoding: chunked", &format!("{:x}\r\n{}", chat("half").len(), chat("half")));
    let cuts = [whole[..9].to_vec(), whole[..90].to_vec(), whole[..whole.len() - 40].to_vec(), chunked];
    for bytes in cuts {
        for gone in [false, true] {
            let mut raw = Raw::connect(world.stack.listen()).await.unwrap();
            raw.write(&bytes).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            if gone {
                drop(raw);
                continue;
            }
            raw.finish().await;
            for answer in raw.answers().await.unwrap() {
                assert_eq!(answer.status, 400, "{answer:?}");
            }
        }
    }
    assert!(world.mock.journal().records(None).is_empty());
    calm.still(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let world = hostile_world().await;
    let calm = Calm::of(&world).await;
    let body = chat("waited");
    let head = request(&format!("content-length: {}\r\nexpect: 100-continue", body.len()), "");
    let mut raw = Raw::connect(world.stack.listen()).await.unwrap();
    raw.write(&head).await;
    assert_eq!(raw.answer().await.unwrap().unwrap().status, 100);
    raw.write(body.as_bytes()).await;
    assert_eq!(raw.answer().await.unwrap().unwrap().status, 200);
    let records = world.mock.journal().records(None);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].header("expect"), Vec::<String>::new(), "that was between the client and us");
    // Any other expectation is one that nobody meets.
    let odd = request(&format!("content-length: {}\r\nexpect: the-unexpected", body.len()), &body);
    let mut raw = Raw::connect(world.stack.listen()).await.unwrap();
    raw.write(&odd).await;
    let answer = raw.answer().await.unwrap().unwrap();
    assert!([200, 417].contains(&answer.status), "{answer:?}");
    calm.still(&world).await;
}
