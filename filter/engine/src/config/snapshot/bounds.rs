//! What Envoy may take for its clients.

/// Memory, connections, and patience with bodies. The defaults keep a hundred bodies of 32 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of Envoy's heap, without the module's memory.
    pub heap: u64,
    /// Connections of clients.
    pub connections: u32,
    /// Least bytes a second of a request body.
    pub body_rate: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { heap: 8 << 30, connections: 50_000, body_rate: 1 << 10 }
    }
}

impl Bounds {
    /// Bytes that request bodies may hold in all workers together. Envoy keeps each body for retries, and a second time on
    /// the way to a provider that reads slowly.
    #[must_use]
    pub fn bodies(&self) -> u64 {
        self.heap / 2
    }
}
