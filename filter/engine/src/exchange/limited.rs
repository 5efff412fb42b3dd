//! What the client of a refused request is told: which limit, how much of it is used, when it begins anew.
//!
//! Decision: a budget of money is `insufficient_quota` and not to be retried (so OpenAI says it; Anthropic's is 402
//! `billing_error`), everything else a rate limit with the time to wait. Rejected: one kind for all, by which SDKs would
//! repeat, for a month, what cannot succeed before the next one. What is larger than the whole limit never succeeds: 400.

use wire::format::Inbound;
use wire::ir::{Fault, FaultKind};

use super::{Headers, vendor};
use crate::govern::{Counted, Missing, Over, Refusal, Unit, Window};

const SECOND: u64 = 1_000_000_000;

/// The fault, and the headers beside those of any error.
#[must_use]
pub fn limited(refusal: &Refusal, inbound: &dyn Inbound, now: u64) -> (Fault, Headers) {
    match refusal {
        Refusal::Over(over) if !over.is_empty() && over.iter().all(never) => too_large(over),
        Refusal::Over(over) => used_up(over, inbound, now),
        Refusal::Unpriced => {
            let message = "Nobody here knows what this model costs, and money is limited for this key.";
            let fault = Fault::new(FaultKind::InvalidRequest, message).with_param("model");
            (fault.with_code("price_unknown"), Headers::new())
        }
        Refusal::Unbounded(missing) => {
            let (param, message) = match missing {
                Missing::MaxTokens => {
                    let message = "`max_tokens` is missing: a strict limit takes no answer of any length.";
                    ("max_tokens", message.to_owned())
                }
                Missing::Text(member) => (*member, of_any_size(member)),
                Missing::ServiceTier => ("service_tier", "The price of this service tier is not known.".to_owned()),
            };
            let mut fault = Fault::new(FaultKind::InvalidRequest, message).with_code("unbounded_request");
            fault.param = Some(param.to_owned()).filter(|param| !param.is_empty());
            (fault, Headers::new())
        }
    }
}

fn of_any_size(member: &str) -> String {
    let reason = match member {
        "messages" => "images and files need a model whose context is known",
        "tools" => "a tool that the provider runs may read any amount of text",
        "" => return "A strict limit takes no request in which escapes may hide parts that are not text.".to_owned(),
        _ => "under it the provider may add any amount of text",
    };
    format!("`{member}` is in the way: a strict limit takes no prompt of any size, and {reason}.")
}

/// It does not fit into the limit when that is empty, either. Whichever is larger counts, what the record says or what the
/// sidecar said last: one of them may be old.
fn never(over: &Over) -> bool {
    over.need > over.refused.most.max(over.account.limit.most) && over.account.needs_rates()
}

fn too_large(over: &[Over]) -> (Fault, Headers) {
    let told = |over: &Over| {
        let limit = &over.account.limit;
        let (need, most) = (shown(limit.counted, over.need), shown(limit.counted, over.refused.most));
        let unit = unit(limit.counted);
        let per = limit.window.map(|window| format!(" {} ({window})", per(window))).unwrap_or_default();
        format!("The request may take {need} {unit}, and the limit of {} is {most} {unit}{per}.", over.account.scope)
    };
    let prompt = over.iter().all(|over| over.account.limit.counted == Counted::InputTokens);
    let (param, advice) =
        if prompt { ("messages", "a shorter prompt") } else { ("max_tokens", "a smaller `max_tokens`") };
    let sentences: Vec<_> = over.iter().map(told).collect();
    let message = format!("{} It needs {advice}.", sentences.join(" "));
    let fault = Fault::new(FaultKind::InvalidRequest, message).with_param(param).with_code("request_exceeds_limit");
    (fault, over.first().map(limit_header).into_iter().collect())
}

