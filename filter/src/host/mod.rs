//! The host in Results: bytes in, bytes out, no panics. Nothing outside this module talks to Envoy, except that gRPC
//! calls go through the SDK, whose dispatcher must know the token to deliver the reply.
//!
//! Does not: decide anything.

mod ffi;
pub(crate) mod heap;

use engine::exchange::Headers;
use engine::keys::wipe;

/// As the size of a buffer: all of it. Envoy replaces a whole buffer for any size that is not smaller.
pub(crate) const ALL: usize = usize::MAX >> 1;

/// A host call that did not return `Ok`, with its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) u32);

/// The result of a host call.
pub(crate) type Result<T> = std::result::Result<T, Refused>;

/// `CasMismatch`: somebody else wrote in between.
const CAS_MISMATCH: u32 = 8;

/// Which header map.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Map {
    Request = 0,
    RequestTrailers = 1,
    Response = 2,
}

/// Which buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Buffer {
    RequestBody = 0,
    ResponseBody = 1,
    GrpcReceive = 5,
    PluginConfiguration = 7,
}

fn ok(status: u32) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(Refused(status)) }
}

/// Unix nanoseconds. Zero if the host has no clock: durations are then zero and records have always ended.
pub(crate) fn now() -> u64 {
    let (status, time) = ffi::time();
    if status == 0 { time } else { 0 }
}

pub(crate) fn set_tick_period(milliseconds: u32) -> Result<()> {
    ok(ffi::tick(milliseconds))
}

/// The current root context, which asked for time when it was to go, needs no more of it.
pub(crate) fn done() -> Result<()> {
    ok(ffi::done())
}

/// A buffer's bytes behind the first `start`, up to `size` of them.
pub(crate) fn buffer(buffer: Buffer, start: usize, size: usize) -> Result<Vec<u8>> {
    let (status, bytes) = ffi::buffer(buffer as u32, start, size);
    ok(status).map(|()| bytes)
}

/// Replaces a buffer that holds `size` bytes. Envoy prepends where `size` is 0, which on an empty buffer is the same.
pub(crate) fn set_buffer(buffer: Buffer, size: usize, bytes: &[u8]) -> Result<()> {
    ok(ffi::set_buffer(buffer as u32, 0, size, bytes))
}

/// All headers of a map, as the host wrote them.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Vec<u8>);

impl Pairs {
    /// Names in lower case, and values. What is cut short is dropped.
    pub(crate) fn list(&self) -> Vec<(&[u8], &[u8])> {
        decode_pairs(&self.0)
    }
}

impl Drop for Pairs {
    fn drop(&mut self) {
        // A client's key or cookie may be among them.
        wipe(&mut self.0);
    }
}

pub(crate) fn headers(map: Map) -> Result<Pairs> {
    let (status, bytes) = ffi::pairs(map as u32);
    ok(status).map(|()| Pairs(bytes))
}

/// Replaces a whole header map: what was there is gone, unread.
pub(crate) fn set_headers(map: Map, headers: &Headers) -> Result<()> {
    ok(ffi::set_pairs(map as u32, &encode_pairs(headers)))
}

pub(crate) fn set_header(map: Map, name: &str, value: &[u8]) -> Result<()> {
    ok(ffi::replace(map as u32, name.as_bytes(), value))
}

pub(crate) fn remove_header(map: Map, name: &str) -> Result<()> {
    ok(ffi::remove(map as u32, name.as_bytes()))
}

/// A property of this stream that [`set_property`] wrote, in this role or the other.
pub(crate) fn property(name: &str) -> Result<Vec<u8>> {
    let (status, bytes) = ffi::property(name.as_bytes());
    ok(status).map(|()| bytes)
}

/// Writes filter state `wasm.<name>` of this stream.
pub(crate) fn set_property(name: &str, value: &[u8]) -> Result<()> {
    ok(ffi::set_property(name.as_bytes(), value))
}

/// A value all workers share; empty if nobody wrote it yet.
pub(crate) fn shared(key: &str) -> Vec<u8> {
    ffi::shared(key.as_bytes()).1
}

