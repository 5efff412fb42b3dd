//! Errors: what clients see of each kind.

use wire::format::INBOUND;
use wire::ir::{Fault, FaultKind};

use crate::doc::Doc;
use crate::page::code;

const KINDS: [FaultKind; 12] = [
    FaultKind::InvalidRequest,
    FaultKind::Authentication,
    FaultKind::Permission,
    FaultKind::NotFound,
    FaultKind::MethodNotAllowed,
    FaultKind::TooLarge,
    FaultKind::RateLimited,
    FaultKind::QuotaExceeded,
    FaultKind::Internal,
    FaultKind::BadGateway,
    FaultKind::Overloaded,
    FaultKind::Timeout,
];

/// Its place above; a kind that is new fails to compile here.
fn place(kind: FaultKind) -> usize {
    match kind {
        FaultKind::InvalidRequest => 0,
        FaultKind::Authentication => 1,
        FaultKind::Permission => 2,
        FaultKind::NotFound => 3,
        FaultKind::MethodNotAllowed => 4,
        FaultKind::TooLarge => 5,
        FaultKind::RateLimited => 6,
        FaultKind::QuotaExceeded => 7,
        FaultKind::Internal => 8,
        FaultKind::BadGateway => 9,
        FaultKind::Overloaded => 10,
        FaultKind::Timeout => 11,
    }
}

pub(super) fn table() -> String {
    let mut text = "A fault has a kind. Its status is the provider's, unless the client's format has one of its own for the kind; \
        its words\nare those of the client's format. What a provider says beyond that stays: its message, and its `code` \
        where the format\nhas a place for it.\n\n"
        .to_owned();
    let titles: Vec<&str> = INBOUND.iter().map(|format| super::title(format.name())).collect();
    text.push_str(&format!("| kind | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(titles.len())));
    for kind in KINDS {
        let cells = INBOUND.iter().map(|format| {
            let fault = Fault::new(kind, "…");
            let body = Doc::parse(&format.encode_fault(&fault));
            let word = |name| body.get("error").and_then(|error| error.get(name)).and_then(Doc::text);
            let words = ["type", "code"].into_iter().filter_map(word).map(|word| code(&word));
            format!("{} {}", format.status(&fault), words.collect::<Vec<_>>().join(", "))
        });
        text.push_str(&format!("| {kind:?} | {} |\n", cells.collect::<Vec<_>>().join(" | ")));
    }
    text
}

#[test]
fn every_kind_is_in_the_table_once() {
    assert!(KINDS.iter().enumerate().all(|(at, kind)| place(*kind) == at));
}

#[test]
fn a_client_can_tell_the_kinds_that_ask_for_different_acts_apart() {
    // Mend the request, the key, the account; wait; try elsewhere.
    let acts = [
        FaultKind::InvalidRequest,
        FaultKind::Authentication,
        FaultKind::Permission,
        FaultKind::NotFound,
        FaultKind::RateLimited,
        FaultKind::QuotaExceeded,
        FaultKind::Internal,
        FaultKind::Overloaded,
    ];
    for format in INBOUND {
        let told: Vec<(u16, Vec<u8>)> = acts
            .iter()
            .map(|kind| Fault::new(*kind, "m"))
            .map(|fault| (format.status(&fault), format.encode_fault(&fault)))
            .collect();
        for (at, one) in told.iter().enumerate() {
            assert!(!told[..at].contains(one), "{}: {:?} is told as another kind", format.name(), acts[at]);
        }
    }
}
