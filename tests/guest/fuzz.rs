//! Random lives of a worker: callbacks in any order, hosts that fail at any call, clients, providers and a sidecar that
//! do anything. Nothing traps, and no head that is not ours reaches a provider.
//!
//! A round is a function of its seed. `make test` plays a fixed number of seeds; `ATTACHE_FUZZ_SECONDS` plays new ones for
//! so long (`make fuzz` does), `ATTACHE_FUZZ_SEED` one alone: the one that a failure names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost::Message as _;
use sidecar_api::v1;

use crate::fixture::{CONFIG, Dialect, KEY, LANES, Sidecar, chat, healthy, json, leaked, start, with_key};
use crate::gateway::{Answer, Gateway, Message, Outcome, Seen};
use crate::host::guest;
use crate::host::world::{Call, Fault};
use crate::hostile::{Dice, bodies, odd_callback, values};
use crate::memory::balanced;
use crate::surface::CALLED;

/// Seeds of `make test`.
const SEEDS: u64 = 400;
/// Steps of one life.
const STEPS: u64 = 12;

#[test]
fn no_life_of_a_worker_ends_in_a_trap() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("ATTACHE_FUZZ_SEED") {
        return live(seed).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
    let started = Instant::now();
    let (first, last, until) = match number("ATTACHE_FUZZ_SECONDS") {
        None => (0, SEEDS, None),
        Some(seconds) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            (now.as_secs() << 20, u64::MAX, Some(started + Duration::from_secs(seconds)))
        }
    };
    let next = AtomicU64::new(first);
    let work = || {
        while until.is_none_or(|until| Instant::now() < until) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                return None;
            }
            if let Err(why) = live(seed) {
                return Some(format!(
                    "seed {seed}: {why}\nagain: ATTACHE_FUZZ_SEED={seed} cargo test -p tests --test guest no_life"
                ));
            }
        }
        None
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("a life is judged, not lost")).collect()
    });
    println!("{} lives in {:?}", next.load(Ordering::Relaxed).min(last) - first, started.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// One worker from its start to wherever chance leads it.
fn live(seed: u64) -> Result<(), String> {
    let mut dice = Dice(seed);
    let fault = (dice.roll(3) != 0).then(|| fault(&mut dice));
    let well = fault.is_none();
    let silent_ok = fault.as_ref().is_some_and(|fault| fault.status == 0);
    let trap = |error: wasmtime::Error| format!("{error:?}");
    let Some(mut gateway) = start(guest(), fault).map_err(trap)? else { return Ok(()) };
    let (mut waiting, mut orderly) = (Vec::new(), true);
    for _ in 0..STEPS {
        let (provider, sidecar) = (Dice(dice.roll(u64::MAX >> 33)), Dice(dice.roll(u64::MAX >> 33)));
        gateway.provider = any_provider(provider);
        gateway.sidecar = any_sidecar(sidecar);
        match dice.roll(10) {
            0..5 => judge(&gateway.exchange(&any_request(&mut dice)).map_err(trap)?, silent_ok)?,
            5 => waiting.push(gateway.begin(&any_request(&mut dice)).map_err(trap)?),
            6 if !waiting.is_empty() => {
                let plan = waiting.swap_remove(dice.roll(waiting.len() as u64) as usize);
                if dice.roll(2) == 0 {
                    gateway.leave(plan).map_err(trap)?;
                } else {
                    judge(&gateway.complete(plan).map_err(trap)?, silent_ok)?;
                }
            }
            7 => {
                // It leaves streams without a last callback.
                orderly = false;
                disorder(&mut gateway, &mut dice).map_err(trap)?;
            }
            8 => {
                let (root, text) = (gateway.plan, CONFIG.as_bytes());
                let cut = dice.roll(2 * text.len() as u64) as usize;
                gateway.vm.configure(root, &text[..cut.min(text.len())]).map_err(trap)?;
                let lane = LANES[dice.roll(LANES.len() as u64) as usize];
                let root = gateway.lanes[lane.0];
                gateway.vm.configure(root, lane.1.as_bytes()).map_err(trap)?;
            }
            _ => {
                let past = dice.roll(3) == 0;
                let world = gateway.vm.world();
                world.now = if past { world.now / 2 } else { world.now + dice.roll(5_000_000_000) };
                gateway.tick().map_err(trap)?;
            }
        }
    }
    for plan in waiting {
        gateway.leave(plan).map_err(trap)?;
    }
    gateway.tick().map_err(trap)?;
    if well && orderly {
        return books(&mut gateway);
    }
    Ok(())
}

/// No request is left, and none keeps a byte.
fn books(gateway: &mut Gateway) -> Result<(), String> {
    for _ in 0..3 {
        gateway.vm.world().now += 20_000_000_000;
        gateway.tick().map_err(|error| format!("{error:?}"))?;
    }
    balanced(gateway, 0)
}

/// What may never happen, however the host fails. One that says Ok and does nothing cannot be helped.
fn judge(outcome: &Outcome, silent_ok: bool) -> Result<(), String> {
    for seen in outcome.tries.iter().filter(|_| !silent_ok) {
        if leaked(seen, KEY) {
            return Err(format!("the client's key reached {}", seen.lane));
        }
        let whole = seen.message.header("content-length") == seen.message.body().len().to_string();
        if !whole || !seen.message.header(":authority").starts_with("api.") {
            return Err(format!("a head that is not ours reached {}: {:?}", seen.lane, seen.message.headers));
        }
    }
    Ok(())
}

/// Any import fails in any way that Envoy has: at its n-th call, or from the start on.
fn fault(dice: &mut Dice) -> Fault {
    let import = CALLED[dice.roll(CALLED.len() as u64) as usize];
    // See faults.rs for what the SDK cannot bear.
    let statuses: &[u32] = if import == "proxy_grpc_call" { &[4, 10] } else { &[0, 1, 2, 3, 4, 7, 8, 10, 12, 99] };
    let status = statuses[dice.roll(statuses.len() as u64) as usize];
    let only = (dice.roll(4) != 0).then(|| 1 + dice.roll(60) as usize);
    Fault { import: import.to_owned(), status, only, hits: 0 }
}

fn any_request(dice: &mut Dice) -> Message {
    let dialect = [Dialect::OpenAi, Dialect::Anthropic][dice.roll(2) as usize];
    let model = ["gpt", "claude", "both", "openai/any", "nobody"][dice.roll(5) as usize];
    let stream = dice.roll(2) == 0;
    let mut request = match dice.roll(6) {
        0 => with_key(dialect, model, stream, &format!("vk-{}", dice.roll(4))),
        _ => chat(dialect, model, stream),
    };
    match dice.roll(8) {
        0 => {
            let bodies = bodies();
            request.chunks = vec![bodies[dice.roll(bodies.len() as u64) as usize].clone()];
        }
        1 => {
            let values = values();
            let at = dice.roll(request.headers.len() as u64) as usize;
            request.headers[at].1 = values[dice.roll(values.len() as u64) as usize].clone();
        }
        2 => {
            let at = dice.roll(request.headers.len() as u64) as usize;
            request.headers.remove(at);
        }
        3 => request.trailers = Some(vec![("x-t".to_owned(), b"v".to_vec())]),
        4 => request.chunks.clear(),
        _ => {}
    }
    request
}

fn any_provider(mut dice: Dice) -> Box<dyn FnMut(&Seen) -> Answer> {
    Box::new(move |seen| {
        let mut message = match (dice.roll(4), healthy(seen)) {
            (0, _) => {
                let status = ["200", "204", "400", "401", "429", "503", "529", ""][dice.roll(8) as usize];
                let mut error = json(status, r#"{"error": {"message": "no", "type": "overloaded_error"}}"#);
                error.headers.push(("retry-after".to_owned(), values().swap_remove(dice.roll(8) as usize)));
                error
            }
            (_, Answer::Whole(message)) => message,
            (_, other) => return other,
        };
        if dice.roll(4) == 0 && !message.chunks.is_empty() {
            let at = dice.roll(message.chunks.len() as u64) as usize;
            let garbled = bodies().swap_remove(dice.roll(8) as usize);
            message.chunks[at] = [b"data: ", garbled.as_slice(), b"\n\n"].concat();
        }
        if dice.roll(6) == 0 {
            message.trailers = Some(vec![("x-t".to_owned(), vec![0xff])]);
        }
        match dice.roll(8) {
            0 => Answer::Refused,
            1 => {
                message.chunks.truncate(dice.roll(3) as usize);
                Answer::Cut(message)
            }
            _ => Answer::Whole(message),
        }
    })
}

fn any_sidecar(mut dice: Dice) -> Box<dyn FnMut(&Call) -> crate::gateway::Reply> {
    let mut good = Sidecar::default().script();
    Box::new(move |call| match dice.roll(8) {
        0 => None,
        1 => Some(Err(dice.roll(17) as u32)),
        2 => Some(Ok(values().swap_remove(dice.roll(9) as usize))),
        3 => Some(Ok(v1::AdmitResponse { verdict: dice.roll(5) as i32, ..Default::default() }.encode_to_vec())),
        _ => good(call),
    })
}

/// Callbacks of three filters of one stream, in any order.
fn disorder(gateway: &mut Gateway, dice: &mut Dice) -> wasmtime::Result<()> {
    let stream = gateway.vm.stream();
    let roots = [gateway.plan, gateway.lanes["openai_k1"], gateway.lanes["anthropic_k1"]];
    let mut open = Vec::new();
    for root in roots {
        open.push(gateway.vm.open(root, stream)?);
    }
    for _ in 0..dice.roll(24) {
        if open.is_empty() {
            return Ok(());
        }
        let at = dice.roll(open.len() as u64) as usize;
        let choice = dice.roll(12);
        odd_callback(gateway, open[at], choice, dice)?;
        if choice == 0 {
            open.remove(at);
        }
    }
    for id in open {
        gateway.vm.close(id, true)?;
    }
    Ok(())
}
