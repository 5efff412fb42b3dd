//! Small texts with a meaning: durations, sizes, addresses, URLs, names, references to secrets.
//!
//! Does not: tell faults; [`super::check`] knows where the text stands.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use wire::provider::path::MODEL;
use wire::scan::LONGEST_NAME;

use super::snapshot::Address;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const GIB: u64 = 1 << 30;
/// `sun_path` of Linux without its closing zero.
const UNIX_PATH: usize = 107;

/// `5ms`, `30s`, `5m`, `1h`: more than nothing, at most a day.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let ms = number.checked_mul(factor)?;
    (1..=DAY_MS).contains(&ms).then(|| Duration::from_millis(ms))
}

/// Less is no memory to run Envoy in.
pub(super) const LEAST_MEMORY: u64 = 64 << 20;
/// More than any machine has.
pub(super) const MOST_MEMORY: u64 = 1 << 40;

/// `64KiB`, `32MiB`, plain bytes: more than nothing, at most 1 GiB.
pub(super) fn size(text: &str) -> Option<u64> {
    bytes(text).filter(|bytes| (1..=GIB).contains(bytes))
}

/// The same for memory of a whole process: 64 MiB to 1 TiB.
pub(super) fn memory(text: &str) -> Option<u64> {
    bytes(text).filter(|bytes| (LEAST_MEMORY..=MOST_MEMORY).contains(bytes))
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => GIB,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, unit))
}

/// `IP:PORT`, as Envoy and the sidecar can bind it.
pub(super) fn socket(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// `unix:PATH` or `HOST:PORT`.
pub(super) fn address(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        let fine = !path.is_empty() && path.len() <= UNIX_PATH && !path.contains(char::is_control);
        return fine.then(|| Address::Unix(path.to_owned()));
    }
    let (name, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(Address::Tcp(host(name)?, port))
}

/// `a-z 0-9 -`, not `-` first, at most 63: names of providers and keys make names of Envoy clusters and files.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.is_empty()
        && !text.starts_with('-')
}

/// Names of models and virtual keys: anything to be read, at most 256 bytes.
pub(super) fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && !text.contains(char::is_control) && text.trim() == text
}

/// `env:NAME` or `file:PATH`.
pub(super) fn is_reference(text: &str) -> bool {
    if let Some(name) = text.strip_prefix("env:") {
        let rest_fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return rest_fits && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    }
    text.strip_prefix("file:").is_some_and(|path| !path.is_empty() && !path.contains(char::is_control))
}

/// 64 hex digits.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A number that is not negative, in units of its last decimal, if it has no more of them. The shortest way to write it is
/// what the user wrote, as long as that had no more than fifteen digits.
pub(super) fn decimal(number: f64, decimals: usize) -> Option<u64> {
    let text = number.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let zeros = decimals.checked_sub(part.len())?;
    format!("{whole}{part}{}", "0".repeat(zeros)).parse().ok()
}

/// A header's name (RFC 9110 token).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Path below a base URL: starts with a slash and needs no escaping.
pub(super) fn is_path(text: &str) -> bool {
    let visible = |b: u8| b.is_ascii_graphic() && !b"\"#?<>\\^`{|}".contains(&b);
    text.starts_with('/') && text.bytes().all(visible) && !text.split('/').any(|part| part == "." || part == "..")
}

/// Path of chat below a base URL: it may hold the model's name as one segment, and a query.
pub(super) fn is_chat_path(text: &str) -> bool {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let parts: Vec<&str> = path.split('/').map(|part| if part == MODEL { "model" } else { part }).collect();
    let names = path.split('/').filter(|part| *part == MODEL).count();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~=&%+:,".contains(&b);
    names <= 1 && is_path(&parts.join("/")) && query.is_none_or(|query| !query.is_empty() && query.bytes().all(plain))
}

/// A base URL, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) authority: String,
    pub(super) prefix: String,
}

/// `https://host[:port][/prefix]`; an error says what is wrong and never quotes the URL, which may hold a secret.
pub(super) fn base(text: &str) -> Result<Base, &'static str> {
    let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        (None, None) => return Err("no http:// or https:// at its start"),
    };
    if rest.contains(['?', '#']) {
        return Err("a query or fragment");
    }
    let (authority, prefix) = match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
        Some((authority, prefix)) => (authority, prefix.trim_end_matches('/')),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err("a user before the host");
    }
    if !(prefix.is_empty() || is_path(prefix)) {
        return Err("a malformed path");
    }
    let default = if tls { 443 } else { 80 };
    // In an IPv6 address the last colon is no port's unless a bracket stands before it.
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            (name, port.parse().ok().filter(|port| *port != 0).ok_or("a malformed port")?)
        }
        _ => (authority, default),
    };
    let host = host(name).ok_or("a malformed host")?;
    let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let authority = if port == default { shown } else { format!("{shown}:{port}") };
    Ok(Base { tls, host, port, authority, prefix: prefix.to_owned() })
}

/// A DNS name or an address; IPv6 in brackets, which are taken off.
fn host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    let fits = |label: &str| {
        let edges = label.starts_with('-') || label.ends_with('-');
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        !label.is_empty() && label.len() <= 63 && inner && !edges
    };
    let name = text.to_ascii_lowercase();
    let digits_last = name.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    let fine =
        if digits_last { name.parse::<Ipv4Addr>().is_ok() } else { name.len() <= 253 && name.split('.').all(fits) };
    fine.then_some(name)
}

