//! The rows: what goes wrong, and what a right gateway makes of it, argued and not copied from a run.
//!
//! The rules behind them: what fails before the client has seen anything is the next candidate's; when all have failed,
//! the client is told what the last one said, or, where it said nothing, what happened (503 nobody could be reached, 504
//! not in time, 502 no answer that can be understood). An answer that the client has begun to see is ended by an error
//! event if the provider ended in good order, and cut off if not. What is merely unusual is no failure.

use std::time::Duration;

use tests::mock::Fault;
use tests::mock::vendor::Vendor;

use crate::row::Expected::{Aborted, Answer, ErrorEvent, Next, Ours, Said};
use crate::row::{Half, Row, Trouble};

/// Buffered answers may be so large (`limits.body`).
pub(crate) const LIMIT: usize = 1280 << 10;
/// Larger than an event, or a unary answer, is held for: 1 MiB.
const LARGE: usize = 1040 << 10;
/// The usage that a provider reports whose answer is not made from the request.
const USAGE: (u64, u64) = (7, 9);

/// All of them, in the order of the document.
pub(crate) fn rows() -> Vec<Row> {
    statuses().into_iter().chain(connections()).chain(silences()).chain(contents()).chain(oddities()).collect()
}

/// A key that is refused and a model that is unknown here may be well elsewhere; 429 and 5xx say so themselves.
fn statuses() -> Vec<Row> {
    fn says(status: u16, fault: fn(Vendor) -> Fault) -> Half {
        Half::fails(Trouble::Fault(fault), status, Said(status))
    }
    vec![
        Row::new("401", "s401").both(|| says(401, |_| Fault::status(401))),
        Row::new("403", "s403").both(|| says(403, |_| Fault::status(403))),
        Row::new("404", "s404").both(|| says(404, |_| Fault::status(404))),
        Row::new("429", "s429").both(|| says(429, |_| Fault::status(429))),
        Row::new("429, Retry-After", "s429-after")
            .both(|| says(429, |_| Fault::rate_limited(1)))
            .rests(Duration::from_secs(1)),
        Row::new("500", "s500").both(|| says(500, |_| Fault::status(500))),
        Row::new("503", "s503").both(|| says(503, |_| Fault::status(503))),
        Row::new("529", "s529").both(|| says(529, |_| Fault::status(529))),
    ]
}

/// Nothing that can be shown has come: the next candidate's. Later it is too late: Envoy calls no filter after a reset, so
/// all that can be done is that the client sees a cut. What is not streamed is held until it is whole, and never too late.
fn connections() -> Vec<Row> {
    fn lost(trouble: Trouble, status: u16) -> Half {
        Half::fails(trouble, status, Ours(503))
    }
    fn half(fault: fn(Vendor) -> Fault, status: u16) -> Half {
        Half::fails(Trouble::Fault(fault), status, Ours(502))
    }
    vec![
        Row::new("refused", "refused").both(|| lost(Trouble::Refused, 0)),
        // The guard that stands in for a cluster without hosts answers 503, or nobody does.
        Row::new("no route", "no-route").both(|| Half::new(Trouble::NoRoute, None, Next, Ours(503))),
        Row::new("RST before headers", "rst-before").both(|| lost(Trouble::Fault(|_| Fault::RstBeforeHeaders), 0)),
        // The next three over HTTP/1.1, where a head can be cut in two, and where a connection's end is that of one answer:
        // on HTTP/2 it ends those of others too, each wherever it stands. An answer had begun: it is half of one.
        Row::new("RST in headers", "rst-in").both(|| half(|_| Fault::RstInHeaders, 0)).http1(),
        Row::new("RST after headers", "rst-after").both(|| half(|_| Fault::RstAfterHeaders, 200)).http1(),
        Row::new("RST mid-content", "rst-mid")
            .streamed(Half::stays(Trouble::Fault(|_| Fault::RstMidStream { after: 6 }), Aborted))
            .unary(half(|_| Fault::RstMidStream { after: 6 }, 200))
            .http1(),
    ]
}

/// Silence is a failure once a limit is over, and signs of life without content are silence. Each piece of content begins
/// the wait anew: an answer may take longer than any limit as long as it goes on.
fn silences() -> Vec<Row> {
    fn late(fault: fn(Vendor) -> Fault, status: u16) -> Half {
        Half::fails(Trouble::Fault(fault), status, Ours(504))
    }
    fn alive(what: &str) -> Fault {
        Fault::Says { events: vec![what.to_owned(); 300], ms: 100, hang: true }
    }
    vec![
        Row::new("hang", "hang").both(|| late(|_| Fault::Hang, 0)).timed(),
        Row::new("slow drip", "drip").both(|| Half::stays(Trouble::Fault(|_| Fault::Drip { ms: 220 }), Answer)).timed(),
        Row::new("keepalive only", "keepalive")
            .streamed(late(|_| alive(": keep-alive\n\n"), 200))
            .unary(late(|_| alive("\n"), 200).twin("line ends only"))
            .timed(),
        // After content only the idle limit is left, by which Envoy resets the stream: as with any reset, no filter is
        // called, and the client sees a cut.
        Row::new("stall mid-stream", "stall")
            .streamed(Half::stays(Trouble::Fault(|_| Fault::HangMidStream { after: 6 }), Aborted))
            .unary(late(|_| Fault::HangMidStream { after: 6 }, 200).twin("stall mid-body"))
            .timed(),
    ]
}

