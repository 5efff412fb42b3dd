//! What an exchange used: every try with its outcome, exactly once, also when the client left.

use wire::format::label;
use wire::ir::{Operation, Usage};

use super::whole::HELD;
use super::{Disposition, Exchange, Try};

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer.
    Ok,
    /// An error answer.
    Error,
    /// Refused, reset or timed out before an answer.
    NoAnswer,
    /// An answer that ended early.
    Cut,
}

/// Token counts as settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TryUsage {
    /// As reported, or estimated.
    pub usage: Usage,
    /// The provider did not say.
    pub estimated: bool,
}

/// One try as settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledTry {
    /// Provider's name.
    pub provider: String,
    /// Name of the provider key.
    pub key: String,
    /// The provider's name of the model.
    pub model: String,
    /// The provider's status; 0 without an answer.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// What kind of failure it was, if it was one.
    pub disposition: Option<Disposition>,
    /// Did the provider bill it? `None`: nobody can know.
    pub billed: Option<bool>,
    /// Tokens.
    pub usage: Option<TryUsage>,
    /// Nanoseconds.
    pub duration: u64,
    /// Members of the request it could not carry over, each once, as [`wire::format::label`] names them.
    pub dropped: Vec<&'static str>,
    /// Events of the answer that nobody could read.
    pub skipped: u64,
    /// Its answer sent the key to rest.
    pub cooled: bool,
    /// Its stream had no content within the soft limit.
    pub slow: bool,
    /// What it cost, in nano-dollars; `None`: nobody here knows.
    pub cost: Option<u64>,
    /// The provider reported more than the request can have used; the bound was charged.
    pub capped: bool,
}

/// One finished exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Name of the virtual key; empty if none was needed.
    pub key: String,
    /// Label.
    pub team: String,
    /// Label.
    pub customer: String,
    /// As the client asked.
    pub asked_model: String,
    /// The client's dialect.
    pub dialect: &'static str,
    /// `chat` or `count_tokens`.
    pub operation: &'static str,
    /// Streamed.
    pub stream: bool,
    /// Status the client saw; 0 if it left before any.
    pub status: u16,
    /// Unix nanoseconds of arrival.
    pub started: u64,
    /// Nanoseconds from arrival to the end.
    pub duration: u64,
    /// Nanoseconds from arrival to the first byte; 0 if none.
    pub first_byte: u64,
    /// Nanoseconds from arrival to the first content of a streamed answer; 0 if none.
    pub first_content: u64,
    /// Nanoseconds from the whole request to the first try that was ready to be sent: what the gateway itself took.
    /// 0 if there was none.
    pub overhead: u64,
    /// The client left before the end.
    pub client_gone: bool,
    /// Every try.
    pub tries: Vec<SettledTry>,
    /// Length of the request's body.
    pub bytes: u64,
    /// The service tier that was asked for; empty for the standard one.
    pub service: &'static str,
    /// What it takes from each account that it had reserved from, in the order of [`crate::govern::Governor::needs`].
    pub amounts: Vec<u64>,
    /// Limits that it went on in spite of.
    pub exceeded: Vec<u64>,
    /// A list of models or a pool stood in for a limit.
    pub downgraded: bool,
}

impl Exchange {
    /// The settlement of this exchange.
    #[must_use]
    pub fn settle(&self, now: u64) -> Settled {
        let label = |f: fn(&crate::config::snapshot::VirtualKey) -> Option<&String>| {
            self.key.as_deref().and_then(f).cloned().unwrap_or_default()
        };
        let first_content = self.tries.last().and_then(|t| t.first_content);
        let tries: Vec<_> = self.tries.iter().filter_map(|t| self.settle_try(t, now)).collect();
        let (exceeded, downgraded) = self.spared();
        Settled {
            key: label(|k| Some(&k.name)),
            team: label(|k| k.team.as_ref()),
            customer: label(|k| k.customer.as_ref()),
            asked_model: self.scan.model.clone().unwrap_or_default(),
            dialect: self.inbound.name(),
            operation: match self.operation {
                Operation::Chat => "chat",
                Operation::CountTokens => "count_tokens",
                Operation::ListModels => "list_models",
            },
            stream: self.scan.stream,
            status: self.status.unwrap_or(0),
            started: self.started,
            duration: now.saturating_sub(self.started),
            first_byte: self.first_byte.map_or(0, |at| at.saturating_sub(self.started)),
            first_content: first_content.map_or(0, |at| at.saturating_sub(self.started)),
            overhead: self.ready.map_or(0, |at| at.saturating_sub(self.whole)),
            client_gone: !self.delivered && !self.torn,
            bytes: self.scan.len as u64,
            service: self.terms.service.class.word(),
            amounts: self.amounts(&tries),
            exceeded,
            downgraded,
            tries,
        }
    }

