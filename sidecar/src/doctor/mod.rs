//! What would break Attaché in a running Envoy, read from its admin interface: the reason, and the lines that mend it.
//!
//! Does not: change anything, or ask Envoy for more than `/server_info` and `/config_dump`; see what Envoy does not dump
//! (files, certificates, what other gateways do to the same traffic).
//!
//! Decision: the rules read the dump, not the user's files: what counts is what Envoy took. Rejected: comparing with our
//! own rendering, which would call every Envoy of somebody else's wrong.

#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value asked for a member it lacks answers null, which is what the rules need"
)]

mod cluster;
mod dump;
mod filter;
mod overload;
mod route;

use std::fmt;

use serde_json::Value;

use dump::Dump;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Requests fail, or go where they should not.
    Breaks,
    /// All is well until something else goes wrong.
    Weakens,
}

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name of the rule, stable.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Where in Envoy's configuration.
    pub place: String,
    /// What stands there.
    pub found: String,
    /// What comes of it.
    pub harm: &'static str,
    /// The lines that mend it.
    pub mend: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Breaks => "breaks",
            Severity::Weakens => "weakens",
        };
        writeln!(f, "{severity}: {} ({}): {}", self.place, self.rule, self.found)?;
        writeln!(f, "  {}", self.harm)?;
        self.mend.lines().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// What one rule says, without the place.
struct Rule {
    name: &'static str,
    severity: Severity,
    harm: &'static str,
    mend: &'static str,
}

impl Rule {
    fn at(&self, place: impl Into<String>, found: impl Into<String>) -> Finding {
        let Self { name: rule, severity, harm, mend } = *self;
        Finding { rule, severity, place: place.into(), found: found.into(), harm, mend }
    }
}

const VERSION: Rule = Rule {
    name: "version",
    severity: Severity::Breaks,
    harm: "The next provider is chosen by a matcher that is asked again for each retry; Envoy has that since 1.39.",
    mend: "Run Envoy 1.39 or newer.",
};

const MODULE: Rule = Rule {
    name: "module",
    severity: Severity::Breaks,
    harm: "Nothing plans requests here.",
    mend: "Add the filter `plan` before the router; `attache render envoy` writes it to ecds/plan.yaml.",
};

const ADMIN: Rule = Rule {
    name: "admin",
    severity: Severity::Weakens,
    harm: "Whoever reaches the admin address reads the configuration and can stop Envoy.",
    mend: "admin:\n  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}",
};

/// Everything found, the worst first. `server` is `/server_info`, `dump` is `/config_dump?include_eds`.
#[must_use]
pub fn examine(server: &Value, dump: &Value) -> Vec<Finding> {
    let dump = Dump::new(dump);
    let mut found = Vec::new();
    found.extend(version(server));
    found.extend(admin(&dump));
    let plans = dump.plans();
    if plans.is_empty() {
        found.push(MODULE.at("listeners", "no wasm filter with the role plan"));
    }
    for plan in &plans {
        filter::plan(plan, &mut found);
        route::examine(&dump, plan, &mut found);
        cluster::examine(&dump, plan, &mut found);
    }
    filter::virtual_machine(&dump, &plans, &mut found);
    overload::examine(&dump, &plans, &mut found);
    found.sort_by_key(|finding| finding.severity);
    found.dedup();
    found
}

/// `COMMIT/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(server: &Value) -> Option<Finding> {
    let text = server["version"].as_str().unwrap_or_default();
    let number = text.split('/').nth(1).unwrap_or_default();
    let mut parts = number.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) >= (1, 39) => None,
        (Some(_), Some(_)) => Some(VERSION.at("/server_info", format!("Envoy {number}"))),
        _ => Some(VERSION.at("/server_info", format!("version {text:?}, which cannot be read"))),
    }
}

fn admin(dump: &Dump<'_>) -> Option<Finding> {
    let address = dump.bootstrap()["admin"]["address"]["socket_address"]["address"].as_str()?;
    let local = address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    (!local).then(|| ADMIN.at("admin", format!("address {address}")))
}
