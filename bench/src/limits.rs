//! What four limits add to a request whose leases are held: a key under strict budgets of money and requests for
//! everybody, its customer, its team and itself, against the same key without any.
//!
//! Does not: measure waiting for the sidecar. That nobody waited in the turns that count, and that every request was
//! charged to the unit, is checked.

use anyhow::{Result, ensure};
use tests::client::{Call, Dialect};
use tests::mock::Mock;
use tests::stack::StackOptions;

use crate::report::Row;
use crate::variant::{CONFIG, OPENAI, Whole};
use crate::{Args, load};

pub(crate) const CASE: &str = "four limits, unary";
/// Without limits, and with them.
pub(crate) const NAMES: [&str; 2] = ["key", "limits"];

const KEY: &str = "vk-bench";
const CALLER: &str = r#"
auth: required
virtual_keys:
- name: prod
  secret: "{{vk-bench}}"
  team: search
  customer: acme
"#;
/// Of the key, and behind it of all others.
const LIMITS: &str = "  limits: [{money: 10000000, per: 1M}]
global: {limits: [{money: 100000000, per: 1M}]}
customers: {acme: {limits: [{requests: 1000000000, per: 1Q}]}}
teams: {search: {customer: acme, limits: [{requests: 100000000, per: 1M}]}}
";

/// What was found.
pub(crate) struct Limits {
    pub(crate) row: Row,
    /// Calls of the filter to the sidecar, but for settlements, for a thousand requests of the turns that count.
    pub(crate) calls: f64,
    /// Of how many requests.
    requests: u64,
}

impl Limits {
    /// What stands below the table.
    pub(crate) fn remark(&self) -> String {
        format!(
            "In the turns that count no request waited for the sidecar; the filter called it {:.1} times for 1,000 requests,\n\
             to refill leases and to hear of changes. All {} requests were charged to all four accounts.\n",
            self.calls, self.requests
        )
    }
}

/// Takes turns.
pub(crate) async fn run(args: &Args, mock: &Mock) -> Result<Limits> {
    mock.host(OPENAI).clear();
    let [free, limited] = [start(NAMES[0], "", mock).await?, start(NAMES[1], LIMITS, mock).await?];
    let both = [&free, &limited];
    for whole in both {
        load::run(&whole.variant, &call(), args.clients, args.requests * 4).await?;
    }
    let before = Calls::of(&limited).await?;
    let mut row = Row::new(CASE);
    for _ in 0..args.rounds {
        for whole in both {
            let busy = load::run(&whole.variant, &call(), args.clients, args.requests).await?;
            let alone = load::run(&whole.variant, &call(), 1, args.requests / 4).await?;
            row.push(whole.variant.name, busy.cpu, &alone.waits);
            mock.journal().clear();
        }
    }
    let counted = u64::try_from(args.rounds * (args.requests + args.requests / 4))?;
    let requests = counted + u64::try_from(args.requests * 4)?;
    let settled = limited.settled(requests).await?;
    ensure!(settled == requests, "{requests} requests were answered and {settled} settled");
    let made = Calls::of(&limited).await?;
    ensure!(made.admits == before.admits, "a request waited for its key's record");
    ensure!(made.waits == before.waits, "requests waited for leases {} times", made.waits - before.waits);
    charged(&limited, requests).await?;
    #[expect(clippy::cast_precision_loss, reason = "calls: far below 2^53")]
    let calls = (made.draws - before.draws) as f64 * 1e3 / counted as f64;
    Ok(Limits { row, calls, requests })
}

async fn start(name: &'static str, limits: &str, mock: &Mock) -> Result<Whole> {
    // Else a request waits for the key's record every half minute, with limits or without.
    let options = StackOptions { sidecar: "key_ttl: 24h", ..StackOptions::new(mock) };
    Whole::start(name, &format!("{CONFIG}{CALLER}{limits}"), options).await
}

fn call() -> Call {
    let text = "What a request costs is counted in time on the processor. ".repeat(16);
    Dialect::OpenAi.chat("same", &text, false).key(KEY)
}

/// Of the filter to the sidecar so far.
struct Calls {
    admits: u64,
    draws: u64,
    waits: u64,
}

impl Calls {
    async fn of(whole: &Whole) -> Result<Self> {
        let stat = async |name: &str| whole.stack.stat(name).await;
        Ok(Self {
            admits: stat("attache_filter_admits_total").await?,
            draws: stat("attache_filter_draws_total").await?,
            waits: stat("attache_filter_waits_total").await?,
        })
    }
}

/// All four accounts have been charged for each request.
async fn charged(whole: &Whole, requests: u64) -> Result<()> {
    let used = async |limit: &str, scope: &str| {
        let labels = [format!("limit=\"{limit}\""), format!("scope=\"{scope}\"")];
        whole.stack.metric("attache_limit_used", &labels.each_ref().map(String::as_str)).await
    };
    let money = used("money 1M", "key prod").await?;
    ensure!(money > 0.0, "nothing was charged");
    let all = used("money 1M", "global").await?;
    ensure!(money == all, "the key was charged {money} and everybody {all} dollars");
    for (limit, scope) in [("requests 1Q", "customer acme"), ("requests 1M", "team search")] {
        let counted = used(limit, scope).await?;
        ensure!(counted == requests as f64, "{scope} was charged {counted} of {requests} requests");
    }
    Ok(())
}
