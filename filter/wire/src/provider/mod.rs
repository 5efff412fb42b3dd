//! Providers: rows of data. A provider is not a format; most rows share one.

pub mod anthropic;
pub mod azure;
pub mod openai_compatible;
pub mod path;

use crate::format::Outbound;
pub use crate::format::{Auth, BEARER, X_API_KEY};

/// Where a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// The same for everybody.
    Fixed(&'static str),
    /// Every customer has an address of its own, which configuration must say. This is its shape.
    Own(&'static str),
}

impl Base {
    /// The address, if it is known.
    #[must_use]
    pub fn fixed(self) -> Option<&'static str> {
        match self {
            Self::Fixed(address) => Some(address),
            Self::Own(_) => None,
        }
    }
}

/// All providers, one slice a file.
pub static PROVIDERS: &[&[Provider]] = &[anthropic::ROWS, azure::ROWS, openai_compatible::ROWS];

/// The provider of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Provider> {
    rows().find(|row| row.name == name)
}

/// All names, for messages that list them.
pub fn names() -> impl Iterator<Item = &'static str> {
    rows().map(|row| row.name)
}

/// Every header (lower case) any row can put a key into, each once. Whoever passes a client's headers on removes these first.
#[must_use]
pub fn credential_headers() -> Vec<&'static str> {
    let mut headers: Vec<_> = rows().map(|row| row.auth.header).collect();
    headers.sort_unstable();
    headers.dedup();
    headers
}

fn rows() -> impl Iterator<Item = &'static Provider> {
    PROVIDERS.iter().copied().flatten()
}

/// One known provider.
#[derive(Clone, Copy)]
pub struct Provider {
    /// Name in `attache.yaml`.
    pub name: &'static str,
    /// Scheme, host, optional port and path prefix, without trailing slash: `https://api.openai.com/v1`.
    pub base: Base,
    /// What it speaks.
    pub format: &'static dyn Outbound,
    /// How it wants its key.
    pub auth: Auth,
    /// Members of [`crate::scan::routing::ROUTING`] of which a part may pass where models are restricted, and that
    /// part. It narrows the choice of a server, e.g. by what that keeps of a prompt.
    pub narrows: Narrows,
    /// The vendor's own page the row was taken from.
    pub docs: &'static str,
}

/// A member, and what of it may pass.
pub type Narrows = &'static [(&'static str, &'static [&'static str])];

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_each_file_is_sorted() {
        for rows in PROVIDERS {
            assert!(rows.windows(2).all(|pair| pair[0].name < pair[1].name), "{rows:?}");
        }
        let mut all: Vec<_> = names().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(names().all(|name| find(name).is_some_and(|row| row.name == name)));
        assert!(find("nobody").is_none());
    }

    #[test]
    fn bases_are_addresses_without_a_trailing_slash_and_tls_unless_local() {
        for row in rows() {
            assert!(row.narrows.iter().all(|(name, _)| crate::scan::routing::ROUTING.contains(name)), "{row:?}");
            let (Base::Fixed(base) | Base::Own(base)) = row.base;
            let local = base.starts_with("http://127.0.0.1:");
            assert!(base.starts_with("https://") || local, "{row:?}");
            assert!(!base.ends_with('/') && !base.contains(['?', '#', '@']), "{row:?}");
            assert!(row.docs.starts_with("https://") && row.docs.len() > "https://a.b/".len(), "{row:?}");
            assert!(row.format.path(crate::ir::Operation::Chat).is_some_and(|path| path.starts_with('/')), "{row:?}");
        }
    }

    #[test]
    fn every_header_that_can_hold_a_key_is_listed_once_in_lower_case() {
        assert_eq!(credential_headers(), ["api-key", "authorization", "x-api-key"]);
        assert!(credential_headers().iter().all(|name| *name == name.to_ascii_lowercase()));
    }

    #[test]
    fn no_format_forwards_or_sets_a_credential() {
        let credentials = credential_headers();
        for format in crate::format::INBOUND {
            assert!(format.forwarded_headers().iter().all(|name| !credentials.contains(name)), "{}", format.name());
        }
        for row in rows() {
            assert!(row.format.default_headers().iter().all(|(name, _)| !credentials.contains(name)), "{row:?}");
        }
    }
}
