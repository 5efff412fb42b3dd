//! One request: read it, record it, fail it on demand or answer it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, Version};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::bill;
use super::case::{self, Case};
use super::fault::Fault;
use super::host::{Aborted, Connection, Inner};
use super::record::Record;
use super::vendor::{Answer, Ask, Refusal, Vendor};
use engine::draw::Draw;

type Body = BoxBody<Bytes, Aborted>;

/// After the head has left and before the reset or the next event: long enough for the head to be on its way.
const HEAD_START: Duration = Duration::from_millis(20);

/// Between two pieces that shall not arrive as one.
const SPLIT: Duration = Duration::from_millis(1);
const TRAILER: HeaderName = HeaderName::from_static("x-mock-trailer");

/// What a body consists of in time.
enum Step {
    Send(Vec<u8>),
    Trailers,
    Sleep(Duration),
    Permit,
    Reset,
    Hang,
}

/// What is answered before faults are applied.
struct Planned {
    status: u16,
    headers: Vec<(String, String)>,
    answer: Answer,
    outcome: String,
}

pub(super) async fn handle(
    host: Arc<Inner>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Aborted> {
    let seq = host.journal.arrival();
    let arrived = SystemTime::now();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Aborted)?.to_bytes();
    let h2 = head.version == Version::HTTP_2;
    let host_header = head.headers.get("host").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut record = Record {
        seq,
        host: host.name.clone(),
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        authority: head.uri.authority().map_or(host_header.to_owned(), ToString::to_string),
        headers: head.headers.iter().map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec())).collect(),
        body: body.to_vec(),
        protocol: if h2 { "h2" } else { "h1" },
        sni: connection.sni.clone(),
        unix_nanos: arrived.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos(),
        connection: connection.number,
        outcome: String::new(),
    };
    let credentials: Vec<String> = record.credentials().into_iter().map(|(_, value)| value).collect();
    let fault = host.rules.lock().unwrap().take(&credentials);
    let planned = plan(&host, &record, &head.headers);
    record.outcome = fault.as_ref().map_or_else(|| planned.outcome.clone(), |fault| format!("fault: {fault}"));
    let vendor = Vendor::of_path(&record.path).unwrap_or(Vendor::OpenAi);
    // Errors are not billed; an answer is, whatever comes of it on the way.
    if planned.status == 200 && !matches!(fault, Some(Fault::Status { .. })) {
        let (input, output) = bill::of(&planned.answer);
        let mut billed = host.billed.lock().unwrap();
        *billed = (billed.0 + input, billed.1 + output);
    }
    host.journal.push(record);
    match fault {
        None => Ok(respond(&host, &connection, planned, None, seq)),
        Some(Fault::Status { status, body, retry_after }) => {
            let body = body.map_or_else(|| vendor.error(status, None), String::into_bytes);
            let mut response = Response::builder().status(status).header("content-type", "application/json");
            if let Some(after) = retry_after {
                response = response.header("retry-after", after);
            }
            Ok(finish(response, full(body)))
        }
        Some(Fault::Whole { status, headers, body }) => {
            let head = Response::builder().status(status).header("content-type", "application/json");
            let head = headers.iter().fold(head, |head, (name, value)| head.header(name, value));
            Ok(finish(head, full(body)))
        }
        Some(Fault::Instead { headers, body }) => {
            let head = headers.iter().fold(Response::builder(), |head, (name, value)| head.header(name, value));
            Ok(finish(head, full(body)))
        }
        Some(Fault::StatusLine { code }) => {
            connection.relabel(code);
            Ok(respond(&host, &connection, planned, None, seq))
        }
        Some(Fault::RstBeforeHeaders) => connection.reset().await,
        Some(Fault::RstInHeaders) => {
            connection.cut(HEAD_START);
            Ok(respond(&host, &connection, planned, None, seq))
        }
        Some(Fault::Abort) => Err(Aborted),
        Some(Fault::Hang) => std::future::pending().await,
        Some(fault) => Ok(respond(&host, &connection, planned, Some(fault), seq)),
    }
}

