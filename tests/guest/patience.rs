//! A sidecar that is slow, silent or away: who waits, who is served and in which order, and when nobody waits any longer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use prost::Message as _;
use sidecar_api::ADMIT;
use sidecar_api::v1::AdmitRequest;
use sidecar_api::v1::account::Counted;

use crate::bank::{Bank, account};
use crate::fixture::{CONFIG, Dialect, chat, with_key};
use crate::gateway::{Gateway, Reply};
use crate::host::world::Call;
use crate::quota::with;

const MILLI: u64 = 1_000_000;
/// gRPC statuses.
const LATE: u32 = 4;
const NOBODY: u32 = 14;

/// What becomes of the next calls that draw; a script answers all others, and those for which nothing is said.
type Fate = Rc<RefCell<Box<dyn FnMut(&Call) -> Option<Reply>>>>;

fn fate(says: impl FnMut(&Call) -> Option<Reply> + 'static) -> Fate {
    Rc::new(RefCell::new(Box::new(says)))
}

fn asked(call: &Call) -> AdmitRequest {
    AdmitRequest::decode(call.message.as_slice()).unwrap()
}

/// A request waits for it, or would.
fn draws(call: &Call) -> bool {
    call.method == ADMIT && asked(call).draws.iter().any(|draw| draw.need > 0)
}

/// A worker that knows its key, whose sidecar has these limits, and whose draws have this fate.
fn worker(bank: &Bank, config: &str, fate: &Fate) -> Gateway {
    let mut gateway = with(bank, config);
    // Whoever has no limits left to meet makes the key known.
    let first = gateway.begin(&chat(Dialect::OpenAi, "nobody-serves-this", false)).unwrap();
    assert_eq!(gateway.complete(first).unwrap().status(), "404");
    let (mut script, fate) = (bank.script(), Rc::clone(fate));
    gateway.sidecar = Box::new(move |call| {
        let said = if draws(call) { (fate.borrow_mut())(call) } else { None };
        said.unwrap_or_else(|| script(call))
    });
    gateway
}

fn begin(gateway: &mut Gateway, count: usize) -> Vec<u32> {
    (0..count).map(|_| gateway.begin(&chat(Dialect::OpenAi, "gpt", false)).unwrap()).collect()
}

/// Fails each call when its deadline has passed, with the status that Envoy makes of it. The clock counts milliseconds.
fn late(clock: &Rc<Cell<u64>>) -> Fate {
    let (clock, mut seen) = (Rc::clone(clock), BTreeMap::new());
    fate(move |call| {
        let since = *seen.entry(call.token).or_insert(clock.get());
        Some((clock.get() - since >= u64::from(call.timeout_ms)).then_some(Err(NOBODY)))
    })
}

/// So many milliseconds, in ticks of 20.
fn pass(gateway: &mut Gateway, millis: u64) {
    for _ in 0..millis / 20 {
        gateway.vm.world().now += 20 * MILLI;
        gateway.tick().unwrap();
    }
}

fn statuses(gateway: &mut Gateway, plans: Vec<u32>) -> Vec<String> {
    plans.into_iter().map(|plan| gateway.complete(plan).unwrap().status().to_owned()).collect()
}

/// Neither let go nor answered.
fn waits(gateway: &mut Gateway, plan: u32) -> bool {
    let context = gateway.vm.context(plan);
    context.local.is_none() && context.request.held()
}

fn allow() -> String {
    CONFIG.replace(r#""sidecar": {"#, r#""sidecar": {"on_failure": "allow", "#)
}

#[test]
fn a_late_answer_is_asked_for_again_with_more_time_and_the_first_are_served_first() {
    let bank = Bank::new(vec![account(1, Counted::Requests, 3)]);
    let deadlines = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&deadlines);
    // Three answers are late; then the ledger grants three, and no more.
    let fate = fate(move |call| {
        seen.borrow_mut().push(call.timeout_ms);
        (seen.borrow().len() <= 3).then_some(Some(Err(LATE)))
    });
    let mut gateway = worker(&bank, CONFIG, &fate);
    let plans = begin(&mut gateway, 12);
    pass(&mut gateway, 1000);
    assert_eq!(statuses(&mut gateway, plans), [vec!["200"; 3], vec!["429"; 9]].concat());
    let deadlines = deadlines.borrow();
    assert_eq!(deadlines[..4], [250, 500, 1000, 2000], "one call at a time, for all of them");
    assert!(deadlines.len() <= 6, "{deadlines:?}");
}

