//! What the mesh says of who asks, where the configuration wants to know it.

use engine::config::snapshot::{Snapshot, Source};
use engine::identity::{Identity, forwarded, name};

use crate::host;

/// Reads what the configuration names. Envoy has verified all of it; `x-forwarded-client-cert` as far as the
/// configuration of its listener says who may send one.
pub(crate) fn find(snapshot: &Snapshot, headers: &[(&[u8], &[u8])]) -> Identity {
    let mut found = Identity::default();
    let property = |path: &str| host::property(path).ok().and_then(|bytes| name(&bytes));
    for source in &snapshot.govern.sources {
        match source {
            Source::Peer => found.peer = property("connection\0uri_san_peer_certificate"),
            Source::Xfcc => {
                // Of several lines the nearest proxy has written the last.
                let header = headers.iter().rfind(|(name, _)| *name == b"x-forwarded-client-cert");
                found.xfcc = header.and_then(|(_, value)| forwarded(value));
            }
            Source::Jwt { provider, claim } => {
                let path = format!("metadata\0filter_metadata\0envoy.filters.http.jwt_authn\0{provider}\0{claim}");
                found.claims.extend(property(&path).map(|value| (provider.clone(), claim.clone(), value)));
            }
        }
    }
    found
}
