//! A sidecar in a directory of its own, a client, and what its store says.

use std::path::PathBuf;

use engine::config::Loaded;
use engine::config::snapshot::Address;
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use sidecar::push::Follower;
use sidecar::push::source::{Config, Needs, Source};
use sidecar::serve::Server;
use sidecar_api::v1::sidecar_client::SidecarClient;
use sidecar_api::v1::r#try::Outcome;
use sidecar_api::v1::{AdmitRequest, SettleRequest, Settlement, Try, Usage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

pub(crate) type Client = SidecarClient<Channel>;

/// Socket, store and configuration of one sidecar; they outlive a restart of it.
pub(crate) struct Place(tempfile::TempDir, String);

impl Place {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With further members of the configuration.
    pub(crate) fn with(more: &str) -> Self {
        Self(tempfile::tempdir().unwrap(), more.to_owned())
    }

    /// The same with others.
    pub(crate) fn changed(self, more: &str) -> Self {
        Self(self.0, more.to_owned())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.path().join("run/sidecar.sock")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.path().join("attache.db")
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("attache.yaml")
    }

    /// Writes the configuration, says where.
    pub(crate) fn config(&self) -> PathBuf {
        let file = self.file();
        std::fs::write(&file, self.yaml()).unwrap();
        file
    }

    pub(crate) fn loaded(&self) -> Loaded {
        sidecar::read::file(&self.config()).unwrap()
    }

    pub(crate) fn read(&self) -> (Source, Config) {
        Follower::read(self.config(), Needs { providers: false, virtual_keys: true }).unwrap()
    }

    fn yaml(&self) -> String {
        let hex = |key| Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!(
            r#"
version: 1
providers:
  openai: {{keys: [{{name: main, secret: "env:UNUSED", models: ["*"]}}]}}
  anthropic: {{keys: [{{name: main, secret: "env:UNUSED", models: ["*"]}}]}}
models:
  gpt-4.1: {{candidates: [{{provider: openai}}]}}
virtual_keys:
  - {{name: prod, secret: "sha256:{}", models: ["gpt-4.1"], team: search}}
  - {{name: former, secret: "sha256:{}", models: ["*"], disabled: true}}
sidecar:
  address: "unix:{}"
  store: "{}"
  admin: "127.0.0.1:0"
  key_ttl: 7s
{}"#,
            hex("vk-prod"),
            hex("vk-former"),
            self.socket().display(),
            self.store().display(),
            self.1
        )
    }

    pub(crate) async fn start(&self) -> Server {
        Server::start(&self.loaded()).await.unwrap()
    }

    /// Connects when first used, again when broken.
    pub(crate) fn client(&self) -> Client {
        client(format!("unix:{}", self.socket().display()))
    }

    pub(crate) fn sql(&self) -> Connection {
        Connection::open(self.store()).unwrap()
    }

    /// One number out of the store.
    pub(crate) fn count(&self, query: &str) -> i64 {
        self.sql().query_row(query, [], |row| row.get::<_, Option<i64>>(0)).unwrap().unwrap_or(0)
    }

    /// Settlements as rows, and as the sum of all counters.
    pub(crate) fn settled(&self) -> (i64, i64) {
        (self.count("SELECT count(*) FROM settlement"), self.count("SELECT sum(requests) FROM request_count"))
    }
}

pub(crate) fn client(address: String) -> Client {
    SidecarClient::new(Endpoint::from_shared(address).unwrap().connect_lazy())
}

/// The address of a sidecar on TCP.
pub(crate) fn url(server: &Server) -> String {
    match server.grpc() {
        Address::Tcp(host, port) => format!("http://{host}:{port}"),
        Address::Unix(path) => panic!("on unix:{path}"),
    }
}

pub(crate) fn ask(key: &str) -> AdmitRequest {
    AdmitRequest { key_sha256: Sha256::digest(key).to_vec(), ..AdmitRequest::default() }
}

pub(crate) fn hello() -> AdmitRequest {
    AdmitRequest { hello: true, ..AdmitRequest::default() }
}

/// A request that failed over from anthropic to openai.
pub(crate) fn settlement(counter: u64) -> Settlement {
    let attempt = |provider: &str, status, outcome: Outcome| Try {
        provider: provider.to_owned(),
        key: "main".to_owned(),
        model: "gpt-4.1".to_owned(),
        status,
        outcome: outcome.into(),
        usage: Some(Usage { input_tokens: 10, output_tokens: 5, ..Usage::default() }),
        ..Try::default()
    };
    Settlement {
        counter,
        key: "prod".to_owned(),
        team: "search".to_owned(),
        asked_model: "gpt-4.1".to_owned(),
        dialect: "openai_chat".to_owned(),
        status: 200,
        duration_micros: 40_000,
        first_byte_micros: 9_000,
        tries: vec![attempt("anthropic", 503, Outcome::Error), attempt("openai", 200, Outcome::Ok)],
        ..Settlement::default()
    }
}

pub(crate) fn batch(nonce: &[u8], counters: impl IntoIterator<Item = u64>) -> SettleRequest {
    SettleRequest { vm_nonce: nonce.to_vec(), settlements: counters.into_iter().map(settlement).collect() }
}

/// Status, head and body of a page.
pub(crate) async fn page(server: &Server, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(server.admin()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: sidecar\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}