/// A value all workers share, and its version; empty if nobody wrote it yet.
pub(crate) fn versioned(key: &str) -> (Vec<u8>, u32) {
    let (_, value, cas) = ffi::shared(key.as_bytes());
    (value, cas)
}

/// Replaces a shared value that still has this version.
pub(crate) fn swap_shared(key: &str, value: &[u8], version: u32) -> Result<()> {
    ok(ffi::set_shared(key.as_bytes(), value, version))
}

/// Changes a shared value by compare-and-swap. Gives up after a few losses: every caller can live with that.
pub(crate) fn update_shared(key: &str, mut change: impl FnMut(&[u8]) -> Vec<u8>) -> Result<Vec<u8>> {
    let mut last = CAS_MISMATCH;
    for _ in 0..16 {
        let (_, value, cas) = ffi::shared(key.as_bytes());
        let new = change(&value);
        last = ffi::set_shared(key.as_bytes(), &new, cas);
        match last {
            0 => return Ok(new),
            CAS_MISMATCH => {}
            _ => break,
        }
    }
    Err(Refused(last))
}

/// So many streams, and no more, may be let go, answered or cut within one callback. Envoy does each after the callback,
/// and the next of them within the first callback which that causes: its stack grows with every one, and V8's limit is met at
/// a few hundred. Then the worker's module is dead.
pub(crate) const AT_ONCE: usize = 32;

/// Lets a paused request go on, after the current callback.
pub(crate) fn resume_request() -> Result<()> {
    ok(ffi::resume(0))
}

/// The same for a response.
pub(crate) fn resume_response() -> Result<()> {
    ok(ffi::resume(1))
}

/// Ends the client's stream at once: it sees a cut one.
pub(crate) fn reset() -> Result<()> {
    ok(ffi::close(0))
}

/// Answers the client; the request goes no further.
pub(crate) fn reply(status: u16, details: &str, headers: &Headers, body: &[u8]) -> Result<()> {
    ok(ffi::local_response(u32::from(status), details.as_bytes(), body, &encode_pairs(headers)))
}

/// Makes the host calls that follow concern another context of this VM.
pub(crate) fn enter(context: u32) -> Result<()> {
    ok(ffi::effective_context(context))
}

/// Makes them concern the context again whose callback this is.
pub(crate) fn back_to(context: u32) {
    if enter(context).is_err() {
        log::warn!("the context of a callback is gone");
    }
}

pub(crate) fn define_counter(name: &str) -> Result<u32> {
    let (status, id) = ffi::define_counter(name);
    ok(status).map(|()| id)
}

pub(crate) fn define_gauge(name: &str) -> Result<u32> {
    let (status, id) = ffi::define_gauge(name);
    ok(status).map(|()| id)
}

/// Adds to a counter or a gauge; only the latter can become less.
pub(crate) fn count(id: u32, by: i64) -> Result<()> {
    ok(ffi::count(id, by))
}

/// The `log` crate's output, and the panic hook's.
pub(crate) fn log(level: log::Level, message: &str) {
    let level = match level {
        log::Level::Error => 4,
        log::Level::Warn => 3,
        log::Level::Info => 2,
        log::Level::Debug => 1,
        log::Level::Trace => 0,
    };
    ffi::log(level, message);
}

/// ABI 0.2.1: count, then the sizes of each name and value, then name NUL value NUL.
fn decode_pairs(bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let word = |at: usize| -> Option<usize> {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let count = word(0).unwrap_or(0).min(bytes.len() / 8);
    let mut at = 4 + count * 8;
    let mut take = |size: usize| -> Option<&[u8]> {
        let value = bytes.get(at..at.checked_add(size)?)?;
        at += size + 1;
        Some(value)
    };
    (0..count).map_while(|i| Some((take(word(4 + i * 8)?)?, take(word(8 + i * 8)?)?))).collect()
}

fn encode_pairs(headers: &Headers) -> Vec<u8> {
    let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::with_capacity(4 + headers.iter().map(|(n, v)| n.len() + v.len() + 10).sum::<usize>());
    out.extend(size(headers.len()));
    for (name, value) in headers {
        out.extend(size(name.len()));
        out.extend(size(value.len()));
    }
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}
