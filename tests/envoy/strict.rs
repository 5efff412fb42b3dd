//! Strict limits against whoever leaves before the bill is told: nobody is billed more than the limit, and no less is
//! charged than the provider bills. What is absurd of a bill, and what one tenant's limited model is to another.

use serde_json::{Value, json};
use tests::client::{Call, Client, DIALECTS, Dialect};
use tests::mock::vendor::{Vendor, pieces, text};
use tests::mock::{Fault, HostSpec};

use crate::world::{ANTHROPIC_LANE, CASES, Lane, NO_RESTS, OPENAI, OPENAI_LANE, TWO_VENDORS, World, until};

/// Dollars a million tokens: 1 of prompt, 10 of answer. In nano-dollars a token:
const PRICE: (u64, u64) = (1_000, 10_000);
const PRICES: &str = "prices:\n- {provider: openai, model: gpt-4o, input: 1, output: 10, context: 128000, max_output: 16384}\n\
                      - {provider: anthropic, model: claude-3-5-haiku, input: 1, output: 10, context: 200000, max_output: 16384}\n";
/// Requests of one key at once.
const CROWD: usize = 12;
/// What each may have for an answer, and what the provider bills for it.
const MOST: u64 = 10_000;
const ANSWER: u64 = 9_990;

/// How the client never learns the bill.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// It leaves a stream at its first content; most of the answer is hidden reasoning.
    Reasoning,
    /// The same, and the prompt has a picture of 100,000 tokens at an address.
    Picture,
    /// It leaves before a whole answer.
    Unary,
    /// The gateway gives up: on a whole answer, and on a stream.
    Timeout { stream: bool },
}

impl Way {
    fn stream(self) -> bool {
        matches!(self, Self::Reasoning | Self::Picture | Self::Timeout { stream: true })
    }

    /// Tokens of the prompt, as billed.
    fn prompt(self) -> u64 {
        if self == Self::Picture { 100_000 } else { 20 }
    }

    fn body(self, dialect: Dialect, model: &str) -> Value {
        let url = "https://example.com/a.png";
        let picture = match dialect {
            Dialect::OpenAi => json!({"type": "image_url", "image_url": {"url": url}}),
            Dialect::Anthropic => json!({"type": "image", "source": {"type": "url", "url": url}}),
        };
        let mut content = vec![json!({"type": "text", "text": QUESTION})];
        content.extend((self == Self::Picture).then_some(picture));
        let mut body = json!({"model": model, "max_tokens": MOST, "messages": [{"role": "user", "content": content}]});
        if self.stream() {
            body["stream"] = json!(true);
        }
        body
    }

    fn fault(self, lane: Lane, model: &str) -> Fault {
        match self {
            Self::Reasoning | Self::Picture => {
                let after = lane.vendor.preamble() + pieces(&text(lane.host, model, QUESTION)).len();
                Fault::HangMidStream { after: after + usize::from(lane.vendor == Vendor::OpenAi) }
            }
            Self::Unary | Self::Timeout { .. } => Fault::Hang,
        }
    }
}

const QUESTION: &str = "what is it all about";
/// What is limited, and how much: a few requests fit.
const LIMITS: [(&str, u64); 3] = [("money", 700_000_000), ("output_tokens", 45_000), ("total_tokens", 500_000)];
const LANES: [(Lane, &str); 2] = [(OPENAI_LANE, "gpt-4o"), (ANTHROPIC_LANE, "claude-3-5-haiku")];

struct Story {
    way: Way,
    dialect: Dialect,
    lane: Lane,
    model: &'static str,
    counted: &'static str,
    most: u64,
}

impl Story {
    fn key(&self) -> String {
        let Self { way, dialect, lane, counted, .. } = self;
        format!("{way:?}-{dialect:?}-{}-{counted}", lane.provider).replace([' ', '{', '}', ':', '_'], "").to_lowercase()
    }

    fn yaml(&self) -> String {
        let most = if self.counted == "money" { format!("0.{:09}", self.most) } else { self.most.to_string() };
        let (key, counted) = (self.key(), self.counted);
        format!("- {{name: {key}, secret: \"{{{{vk-{key}}}}}\", limits: [{{{counted}: {most}, per: 1M}}]}}\n")
    }

    fn call(&self) -> Call {
        let body = self.way.body(self.dialect, &format!("{}/{}", self.lane.provider, self.model));
        self.dialect.call(&body).key(&format!("vk-{}", self.key()))
    }
}