    pub(super) fn settle_try(&self, t: &Try, now: u64) -> Option<SettledTry> {
        let hop = self.plan.hops.get(t.hop)?;
        let lane = self.snapshot.lanes.get(hop.lane)?;
        let provider = self.snapshot.providers.get(lane.provider)?;
        let ok = answered(t);
        let outcome = match t.status {
            None => Outcome::NoAnswer,
            Some(_) if !ok || t.flaw.is_some() => Outcome::Error,
            Some(_) if t.complete => Outcome::Ok,
            Some(_) => Outcome::Cut,
        };
        let counting = self.operation != Operation::Chat;
        let billed = match outcome {
            // Vendors count for nothing.
            _ if counting => Some(false),
            Outcome::Ok => Some(true),
            Outcome::Error if !ok => Some(false),
            // The provider may have worked on it, or may still.
            Outcome::NoAnswer | Outcome::Cut | Outcome::Error => None,
        };
        let mut settled = SettledTry {
            provider: provider.name.clone(),
            key: lane.key.clone(),
            model: hop.model.clone(),
            status: t.status.unwrap_or(0),
            outcome,
            disposition: t.disposition,
            billed,
            usage: (ok && !counting).then(|| self.usage_of(t)),
            duration: t.ended.unwrap_or(now).saturating_sub(t.started),
            dropped: t.labels.clone(),
            skipped: t.skipped,
            cooled: t.cooled,
            slow: ok
                && self.scan.stream
                && provider.patience.soft.is_some_and(|soft| {
                    let until = t.first_content.or(t.ended).unwrap_or(now);
                    u128::from(until.saturating_sub(t.started)) > soft.as_nanos()
                }),
            cost: None,
            capped: false,
        };
        let strict = self.is_strict_at(&provider.name);
        let used = self.used(t, &settled, strict);
        settled.cost = used.cost;
        if strict && !t.certain.all() && billed != Some(false) {
            settled.usage = Some(TryUsage { usage: used.usage, estimated: true });
        } else if let Some(reported) = settled.usage.as_mut().filter(|_| used.capped) {
            *reported = TryUsage { usage: used.usage, estimated: true };
        }
        settled.capped = used.capped;
        Some(settled)
    }

    /// Reported counts, completed by an estimate (about four bytes a token) where the provider was silent.
    pub(super) fn usage_of(&self, t: &Try) -> TryUsage {
        if t.certain.all() {
            return TryUsage { usage: t.usage, estimated: false };
        }
        let mut usage = t.usage;
        let estimated = !t.complete || usage.input.is_none() || usage.output.is_none();
        usage.input.get_or_insert(estimate(self.scan.len));
        // A stream's frames are mostly envelope: an event of about 200 bytes carries about one token.
        let seen = match self.scan.stream {
            true => t.bytes.div_ceil(200),
            // No model writes so long a text: it is an image or a sound, whose bytes say nothing of tokens.
            false if t.bytes > HELD as u64 => 0,
            false => t.bytes.div_ceil(4),
        };
        usage.output = Some(match usage.output {
            // A cut stream reported what it had at its start, if anything.
            Some(output) if t.complete => output,
            Some(output) => output.max(seen),
            None => seen,
        });
        TryUsage { usage, estimated }
    }
}

/// The provider answered with a good status.
pub(super) fn answered(t: &Try) -> bool {
    t.status.is_some_and(|status| (200..300).contains(&status))
}

/// Tokens of so many bytes of a request, where no provider counted them: about four bytes a token.
#[must_use]
pub fn estimate(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

/// What was dropped, each once.
pub(super) fn labels(paths: &[String]) -> Vec<&'static str> {
    let mut labels: Vec<_> = paths.iter().map(|path| label(path)).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}
