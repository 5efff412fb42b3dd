//! A prompt that does not fit by its length and does by its tokens: it waits to be counted, then it goes.

use sidecar_api::v1;
use sidecar_api::v1::account::Counted;

use crate::bank::{Bank, account};
use crate::fixture::{CONFIG, Dialect, LANES, chat, healthy};
use crate::gateway::{Gateway, Outcome};
use crate::host::guest;
use crate::quota::ticks;

const EXACT: &str = r#""version": 1, "govern": {"unknown_price": "deny", "refund": false, "exact": true, "sources": [],
    "keyless": false},"#;

fn under(config: &str, most: u64, tokens: u64) -> (Gateway, Bank) {
    let bank = Bank::new(vec![account(1, Counted::InputTokens, most)]);
    bank.0.borrow_mut().tokens = tokens;
    let mut gateway = Gateway::start(guest(), config, LANES, None).unwrap().expect("the configuration is good");
    gateway.provider = Box::new(healthy);
    gateway.sidecar = Box::new(bank.script());
    for _ in 0..2 {
        gateway.vm.world().now += 100_000_000;
        gateway.tick().unwrap();
    }
    (gateway, bank)
}

fn exact() -> String {
    CONFIG.replacen(r#""version": 1,"#, EXACT, 1)
}

fn ask(gateway: &mut Gateway) -> (String, String) {
    let outcome: Outcome = gateway.exchange(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    (outcome.status().to_owned(), String::from_utf8(outcome.client.body()).unwrap())
}

fn counts(bank: &Bank) -> Vec<v1::Count> {
    bank.0.borrow().asked.iter().filter_map(|asked| asked.count.clone()).collect()
}

#[test]
fn it_waits_to_be_counted_and_goes() {
    let (mut gateway, bank) = under(&exact(), 50, 12);
    let (status, body) = ask(&mut gateway);
    assert_eq!(status, "200", "{body}");
    let counts = counts(&bank);
    assert_eq!(counts.len(), 1, "asked once");
    let models: Vec<_> = counts[0].models.iter().map(|name| (name.provider.as_str(), name.model.as_str())).collect();
    assert_eq!(models, [("openai", "gpt-4o-mini")], "each model of the plan once");
    assert_eq!(counts[0].body, chat(Dialect::OpenAi, "gpt", false).body(), "the body as it came");
    let needs: Vec<_> = bank.0.borrow().draws(1).iter().map(|draw| draw.need).filter(|need| *need > 0).collect();
    let tries = needs[1] / 12;
    assert!(needs.len() == 2 && needs[0] > 50 && needs[1] == 12 * tries, "first by bytes, then by tokens: {needs:?}");
}

#[test]
fn nobody_counts_what_fits_or_cannot_fit_or_where_bytes_are_enough() {
    for (config, most, tokens, status, times) in [
        (exact(), 100_000, 12, "200", 0),
        (CONFIG.to_owned(), 50, 12, "400", 0),
        (exact(), 50, 0, "400", 1),
        (exact(), 50, 51, "400", 1),
        (exact(), 0, 12, "400", 0),
    ] {
        let (mut gateway, bank) = under(&config, most, tokens);
        let (answered, body) = ask(&mut gateway);
        assert_eq!((answered.as_str(), counts(&bank).len()), (status, times), "{most} {tokens}: {body}");
    }
}

#[test]
fn a_count_that_is_lost_is_as_a_lease_that_is_lost() {
    let (mut gateway, bank) = under(&exact(), 50, 12);
    let mut script = bank.script();
    gateway.sidecar = Box::new(move |call| {
        use prost::Message as _;
        let counts = v1::AdmitRequest::decode(call.message.as_slice()).is_ok_and(|asked| asked.count.is_some());
        if counts { Some(Err(14)) } else { script(call) }
    });
    let plan = gateway.begin(&chat(Dialect::OpenAi, "gpt", false)).unwrap();
    ticks(&mut gateway, 55);
    let outcome = gateway.complete(plan).unwrap();
    let body = String::from_utf8(outcome.client.body()).unwrap();
    assert_eq!(outcome.status(), "503", "{body}");
    assert!(body.contains("admission_away"), "{body}");
}
