//! What of governance the filter knows, as a member of its document that no user's file has.
//!
//! Decision: written and read by hand. Rejected: types of its own for serde, which would cost the guest more than all
//! that it says.

use serde_json::{Value, json};

use super::fault::Faults;
use super::path::Path;
use super::schema::{FailedTries, Tokenizer, UnknownPrice};
use super::snapshot::{Governing, Source};

const MEMBER: &str = "govern";

pub(super) fn put(document: &mut Value, govern: &Governing) {
    let source = |source: &Source| match source {
        Source::Peer => json!("peer"),
        Source::Xfcc => json!("xfcc"),
        Source::Jwt { provider, claim } => json!([provider, claim]),
    };
    if let Some(members) = document.as_object_mut() {
        let unknown_price = match govern.unknown_price {
            UnknownPrice::Deny => "deny",
            UnknownPrice::Estimate => "estimate",
            UnknownPrice::Free => "free",
        };
        let given = json!({
            "unknown_price": unknown_price,
            "refund": govern.failed_tries == FailedTries::Refund,
            "exact": govern.tokenizer == Tokenizer::Exact,
            "sources": govern.sources.iter().map(source).collect::<Value>(),
            "keyless": govern.keyless,
        });
        members.insert(MEMBER.to_owned(), given);
    }
}

pub(super) fn take(document: &mut Value) -> Option<Value> {
    document.as_object_mut()?.shift_remove(MEMBER)
}

pub(super) fn read(given: Option<Value>, govern: &mut Governing, faults: &mut Faults) {
    if given.is_some_and(|given| put_into(&given, govern).is_none()) {
        faults.add(&Path::root().member(MEMBER), "something else", "what a sidecar of this version writes");
    }
}

fn put_into(given: &Value, govern: &mut Governing) -> Option<()> {
    govern.unknown_price = match given.get("unknown_price")?.as_str()? {
        "deny" => UnknownPrice::Deny,
        "estimate" => UnknownPrice::Estimate,
        "free" => UnknownPrice::Free,
        _ => return None,
    };
    govern.failed_tries = if given.get("refund")?.as_bool()? { FailedTries::Refund } else { FailedTries::Charge };
    govern.tokenizer = if given.get("exact")?.as_bool()? { Tokenizer::Exact } else { Tokenizer::Bytes };
    govern.keyless = given.get("keyless")?.as_bool()?;
    govern.sources = given.get("sources")?.as_array()?.iter().map(source).collect::<Option<_>>()?;
    Some(())
}

fn source(given: &Value) -> Option<Source> {
    match (given.as_str(), given.as_array().map(Vec::as_slice)) {
        (Some("peer"), _) => Some(Source::Peer),
        (Some("xfcc"), _) => Some(Source::Xfcc),
        (None, Some([provider, claim])) => {
            Some(Source::Jwt { provider: provider.as_str()?.to_owned(), claim: claim.as_str()?.to_owned() })
        }
        _ => None,
    }
}