/// A good status is no answer: what nobody can read, what is empty, and what says that it is an error, is a failed try.
fn contents() -> Vec<Row> {
    fn no_answer(fault: fn(Vendor) -> Fault) -> Half {
        Half::fails(Trouble::Fault(fault), 200, Ours(502))
    }
    fn busy(fault: fn(Vendor) -> Fault) -> Half {
        Half::fails(Trouble::Fault(fault), 200, Ours(503))
    }
    vec![
        Row::new("error event first", "error-first")
            .streamed(busy(|vendor| says(&[vendor.opening(), vendor.busy()])))
            .unary(busy(|vendor| json(vendor.too_busy())).twin("error object under 200")),
        // Not streamed there is no later.
        Row::new("error event later", "error-later").streamed(Half::stays(
            Trouble::Fault(|vendor| {
                let mut events = vendor.said(&["So ", "far."], USAGE);
                events.pop();
                events.push(vendor.busy());
                says(&events)
            }),
            ErrorEvent,
        )),
        Row::new("empty stream", "empty")
            .streamed(no_answer(|_| says::<&str>(&[])))
            .unary(no_answer(|_| json(String::new())).twin("empty body")),
        Row::new("`[DONE]` only", "done")
            .streamed(no_answer(|vendor| says(&[vendor.done()])))
            .unary(no_answer(|_| json("{}".to_owned())).twin("`{}`")),
        Row::new("malformed SSE", "malformed")
            .streamed(no_answer(|_| says(&["data: {\"id\": nonsense\n\n".to_owned(), "nonsense\n\n".to_owned()])))
            .unary(no_answer(|_| json("{\"id\": \"x\", \"obj".to_owned())).twin("truncated JSON")),
        // More than is held, so that only the head can tell.
        Row::new("gzip'd body", "gzip")
            .streamed(no_answer(|_| gzipped("text/event-stream")))
            .unary(no_answer(|_| gzipped("application/json"))),
        Row::new("wrong content-type", "type").both(|| no_answer(|_| page())),
    ]
}

/// What is unusual and whole is passed on whole. Passing bytes through has no limit; what must be understood to be
/// translated has: an event of 1 MiB, a unary answer of `limits.body`.
fn oddities() -> Vec<Row> {
    vec![
        Row::new("split UTF-8", "split").both(|| Half::stays(Trouble::Fault(|_| Fault::SplitCharacters), Answer)),
        Row::new("trailers", "trailers")
            .both(|| Half::stays(Trouble::Fault(|_| Fault::Trailers { after: None }), Answer)),
        // It is content that is lost, so the rest must not look whole. By then more has come than is held, thus it is too
        // late for the next candidate.
        Row::new("oversized event", "event")
            .streamed(
                Half::stays(Trouble::Fault(|vendor| says(&vendor.said(&[&large(LARGE)], USAGE))), Answer)
                    .translated(ErrorEvent)
                    .says(large(LARGE), USAGE),
            )
            .unary(
                Half::stays(Trouble::Fault(|vendor| json(vendor.whole(&large(LARGE), USAGE))), Answer)
                    .twin("answer of the same size")
                    .says(large(LARGE), USAGE),
            ),
        // Translated it is more than can be had in memory: the next candidate's answer may be smaller, or need no translation.
        Row::new("answer above the buffer limit", "large")
            .streamed(
                Half::stays(
                    Trouble::Fault(|vendor| {
                        let piece = large(LIMIT / 32);
                        says(&vendor.said(&[piece.as_str(); 36], USAGE))
                    }),
                    Answer,
                )
                .says(large(LIMIT / 32).repeat(36), USAGE),
            )
            .unary(
                Half::stays(Trouble::Fault(|vendor| json(vendor.whole(&large(LIMIT + LIMIT / 8), USAGE))), Answer)
                    .translated(Next)
                    .says(large(LIMIT + LIMIT / 8), USAGE),
            ),
    ]
}

fn large(bytes: usize) -> String {
    "0123456789abcdef".repeat(bytes / 16)
}

/// A stream of these events, and its end.
fn says<T: AsRef<str>>(events: &[T]) -> Fault {
    let events = events.iter().map(|event| event.as_ref().to_owned()).collect();
    Fault::Says { events, ms: 5, hang: false }
}

fn json(body: String) -> Fault {
    instead("application/json", &[], body.into_bytes())
}

/// What a proxy on the way answers that wants somebody to log in.
fn page() -> Fault {
    instead("text/html", &[], b"<!doctype html><title>Sign in</title><p>Sign in to go on.".repeat(2000))
}

/// We ask for no compression. The text of an event by `gzip -9n`, as often as it takes: members of a gzip file may be joined.
fn gzipped(kind: &str) -> Fault {
    const MEMBER: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\x49\x2c\x49\xb4\x52\xa8\x56\x4a\xce\xc8\xcf\x4c\
        \x4e\x2d\x56\xb2\x8a\xae\x56\xca\xcc\x4b\x49\xad\x50\xb2\x32\xd0\x51\x4a\x49\xcd\x29\x49\x54\xb2\x02\x4a\xe7\xe7\
        \x95\xa4\xe6\x95\x28\x59\x29\x79\x64\x2a\xd5\xd6\xc6\xd6\x72\x71\x01\x00\x56\xa6\x82\x62\x3a\x00\x00\x00";
    instead(kind, &[("content-encoding", "gzip")], MEMBER.repeat(1000))
}

fn instead(kind: &str, more: &[(&str, &str)], body: Vec<u8>) -> Fault {
    let headers = [("content-type", kind)].into_iter().chain(more.iter().copied());
    Fault::Instead { headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), body }
}
