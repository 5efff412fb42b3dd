//! Who asks, where the mesh says so.

use super::Belongs;
use crate::config::fault::Faults;
use crate::config::path::Path;
use crate::config::schema::{self, Claim, Mesh, WordOr};
use crate::config::snapshot::{Identity, Source, VirtualKey, Who};
use crate::govern::pattern::{Pattern, Template};

pub(super) fn resolve(
    given: &[schema::Identity],
    keys: &[VirtualKey],
    belongs: Belongs<'_>,
    path: &Path,
    faults: &mut Faults,
) -> Vec<Identity> {
    let mut identities = Vec::with_capacity(given.len());
    for (i, given) in given.iter().enumerate() {
        let path = path.index(i);
        let source = source(given.from.as_ref(), &path.member("from"), faults);
        let pattern = pattern(given.pattern.as_deref(), &path.member("match"), faults);
        let who = who(given, pattern.as_ref(), keys, belongs, &path, faults);
        if let (Some(source), Some(pattern), Some(who)) = (source, pattern, who) {
            identities.push(Identity { source, pattern, who });
        }
    }
    identities
}

/// Where a name is from.
fn source(given: Option<&schema::From>, path: &Path, faults: &mut Faults) -> Option<Source> {
    let Claim { jwt, provider } = match given {
        Some(WordOr::Word(Mesh::Peer)) => return Some(Source::Peer),
        Some(WordOr::Word(Mesh::Xfcc)) => return Some(Source::Xfcc),
        Some(WordOr::Mapping(claim)) => claim,
        None => {
            faults.add(path, "nothing", "peer, xfcc, or {jwt: CLAIM, provider: NAME}");
            return None;
        }
    };
    let mut text = |text: &Option<String>, member: &str, expected: &str| match text.as_deref() {
        Some(text) if !text.is_empty() => text.to_owned(),
        found => {
            let found = if found.is_some() { "an empty text" } else { "nothing" };
            faults.add(&path.member(member), found, expected);
            String::new()
        }
    };
    let claim = text(jwt, "jwt", "the claim's name, e.g. sub");
    let provider = text(provider, "provider", "what payload_in_metadata of jwt_authn's provider says");
    Some(Source::Jwt { provider, claim })
}

fn pattern(given: Option<&str>, path: &Path, faults: &mut Faults) -> Option<Pattern> {
    let expected = "a name with {part} or * in it, e.g. spiffe://cluster.local/ns/{team}/sa/*";
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        faults.add(path, "nothing", expected);
        return None;
    };
    match Pattern::parse(given) {
        Ok(pattern) => Some(pattern),
        Err(malformed) => {
            faults.add(path, malformed.to_string(), expected);
            None
        }
    }
}

fn who(
    given: &schema::Identity,
    pattern: Option<&Pattern>,
    keys: &[VirtualKey],
    belongs: Belongs<'_>,
    path: &Path,
    faults: &mut Faults,
) -> Option<Who> {
    let mut template =
        |text: &Option<String>, member: &str| template(text.as_deref()?, pattern, &path.member(member), faults);
    let (key, team, customer) =
        (template(&given.key, "key"), template(&given.team, "team"), template(&given.customer, "customer"));
    if given.key.is_some() && (given.team.is_some() || given.customer.is_some()) {
        faults.add(&path.member("key"), "key beside team or customer", "one of the two: a key says whose it is");
    } else if given.key.is_none() && given.team.is_none() && given.customer.is_none() {
        faults.add(path, "nobody", "who it is: `key`, or `team` and `customer`");
    }
    if let Some(name) = key.as_ref().and_then(Template::plain)
        && !keys.iter().any(|key| key.name == name)
    {
        let names = keys.iter().map(|key| key.name.as_str());
        faults.unknown(&path.member("key"), name, "the name of a virtual key", names);
    }
    let plain = |template: &'_ Option<Template>| template.as_ref().and_then(Template::plain).map(str::to_owned);
    belongs.customer(plain(&team).as_deref(), plain(&customer).as_deref(), path, faults);
    match key {
        Some(key) => Some(Who::Key(key)),
        None => (team.is_some() || customer.is_some()).then_some(Who::Member { team, customer }),
    }
}

fn template(given: &str, pattern: Option<&Pattern>, path: &Path, faults: &mut Faults) -> Option<Template> {
    let template = match Template::parse(given) {
        Ok(template) if !given.is_empty() => template,
        Ok(_) => {
            faults.add(path, "an empty text", "a name, which may use what `match` takes, e.g. team-{team}");
            return None;
        }
        Err(malformed) => {
            faults.add(path, malformed.to_string(), "a name, which may use what `match` takes, e.g. team-{team}");
            return None;
        }
    };
    if let Some(pattern) = pattern {
        for name in template.names().filter(|name| !pattern.names().any(|taken| taken == *name)) {
            faults.unknown(path, name, "a name in braces that `match` takes", pattern.names());
        }
    }
    Some(template)
}
