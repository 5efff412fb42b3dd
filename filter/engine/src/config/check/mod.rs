//! From the typed to the resolved stage: every rule stands where its value is resolved, and every fault is told.
//!
//! Does not: read environment, files or names in the net; a reference to a secret stays a reference.
//!
//! Decision: checking *is* resolving, so no rule can forget a value and no value is parsed twice. Rejected: a pass that
//! only checks, followed by one that trusts it. Where a value is at fault a default stands in, which nobody sees: a
//! configuration with faults has no snapshot.

mod failure;
mod govern;
mod hold;
mod limits;
mod model;
mod provider;
mod virtual_key;

#[cfg(feature = "schema")]
pub(super) use self::{limits::MEMORY, model::LABEL, provider::formats};

use std::time::Duration;

use super::document::Parts;
use super::fault::Faults;
use super::path::Path;
use super::schema::{AuthMode, Config, FailedTries, Tokenizer, UnknownPrice};
use super::snapshot::{Governance, Governing, Sidecar, Snapshot, Timeouts, VirtualKey};
use super::text;

/// What names of providers and keys are made of.
pub(super) const NAME: &str = "a name of a-z, 0-9 and -, at most 63 long";

/// Who may call, where the user did not say: everybody, until there is somebody to tell from others.
fn auth(typed: &Config) -> AuthMode {
    let nobody = !typed.virtual_keys.is_there() && !typed.identities.is_there();
    typed.auth.unwrap_or(if nobody { AuthMode::Open } else { AuthMode::Required })
}

/// The user's file, resolved; of use only if no fault was added.
pub(super) fn whole(typed: &Config, parts: Parts, faults: &mut Faults) -> (Snapshot, Vec<VirtualKey>, Governance) {
    let mut snapshot = resolve(typed, faults);
    let (virtual_keys, governance) = govern::resolve(typed, parts, &mut snapshot, faults);
    (snapshot, virtual_keys, governance)
}

/// The filter's part, resolved. Of governance it knows nothing yet.
pub(super) fn resolve(typed: &Config, faults: &mut Faults) -> Snapshot {
    let root = Path::root();
    version(typed, &root, faults);
    let (hold, patience) = hold::resolve(&typed.hold, &root.member("hold"), faults);
    let (mut providers, lanes) = provider::resolve(&typed.providers, &root.member("providers"), faults);
    for (provider, (name, given)) in providers.iter_mut().zip(&typed.providers.0) {
        let path = root.member("providers").member(name).member("hold");
        provider.patience = hold::patience(given.hold.as_ref(), patience, hold.max, &path, faults);
    }
    let (body_limit, bounds) = limits::resolve(&typed.limits, &root.member("limits"), faults);
    let known = provider::Known { providers: &providers, lanes: &lanes };
    let models = model::resolve(&typed.models, known, &root.member("models"), faults);
    Snapshot {
        listen: listen(typed, &root, faults),
        auth: auth(typed),
        client_keys: typed.client_keys,
        strict: typed.strict,
        models,
        retry: failure::retry(&typed.retry, &root.member("retry"), faults),
        body_limit,
        bounds,
        timeouts: timeouts(typed, &root.member("timeouts"), faults),
        hold,
        sidecar: sidecar(typed, &root.member("sidecar"), faults),
        seed: typed.routing.as_ref().and_then(|routing| routing.seed),
        govern: Governing {
            unknown_price: UnknownPrice::default(),
            failed_tries: FailedTries::default(),
            tokenizer: Tokenizer::default(),
            poll: poll(typed, &root.member("sidecar").member("poll"), faults),
            sources: Vec::new(),
            keyless: false,
        },
        providers,
        lanes,
    }
}

fn poll(typed: &Config, path: &Path, faults: &mut Faults) -> Duration {
    duration(typed.sidecar.poll.as_deref(), Duration::from_secs(1), path, faults)
}

fn version(typed: &Config, root: &Path, faults: &mut Faults) {
    match typed.version {
        Some(1) => {}
        Some(other) => faults.add(&root.member("version"), other.to_string(), "1, the only version so far"),
        None => faults.add(&root.member("version"), "nothing", "version: 1"),
    }
}

fn listen(typed: &Config, root: &Path, faults: &mut Faults) -> String {
    let path = root.member("listen");
    let given = typed.listen.as_deref().unwrap_or("127.0.0.1:8080");
    let anybody = auth(typed) != AuthMode::Required;
    match text::socket(given) {
        None => faults.add(&path, format!("{given:?}"), "IP:PORT such as 127.0.0.1:8080"),
        Some(address) if anybody && !address.ip().is_loopback() && !typed.allow_open => faults.add(
            &path,
            format!("{given:?} while calls without a key are served"),
            "a loopback address, `auth: required`, or `allow_open: true`",
        ),
        Some(_) => {}
    }
    given.to_owned()
}

