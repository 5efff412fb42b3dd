//! A request's plan: which lanes serve it, in which order.
//!
//! Does not: know formats, headers or Envoy. Who may ask for what is decided here too, since a key's own candidates are
//! both a right and a route.

mod others;
mod plan;
mod resolve;

pub(crate) use others::{may, restricted, withheld};
pub use plan::{Hop, Plan, plan};
pub(crate) use resolve::serves;
pub use resolve::{listed, resolve};

use wire::ir::{Fault, FaultKind};

use crate::shown::shown;

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The model as the client spelled it.
    pub model: &'a str,
    /// Its own list of models to try afterwards.
    pub fallbacks: &'a [String],
    /// Who asks; `None` if no key is needed and none was given.
    pub key: Option<&'a crate::config::snapshot::VirtualKey>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody serves this name; the nearest name that is served.
    UnknownModel {
        /// Member of the request: `model` or `fallbacks[i]`.
        param: String,
        /// As asked.
        model: String,
        /// A name that may have been meant.
        nearest: Option<String>,
    },
    /// The key may not ask for it.
    NotAllowed {
        /// Member of the request.
        param: String,
        /// As asked.
        model: String,
        /// The key's name.
        key: String,
    },
    /// It has a tool that asks a model nobody can tell, and the caller may not ask for all.
    Hidden {
        /// The tool, e.g. `tools[2]`.
        param: String,
    },
    /// Somebody serves it, but nobody takes this request.
    Unfit,
    /// All lanes rest; the first is back at this time (Unix nanoseconds).
    Resting {
        /// When a retry makes sense.
        until: u64,
    },
}

impl Refusal {
    /// What the client is told.
    #[must_use]
    pub fn fault(&self, now: u64) -> Fault {
        match self {
            Self::UnknownModel { param, model, nearest } => {
                let hint = nearest.as_ref().map(|n| format!(" Did you mean `{}`?", shown(n))).unwrap_or_default();
                let message = format!("The model `{}` is not served here.{hint}", shown(model));
                Fault::new(FaultKind::NotFound, message).with_param(param).with_code("model_not_found")
            }
            Self::NotAllowed { param, model, key } => {
                let message = format!("The key `{key}` may not use the model `{}`.", shown(model));
                Fault::new(FaultKind::Permission, message).with_param(param).with_code("model_not_allowed")
            }
            Self::Hidden { param } => {
                let message = format!(
                    "`{param}` may ask any model, and not all models may be asked: name those it asks as its `model`."
                );
                Fault::new(FaultKind::Permission, message).with_param(param).with_code("model_not_allowed")
            }
            // Whoever judged the fit knows more.
            Self::Unfit => Fault::new(FaultKind::InvalidRequest, "No provider of this model can serve this request."),
            Self::Resting { until } => {
                let mut fault =
                    Fault::new(FaultKind::RateLimited, "Every key for this model is rate limited upstream.")
                        .with_code("rate_limit_exceeded");
                fault.retry_after = Some(until.saturating_sub(now).div_ceil(1_000_000_000).max(1));
                fault
            }
        }
    }
}
