//! The table of prices: read once, from text that is part of the program.
//!
//! Does not: fetch anything. `.ci/prices.sh` writes the text anew, and a new program brings it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use engine::govern::price::{Rates, Tier};
use serde::Deserialize;

const TEXT: &str = include_str!("../../prices/litellm.jsonl");

/// Where the table is from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Package, version and file.
    pub source: String,
    /// Of that file.
    pub sha256: String,
    /// Day it was read.
    pub read: String,
    /// Its licence; the text lies beside the table.
    pub licence: String,
}

/// All prices.
#[derive(Debug, Default)]
pub struct Table {
    /// Where they are from.
    pub header: Header,
    providers: BTreeMap<String, Models>,
}

type Models = BTreeMap<String, Rates>;

/// The table of this program. Empty if it cannot be read, which a test rules out.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        read(TEXT).unwrap_or_else(|problem| {
            tracing::error!(%problem, "the price table cannot be read: no model has a price");
            Table::default()
        })
    });
    &TABLE
}

impl Table {
    /// The rates of a model of a row, by the name it is asked for.
    #[must_use]
    pub fn find(&self, row: &str, model: &str) -> Option<&Rates> {
        let models = self.of(row);
        let own = || model.strip_prefix(row).and_then(|rest| rest.strip_prefix('/')).and_then(|name| models.get(name));
        let tuned = || models.get(base_of_tuned(model)?);
        let undated = || models.get(undated(model)?);
        models.get(model).or_else(own).or_else(tuned).or_else(undated)
    }

    /// All models of a row.
    #[must_use]
    pub fn of(&self, row: &str) -> &Models {
        static NONE: Models = Models::new();
        self.providers.get(row).unwrap_or(&NONE)
    }

    /// All rates.
    pub fn all(&self) -> impl Iterator<Item = &Rates> {
        self.providers.values().flat_map(BTreeMap::values)
    }

    /// All rows that have a price.
    pub fn rows(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }
}

/// `ft:gpt-4o-2024-08-06:organisation::id` costs as `ft:gpt-4o-2024-08-06`.
fn base_of_tuned(model: &str) -> Option<&str> {
    let rest = model.strip_prefix("ft:")?;
    let base = rest.find(':')?;
    model.get(.."ft:".len() + base)
}

/// The name of which this is a snapshot: `-2025-04-14` (OpenAI) or `-20250929` (Anthropic) at the end.
fn undated(model: &str) -> Option<&str> {
    ["-0000-00-00", "-00000000"].into_iter().find_map(|shape| {
        let (name, date) = model.split_at_checked(model.len().checked_sub(shape.len())?)?;
        let fits = date.bytes().zip(shape.bytes()).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == shape,
        });
        fits.then_some(name)
    })
}

/// One line. Names are short, since there are more than a thousand of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "p")]
    provider: String,
    #[serde(rename = "m")]
    model: String,
    #[serde(rename = "ctx")]
    most: [Option<u64>; 2],
    #[serde(rename = "price")]
    standard: Vec<Rate>,
    #[serde(default)]
    flex: Vec<Rate>,
    #[serde(default)]
    priority: Vec<Rate>,
    #[serde(default)]
    fast: Vec<Rate>,
    #[serde(default)]
    batch: Vec<Rate>,
    #[serde(rename = "geo")]
    resident: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    from: u64,
    #[serde(rename = "in")]
    input: u64,
    #[serde(rename = "out")]
    output: u64,
    #[serde(rename = "cr")]
    cache_read: Option<u64>,
    #[serde(rename = "cw")]
    cache_write: Option<u64>,
    #[serde(rename = "cwl")]
    cache_write_long: Option<u64>,
    #[serde(rename = "r")]
    reasoning: Option<u64>,
    #[serde(rename = "ai")]
    audio_in: Option<u64>,
    #[serde(rename = "ao")]
    audio_out: Option<u64>,
}

impl From<Rate> for Tier {
    fn from(rate: Rate) -> Self {
        let Rate { from, input, output, cache_read, cache_write, cache_write_long, reasoning, audio_in, audio_out } =
            rate;
        Self { from, input, output, cache_read, cache_write, cache_write_long, reasoning, audio_in, audio_out }
    }
}

fn read(text: &str) -> Result<Table, serde_json::Error> {
    let mut lines = text.lines();
    let header = serde_json::from_str(lines.next().unwrap_or_default())?;
    let mut providers = BTreeMap::<String, Models>::new();
    for line in lines {
        let line: Line = serde_json::from_str(line)?;
        let list = |rates: Vec<Rate>| rates.into_iter().map(Into::into).collect();
        let [context, max_output] = line.most;
        let rates = Rates {
            standard: list(line.standard),
            flex: list(line.flex),
            priority: list(line.priority),
            fast: list(line.fast),
            batch: list(line.batch),
            resident: line.resident,
            context,
            max_output,
            ..Rates::default()
        };
        providers.entry(line.provider).or_default().insert(line.model, rates);
    }
    Ok(Table { header, providers })
}