/// What a healthy provider would answer.
fn plan(host: &Inner, record: &Record, headers: &HeaderMap) -> Planned {
    if let Some(exchange) = host.replay.lock().unwrap().as_ref() {
        let outcome = String::from("replay");
        return Planned { status: exchange.status, headers: exchange.headers(), answer: exchange.answer(), outcome };
    }
    let script = host.script.lock().unwrap().clone();
    let asked = match Vendor::of_path(&record.path) {
        _ if record.method != "POST" => Err((Vendor::OpenAi, Refusal::of(405, "only POST"))),
        None => Err((Vendor::OpenAi, Refusal::of(404, &format!("nothing at {}", record.path)))),
        Some(vendor) if record.credentials().is_empty() => Err((vendor, Refusal::of(401, "no credential"))),
        Some(vendor) => match vendor.ask(&host.name, &record.path, headers, &record.body) {
            Ok(ask) => Ok((vendor, Ask { bill: *host.bill.lock().unwrap(), ..ask })),
            Err(refusal) => Err((vendor, refusal)),
        },
    };
    let answered = asked.and_then(|(vendor, ask)| {
        let id = host.ids.fetch_add(1, Ordering::Relaxed);
        let reply = script.map(|script| script.reply(&record.body)).transpose();
        let planned = reply.and_then(|reply| match reply {
            Some(reply) => Ok(good(vendor, id, reply.answer(&ask, id))),
            None => healthy(host, vendor, &ask, id),
        });
        planned.map_err(|refusal| (vendor, refusal))
    });
    answered.unwrap_or_else(|(vendor, refusal)| refused(vendor, &refusal))
}

/// The corpus' answer if the model names one, else an answer made from the request.
fn healthy(host: &Inner, vendor: Vendor, ask: &Ask, id: u64) -> Result<Planned, Refusal> {
    let Some(case) = case::of(vendor, ask) else {
        return Ok(good(vendor, id, vendor.answer(&host.name, ask, id)));
    };
    let Case { status, retry_after, answer } = case?;
    let mut planned = good(vendor, id, answer);
    planned.headers.extend(retry_after.map(|seconds| ("retry-after".to_owned(), seconds)));
    if status != 200 {
        planned.outcome = format!("case {status}");
    }
    Ok(Planned { status, ..planned })
}

fn good(vendor: Vendor, id: u64, answer: Answer) -> Planned {
    let kind = match (&answer, vendor) {
        (Answer::Unary(_), _) => "application/json",
        (Answer::Stream(_), Vendor::OpenAi) => "text/event-stream; charset=utf-8",
        (Answer::Stream(_), Vendor::Anthropic) => "text/event-stream",
    };
    let headers = vec![("content-type".to_owned(), kind.to_owned()), request_id(vendor, id)];
    Planned { status: 200, headers, answer, outcome: "ok".to_owned() }
}

fn request_id(vendor: Vendor, id: u64) -> (String, String) {
    let name = if vendor == Vendor::OpenAi { "x-request-id" } else { "request-id" };
    (name.to_owned(), format!("req_{id:08}"))
}

fn refused(vendor: Vendor, refusal: &Refusal) -> Planned {
    Planned {
        status: refusal.status,
        headers: vec![("content-type".into(), "application/json".into())],
        answer: Answer::Unary(vendor.error(refusal.status, Some(refusal))),
        outcome: format!("refused {}: {}", refusal.status, refusal.message),
    }
}

fn respond(
    host: &Arc<Inner>,
    connection: &Arc<Connection>,
    planned: Planned,
    fault: Option<Fault>,
    seq: u64,
) -> Response<Body> {
    let mut response = Response::builder().status(planned.status);
    for (name, value) in &planned.headers {
        response = response.header(name, value);
    }
    let body = match (planned.answer, fault) {
        (Answer::Unary(body), None | Some(Fault::Gate)) => full(body),
        (answer, fault) => stepped(Arc::clone(host), Arc::clone(connection), steps(answer, fault, seq)),
    };
    finish(response, body)
}

