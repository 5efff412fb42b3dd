//! Providers and their keys.

use std::collections::BTreeSet;

use wire::format::Outbound;
use wire::format::openai_chat::OpenAiChat;
use wire::provider::{Base as Address, PROVIDERS, Provider as Row};

use super::failure::errors;
use super::{NAME, weights};
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::schema::{self, Map};
use crate::config::snapshot::{Lane, Names, Patience, Provider, Snapshot};
use crate::config::text::{self, Base};
use crate::cooldown::lane_hash;

/// Headers that a try owns itself, or that belong to the connection: a key there would break the request.
const OWNED: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
const OWNED_PREFIXES: &[&str] = &["x-attache-", "x-envoy-", "proxy-"];

/// What candidates can refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) providers: &'a [Provider],
    pub(super) lanes: &'a [Lane],
}

impl<'a> Known<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        Self { providers: &snapshot.providers, lanes: &snapshot.lanes }
    }

    /// The index of a candidate's provider.
    pub(super) fn find(&self, name: Option<&str>, path: &Path, faults: &mut Faults) -> Option<usize> {
        let path = path.member("provider");
        let Some(name) = name else {
            faults.add(&path, "nothing", "a name under `providers`");
            return None;
        };
        let found = self.providers.iter().position(|provider| provider.name == name);
        if found.is_none() {
            let names = self.providers.iter().map(|provider| provider.name.as_str());
            faults.unknown(&path, name, "a name under `providers`", names);
        }
        found
    }

    /// Deny by default: a model that none of the provider's keys may be used for cannot be served.
    pub(super) fn expect_served(&self, provider: usize, model: &str, path: &Path, faults: &mut Faults) {
        let Some(Provider { name, lanes, .. }) = self.providers.get(provider) else { return };
        let lanes = self.lanes.get(lanes.clone()).unwrap_or_default();
        // Without lanes there is a fault already.
        if !lanes.is_empty() && !lanes.iter().any(|lane| lane.models.contains(model)) {
            let expected = format!("a model in `models` of a key of provider {name}");
            faults.unknown(path, model, expected, lanes.iter().flat_map(|lane| lane.models.list()));
        }
    }
}

pub(super) fn resolve(typed: &Map<schema::Provider>, path: &Path, faults: &mut Faults) -> (Vec<Provider>, Vec<Lane>) {
    if typed.0.is_empty() {
        faults.add(path, "none", "at least one provider");
    }
    let mut providers = Vec::with_capacity(typed.0.len());
    let mut lanes = Vec::new();
    for (name, given) in &typed.0 {
        let path = path.member(name);
        if !text::is_name(name) {
            faults.add(&path.name(), format!("the name {name:?}"), NAME);
        }
        let first = lanes.len();
        keys(name, providers.len(), &given.keys, &path.member("keys"), &mut lanes, faults);
        // Kept even if at fault, so that candidates still find its name.
        providers.push(provider(name, given, first..lanes.len(), &path, faults));
    }
    (providers, lanes)
}

fn rows() -> impl Iterator<Item = &'static Row> {
    PROVIDERS.iter().flat_map(|rows| rows.iter())
}