fn stories(ways: &[Way]) -> Vec<Story> {
    let mut all = Vec::new();
    for way in ways {
        for dialect in DIALECTS {
            for (lane, model) in LANES {
                let story = |(counted, most)| Story { way: *way, dialect, lane, model, counted, most };
                all.extend(LIMITS.map(story));
            }
        }
    }
    all
}

/// Asks, and leaves as soon as something of the answer is there.
async fn leave(client: Client, call: Call) -> u16 {
    let mut live = client.open(&call).await.unwrap();
    if live.status == 200 {
        // It may have been cut by then, which is another way of not knowing.
        let _first = live.next().await;
    }
    live.status
}

/// A crowd of one key, of whom all are refused or leave; what was billed for it, in the unit of its limit.
async fn crowd(world: &World, story: &Story) -> u64 {
    let host = world.mock.host(story.lane.host);
    host.clear();
    host.bill(story.way.prompt(), ANSWER);
    host.fault(story.way.fault(story.lane, story.model).always());
    let before = host.billed();
    let arrived = |since: u64| world.mock.journal().count(story.lane.host, "") - since;
    let since = arrived(0);
    let tasks: Vec<_> = (0..CROWD).map(|_| tokio::spawn(leave(world.stack.client(), story.call()))).collect();
    // Of an unary answer nothing comes: the client leaves once the provider works on it.
    until(world, "all to be refused or served", async || {
        let ended = tasks.iter().filter(|task| task.is_finished()).count();
        ended == CROWD || story.way == Way::Unary && ended as u64 + arrived(since) >= CROWD as u64
    })
    .await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let (input, output) = (host.billed().0 - before.0, host.billed().1 - before.1);
    match story.counted {
        "output_tokens" => output,
        "total_tokens" => input + output,
        _ => input * PRICE.0 + output * PRICE.1,
    }
}