#[test]
fn a_crowd_that_one_lease_does_not_serve_waits_for_the_next_and_asks_once_at_a_time() {
    let bank = Bank::new(vec![account(1, Counted::Requests, 1000)]);
    let calls = Rc::new(RefCell::new(0));
    let seen = Rc::clone(&calls);
    let mut gateway = worker(
        &bank,
        CONFIG,
        &fate(move |_| {
            *seen.borrow_mut() += 1;
            None
        }),
    );
    let mut script = bank.script();
    let seen = Rc::clone(&calls);
    // What is needed and not a request more: as near the end of a budget.
    gateway.sidecar = Box::new(move |call| {
        let mut call = call.clone();
        if draws(&call) {
            *seen.borrow_mut() += 1;
            let mut request = asked(&call);
            request.draws.iter_mut().for_each(|draw| draw.want = draw.need);
            call.message = request.encode_to_vec();
        }
        script(&call)
    });
    let plans = begin(&mut gateway, 100);
    pass(&mut gateway, 4000);
    assert!(statuses(&mut gateway, plans).iter().all(|status| status == "200"), "losing a race is no failure");
    let calls = *calls.borrow();
    assert!((100..=250).contains(&calls), "a call a request, and what refills: {calls}");
}

#[test]
fn the_answer_to_a_call_that_was_given_up_changes_nothing() {
    let bank = Bank::new(vec![account(1, Counted::Requests, 5)]);
    let silent = Rc::new(RefCell::new(true));
    let silence = Rc::clone(&silent);
    let mut gateway = worker(&bank, CONFIG, &fate(move |_| silence.borrow().then_some(None)));
    let plans = begin(&mut gateway, 8);
    // The call is not even ended: its repetition goes out all the same, and then both are answered, the first one last.
    pass(&mut gateway, 1400);
    assert_eq!(gateway.vm.world().calls.iter().filter(|call| draws(call)).count(), 2);
    gateway.vm.world().calls.reverse();
    *silent.borrow_mut() = false;
    pass(&mut gateway, 400);
    assert_eq!(statuses(&mut gateway, plans), [vec!["200"; 5], vec!["429"; 3]].concat());
    pass(&mut gateway, 3000);
    assert_eq!(bank.0.borrow().charged(1), 5);
}

#[test]
fn a_sidecar_that_cannot_be_reached_is_away_after_a_second_and_then_nobody_waits() {
    for (config, status) in [(CONFIG.to_owned(), "503"), (allow(), "200")] {
        let bank = Bank::new(vec![account(1, Counted::Requests, 1000)]);
        let (down, calls) = (Rc::new(RefCell::new(true)), Rc::new(RefCell::new(0)));
        let (is_down, seen) = (Rc::clone(&down), Rc::clone(&calls));
        let mut gateway = worker(&bank, &config, &fate(|_| None));
        let mut script = bank.script();
        gateway.sidecar = Box::new(move |call| {
            *seen.borrow_mut() += usize::from(draws(call));
            if *is_down.borrow() { Some(Err(NOBODY)) } else { script(call) }
        });
        let first = begin(&mut gateway, 1);
        pass(&mut gateway, 800);
        assert!(waits(&mut gateway, first[0]), "a restart takes no second");
        pass(&mut gateway, 600);
        assert_eq!(statuses(&mut gateway, first), [status]);
        let before = *calls.borrow();
        for _ in 0..50 {
            let plans = begin(&mut gateway, 1);
            assert!(!waits(&mut gateway, plans[0]), "it waits for nobody");
            assert_eq!(statuses(&mut gateway, plans), [status]);
            pass(&mut gateway, 20);
        }
        let probes = *calls.borrow() - before;
        assert!((5..=15).contains(&probes), "in a second it is looked for ten times: {probes}");
        *down.borrow_mut() = false;
        pass(&mut gateway, 100);
        let probe = begin(&mut gateway, 1);
        pass(&mut gateway, 100);
        assert_eq!(statuses(&mut gateway, probe), [status]);
        let plans = begin(&mut gateway, 3);
        pass(&mut gateway, 100);
        assert_eq!(statuses(&mut gateway, plans), ["200"; 3], "it is back");
    }
}

#[test]
fn a_silent_sidecar_is_waited_for_until_patience_is_over() {
    for (config, status, again) in [(CONFIG.to_owned(), "503", true), (allow(), "200", false)] {
        let bank = Bank::new(vec![account(1, Counted::Requests, 100)]);
        let clock = Rc::new(Cell::new(0));
        let mut gateway = worker(&bank, &config, &late(&clock));
        let first = begin(&mut gateway, 3);
        for _ in 0..245 {
            pass(&mut gateway, 20);
            clock.set(clock.get() + 20);
        }
        assert!(first.iter().all(|plan| waits(&mut gateway, *plan)), "a busy sidecar refuses nobody");
        pass(&mut gateway, 200);
        assert_eq!(statuses(&mut gateway, first), [status; 3]);
        // Where requests may go on without it, not everybody waits for a sidecar that has been silent so long.
        let next = begin(&mut gateway, 1);
        assert_eq!(waits(&mut gateway, next[0]), again);
    }
}

