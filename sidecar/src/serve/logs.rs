//! Logs to stderr, as text or JSON.
//!
//! Does not: log keys, bodies or single requests.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What to log, e.g. `info` or `sidecar=debug`.
const FILTER: &str = "ATTACHE_LOG";
/// `json`, or text.
const FORMAT: &str = "ATTACHE_LOG_FORMAT";

/// Starts logging, unless the process that embeds the sidecar has done so.
pub fn init() {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new("info"));
    let stderr = std::io::stderr;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr().is_terminal()).with_writer(stderr);
    let json = std::env::var(FORMAT).is_ok_and(|format| format == "json");
    let started = if json { logs.json().try_init() } else { logs.try_init() };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