/// The body in time. Whole events where their number matters; otherwise odd-sized chunks that respect no boundary.
fn steps(answer: Answer, fault: Option<Fault>, seed: u64) -> Vec<Step> {
    let units = match answer {
        Answer::Stream(events) => events,
        Answer::Unary(body) => body.chunks(body.len().div_ceil(8).max(1)).map(<[u8]>::to_vec).collect(),
    };
    let first = |n: usize| units.iter().take(n).cloned().map(Step::Send);
    match fault {
        Some(Fault::RstAfterHeaders) => vec![Step::Sleep(HEAD_START), Step::Reset],
        Some(Fault::HangAfterHeaders) => vec![Step::Hang],
        Some(Fault::RstMidStream { after }) => first(after).chain([Step::Sleep(HEAD_START), Step::Reset]).collect(),
        Some(Fault::HangMidStream { after }) => first(after).chain([Step::Hang]).collect(),
        Some(Fault::Says { events, ms, hang }) => {
            let pause = || Step::Sleep(Duration::from_millis(ms));
            let said = events.into_iter().flat_map(|event| [pause(), Step::Send(event.into_bytes())]);
            said.chain(hang.then_some(Step::Hang)).collect()
        }
        Some(Fault::Late { ms }) => {
            let whole = Step::Send(units.concat());
            vec![Step::Sleep(Duration::from_millis(ms)), whole]
        }
        Some(Fault::CutShort { after }) => first(after).collect(),
        Some(Fault::SplitCharacters) => {
            let pieces = split_characters(&units.concat()).into_iter();
            pieces.flat_map(|piece| [Step::Send(piece), Step::Sleep(SPLIT)]).collect()
        }
        Some(Fault::Trailers { after }) => first(after.unwrap_or(units.len())).chain([Step::Trailers]).collect(),
        Some(Fault::Drip { ms }) => {
            units.into_iter().flat_map(|unit| [Step::Sleep(Duration::from_millis(ms)), Step::Send(unit)]).collect()
        }
        Some(Fault::Gate) => units.into_iter().flat_map(|unit| [Step::Permit, Step::Send(unit)]).collect(),
        _ => odd_chunks(&units.concat(), seed).into_iter().map(Step::Send).collect(),
    }
}

/// Sizes from 1 to 97 bytes: cuts fall inside `data:`, between `\n` and `\n`, and, helped along, inside characters.
pub(super) fn odd_chunks(mut bytes: &[u8], seed: u64) -> Vec<Vec<u8>> {
    const SIZES: [usize; 8] = [1, 2, 3, 7, 13, 31, 61, 97];
    let mut random = Draw::new(seed);
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let mut size = SIZES[(random.bits() % 8) as usize].min(bytes.len());
        if let Some(inside) = bytes[..size].iter().skip(1).position(|byte| (0x80..0xc0).contains(byte)) {
            size = inside + 1;
        }
        let (head, tail) = bytes.split_at(size);
        out.push(head.to_vec());
        bytes = tail;
    }
    out
}

/// Cuts after the first byte of each character that has several.
fn split_characters(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.chunk_by(|before, _| *before < 0xc0).map(<[u8]>::to_vec).collect()
}

fn stepped(host: Arc<Inner>, connection: Arc<Connection>, steps: Vec<Step>) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    // Nobody listens any more: the client has left.
                    if sender.send(Ok(Frame::data(Bytes::from(bytes)))).await.is_err() {
                        return;
                    }
                }
                Step::Trailers => {
                    let trailers = HeaderMap::from_iter([(TRAILER, HeaderValue::from_static("done"))]);
                    let _ = sender.send(Ok(Frame::trailers(trailers))).await;
                }
                Step::Sleep(time) => tokio::time::sleep(time).await,
                Step::Permit => match host.gate.acquire().await {
                    Ok(permit) => permit.forget(),
                    Err(_) => return,
                },
                Step::Reset => connection.reset().await,
                Step::Hang => sender.closed().await,
            }
        }
    });
    StreamBody::new(ReceiverStream::new(receiver)).boxed()
}

fn full(body: Vec<u8>) -> Body {
    Full::new(Bytes::from(body)).map_err(Aborted::from).boxed()
}

/// A replayed header may be one the library rejects; then the test should see it as a broken provider.
fn finish(builder: hyper::http::response::Builder, body: Body) -> Response<Body> {
    builder.body(body).unwrap_or_else(|e| {
        let mut response = Response::new(full(e.to_string().into_bytes()));
        *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
