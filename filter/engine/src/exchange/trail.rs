//! What an answer says of its way: who was tried, with what result, and what the gateway itself took.

use std::fmt::Write as _;

use super::{Disposition, Exchange, Flaw, Try};

impl Exchange {
    /// `x-attache-trail`, once there was more than one try: `openai/k1 429 12ms -> openai/k2 200 empty 30ms -> groq/k1 200`.
    /// The time is that until a try had failed. A try without an answer has `none` for its status.
    #[must_use]
    pub fn trail(&self) -> Option<String> {
        if self.tries.len() < 2 {
            return None;
        }
        let steps: Vec<String> = self.tries.iter().filter_map(|t| self.step(t)).collect();
        // Names of the configuration and numbers: nothing a client chose.
        Some(steps.join(" -> "))
    }

    fn step(&self, t: &Try) -> Option<String> {
        let lane = self.snapshot.lanes.get(self.plan.hops.get(t.hop)?.lane)?;
        let provider = self.snapshot.providers.get(lane.provider)?;
        let mut step = format!("{}/{} ", provider.name, lane.key);
        match t.status {
            Some(status) => step.push_str(&status.to_string()),
            None => step.push_str("none"),
        }
        // What the status says already is not said again.
        let more = t.disposition.filter(|is| t.status.is_some_and(|status| *is != Disposition::of_status(status)));
        let word = match (t.flaw, t.disposition) {
            // A good status, and an error that is of no other kind.
            (Some(Flaw::Fault), None | Some(Disposition::Transient)) => Some("error"),
            _ => more.map(Disposition::word),
        };
        if let Some(word) = word {
            step.push(' ');
            step.push_str(word);
        }
        if let Some(ended) = t.ended {
            let _fits = write!(step, " {}ms", ended.saturating_sub(t.started) / 1_000_000);
        }
        Some(step)
    }

    /// `server-timing`: what the gateway itself took, from the whole request to the first try that was ready to be sent.
    pub(super) fn timing(&self) -> Option<String> {
        let micros = self.ready?.saturating_sub(self.whole) / 1_000;
        Some(format!("attache;dur={}.{:03}", micros / 1_000, micros % 1_000))
    }
}
