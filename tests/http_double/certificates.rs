//! An authority for one test, and what it certifies.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use wallwatch::config::{ClientCertificate, TlsSettings};

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whom a client trusts.
    pub(crate) fn trusted(&self) -> TlsSettings {
        TlsSettings {
            ca_file: Some(self.path("ca.pem")),
            client: None,
        }
    }

    /// The same, as somebody whom it certifies.
    pub(crate) fn trusted_as_client(&self) -> TlsSettings {
        let (certificate, key) = self.certify("client");
        let certificate_file = self.path("client.pem");
        let key_file = self.path("client.key");
        fs::write(&certificate_file, certificate).unwrap();
        fs::write(&key_file, key).unwrap();
        TlsSettings {
            client: Some(ClientCertificate {
                certificate_file,
                key_file,
            }),
            ..self.trusted()
        }
    }

    /// A server named `localhost`; whether its clients must have a certificate of the same authority.
    pub(crate) fn server(&self, wants_clients: bool) -> ServerConfig {
        let (certificate, key) = self.certify("localhost");
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(certificate.as_bytes());
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match wants_clients {
            false => config.with_no_client_auth(),
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(self.issuer.der().clone()).unwrap();
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        config.with_single_cert(chain, key).unwrap()
    }

    /// PEM of a certificate for a host of that name, and of its key.
    fn certify(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}
