//! Who a workload is, by the names that Envoy has verified.
//!
//! Does not: trust a name because it is there. The filter sends only those that the configuration asks for, and Envoy has
//! checked the certificate or the token they are from.

use engine::config::snapshot::{Governance, Identity, Source, Team, Who};
use engine::govern::pattern::{Taken, Template};
use sidecar_api::v1::{self, KeyRecord};

use super::keys::{Found, Keys};

/// The configuration's identities.
#[derive(Debug, Default)]
pub struct Identities {
    list: Vec<Identity>,
    teams: Vec<Team>,
}

impl Identities {
    /// Of this configuration.
    #[must_use]
    pub fn of(governance: &Governance) -> Self {
        Self { list: governance.identities.clone(), teams: governance.teams.clone() }
    }

    /// Whoever has these names, at this Unix second: the first that matches counts.
    #[must_use]
    pub fn find(&self, asked: &v1::Identity, keys: &Keys, now: u64) -> Found {
        let found = self.list.iter().find_map(|identity| {
            names(asked, &identity.source).find_map(|name| Some((identity, identity.pattern.take(name)?)))
        });
        match found {
            None => Found::Unknown,
            Some((Identity { who: Who::Key(key), .. }, taken)) => keys.named(&key.fill(&taken), now),
            Some((Identity { who: Who::Member { team, customer }, .. }, taken)) => {
                self.member(team.as_ref(), customer.as_ref(), &taken)
            }
        }
    }

    /// A member of a team belongs to the customer that the team does. Whom that contradicts is nobody: either could be
    /// charged for the other.
    fn member(&self, team: Option<&Template>, customer: Option<&Template>, taken: &Taken<'_>) -> Found {
        let fill = |template: Option<&Template>| template.map(|it| it.fill(taken)).unwrap_or_default();
        let (team, said) = (fill(team), fill(customer));
        let declared = self.teams.iter().find(|it| it.name == team).and_then(|it| it.customer.as_ref());
        if declared.is_some_and(|declared| !said.is_empty() && *declared != said) {
            return Found::Unknown;
        }
        let customer = declared.cloned().unwrap_or(said);
        Found::Good { record: KeyRecord { team, customer, ..KeyRecord::default() }, until: None }
    }
}

fn names<'a>(asked: &'a v1::Identity, source: &'a Source) -> impl Iterator<Item = &'a str> {
    let (name, claims) = match source {
        Source::Peer => (asked.peer.as_str(), None),
        Source::Xfcc => (asked.xfcc.as_str(), None),
        Source::Jwt { provider, claim } => ("", Some((provider, claim))),
    };
    let claims = claims.into_iter().flat_map(|(provider, claim)| {
        let of = move |it: &&v1::Claim| it.provider == *provider && it.name == *claim;
        asked.claims.iter().filter(of).map(|it| it.value.as_str())
    });
    Some(name).into_iter().chain(claims).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use engine::config::load;

    use super::*;

    const YAML: &str = r#"
version: 1
providers: { openai: { keys: [{ name: a, models: ["*"] }] } }
customers: { acme: {}, other: {} }
teams: { search: { customer: acme }, ads: { customer: other } }
virtual_keys:
  - { name: prod-web, secret: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", team: search }
identities:
  - { from: peer, match: "spiffe://cluster.local/ns/prod/sa/{sa}", key: "prod-{sa}" }
  - { from: peer, match: "spiffe://cluster.local/ns/{ns}/sa/*", team: "{ns}", customer: acme }
  - { from: { jwt: sub, provider: idp }, match: "svc-{team}", team: "{team}" }
  - { from: xfcc, match: "spiffe://cluster.local/*/*/*/*", customer: other }
"#;

    fn find(asked: &v1::Identity) -> Found {
        let loaded = load(serde_saphyr::from_str(YAML).unwrap()).unwrap();
        let keys = Keys::resolve(loaded.virtual_keys.iter(), None, crate::read::secret).unwrap();
        Identities::of(&loaded.governance).find(asked, &keys, 0)
    }

    fn told(asked: &v1::Identity) -> Option<(String, String, String)> {
        match find(asked) {
            Found::Good { record, .. } => Some((record.name, record.team, record.customer)),
            Found::Unknown | Found::Refused => None,
        }
    }

    fn peer(name: &str) -> v1::Identity {
        v1::Identity { peer: name.to_owned(), ..v1::Identity::default() }
    }

    fn somebody(name: &str, team: &str, customer: &str) -> Option<(String, String, String)> {
        Some((name.to_owned(), team.to_owned(), customer.to_owned()))
    }

    #[test]
    fn the_first_pattern_that_matches_says_who_it_is() {
        assert_eq!(told(&peer("spiffe://cluster.local/ns/prod/sa/web")), somebody("prod-web", "search", "acme"));
        assert_eq!(told(&peer("spiffe://cluster.local/ns/prod/sa/db")), None, "the first matches, and its key is none");
        assert_eq!(told(&peer("spiffe://cluster.local/ns/search/sa/web")), somebody("", "search", "acme"));
        assert_eq!(told(&peer("spiffe://cluster.local/ns/new/sa/web")), somebody("", "new", "acme"));
        assert_eq!(told(&peer("spiffe://cluster.local/ns/ads/sa/web")), None, "the team is another customer's");
        assert_eq!(told(&peer("spiffe://elsewhere/ns/search/sa/web")), None);
        assert_eq!(told(&v1::Identity::default()), None);
    }

    #[test]
    fn a_name_counts_only_where_it_is_from() {
        let name = "spiffe://cluster.local/ns/search/sa/web".to_owned();
        let xfcc = v1::Identity { xfcc: name.clone(), ..v1::Identity::default() };
        assert_eq!(told(&xfcc), somebody("", "", "other"));
        let both = v1::Identity { xfcc: name.clone(), peer: name, ..v1::Identity::default() };
        assert_eq!(told(&both), somebody("", "search", "acme"), "in the order of the identities");
        let claim = |provider: &str, name: &str| v1::Identity {
            claims: vec![v1::Claim { provider: provider.into(), name: name.into(), value: "svc-ads".into() }],
            ..v1::Identity::default()
        };
        assert_eq!(told(&claim("idp", "sub")), somebody("", "ads", "other"));
        assert_eq!(told(&claim("idp", "aud")), None);
        assert_eq!(told(&claim("elsewhere", "sub")), None);
    }
}
