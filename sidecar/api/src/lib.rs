//! The contract between filter and sidecar: two calls, `Admit` and `Settle`, and no third.
//!
//! Does not: send anything. The guest encodes these messages for Envoy's call-out; the sidecar serves them with the
//! stubs that the feature `server` adds.
//!
//! Decision: protobuf over gRPC, because Envoy's call-outs speak it and unknown fields survive a version skew between
//! the two. Rejected: JSON over HTTP, which costs the hot path a parser and the contract its field numbers.

mod convert;

pub use convert::InvalidRecord;

/// Full name of the gRPC service, for callers that have no stub.
pub const SERVICE: &str = "attache.sidecar.v1.Sidecar";
/// Method that comes before a request.
pub const ADMIT: &str = "Admit";
/// Method that comes after.
pub const SETTLE: &str = "Settle";
/// Length of [`v1::AdmitRequest::key_sha256`] in bytes.
pub const DIGEST_LEN: usize = 32;
/// Length of [`v1::AdmitResponse::vm_nonce`] in bytes.
pub const NONCE_LEN: usize = 16;

/// Messages and, with feature `server`, stubs as generated from `proto/sidecar.proto`.
pub mod v1 {
    #![expect(missing_docs, reason = "generated: what the proto file says by a field's name alone has no comment")]
    #![cfg_attr(
        feature = "server",
        expect(clippy::allow_attributes, clippy::too_many_lines, reason = "generated: tonic's stubs are as they are")
    )]

    include!(concat!(env!("OUT_DIR"), "/attache.sidecar.v1.rs"));
}

#[cfg(all(test, feature = "server"))]
mod tests {
    #[test]
    fn names_are_those_of_the_stub() {
        assert_eq!(super::SERVICE, super::v1::sidecar_server::SERVICE_NAME);
    }
}
