//! A failed exchange, whoever caused it: the provider, the client, a policy or Attaché itself.

/// What kind of failure it is. Each inbound format maps a kind to its own status, type and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// 400: the request is malformed or asks for something impossible.
    InvalidRequest,
    /// 401: no key, or a key nobody knows.
    Authentication,
    /// 403: the key is known but may not do this.
    Permission,
    /// 404: no such model or path.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 413: the body is larger than the configured limit.
    TooLarge,
    /// 429: too many requests; retry later.
    RateLimited,
    /// 429 with a quota code (402 where the format has it): the budget is used up.
    QuotaExceeded,
    /// 500: the provider or Attaché failed.
    Internal,
    /// 502: the provider answered something unusable.
    BadGateway,
    /// 503 or 529: nobody can take the request now.
    Overloaded,
    /// 504: nobody answered in time.
    Timeout,
}

/// One failure as a client is told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status the client sees.
    pub status: u16,
    /// Decides type and code in the client's dialect.
    pub kind: FaultKind,
    /// For people. Never holds a secret.
    pub message: String,
    /// The member of the request at fault, in the client's spelling.
    pub param: Option<String>,
    /// The provider's own machine-readable code, kept where the client's dialect has a place for it.
    pub code: Option<String>,
    /// Seconds after which a retry makes sense.
    pub retry_after: Option<u64>,
}

impl FaultKind {
    /// The status this kind has unless a provider chose another.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Authentication => 401,
            Self::Permission => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::TooLarge => 413,
            Self::RateLimited | Self::QuotaExceeded => 429,
            Self::Internal => 500,
            Self::BadGateway => 502,
            Self::Overloaded => 503,
            Self::Timeout => 504,
        }
    }

    /// The kind a bare status stands for, when the body says nothing more.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::QuotaExceeded,
            403 => Self::Permission,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 | 504 => Self::Timeout,
            413 => Self::TooLarge,
            429 => Self::RateLimited,
            400..=499 => Self::InvalidRequest,
            502 => Self::BadGateway,
            503 | 529 => Self::Overloaded,
            _ => Self::Internal,
        }
    }
}

impl Fault {
    /// A fault of this kind with the kind's own status.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { status: kind.status(), kind, message: message.into(), param: None, code: None, retry_after: None }
    }

    /// Nobody can take the request now; in a second somebody may.
    #[must_use]
    pub fn overloaded(message: impl Into<String>, code: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(FaultKind::Overloaded, message).with_code(code) }
    }

    /// Names the member of the request at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Sets the machine-readable code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}
