//! What a TLS client needs of the files that the operator named.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use thiserror::Error;

use super::named_file;
use crate::config::{ClientCertificate, TlsSettings};

/// What of the settings keeps TLS from being spoken at all.
#[derive(Debug, Error)]
pub(super) enum TlsFault {
    #[error("{}: {why}", .path.display())]
    File { path: PathBuf, why: io::Error },
    #[error("{} is no PEM: {why}", .path.display())]
    Pem { path: PathBuf, why: pem::Error },
    #[error("{} has no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} has no private key", .0.display())]
    NoKey(PathBuf),
    #[error("{}: certificate {number} cannot be trusted: {why}", .path.display())]
    Root {
        path: PathBuf,
        number: usize,
        why: rustls::Error,
    },
    #[error("this host trusts nobody, and there is no `ca_file`{0}")]
    NoRoots(String),
    #[error("{} does not fit {}: {why}", .key.display(), .certificate.display())]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        why: rustls::Error,
    },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// A client's certificate with those above it, and its key.
pub(super) struct ClientIdentity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// As the file has it.
    pub(super) key_pem: Vec<u8>,
}

/// TLS 1.2 and 1.3; the server must have a certificate of somebody who is trusted, and in the right name.
pub(super) fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, TlsFault> {
    let TlsSettings { ca_file, client } = settings;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted(ca_file.as_deref())?);
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some(client) = client else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let ClientIdentity { chain, key, .. } = identity(client)?;
    Ok(Arc::new(builder.with_client_auth_cert(chain, key)?))
}

/// Whom to trust: those of the file, each of which must do; or those whom the host trusts, of whom some may not.
pub(super) fn trusted(ca_file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let Some(path) = ca_file else {
        return trusted_by_host();
    };
    let roots = certificates(path)?;
    let mut store = RootCertStore::empty();
    for (index, root) in roots.iter().enumerate() {
        store.add(root.clone()).map_err(|why| TlsFault::Root {
            path: path.to_owned(),
            number: index + 1,
            why,
        })?;
    }
    Ok(roots)
}

fn trusted_by_host() -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs.iter().cloned());
    if roots.is_empty() {
        let whys = found.errors.iter().map(|error| format!("; {error}"));
        return Err(TlsFault::NoRoots(whys.collect()));
    }
    Ok(found.certs)
}

/// Who we are; the key is the certificate's.
pub(super) fn identity(client: &ClientCertificate) -> Result<ClientIdentity, TlsFault> {
    let ClientCertificate {
        certificate_file,
        key_file,
    } = client;
    let chain = certificates(certificate_file)?;
    let key_pem = read(key_file)?;
    let key = private_key(key_file, &key_pem)?;
    let pair = CertifiedKey::from_der(chain.clone(), key.clone_key(), &default_provider());
    pair.map_err(|why| TlsFault::Pair {
        certificate: certificate_file.clone(),
        key: key_file.clone(),
        why,
    })?;
    Ok(ClientIdentity {
        chain,
        key,
        key_pem,
    })
}

/// Whether an error stays until somebody changes a certificate, or what the other side accepts.
pub(super) fn needs_somebody(error: &rustls::Error) -> bool {
    if let rustls::Error::AlertReceived(alert) = error {
        return matches!(
            alert,
            AlertDescription::HandshakeFailure
                | AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                // A signature that the server cannot check.
                | AlertDescription::DecryptError
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity
                | AlertDescription::UnrecognisedName
        );
    }
    matches!(
        error,
        rustls::Error::InvalidCertificate(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::PeerIncompatible(_)
    )
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|why| TlsFault::Pem {
        path: path.to_owned(),
        why,
    })?;
    match certificates.is_empty() {
        true => Err(TlsFault::NoCertificate(path.to_owned())),
        false => Ok(certificates),
    }
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsFault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|why| {
        let path = path.to_owned();
        if matches!(why, pem::Error::NoItemsFound) {
            TlsFault::NoKey(path)
        } else {
            TlsFault::Pem { path, why }
        }
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFault> {
    named_file::read(path).map_err(|why| TlsFault::File {
        path: path.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    struct Files {
        folder: TempDir,
        certificate: String,
        key: String,
    }

    impl Files {
        fn new() -> Self {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            Self {
                folder: tempfile::tempdir().unwrap(),
                certificate: made.cert.pem(),
                key: made.signing_key.serialize_pem(),
            }
        }

        fn put(&self, name: &str, text: &str) -> PathBuf {
            let path = self.folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        }

        /// What is said, without the folder.
        fn fault(&self, settings: &TlsSettings) -> String {
            let fault = client_config(settings).unwrap_err().to_string();
            fault.replace(&format!("{}/", self.folder.path().display()), "")
        }
    }

    fn with_client(ca: &Path, certificate: &Path, key: &Path) -> TlsSettings {
        TlsSettings {
            ca_file: Some(ca.to_owned()),
            client: Some(ClientCertificate {
                certificate_file: certificate.to_owned(),
                key_file: key.to_owned(),
            }),
        }
    }

    #[test]
    fn what_fits_is_taken() {
        let files = Files::new();
        let certificate = files.put("cert.pem", &files.certificate);
        let key = files.put("key.pem", &files.key);
        let config = client_config(&with_client(&certificate, &certificate, &key)).unwrap();
        assert!(config.client_auth_cert_resolver.has_certs());
    }

    #[test]
    fn each_fault_names_the_file_and_what_is_wrong_with_it() {
        let files = Files::new();
        let good = files.put("cert.pem", &files.certificate);
        let key = files.put("key.pem", &files.key);
        let empty = files.put("empty.pem", "nothing here\n");
        let broken = files.put(
            "broken.pem",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        );
        let junk = files.put(
            "junk.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
        let long = files.put("long.pem", &"x".repeat((1 << 20) + 1));
        let other = files.put("other.pem", &Files::new().key);
        let missing = files.folder.path().join("missing.pem");
        let folder = files.folder.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let ca = |path: &Path| TlsSettings {
            ca_file: Some(path.to_owned()),
            client: None,
        };
        for (settings, expected) in [
            (ca(&missing), "missing.pem: No such file"),
            (ca(&folder), "folder: not a regular file"),
            (ca(&long), "long.pem: longer than 1 MiB"),
            (ca(&empty), "empty.pem has no certificate"),
            (ca(&broken), "broken.pem is no PEM: "),
            (ca(&junk), "junk.pem: certificate 1 cannot be trusted: "),
            (with_client(&good, &empty, &key), "empty.pem has no cert"),
            (with_client(&good, &good, &good), "cert.pem has no private"),
            (
                with_client(&good, &good, &missing),
                "missing.pem: No such file",
            ),
            (
                with_client(&good, &good, &other),
                "other.pem does not fit cert.pem: ",
            ),
        ] {
            let fault = files.fault(&settings);
            assert!(fault.starts_with(expected), "{expected}: {fault}");
        }
    }
}