/// The host of `HOST[:PORT]`, without an address's brackets.
pub(crate) fn host_of(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Nobody but this machine is at this host.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// True for a host that is an address already.
#[must_use]
pub fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_an_end() {
        assert_eq!(duration("5ms"), Some(Duration::from_millis(5)));
        assert_eq!(duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(duration("24h"), Some(Duration::from_secs(86_400)));
        for bad in
            ["", "5", "ms", "0s", "-1s", "1.5s", "5 s", "25h", "5µs", "99999999999999999999s", "1844674407370955162m"]
        {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_binary_multiples() {
        assert_eq!(size("65536"), Some(65_536));
        assert_eq!(size("32MiB"), Some(33_554_432));
        for bad in ["", "0", "32MB", "MiB", "2GiB", "-1", "18446744073709551615GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn memory_is_that_of_a_machine() {
        assert_eq!(memory("64MiB"), Some(67_108_864));
        assert_eq!(memory("1TiB"), Some(1 << 40));
        for bad in ["", "0", "63MiB", "2TiB", "8GB", "18446744073709551615TiB"] {
            assert_eq!(memory(bad), None, "{bad}");
        }
    }

    #[test]
    fn decimals_are_counted_and_not_rounded() {
        assert_eq!(decimal(600.0, 9), Some(600_000_000_000));
        assert_eq!(decimal(0.1, 9), Some(100_000_000));
        assert_eq!(decimal(0.000_000_001, 9), Some(1));
        assert_eq!(decimal(123_456.789_012_345, 9), Some(123_456_789_012_345));
        assert_eq!(decimal(1e9, 9), Some(1_000_000_000_000_000_000));
        assert_eq!(decimal(0.000_000_000_1, 9), None);
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(decimal(bad, 6), None, "{bad}");
        }
    }

    #[test]
    fn base_urls_are_taken_apart() {
        let taken = |text| base(text).map(|b| (b.tls, b.host, b.port, b.authority, b.prefix)).unwrap();
        let texts =
            |host: &str, authority: &str, prefix: &str| (host.to_owned(), authority.to_owned(), prefix.to_owned());
        for (url, tls, port, (host, authority, prefix)) in [
            ("https://api.openai.com/v1/", true, 443, texts("api.openai.com", "api.openai.com", "/v1")),
            ("https://API.example.com:443", true, 443, texts("api.example.com", "api.example.com", "")),
            ("http://127.0.0.1:8000/a/b", false, 8000, texts("127.0.0.1", "127.0.0.1:8000", "/a/b")),
            ("http://[::1]:80", false, 80, texts("::1", "[::1]", "")),
            ("https://[2001:db8::1]", true, 443, texts("2001:db8::1", "[2001:db8::1]", "")),
            ("http://vllm:8000", false, 8000, texts("vllm", "vllm:8000", "")),
        ] {
            assert_eq!(taken(url), (tls, host, port, authority, prefix), "{url}");
        }
    }

    #[test]
    fn urls_that_hide_something_are_refused() {
        for (url, fault) in [
            ("api.openai.com/v1", "no http:// or https:// at its start"),
            ("ftp://a", "no http:// or https:// at its start"),
            ("https://user:pw@a/", "a user before the host"),
            ("https://a/v1?key=x", "a query or fragment"),
            ("https://a#x", "a query or fragment"),
            ("https://", "a malformed host"),
            ("https://a..b", "a malformed host"),
            ("https://-a", "a malformed host"),
            ("https://1.2.3", "a malformed host"),
            ("https://::1", "a malformed host"),
            ("https://[::1", "a malformed host"),
            ("https://a:0", "a malformed port"),
            ("https://a:99999", "a malformed port"),
            ("https://a/../b", "a malformed path"),
            ("https://a/b c", "a malformed path"),
        ] {
            assert_eq!(base(url), Err(fault), "{url}");
        }
    }

    #[test]
    fn a_chat_path_may_hold_one_model_and_a_query() {
        for fine in ["/chat", "/d/{model}/chat", "/d/{model}?api-version=2024-10-21", "/chat?a=b&c=d%20e"] {
            assert!(is_chat_path(fine), "{fine}");
        }
        for bad in [
            "chat",
            "/{model}/{model}",
            "/x{model}",
            "/{name}",
            "/chat?",
            "/chat?a={model}",
            "/chat?a=b?c",
            "/chat?a#b",
            "/chat?a b",
            "/d/../{model}",
        ] {
            assert!(!is_chat_path(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_are_sockets_or_host_and_port() {
        assert_eq!(address("unix:/run/a.sock"), Some(Address::Unix("/run/a.sock".to_owned())));
        assert_eq!(address("sidecar:9090"), Some(Address::Tcp("sidecar".to_owned(), 9090)));
        assert_eq!(address("[::1]:9090"), Some(Address::Tcp("::1".to_owned(), 9090)));
        for bad in ["", "unix:", "/run/a.sock", "host", "host:0", ":80", "host:http", "a b:80"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
