//! What the outage looks like in a terminal of 80 columns: a line for whatever happens, and below it the present one.
//!
//! Does not: move a cursor where no terminal reads along; there the present one is a line every few seconds.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::load::{End, Tally};

/// Between two lines without news, where they stay.
const EVERY: Duration = Duration::from_secs(5);

/// The lines so far.
pub(crate) struct Screen {
    started: Instant,
    last: Duration,
    terminal: bool,
    /// The present line has no end yet.
    open: bool,
}

impl Screen {
    /// Prints what the columns are.
    pub(crate) fn start() -> Self {
        println!("   s   live   begun   whole  errors  settled  what happens");
        Self { started: Instant::now(), last: Duration::ZERO, terminal: std::io::stdout().is_terminal(), open: false }
    }

    /// The present line.
    pub(crate) fn tick(&mut self, tally: &Tally, settled: u64) {
        if self.terminal {
            print!("\r{}", self.line(tally, settled));
            let _closed = std::io::stdout().flush();
            self.open = true;
        } else if self.started.elapsed() >= self.last + EVERY {
            self.say(tally, settled, "");
        }
    }

    /// A line with news, which stays.
    pub(crate) fn say(&mut self, tally: &Tally, settled: u64, news: &str) {
        let line = format!("{}  {news}", self.line(tally, settled));
        println!("{}{}", if std::mem::take(&mut self.open) { "\r" } else { "" }, line.trim_end());
        self.last = self.started.elapsed();
    }

    fn line(&self, tally: &Tally, settled: u64) -> String {
        let (now, errors) = (self.started.elapsed().as_secs(), tally.bad.lock().unwrap().len());
        let (live, begun, whole) = (Tally::count(&tally.live), Tally::count(&tally.begun), Tally::count(&tally.whole));
        format!("{now:>4}  {live:>5}  {begun:>6}  {whole:>6}  {errors:>6}  {settled:>7}")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.open {
            println!();
        }
    }
}

/// The numbers at the end.
pub(crate) fn totals(tally: &Tally, settled: u64, settled_as_cut: usize) {
    let line = |what: &str, number: String, remark: &str| {
        println!("{}", format!("  {what:<33}{number:>7}  {remark}").trim_end());
    };
    let (begun, whole) = (Tally::count(&tally.begun), Tally::count(&tally.whole));
    println!();
    line("streams begun", thousands(begun), "");
    line("streams whole", thousands(whole), "");
    line("broken before the first content", tally.ended(End::BeforeContent).to_string(), "promised: 0");
    line("looked whole and were not", tally.ended(End::Wrong).to_string(), "promised: 0");
    line("ended by a clean error after it", tally.ended(End::ErrorEvent).to_string(), "error event, then the end");
    line("broken off after it", tally.ended(End::BrokenOff).to_string(), "no end marker, so no whole answer");
    line("settled", thousands(settled), &format!("{settled_as_cut} of them as cut"));
    line("settlements missing", (i128::from(begun) - i128::from(settled)).to_string(), "promised: 0");
    println!();
}

/// 12345 as 12,345.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    grouped.join(",")
}
