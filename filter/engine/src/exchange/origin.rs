//! Requests that a web page makes its reader's browser send, where nobody needs a key.
//!
//! Any page can have a browser send a POST to `localhost:8080`. Without a key nothing tells that from the user's own
//! request, and the page would spend the user's money. A browser says so in `origin` and `sec-fetch-site`, which no page can
//! change or leave out, and a page chooses no type of body but three without asking first (CORS).
//!
//! Does not: answer such questions (preflights). Decision: `curl -d` sends one of the three types
//! (`application/x-www-form-urlencoded`), which is fine as long as no browser is seen. No form can put JSON into a body
//! of this type, whereas `text/plain` can hold any. Rejected: JSON's type alone, by which the first `curl` of everybody
//! fails.

use core::net::IpAddr;

use wire::ir::{Fault, FaultKind};

use crate::config::text::host_of;
use crate::shown::shown;

/// What a browser says of the page.
const ORIGIN: &[u8] = b"origin";
const SITE: &[u8] = b"sec-fetch-site";

/// Refuses a request without a key that a page of another origin may have caused.
///
/// # Errors
/// 403 for another origin, 415 for a type of body that any page can send.
pub(super) fn check<B: AsRef<[u8]>>(headers: &[(B, B)], has_body: bool) -> Result<(), Fault> {
    let all = |name: &[u8]| {
        let named = headers.iter().filter(move |(have, _)| have.as_ref() == name);
        named.map(|(_, value)| value.as_ref()).collect::<Vec<_>>()
    };
    let (origins, sites) = (all(ORIGIN), all(SITE));
    let authority = all(b":authority").first().and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
    let own = |origin: &&[u8]| std::str::from_utf8(origin).is_ok_and(|origin| is_own(origin, authority));
    let here = |site: &&[u8]| matches!(*site, b"same-origin" | b"none");
    if !origins.iter().all(own) || !sites.iter().all(here) {
        let message =
            "A page of another origin may not ask here without a key: send the request from a server, or a key.";
        return Err(Fault::new(FaultKind::Permission, message).with_param("origin").with_code("cross_origin"));
    }
    let browser = !origins.is_empty() || !sites.is_empty();
    let types = all(b"content-type");
    let fine = |value: &&[u8]| {
        let kind = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let curl = kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded");
        kind.eq_ignore_ascii_case(b"application/json") || curl && !browser
    };
    if !has_body || types.iter().all(fine) && !(browser && types.is_empty()) {
        return Ok(());
    }
    let found = types.iter().map(|value| shown(&String::from_utf8_lossy(value))).next().unwrap_or_default();
    let message = format!("content-type: found `{found}`, expected `application/json`.");
    let fault = Fault::new(FaultKind::InvalidRequest, message).with_param("content-type");
    Err(Fault { status: 415, ..fault })
}

/// The page is one that is served at this very address. By name that is only so on this machine: any other name may be one
/// that its owner has point here for a while (DNS rebinding).
fn is_own(origin: &str, authority: &str) -> bool {
    let same = origin.split_once("://").is_some_and(|(_, at)| at.eq_ignore_ascii_case(authority));
    let host = host_of(authority);
    same && (host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(headers: &[(&str, &str)], body: bool) -> u16 {
        let host = [(":authority", "127.0.0.1:8080")];
        let named = headers.iter().any(|(name, _)| *name == ":authority");
        let host = if named { &[][..] } else { &host[..] };
        let headers: Vec<_> =
            headers.iter().chain(host).map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
        check(&headers, body).map_or_else(|fault| fault.status, |()| 200)
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    #[test]
    fn programs_ask_and_pages_of_others_do_not() {
        for (headers, expected) in [
            (&[JSON][..], 200),
            (&[FORM], 200),
            (&[], 200),
            (&[JSON, ("origin", "http://127.0.0.1:8080")], 200),
            (&[JSON, ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")], 200),
            (&[(":authority", "localhost:8080"), JSON, ("origin", "http://localhost:8080")], 200),
            (&[(":authority", "[::1]:8080"), JSON, ("origin", "http://[::1]:8080")], 200),
            (&[(":authority", "attache.internal"), JSON], 200),
            // Other pages, with any type of body.
            (&[JSON, ("origin", "https://evil.example")], 403),
            (&[FORM, ("origin", "null")], 403),
            (&[JSON, ("origin", "http://127.0.0.1:3000")], 403),
            (&[JSON, ("origin", "http://127.0.0.1:8080"), ("origin", "https://evil.example")], 403),
            (&[JSON, ("origin", "")], 403),
            (&[JSON, ("sec-fetch-site", "cross-site")], 403),
            (&[JSON, ("sec-fetch-site", "same-site")], 403),
            (&[JSON, ("sec-fetch-site", "SAME-ORIGIN")], 403),
            // A name that was made to point here.
            (&[(":authority", "evil.example:8080"), JSON, ("origin", "http://evil.example:8080")], 403),
            (&[(":authority", "localhost.evil.example"), JSON, ("origin", "http://localhost.evil.example")], 403),
            // What a page sends without asking first.
            (&[("content-type", "text/plain")], 415),
            (&[("content-type", "TEXT/PLAIN;charset=utf-8")], 415),
            (&[("content-type", "multipart/form-data; boundary=x")], 415),
            (&[("content-type", "")], 415),
            (&[JSON, ("content-type", "text/plain")], 415),
            (&[FORM, ("origin", "http://127.0.0.1:8080")], 415),
            (&[("sec-fetch-site", "none")], 415),
        ] {
            assert_eq!(status(headers, true), expected, "{headers:?}");
        }
        assert_eq!(status(&[("content-type", "text/plain")], false), 200, "no body, no type");
    }
}
