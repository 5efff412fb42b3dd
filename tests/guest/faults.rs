//! Every import fails in every way at every place a story calls it: nothing traps, and a failing host opens no door.
//!
//! One host function is left out in part. `proxy_grpc_call` goes through the SDK, whose dispatcher must know the token,
//! and the SDK panics on a status other than Ok, ParseFailure and InternalFailure. Envoy returns no other for what this
//! module passes: `Context::grpcCall` (source/extensions/common/wasm/context.cc) answers ParseFailure when there is no
//! such cluster and InternalFailure when the request cannot be sent. Its BadArgument needs a `GrpcService` message from
//! which `AsyncClientManager::getOrCreateRawAsyncClient` makes no client, and InvalidMemoryAccess
//! (`exports::grpc_call`, proxy-wasm-cpp-host) needs a pointer outside the guest's memory; the module passes the name of
//! a cluster and its own slices. Ok without a token does not occur either. `World::enter` leaves out the SDK's own calls
//! of `proxy_set_effective_context` for the like reason.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fixture::{KEY, leaked, start};
use crate::gateway::Outcome;
use crate::host::abi::{
    BAD_ARGUMENT, CAS_MISMATCH, EMPTY, INTERNAL_FAILURE, NOT_FOUND, OK, PARSE_FAILURE, SERIALIZATION_FAILURE,
};
use crate::host::guest;
use crate::host::world::Fault;
use crate::stories::{STORIES, Story};
use crate::surface::CALLED;

const STATUSES: &[u32] =
    &[OK, NOT_FOUND, BAD_ARGUMENT, SERIALIZATION_FAILURE, PARSE_FAILURE, EMPTY, CAS_MISMATCH, INTERNAL_FAILURE, 99];

/// What `proxy_grpc_call` can return besides a token.
const CALL_STATUSES: &[u32] = &[PARSE_FAILURE, INTERNAL_FAILURE];

#[test]
fn no_status_of_any_import_traps_or_lets_a_secret_out() {
    let mut reached = BTreeSet::new();
    let mut trials = Vec::new();
    for story in STORIES {
        let mut gateway = start(guest(), None).unwrap().expect("the configuration is good");
        // All stories start alike: failing starts are tried with the first.
        let mut before = gateway.vm.world().seen.clone();
        if trials.is_empty() {
            before.clear();
        }
        (story.play)(&mut gateway).unwrap();
        for (import, calls) in &gateway.vm.world().seen {
            reached.insert(*import);
            let first = before.get(import).map_or(1, |calls| calls + 1);
            let statuses = if *import == "proxy_grpc_call" { CALL_STATUSES } else { STATUSES };
            for status in statuses {
                // Every call once the VM has started, or just the n-th from its first breath.
                for only in std::iter::once(None).chain((first..=*calls).map(Some)) {
                    let fault = Fault { import: (*import).to_owned(), status: *status, only, hits: 0 };
                    trials.push((story, fault));
                }
            }
        }
    }
    assert!(reached.iter().eq(CALLED), "the stories call {reached:?}");

    let (next, hits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            while let Some((story, fault)) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                match trial(story, fault) {
                    Ok(hit) => hits.fetch_add(hit, Ordering::Relaxed),
                    Err(why) => {
                        failures.push(format!(
                            "{}: {} = {} {:?}: {why}",
                            story.name, fault.import, fault.status, fault.only
                        ));
                        0
                    }
                };
            }
            failures
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a trial does not panic")).collect()
    });
    println!("{} trials, {} faults", trials.len(), hits.load(Ordering::Relaxed));
    let shown: Vec<_> = failures.iter().take(20).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} of {} trials failed:\n{}", failures.len(), trials.len(), shown.join("\n"));
    assert!(hits.load(Ordering::Relaxed) >= trials.len() / 2, "most faults were met");
}

/// Plays a story under a fault; the number of times it was met.
fn trial(story: &Story, fault: &Fault) -> Result<usize, String> {
    let Some(mut gateway) = start(guest(), Some(fault.clone())).map_err(|trap| trap.to_string())? else {
        // The configuration was refused: Envoy would go on with the former one.
        return Ok(1);
    };
    let outcomes = (story.play)(&mut gateway).map_err(|trap| trap.to_string())?;
    // A host that says Ok and does nothing cannot be helped.
    if fault.status != OK {
        harmless(story, &outcomes)?;
    }
    Ok(gateway.vm.world().fault.as_ref().map_or(0, |fault| fault.hits))
}

fn harmless(story: &Story, outcomes: &[Outcome]) -> Result<(), String> {
    for seen in outcomes.iter().flat_map(|outcome| &outcome.tries) {
        if leaked(seen, KEY) {
            return Err(format!("the client's key reached {}", seen.lane));
        }
        // Half a rewrite is worse than none: a client's head at a provider, or a length that upsets its connection.
        let whole = seen.message.header("content-length") == seen.message.body().len().to_string();
        if !whole || !seen.message.header(":authority").starts_with("api.") {
            return Err(format!("a head that is not ours reached {}: {:?}", seen.lane, seen.message.headers));
        }
        if story.denied {
            return Err(format!("a request that is refused reached {}", seen.lane));
        }
    }
    Ok(())
}
