//! What a row of the table is: a fault, and what a right gateway makes of it.

use std::time::Duration;

use tests::client::Dialect;
use tests::mock::Fault;
use tests::mock::vendor::Vendor;

/// One fault.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// In names of hosts, providers and models.
    pub(crate) id: &'static str,
    pub(crate) streamed: Option<Half>,
    pub(crate) unary: Option<Half>,
    /// Needs limits that are short enough to wait for.
    pub(crate) timed: bool,
    /// The failing providers are reached by HTTP/2.
    pub(crate) http2: bool,
    /// Failing keys rest for so long. What a request finds then depends on what came just before it: the plays wait for
    /// each other, and among many clients at once some are planned around the keys that rest.
    pub(crate) rests: Option<Duration>,
}

/// The fault in answers of one kind.
pub(crate) struct Half {
    /// What is played where the row's own name means nothing.
    pub(crate) twin: Option<&'static str>,
    pub(crate) trouble: Trouble,
    /// With a good second candidate: if the first speaks the client's format, and if it speaks the other.
    pub(crate) first: [Expected; 2],
    /// With a second candidate that fails likewise.
    pub(crate) all: [Expected; 2],
    /// The status of a failed try: 0 without an answer. `None`: either is right.
    pub(crate) status: Option<u16>,
    /// What a whole answer of the faulty provider says, if not the mock's own words.
    pub(crate) says: Option<(String, (u64, u64))>,
}

/// How a provider fails.
pub(crate) enum Trouble {
    Fault(fn(Vendor) -> Fault),
    /// Nobody listens.
    Refused,
    /// Its name leads nowhere.
    NoRoute,
}

/// What the client gets, and after how many tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The whole answer of the second candidate.
    Next,
    /// The whole answer of the first.
    Answer,
    /// All failed: what the last provider said, in the client's dialect.
    Said(u16),
    /// All failed: what we say of it.
    Ours(u16),
    /// A stream that ends with an error event, after one try.
    ErrorEvent,
    /// An answer that has begun is cut off, after one try.
    Aborted,
}

impl Row {
    pub(crate) fn new(name: &'static str, id: &'static str) -> Self {
        Self { name, id, streamed: None, unary: None, timed: false, http2: true, rests: None }
    }

    pub(crate) fn streamed(self, half: Half) -> Self {
        Self { streamed: Some(half), ..self }
    }

    pub(crate) fn unary(self, half: Half) -> Self {
        Self { unary: Some(half), ..self }
    }

    pub(crate) fn both(self, half: fn() -> Half) -> Self {
        self.streamed(half()).unary(half())
    }

    pub(crate) fn timed(self) -> Self {
        Self { timed: true, ..self }
    }

    pub(crate) fn http1(self) -> Self {
        Self { http2: false, ..self }
    }

    pub(crate) fn rests(self, time: Duration) -> Self {
        Self { rests: Some(time), ..self }
    }

    /// It has read each request that was sent to it, since it answers something.
    pub(crate) fn answers(&self) -> bool {
        [&self.streamed, &self.unary].into_iter().flatten().all(|half| half.status.is_some_and(|status| status != 0))
    }

    pub(crate) fn half(&self, stream: bool) -> Option<&Half> {
        if stream { self.streamed.as_ref() } else { self.unary.as_ref() }
    }
}

impl Half {
    /// The same whatever the formats; the failing try has this status.
    pub(crate) fn new(trouble: Trouble, status: Option<u16>, first: Expected, all: Expected) -> Self {
        Self { twin: None, trouble, first: [first; 2], all: [all; 2], status, says: None }
    }

    /// Fails over; when all fail, the client is told `verdict`.
    pub(crate) fn fails(trouble: Trouble, status: u16, verdict: Expected) -> Self {
        Self::new(trouble, Some(status), Expected::Next, verdict)
    }

    /// No failure at all, or one that has nothing to do with who is next.
    pub(crate) fn stays(trouble: Trouble, expected: Expected) -> Self {
        Self::new(trouble, Some(200), expected, expected)
    }

    /// And this, if the first candidate speaks the other format.
    pub(crate) fn translated(mut self, expected: Expected) -> Self {
        (self.first[1], self.all[1]) = (expected, expected);
        self
    }

    pub(crate) fn twin(self, name: &'static str) -> Self {
        Self { twin: Some(name), ..self }
    }

    pub(crate) fn says(self, text: String, usage: (u64, u64)) -> Self {
        Self { says: Some((text, usage)), ..self }
    }
}

impl Expected {
    /// How many candidates are asked.
    pub(crate) fn tries(self) -> usize {
        match self {
            Self::Next | Self::Said(_) | Self::Ours(_) => 2,
            Self::Answer | Self::ErrorEvent | Self::Aborted => 1,
        }
    }

    /// The status a client of this dialect sees. A provider's own words pass as they are to a client of its own format;
    /// what overload is called differs between the two.
    pub(crate) fn status(self, dialect: Dialect, last: Vendor) -> u16 {
        let home = if dialect == Dialect::OpenAi { Vendor::OpenAi } else { Vendor::Anthropic };
        match self {
            Self::Next | Self::Answer | Self::ErrorEvent | Self::Aborted => 200,
            Self::Said(status) if last == home => status,
            Self::Said(503 | 529) | Self::Ours(503) => dialect.overloaded(),
            Self::Said(status) | Self::Ours(status) => status,
        }
    }
}
