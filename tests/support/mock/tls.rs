//! A certificate authority made at start, and leaves under the vendors' real names.
//!
//! Does not: keep anything on disk; whoever needs the root asks for [`Authority::pem`].

use std::sync::{Arc, RwLock};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// The test root.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    crypto: Arc<CryptoProvider>,
}

impl Authority {
    /// A new root with its own key.
    ///
    /// # Errors
    /// Key generation failed.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "attache test root");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer, crypto: Arc::new(ring::default_provider()) })
    }

    /// The root in PEM, for the client's trust store.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A leaf for this name.
    ///
    /// # Errors
    /// The name is no valid SAN.
    pub fn leaf(&self, name: &str) -> Result<Arc<CertifiedKey>> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let leaf = params.signed_by(&key, &self.issuer)?;
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Arc::new(CertifiedKey::from_der(vec![leaf.der().clone()], private, &self.crypto)?))
    }

    /// The same in PEM, with its key, and a URI as workloads of a mesh have one.
    ///
    /// # Errors
    /// A name is no valid SAN.
    pub fn leaf_pem(&self, name: &str, uri: Option<&str>) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        if let Some(uri) = uri {
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        params.distinguished_name.push(DnType::CommonName, name);
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    /// A server that presents whatever `leaf` holds at the time and offers HTTP/2 first.
    ///
    /// # Errors
    /// The crypto provider lacks a protocol version.
    pub fn server(&self, leaf: Arc<Leaf>) -> Result<Arc<ServerConfig>> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.crypto))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(leaf);
        // A resumed session shows no certificate, so an exchanged leaf would go unnoticed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// A leaf that can be exchanged while the server runs.
#[derive(Debug)]
pub struct Leaf(RwLock<Arc<CertifiedKey>>);

impl Leaf {
    pub fn new(key: Arc<CertifiedKey>) -> Self {
        Self(RwLock::new(key))
    }

    pub fn set(&self, key: Arc<CertifiedKey>) {
        *self.0.write().unwrap() = key;
    }
}

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap()))
    }
}
