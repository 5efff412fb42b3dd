//! Errors.

use wire::format::INBOUND;
use wire::ir::FaultKind;

use crate::cases;
use crate::tree::Tree;

#[test]
fn a_fault_is_told_in_every_dialect() {
    for (status, case) in cases::faults() {
        let fault = cases::outbound(case.format).decode_fault(status, &case.body);
        assert_eq!(fault.status, status, "{}", case.name);
        assert!(!fault.message.is_empty(), "{}", case.name);
        assert!(!fault.message.contains("***"), "{}: {}", case.name, fault.message);
        for format in INBOUND {
            let body = format.encode_fault(&fault);
            let tree = Tree::parse(&body);
            let error = tree.get("error").unwrap();
            assert_eq!(error.get("message").and_then(Tree::text), Some(fault.message.as_str()), "{}", case.name);
            assert!(error.get("type").and_then(Tree::text).is_some(), "{}", case.name);
            let again = cases::outbound(format.name()).decode_fault(format.status(&fault), &body);
            assert_eq!(again.kind, fault.kind, "{} as {}", case.name, format.name());
        }
    }
}

#[test]
fn a_body_that_is_no_error_object_still_makes_a_fault() {
    for format in INBOUND {
        for body in [&b""[..], b"<html>Bad Gateway</html>", b"null", b"[]", b"{}", b"{\"error\":7}", b"\xff"] {
            let fault = cases::outbound(format.name()).decode_fault(502, body);
            assert_eq!((fault.status, fault.kind), (502, FaultKind::BadGateway));
            assert_eq!(fault.message, "The provider answered with status 502.");
        }
    }
}