fn used_up(over: &[Over], inbound: &dyn Inbound, now: u64) -> (Fault, Headers) {
    let money = over.iter().all(|over| over.account.limit.counted == Counted::Money);
    let kind = if money { FaultKind::QuotaExceeded } else { FaultKind::RateLimited };
    let messages: Vec<_> = over.iter().map(|over| sentence(over, now)).collect();
    let mut fault = Fault::new(kind, messages.join(" "));
    let wait = |over: &Over| over.refused.ends.map_or(1, |ends| ends.saturating_sub(now).div_ceil(SECOND).max(1));
    fault.retry_after = over.iter().map(wait).min();
    let mut headers = Headers::new();
    if money {
        headers.push(("x-should-retry".to_owned(), b"false".to_vec()));
    }
    // Of several the one that is back first.
    if let Some(first) = over.iter().min_by_key(|over| wait(over)) {
        let limit = &first.account.limit;
        let left = limit.most.saturating_sub(first.refused.used);
        headers.extend(vendor::limit(inbound.name(), limit.counted, (limit.most, left, wait(first)), now));
        headers.push(limit_header(first));
    }
    (fault, headers)
}

/// For programs.
fn limit_header(over: &Over) -> (String, Vec<u8>) {
    let limit = &over.account.limit;
    let window = limit.window.map(|window| window.to_string()).unwrap_or_default();
    let value = format!("{};{};{window}", plain(&over.account.scope), limit.counted.word());
    ("x-attache-limit".to_owned(), value.into_bytes())
}

/// `The limit of key prod is used up: 600 of 600 dollars a month (1M); it resets in 3 days.`
fn sentence(over: &Over, now: u64) -> String {
    let Over { account, refused, need } = over;
    let (counted, most) = (account.limit.counted, refused.most);
    let scope = &account.scope;
    let Some(window) = account.limit.window else {
        return format!("The limit of {scope} is reached: {most} requests at once.");
    };
    let (used, all, unit, per) = (shown(counted, refused.used), shown(counted, most), unit(counted), per(window));
    let state = if refused.used >= most {
        format!("is used up: {used} of {all} {unit} {per} ({window})")
    } else {
        // What is neither used nor free is reserved for requests under way.
        let need = shown(counted, *need);
        format!("has no room for a request that may take {need}: {used} of {all} {unit} {per} ({window}) are used")
    };
    let back = refused.ends.map(|ends| format!("; it resets in {}", span(ends.saturating_sub(now).div_ceil(SECOND))));
    format!("The limit of {scope} {state}{}.", back.unwrap_or_default())
}

fn unit(counted: Counted) -> &'static str {
    match counted {
        Counted::Requests | Counted::Concurrent => "requests",
        Counted::InputTokens => "input tokens",
        Counted::OutputTokens => "output tokens",
        Counted::TotalTokens => "tokens",
        Counted::Money => "dollars",
    }
}

fn shown(counted: Counted, amount: u64) -> String {
    if counted == Counted::Money { dollars(amount) } else { amount.to_string() }
}

fn per(window: Window) -> String {
    let name = match window.unit {
        Unit::Second => "second",
        Unit::Minute => "minute",
        Unit::Hour => "hour",
        Unit::Day => "day",
        Unit::Week => "week",
        Unit::Month => "month",
        Unit::Quarter => "quarter",
        Unit::Year => "year",
    };
    match (window.count, window.unit) {
        (1, Unit::Hour) => "an hour".to_owned(),
        (1, _) => format!("a {name}"),
        (count, _) => format!("in {count} {name}s"),
    }
}

fn span(seconds: u64) -> String {
    let (count, name) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds.div_ceil(60), "minute"),
        7_200..172_800 => (seconds.div_ceil(3_600), "hour"),
        _ => (seconds.div_ceil(86_400), "day"),
    };
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// Nano-dollars as dollars, with as many decimals as it takes.
#[must_use]
pub fn dollars(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / SECOND, nano % SECOND);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Names of the configuration may be any text; a header may not.
fn plain(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') && c != ';' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests;