fn size(given: Option<&str>, default: u64, path: &Path, faults: &mut Faults) -> u64 {
    let Some(given) = given else { return default };
    text::size(given).unwrap_or_else(|| {
        faults.add(path, format!("{given:?}"), "a size such as 32MiB, 64KiB or 65536, at most 1GiB");
        0
    })
}

fn timeouts(typed: &Config, path: &Path, faults: &mut Faults) -> Timeouts {
    let given = &typed.timeouts;
    let mut patience = |text: &Option<String>, seconds: u64, member: &str| {
        duration(text.as_deref(), Duration::from_secs(seconds), &path.member(member), faults)
    };
    Timeouts {
        connect: patience(&given.connect, 1, "connect"),
        first_content: patience(&given.first_content, 30, "first_content"),
        complete: patience(&given.complete, 300, "complete"),
        idle: patience(&given.idle, 60, "idle"),
    }
}

fn sidecar(typed: &Config, path: &Path, faults: &mut Faults) -> Sidecar {
    let given = &typed.sidecar;
    let address = given.address.as_deref().unwrap_or("unix:/run/attache/sidecar.sock");
    let address = text::address(address).unwrap_or_else(|| {
        faults.add(&path.member("address"), format!("{address:?}"), "unix:PATH (at most 107 bytes) or HOST:PORT");
        super::snapshot::Address::Unix(String::new())
    });
    if let super::snapshot::Address::Tcp(host, _) = &address
        && !text::is_loopback(host)
        && !given.allow_insecure
    {
        let found = format!("{:?}, where whoever reaches it may grant limits", given.address.as_deref().unwrap_or(""));
        faults.add(&path.member("address"), found, "unix:PATH, a loopback address, or `allow_insecure: true`");
    }
    let admin = given.admin.as_deref().unwrap_or("127.0.0.1:9091");
    match text::socket(admin) {
        None => faults.add(&path.member("admin"), format!("{admin:?}"), "IP:PORT such as 127.0.0.1:9091"),
        Some(at) if !text::is_loopback(&at.ip().to_string()) && !given.allow_insecure => {
            let found = format!("{admin:?}, where whoever reaches it reads all counters");
            faults.add(&path.member("admin"), found, "a loopback address, or `allow_insecure: true`");
        }
        Some(_) => {}
    }
    let store = given.store.as_deref().unwrap_or("attache.db");
    if store.is_empty() {
        faults.add(&path.member("store"), "an empty path", "a file such as attache.db");
    }
    if given.key_secret.as_deref().is_some_and(|secret| !text::is_reference(secret)) {
        // Not quoted: it may be the secret itself.
        faults.add(&path.member("key_secret"), "something else", "env:NAME or file:PATH, never the secret itself");
    }
    let deadline = given.deadline.as_deref();
    let deadline = duration(deadline, Duration::from_millis(250), &path.member("deadline"), faults);
    let patience = patience(given.patience.as_deref(), deadline, &path.member("patience"), faults);
    let key_ttl = given.key_ttl.as_deref();
    Sidecar {
        address,
        on_failure: given.on_failure.unwrap_or_default(),
        deadline,
        patience,
        key_ttl: duration(key_ttl, Duration::from_secs(30), &path.member("key_ttl"), faults),
        key_secret: given.key_secret.clone(),
        store: store.to_owned(),
        admin: admin.to_owned(),
    }
}

/// Who waits less than one call may take would give up on every slow answer.
fn patience(given: Option<&str>, deadline: Duration, path: &Path, faults: &mut Faults) -> Duration {
    let patience = duration(given, Duration::from_secs(5).max(deadline), path, faults);
    if patience < deadline {
        faults.add(
            path,
            format!("{:?}", given.unwrap_or_default()),
            "a duration that is not shorter than sidecar.deadline",
        );
    }
    patience.max(deadline)
}

fn duration(given: Option<&str>, default: Duration, path: &Path, faults: &mut Faults) -> Duration {
    let Some(given) = given else { return default };
    text::duration(given).unwrap_or_else(|| {
        faults.add(path, format!("{given:?}"), "a duration such as 5ms, 30s or 5m, at most 24h");
        default
    })
}

/// The weights of one group as the user gave them, default 1, normalised to a sum of 1.
fn weights(given: &[(Option<f64>, Path)], group: &Path, faults: &mut Faults) -> Vec<f64> {
    let mut fine = true;
    let mut shares: Vec<f64> = Vec::with_capacity(given.len());
    for (weight, path) in given {
        let weight = weight.unwrap_or(1.0);
        // The bound keeps sums finite.
        if !(0.0..=1e12).contains(&weight) {
            faults.add(&path.member("weight"), format!("{weight:?}"), "a number from 0 to 1e12");
            fine = false;
        }
        shares.push(weight);
    }
    let sum: f64 = shares.iter().sum();
    if fine && sum == 0.0 && !shares.is_empty() {
        faults.add(group, "weights that are all 0", "at least one above 0");
    }
    shares.into_iter().map(|share| share / sum).collect()
}
