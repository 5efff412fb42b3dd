//! The steps that are counted, each with what comes before it done beforehand.

use std::rc::Rc;

use anyhow::{Context, Result, anyhow};
use engine::config::snapshot::Snapshot;
use engine::cooldown::Cooldowns;
use engine::draw::Draw;
use engine::exchange::{Answer, Exchange, intake};
use engine::route::{Ask, plan};
use serde_json::json;
use wire::scan::scan;

use crate::limits::Limits;
use crate::traffic;

/// What is counted.
pub(crate) type Work = Box<dyn FnOnce() -> Result<()>>;

/// A step, prepared for a size.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) prepare: fn(usize) -> Result<Work>,
}

pub(crate) const STEPS: [Step; 10] = [
    Step { name: "plan: head, scan, route", prepare: planning },
    Step { name: "attempt: request, same format", prepare: |size| outgoing("same", size) },
    Step { name: "attempt: request, translated", prepare: |size| outgoing("other", size) },
    Step {
        name: "attempt: answer, same format",
        prepare: |size| answering("same", false, "application/json", traffic::openai(size)),
    },
    Step {
        name: "attempt: answer, same format, streamed",
        prepare: |size| answering("same", true, "text/event-stream", traffic::openai_stream(size)),
    },
    Step {
        name: "attempt: answer, translated",
        prepare: |size| answering("other", false, "application/json", traffic::anthropic(size)),
    },
    Step {
        name: "attempt: answer, translated, streamed",
        prepare: |size| answering("other", true, "text/event-stream", traffic::anthropic_stream(size)),
    },
    Step { name: "settle", prepare: settling },
    Step { name: "four limits: decide, reserve", prepare: limiting },
    Step { name: "four limits: settle", prepare: settling_under_limits },
];

type Head = Vec<(Vec<u8>, Vec<u8>)>;

