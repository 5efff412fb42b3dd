//! One exchange, whatever client and providers send: every try is whole, and the settlement has each of them once.

#![no_main]

use std::rc::Rc;
use std::sync::LazyLock;

use engine::config::{self, snapshot::Snapshot};
use engine::exchange::{Answer, Body, Exchange, Headers, intake};
use engine::route::{Hop, Plan};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use wire::scan::scan;

/// What a provider answers: an index into the statuses, streamed or not, a header's value, pieces, an end.
type Reply = (u8, bool, Vec<u8>, Vec<Vec<u8>>, bool);

const STATUSES: &[&[u8]] = &[b"200", b"200", b"200", b"204", b"400", b"401", b"404", b"429", b"500", b"529", b"\xff"];

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    json!({"version": 1, "providers": {
        "openai": {"keys": [{"name": "k1", "models": ["*"]}, {"name": "k2", "models": ["*"]}]},
        "groq": {"keys": [{"name": "k1", "models": ["*"]}]},
        "anthropic": {"keys": [{"name": "k1", "models": ["*"]}]}
    }})
});

thread_local! {
    static SNAPSHOT: Rc<Snapshot> =
        Rc::new(config::load(DOCUMENT.clone()).unwrap_or_else(|faults| panic!("{faults:?}")).snapshot);
}

fn value<'h>(headers: &'h Headers, name: &str) -> Option<&'h [u8]> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
}

/// One JSON object, of any number of members: [`wire::json::Object`] bounds them.
fn is_object(body: &[u8]) -> bool {
    let raw = serde_json::from_slice::<&serde_json::value::RawValue>(body);
    raw.is_ok_and(|raw| wire::json::kind(raw) == "object")
}

fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>, Vec<u8>, Vec<Reply>)| {
    let (anthropic, header, body, lanes, replies) = input;
    let snapshot = SNAPSHOT.with(Rc::clone);
    let path: &[u8] = if anthropic { b"/v1/messages" } else { b"/v1/chat/completions" };
    let head = [
        (b":method".to_vec(), b"POST".to_vec()),
        (b":path".to_vec(), path.to_vec()),
        (b"anthropic-version".to_vec(), header.clone()),
        (b"openai-organization".to_vec(), header),
    ];
    let Ok(taken) = intake(&snapshot, &head) else { return };
    let Ok(found) = scan(&body) else { return };
    let Some(model) = found.model.clone() else { return };
    let hop = |n: &u8| {
        let lane = usize::from(*n) % snapshot.lanes.len();
        Hop { lane, model: model.clone(), substituted: false, context: None, tier: 0 }
    };
    let hops: Vec<Hop> = lanes.iter().take(4).map(hop).collect();
    let mut ex = Exchange::new(Rc::clone(&snapshot), taken, found, None, Plan { hops }, 1);
    let mut sent = 0;
    for (n, (status, stream, value_, pieces, whole)) in replies.iter().take(4).enumerate() {
        let now = 2 + n as u64;
        let Some(cluster) = ex.cluster(ex.cursor).map(str::to_owned) else { break };
        let Some(at) = ex.begin(&cluster, now) else { break };
        let Ok(outgoing) = ex.outgoing(at, || Some(body.clone())) else {
            ex.abandon(400);
            break;
        };
        sent += 1;
        let told = outgoing.body.as_deref().unwrap_or(&body);
        assert!(is_object(told), "{}", String::from_utf8_lossy(told));
        assert_eq!(value(&outgoing.headers, "content-length"), Some(told.len().to_string().as_bytes()));
        let kind: &[u8] = if *stream { b"text/event-stream" } else { b"application/json" };
        let answer = [
            (b":status".to_vec(), STATUSES[usize::from(*status) % STATUSES.len()].to_vec()),
            (b"content-type".to_vec(), kind.to_vec()),
            (b"retry-after".to_vec(), value_.clone()),
        ];
        let Some((mut answer, _)) = Answer::head(&mut ex, &answer, false, now) else { break };
        // What Envoy holds for us.
        let mut buffer = Vec::new();
        for (m, piece) in pieces.iter().enumerate() {
            let end = *whole && m + 1 == pieces.len();
            if answer.passes() {
                answer.pass(&mut ex, piece.len(), end, now, |last| piece.get(piece.len() - last..).map(<[u8]>::to_vec));
                continue;
            }
            let staged = answer.staged();
            assert!(!answer.holds() || staged == buffer.len(), "what is staged is what Envoy holds");
            buffer.extend_from_slice(piece);
            let told = if answer.collects() && !end {
                if buffer.len() <= answer.room(&ex) {
                    continue;
                }
                answer.overflow(&mut ex, buffer.len(), now, |last| buffer.get(buffer.len() - last..).map(<[u8]>::to_vec))
            } else {
                answer.body(&mut ex, buffer.get(staged..).unwrap_or_default(), end, now)
            };
            match told {
                Body::Hold => continue,
                Body::Stage(new) => {
                    buffer = new;
                    continue;
                }
                Body::Whole(head, told) => {
                    if let Some(length) = value(&head, "content-length") {
                        assert!(is_object(&told), "{}", String::from_utf8_lossy(&told));
                        assert_eq!(length, told.len().to_string().as_bytes());
                    }
                }
                Body::Fail(head) => {
                    let status = head.set.as_ref().and_then(|head| value(head, ":status")).unwrap_or_default();
                    assert!(ex.verdict.is_some() && status.first().is_some_and(|class| matches!(class, b'4' | b'5')));
                    break;
                }
                Body::Keep | Body::Replace(_) | Body::Show(_) => {}
            }
            buffer.clear();
        }
        if let Some(late) = answer.late(&mut ex, u64::MAX) {
            assert!(late.set.is_some() && !answer.holds());
        }
        ex.delivering(false, now);
    }
    assert_eq!(ex.settle(100).tries.len(), sent);
});
