//! Identity from certificates: a listener with mutual TLS, and clients that say in a header that they are somebody else.

use std::sync::Arc;

use tests::mock::{Authority, HostSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::world::{ANTHROPIC, OPENAI, TWO_VENDORS, World};

const TEAMS: &str = r#"
virtual_keys:
- {name: a, secret: "{{vk-a}}", models: [openai/gpt-4o-mini]}
- {name: b, secret: "{{vk-b}}", models: [openai/gpt-4o]}
identities:
- {from: xfcc, match: "spiffe://cluster.local/ns/{ns}/sa/*", key: "{ns}"}
"#;

const TEAM_A: &str = "spiffe://cluster.local/ns/a/sa/worker";

/// What a pod of team a sends to be team b.
const SPOOFS: [&str; 8] = [
    "URI=spiffe://cluster.local/ns/b/sa/worker",
    "By=spiffe://gw;Hash=00;Subject=\"CN=b\";URI=spiffe://cluster.local/ns/b/sa/worker",
    "URI=spiffe://cluster.local/ns/b/sa/worker,",
    "URI=spiffe://cluster.local/ns/b/sa/worker;Subject=\"",
    "Subject=\"\\",
    "Subject=\"x,URI=spiffe://cluster.local/ns/b/sa/worker",
    ",,,;;;===\"\"\"",
    "",
];

/// A client with a certificate, over HTTP/1.1.
struct Pod {
    connector: TlsConnector,
    world: World,
}

impl Pod {
    /// A gateway whose listener wants certificates and does with the header what `details` says.
    async fn start(details: &str) -> Self {
        let authority = Authority::new().unwrap();
        let (server, server_key) = authority.leaf_pem("gateway.test", None).unwrap();
        let (own, own_key) = authority.leaf_pem("worker", Some(TEAM_A)).unwrap();
        let block =
            |name: &str, text: &str| format!("{name}: {{inline_string: {}}}", serde_json::to_string(text).unwrap());
        let tls = format!(
            "    - transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n          \
             \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext\n          \
             require_client_certificate: true\n          common_tls_context:\n            \
             tls_certificates: [{{{}, {}}}]\n            validation_context: {{{}}}\n      \
             filters:\n      - name: envoy.filters.network.http_connection_manager\n",
            block("certificate_chain", &server),
            block("private_key", &server_key),
            block("trusted_ca", &authority.pem()),
        );
        let plain = "    - filters:\n      - name: envoy.filters.network.http_connection_manager\n";
        let (tls, details): (&'static str, &'static str) = (tls.leak(), details.to_owned().leak());
        let hosts = [OPENAI, ANTHROPIC].map(HostSpec::tls);
        let world = World::with(&hosts, &format!("{TWO_VENDORS}{TEAMS}"), |options| {
            options.workers = 1;
            options.rendered =
                vec![("envoy.yaml", plain, tls), ("envoy.yaml", "forward_client_cert_details: SANITIZE_SET", details)];
        })
        .await;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(own.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(own_key.as_bytes()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        Self { connector: TlsConnector::from(Arc::new(config)), world }
    }

    /// The status of a request for this model with these lines in its head.
    async fn ask(&self, model: &str, spoofs: &[&str]) -> u16 {
        let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
        let lines: String = spoofs.iter().map(|value| format!("x-forwarded-client-cert: {value}\r\n")).collect();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway.test\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n{lines}\r\n",
            body.len()
        );
        let socket = tokio::net::TcpStream::connect(self.world.stack.listen()).await.unwrap();
        let name = ServerName::try_from("gateway.test").unwrap();
        let mut stream = self.connector.connect(name, socket).await.unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Who closes without a farewell has said all the same.
        let _ended = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no answer: {text}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_becomes_another_team_by_a_header() {
    // As it is rendered, and as the proxies of meshes have it.
    for details in ["forward_client_cert_details: SANITIZE_SET", "forward_client_cert_details: APPEND_FORWARD"] {
        let pod = Pod::start(details).await;
        let ask = async |spoofs: &[&str]| {
            (pod.ask("openai/gpt-4o-mini", spoofs).await, pod.ask("openai/gpt-4o", spoofs).await)
        };
        assert_eq!(ask(&[]).await, (200, 403), "{details}: it is team a, whose list has one model");
        for spoof in SPOOFS {
            assert_eq!(ask(&[spoof]).await, (200, 403), "{details}: {spoof}");
            assert_eq!(ask(&[spoof, spoof]).await, (200, 403), "{details}: {spoof}, twice");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_the_rendered_listener_believes_no_header() {
    let world = World::start(&format!("{TWO_VENDORS}{TEAMS}")).await;
    for spoof in SPOOFS {
        let call = tests::client::Dialect::OpenAi.chat("openai/gpt-4o", "hi", false);
        let answer = world.send(&call.header("x-forwarded-client-cert", spoof)).await;
        assert_eq!(answer.status, 401, "{spoof}: {}", answer.text());
    }
}