#[test]
fn a_record_is_waited_for_as_a_lease_is() {
    for (status, answer, served) in [(LATE, "200", true), (NOBODY, "503", false)] {
        let bank = Bank::new(vec![account(1, Counted::Requests, 100)]);
        let mut gateway = with(&bank, CONFIG);
        let (mut script, mut failures) = (bank.script(), 0);
        gateway.sidecar = Box::new(move |call| {
            failures += 1;
            if served && failures > 4 { script(call) } else { Some(Err(status)) }
        });
        let plans = begin(&mut gateway, 6);
        pass(&mut gateway, 2000);
        assert_eq!(statuses(&mut gateway, plans), [answer; 6]);
    }
}

#[test]
fn patience_is_one_for_record_and_leases() {
    let bank = Bank::new(vec![account(1, Counted::Requests, 100)]);
    let mut gateway = with(&bank, CONFIG);
    let known = Rc::new(RefCell::new(false));
    let (mut script, tells) = (bank.script(), Rc::clone(&known));
    gateway.sidecar = Box::new(move |call| if *tells.borrow() && !draws(call) { script(call) } else { None });
    let plans = begin(&mut gateway, 1);
    pass(&mut gateway, 4000);
    *known.borrow_mut() = true;
    pass(&mut gateway, 900);
    assert!(waits(&mut gateway, plans[0]));
    pass(&mut gateway, 200);
    assert_eq!(statuses(&mut gateway, plans), ["503"]);
}

#[test]
fn a_push_while_a_record_is_asked_for_again_loses_nobody() {
    let bank = Bank::new(vec![account(1, Counted::Requests, 100)]);
    let mut gateway = with(&bank, CONFIG);
    gateway.sidecar = Box::new(|_| Some(Err(LATE)));
    let plans = begin(&mut gateway, 2);
    pass(&mut gateway, 40);
    // The tick asks again, on behalf of the root context; then that goes, and its calls with it.
    gateway.sidecar = Box::new(|_| None);
    pass(&mut gateway, 100);
    let former = gateway.plan;
    let of_the_former =
        |gateway: &mut Gateway| gateway.vm.world().calls.iter().filter(|call| call.root == former).count();
    assert!(of_the_former(&mut gateway) > 0);
    let (pushed, accepted) = gateway.vm.plugin("plan", CONFIG.replace("30s", "31s").as_bytes()).unwrap();
    assert!(accepted);
    gateway.vm.drop_root(former).unwrap();
    gateway.vm.world().calls.clear();
    gateway.plan = pushed;
    gateway.sidecar = Box::new(bank.script());
    pass(&mut gateway, 100);
    assert_eq!(statuses(&mut gateway, plans), ["200"; 2]);
}

#[test]
fn names_that_clients_make_up_push_out_one_another_and_nobody_else() {
    let bank = Bank::new(vec![account(1, Counted::Money, 1_000_000_000_000)]);
    let mut gateway = with(&bank, CONFIG);
    let ask = |gateway: &mut Gateway, model: &str| {
        let plan = gateway.begin(&with_key(Dialect::OpenAi, model, false, crate::fixture::KEY)).unwrap();
        pass(gateway, 20);
        gateway.complete(plan).unwrap().status().to_owned()
    };
    for number in 0..1500 {
        assert_eq!(ask(&mut gateway, &format!("openai/made-up-{number}")), "200");
        if number % 100 == 0 {
            assert_eq!(ask(&mut gateway, "gpt"), "200");
        }
    }
    // Too long for anybody to know: not asked about, whatever becomes of the request.
    assert_ne!(ask(&mut gateway, &format!("openai/{}", "x".repeat(300))), "503");
    let books = bank.0.borrow();
    let names = || books.asked.iter().flat_map(|asked| &asked.rates).map(|name| name.model.as_str());
    // A minute at most between two questions about what is in use.
    assert!(names().filter(|name| *name == "gpt-4o-mini").count() <= 3, "pushed out by names that nobody uses twice");
    assert!(names().all(|name| name.len() <= 256));
}

/// A head is enough to wait for a record.
#[test]
fn no_more_wait_than_there_is_room_for() {
    let bank = Bank::new(vec![account(1, Counted::Requests, 100_000)]);
    let mut gateway = with(&bank, CONFIG);
    gateway.sidecar = Box::new(|_| None);
    let mut request = chat(Dialect::OpenAi, "gpt", false);
    let body = std::mem::take(&mut request.chunks);
    request.trailers = None;
    let head = |gateway: &mut Gateway| {
        let stream = gateway.vm.stream();
        let plan = gateway.vm.open(gateway.plan, stream).unwrap();
        let piece = crate::host::side::Piece::Head(request.headers.clone(), false);
        gateway.vm.deliver(plan, crate::host::world::Way::Request, piece).unwrap();
        plan
    };
    assert!(!body.is_empty());
    for _ in 0..16_384 {
        let plan = head(&mut gateway);
        assert!(gateway.vm.context(plan).local.is_none());
    }
    let refused = head(&mut gateway);
    assert!(gateway.vm.context(refused).local.is_some(), "one too many");
}
