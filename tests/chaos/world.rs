//! Two stacks before one mock: one with limits that no fault but its own runs into, one with limits that are short enough
//! to wait for. Each row has providers of its own, so that rows can be played at once and none finds what another left.

use std::fmt::Write as _;

use tests::client::{Client, Dialect};
use tests::ledger::Ledger;
use tests::mock::vendor::Vendor;
use tests::mock::{HostSpec, Mock};
use tests::stack::{Stack, StackOptions};

use crate::row::{Row, Trouble};
use crate::table::LIMIT;

pub(crate) const VENDORS: [Vendor; 2] = [Vendor::OpenAi, Vendor::Anthropic];

/// As long as a provider may be silent, seconds. A busy machine must be able to serve sixty-four clients in less.
const SHORT: u32 = 9;

/// One stack and the rows that are played on it.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) rows: Vec<Row>,
    /// HTTP/2, for a client alone.
    pub(crate) alone: Client,
    /// HTTP/1.1, a connection each.
    pub(crate) crowd: Client,
}

/// A candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) provider: String,
    pub(crate) host: String,
    pub(crate) vendor: Vendor,
}

/// Who serves a model of a row, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// A faulty candidate before a good one.
    First,
    /// Two faulty ones.
    All,
}

impl Row {
    /// Its faulty provider of this format.
    pub(crate) fn faulty(&self, vendor: Vendor) -> Lane {
        let word = word(vendor);
        let routed = self.streamed.as_ref().is_none_or(|half| !matches!(half.trouble, Trouble::NoRoute));
        let top = if routed { "test" } else { "invalid" };
        Lane { provider: format!("{}-{word}", self.id), host: format!("{}.{word}.{top}", self.id), vendor }
    }

    /// The candidates of its model of this scope that begins with this format: the other follows.
    pub(crate) fn candidates(&self, scope: Scope, begins: Vendor) -> [Lane; 2] {
        let second = other(begins);
        [self.faulty(begins), if scope == Scope::All { self.faulty(second) } else { good(second) }]
    }

    pub(crate) fn model(&self, scope: Scope, begins: Vendor) -> String {
        let scope = if scope == Scope::First { "first" } else { "all" };
        format!("{}-{scope}-{}", self.id, word(begins))
    }
}

/// The provider of this format that never fails.
pub(crate) fn good(vendor: Vendor) -> Lane {
    let word = word(vendor);
    Lane { provider: format!("good-{word}"), host: format!("api.{word}.com"), vendor }
}

/// The model that candidates of this format are asked for.
pub(crate) fn model_of(vendor: Vendor) -> &'static str {
    if vendor == Vendor::OpenAi { "gpt-4o" } else { "claude-3-5-haiku" }
}

pub(crate) fn home(dialect: Dialect) -> Vendor {
    if dialect == Dialect::OpenAi { Vendor::OpenAi } else { Vendor::Anthropic }
}

pub(crate) fn other(vendor: Vendor) -> Vendor {
    if vendor == Vendor::OpenAi { Vendor::Anthropic } else { Vendor::OpenAi }
}

fn word(vendor: Vendor) -> &'static str {
    if vendor == Vendor::OpenAi { "openai" } else { "anthropic" }
}

/// Every host of every row.
pub(crate) fn mock(rows: &[Row]) -> Mock {
    let lanes = rows.iter().flat_map(|row| VENDORS.map(|vendor| row.faulty(vendor)));
    let hosts = lanes.chain(VENDORS.map(good)).filter(|lane| !lane.host.ends_with(".invalid"));
    let mock = Mock::start(&hosts.map(|lane| HostSpec::tls(&lane.host)).collect::<Vec<_>>()).unwrap();
    mock.journal().counts_only(true);
    mock
}

impl World {
    /// A stack for these rows, all of which are timed or none.
    pub(crate) async fn start(mock: &Mock, rows: Vec<Row>) -> Self {
        let timed = rows.iter().any(|row| row.timed);
        let yaml = configuration(&rows, timed);
        let mut options = StackOptions::new(mock);
        options.resolve.retain(|(host, _)| yaml.contains(&format!("//{host}/")));
        let stack = Stack::start(&yaml, options).await.unwrap_or_else(|error| panic!("{error:#}"));
        let (alone, crowd) = (Client::h2c(stack.listen()), Client::h1(stack.listen()));
        Self { stack, rows, alone, crowd }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::open(&self.stack.store()).unwrap()
    }
}

fn configuration(rows: &[Row], timed: bool) -> String {
    let mut yaml = "virtual_keys:\n- {name: alone, secret: \"{{vk-alone}}\", models: [\"*\"]}\n\
                    - {name: crowd, secret: \"{{vk-crowd}}\", models: [\"*\"]}\n"
        .to_owned();
    // Every request meets the fault. Of keys that rest after failures there are other stories.
    let _ = writeln!(yaml, "limits: {{body: {LIMIT}}}\nretry: {{rest: {{failures: 0}}}}");
    if timed {
        let hard = SHORT - 1;
        let _ = writeln!(yaml, "timeouts: {{first_content: {SHORT}s, complete: {SHORT}s, idle: {SHORT}s}}");
        let _ = writeln!(yaml, "hold: {{hard: {hard}s}}");
    }
    yaml.push_str("providers:\n");
    for vendor in VENDORS {
        provider(&mut yaml, &good(vendor), true);
        rows.iter().for_each(|row| provider(&mut yaml, &row.faulty(vendor), row.http2));
    }
    yaml.push_str(if rows.is_empty() { "" } else { "models:\n" });
    for row in rows {
        for (scope, begins) in [Scope::First, Scope::All].into_iter().flat_map(|scope| VENDORS.map(|v| (scope, v))) {
            let [a, b] = row.candidates(scope, begins).map(|lane| {
                let model = model_of(lane.vendor);
                format!("provider: {}, model: {model}", lane.provider)
            });
            let name = row.model(scope, begins);
            let _ = writeln!(yaml, "  {name}: {{candidates: [{{{a}}}, {{{b}, priority: 1}}]}}");
        }
    }
    yaml
}

fn provider(yaml: &mut String, lane: &Lane, http2: bool) {
    let Lane { provider, host, vendor } = lane;
    let like = word(*vendor);
    let key = format!("{{name: k1, secret: \"{{{{sk-{provider}}}}}\", models: [\"*\"]}}");
    let _ = writeln!(
        yaml,
        "  {provider}: {{like: {like}, base_url: \"https://{host}/v1\", http2: {http2}, keys: [{key}]}}"
    );
}
