//! An authority for one test, and whom it certifies.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use wallwatch::config::{ClientCertificate, TlsSettings};

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    /// Its certificate is `ca.pem` of `folder`. Two of other names are no mistake for one another.
    pub(crate) fn new(name: &str, folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self {
            issuer,
            folder: folder.to_owned(),
        }
    }

    /// `NAME.pem` and `NAME.key`, for a host that is called `host`.
    pub(crate) fn certify(&self, name: &str, host: &str) -> ClientCertificate {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ClientCertificate {
            certificate_file: self.folder.join(format!("{name}.pem")),
            key_file: self.folder.join(format!("{name}.key")),
        };
        fs::write(&files.certificate_file, certificate.pem()).unwrap();
        fs::write(&files.key_file, key.serialize_pem()).unwrap();
        files
    }

    /// Who trusts this authority, and shows that certificate.
    pub(crate) fn trusted_by(&self, client: Option<ClientCertificate>) -> TlsSettings {
        TlsSettings {
            ca_file: Some(self.folder.join("ca.pem")),
            client,
        }
    }
}
