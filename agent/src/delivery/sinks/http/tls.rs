//! Whom we trust and as whom we come, in the words of `ureq`.

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::config::TlsSettings;
use crate::delivery::sink::Trouble;
use crate::delivery::sinks::tls::{ClientIdentity, TlsFault, identity, trusted};

/// TLS 1.2 and later. Every file has been checked, for `ureq` passes over a root that it cannot use, and panics at a
/// key that is not its certificate's.
pub(super) fn config(settings: &TlsSettings) -> Result<TlsConfig, Trouble> {
    let TlsSettings { ca_file, client } = settings;
    let roots = trusted(ca_file.as_deref()).map_err(hold)?;
    let roots = roots
        .iter()
        .map(|root| Certificate::from_der(root).to_owned());
    let client = client.as_ref().map(identity).transpose().map_err(hold)?;
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .client_cert(client.as_ref().map(client_certificate).transpose()?)
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .build())
}

fn client_certificate(client: &ClientIdentity) -> Result<ClientCert, Trouble> {
    let ClientIdentity { chain, key_pem, .. } = client;
    let key = PrivateKey::from_pem(key_pem).map_err(|error| Trouble::Hold {
        why: format!("the client's key: {error}"),
    })?;
    let chain = chain
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned());
    Ok(ClientCert::new_with_certs(&chain.collect::<Vec<_>>(), key))
}

/// Somebody has to change the file first.
fn hold(fault: TlsFault) -> Trouble {
    Trouble::Hold {
        why: fault.to_string(),
    }
}
