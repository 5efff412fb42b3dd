//! `RESULTS.md`: the table as it was played.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tests::client::Dialect;

use crate::play::{CROWD, Cell, Play};
use crate::row::{Expected, Half, Row};
use crate::world::{Scope, VENDORS, home};

const ABOUT: &str = "\
# What the client sees of a provider's fault

Made by `tests/chaos` with `ATTACHE_BLESS=1`: a real Envoy with the module, the sidecar, and a mock of two providers of either
format over TLS. A run that comes to anything else fails. What is expected stands with its reasons in `tests/chaos/table.rs`.

A model has two candidates, one of each format, in both orders; *first*: the first is faulty and the second is well, *all*: both
are faulty. So each fault meets bytes that pass and bytes that are translated, and each failover goes from one format to the
other. Clients are alone (HTTP/2) or 64 at once (HTTP/1.1), half of them with one order and half with the other. Providers are
reached by HTTP/2; where it is about resets after the first byte, by HTTP/1.1.

Every cell stands for these checks, on every request in it: the client sees what the cell says and nothing else, in its own
dialect, in time; a whole answer has exactly the text and usage of the provider it names; the trail names who was asked; and
the sidecar has settled the request once, with every try, its status and its usage, estimated only where the provider did not
say, and no provider has counted a request that is not among them.

| a cell says | the client saw |
|---|---|
| answer | 200 and one whole, right answer |
| *a status* | one error in its own dialect with that status; overload is 503 at OpenAI and 529 at Anthropic, but what a provider of the client's own format says passes as it is |
| error event | 200, and a stream that ends with an error event in its own dialect and without an end marker |
| aborted | 200, content, and a transfer that ends in the middle: a body cut off (HTTP/1.1) or a reset stream (HTTP/2) |
| *a* / *b* | *a* if the first candidate speaks the client's format, *b* if it speaks the other |
| ≤ 2 tries | keys rest as long as they are told to: some clients among many are planned around them, or refused at once |
| – | nothing to play: what is not streamed has no later event |

";

/// The document.
pub(crate) struct Results {
    rows: String,
    cells: usize,
    requests: usize,
}

impl Results {
    pub(crate) fn new() -> Self {
        Self { rows: String::new(), cells: 0, requests: 0 }
    }

    /// A row, with a text for each cell.
    pub(crate) fn row(&mut self, row: &Row, cells: &[String]) {
        let twins = [("streamed", &row.streamed), ("not streamed", &row.unary)].into_iter();
        let twins = twins.filter_map(|(kind, half)| Some(format!(" ({kind}: {})", half.as_ref()?.twin?)));
        let _ = writeln!(self.rows, "| {}{} | {} |", row.name, twins.collect::<String>(), cells.join(" | "));
    }

    /// The text of a cell.
    pub(crate) fn cell(&mut self, row: &Row, half: &Half, cell: Cell, plays: &[Play]) -> String {
        self.cells += 1;
        self.requests += plays.len();
        let mut words: Vec<String> = Vec::new();
        let [one, two] = VENDORS;
        for begins in if home(cell.dialect) == one { [one, two] } else { [two, one] } {
            let expected = cell.expected(half, begins);
            let last = row.candidates(cell.scope, begins)[1].vendor;
            let what = match expected {
                Expected::Next | Expected::Answer => "answer".to_owned(),
                Expected::Said(_) | Expected::Ours(_) => expected.status(cell.dialect, last).to_string(),
                Expected::ErrorEvent => "error event".to_owned(),
                Expected::Aborted => "aborted".to_owned(),
            };
            let most = if row.rests.is_some() && cell.crowd { "≤ " } else { "" };
            let tries = expected.tries();
            let word = format!("{what}, {most}{tries} {}", if tries == 1 { "try" } else { "tries" });
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words.join(" / ")
    }

    /// Compares it with what is checked in; with `ATTACHE_BLESS` in the environment it is written instead.
    pub(crate) fn check(&self, rows: usize) {
        let text = self.text(rows);
        if std::env::var_os("ATTACHE_BLESS").is_some() {
            return std::fs::write(document(), text).unwrap();
        }
        let have = std::fs::read_to_string(document()).unwrap_or_default();
        let line = have.lines().zip(text.lines()).take_while(|(a, b)| a == b).count();
        assert!(
            have == text,
            "tests/chaos/RESULTS.md is stale from line {}:\n  has  {}\n  wants {}\nwrite it anew with \
             `ATTACHE_BLESS=1 cargo test -p tests --test chaos`",
            line + 1,
            have.lines().nth(line).unwrap_or("nothing"),
            text.lines().nth(line).unwrap_or("nothing"),
        );
    }

    fn text(&self, rows: usize) -> String {
        let head = Cell::all().into_iter().map(|cell| {
            let scope = if cell.scope == Scope::First { "first" } else { "all" };
            let stream = if cell.stream { "streamed" } else { "not streamed" };
            let dialect = if cell.dialect == Dialect::OpenAi { "OpenAI" } else { "Anthropic" };
            format!("{scope}, {stream}, {dialect}, {}", if cell.crowd { CROWD } else { 1 })
        });
        let head: Vec<String> = head.collect();
        let rule = "---|".repeat(head.len() + 1);
        let Self { rows: body, cells, requests } = self;
        let totals = format!("{rows} faults, {cells} cells, {requests} requests: all as expected.");
        format!("{ABOUT}| fault | {} |\n|{rule}\n{body}\n{totals}\n", head.join(" | "))
    }
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("chaos/RESULTS.md")
}