async fn nobody_gets_more_than_the_limit(ways: &[Way]) {
    let stories = stories(ways);
    let keys: String = stories.iter().map(Story::yaml).collect();
    let rest = "timeouts: {first_content: 2s, complete: 3s}\ngovernance: {failed_tries: refund}\n";
    let world = World::start(&format!("{TWO_VENDORS}{PRICES}{NO_RESTS}{rest}virtual_keys:\n{keys}")).await;
    let ledger = world.ledger();
    for story in &stories {
        let key = story.key();
        let billed = crowd(&world, story).await;
        assert!(billed > 0, "{key}: some are served");
        assert!(billed <= story.most, "{key}: {billed} billed of {}", story.most);
        until(&world, "what was billed to be charged", async || ledger.used_by(&key, story.counted).unwrap() >= billed)
            .await;
        let used = ledger.used_by(&key, story.counted).unwrap();
        assert!(used <= story.most, "{key}: {used} charged of {}", story.most);
        let [input, output, cost, estimated] = ledger.sums_of(&key).unwrap();
        let row = [("money", cost), ("output_tokens", output), ("total_tokens", input + output)];
        let row = row.iter().find(|(counted, _)| *counted == story.counted).unwrap().1;
        assert_eq!(row, used, "{key}: the rows say what is charged");
        assert!(estimated > 0, "{key}: and that nobody knows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_usage_event_gets_no_more_than_the_limit() {
    nobody_gets_more_than_the_limit(&[Way::Reasoning, Way::Picture]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_a_whole_answer_or_is_left_gets_no_more_than_the_limit() {
    nobody_gets_more_than_the_limit(&[Way::Unary, Way::Timeout { stream: true }, Way::Timeout { stream: false }]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_who_hang_up_spend_a_cent_and_no_more() {
    let keys = "virtual_keys: [{name: cent, secret: \"{{vk-cent}}\", limits: [{money: 0.01, per: 1M}]}]\n";
    let world = World::start(&format!("{TWO_VENDORS}{PRICES}{NO_RESTS}{keys}")).await;
    let host = world.mock.host(OPENAI);
    host.bill(20, 100);
    host.fault(Fault::Hang.always());
    let body = json!({"model": "openai/gpt-4o", "max_tokens": 100, "messages": [{"role": "user", "content": "well"}]});
    let mut refused = 0;
    for number in 0..40 {
        let arrived = world.mock.journal().count(OPENAI, "");
        let (client, call) = (world.stack.client(), Dialect::OpenAi.call(&body).key("vk-cent"));
        let asked = tokio::spawn(async move { client.send(&call).await.unwrap().status });
        until(&world, "an answer or its work", async || {
            asked.is_finished() || world.mock.journal().count(OPENAI, "") > arrived
        })
        .await;
        // What it leaves behind must be settled before the next one, or that one is refused for another reason.
        if asked.is_finished() {
            refused += u32::from(asked.await.unwrap() >= 400);
        } else {
            asked.abort();
            let settled = number + 1 - u64::from(refused);
            assert!(world.ledger().wait_for(settled).await.unwrap() >= settled);
        }
    }
    let (input, output) = host.billed();
    let billed = input * PRICE.0 + output * PRICE.1;
    assert!(billed > 0 && billed <= 10_000_000, "{billed}");
    assert!(refused > 0, "it is used up");
    assert!(world.ledger().used_by("cent", "money").unwrap() >= billed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_above_what_is_possible_is_capped_and_the_others_go_on() {
    let limits = "global: {limits: [{money: 20, per: 1M}, {total_tokens: 2000000, per: 1M, mode: elastic}]}\n\
                  virtual_keys: [{name: a, secret: \"{{vk-a}}\"}, {name: b, secret: \"{{vk-b}}\"}]\n";
    let world = World::start(&format!("{TWO_VENDORS}{PRICES}{NO_RESTS}{limits}")).await;
    for (number, case) in CASES.into_iter().enumerate() {
        for (lane, model) in LANES {
            let model = format!("{}/{model}", lane.provider);
            let absurd = (1 << 62, 1 << 61);
            let fault = if case.stream {
                Fault::Says { events: lane.vendor.said(&["hi"], absurd), ms: 0, hang: false }
            } else {
                let kind = ("content-type".to_owned(), "application/json".to_owned());
                Fault::Instead { headers: vec![kind], body: lane.vendor.whole("hi", absurd).into_bytes() }
            };
            world.mock.host(lane.host).fault(fault.next(1));
            let mut body = case.call(&model, "how much").json();
            body["max_tokens"] = json!(200);
            let answer = world.send(&case.dialect.call(&body).key("vk-a")).await;
            assert_eq!(answer.status, 200, "{number} {model}: {}", answer.text());
            if !case.stream {
                let cost: f64 = answer.header("x-attache-cost").parse().unwrap();
                assert!(cost > 0.0 && cost < 0.01, "{number} {model}: {cost}");
            }
        }
    }
    let other = world.send(&Dialect::OpenAi.chat("openai/gpt-4o", "and I", false).key("vk-b")).await;
    assert_eq!(other.status, 200, "{}", other.text());
    let count = CASES.len() as u64 * 2;
    assert_eq!(world.ledger().wait_for(count + 1).await.unwrap(), count + 1);
    let [input, output, cost, estimated] = world.ledger().sums_of("a").unwrap();
    assert_eq!((output, estimated), (200 * count, count), "each as the longest answer, and marked");
    assert!(input < 10_000 && cost < 100_000_000, "{input} {cost}");
    let stats = world.stack.stats("attache_filter_usage_capped_total").await.unwrap();
    assert_eq!(stats.iter().map(|(_, value)| value).sum::<u64>(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_model_of_one_tenant_is_no_matter_of_anothers() {
    let keys = "virtual_keys: [{name: a, secret: \"{{vk-a}}\"}, {name: b, secret: \"{{vk-b}}\"}]\n";
    let world = World::with(
        &[HostSpec::tls(OPENAI), HostSpec::tls(ANTHROPIC_LANE.host)],
        &format!("{TWO_VENDORS}{keys}"),
        |_| {},
    )
    .await;
    world.mock.host(OPENAI).fault(Fault::rate_limited(31_536_000).next(1));
    let ask = async |key: &str, model: &str| {
        let answer = world.send(&Dialect::OpenAi.chat(model, "well", false).key(key)).await;
        (answer.status, answer.header("retry-after").parse::<u64>().ok())
    };
    assert_eq!(ask("vk-a", "openai/gpt-4o").await.0, 429);
    for _ in 0..8 {
        assert_eq!(ask("vk-b", "openai/gpt-4o-mini").await, (200, None), "another model of the same key");
    }
    let before = world.mock.journal().count(OPENAI, "");
    let (status, wait) = ask("vk-b", "openai/gpt-4o").await;
    assert!(status == 429 && wait.is_some_and(|wait| wait > 500 && wait <= 600), "{status} {wait:?}: it rests");
    assert_eq!(world.mock.journal().count(OPENAI, ""), before, "and is not asked");
}