fn head(pairs: &[(&str, &str)]) -> Head {
    pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// What a client's SDK and Envoy make of a request.
fn client() -> Head {
    head(&[
        (":authority", "gateway.internal"),
        (":path", "/v1/chat/completions"),
        (":method", "POST"),
        (":scheme", "http"),
        ("content-type", "application/json"),
        ("authorization", "Bearer sk-client"),
        ("accept", "application/json"),
        ("user-agent", "OpenAI/Python 1.99.1"),
        ("x-stainless-lang", "python"),
        ("x-stainless-os", "Linux"),
        ("x-stainless-runtime", "CPython"),
        ("content-length", "1024"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "6e6e7e9f-6a5c-4a6e-8d6f-0f6a5c4a6e8d"),
    ])
}

fn provider(kind: &str) -> Head {
    head(&[
        (":status", "200"),
        ("content-type", kind),
        ("date", "Sat, 21 Nov 2026 10:00:00 GMT"),
        ("x-request-id", "req_1"),
        ("openai-processing-ms", "412"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-envoy-upstream-service-time", "412"),
    ])
}

fn snapshot() -> Result<Rc<Snapshot>> {
    let keys = json!([{"name": "k", "models": ["*"]}]);
    let config = json!({
        "version": 1,
        "providers": {"openai": {"keys": keys}, "anthropic": {"keys": keys}},
        "models": {
            "same": {"candidates": [{"provider": "openai", "model": "gpt-4o-mini"}]},
            "other": {"candidates": [{"provider": "anthropic", "model": "claude-3-5-haiku-latest"}]}
        }
    });
    let snapshot = engine::config::load_guest(config).map_err(|faults| anyhow!("{faults:?}"))?;
    let snapshot = Rc::new(snapshot);
    // It outlives every request: its end is no part of a step.
    std::mem::forget(Rc::clone(&snapshot));
    Ok(snapshot)
}

/// The plan role: from a request's head and body to its exchange.
fn planned(snapshot: Rc<Snapshot>, head: &Head, body: &[u8]) -> Result<Exchange> {
    let intake = intake(&snapshot, head).map_err(|(_, fault)| anyhow!("{fault:?}"))?;
    let scan = scan(body).map_err(|problem| anyhow!("{problem:?}"))?;
    let ask = Ask { model: scan.model.as_deref().context("no model")?, fallbacks: &scan.fallbacks, key: None };
    let hops = plan(&snapshot, ask, &Cooldowns::parse(b"", 0), 1, &mut Draw::new(1), &mut |_| true);
    let hops = hops.map_err(|refusal| anyhow!("{refusal:?}"))?;
    Ok(Exchange::new(snapshot, intake, scan, None, hops, 1))
}

fn planning(size: usize) -> Result<Work> {
    let (snapshot, head, body) = (snapshot()?, client(), traffic::request("same", size, false));
    Ok(Box::new(move || {
        std::hint::black_box(planned(snapshot, &head, &body)?);
        Ok(())
    }))
}

fn begun(ex: &mut Exchange) -> Result<usize> {
    let cluster = ex.cluster(0).context("no hop")?.to_owned();
    ex.begin(&cluster, 1).context("no try")
}

fn outgoing(model: &str, size: usize) -> Result<Work> {
    let body = traffic::request(model, size, false);
    let mut ex = planned(snapshot()?, &client(), &body)?;
    Ok(Box::new(move || {
        let hop = begun(&mut ex)?;
        let outgoing = ex.outgoing(hop, || Some(body)).map_err(|fault| anyhow!("{fault:?}"))?;
        std::hint::black_box(outgoing);
        Ok(())
    }))
}

fn answering(model: &str, stream: bool, kind: &str, pieces: Vec<Vec<u8>>) -> Result<Work> {
    let mut ex = planned(snapshot()?, &client(), &traffic::request(model, 1_000, stream))?;
    begun(&mut ex)?;
    let head = provider(kind);
    Ok(Box::new(move || std::hint::black_box(answer(&mut ex, &head, pieces))))
}

/// As Envoy has it: what is collected comes once and whole, all else piece by piece.
fn answer(ex: &mut Exchange, head: &Head, mut pieces: Vec<Vec<u8>>) -> Result<()> {
    let (mut answer, head) = Answer::head(ex, head, false, 2).context("no try runs")?;
    std::hint::black_box(head);
    if answer.collects() {
        pieces = vec![pieces.concat()];
    }
    let last = pieces.len().saturating_sub(1);
    for (n, piece) in pieces.iter().enumerate() {
        std::hint::black_box(answer.body(ex, piece, n == last, 3));
    }
    Ok(())
}

fn settling(_: usize) -> Result<Work> {
    let mut ex = planned(snapshot()?, &client(), &traffic::request("same", 1_000, false))?;
    begun(&mut ex)?;
    answer(&mut ex, &provider("application/json"), traffic::openai(1_000))?;
    Ok(Box::new(move || {
        std::hint::black_box(ex.settle(4));
        Ok(())
    }))
}

fn limiting(size: usize) -> Result<Work> {
    let body = traffic::request("same", size, false);
    let ex = planned(snapshot()?, &client(), &body)?;
    let mut limits = Limits::new("openai", "gpt-4o-mini");
    Ok(Box::new(move || {
        std::hint::black_box(limits.go(&ex.scan, &body)?);
        std::mem::forget(limits);
        Ok(())
    }))
}

fn settling_under_limits(_: usize) -> Result<Work> {
    let body = traffic::request("same", 1_000, false);
    let mut ex = planned(snapshot()?, &client(), &body)?;
    let mut limits = Limits::new("openai", "gpt-4o-mini");
    let gone = limits.go(&ex.scan, &body)?;
    (ex.terms, ex.governor) = (gone.terms, Some(gone.governor));
    begun(&mut ex)?;
    answer(&mut ex, &provider("application/json"), traffic::openai(1_000))?;
    Ok(Box::new(move || {
        limits.settle(&ex, gone.held)?;
        std::mem::forget(limits);
        Ok(())
    }))
}
