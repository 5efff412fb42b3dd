//! Headers of a provider's answer that its client may see, where both speak one format: a list, not what is left of all.
//!
//! What SDKs read (`retry-after`, `x-should-retry`, ids) and what operators look for (rates, times, versions) is on it.
//! Whatever is named like a credential never passes, and every value is masked.
//!
//! Decision: families by the beginning or the end of a name, since vendors add to theirs. Rejected: a list of what is
//! dropped, by which each header that nobody thought of reached the client: `authorization`, `location`, the provider's own
//! `access-control-allow-origin`.

/// What HTTP and the SDKs need.
const NAMES: &[&str] = &[
    "cache-control",
    "cf-ray",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "date",
    "nvcf-reqid",
    "nvcf-status",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-compute-time",
    "x-generation-id",
    "x-inference-provider",
    "x-ms-rai-invoked",
    "x-ms-region",
    "x-request-id",
    "x-should-retry",
];

/// Families of a vendor, and rates.
const BEGIN: &[&str] = &[
    "anthropic-",
    "cerebras-",
    "fireworks-",
    "openai-",
    "ratelimit-",
    "x-fireworks-",
    "x-groq-",
    "x-ratelimit-",
    "x-together-",
];

/// Ids and times, whosever.
const END: &[&str] = &["-correlation-id", "-processing-ms", "-processing-time", "-request-id", "-trace-id"];

/// Parts of a name that say credential.
const CREDENTIALS: &[&str] =
    &["auth", "cookie", "credential", "key", "passw", "secret", "session", "signature", "token"];

/// May a client see a header of this name (lower case)?
pub(super) fn passes(name: &str) -> bool {
    let listed = NAMES.contains(&name)
        || BEGIN.iter().any(|family| name.starts_with(family))
        || END.iter().any(|family| name.ends_with(family));
    // `x-ratelimit-remaining-tokens` counts them.
    let credential = |part: &str| part != "tokens" && CREDENTIALS.iter().any(|word| part.contains(word));
    let ours = ["x-envoy-", "x-attache-"].iter().any(|prefix| name.starts_with(prefix));
    listed && !ours && !name.split('-').any(credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_read_passes() {
        for name in [
            "content-type",
            "retry-after",
            "x-should-retry",
            "x-request-id",
            "request-id",
            "apim-request-id",
            "openai-processing-ms",
            "openai-organization",
            "x-ratelimit-remaining-tokens",
            "anthropic-ratelimit-input-tokens-remaining",
            "x-ratelimit-limit-tokens-day",
            "mistral-correlation-id",
        ] {
            assert!(passes(name), "{name}");
        }
    }

    #[test]
    fn nothing_passes_that_is_named_like_a_credential_or_belongs_to_others() {
        let never = [
            "authorization",
            "proxy-authorization",
            "www-authenticate",
            "x-api-key",
            "api-key",
            "set-cookie",
            "cookie",
            "location",
            "refresh",
            "alt-svc",
            "link",
            "access-control-allow-origin",
            "strict-transport-security",
            "server",
            "via",
            "connection",
            "transfer-encoding",
            "x-echo",
            "x-envoy-ratelimited",
            "x-attache-cost",
            ":status",
            "openai-api-key",
            "anthropic-auth-token",
            "x-ratelimit-token",
            "x-secret-request-id",
            "x-envoy-original-request-id",
            "fireworks-session-id",
            "x-attache-trace-id",
        ];
        for name in never {
            assert!(!passes(name), "{name}");
        }
        for family in BEGIN {
            for word in CREDENTIALS {
                assert!(
                    !passes(&format!("{family}{word}")) && !passes(&format!("{family}x{word}s-id")),
                    "{family}{word}"
                );
            }
        }
    }
}