/// Names of what can be spoken.
pub(in crate::config) fn formats() -> Vec<&'static str> {
    let mut names: Vec<&str> = rows().map(|row| row.format.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn provider(
    name: &str,
    given: &schema::Provider,
    lanes: std::ops::Range<usize>,
    path: &Path,
    faults: &mut Faults,
) -> Provider {
    let wanted = given.like.as_deref().unwrap_or(name);
    let row = wire::provider::find(wanted);
    if row.is_none() && given.like.is_some() {
        faults.unknown(&path.member("like"), wanted, "the name of a known provider", wire::provider::names());
    }
    let custom = row.is_none() && given.like.is_none();
    if custom && given.base_url.is_none() && given.format.is_none() {
        let expected = "a known provider's name, or `like`, or `base_url` and `format`";
        faults.unknown(&path.name(), name, expected, wire::provider::names());
    }
    let base = base(given.base_url.as_deref(), row, custom, &path.member("base_url"), faults);
    let secret = given.keys.iter().any(|key| key.secret.is_some());
    if secret && !base.tls && !text::is_loopback(&base.host) && !given.allow_insecure {
        let found = "http:// to another host, which shows the key to whoever is on the way";
        faults.add(&path.member("base_url"), found, "https://, or `allow_insecure: true`");
    }
    let spoken = spoken(given.format.as_deref(), row, custom, &path.member("format"), faults);
    let format = spoken.unwrap_or(&OpenAiChat);
    // A row knows how its vendor wants the key for the format it has, and nothing of another.
    let auth = row.filter(|row| row.format.name() == format.name()).map_or(format.auth(), |row| row.auth);
    let (auth_header, auth_prefix) = match &given.auth_header {
        None => (auth.header.to_owned(), auth.prefix.to_owned()),
        Some(own) => auth_header(own, &path.member("auth_header"), faults),
    };
    if let Some(below) = given.path.as_deref().filter(|below| !text::is_chat_path(below)) {
        let expected = "a path such as /chat/completions, which may hold {model} as one segment and a query";
        faults.add(&path.member("path"), format!("{below:?}"), expected);
    }
    Provider {
        name: name.to_owned(),
        format,
        narrows: row.map_or(&[], |row| row.narrows),
        http2: http2(given.http2, base.tls, &path.member("http2"), faults),
        tls: base.tls,
        host: base.host,
        port: base.port,
        authority: base.authority,
        prefix: base.prefix,
        path: given.path.clone(),
        auth_header,
        auth_prefix,
        // The checks of `hold` know it.
        patience: Patience::default(),
        errors: errors(&given.errors, row.map(|row| row.name), &path.member("errors"), faults),
        lanes,
    }
}

fn base(given: Option<&str>, row: Option<&Row>, custom: bool, path: &Path, faults: &mut Faults) -> Base {
    let expected = "https://HOST[:PORT][/PREFIX]";
    match (given.or(row.and_then(|row| row.base.fixed())).map(text::base), row.map(|row| row.base)) {
        (Some(Ok(base)), _) => return base,
        (Some(Err(found)), _) => faults.add(path, found, expected),
        (None, Some(Address::Own(shape))) => {
            faults.add(path, "nothing", format!("{shape}, since every customer has an address of its own"));
        }
        (None, _) if custom => {
            faults.add(path, "nothing", format!("{expected}, since no known provider has this name"));
        }
        // Unknown `like`: told there.
        (None, _) => {}
    }
    Base { tls: true, host: String::new(), port: 0, authority: String::new(), prefix: String::new() }
}

fn http2(given: Option<bool>, tls: bool, path: &Path, faults: &mut Faults) -> bool {
    if given == Some(true) && !tls {
        faults.add(path, "true with http://", "https://: HTTP/2 is agreed on in the TLS handshake");
    }
    given.unwrap_or(tls)
}

/// The format that is spoken: the row's own where it has this name, so that its deviations are kept, else the first of
/// this name.
fn spoken(
    given: Option<&str>,
    row: Option<&'static Row>,
    custom: bool,
    path: &Path,
    faults: &mut Faults,
) -> Option<&'static dyn Outbound> {
    let names = formats();
    let expected = format!("one of {}", names.join(", "));
    let Some(name) = given else {
        if custom {
            faults.add(path, "nothing", format!("{expected}, since no known provider has this name"));
        }
        return row.map(|row| row.format);
    };
    let found = row.into_iter().chain(rows()).map(|row| row.format).find(|format| format.name() == name);
    if found.is_none() {
        faults.unknown(path, name, expected, names);
    }
    found
}

fn auth_header(given: &schema::AuthHeader, path: &Path, faults: &mut Faults) -> (String, String) {
    let name = given.name.as_deref().unwrap_or_default().to_ascii_lowercase();
    let own = OWNED.contains(&name.as_str()) || OWNED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if given.name.is_none() {
        faults.add(&path.member("name"), "nothing", "a header such as authorization or api-key");
    } else if !text::is_token(&name) {
        faults.add(&path.member("name"), format!("{name:?}"), "a header such as authorization or api-key");
    } else if own {
        faults.add(&path.member("name"), format!("{name:?}"), "a header that is not the gateway's own");
    }
    if !given.prefix.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        faults.add(&path.member("prefix"), "characters that no header may hold", "visible ASCII, e.g. \"Bearer \"");
    }
    (name, given.prefix.clone())
}

fn keys(provider: &str, index: usize, given: &[schema::Key], path: &Path, lanes: &mut Vec<Lane>, faults: &mut Faults) {
    if given.is_empty() {
        faults.add(path, "none", "at least one key; a server that needs none gets one without `secret`");
    }
    let group: Vec<_> = given.iter().enumerate().map(|(i, key)| (key.weight, path.index(i))).collect();
    let shares = weights(&group, path, faults);
    let mut taken = BTreeSet::new();
    for (i, (key, weight)) in given.iter().zip(shares).enumerate() {
        let path = path.index(i);
        let name = key.name.as_deref().unwrap_or_default();
        if key.name.is_none() {
            faults.add(&path.member("name"), "nothing", NAME);
        } else if !text::is_name(name) {
            faults.add(&path.member("name"), format!("{name:?}"), NAME);
        } else if !taken.insert(name) {
            faults.add(&path.member("name"), format!("{name:?} again"), "a name of its own within the provider");
        }
        if key.secret.as_deref().is_some_and(|secret| !text::is_reference(secret)) {
            // Not quoted: it may be the secret itself.
            faults.add(&path.member("secret"), "something else", "env:NAME or file:PATH, never the secret itself");
        }
        let models = key.models.as_deref().unwrap_or_default();
        if models.is_empty() {
            faults.add(&path.member("models"), "none", "the models this key may be used for, [\"*\"] for all");
        }
        super::model::names(models, &path.member("models"), faults);
        let cluster = format!("{provider}_{name}");
        lanes.push(Lane {
            hash: lane_hash(&cluster),
            cluster,
            provider: index,
            key: name.to_owned(),
            secret: key.secret.clone(),
            weight,
            models: Names::new(models),
        });
    }
}
