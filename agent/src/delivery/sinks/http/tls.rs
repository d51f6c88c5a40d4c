//! Whom we trust and as whom we come, from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::file;
use crate::config::{ClientCertificate, TlsSettings};
use crate::delivery::sink::Trouble;

/// TLS 1.2 and later. Every file is checked here, for `ureq` passes over a root that it cannot use, and panics at a
/// key that is not its certificate's.
pub(super) fn config(settings: &TlsSettings) -> Result<TlsConfig, Trouble> {
    let TlsSettings { ca_file, client } = settings;
    let roots = match ca_file {
        Some(path) => roots_of_file(path)?,
        None => roots_of_host()?,
    };
    let roots = roots
        .iter()
        .map(|root| Certificate::from_der(root).to_owned());
    let client = client.as_ref().map(client_certificate).transpose()?;
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .client_cert(client)
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .build())
}

fn roots_of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let roots = certificates(path)?;
    let mut store = RootCertStore::empty();
    for root in &roots {
        let added = store.add(root.clone());
        added.map_err(|error| file::unfit(path, &format!("not a root to trust: {error}")))?;
    }
    Ok(roots)
}

fn roots_of_host() -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let loaded = rustls_native_certs::load_native_certs();
    if loaded.certs.is_empty() {
        let why = "this host trusts no authority, and no `ca_file` is set".to_owned();
        return Err(Trouble::Hold { why });
    }
    Ok(loaded.certs)
}

fn client_certificate(client: &ClientCertificate) -> Result<ClientCert, Trouble> {
    let ClientCertificate {
        certificate_file,
        key_file,
    } = client;
    let chain = certificates(certificate_file)?;
    let pem = file::read(key_file)?;
    let no_key = || file::unfit(key_file, "no private key in PEM");
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| no_key())?;
    CertifiedKey::from_der(chain.clone(), key, &default_provider()).map_err(|error| {
        let certificate = certificate_file.display();
        file::unfit(key_file, &format!("does not fit {certificate}: {error}"))
    })?;
    let key = PrivateKey::from_pem(&pem).map_err(|_| no_key())?;
    let chain: Vec<_> = chain
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let text = file::read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|_| file::unfit(path, "not in PEM"))?;
    if certificates.is_empty() {
        return Err(file::unfit(path, "no certificate in PEM"));
    }
    Ok(certificates)
}
