//! The control port of the `mock-provider` binary: set faults, read and clear what arrived.
//!
//! | request | effect |
//! |---|---|
//! | `GET /hosts` | names and addresses |
//! | `GET /records?host=NAME` | what arrived, whole |
//! | `GET /counts` | how often, by host, credential and outcome |
//! | `DELETE /records` | forget it |
//! | `POST /hosts/NAME/fault` | add a rule, e.g. `{"fault": {"status": {"status": 503}}, "when": {"next": 3}}` |
//! | `POST /hosts/NAME/replay` | play the exchange file whose path is the body |
//! | `DELETE /hosts/NAME/fault` | no faults, no replay |
//! | `POST /hosts/NAME/refuse`, `/accept` | close the listener, open it again |
//! | `POST /hosts/NAME/wrong-name`, `/right-name` | certificate |
//! | `POST /hosts/NAME/release?n=1` | let events through a gate |
//! | `POST /reset` | all of it healthy and empty |

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Exchange, Mock};

/// Serves the control port; never returns.
///
/// # Errors
/// The listener failed.
pub async fn serve(mock: Arc<Mock>, listener: TcpListener) -> Result<Infallible> {
    loop {
        let (stream, _) = listener.accept().await?;
        let mock = Arc::clone(&mock);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let mock = Arc::clone(&mock);
                async move { Ok::<_, Infallible>(answer(mock, request).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(mock: Arc<Mock>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    // Closing a listener waits for its task, so this may not run on a worker of the runtime.
    let done = tokio::task::spawn_blocking(move || act(&mock, &head.method, &path, &query, &body)).await;
    let (status, value) = match done {
        Ok(Ok(value)) => (StatusCode::OK, value),
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, json!({"error": format!("{error:#}")})),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": error.to_string()})),
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{value}\n"))));
    *response.status_mut() = status;
    response
}

fn act(mock: &Mock, method: &Method, path: &str, query: &str, body: &[u8]) -> Result<Value> {
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["hosts"]) => {
            let hosts = mock.addresses().into_iter().map(|(name, addr): (String, SocketAddr)| (name, json!(addr)));
            return Ok(Value::Object(hosts.collect()));
        }
        ("GET", ["records"]) => {
            return Ok(json!(mock.journal().records(parameter("host")).iter().map(AsRef::as_ref).collect::<Vec<_>>()));
        }
        ("GET", ["counts"]) => {
            let counts = mock.journal().counts().into_iter();
            let row = |((host, credential, outcome), n)| json!({"host": host, "credential": credential, "outcome": outcome, "n": n});
            return Ok(counts.map(row).collect());
        }
        ("DELETE", ["records"]) => mock.journal().clear(),
        ("POST", ["reset"]) => mock.reset()?,
        (method, ["hosts", name, action]) => {
            let host = mock.find(name).with_context(|| format!("no host is called {name}"))?;
            match (method, *action) {
                ("POST", "fault") => host.fault(serde_json::from_slice(body)?),
                ("POST", "replay") => host.replay(Exchange::read(Path::new(std::str::from_utf8(body)?.trim()))?),
                ("DELETE", "fault") => host.clear(),
                ("POST", "refuse") => host.refuse(),
                ("POST", "accept") => host.accept()?,
                ("POST", "wrong-name") => host.wrong_name(true)?,
                ("POST", "right-name") => host.wrong_name(false)?,
                ("POST", "release") => host.release(parameter("n").map_or(Ok(1), str::parse)?),
                _ => bail!("a host has no {method} {action}"),
            }
        }
        _ => bail!("no {method} {path}"),
    }
    Ok(json!({"ok": true}))
}
